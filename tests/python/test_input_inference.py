"""Posteriors of inputs against closed forms, float64 grids and Monte Carlo."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import Array, on_every_device, relative_error, unchanged

import tagix as tx
from tagix import nn


def linear_net(n_inputs: int, n_outputs: int, noise: Any, **options: Any) -> nn.Sequential:
    """A linear map of known weights, drawn from the prior."""
    layer = nn.Linear(n_inputs, n_outputs)
    return nn.Sequential(layer, seed=2, noise=noise, **options).draw(7)


def gaussian_posterior(
    weight: Array, bias: Array, y: Array, noise_var: Array, mean: Array, var: Array
) -> tuple[Array, Array, float]:
    """x ~ N(mean, diag var) given y = weight x + bias + e, in float64: moments and ln p(y)."""
    gain_of = np.diag(var) @ weight.T
    s = weight @ gain_of + np.diag(noise_var)
    residual = y - bias - weight @ mean
    gain = gain_of @ np.linalg.inv(s)
    log_evidence = -0.5 * (
        residual @ np.linalg.solve(s, residual)
        + np.linalg.slogdet(s)[1]
        + len(y) * np.log(2 * np.pi)
    )
    return mean + gain @ residual, np.diag(var) - gain @ gain_of.T, float(log_evidence)


@on_every_device
@pytest.mark.parametrize("knows_noise", [True, False])
def test_linear_network_is_closed_form(knows_noise: bool, device: str) -> None:
    noise = tx.Homoscedastic([0.3, 0.7])
    net = linear_net(3, 2, noise if knows_noise else None, device=device)
    state = {key: value.astype(np.float64) for key, value in net.state_dict().items()}
    rng = np.random.default_rng(0)
    y = rng.standard_normal((4, 2))
    y[1, 0] = y[2] = np.nan
    mean, var = rng.standard_normal((4, 3)), rng.uniform(0.5, 2, (4, 3))
    var[:, 1] = 0  # a known input
    with unchanged(net):
        posterior = net.infer_inputs(y, (mean, var), None if knows_noise else noise)
    assert posterior.converged.all() and (posterior.n_iterations <= 2).all()
    noise_var = np.array([0.09, 0.49])
    for row in range(4):
        seen = ~np.isnan(y[row])
        expected_mean, expected_covariance, log_evidence = gaussian_posterior(
            state["0.weight.mean"][seen],
            state["0.bias.mean"][seen],
            y[row, seen],
            noise_var[seen],
            mean[row],
            var[row],
        )
        np.testing.assert_allclose(posterior.mean[row], expected_mean, rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            posterior.covariance[row], expected_covariance, rtol=0, atol=1e-5
        )
        assert posterior.log_evidence[row] == pytest.approx(log_evidence, abs=1e-4)
    np.testing.assert_allclose(posterior.var, posterior.std**2, rtol=1e-12)
    assert (posterior.std[:, 1] == 0).all() and (posterior.mean[:, 1] == mean[:, 1]).all()
    assert posterior.mean.dtype == posterior.covariance.dtype == np.float64


def trained(
    n_inputs: int, noise: Any, activation: str = "Tanh", n_outputs: int = 1
) -> nn.Sequential:
    rng = np.random.default_rng(3)
    x = rng.uniform(-2, 2, (1500, n_inputs))
    y = np.stack([np.sin(x.sum(axis=1)) + x[:, 0], np.cos(x[:, 0]) - x[:, -1]][:n_outputs], 1)
    y += 0.1 * rng.standard_normal(y.shape) * (1 + (x[:, :1] > 0))
    layers = [nn.Linear(n_inputs, 32), getattr(nn, activation)(), nn.Linear(32, n_outputs)]
    net = nn.Sequential(*layers, noise=noise, seed=0)
    net.fit(x, y, n_epochs=5, batch_size=8, progress=False)
    return net


def grid_posterior(
    net: nn.Sequential, y: Array, mean: Array, var: Array, width: float = 7.0, n: int = 401
) -> tuple[Array, Array, float]:
    """Mean, covariance and ln p(y) on a grid of the prior, given the network's own N(y; x)."""
    axes = [
        np.linspace(m - width * v**0.5, m + width * v**0.5, n)
        for m, v in zip(mean, var, strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(mean))
    prediction = net(grid)
    covariance = net.covariance(grid).astype(np.float64)
    covariance += prediction.aleatoric.astype(np.float64)[:, :, None] * np.eye(len(y))
    residual = y - prediction.mean.astype(np.float64)
    log_density = -0.5 * (
        np.einsum("bi,bij,bj->b", residual, np.linalg.inv(covariance), residual)
        + np.linalg.slogdet(2 * np.pi * covariance)[1]
        + ((grid - mean) ** 2 / var + np.log(2 * np.pi * var)).sum(axis=1)
    )
    density = np.exp(log_density)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    total = density.sum()
    at = density @ grid / total
    return at, (grid - at).T @ ((grid - at) * density[:, None]) / total, float(np.log(total * cell))


@pytest.mark.parametrize("activation", ["Tanh", "ReLU"])
@pytest.mark.parametrize(
    "noise", [tx.Homoscedastic(std=0.2), tx.Homoscedastic(learn=True), tx.Heteroscedastic()]
)
@pytest.mark.parametrize("wanted", [-0.6, 0.3, 0.8])
def test_one_input_on_a_grid(wanted: float, noise: Any, activation: str) -> None:
    net = trained(1, noise, activation)
    mean, var = np.array([wanted / 2]), np.array([0.1])
    posterior = net.infer_inputs([wanted], (mean, var))
    expected_mean, expected_covariance, log_evidence = grid_posterior(
        net, np.array([wanted]), mean, var, n=20001
    )
    assert posterior.converged.all()
    std = expected_covariance[0, 0] ** 0.5
    assert abs(posterior.mean[0, 0] - expected_mean[0]) < 0.2 * std
    assert posterior.std[0, 0] == pytest.approx(std, rel=0.1)
    assert posterior.log_evidence[0] == pytest.approx(log_evidence, abs=0.1)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_two_inputs_on_a_grid(n_outputs: int) -> None:
    net = trained(2, tx.Heteroscedastic(), n_outputs=n_outputs)
    mean, var = np.array([0.1, -0.3]), np.array([0.1, 0.2])
    y = np.array([0.4, 1.3])[:n_outputs]
    posterior = net.infer_inputs(y[None], (mean, var))
    expected_mean, covariance, log_evidence = grid_posterior(net, y, mean, var)
    assert posterior.converged.all()
    # In units of the posterior's standard deviations, along its own axes.
    half = np.linalg.inv(np.linalg.cholesky(covariance))
    assert np.linalg.norm(half @ (posterior.mean[0] - expected_mean)) < 0.25
    np.testing.assert_allclose(half @ posterior.covariance[0] @ half.T, np.eye(2), atol=0.25)
    assert abs(covariance[0, 1]) > 0.1 * (covariance[0, 0] * covariance[1, 1]) ** 0.5
    assert posterior.log_evidence[0] == pytest.approx(log_evidence, abs=0.1)


def test_posterior_of_draws() -> None:
    """Networks drawn from the posterior and inputs drawn from the prior, weighed by their y."""
    net = trained(2, tx.Homoscedastic(std=0.3))
    rng = np.random.default_rng(0)
    mean, var, wanted = np.array([0.2, 0.0]), np.array([0.2, 0.1]), 0.9
    x = mean + var**0.5 * rng.standard_normal((4000, 2))
    weights = np.zeros(len(x))
    for seed in range(200):
        residual = wanted - net.draw(seed)(x).mean[:, 0].astype(np.float64)
        weights += np.exp(-0.5 * residual**2 / 0.09)
    expected = weights @ x / weights.sum()
    covariance = (x - expected).T @ ((x - expected) * weights[:, None]) / weights.sum()
    posterior = net.infer_inputs([wanted], (mean, var))
    std = np.sqrt(np.diag(covariance))
    assert (np.abs(posterior.mean[0] - expected) < 0.15 * std).all()
    np.testing.assert_allclose(posterior.std[0], std, rtol=0.1)


def parabola() -> nn.Sequential:
    """x^2 / 4 by a known activation: two inputs for an output."""
    square = nn.Activation(lambda z: z * z, lambda z: 2 * z)
    net = nn.Sequential(
        nn.Linear(1, 1, bias=False), square, seed=0, noise=tx.Homoscedastic(std=0.1)
    )
    net.load_state_dict({"0.weight.mean": [[0.5]], "0.weight.var": [[0.0]]})
    return net


def test_several_modes() -> None:
    net = parabola()
    prior = (np.zeros(1), np.ones(1))
    posterior = net.infer_inputs([0.5, 0.5, 0.5], prior, start=[[1.0], [-0.5], [0.0]])
    assert posterior.converged.tolist() == [True, True, False]  # the last one: a saddle
    assert posterior.mean[0, 0] == pytest.approx(-posterior.mean[1, 0], rel=1e-4)
    # What both modes have is all that there is.
    grid = np.linspace(-6, 6, 100_001)
    density = np.exp(-0.5 * grid**2 - 0.5 * (0.5 - grid**2 / 4) ** 2 / 0.01)
    log_evidence = np.log(density.sum() * (grid[1] - grid[0]) / (2 * np.pi * 0.1))
    both = np.log(np.exp(posterior.log_evidence[:2]).sum())
    assert both == pytest.approx(log_evidence, abs=0.05)
    right = np.where(grid > 0, density, 0) / density[grid > 0].sum()
    std = np.sqrt(right @ grid**2 - (right @ grid) ** 2)
    assert posterior.std[0, 0] == pytest.approx(std, rel=0.1)


@pytest.mark.parametrize("prior_var", [1.0, 100.0])
def test_where_outputs_turn(prior_var: float) -> None:
    """Below the least output, J is 0 at the mode: the curvature alone tells its width."""
    net = parabola()
    posterior = net.infer_inputs([-0.5], (np.full(1, 0.3), np.full(1, prior_var)))
    grid = np.linspace(-4, 4, 100_001)
    density = np.exp(-0.5 * (grid - 0.3) ** 2 / prior_var - 0.5 * (0.5 + grid**2 / 4) ** 2 / 0.01)
    density /= density.sum()
    mean = density @ grid
    std = np.sqrt(density @ grid**2 - mean**2)
    assert posterior.converged.all()
    assert posterior.mean[0, 0] == pytest.approx(mean, abs=0.05 * std)
    assert posterior.std[0, 0] == pytest.approx(std, rel=0.1)


def one_pass(
    net: nn.Sequential, y: Array, mean: Array, var: Array, noise_var: Array
) -> tuple[Array, Array]:
    """Moments of inputs by the innovations of the core's single backward pass."""
    mean, var, y, noise_var = (np.asarray(a, np.float32) for a in (mean, var, y, noise_var))
    delta_mean, delta_var = net._model.innovations(mean, y, noise_var, var)["input"]
    return mean + var * delta_mean, var + var**2 * delta_var


def test_beside_the_innovations_of_one_pass() -> None:
    """They are marginals that count each output by itself, and paths of inputs as independent."""
    noise_var = np.array([0.09])
    net = linear_net(3, 1, None)
    state = {key: value.astype(np.float64) for key, value in net.state_dict().items()}
    mean, var, y = np.array([[0.3, -1.0, 0.2]]), np.array([[1.0, 0.5, 2.0]]), np.array([[1.5]])

    def exact(net: nn.Sequential, n_outputs: int) -> tuple[Array, Array]:
        weight, bias = state["0.weight.mean"], state["0.bias.mean"]
        result = gaussian_posterior(
            np.repeat(weight, n_outputs, 0),
            np.repeat(bias, n_outputs),
            np.repeat(y[0], n_outputs),
            np.repeat(noise_var, n_outputs),
            mean[0],
            var[0],
        )
        return result[0], np.diag(result[1])

    # One output of one layer: both are right.
    expected_mean, expected_var = exact(net, 1)
    once = one_pass(net, y, mean, var, noise_var)
    assert relative_error(once[0][0], expected_mean) < 1e-5
    assert relative_error(once[1][0], expected_var) < 1e-5
    # The same output twice is half the noise: one pass counts it as two of all else as well.
    double = nn.Sequential(nn.Linear(3, 2), seed=0)
    double.load_state_dict({key: np.repeat(value, 2, axis=0) for key, value in state.items()})
    expected_mean, expected_var = exact(double, 2)
    twice = one_pass(double, np.repeat(y, 2, 1), mean, var, np.repeat(noise_var, 2))
    posterior = double.infer_inputs(np.repeat(y, 2, 1), (mean, var), np.repeat(noise_var, 2))
    assert relative_error(posterior.mean[0], expected_mean) < 1e-5
    assert relative_error(posterior.var[0], expected_var) < 1e-5
    assert relative_error(twice[0][0], expected_mean) > 0.3
    assert twice[1].min() < 0  # no variance at all
    # Two layers, the same function: hidden units move together, which one pass does not know.
    deep = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 1), seed=0)
    mix = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    deep.load_state_dict(
        {
            "0.weight.mean": mix,
            "0.weight.var": np.zeros((3, 3)),
            "1.weight.mean": state["0.weight.mean"] @ np.linalg.inv(mix),
            "1.weight.var": np.zeros((1, 3)),
            "1.bias.mean": state["0.bias.mean"],
            "1.bias.var": np.zeros(1),
        }
    )
    expected_mean, expected_var = exact(net, 1)
    posterior = deep.infer_inputs(y, (mean, var), noise_var)
    assert relative_error(posterior.mean[0], expected_mean) < 1e-4
    assert relative_error(posterior.var[0], expected_var) < 1e-4
    once = one_pass(deep, y, mean, var, noise_var)
    assert relative_error(once[1][0], expected_var) > 0.05


