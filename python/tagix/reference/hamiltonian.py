"""Hamiltonian Monte Carlo on a small network: what its posterior is, for comparison.

The network has one layer of 50 ReLUs, the prior of `tagix.nn.Linear`, and learns its noise. Chains
run side by side. Their steps, 60 to 160 a move, are adapted to an acceptance of .8 while they warm
up (Hoffman & Gelman, JMLR 15, 2014). It needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDTH = 50
N_CHAINS = 4


class HamiltonianDraws(NamedTuple):
    """What draws of functions from the posterior say."""

    std: dict[str, Array]
    """Standard deviations of the function, (rows,) of each region."""
    noise_std: float
    """Standard deviation of the noise, a geometric mean over the draws."""
    r_hat: float
    """How far the chains agree: the median over rows of a region, of the worst; near 1."""


def hamiltonian(
    x: Array,
    y: Array,
    regions: Mapping[str, Array],
    n_warm: int,
    n_kept: int,
    *,
    gain_bias: float = 1.0,
    seed: int = 0,
) -> HamiltonianDraws:
    """Draw functions by all weights, each in units of its prior's standard deviation.

    Rows and targets are standardized inside. The prior of the weights is N(0, 1 / n_in), that of
    the biases of the hidden layer gain_bias^2 times as wide, and log noise std ~ N(log .2, 1).

    Args:
        x: (n_rows, n_features) rows to learn.
        y: (n_rows,) targets.
        regions: Rows at which the functions are asked for, by name, in the units of x.
        n_warm: Moves while steps are adapted, at least 1.
        n_kept: Moves after that, at least 8; every fourth is a draw.
        gain_bias: As in `tagix.nn.Linear`.
        seed: Of the chains.

    Raises:
        ValueError: For too few moves, or rows and targets of other shapes.
    """
    if n_warm < 1 or n_kept < 8:
        raise ValueError(f"n_warm, n_kept: got {n_warm} and {n_kept}, needed at least 1 and 8")
    if np.ndim(x) != 2 or np.shape(y) != (len(x),):
        shapes = f"{np.shape(x)} and {np.shape(y)}"
        raise ValueError(f"x, y: got shapes {shapes}, needed (n_rows, n_features) and (n_rows,)")
    shift, scale, unit = x.mean(axis=0), x.std(axis=0), y.std()
    posterior = Posterior((x - shift) / scale, (y - y.mean()) / unit, gain_bias)
    draws = _draws(posterior, n_warm, n_kept, np.random.default_rng(seed))
    std, r_hats = {}, []
    for name, rows in regions.items():
        functions = [posterior.function(draw, (rows - shift) / scale) for draw in draws]
        values = unit * np.array(functions)  # draws, chains, rows
        std[name] = values.reshape(-1, len(rows)).std(axis=0)
        within = values.var(axis=0, ddof=1).mean(axis=0)
        between = values.mean(axis=0).var(axis=0, ddof=1)
        r_hats.append(np.median(np.sqrt(1 - 1 / len(values) + between / within)))
    noise = np.exp(np.mean([posterior.parts(draw).log_std for draw in draws])) * unit
    return HamiltonianDraws(std, float(noise), float(max(r_hats)))


class Parts(NamedTuple):
    """The parameters of each chain."""

    weights: Array
    """(chains, WIDTH, n_features), of the hidden layer."""
    bias: Array
    """(chains, WIDTH)."""
    above: Array
    """(chains, WIDTH), from the hidden layer to the output."""
    offset: Array
    """(chains, 1), of the output."""
    log_std: Array
    """(chains, 1), of the noise."""


class Posterior:
    """Networks with their noise, given standardised rows (n_rows, n_features) and targets."""

    def __init__(self, x: Array, y: Array, gain_bias: float) -> None:
        self._x, self._y = x, y
        n_features = x.shape[1]
        self._n_weights = WIDTH * n_features
        self._spread = np.r_[
            np.full(self._n_weights, 1 / np.sqrt(n_features)),
            np.full(WIDTH, gain_bias / np.sqrt(n_features)),
            np.full(WIDTH + 1, 1 / np.sqrt(WIDTH)),
            1.0,
        ]
        self.n_parameters = len(self._spread)
        # The last one is log noise std.
        self._centre = np.r_[np.zeros(self.n_parameters - 1), np.log(0.2)]

    def parts(self, theta: Array) -> Parts:
        """Parameters (chains, n_parameters), in units of the prior, in their own units."""
        real = self._centre + theta * self._spread
        cuts = np.cumsum([self._n_weights, WIDTH, WIDTH, 1])
        weights, bias, above, offset, log_std = np.split(real, cuts, axis=1)
        return Parts(weights.reshape(-1, WIDTH, self._x.shape[1]), bias, above, offset, log_std)

    def function(self, theta: Array, rows: Array) -> Array:
        """What the networks predict, (chains, rows)."""
        parts = self.parts(theta)
        active = np.maximum(_hidden(rows, parts), 0)
        return np.asarray(np.matmul(active, parts.above[..., None])[..., 0] + parts.offset)

    def log_density(self, theta: Array) -> tuple[Array, Array]:
        """Its values, (chains,), and gradients, (chains, n_parameters)."""
        parts = self.parts(theta)
        above, log_std, n_rows = parts.above, parts.log_std, len(self._x)
        below = _hidden(self._x, parts)
        active = np.maximum(below, 0)
        error = self._y - np.matmul(active, above[..., None])[..., 0] - parts.offset
        precision, squares = np.exp(-2 * log_std), np.sum(error**2, axis=1, keepdims=True)
        value = -0.5 * squares * precision - n_rows * log_std
        pull = error * precision
        to_above = np.matmul(pull[:, None], active)[:, 0]
        to_below = pull[..., None] * above[:, None] * (below > 0)
        to_weights = np.matmul(to_below.transpose(0, 2, 1), self._x).reshape(len(theta), -1)
        gradient = np.hstack(
            [
                *(to_weights, to_below.sum(axis=1), to_above, pull.sum(axis=1, keepdims=True)),
                squares * precision - n_rows,
            ]
        )
        return value[:, 0] - 0.5 * np.sum(theta**2, axis=1), gradient * self._spread - theta


def _hidden(rows: Array, parts: Parts) -> Array:
    """The hidden layer below its ReLUs, (chains, rows, WIDTH)."""
    products = np.matmul(rows, parts.weights.transpose(0, 2, 1))
    return np.asarray(products + parts.bias[:, None])


class _Step:
    """The length of steps, (N_CHAINS,), which follows how many moves each chain takes."""

    def __init__(self) -> None:
        self.length = np.full(N_CHAINS, 0.003)
        self._drift, self._averaged = np.zeros(N_CHAINS), np.log(0.003)

    def adapt(self, chance: Array, count: float, is_last: bool) -> None:
        """By the chance of the last move, the ``count``-th; an average of all after the last."""
        self._drift = self._drift + (0.8 - chance - self._drift) / (count + 10)
        log_step = np.log(0.03) - 20 * np.sqrt(count) * self._drift
        self._averaged = self._averaged + count**-0.75 * (log_step - self._averaged)
        self.length = np.exp(self._averaged if is_last else log_step)


def _draws(posterior: Posterior, n_warm: int, n_kept: int, rng: np.random.Generator) -> list[Array]:
    """Parameters (chains, n_parameters) of every fourth move after the chains are warm."""
    theta = rng.standard_normal((N_CHAINS, posterior.n_parameters))
    value, gradient = posterior.log_density(theta)
    step, draws = _Step(), []
    for move in range(n_warm + n_kept):
        momentum = rng.standard_normal(theta.shape)
        start = value - 0.5 * np.sum(momentum**2, axis=1)
        size = (step.length * rng.uniform(0.8, 1.2))[:, None]
        there, slope, end = theta, gradient, value
        with np.errstate(over="ignore", invalid="ignore"):  # a step too long is not taken
            for _ in range(20 if move < 50 else int(rng.integers(60, 160))):
                momentum = momentum + 0.5 * size * slope
                there = there + size * momentum
                end, slope = posterior.log_density(there)
                momentum = momentum + 0.5 * size * slope
            ratio = np.nan_to_num(end - 0.5 * np.sum(momentum**2, axis=1) - start, nan=-np.inf)
        chance = np.exp(np.minimum(ratio, 0))
        taken = rng.uniform(size=N_CHAINS) < chance
        theta, gradient = (
            np.where(taken[:, None], new, old) for new, old in ((there, theta), (slope, gradient))
        )
        value = np.where(taken, end, value)
        if move < n_warm:
            step.adapt(chance, move + 1.0, is_last=move + 1 == n_warm)
        elif move % 4 == 0:
            draws.append(theta)
    return draws
