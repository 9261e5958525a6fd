"""Arrays on the GPU, in and out, by the DLPack protocol."""

from __future__ import annotations

import ctypes
import gc
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import (
    Array,
    in_threads,
    needs_cuda,
    regression_data,
    relative_error,
    same_bits,
    state_error,
    unchanged,
)

import tagix as tx
from tagix import _core, nn

pytestmark = needs_cuda


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
    layers = nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, n_outputs)
    return nn.Sequential(*layers, seed=0, device=device)


def on_host(prediction: tx.Gaussian) -> list[Array]:
    assert all(isinstance(array, tx.cuda.Array) for array in prediction)
    return [array.numpy() for array in prediction]  # type: ignore[attr-defined]


# An array by itself.


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


# Networks.


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_from_the_gpu_stays_there(kind: str) -> None:
    x, y = regression_data(20)
    convert = KINDS[kind]
    net, expected = network(), network()
    for a, b in zip(on_host(net(convert(x))), expected(x), strict=True):
        assert a.tobytes() == b.tobytes()
    x_var = np.full_like(x, 0.1)
    for a, b in zip(on_host(net(convert(x), convert(x_var))), expected(x, x_var), strict=True):
        assert a.tobytes() == b.tobytes()
    y[3, 1] = np.nan
    noise = np.random.default_rng(0).uniform(0.1, 0.3, y.shape).astype(np.float32)
    before = on_host(net.update(convert(x), convert(y), convert(noise), convert(x_var)))
    for a, b in zip(before, expected.update(x, y, noise, x_var), strict=True):
        assert a.tobytes() == b.tobytes()
    assert same_bits(net.state_dict(), expected.state_dict())


@pytest.mark.parametrize("versioned", [False, True, None])
def test_memory_is_lent_for_a_call(versioned: bool | None) -> None:
    x, y = regression_data(8)
    net = network()
    lender = Lender(tx.cuda.Array(x), versioned=versioned)
    net(lender)
    net.update(lender, y, 0.25)
    assert (lender.n_lent, lender.n_returned) == (2, 2)
    name = "used_dltensor_versioned" if versioned else "used_dltensor"
    assert [capsule_name(capsule) for capsule in lender.capsules] == [name, name]
    lender = Lender(tx.cuda.Array(x[:, :2].copy()), versioned=versioned)
    with pytest.raises(ValueError, match="x: got 2 features, needed 3"):
        net(lender)
    gc.collect()
    assert (lender.n_lent, lender.n_returned) == (1, 1)


def test_the_lender_hears_which_stream_is_to_wait() -> None:
    x, _ = regression_data(4)
    lender, other = Lender(tx.cuda.Array(x)), Lender(tx.cuda.Array(x))
    net = network()
    for _ in range(3):
        net(lender)
    assert len(set(lender.streams)) == 1 and lender.streams[0] > 2
    in_threads([lambda: net(other)])
    assert other.streams[0] != lender.streams[0]


def test_arguments_of_an_update_may_lie_anywhere() -> None:
    x, y = regression_data(12)
    expected = network()
    expected.update(x, y, [0.1, 0.2], x * x)
    for y_there in (False, True):
        for noise_there in (False, True):
            net = network()
            net.update(
                tx.cuda.Array(x),
                tx.cuda.Array(y) if y_there else y.tolist(),
                tx.cuda.Array([0.1, 0.2]) if noise_there else [0.1, 0.2],
                x * x,
            )
            assert same_bits(net.state_dict(), expected.state_dict())


def test_with_x_on_the_cpu_all_else_is_there() -> None:
    net, there = network(), tx.cuda.Array(X)
    calls: dict[str, Callable[[], object]] = {
        "x_var": lambda: net(X, there),
        "y": lambda: net.update(X, tx.cuda.Array(Y), 0.25),
        "noise": lambda: net.update(X, Y, tx.cuda.Array(Y)),
    }
    for name, call in calls.items():
        with (
            unchanged(net),
            pytest.raises(TypeError, match=rf"^{name}: got an array on device cuda, needed .*CPU"),
        ):
            call()


def test_one_output_takes_targets_of_one_dimension() -> None:
    x, y = regression_data(12)
    y = y[:, 0]
    for noise in (0.25, tx.Homoscedastic(0.5), np.full(12, 0.25, np.float32)):
        net, expected = network(n_outputs=1), network(n_outputs=1)
        net.update(tx.cuda.Array(x), tx.cuda.Array(y), noise)
        expected.update(x, y, noise)
        assert same_bits(net.state_dict(), expected.state_dict())


