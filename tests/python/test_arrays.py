"""Every kind of array that users have, and what comes back."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import Array, same_bits, with_given_parameters

import tagix as tx
from tagix import nn
from tagix._classes import as_labels

# What these tests are about needs no more rows.
pytestmark = pytest.mark.filterwarnings("ignore:X. got . rows for . columns that vary:UserWarning")

# Integers from 0 on, so that every type holds them exactly.
X = (np.arange(12).reshape(4, 3) % 5).astype(np.float32)
Y = (np.arange(8).reshape(4, 2) % 3).astype(np.float32)


class OnlyDLPack:
    """An array that shows itself by the DLPack protocol alone, as those of other libraries do."""

    def __init__(self, values: Array) -> None:
        self._values = np.ascontiguousarray(values)

    def __dlpack__(self, **options: Any) -> Any:
        return self._values.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._values.__dlpack_device__()


class OnlyBuffer:
    """An array that offers the array interface of numpy alone."""

    def __init__(self, values: Array) -> None:
        self._values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(self._values, dtype)


def read_only(values: Array) -> Array:
    values = values.copy()
    values.flags.writeable = False
    return values


def torch_tensor(values: Array, dtype: str = "float32") -> Any:
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    return torch.as_tensor(np.ascontiguousarray(values)).to(getattr(torch, dtype))


def unaligned(values: Array) -> Array:
    memory = np.frombuffer(b"\0" + values.astype(np.float32).tobytes(), np.uint8)
    return memory[1:].view(np.float32).reshape(values.shape)


def strided(values: Array) -> Array:
    wide = np.full(tuple(2 * extent for extent in values.shape), 99, np.float32)
    view = wide[tuple(slice(None, None, 2) for _ in values.shape)]
    view[...] = values
    return view


KINDS: dict[str, Callable[[Array], Any]] = {
    "list": lambda v: v.tolist(),
    "tuple": lambda v: tuple(map(tuple, v.tolist())),
    "list of arrays": lambda v: list(v),
    "float64": lambda v: v.astype(np.float64),
    "float16": lambda v: v.astype(np.float16),
    "longdouble": lambda v: v.astype(np.longdouble),
    "int64": lambda v: v.astype(np.int64),
    "int8": lambda v: v.astype(np.int8),
    "uint8": lambda v: v.astype(np.uint8),
    "Fortran order": np.asfortranarray,
    "strided": strided,
    "reversed": lambda v: v[::-1].copy()[::-1],
    "transposed": lambda v: v.T.copy().T,
    "big endian": lambda v: v.astype(">f4"),
    "unaligned": unaligned,
    "read-only": read_only,
    "memoryview": lambda v: memoryview(v.copy()),
    "__array__": OnlyBuffer,
    "DLPack": OnlyDLPack,
    "torch": torch_tensor,
    "torch float64": lambda v: torch_tensor(v, "float64"),
    "torch int64": lambda v: torch_tensor(v, "int64"),
    "torch transposed": lambda v: torch_tensor(v.T).T,
}


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2), seed=0)


def all_calls(convert: Callable[[Array], Any]) -> list[Array]:
    """The results of every call that takes arrays, with each matrix converted."""
    net = network()
    results: list[Any] = [*net(convert(X)), *net(convert(X), convert(X))]
    results += net.update(convert(X), convert(Y), convert(1 + Y), convert(X))
    net.fit(
        convert(X),
        convert(Y),
        noise=convert(1 + Y),
        n_epochs=1,
        validation=(convert(X), convert(Y)),
        progress=False,
    )
    state = net.state_dict()
    results += state.values()
    net.load_state_dict({k: convert(v) if v.ndim == 2 else v for k, v in state.items()})
    results += net.state_dict().values()
    model = tx.DiffusionModel(3, hidden=(4,), n_steps=5, seed=0)
    model.fit(convert(X), n_epochs=1, progress=False)
    results += model.predict(convert(X), [1, 2, 3, 4])
    return results


@pytest.mark.parametrize("kind", KINDS)
def test_kind_of_array_does_not_matter(kind: str) -> None:
    def rounded(values: Array) -> Array:
        return np.round(np.abs(values)).astype(np.float32)

    expected = all_calls(rounded)
    actual = all_calls(lambda values: KINDS[kind](rounded(values)))
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == np.float32 and a.flags.c_contiguous
        assert a.tobytes() == e.tobytes()


def test_bool() -> None:
    net = network()
    np.testing.assert_array_equal(net(X > 1).mean, net((X > 1).astype(np.float32)).mean)


def test_array_module() -> None:
    """One dimension of the standard library, as targets of one output."""
    y = array.array("d", [0.0, 1.0, 2.0, 3.0])
    one, other = (nn.Sequential(nn.Linear(3, 1), seed=0) for _ in range(2))
    one.update(X, y, 1.0)
    other.update(X, np.array(y)[:, None], 1.0)
    assert same_bits(one.state_dict(), other.state_dict())


def test_dlpack_noise_and_timesteps() -> None:
    net, other = network(), network()
    net.update(X, OnlyDLPack(Y), OnlyDLPack(np.float32([1, 2])))
    other.update(X, Y, [1, 2])
    assert same_bits(net.state_dict(), other.state_dict())
    model = tx.DiffusionModel(3, hidden=(4,), n_steps=5, seed=0)
    t = np.array([1, 2, 3, 4])
    assert model.predict(X, OnlyDLPack(t)).mean.tobytes() == model.predict(X, t).mean.tobytes()


@pytest.mark.parametrize(
    "scalar", [2, 2.0, np.float32(2), np.float64(2), np.int64(2), np.array(2.0)]
)
def test_scalar_noise(scalar: Any) -> None:
    net, other = network(), network()
    net.update(X, Y, scalar)
    other.update(X, Y, np.full(Y.shape, 2.0))
    for key, value in other.state_dict().items():
        np.testing.assert_allclose(net.state_dict()[key], value, rtol=1e-6)


@pytest.mark.parametrize(
    "std", [[1.0, 2.0], (1, 2), np.array([1.0, 2.0]), np.float32([1, 2])], ids=repr
)
def test_sequences_of_std(std: Any) -> None:
    assert tx.Homoscedastic(std=std).std == [1.0, 2.0]


@pytest.mark.parametrize("std", [2, 2.0, np.float32(2), np.array(2.0), [2.0]], ids=repr)
def test_single_std(std: Any) -> None:
    assert tx.Homoscedastic(std=std).std == [2.0]


def test_std_from_torch() -> None:
    assert tx.Homoscedastic(std=torch_tensor(np.float32([1, 2]))).std == [1.0, 2.0]
    assert tx.Homoscedastic(std=torch_tensor(np.float32(2))).std == [2.0]


@pytest.mark.parametrize(
    "integer", [np.int64(3), np.uint8(3), np.array(3)], ids=lambda value: type(value).__name__
)
def test_numpy_integers_are_counts(integer: Any) -> None:
    net = nn.Sequential(nn.Linear(integer, 1), seed=integer)
    net.fit(X, Y[:, 0], noise=1.0, n_epochs=integer, batch_size=integer, progress=False)
    assert net.epochs_trained == 3
    model = tx.DiffusionModel(integer, hidden=[integer], n_steps=integer)
    assert with_given_parameters(model).sample(integer).x.shape == (3, 3)


def test_results_are_float32_and_own_their_memory() -> None:
    net = network()
    first = net(X)
    mean = first.mean.copy()
    net.update(X, Y, 1.0)
    net(X)
    np.testing.assert_array_equal(first.mean, mean)
    for result in (*first, *net.update(X, Y, 1.0)):
        assert result.dtype == np.float32 and result.flags.c_contiguous
        assert result.flags.writeable and result.flags.owndata


def test_arguments_are_not_written_to() -> None:
    x, y, noise = X.copy(), Y.copy(), 1 + Y
    net = network()
    net.update(x, y, noise, x_var=x)
    net.fit(x, y, noise=noise, n_epochs=1, progress=False)
    tx.DiffusionModel(3, hidden=(4,), n_steps=5).fit(x, n_epochs=1, progress=False)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(noise, 1 + Y)


def test_no_rows_predict_nothing() -> None:
    net = network()
    for x in (np.zeros((0, 3)), np.zeros((0, 3), np.float32)):
        for prediction in (net(x), net(x, x)):
            assert prediction.mean.shape == prediction.var.shape == (0, 2)
            assert prediction.mean.dtype == np.float32


def test_rounding_to_float32_is_to_nearest() -> None:
    net = nn.Sequential(nn.Identity(), seed=0)
    x = np.array([[1 / 3, 1e-40, 2**24 + 1]])
    np.testing.assert_array_equal(net(x).mean, x.astype(np.float32))


def test_unaligned_labels_are_copied() -> None:
    """The core reads them where they lie, and a processor may not."""
    labels = np.array([0, 1, -1, 1])
    raw = np.zeros(labels.nbytes + 1, np.uint8)
    shifted = raw[1:].view(labels.dtype)
    shifted[:] = labels
    for given in (labels, shifted):
        taken = as_labels("labels", given, 4, 2)
        assert taken.flags.aligned and taken.flags.c_contiguous
        np.testing.assert_array_equal(taken, labels)
