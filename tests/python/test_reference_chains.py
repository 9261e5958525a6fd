"""Variances along a reverse chain: by hand, by differences and by the library's own recursion."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from helpers import Array

pytest.importorskip("torch", reason="needs the torch extra")

import torch

import tagix as tx
from tagix import nn, reference
from tagix.reference import adjoint

# What these tests are about needs no more rows.
pytestmark = pytest.mark.filterwarnings("ignore:X. got . rows for . columns that vary:UserWarning")


def model(
    hidden: tuple[int, ...], var: float, n_steps: int = 8, **options: Any
) -> tx.DiffusionModel:
    """Untrained, in units of its own, with every parameter of that variance."""
    settings = {"prediction_type": "epsilon"} | options
    made = tx.DiffusionModel(2, hidden=hidden, n_steps=n_steps, seed=3, **settings)
    made.fit([[0.0, 1.0], [4.0, 3.0]], n_epochs=1, progress=False)  # scale 2 and 1
    state = made.net.state_dict()
    made.net.load_state_dict(
        {key: 0 * value + var if key.endswith("var") else value for key, value in state.items()}
    )
    return made


def trajectory(made: tx.DiffusionModel, n_samples: int) -> Array:
    samples = made.sample(n_samples, seed=1, trajectory=True)
    assert samples.trajectory is not None
    return samples.trajectory


def test_published_recursion_by_hand() -> None:
    made = model((), 0.0)
    state = made.net.state_dict()
    state["0.bias.var"][:] = [0.3, 0.1]  # Var eps at every x and t
    made.net.load_state_dict(state)
    for limit in (0.2, 1e9):
        expected = np.zeros(2)
        for t in range(7, 0, -1):
            alpha = made.alpha_bar[t] / made.alpha_bar[t - 1]
            coefficient = (1 - alpha) / math.sqrt(1 - alpha)
            expected = np.minimum((expected + coefficient**2 * np.array([0.3, 0.1])) / alpha, limit)
        got = reference.published_var(made, trajectory(made, 5), limit)
        np.testing.assert_allclose(got, np.tile(expected * [4, 1], (5, 1)), rtol=1e-5)


def test_fixed_weights_by_differences() -> None:
    """With variances that change no mean, every parameter moves the chain's end on its own."""
    made = model((3,), 1e-12)
    chains = trajectory(made, 4)
    state = {key: value.astype(np.float64) for key, value in made.net.state_dict().items()}
    net = reference.Sequential(
        reference.Linear(7, 3), reference.ReLU(), reference.Linear(3, 2), seed=0
    )
    scale, shift = made.scale.astype(np.float64), made.shift.astype(np.float64)
    noise: dict[int, Array] = {}

    def run(state: dict[str, Array]) -> Array:
        """The end of the chain; the first run finds the sampler's noise."""
        net.load_state_dict(state)
        known = bool(noise)
        x = (chains[0] - shift) / scale
        for position, t in enumerate(range(7, 0, -1)):
            signal = made.alpha_bar[t]
            alpha = signal / made.alpha_bar[t - 1]
            features = np.tile(reference.time_features("cosine", np.array([t]), 8), (4, 1))
            eps = net(np.hstack([x, features])).mean
            x = (x - (1 - alpha) / math.sqrt(1 - signal) * eps) / math.sqrt(alpha)
            if not known:
                noise[t] = (chains[position + 1] - shift) / scale - x
            x = x + noise[t]
        return x

    run(state)
    expected, step = np.zeros((4, 2, 2)), 1e-6
    for key in [key for key in state if key.endswith("mean")]:
        for index in np.ndindex(state[key].shape):
            ends = []
            for sign in (-1, 1):
                moved = state | {key: state[key].copy()}
                moved[key][index] += sign * step
                ends.append(run(moved))
            slope = (ends[1] - ends[0]) / (2 * step) * scale
            expected += 1e-12 * slope[:, :, None] * slope[:, None, :]
    got = reference.fixed_covariance(made, chains)
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("redraw", ["weights", "outputs"])
def test_redrawn_chains_are_what_the_library_says(redraw: Any) -> None:
    """A linear network of small variances: the library's recursion is exact there."""
    made = model((), 1e-4)
    samples = made.sample(20, seed=1, trajectory=True, uncertainty=True)
    assert samples.trajectory is not None and samples.epistemic is not None
    got = reference.redrawn_covariance(made, samples.trajectory, 800, redraw=redraw)
    # An estimate by n chains is off by sqrt(2 / n), 5 %.
    for i, j in ((0, 0), (1, 1)):
        np.testing.assert_allclose(got[:, i, j], samples.epistemic[:, i, j], rtol=0.2)
    ratio = np.trace(got, axis1=1, axis2=2) / np.trace(samples.epistemic, axis1=1, axis2=2)
    assert ratio.mean() == pytest.approx(1, abs=0.1)
    few = [
        reference.redrawn_covariance(made, samples.trajectory, 20, redraw=redraw) for _ in range(2)
    ]
    np.testing.assert_array_equal(*few)


