"""Variances carried along a reverse chain in other ways than the library's, for comparison.

A chain is what ``DiffusionModel.sample(trajectory=True)`` keeps of n samples. With
alpha_t = abar_t / abar_{t-1} and the sampler's noise n, its steps are

    x_{t-1} = c1 x_t - c2 eps(x_t, t) + sigma_t n
    c1 = 1 / sqrt(alpha_t),   c2 = (1 - alpha_t) / sqrt(alpha_t (1 - abar_t))

Each function gives the variance of the chain's end that is due to the network's uncertainty, given
the noise of the chain, in float64 and in the squared units of the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from . import adjoint
from .activations import ReLU
from .network import Linear, Sequential
from .schedule import time_features

if TYPE_CHECKING:
    from tagix import DiffusionModel

Array = npt.NDArray[np.float64]


class _Step(NamedTuple):
    """A reverse step, with x (n, n_features) before and after it in standardized units."""

    t: int
    alpha: float
    c1: float
    c2: float
    before: Array
    after: Array


def published_var(model: DiffusionModel, trajectory: npt.ArrayLike, max_var: float = 1.0) -> Array:
    """Variances by the recursion of the first TAGI diffusion experiments, (n, n_features).

        S_{t-1} = clip((S_t + c^2 Var eps(x_t, t)) / alpha_t, 0, max_var),   S = 0 at the start,
        c = (1 - alpha_t) / sqrt(1 - alpha_t)

    This has alpha_t where abar_t belongs, and no covariance of x_t and eps. It is kept for
    comparisons.

    Args:
        model: On the CPU.
        trajectory: (n_steps, n, n_features), in the units of the data.
        max_var: Where variances are clipped, in standardized units.

    Raises:
        ValueError: For a trajectory of another shape.
    """
    var: Array = np.zeros(1)
    for step in _steps(model, trajectory):
        c_squared = 1 - step.alpha
        network_var = model.predict(step.before, np.full(len(step.before), step.t)).epistemic
        var = np.clip((var + c_squared * network_var) / step.alpha, 0, max_var)
    return np.asarray(var * np.float64(model.scale) ** 2)


def redrawn_covariance(
    model: DiffusionModel,
    trajectory: npt.ArrayLike,
    n_chains: int,
    seed: int = 0,
    *,
    redraw: Literal["weights", "outputs"] = "weights",
) -> Array:
    """Covariances by Monte Carlo, independent from step to step, (n, n_features, n_features).

    n_chains chains start at the same point and have the same noise of the sampler. In each step
    each chain predicts with "weights", a network drawn for it from the posterior (``model.draw``),
    or with "outputs", a draw from N(eps, W) at its x, where W is the network's own covariance.
    ``samples.epistemic`` approximates the first; the second tests the recursion independently of W.
    The relative error of a variance is about sqrt(2 / n_chains).

    Args:
        model: On the CPU.
        trajectory: (n_steps, n, n_features), in the units of the data.
        n_chains: At least 2.
        seed: Of the draws.
        redraw: What is drawn.

    Raises:
        ValueError: For a trajectory of another shape, another redraw, or n_chains below 2.
    """
    if n_chains < 2:
        raise ValueError(f"n_chains: got {n_chains!r}, needed at least 2")
    if redraw not in ("weights", "outputs"):
        raise ValueError(f"redraw: got {redraw!r}, needed 'weights' or 'outputs'")
    generator = np.random.default_rng(seed)

    def by_weights(chains: Array, t: int) -> Array:
        steps = np.full(chains.shape[1], t)
        seeds = generator.integers(2**63, size=n_chains)
        draws = zip(seeds.tolist(), chains, strict=True)
        return np.stack([model.draw(each).predict(x, steps).mean for each, x in draws])

    def by_outputs(chains: Array, t: int) -> Array:
        inputs = _network_inputs(model, chains.reshape(-1, model.n_features), t)
        # By eigenvectors: a Cholesky factor would need more than rounding leaves of W.
        eigenvalues, vectors = np.linalg.eigh(model.net.covariance(inputs).astype(np.float64))
        number = np.sqrt(eigenvalues.clip(min=0)) * generator.standard_normal(eigenvalues.shape)
        deviation = (vectors @ number[:, :, np.newaxis])[:, :, 0]
        predicted: Array = model.net(inputs).mean + deviation
        return predicted.reshape(chains.shape)

    predict = by_weights if redraw == "weights" else by_outputs
    chains: Array = np.empty(0)
    for step in _steps(model, trajectory):
        if not chains.size:
            chains = np.repeat(step.before[np.newaxis], n_chains, axis=0)
        mean = model.predict(step.before, np.full(len(step.before), step.t)).mean
        noise = step.after - (step.c1 * step.before - step.c2 * mean)
        chains = step.c1 * chains - step.c2 * predict(chains, step.t) + noise
    deviation = (chains - chains.mean(axis=0)) * np.float64(model.scale)
    return np.asarray(np.einsum("cni,cnj->nij", deviation, deviation) / (n_chains - 1))


def fixed_covariance(model: DiffusionModel, trajectory: npt.ArrayLike) -> Array:
    """Covariances if a chain keeps its weights theta, (n, n_features, n_features).

    This is what ``sample(ensemble=...)`` finds by drawing networks. With A = c1 I - c2 J and all
    derivatives total ones, through means and variances, the part that is linear in the weights is

        G_{t-1} = A G_t - c2 d eps / d theta,   S = G diag(Var theta) G^T,   G = 0 at first

    The rest of eps, E times noises e of unit variance, one for each affine map and unit and one
    for each activation and unit (`adjoint.Sensitivity`), changes along the chain with the unit:
    as an autoregressive process, e_{t-1} = r e_t + sqrt(1 - r^2) (new noise), with r the
    correlation of the unit between neighbouring steps (`adjoint.correlations`). With C = Cov(x, e)

        S'_{t-1} = A S'_t A^T - c2 (A C r E^T + E r C^T A^T) + c2^2 E E^T
        C_{t-1} = A C r - c2 E

    and S + S' is returned. What is left out is how branches of a chain part: a covariance about
    one chain does not see them, and draws do. G holds n n_features numbers for each parameter: some
    hundred samples at a time.

    Args:
        model: Of linear layers and ReLU, without a noise head.
        trajectory: (n_steps, n, n_features), in the units of the data.

    Raises:
        ValueError: For a trajectory of another shape, or other layers.
    """
    network = _float64_network(model)
    by_parameter = crossed = rest = torch.zeros(())
    before: list[adjoint.Pass] = []
    for step in _steps(model, trajectory):
        passes = adjoint.passes_of(
            network, torch.as_tensor(_network_inputs(model, step.before, step.t))
        )
        of_step = adjoint.sensitivity(passes)
        by_rest = of_step.by_rest
        slope = step.c1 * torch.eye(model.n_features, dtype=torch.float64)
        slope = slope - step.c2 * of_step.by_input[:, :, : model.n_features]
        if not before:
            by_parameter = -step.c2 * of_step.by_parameter
            crossed = -step.c2 * by_rest
            rest = step.c2**2 * by_rest @ by_rest.transpose(1, 2)
        else:
            by_parameter = slope @ by_parameter - step.c2 * of_step.by_parameter
            kept = slope @ (crossed * adjoint.correlations(before, passes)[:, None, :])
            both = kept @ by_rest.transpose(1, 2)
            rest = (
                slope @ rest @ slope.transpose(1, 2)
                - step.c2 * (both + both.transpose(1, 2))
                + step.c2**2 * by_rest @ by_rest.transpose(1, 2)
            )
            crossed = kept - step.c2 * by_rest
        before = passes
    covariance = by_parameter @ by_parameter.transpose(1, 2) + rest
    return np.asarray(covariance.numpy() * np.outer(model.scale, model.scale))


def correlated_covariance(model: DiffusionModel, trajectory: npt.ArrayLike) -> Array:
    """Covariances as ``samples.epistemic``, in float64, (n, n_features, n_features).

        S_{t-1} = A S_t A^T + c2^2 W,   A = c1 I - c2 J,   W = `prediction_covariance`

    Args:
        model: Of linear layers and ReLU, without a noise head.
        trajectory: (n_steps, n, n_features), in the units of the data.

    Raises:
        ValueError: For a trajectory of another shape, or other layers.
    """
    network = _float64_network(model)
    covariance: Array = np.zeros((model.n_features, model.n_features))
    for step in _steps(model, trajectory):
        inputs = torch.as_tensor(_network_inputs(model, step.before, step.t))
        by_input, of_prediction = adjoint.linearized(network, inputs)
        slope = step.c1 * np.eye(model.n_features) - step.c2 * by_input[:, :, : model.n_features]
        covariance = slope @ covariance @ slope.transpose(0, 2, 1) + step.c2**2 * of_prediction
    return np.asarray(covariance * np.outer(model.scale, model.scale))


def prediction_covariance(model: DiffusionModel, x_t: npt.ArrayLike, t: npt.ArrayLike) -> Array:
    """Covariances of the predicted noise, (n, n_features, n_features).

        W = sum over affine maps z = W a + b of G diag(Wv (a_mean^2 + a_var) + b_var) G^T
          + sum over activations a = f(z) of    H diag(a_var - J^2 z_var) H^T

    with G = d eps / d z_mean and H = d eps / d a_mean. These are total derivatives, through the
    means and the variances of all layers above, and J = E f'. TAGI's own variance takes the units
    of each layer as independent; here every noise goes up to the output by itself.

    Args:
        model: Of linear layers and ReLU, without a noise head.
        x_t: (n, n_features) noisy rows in standardized units.
        t: (n,) their timesteps.

    Raises:
        ValueError: For other layers.
    """
    network = _float64_network(model)
    features = time_features(model._settings["time_features"], t, model.n_steps)
    inputs = torch.as_tensor(np.hstack([np.asarray(x_t, np.float64), features]))
    return adjoint.linearized(network, inputs)[1]


def _steps(model: DiffusionModel, trajectory: npt.ArrayLike) -> Iterator[_Step]:
    if model.prediction_type != "epsilon":
        raise ValueError(f"model: got prediction_type {model.prediction_type!r}, needed 'epsilon'")
    states = np.asarray(trajectory, dtype=np.float64)
    shape = (model.n_steps, states.shape[1] if states.ndim == 3 else "n", model.n_features)
    if states.shape != shape:
        raise ValueError(f"trajectory: got shape {states.shape}, needed {shape}")
    states = (states - model.shift) / model.scale
    for position, t in enumerate(range(model.n_steps - 1, 0, -1)):
        signal = float(model.alpha_bar[t])
        alpha = signal / float(model.alpha_bar[t - 1])
        c1, c2 = 1 / math.sqrt(alpha), (1 - alpha) / math.sqrt(alpha * (1 - signal))
        yield _Step(t, alpha, c1, c2, states[position], states[position + 1])


def _network_inputs(model: DiffusionModel, x: Array, t: int) -> Array:
    """[x, time features of t], (n, features) for x (n, n_features) in standardized units."""
    features = time_features(model._settings["time_features"], np.array([t]), model.n_steps)
    return np.hstack([x, np.tile(features, (len(x), 1))])


def _float64_network(model: DiffusionModel) -> Sequential:
    """The model's network."""
    layers: list[Linear | ReLU] = []
    if model.net.noise is not None:
        raise ValueError(f"model: got one with {model.net.noise!r}, needed none that it infers")
    for layer in model.net.layers:
        config: dict[str, Any] = layer.config
        kind = type(layer).__name__
        if kind not in ("Linear", "ReLU"):
            raise ValueError(f"model: got a layer {layer!r}, needed Linear and ReLU alone")
        layers.append(Linear(**config) if kind == "Linear" else ReLU(**config))
    network = Sequential(*layers, seed=0)
    network.load_state_dict(model.net.state_dict())
    return network
