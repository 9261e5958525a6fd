"""What scikit-learn has called differently from release to release."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

try:
    from sklearn.utils.validation import validate_data

    _FINITE = "ensure_all_finite"
except ImportError:  # before 1.6
    _FINITE = "force_all_finite"

    def validate_data(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        """The method of estimators that the function has replaced."""
        return estimator._validate_data(*args, **kwargs)


def validate_rows(estimator: Any, X: Any, *, reset: bool, allow_nan: bool = True) -> Any:
    """X as float64 (rows, features); sets or checks the estimator's features and their names."""
    finite = {_FINITE: "allow-nan" if allow_nan else True}
    return validate_data(estimator, X, reset=reset, dtype=np.float64, **finite)


def validate_rows_and_targets(
    estimator: Any, X: Any, y: Any, *, reset: bool, allow_nan: bool = True, **for_targets: Any
) -> Any:
    """As :func:`validate_rows`, with finite targets y of as many rows."""
    finite = {_FINITE: "allow-nan" if allow_nan else True}
    return validate_data(estimator, X, y, reset=reset, dtype=np.float64, **finite, **for_targets)


def as_rows(X: Any, name: str = "X") -> Any:
    """X as float64 (rows, features), NaN allowed, whatever an estimator knows of features."""
    return check_array(X, dtype=np.float64, input_name=name, **{_FINITE: "allow-nan"})
