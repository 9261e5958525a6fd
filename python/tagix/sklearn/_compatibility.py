"""What scikit-learn has called differently from release to release, and rows checked by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import check_is_fitted

from tagix.sklearn._columns import NUMBER, Column, ColumnEncoder, Values
from tagix.sklearn._frames import are_plain, columns_of, refuse_other_than_numbers, targets_of

try:
    from sklearn.utils.validation import validate_data

    _FINITE = "ensure_all_finite"
    _NAMES_ALONE = {"skip_check_array": True}
except ImportError:  # before 1.6
    _FINITE = "force_all_finite"
    _NAMES_ALONE = {"cast_to_ndarray": False}

    def validate_data(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        """The method of estimators that the function has replaced."""
        return estimator._validate_data(*args, **kwargs)


def validate_rows(estimator: Any, X: Any, *, reset: bool, allow_nan: bool = True) -> Any:
    """X as float64 (rows, inputs); sets or checks the estimator's features and their names.

    The inputs are the columns, but of a DataFrame that has columns of other things than numbers:
    then they are what the estimator's ``_encoder`` makes of them, which is set with ``reset``, too.
    """
    return _validated(estimator, (X,), reset, _rows_as_numbers(allow_nan))


def validate_rows_and_targets(
    estimator: Any, X: Any, y: Any, *, reset: bool, allow_nan: bool = True, **for_targets: Any
) -> Any:
    """As :func:`validate_rows`, with finite targets y of as many rows."""
    y = targets_of(y, numeric=for_targets.get("y_numeric", False))
    return _validated(estimator, (X, y), reset, _rows_as_numbers(allow_nan) | for_targets)


def as_rows(X: Any, name: str = "X") -> Any:
    """X as float64 (rows, features), NaN allowed, whatever an estimator knows of features."""
    return _or_explained(
        name, X, lambda: check_array(X, input_name=name, **_rows_as_numbers(allow_nan=True))
    )


def _rows_as_numbers(allow_nan: bool) -> dict[str, Any]:
    return {"dtype": np.float64, _FINITE: "allow-nan" if allow_nan else True}


def _validated(estimator: Any, data: tuple[Any, ...], reset: bool, checks: dict[str, Any]) -> Any:
    """X, or X and y, of ``data`` as arrays."""
    X = data[0]
    table = columns_of(X)
    encoder = None if reset else estimator._encoder
    if table is not None and (encoder is not None or not are_plain(table)):
        return _encoded(estimator, data, table, reset, checks)
    if encoder is not None:
        raise TypeError(
            f"X: got a {type(X).__name__}, needed a DataFrame like the one that the estimator was "
            "fitted to, which had columns of categories, dates or times"
        )
    result = _or_explained("X", X, lambda: validate_data(estimator, *data, reset=reset, **checks))
    if reset:
        estimator._encoder = None
    return result


def _encoded(
    estimator: Any,
    data: tuple[Any, ...],
    table: dict[Any, Values],
    reset: bool,
    checks: dict[str, Any],
) -> Any:
    if reset:
        encoder = ColumnEncoder.of(table)
    else:
        validate_data(estimator, data[0], reset=False, **_NAMES_ALONE)
        encoder = estimator._encoder or ColumnEncoder((Column(NUMBER),) * len(table))
    rows = encoder.transform(table)
    if len(data) == 1:
        result = check_array(rows, input_name="X", estimator=estimator, **checks)
    else:
        result = check_X_y(rows, *data[1:], estimator=estimator, **checks)
    if reset:
        validate_data(estimator, data[0], reset=True, **_NAMES_ALONE)
        estimator._encoder = encoder if encoder.is_needed else None
    return result


def _or_explained(name: str, X: Any, check: Callable[[], Any]) -> Any:
    """What a check gives; where numpy did not take X as numbers, the error says what is none."""
    if isinstance(X, np.ndarray) and X.dtype.kind in "Mm":  # numpy would take them as integers
        refuse_other_than_numbers(name, X)
    try:
        return check()
    except (TypeError, ValueError):
        refuse_other_than_numbers(name, X)
        raise


def input_names(estimator: Any) -> NDArray[Any]:
    """Names of what the networks of a fitted estimator see, (n_inputs,); see ``input_names_``."""
    check_is_fitted(estimator)
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        names = [f"x{place}" for place in range(estimator.n_features_in_)]
    if estimator._encoder is not None:
        names = estimator._encoder.input_names(list(names))
    return np.array(names, dtype=object)
