"""The inputs of a network: one array, or several by name, side by side in a row of data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix._arrays import as_count, as_float32, as_matrix

Float32 = NDArray[np.float32]

ARGUMENTS_OF_CALLS = ("self", "x_var", "variance")
"""What ``net(...)`` takes by keyword beside its inputs, which cannot have these names."""


class Inputs:
    """The shapes of a network's inputs, by name; empty if its layers fix them.

    Arrays of (rows, channels, ...) become rows with the channels of the first position first.
    """

    def __init__(self, inputs: Any = None, argument: str = "inputs") -> None:
        self.argument = argument
        self.is_named = isinstance(inputs, Mapping)
        self.shapes: dict[str, tuple[int, ...]] = {}
        if inputs is None:
            return
        named = inputs if isinstance(inputs, Mapping) else {"x": inputs}
        if not named:
            raise ValueError(f"{argument}: got no input, needed at least 1")
        for name, shape in named.items():
            if not isinstance(name, str) or not name.isidentifier() or name in ARGUMENTS_OF_CALLS:
                raise ValueError(
                    f"{argument}: got the name {name!r}, needed one that an argument may have, "
                    "other than x_var and variance"
                )
            if not isinstance(shape, (list, tuple)) or not shape:
                raise TypeError(
                    f"{argument}: got {shape!r}, needed a shape such as (features,) or "
                    "(channels, height, width)"
                )
            self.shapes[name] = tuple(as_count(argument, extent, least=1) for extent in shape)

    @property
    def as_given(self) -> Any:
        """What makes the same again."""
        if self.is_named:
            return dict(self.shapes)
        return self.shapes.get("x")

    @property
    def is_one(self) -> bool:
        """Whether the network takes one array."""
        return len(self.shapes) <= 1

    def rows(self, name: str, value: Any) -> Float32:
        """The inputs of a call as rows of data, (rows, all columns)."""
        if not self.shapes:  # the common case, for streams that are learned row by row
            return as_matrix(name, value)
        if not self.is_named or (self.is_one and not isinstance(value, Mapping)):
            return self._part(name, value, next(iter(self.shapes.values()), None))
        parts = self._parts(name, value)
        missing = [key for key in self.shapes if key not in parts]
        if missing:
            raise ValueError(f"{name}: got no input {missing[0]!r}, needed all of {self._names}")
        return np.concatenate([parts[key] for key in self.shapes], axis=1)

    def variances(self, name: str, value: Any, n_rows: int) -> Float32 | None:
        """The variances of inputs, like ``rows``; 0 for inputs that are not named."""
        if value is None:
            return None
        if not self.is_named or (self.is_one and not isinstance(value, Mapping)):
            return self._part(name, value, next(iter(self.shapes.values()), None))
        parts = self._parts(name, value)
        if not parts:
            return None
        n_given = len(next(iter(parts.values())))
        if n_given != n_rows:
            raise ValueError(f"{name}: got {n_given} rows, needed {n_rows} as in x")
        columns = [
            parts.get(key, np.zeros((n_rows, math.prod(shape)), np.float32))
            for key, shape in self.shapes.items()
        ]
        return np.concatenate(columns, axis=1)

    def split(self, values: Float32) -> Float32 | dict[str, Float32]:
        """Values for each column (the last axis), split by input if there are several."""
        if not self.is_named:
            return values
        ends = np.cumsum([math.prod(shape) for shape in self.shapes.values()])
        return dict(zip(self.shapes, np.split(values, ends[:-1], axis=-1), strict=True))

    @property
    def _names(self) -> str:
        return ", ".join(map(repr, self.shapes))

    def _parts(self, name: str, value: Any) -> dict[str, Float32]:
        """The arrays of a mapping as rows, all of one length."""
        if not isinstance(value, Mapping):
            raise TypeError(
                f"{name}: got a {type(value).__name__}, needed a dict of the inputs {self._names}"
            )
        unknown = [key for key in value if key not in self.shapes]
        if unknown:
            raise ValueError(f"{name}: got the input {unknown[0]!r}, needed {self._names}")
        parts = {key: self._part(key, value[key], self.shapes[key]) for key in value}
        lengths = {len(part) for part in parts.values()}
        if len(lengths) > 1:
            counts = ", ".join(f"{len(part)} of {key!r}" for key, part in parts.items())
            raise ValueError(f"{name}: got {counts} rows, needed as many of each")
        return parts

    @staticmethod
    def _part(name: str, value: Any, shape: tuple[int, ...] | None) -> Float32:
        if shape is None or len(shape) == 1:
            matrix = as_matrix(name, value)
            if shape is not None and matrix.shape[1] != shape[0]:
                raise ValueError(f"{name}: got {matrix.shape[1]} features, needed {shape[0]}")
            return matrix
        array = as_float32(name, value)
        if array.shape[1:] != shape:
            raise ValueError(
                f"{name}: got an array of shape {array.shape}, needed {('rows', *shape)}"
            )
        return np.ascontiguousarray(np.moveaxis(array, 1, -1)).reshape(len(array), -1)
