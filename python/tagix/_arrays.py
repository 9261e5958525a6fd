"""Conversion of users' arguments to what the core takes; every message names the argument."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

MOST = 2**63 - 1
"""The largest integer that the core takes."""


class SupportsDLPack(Protocol):
    """An array of any library, on any device, that others can view by the DLPack protocol."""

    def __dlpack__(self, *, stream: Any = None) -> Any:
        """A capsule with a description of the memory."""

    def __dlpack_device__(self) -> tuple[Any, Any]:
        """Type and index of the device."""


# Types of devices in DLPack; managed memory is that of the CPU and of the GPU at once.
_CUDA, _CUDA_MANAGED = 2, 13


def is_on_gpu(name: str, value: Any, device: str) -> bool:
    """Whether ``value`` is an array that a network on ``device`` takes in the memory of the GPU.

    Raises TypeError for an array on the GPU while the network is on the CPU.
    """
    device_type = _dlpack_device_type(value)
    if device == "cuda":
        return device_type in (_CUDA, _CUDA_MANAGED)
    if device_type == _CUDA:
        raise TypeError(
            f"{name}: got an array on device cuda, needed one on the CPU, where the network is: "
            "net.to('cuda') takes it to the GPU"
        )
    return False


def refuse_gpu(call: str, **arrays: Any) -> None:
    """TypeError, with the argument's name, for an array in the memory of the GPU."""
    for name, value in arrays.items():
        if _dlpack_device_type(value) == _CUDA:
            raise TypeError(
                f"{name}: got an array on device cuda, needed one on the CPU: {call} takes data to "
                "the GPU by itself, once"
            )


def like(value: Any, array: Any) -> Any:
    """A :class:`tagix.cuda.Array` as an array of the library that ``value`` is from.

    Returns the array itself unless ``value`` is from PyTorch or CuPy; nothing is copied.
    """
    for base in type(value).__mro__:
        root = base.__module__.partition(".")[0]
        if root in ("torch", "cupy") and root in sys.modules:
            return sys.modules[root].from_dlpack(array)
    return array


def _dlpack_device_type(value: Any) -> int | None:
    """Where DLPack says that an array is; None for what does not say."""
    if type(value) is np.ndarray or not hasattr(value, "__dlpack_device__"):
        return None
    try:
        return int(value.__dlpack_device__()[0])
    except Exception:  # of a class in place of an array, or of a library: as_array will tell
        return None


def as_array(name: str, value: Any) -> NDArray[Any]:
    """``value`` as a numpy array: arrays, sequences, torch tensors, anything with DLPack.

    Raises TypeError, with the argument's name, for anything but an array of real numbers.
    """
    if _dlpack_device_type(value) == _CUDA:
        raise TypeError(f"{name}: got an array on device cuda, needed one on the CPU")
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
    """``value`` as a C-contiguous, aligned float32 array; numbers too large become infinite."""
    # The common case, for streams that are learned row by row: it saves microseconds a call.
    if type(value) is np.ndarray and value.dtype == np.float32:
        flags = value.flags
        if flags.c_contiguous and flags.aligned:
            return value
    with np.errstate(over="ignore"):
        return np.require(as_array(name, value), np.float32, ["C", "A"])


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
    """As :func:`as_matrix`, but keeps the given shape; for one output, one dimension is enough."""
    array = as_float32(name, value)
    if array.ndim == 1 and n_outputs == 1:
        return array[:, np.newaxis], array.shape
    return as_matrix(name, array), array.shape


def as_timesteps(name: str, value: Any, n_rows: int, n_steps: int) -> NDArray[np.float64]:
    """Timesteps of rows, each 0 or in [1, n_steps - 1], as float64 (n_rows,).

    Raises ValueError for other shapes and timesteps, TypeError for anything but an array of
    numbers.
    """
    array = as_array(name, value)
    if array.dtype.kind == "b":
        raise TypeError(f"{name}: got an array of bool, needed numbers")
    if array.shape != (n_rows,):
        raise ValueError(f"{name}: got shape {array.shape}, needed ({n_rows},), one for each row")
    steps = array.astype(np.float64)
    wrong = np.flatnonzero(~((steps == 0) | ((steps >= 1) & (steps <= n_steps - 1))))
    if wrong.size:
        raise ValueError(
            f"{name}: got {array[wrong[0]]} at position {wrong[0]}, needed timesteps in "
            f"[1, {n_steps - 1}], or 0"
        )
    return steps


def as_points(name: str, value: Any, n_features: int | None = None) -> NDArray[np.float64]:
    """``value`` as a float64 array (n, n_features) of finite numbers with n >= 1.

    Raises TypeError for anything but an array of numbers, ValueError for another shape, NaN or
    infinity. Without ``n_features``, any number of columns from 1 on is accepted.
    """
    array = np.asarray(as_array(name, value), dtype=np.float64)
    if array.ndim != 2 or array.size == 0 or n_features not in (None, array.shape[1]):
        needed = "n_features" if n_features is None else n_features
        raise ValueError(
            f"{name}: got shape {array.shape}, needed (n, {needed}) with at least one row"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: got NaN or infinity, needed finite numbers")
    return array


def as_count(name: str, value: Any, *, least: int, most: int = MOST) -> int:
    """``value`` as an int from ``least`` to ``most``, else TypeError or ValueError."""
    try:
        # numpy arrays have __index__, too, but only those of one integer can be called.
        count = None if isinstance(value, bool) else int(value.__index__())
    except (AttributeError, TypeError, ValueError):
        count = None
    if count is None:
        raise TypeError(f"{name}: got {value!r}, needed an integer")
    if count < least:
        raise ValueError(f"{name}: got {count}, needed at least {least}")
    if count > most:
        raise ValueError(f"{name}: got {count}, needed at most {most}")
    return count


def as_number(name: str, value: Any) -> float:
    """``value`` as a float, NaN and infinity included, else TypeError."""
    try:
        if not isinstance(value, (str, bytes)):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"{name}: got {value!r}, needed a number")


def as_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """``value`` if it is one of some strings, else TypeError or ValueError."""
    needed = f"one of {', '.join(map(repr, choices))}"
    if not isinstance(value, str):
        raise TypeError(f"{name}: got {value!r}, needed {needed}")
    if value not in choices:
        raise ValueError(f"{name}: got {value!r}, needed {needed}")
    return value


def as_flag(name: str, value: Any) -> bool:
    """``value`` as a bool if it is one of Python's or numpy's, else TypeError."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: got {value!r}, needed True or False")
    return bool(value)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}"