def test_rows_are_worked_out_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Together, in chunks, and one by one; noise and prior of each row's own."""
    net = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), nn.Linear(20, 2), seed=0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3))
    net.fit(x, np.tanh(x[:, :2]), noise=tx.Homoscedastic(std=0.1), n_epochs=20, progress=False)
    y = rng.uniform(-0.5, 0.5, (7, 2))
    prior = rng.standard_normal((7, 3)), rng.uniform(0.2, 0.4, (7, 3))
    noise = rng.uniform(0.01, 0.1, (7, 2))
    together = net.infer_inputs(y, prior, noise)
    monkeypatch.setattr("tagix._input_inference._MOST_NUMBERS", 1000)
    chunked = net.infer_inputs(y, prior, noise)
    assert together.converged.all() and chunked.converged.all()
    for row in range(7):
        alone = net.infer_inputs(
            y[row : row + 1], (prior[0][row], prior[1][row]), noise[row : row + 1]
        )
        for other in (together, chunked):
            assert (np.abs(other.mean[row] - alone.mean[0]) < 0.01 * alone.std[0]).all()
            np.testing.assert_allclose(other.std[row], alone.std[0], rtol=0.01)


def test_errors() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), seed=0)
    y, prior, noise = np.zeros((5, 2)), (np.zeros(3), np.ones(3)), tx.Homoscedastic(std=0.1)
    empty = net.infer_inputs(np.zeros((0, 2)), prior, noise)
    assert empty.mean.shape == (0, 3) and empty.covariance.shape == (0, 3, 3)
    with unchanged(net):
        cases: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
            (ValueError, r"y: got an array of shape \(5, 3\)", (np.zeros((5, 3)), prior), {}),
            (ValueError, r"y: got infinity", (np.full((5, 2), np.inf), prior), {}),
            (TypeError, r"prior: got a list", (y, [0, 1]), {}),
            (ValueError, r"prior: got means .* of 2 features", (y, (np.zeros(2), np.ones(2))), {}),
            (ValueError, r"prior: got means of shape \(3,\)", (y, (np.zeros(3), np.ones(2))), {}),
            (ValueError, r"prior: got shape \(4, 3\)", (y, (np.zeros((4, 3)), np.ones(3))), {}),
            (ValueError, r"prior: got negative", (y, (np.zeros(3), -np.ones(3))), {}),
            (ValueError, r"prior: got NaN", (y, (np.full(3, np.nan), np.ones(3))), {}),
            (ValueError, r"start: got shape \(2,\)", (y, prior), {"start": np.zeros(2)}),
            (ValueError, r"n_iterations: got 0", (y, prior), {"n_iterations": 0}),
            (ValueError, r"tolerance: got 0.0", (y, prior), {"tolerance": 0}),
            (ValueError, r"tolerance: got nan", (y, prior), {"tolerance": np.nan}),
            (ValueError, r"noise: got variances that", (y, prior), {"noise": np.zeros(2)}),
            (ValueError, r"noise: got 3", (y, prior), {"noise": tx.Homoscedastic([1, 2, 3])}),
            (TypeError, r"noise: got None", (y, prior), {"noise": None}),
        ]
        for error, message, arguments, options in cases:
            with pytest.raises(error, match=message):
                net.infer_inputs(*arguments, **({"noise": noise} | options))
    with pytest.raises(ValueError, match=r"noise: got .*, needed none"):
        trained(1, tx.Heteroscedastic()).infer_inputs([0.1], (np.zeros(1), np.ones(1)), noise)
    classes = nn.Sequential(nn.Linear(3, 2), likelihood=tx.Remax(2), seed=0)
    with pytest.raises(ValueError, match=r"infer_inputs: got a network with likelihood"):
        classes.infer_inputs(y, prior)


