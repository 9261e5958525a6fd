"""Encoding of columns for networks: scores by rank, and ramps by bins.

A network of few layers is slow to learn the effect of a column within a small part of its range. So
a column z of a table is encoded as

    score   (z + q(z))/2, standardized, where q(z) = Phi^-1(share of the table below z): as the
            column is, and as it would be if it were Gaussian
    ramps   clip((z - e_k)/(e_k+1 - e_k), 0, 1) - mean, between neighbouring edges e_k: a
            piecewise-linear encoding (Gorishniy, Rubachev & Babenko, NeurIPS 2022)

Both are piecewise linear in z, so that their moments for a Gaussian z are closed forms
(math/piecewise_linear.h).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tagix import _core, nn
from tagix._rescaling import Units
from tagix.sklearn._files import take_array

if TYPE_CHECKING:
    from tagix.io import Record

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

MOST_BINS = 8
"""Ramps of a column of many values, between its quantiles."""
MOST_VALUES = 17
"""Distinct values of a column that has an edge at each of them instead."""
MOST_RAMPS = 256
"""Ramps of all columns together: of a wide table each has fewer, or none."""
MOST_KNOTS = 64
"""Values of a column at which its score is known; between them it is linear."""


@dataclass(frozen=True)
class Encoding:
    """Encodes standardized rows (rows, columns) as inputs of networks (rows, n_inputs).

    The first ``n_columns`` inputs are the columns, unchanged or as scores. Then come the ramps, and
    then columns that were added to the table later, unchanged.

    Attributes:
        n_columns: columns of the table that was encoded, indicators of missing values included.
        scores: float64 (3, n_scores): column, slope beyond the knots, number of knots.
        knots: float64 (2, all knots): where they are, and the values there.
        ramps: float64 (4, n_ramps): column, start, end, centre.
        is_mixed: whether every second network of a mixture sees no ramps.
    """

    n_columns: int
    scores: Array
    knots: Array
    ramps: Array
    is_mixed: bool = True

    @classmethod
    def of(cls, x: Float32, missing: NDArray[np.bool_], weight: Array | None = None) -> Encoding:
        """That of a table.

        Args:
            x: standardized rows (rows, columns).
            missing: of the same shape, true where a value is missing; true throughout for a column
                that is not to be encoded.
            weight: (rows,), weights of rows; None: equal weights.
        """
        scores, knots, ramps = [], [np.empty((2, 0))], [np.empty((4, 0))]
        for column in range(x.shape[1]):
            there = ~missing[:, column]
            z = x[there, column].astype(np.float64)
            values, place = np.unique(z, return_inverse=True)
            if len(values) < 2:
                continue
            share = np.bincount(place, None if weight is None else weight[there])
            share = share / share.sum()
            score, slope = _score(values, share)
            scores.append([column, slope, score.shape[1]])
            knots.append(score)
            edges = _edges(values, share, MOST_RAMPS // x.shape[1])
            start, end = edges[:-1], edges[1:]
            heights = np.clip((values[:, np.newaxis] - start) / (end - start), 0.0, 1.0)
            ramps.append(np.stack([np.full(len(start), column), start, end, share @ heights]))
        return cls(
            x.shape[1],
            np.array(scores, dtype=np.float64).reshape(-1, 3).T.copy(),
            np.hstack(knots),
            np.hstack(ramps),
        )

    @classmethod
    def of_one_unit(cls, x: Float32, varies: NDArray[np.bool_]) -> Encoding:
        """The encoding of a table whose columns are numbers of one kind: they stay unchanged.

        Those that ``varies`` are kept in their units.
        """
        columns = np.flatnonzero(varies)
        return cls(
            x.shape[1],
            np.array([columns, 0 * columns + 1, 0 * columns + 2], dtype=np.float64),
            np.tile([0.0, 1.0], (2, len(columns))),
            np.empty((4, 0)),
        )

    @cached_property
    def without_ramps(self) -> Encoding:
        """The same columns by their scores alone."""
        return replace(self, ramps=self.ramps[:, :0])

    def of_member(self, member: int) -> Encoding:
        """The encoding for the network of that number in a mixture: every second network has no
        ramps.

        Networks with ramps follow steps and kinks; networks without are better where the target is
        smooth. As their errors differ, the mean of both is often better than either.
        """
        return self.without_ramps if self.is_mixed and member % 2 else self

    def of_net(self, net: nn.Sequential, n_columns: int) -> Encoding:
        """What a network sees, by the number of its inputs, of rows of so many columns."""
        return self.without_ramps if n_inputs(net) == n_columns else self

    @property
    def encoded(self) -> NDArray[np.int64]:
        """The columns that are encoded; their units must not change."""
        return np.asarray(self.scores[0], dtype=np.int64)

    @property
    def n_added(self) -> int:
        """Inputs that there are besides the columns."""
        return int(self.ramps.shape[1])

    def inputs(self, x: Float32) -> Float32:
        """Of rows that are known."""
        inputs: Float32 = self._in_core.inputs(x)
        return inputs

    def moments(self, x: Float32, x_var: Float32 | None) -> tuple[Float32, Float32 | None]:
        """Means and variances of the inputs of rows that may be uncertain."""
        if x_var is None:
            return self.inputs(x), None
        inputs, var = self._in_core.moments(x, x_var)
        return inputs, var

    def pull_back(self, x: Float32, jacobian: Array) -> Array:
        """Derivatives by the columns (rows, outputs, columns) from those by the inputs."""
        n, n_added = self.n_columns, self.n_added
        by_inputs = jacobian * self._in_core.slopes(x)[:, np.newaxis]
        by_columns = np.delete(by_inputs, slice(n, n + n_added), axis=2)
        for input_, column in enumerate(self.ramps[0].astype(np.int64), start=n):
            by_columns[:, :, column] += by_inputs[:, :, input_]
        return by_columns

    def units(self, units: Units) -> Units:
        """The units of the inputs, from the units of the columns; ramps have no units."""
        n, nothing = self.n_columns, np.zeros(self.n_added)
        mean, scale = np.insert(units.mean, n, nothing), np.insert(units.scale, n, nothing + 1.0)
        return Units(mean, scale)

    def describe(self, tensors: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """For JSON; arrays go into ``tensors``."""
        for name in _ARRAYS:
            tensors[f"encoding.{name}"] = getattr(self, name)
        return {"n_columns": self.n_columns, "is_mixed": self.is_mixed}

    @classmethod
    def read(cls, record: Record, tensors: dict[str, NDArray[Any]]) -> Encoding:
        """What :meth:`describe` described; ValueError for anything else."""
        n_columns, is_mixed = record.count("n_columns"), record.flag("is_mixed")
        record.done()
        arrays = {
            name: take_array(tensors, f"encoding.{name}", (n_rows, None)).copy()
            for name, n_rows in _ARRAYS.items()
        }
        encoding = cls(n_columns, **arrays, is_mixed=is_mixed)
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("encoding: got NaN or infinity, needed finite numbers")
        columns, _, counts = encoding.scores
        whole = np.concatenate([columns, counts, encoding.ramps[0]])
        if (
            (whole % 1 != 0).any()
            or (np.abs(whole) > 2**31).any()
            or len(np.unique(columns)) < len(columns)
            or counts.sum() != encoding.knots.shape[1]
        ):
            raise ValueError("encoding: got numbers that are not scores and ramps of columns")
        encoding._in_core  # raises for what else is wrong  # noqa: B018
        return encoding

    @cached_property
    def _in_core(self) -> _core.Encoding:
        return _core.Encoding(self.n_columns, self.scores, self.knots, self.ramps)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made when it is asked for."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def n_inputs(net: nn.Sequential) -> int:
    """Inputs of a network that begins with a Linear; ValueError for another one."""
    layer = net.layers[0]
    if not isinstance(layer, nn.Linear):
        raise ValueError(f"networks: got {layer!r} first, needed a Linear")
    return int(layer.config["in_features"])


# Of a file, and their rows.
_ARRAYS = {"scores": 3, "knots": 2, "ramps": 4}


def _score(values: Array, share: Array) -> tuple[Array, float]:
    """Knots and values (2, n) of the score of a column, and the slope beyond them.

    Of its distinct values (n_values,) and how frequent each is.
    """
    rank = np.cumsum(share) - 0.5 * share
    normal = ndtri(np.clip(rank, 1e-12, 1.0 - 1e-12))
    kept = np.arange(len(values))
    if len(values) > MOST_KNOTS:
        wanted = np.linspace(normal[0], normal[-1], MOST_KNOTS)
        kept = np.unique(np.searchsorted(normal, wanted).clip(0, len(values) - 1))
    score = 0.5 * (values + np.interp(values, values[kept], normal[kept]))
    mean = share @ score
    std = float(np.sqrt(share @ (score - mean) ** 2))
    return np.stack([values[kept], (score[kept] - mean) / std]), 0.5 / std


def _edges(values: Array, share: Array, most_ramps: int) -> Array:
    """Where ramps of a column begin and end; one value where that would make less than two."""
    if len(values) <= min(MOST_VALUES, most_ramps + 1):
        return values
    n_bins = min(MOST_BINS, most_ramps)
    if n_bins < 2:
        return values[:1]
    rank, wanted = np.cumsum(share), np.linspace(0.0, 1.0, n_bins + 1)
    # Where a part ends between two values, its edge lies in the middle: gaps have no side.
    below, above = (np.searchsorted(rank, wanted + step) for step in (-1e-9, 1e-9))
    last = len(values) - 1
    middle = 0.5 * (values[np.minimum(below, last)] + values[np.minimum(above, last)])
    return np.unique(middle.astype(np.float32)).astype(np.float64)
