"""Means and standard deviations of columns, of a table or of the rows of a stream so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagix import _core
from tagix._rescaling import Units

Array = NDArray[np.float64]

OVERFLOW = "got numbers so large that their squares overflow float64"
LARGEST_MEAN = np.sqrt(np.finfo(np.float64).max) / 2

# A column whose standard deviation is a smaller share of its mean than this never varies: rounding
# alone makes as much of numbers that are equal.
LEAST_SPREAD = 4 * np.finfo(np.float64).eps

# Of the scale of an input, when a stream is re-expressed in new units.
MOST_GROWTH = 2.0


@dataclass
class Moments:
    """For each column the count of numbers, their mean, and the sum of squares about the mean.

    All float64 (columns,). NaN is a missing number, which does not count; a row of weight n counts
    as n rows.
    """

    count: Array
    mean: Array
    squares: Array

    @classmethod
    def of_nothing(cls, n_columns: int) -> Moments:
        """Those of columns without a row."""
        return cls(np.zeros(n_columns), np.zeros(n_columns), np.zeros(n_columns))

    def add(self, rows: Array, weight: Array | None = None) -> None:
        """Take in rows (n, columns), by the parallel update of Chan, Golub & LeVeque (1983).

        ``weight`` are those of the rows, above 0; None: 1 for each.

        Raises ValueError where a mean or a square overflows; the moments are then as they were.
        """
        present = ~np.isnan(rows)
        weights = present if weight is None else present * weight[:, np.newaxis]
        count = weights.sum(axis=0, dtype=np.float64)
        total = _or_one(self.count + count)
        # Deviations from a number of the column itself: of equal numbers they are exactly 0, and
        # next to a large offset they keep their digits.
        origin = self.mean
        if not self.count.all():
            origin = np.where(self.count > 0, self.mean, _first(rows, present))
        with np.errstate(over="ignore", invalid="ignore"):
            deviations = np.where(present, rows - origin, 0.0)
            shift = (weights * deviations).sum(axis=0) / _or_one(count)
            squares = (weights * (deviations - shift) ** 2).sum(axis=0)
            new_mean = origin + shift * (count / total)
            new_squares = self.squares + squares + shift**2 * (self.count * count / total)
        if not (np.isfinite(new_mean).all() and np.isfinite(new_squares).all()):
            raise ValueError(OVERFLOW)
        self.count, self.mean, self.squares = self.count + count, new_mean, new_squares

    def with_columns(self, n_columns: int) -> Moments:
        """The moments with further columns, which have no rows so far."""
        zeros = np.zeros(n_columns)
        return Moments(*(np.append(part, zeros) for part in (self.count, self.mean, self.squares)))

    def scaler(self) -> Scaler:
        """The scaler that gives the numbers so far mean 0 and standard deviation 1."""
        std = np.sqrt(self.squares / _or_one(self.count))
        varies = std > LEAST_SPREAD * np.abs(self.mean)
        return Scaler(self.mean.copy(), np.where(varies, std, 1.0), varies)


def moments_with(
    moments: Moments,
    rows: Array,
    name: str,
    weight: Array | None = None,
    *,
    is_all: bool = False,
) -> Moments:
    """New moments, which count further rows, too; ``moments`` stay as they are.

    Args:
        moments: those so far.
        rows: float64 (n, columns); NaN is a missing number.
        name: what errors call the rows.
        weight: (n,), above 0; None: 1 for each row.
        is_all: whether no rows will follow. A column of equal numbers may then have any size.

    Raises:
        ValueError: where a mean or a square overflows, or, unless ``is_all``, where a mean is so
            large that a square of later rows would.
    """
    more = Moments(moments.count, moments.mean, moments.squares)
    try:
        more.add(rows, weight)
        if not is_all and (np.abs(more.mean) > LARGEST_MEAN).any():
            raise ValueError(OVERFLOW)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return more


# Of so many columns it is no chance if most of them begin and end with the same numbers.
LEAST_COLUMNS_OF_ONE_UNIT = 8


def have_one_unit(rows: Array) -> bool:
    """Whether columns of a table (rows, columns) are numbers of one kind, as pixels or answers are.

    There must be 8 or more columns. At least half of the varying columns have the same least and
    greatest value, and no column goes beyond. The spread of each column is then informative.
    """
    present = ~np.isnan(rows)
    least = np.where(present, rows, np.inf).min(axis=0)
    most = np.where(present, rows, -np.inf).max(axis=0)
    varies = least < most
    if varies.sum() < LEAST_COLUMNS_OF_ONE_UNIT:
        return False
    low, high = least[varies], most[varies]
    share = np.mean((low == low.min()) & (high == high.max()))
    return bool(share >= 0.5)


@dataclass
class Scaler:
    """Columns are brought to z = (X - mean) / scale; one that has never varied is 0, and scale 1.

    Inputs beyond 6 standard deviations are taken by their logarithm (math/leverage.h).
    """

    mean: Array
    scale: Array
    varies: NDArray[np.bool_]

    @classmethod
    def identity(cls, n_columns: int) -> Scaler:
        """Columns as they are."""
        return cls(np.zeros(n_columns), np.ones(n_columns), np.ones(n_columns, dtype=bool))

    def inputs(
        self, rows: Array, std: Array | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Standardized means and, where anything is uncertain, variances, both (rows, columns).

        A missing number (NaN) has the mean and variance of the training data: 0 and 1. ``std`` has
        the standard deviations of the other numbers, in the units of ``rows``, small beside 6
        standard deviations of the column. A column that has never varied is known to be 0.
        """
        weight = self.varies / self.scale
        missing = np.isnan(rows)
        any_missing = bool(missing.any())
        z = (rows - self.mean) * weight
        mean = np.asarray(_core.bounded_leverage(z))
        if not any_missing and std is None:
            return _as_float32(mean), None
        var = np.zeros_like(z)
        if std is not None:
            var = (std * weight * _core.leverage_slope(z)) ** 2
        if any_missing:
            mean[missing] = 0.0
            var = np.where(missing, self.varies, var)
        return _as_float32(mean), _as_float32(var)

    def with_columns(self, n_columns: int) -> Scaler:
        """These and further columns, which have not varied."""
        added = np.zeros(n_columns)
        return Scaler(
            np.append(self.mean, added),
            np.append(self.scale, added + 1.0),
            np.append(self.varies, added > 0),
        )

    def of_one_unit(self) -> Scaler:
        """These means, with one scale for all columns that vary: their root mean square."""
        common = np.sqrt(np.mean(self.scale[self.varies] ** 2))
        return Scaler(self.mean, np.where(self.varies, common, 1.0), self.varies)

    def but(self, other: Scaler, columns: NDArray[np.int64]) -> Scaler:
        """These, with the units of ``other`` for some columns."""
        mean, scale, varies = self.mean.copy(), self.scale.copy(), self.varies.copy()
        for mine, theirs in ((mean, other.mean), (scale, other.scale), (varies, other.varies)):
            mine[columns] = theirs[columns]
        return Scaler(mean, scale, varies)

    def renewed(self, scaler: Scaler) -> Scaler:
        """The units of ``scaler``, with what else this one knows of a table."""
        return scaler

    def targets(self, rows: Array) -> NDArray[np.float32]:
        """Standardized targets, (rows, columns); NaN (missing) in columns that never varied."""
        return _as_float32(np.where(self.varies, (rows - self.mean) / self.scale, np.nan))

    def units_towards(self, new: Scaler) -> tuple[Units, Units]:
        """The pair (old, new) to re-express a network by.

        For a column that has not varied yet, nothing was learned in its scale, so the old scale
        counts as the new one.
        """
        scale = np.where(self.varies, self.scale, new.scale)
        return Units(self.mean, scale), Units(new.mean, new.scale)

    def input_units_towards(self, new: Scaler) -> tuple[Units, Units]:
        """:meth:`units_towards` for inputs, whose leverage is bounded.

        If the new mean and scale lie beyond the old reach, the network has seen them as logarithms,
        and has to keep doing so. A scale that has more than doubled counts as doubled (the scale of
        a counter doubles when its rows double): what was learned then lies in a small part of the
        new range, and says little about the rest.
        """
        old, _ = self.units_towards(new)
        centre = (new.mean - old.mean) / old.scale
        reach = new.scale / old.scale
        low, middle, high = (
            np.asarray(_core.bounded_leverage(z)) for z in (centre - reach, centre, centre + reach)
        )
        growth = np.minimum(0.5 * (high - low), MOST_GROWTH)
        return old, Units(old.mean + middle * old.scale, growth * old.scale)


def _or_one(count: Array) -> Array:
    """What to divide by: where nothing was counted, 1."""
    return np.where(count > 0, count, 1.0)


def _first(rows: Array, present: NDArray[np.bool_]) -> Array:
    """The first number of each column, 0 where there is none."""
    if not len(rows):
        return np.zeros(rows.shape[1])
    columns = np.arange(rows.shape[1])
    first = present.argmax(axis=0)
    return np.where(present[first, columns], rows[first, columns], 0.0)


def _as_float32(array: Array) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what overflows, the network refuses by name
        return np.ascontiguousarray(array, dtype=np.float32)