def test_correlated_hidden_units_against_weight_draws() -> None:
    """Two layers of positive pre-activations, where the network is a product of two affine maps."""
    made = model((4,), 1e-4)
    state = made.net.state_dict()
    state["0.bias.mean"][:] = 50.0  # no unit is ever off
    state["0.weight.var"][:] = 0.04  # and the hidden units vary with a common input, but far less
    state["2.weight.mean"][:] = [[1, 1, 1, 1], [1, -1, 1, -1]]
    made.net.load_state_dict(state)
    x, t = np.array([[0.3, -1.0], [2.0, 1.0]]), np.array([3, 6])
    drawn = np.stack([made.draw(i).predict(x, t).mean for i in range(4000)]).astype(np.float64)
    got = reference.prediction_covariance(made, x, t)
    for row in range(2):
        expected = np.cov(drawn[:, row].T)
        np.testing.assert_allclose(got[row], expected, atol=0.1 * np.trace(expected))


def test_a_deep_prediction_to_first_order() -> None:
    """By small variances of all parameters: W = d eps/d theta diag(var) (d eps/d theta)^T."""
    made = model((5, 5), 1e-7)
    chains = (trajectory(made, 6) - made.shift) / made.scale
    x, t = chains[2], np.full(6, 5)
    drawn = np.stack([made.draw(i).predict(x, t).mean for i in range(3000)]).astype(np.float64)
    got = reference.prediction_covariance(made, x, t)
    expected = np.stack([np.cov(drawn[:, row].T) for row in range(6)])
    trace = np.trace(expected, axis1=1, axis2=2)
    np.testing.assert_allclose(
        got / trace[:, None, None], expected / trace[:, None, None], atol=0.1
    )
    # A chain of two timesteps has one step, from x without uncertainty: S = c2^2 W.
    short = model((5, 5), 1e-7, n_steps=2)
    ends = trajectory(short, 6)
    x = (ends[0] - short.shift) / short.scale
    signal = short.alpha_bar[1]
    c2 = (1 - signal) / math.sqrt(signal * (1 - signal))
    last = c2**2 * reference.prediction_covariance(short, x, np.ones(6, int))
    for carry in (reference.correlated_covariance, reference.fixed_covariance):
        expected = last * np.outer(short.scale, short.scale)
        np.testing.assert_allclose(carry(short, ends), expected, rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9, 0.999])
def test_covariance_of_two_rectified_gaussians(correlation: float) -> None:
    """Against Simpson's rule over the first, of the closed form of the second given the first."""
    means, stds = (0.4, -0.7), (1.3, 0.8)

    def unit(mean: float, std: float) -> adjoint.ReLUPass:
        share = torch.special.ndtr(torch.tensor(mean / std, dtype=torch.float64))
        rest = [torch.zeros((), dtype=torch.float64)] * 4
        moments = (torch.tensor(mean, dtype=torch.float64), torch.tensor(std**2).double())
        return adjoint.ReLUPass(*moments, share, *rest)

    units = [unit(mean, std) for mean, std in zip(means, stds, strict=True)]
    covariance = torch.tensor(correlation * stds[0] * stds[1], dtype=torch.float64)
    got = adjoint.relu_covariance(*units, covariance, n_nodes=16).item()

    def rectified(mean: Array, std: float) -> Array:
        alpha = torch.as_tensor(mean / std)
        density = torch.exp(-(alpha**2) / 2) / math.sqrt(2 * math.pi)
        value: Array = (torch.as_tensor(mean) * torch.special.ndtr(alpha) + std * density).numpy()
        return value

    u = np.linspace(-10, 10, 40001)
    density = np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    first = np.maximum(means[0] + stds[0] * u, 0)
    given = means[1] + correlation * stds[1] * u
    second = rectified(given, stds[1] * math.sqrt(1 - correlation**2))
    expected = np.sum(density * first * second) * (u[1] - u[0])
    expected -= np.prod([rectified(np.array(m), s) for m, s in zip(means, stds, strict=True)])
    assert got == pytest.approx(expected, abs=1e-6)


