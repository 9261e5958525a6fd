"""Columns whose scale is due to a single value."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A column is ruined where a single value makes its standard deviation so many times larger.
LEAST_FACTOR = 5.0
# Rows that may hold that value, as a share of all; one may, however few there are.
MOST_SHARE = 0.01
# With fewer rows any of them may make up most of the standard deviation.
LEAST_ROWS = 30


class OutlierWarning(UserWarning):
    """One value determines a column's scale, so the other values can hardly be told apart.

    The value may be a marker for missing values, such as -999, which should be NaN, or a typing
    error.
    """


def warn_of_outliers(columns: Array, names: Sequence[Any]) -> None:
    """Give an OutlierWarning for each of the columns (rows, columns) that one value ruins."""
    for name, column in zip(names, columns.T, strict=True):
        value = ruining_value(column)
        if value is not None:
            warnings.warn(
                f"{name}: the value {value:g} makes the column's standard deviation more than "
                f"{LEAST_FACTOR:g} times as large, so that its other values are hardly told "
                "apart; where it marks missing values, replace it by NaN, else leave its rows out "
                "or transform the column, for example by a logarithm",
                OutlierWarning,
                stacklevel=4,  # whoever called the decorated fit
            )


def ruining_value(column: Array) -> float | None:
    """The value without which the standard deviation is less than a LEAST_FACTOR-th of what it is.

    None if there is none, the others are all equal, or more rows than a MOST_SHARE have it.
    """
    numbers = column[~np.isnan(column)]
    if len(numbers) < LEAST_ROWS:
        return None
    deviations = numbers - numbers[0]
    value = numbers[np.abs(deviations - deviations.mean()).argmax()]
    others = deviations[numbers != value]
    if len(numbers) - len(others) > max(1.0, MOST_SHARE * len(numbers)):
        return None
    return float(value) if 0.0 < LEAST_FACTOR * others.std() < deviations.std() else None