def test_beside_one_pass_on_a_grid() -> None:
    """A network that bends, a prior as wide as its data: distances to the truth by the grid."""
    net = trained(2, tx.Homoscedastic(std=0.2), n_outputs=2)
    rng = np.random.default_rng(5)
    x = rng.uniform(-1.2, 1.2, (12, 2))
    y = net(x).mean.astype(np.float64)
    mean, var = np.zeros((12, 2)), np.full((12, 2), 0.5)
    posterior = net.infer_inputs(y, (mean, var))
    once = one_pass(net, y, mean, var, np.full(2, 0.04))
    truth = [grid_posterior(net, *row, n=201) for row in zip(y, mean, var, strict=True)]
    half = [np.linalg.inv(np.linalg.cholesky(covariance)) for _, covariance, _ in truth]

    def beside_truth(means: Array, covariances: Any) -> tuple[float, float]:
        """Medians of the distance in posterior standard deviations and of the mean variance."""
        rows = list(zip(half, means, covariances, truth, strict=True))
        distances = [np.linalg.norm(h @ (m - t[0])) for h, m, _, t in rows]
        return float(np.median(distances)), float(
            np.median([np.trace(h @ c @ h.T) / 2 for h, _, c, _ in rows])
        )

    distance, ratio = beside_truth(posterior.mean, posterior.covariance)
    assert posterior.converged.all() and distance < 0.25 and 0.8 < ratio < 1.1
    distance, ratio = beside_truth(once[0], [np.diag(v) for v in once[1]])
    assert distance > 5 and ratio > 5
