"""Estimators for scikit-learn with uncertainty: regression, classification, densities, streams.

    >>> from tagix.sklearn import TagiRegressor
    >>> model = TagiRegressor().fit(X, y)
    >>> mean, std = model.predict(X_new, return_std=True)
    >>> low, high = model.predict_interval(X_new, level=0.9).T

They scale X and y, infer the noise, and choose how long to train; no hold-out set is needed. NaN in
X is a missing value, and ``X_std`` gives standard deviations of uncertain inputs. Regressor and
classifier learn from streams (``partial_fit``, and ``learn_one`` with dicts, as in River). Needs
the extra "sklearn".
"""

from tagix._optional import import_optional

import_optional("sklearn", package="scikit-learn", extra="sklearn")

from tagix.sklearn import _river  # noqa: E402
from tagix.sklearn._importances import Importances, VarianceParts  # noqa: E402
from tagix.sklearn._outliers import OutlierWarning  # noqa: E402
from tagix.sklearn._prequential import ClassificationLog, RegressionLog  # noqa: E402
from tagix.sklearn.classifier import TagiClassifier  # noqa: E402
from tagix.sklearn.diffusion import TagiDiffusion  # noqa: E402
from tagix.sklearn.regressor import PredictedVar, TagiRegressor  # noqa: E402

_river.register_if_imported(regressor=TagiRegressor, classifier=TagiClassifier)

__all__ = [
    "ClassificationLog",
    "Importances",
    "OutlierWarning",
    "PredictedVar",
    "RegressionLog",
    "TagiClassifier",
    "TagiDiffusion",
    "TagiRegressor",
    "VarianceParts",
]
