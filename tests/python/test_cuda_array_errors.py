"""Arrays on the GPU that networks refuse, and that leave them as they were."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from dlpack import KINDS, Lender, X, Y, network
from helpers import Array, needs_cuda, unchanged

import tagix as tx

pytestmark = needs_cuda


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


def change(values: Array, value: float) -> Array:
    changed: Array = values.copy()
    changed[2, 1] = value
    return changed


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
