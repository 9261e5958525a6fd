"""Make River take the estimators for its own, without importing it."""

from __future__ import annotations

import sys


def register_if_imported(*, regressor: type | None = None, classifier: type | None = None) -> None:
    """Make a class a virtual subclass of River's base class, if River has been imported.

    River's metrics and evaluations ask for instances of these.
    """
    base = sys.modules.get("river.base")
    for name, estimator in (("Regressor", regressor), ("Classifier", classifier)):
        # Without the name while River is being imported.
        if estimator is not None and hasattr(base, name):
            getattr(base, name).register(estimator)
