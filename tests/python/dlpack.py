"""The DLPack protocol by ctypes: what capsules hold, and libraries that lend arrays on the GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from helpers import Array, regression_data

import tagix as tx
from tagix import _core, nn


class DLDevice(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("index", ctypes.c_int32))


class DLDataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", DLDevice),
        ("ndim", ctypes.c_int32),
        ("dtype", DLDataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class DLManagedTensor(ctypes.Structure):
    _fields_ = (("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", Deleter))


class DLManagedTensorVersioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", Deleter),
        ("flags", ctypes.c_uint64),
        ("tensor", DLTensor),
    )


_python = ctypes.pythonapi
_python.PyCapsule_New.restype = ctypes.py_object
_python.PyCapsule_New.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_python.PyCapsule_GetPointer.restype = ctypes.c_void_p
_python.PyCapsule_GetPointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
_python.PyCapsule_GetName.restype = ctypes.c_char_p
_python.PyCapsule_GetName.argtypes = (ctypes.py_object,)


def capsule_name(capsule: Any) -> str:
    """The name of a capsule, which says what it holds."""
    return str(_python.PyCapsule_GetName(capsule).decode())


def tensor_of(capsule: Any) -> DLTensor:
    """What a capsule lends; it stays unused, and lives as long as what is returned."""
    name = capsule_name(capsule)
    kind = DLManagedTensorVersioned if name.endswith("versioned") else DLManagedTensor
    pointer = _python.PyCapsule_GetPointer(capsule, name.encode())
    tensor: DLTensor = ctypes.cast(pointer, ctypes.POINTER(kind)).contents.tensor
    tensor.capsule = capsule
    return tensor


class Lender:
    """Lends the memory of an array as another library would, with any description of it.

    ``versioned`` says what the library knows: None is one from before versions, which refuses to be
    asked for one.
    """

    def __init__(
        self,
        array: _core.CudaArray,
        *,
        shape: tuple[int, ...] | None = None,
        strides: tuple[int, ...] | None = None,
        versioned: bool | None = True,
        dtype: tuple[int, int, int] = (2, 32, 1),
        device: tuple[int, int] = (2, 0),
        offset: int = 0,
        major: int = 1,
        deleter: bool = True,
    ) -> None:
        self.array = array
        self.versioned = versioned
        self.device = device
        self.streams: list[int] = []
        self.capsules: list[Any] = []
        self.n_lent = self.n_returned = 0
        capsule = array.__dlpack__()
        shape = array.shape if shape is None else shape
        self._kept: list[Any] = [(ctypes.c_int64 * len(shape))(*shape)]
        self._strides = None if strides is None else (ctypes.c_int64 * len(shape))(*strides)
        self._deleter = Deleter(self._take_back) if deleter else Deleter()
        self._tensor = DLTensor(
            tensor_of(capsule).data,
            DLDevice(*device),
            len(shape),
            DLDataType(*dtype),
            ctypes.cast(self._kept[0], ctypes.POINTER(ctypes.c_int64)),
            ctypes.cast(self._strides or 0, ctypes.POINTER(ctypes.c_int64)),
            offset,
        )
        self._major = major

    def _take_back(self, managed: int) -> None:
        self.n_returned += 1

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, **options: Any) -> Any:
        self.streams.append(options.pop("stream"))
        max_version = options.pop("max_version", None)
        assert not options
        if self.versioned is None and max_version is not None:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        self.n_lent += 1
        managed: ctypes.Structure
        if self.versioned:
            assert max_version is not None and max_version[0] == 1
            managed = DLManagedTensorVersioned(self._major, 0, None, self._deleter, 0, self._tensor)
            name = b"dltensor_versioned"
        else:
            managed, name = DLManagedTensor(self._tensor, None, self._deleter), b"dltensor"
        self._kept += [managed, name]  # a capsule does not copy its name
        self.capsules.append(_python.PyCapsule_New(ctypes.addressof(managed), name, None))
        return self.capsules[-1]


class OnlyDLPack:
    """A tagix.cuda.Array as it looks to those who know the protocol alone."""

    def __init__(self, array: _core.CudaArray) -> None:
        self._array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)


KINDS: dict[str, Callable[[Array], Any]] = {
    "tagix.cuda.Array": tx.cuda.Array,
    "DLPack": lambda v: OnlyDLPack(tx.cuda.Array(v)),
    "versioned": lambda v: Lender(tx.cuda.Array(v)),
    "not versioned": lambda v: Lender(tx.cuda.Array(v), versioned=False),
    "before versions": lambda v: Lender(tx.cuda.Array(v), versioned=None),
    "managed": lambda v: Lender(tx.cuda.Array(v), device=(13, 0)),
    "with strides": lambda v: Lender(tx.cuda.Array(v), strides=(v.shape[1], 1)),
    "with an offset": lambda v: Lender(
        tx.cuda.Array(np.concatenate([np.zeros(3), v.ravel()])), shape=v.shape, offset=12
    ),
    "without a deleter": lambda v: Lender(tx.cuda.Array(v), deleter=False),
}


def network(device: str = "cuda", n_outputs: int = 2) -> nn.Sequential:
    """A network for regression_data, with one or two of its outputs."""
    layers = nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, n_outputs)
    return nn.Sequential(*layers, seed=0, device=device)


def on_host(prediction: tx.Gaussian) -> list[Array]:
    """Mean and variance, from arrays on the GPU."""
    assert all(isinstance(array, tx.cuda.Array) for array in prediction)
    return [array.numpy() for array in prediction]  # type: ignore[attr-defined]


X, Y = regression_data(6)
