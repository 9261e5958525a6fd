"""scikit-learn's own checks of estimators; one of them cannot hold for networks.

That fits with whole weights and with repeated rows are equal to the last digits takes estimators
for which the order of rows does not matter. Here both are as good (test_sklearn_weights.py), and
equal to rounding where batches are the same (test_sample_weight.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from sklearn.utils.estimator_checks import parametrize_with_checks

from tagix.sklearn import TagiClassifier, TagiDiffusion, TagiRegressor

# As they come, but for fewer networks where a check fits many times.
ESTIMATORS = [
    TagiRegressor(n_estimators=2, max_epochs=30),
    TagiClassifier(n_estimators=2, max_epochs=30),
    TagiDiffusion(hidden=(16,), n_epochs=2, batch_size=16),
]


CHECKS = parametrize_with_checks(ESTIMATORS)


# A list of them, for pytest, which takes no generators any more, as old releases give.
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), ids=CHECKS.kwargs["ids"])
@pytest.mark.filterwarnings("ignore")  # which is what scikit-learn's checks raise to see
def test_check(estimator: Any, check: Callable[[Any], None]) -> None:
    name = getattr(check, "func", check).__name__
    kind = getattr(check, "keywords", {}).get("kind")
    if name.startswith("check_sample_weight_equivalence"):
        with pytest.raises(AssertionError, match="is not equivalent to fitting with removed"):
            check(estimator)
    elif (name, kind) == ("check_sample_weights_invariance", "zeros"):  # before scikit-learn 1.6
        with pytest.raises(AssertionError, match="is not equivalent to removing"):
            check(estimator)
    else:
        check(estimator)