def test_chains_of_kept_weights_against_draws() -> None:
    """The median over samples; the rest of the outputs, which is not linear, matters."""
    rng = np.random.default_rng(0)
    clusters = [rng.normal([-2, 0], 0.5, (500, 2)), rng.normal([2, 1], 0.3, (500, 2))]
    options = {"prediction_type": "epsilon", "seed": 0}
    made = tx.DiffusionModel(2, hidden=(16, 16), n_steps=10, **options)
    made.fit(np.concatenate(clusters).astype(np.float32), n_epochs=3, progress=False)
    chains = trajectory(made, 60)
    drawn = [made.draw(seed).sample(60, seed=1).x for seed in range(400)]
    var = np.var(np.array(drawn, np.float64), axis=0, ddof=1).sum(axis=1)
    got = np.trace(reference.fixed_covariance(made, chains), axis1=1, axis2=2)
    assert 0.8 < np.median(got / var) < 1.0
    x, t = (chains[3] - made.shift) / made.scale, 6
    inputs = np.hstack([x, np.tile(reference.time_features("cosine", np.array([t]), 10), (60, 1))])
    network = reference.Sequential(
        *(reference.Linear(7, 16), reference.ReLU(), reference.Linear(16, 16), reference.ReLU()),
        reference.Linear(16, 2),
        seed=0,
    )
    network.load_state_dict(made.net.state_dict())
    parts = adjoint.sensitivity(adjoint.passes_of(network, torch.as_tensor(inputs)))
    linear, rest = ((part**2).sum(dim=(1, 2)) for part in (parts.by_parameter, parts.by_rest))
    # Together they are the variance of the prediction, but for what G_v adds to the first.
    whole = np.trace(reference.prediction_covariance(made, x, np.full(60, t)), axis1=1, axis2=2)
    np.testing.assert_allclose(np.median((linear + rest).numpy() / whole), 1, atol=0.03)
    assert np.median((rest / linear).numpy()) > 0.15


def test_correlated_chain_of_a_linear_network() -> None:
    """Without hidden units it is the library's own recursion."""
    made = model((), 1e-3)
    samples = made.sample(20, seed=1, trajectory=True, uncertainty=True)
    assert samples.trajectory is not None
    got = reference.correlated_covariance(made, samples.trajectory)
    np.testing.assert_allclose(got, samples.epistemic, rtol=1e-3, atol=1e-5 * np.abs(got).max())


def test_errors() -> None:
    made = model((3,), 1e-4)
    chains = trajectory(made, 2)
    with pytest.raises(ValueError, match=r"^trajectory: got shape \(7, 2, 2\), needed \(8, 2, 2\)"):
        reference.published_var(made, chains[1:])
    with pytest.raises(ValueError, match=r"^trajectory: got shape \(2, 2\), needed \(8, 'n', 2\)"):
        reference.fixed_covariance(made, chains[0])
    with pytest.raises(ValueError, match=r"^n_chains: got 1, needed at least 2"):
        reference.redrawn_covariance(made, chains, 1)
    with pytest.raises(ValueError, match=r"^redraw: got 'biases'"):
        reference.redrawn_covariance(made, chains, 2, redraw="biases")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^model: got prediction_type 'v_prediction', needed"):
        reference.published_var(model((3,), 1e-4, prediction_type="v_prediction"), chains)
    with pytest.raises(ValueError, match=r"^model: got a layer Tanh"):
        reference.fixed_covariance(model((3,), 1e-4, activation=nn.Tanh()), chains)
    with pytest.raises(ValueError, match=r"^model: got one with Heteroscedastic"):
        noisy = model((3,), 1e-4, noise=tx.Heteroscedastic())
        reference.fixed_covariance(noisy, chains)