def test_no_rows_predict_nothing() -> None:
    prediction = network()(tx.cuda.Array(np.zeros((0, 3))))
    assert all(array.shape == (0, 2) for array in on_host(prediction))


def test_predictions_are_inputs() -> None:
    """Of another network, with their variances, and nothing leaves the GPU."""
    x, _ = regression_data(10)
    first = network()
    second = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), seed=1, device="cuda")
    result = on_host(second(*first(tx.cuda.Array(x))))
    for a, b in zip(result, second(*first(x)), strict=True):
        assert a.tobytes() == b.tobytes()


def test_updates_are_those_of_the_cpu() -> None:
    x, y = regression_data(60)
    net, expected = network(), network("cpu")
    for first in range(0, 60, 12):
        rows = slice(first, first + 12)
        net.update(tx.cuda.Array(x[rows]), tx.cuda.Array(y[rows]), 0.25)
        expected.update(x[rows], y[rows], 0.25)
    assert state_error(net.state_dict(), expected.state_dict()) <= 1e-5
    for a, b in zip(on_host(net(tx.cuda.Array(x))), expected(x), strict=True):
        assert relative_error(a, b) <= 1e-5


def test_user_activations() -> None:
    x, y = regression_data(10)
    layers = nn.Linear(3, 8), nn.Activation(np.sin, np.cos), nn.Linear(8, 2)
    net, expected = (nn.Sequential(*layers, seed=0, device="cuda") for _ in range(2))
    net.update(tx.cuda.Array(x), tx.cuda.Array(y), 0.25)
    expected.update(x, y, 0.25)
    assert same_bits(net.state_dict(), expected.state_dict())


def test_results_own_their_memory() -> None:
    x, y = regression_data(10)
    net, there = network(), tx.cuda.Array(x)
    first = net(there)
    mean = first.mean.numpy()  # type: ignore[attr-defined]
    net.update(there, y, 0.25)
    net(there)
    np.testing.assert_array_equal(first.mean.numpy(), mean)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(there.numpy(), x)


def test_predictions_in_threads() -> None:
    x, y = regression_data(16)
    net = network()
    there = tx.cuda.Array(x)
    expected = on_host(net(there))

    def predict() -> None:
        for _ in range(5):
            results = on_host(net(there))
            assert all(a.tobytes() == b.tobytes() for a, b in zip(results, expected, strict=True))

    def update_another() -> None:
        other = network()
        for _ in range(5):
            other.update(there, y, 0.25)

    in_threads([predict, predict, update_another])


def change(values: Array, value: float) -> Array:
    changed: Array = values.copy()
    changed[2, 1] = value
    return changed


X, Y = regression_data(6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": change(X, np.nan)}, "x: got nan at flat position 7, needed finite"),
        ({"x": change(X, -np.inf)}, "x: got -inf at flat position 7, needed finite"),
        ({"x": 1e30 * X}, "x: the prediction overflows float32"),
        ({"x": X[:, :2]}, "x: got 2 features, needed 3"),
        ({"x": X[0]}, r"x: got an array of shape \(3,\), needed two dimensions"),
        ({"x_var": -np.ones_like(X)}, "x_var: got -1 at flat position 0, needed finite variances"),
        ({"x_var": change(X * X, np.nan)}, "x_var: got nan at flat position 7"),
        ({"x_var": np.ones((5, 3))}, r"x_var: got an array of shape \(5, 3\), needed \(6, 3\)"),
        (
            {"y": change(Y, np.inf)},
            "y: got inf at flat position 5, needed finite float32 values, or",
        ),
        ({"y": np.zeros((6, 3))}, r"y: got an array of shape \(6, 3\), needed \(6, 2\)"),
        ({"y": np.zeros((5, 2))}, r"y: got an array of shape \(5, 2\), needed \(6, 2\)"),
        ({"y": np.zeros(6)}, r"y: got an array of shape \(6,\), needed \(6, 2\)"),
        ({"y": np.full((6, 2), 1e38), "noise": 1e-8}, "y: the innovations overflow float32"),
        ({"noise": 0.0}, "noise: got 0 at flat position 0, needed finite values above 0"),
        ({"noise": tx.Homoscedastic([1, 1, 1])}, "noise: got 3 standard deviations, needed 1"),
        ({"noise": np.ones(3)}, r"noise: got variances of shape \(3,\), needed"),
    ],
)
@pytest.mark.parametrize("kind", ["tagix.cuda.Array", "versioned"])
def test_bad_values_leave_the_network(kind: str, arguments: dict[str, Any], message: str) -> None:
    net = network()
    given: dict[str, Any] = {"x": X, "y": Y, "noise": 0.25, **arguments}
    given = {
        name: KINDS[kind](np.float32(value)) if isinstance(value, np.ndarray) else value
        for name, value in given.items()
    }
    with unchanged(net), pytest.raises(ValueError, match=f"^{message}"):
        net.update(**given)
    if "overflow" not in message and not {"y", "noise"} & set(arguments):
        with pytest.raises(ValueError, match=f"^{message}"):
            net(given["x"], given.get("x_var"))


