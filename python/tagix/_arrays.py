"""Conversion of what users pass to the arrays that the core takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_array(name: str, value: Any) -> NDArray[Any]:
    """``value`` as a numpy array: arrays, sequences, torch tensors, anything with DLPack.

    Raises TypeError, with the argument's name, for what is not an array of real numbers.
    """
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        try:
            array = np.from_dlpack(value)
        except Exception as error:
            raise TypeError(
                f"{name}: got a {type(value).__name__} that numpy cannot view ({error}), "
                "needed numbers in the memory of the CPU, without gradients"
            ) from error
    else:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise TypeError(f"{name}: got {_describe(value)}, needed an array ({error})") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: got {_describe(value)}, needed an array of real numbers")
    return array


def as_float32(name: str, value: Any) -> NDArray[np.float32]:
    """``value`` as a C-contiguous float32 array; numbers too large for float32 become infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(as_array(name, value), dtype=np.float32, order="C")


def as_matrix(name: str, value: Any) -> NDArray[np.float32]:
    """``value`` as a C-contiguous float32 array of two dimensions, else ValueError."""
    array = as_float32(name, value)
    if array.ndim != 2:
        raise ValueError(
            f"{name}: got an array of shape {array.shape}, needed two dimensions (rows, features)"
        )
    return array


def as_targets(
    name: str, value: Any, n_outputs: int
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """As :func:`as_matrix`, with the shape as given; for one output, one dimension will do."""
    array = as_float32(name, value)
    if array.ndim == 1 and n_outputs == 1:
        return array[:, np.newaxis], array.shape
    return as_matrix(name, array), array.shape


def as_timesteps(name: str, value: Any) -> NDArray[np.int64]:
    """``value`` as a C-contiguous int64 array of one dimension, else TypeError or ValueError."""
    array = as_array(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: got an array of {array.dtype}, needed integers")
    if array.ndim != 1:
        raise ValueError(
            f"{name}: got an array of shape {array.shape}, needed one dimension (rows,)"
        )
    return np.asarray(array, dtype=np.int64, order="C")


def as_count(name: str, value: int, *, least: int) -> int:
    """``value`` as an int of at least ``least``, else TypeError or ValueError."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: got {value!r}, needed an integer")
    count = int(value.__index__())
    if count < least:
        raise ValueError(f"{name}: got {count}, needed at least {least}")
    return count


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}"
