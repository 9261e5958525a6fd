"""Arrays on the GPU by themselves: there and back, and lent by the DLPack protocol."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import numpy as np
import pytest
from dlpack import (
    Deleter,
    DLManagedTensor,
    DLManagedTensorVersioned,
    _python,
    capsule_name,
    network,
    on_host,
    tensor_of,
)
from helpers import needs_cuda

import tagix as tx

pytestmark = needs_cuda


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (0, 3), (2, 0)])
def test_an_array_goes_there_and_back(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    array = tx.cuda.Array(values)
    assert array.shape == shape and array.dtype == np.float32
    assert repr(array) == f"tagix.cuda.Array(shape={shape}, dtype=float32)"
    back = array.numpy()
    assert back.dtype == np.float32 and back.shape == shape and back.flags.writeable
    assert back.tobytes() == values.tobytes()
    if back.size > 0:
        back[...] = 0  # a copy
        assert array.numpy().tobytes() == values.tobytes()


def test_an_array_of_what_numpy_takes() -> None:
    np.testing.assert_array_equal(tx.cuda.Array([[1, 2], [3, 4]]).numpy(), [[1, 2], [3, 4]])
    strided = np.arange(12.0).reshape(3, 4)[:, ::2]
    np.testing.assert_array_equal(tx.cuda.Array(strided).numpy(), strided)
    for wrong in ("much", object(), [[1], [2, 3]]):
        with pytest.raises(TypeError, match=r"values: got .*needed an array of numbers"):
            tx.cuda.Array(wrong)


@pytest.mark.parametrize("max_version", [None, (0, 8), (1, 0), (1, 1), (2, 0)])
@pytest.mark.parametrize("stream", [None, 1, 2, -1, 2**40])
def test_what_an_array_lends(max_version: tuple[int, int] | None, stream: int | None) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    array = tx.cuda.Array(values)
    assert array.__dlpack_device__() == (2, 0)
    capsule = array.__dlpack__(stream=stream, max_version=max_version)
    versioned = max_version is not None and max_version[0] >= 1
    assert capsule_name(capsule) == ("dltensor_versioned" if versioned else "dltensor")
    tensor = tensor_of(capsule)
    assert (tensor.device.type, tensor.device.index) == (2, 0)
    assert (tensor.dtype.code, tensor.dtype.bits, tensor.dtype.lanes) == (2, 32, 1)
    assert tensor.ndim == 2 and tensor.shape[:2] == [2, 3] and tensor.strides[:2] == [3, 1]
    assert tensor.byte_offset == 0
    assert tensor.data == tensor_of(array.__dlpack__()).data  # no copy
    if versioned:
        pointer = _python.PyCapsule_GetPointer(capsule, b"dltensor_versioned")
        managed = ctypes.cast(pointer, ctypes.POINTER(DLManagedTensorVersioned)).contents
        assert (managed.major, managed.flags) == (1, 0)


def test_an_empty_array_lends_no_memory() -> None:
    tensor = tensor_of(tx.cuda.Array(np.zeros((0, 3))).__dlpack__())
    assert tensor.data is None and tensor.shape[:2] == [0, 3]


@pytest.mark.parametrize("max_version", [None, (1, 0)])
def test_copies_for_others(max_version: tuple[int, int] | None) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    array = tx.cuda.Array(values)
    there = array.__dlpack__(copy=True, max_version=max_version)
    assert tensor_of(there).data != tensor_of(array.__dlpack__()).data
    assert tensor_of(there).device.type == 2
    here = array.__dlpack__(dl_device=(1, 0), max_version=max_version)
    tensor = tensor_of(here)
    assert (tensor.device.type, tensor.device.index) == (1, 0)
    data = ctypes.cast(tensor.data, ctypes.POINTER(ctypes.c_float))
    np.testing.assert_array_equal(data[:6], values.ravel())
    if max_version is not None:
        for capsule in (here, there):
            pointer = _python.PyCapsule_GetPointer(capsule, b"dltensor_versioned")
            managed = ctypes.cast(pointer, ctypes.POINTER(DLManagedTensorVersioned)).contents
            assert managed.flags == 2


def test_numpy_takes_a_copy_if_asked_to() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    array: Any = tx.cuda.Array(values)
    try:
        copied = np.from_dlpack(array, device="cpu")
    except TypeError:
        pytest.skip("numpy before 2.1")
    del array
    gc.collect()
    np.testing.assert_array_equal(copied, values)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"stream": 0}, ValueError, "stream: got 0, needed None, -1, or"),
        ({"stream": -2}, ValueError, "stream: got -2, needed"),
        ({"stream": "first"}, TypeError, "stream: got 'first', needed an integer"),
        ({"dl_device": (2, 1)}, BufferError, r"dl_device: got \(2, 1\), needed \(2, 0\)"),
        ({"dl_device": (10, 0)}, BufferError, r"dl_device: got \(10, 0\)"),
        ({"dl_device": (1, 0), "stream": 1}, ValueError, "stream: needed None"),
        ({"dl_device": (1, 0), "copy": False}, BufferError, "copy: got False"),
        ({"copy": 1}, TypeError, "copy: got 1, needed True or False"),
    ],
)
def test_what_an_array_does_not_lend(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}"):
        tx.cuda.Array([1.0]).__dlpack__(**options)


@pytest.mark.parametrize("versioned", [False, True])
def test_lent_memory_outlives_the_array(versioned: bool) -> None:
    """Until the consumer calls the deleter, which may be long after."""
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    net, x = network(), tx.cuda.Array(values)
    expected = on_host(net(x))
    name = b"dltensor_versioned" if versioned else b"dltensor"
    capsule = x.__dlpack__(max_version=(1, 0) if versioned else None)
    pointer = _python.PyCapsule_GetPointer(capsule, name)
    _python.PyCapsule_SetName.argtypes = (ctypes.py_object, ctypes.c_char_p)
    used = b"used_" + name
    _python.PyCapsule_SetName(capsule, used)
    kind = DLManagedTensorVersioned if versioned else DLManagedTensor
    managed = ctypes.cast(pointer, ctypes.POINTER(kind)).contents
    del x, capsule
    others = [tx.cuda.Array(-values) for _ in range(20)]  # would use the memory if it were free

    class Consumer:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

        def __dlpack__(self, **options: Any) -> Any:
            view = DLManagedTensor(managed.tensor, None, Deleter())
            self.kept = view
            return _python.PyCapsule_New(ctypes.addressof(view), b"dltensor", None)

    for a, b in zip(on_host(net(Consumer())), expected, strict=True):
        assert a.tobytes() == b.tobytes()
    assert len(others) == 20
    managed.deleter(pointer)
