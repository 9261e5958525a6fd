"""Networks that take and give arrays on the GPU."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from dlpack import KINDS, Lender, X, Y, capsule_name, network, on_host
from helpers import in_threads, needs_cuda, regression_data, relative_error, same_bits, state_error

import tagix as tx
from tagix import nn

pytestmark = needs_cuda


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


def test_dimensions_of_one_may_have_any_stride() -> None:
    net = network()
    one = Lender(tx.cuda.Array(X[:1]), strides=(99, 1))
    np.testing.assert_array_equal(on_host(net(one))[0], net(X[:1]).mean)


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