def test_no_rows_to_learn_from() -> None:
    net = network()
    with unchanged(net), pytest.raises(ValueError, match="x: got 0 rows, needed at least 1"):
        net.update(tx.cuda.Array(np.zeros((0, 3))), tx.cuda.Array(np.zeros((0, 2))), 1.0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dtype": (2, 64, 1)}, TypeError, "got an array of float64 on the GPU, needed float32"),
        ({"dtype": (0, 32, 1)}, TypeError, "got an array of int32 on the GPU"),
        ({"dtype": (4, 16, 1)}, TypeError, "got an array of bfloat16 on the GPU"),
        ({"dtype": (6, 8, 1)}, TypeError, "got an array of bool on the GPU"),
        ({"dtype": (2, 32, 2)}, TypeError, "got an array of float32 x 2 on the GPU"),
        ({"strides": (1, 6)}, ValueError, r"got an array of shape \(6, 3\) with gaps or another"),
        ({"strides": (4, 1)}, ValueError, r"got an array of shape \(6, 3\) with gaps or another"),
        ({"device": (2, 1)}, ValueError, r"got an array on device \(2, 1\) of DLPack, needed"),
        ({"major": 2}, ValueError, "got version 2 of DLPack, needed 1"),
    ],
)
def test_arrays_of_another_kind(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    net, lender = network(), Lender(tx.cuda.Array(X), **options)
    calls: dict[str, Callable[[], object]] = {
        "x": lambda: net(lender),
        "x_var": lambda: net(tx.cuda.Array(X), lender),
        "y": lambda: net.update(tx.cuda.Array(X), lender, 1.0),
        "noise": lambda: net.update(tx.cuda.Array(X), Y, lender),
    }
    for name, call in calls.items():
        with unchanged(net), pytest.raises(error, match=f"^{name}: {message}"):
            call()
    gc.collect()
    assert lender.n_returned == lender.n_lent


def test_dimensions_of_one_may_have_any_stride() -> None:
    net = network()
    one = Lender(tx.cuda.Array(X[:1]), strides=(99, 1))
    np.testing.assert_array_equal(on_host(net(one))[0], net(X[:1]).mean)


@pytest.mark.parametrize("error", [BufferError, RuntimeError, TypeError, ValueError])
def test_a_lender_that_refuses(error: type[Exception]) -> None:
    class Refuses:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

        def __dlpack__(self, **options: Any) -> Any:
            raise error("not with gradients")

    message = r"^x: got a Refuses that cannot be viewed \(not with gradients\), needed numbers"
    with pytest.raises(TypeError, match=message):
        network()(Refuses())


def test_a_lender_of_no_capsule() -> None:
    class Empty:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

        def __dlpack__(self, **options: Any) -> Any:
            return 3

    with pytest.raises(TypeError, match=r"^x: got .*Empty object.*, needed an object whose"):
        network()(Empty())


@pytest.mark.parametrize("per_target", [False, True])
def test_fit_on_rows_that_are_on_the_gpu(per_target: bool) -> None:
    noise: Any = np.linspace(0.1, 0.5, Y.size).reshape(Y.shape) if per_target else 0.25
    states = []
    for take in (np.asarray, tx.cuda.Array):
        net = network()
        history = net.fit(
            take(X),
            take(Y),
            noise=noise,
            n_epochs=3,
            batch_size=5,
            progress=False,
            validation=(X, Y),
        )
        assert len(history.train_mse) == len(history.validation_mse) == 3
        states.append(net.state_dict())
    assert same_bits(*states)


def test_fit_checks_rows_that_are_on_the_gpu() -> None:
    net = network()
    for bad in (np.nan, np.inf):
        x = X.copy()
        x[1, 0] = bad
        with unchanged(net), pytest.raises(ValueError, match=r"^x: got NaN or an infinite value"):
            net.fit(tx.cuda.Array(x), Y, noise=0.25, progress=False)
    y = Y.copy()
    y[2, 0] = np.inf
    with unchanged(net), pytest.raises(ValueError, match=r"^y: .*overflow float32"):
        net.fit(tx.cuda.Array(X), tx.cuda.Array(y), noise=0.25, progress=False)
    with unchanged(net), pytest.raises(ValueError, match=r"^y: got an array of shape"):
        net.fit(tx.cuda.Array(X), tx.cuda.Array(Y[1:]), noise=0.25, progress=False)
    with unchanged(net), pytest.raises(TypeError, match=r"^validation x: .*needed one on the CPU"):
        net.fit(X, Y, noise=0.25, validation=(tx.cuda.Array(X), Y), progress=False)


def test_what_fit_takes_from_the_cpu() -> None:
    net, model = network(), tx.DiffusionModel(3, (8,), 4, seed=0, device="cuda")
    there: Any = tx.cuda.Array(X)
    message = "needed one on the CPU: fit takes data to the GPU by itself, once"
    with unchanged(net), pytest.raises(TypeError, match=f"^y: .*{message}"):
        net.fit(X, tx.cuda.Array(Y), noise=0.25)  # type: ignore[arg-type]
    with unchanged(model.net), pytest.raises(TypeError, match=f"^X: .*{message}"):
        model.fit(there)


def test_a_standard_deviation_needs_arithmetic() -> None:
    with pytest.raises(TypeError):
        _ = network()(tx.cuda.Array(X)).std


# Libraries whose arrays go in and come out.


def test_arrays_of_a_library_come_out_as_they_went_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for CuPy, and a class that somebody has derived from its array."""

    class ndarray(OnlyDLPack):
        __module__ = "cupy._core.core"

    class Mine(ndarray):
        __module__ = "tests"

    library: Any = types.ModuleType("cupy")
    library.from_dlpack = ndarray
    monkeypatch.setitem(sys.modules, "cupy", library)
    net, expected = network(), network()
    for kind in (ndarray, Mine):
        mean, var = net(kind(tx.cuda.Array(X)))
        assert type(mean) is type(var) is ndarray
        np.testing.assert_array_equal(mean._array.numpy(), expected(X).mean)
        before = net.update(kind(tx.cuda.Array(X)), Y, 0.25)
        assert type(before.mean) is ndarray
        expected.update(X, Y, 0.25)
    mean = net(ndarray(tx.cuda.Array(X)), ndarray(tx.cuda.Array(X * X))).mean
    np.testing.assert_array_equal(mean._array.numpy(), expected(X, X * X).mean)  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, "cupy")
    assert isinstance(net(ndarray(tx.cuda.Array(X))).mean, tx.cuda.Array)


def test_torch_tensors_on_the_cpu_come_out_as_numpy_arrays() -> None:
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    net, expected = network(), network()
    assert net(torch.as_tensor(X)).mean.tobytes() == expected(X).mean.tobytes()
    net.update(torch.as_tensor(X), torch.as_tensor(Y), 0.25)
    expected.update(X, Y, 0.25)
    assert same_bits(net.state_dict(), expected.state_dict())
    net.update(tx.cuda.Array(X), torch.as_tensor(Y), torch.as_tensor(Y * Y + 1))
    expected.update(X, Y, Y * Y + 1)
    assert same_bits(net.state_dict(), expected.state_dict())


def test_torch_tensors_on_the_gpu_come_out_as_such() -> None:
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch has no GPU")
    net, expected = network(), network()
    x, y = torch.as_tensor(X, device="cuda"), torch.as_tensor(Y, device="cuda")
    for stream in (torch.cuda.current_stream(), torch.cuda.Stream()):
        with torch.cuda.stream(stream):
            for _ in range(20):  # memory is used again while the stream is at work
                doubled = 2 * (x + torch.zeros((6, 3), device="cuda"))
                mean: Any
                mean, var = net(doubled / 2)
                assert mean.is_cuda and mean.dtype == torch.float32 and mean.shape == (6, 2)
                total = mean + torch.sqrt(var)
                del mean, var
            reference = expected(X)
            np.testing.assert_array_equal(
                total.cpu().numpy(), reference.mean + np.sqrt(reference.var)
            )
            before = net.update(x, y, 0.25)
            assert torch.equal(before.std, torch.sqrt(before.var))
            expected.update(X, Y, 0.25)
            assert same_bits(net.state_dict(), expected.state_dict())
    with pytest.raises(TypeError, match=r"x: got an array of float64 on the GPU"):
        net(x.double())
    with pytest.raises(ValueError, match="C-contiguous"):
        net(torch.cat([x, x], dim=1)[:, :3])
    with pytest.raises(TypeError, match="without gradients"):
        net(x.requires_grad_())
