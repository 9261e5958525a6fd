"""Noise schedules and time features of the diffusion models, in NumPy float64."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

ScheduleName = Literal["cosine", "linear", "sigmoid", "edm"]
TimeFeatures = Literal["cosine", "scalar", "sinusoidal", "log_sigma"]
Array = npt.NDArray[np.float64]


class Schedule(NamedTuple):
    """alpha_bar and beta, each (n_steps,), by timestep t = 0 .. n_steps - 1.

    t = 0 is clean data: alpha_bar = 1 and beta = 0. A model trains and samples on t >= 1.
    """

    alpha_bar: Array
    beta: Array


def schedule(name: ScheduleName, n_steps: int) -> Schedule:
    """The share of signal variance left at each timestep, and the variance added by the step.

    With T = n_steps, alpha_bar_t = prod_{i <= t} (1 - beta_i) and, each beta at most 0.999 but for
    "edm",

        cosine   alpha_bar_t = f(t) / f(0),  f(t) = cos^2(pi/2 (t/T + s) / (1 + s)),  s = 0.008
        linear   beta_t evenly spaced from 0.1 / T at t = 1 to 20 / T at t = T - 1, the last one
                 alone for T = 2
        sigmoid  alpha_bar_t = (g(3) - g(6 t/T - 3)) / (g(3) - g(-3)),  g(u) = 1 / (1 + exp(-u))
        edm      alpha_bar_t = 1 / (1 + sigma_t^2), sigma_t^(1/7) evenly spaced from that of 0.002
                 at t = 1 to that of 80 at t = T - 1, the last one alone for T = 2

    Sources: Nichol & Dhariwal, ICML 2021; Ho, Jain & Abbeel, NeurIPS 2020, whose 1e-4 to 0.02 for
    1000 steps is rescaled to T; Jabri, Fleet & Chen, ICML 2023; Karras et al., NeurIPS 2022.

    Raises:
        ValueError: For another name, or n_steps below 2.
    """
    if n_steps < 2:
        raise ValueError(f"n_steps: got {n_steps!r}, needed at least 2")
    beta = np.zeros(n_steps)
    if name == "cosine":
        s = 0.008
        f = np.cos(0.5 * np.pi * (np.arange(n_steps) / n_steps + s) / (1 + s)) ** 2
        beta[1:] = 1 - f[1:] / f[:-1]
    elif name == "linear":
        beta[1:] = np.linspace(0.1 / n_steps, 20 / n_steps, n_steps - 1)
        beta[-1] = 20 / n_steps  # where there is but one step, linspace gives its start
    elif name == "sigmoid":
        left = [_logistic(3.0) - _logistic(6 * t / n_steps - 3) for t in range(n_steps)]
        beta[1:] = 1 - np.divide(left[1:], left[:-1])
    elif name == "edm":
        roots = np.linspace(80 ** (1 / 7), 0.002 ** (1 / 7), n_steps - 1)[::-1]
        share = np.append(1.0, 1 / (1 + roots**14))
        return Schedule(share, np.append(0.0, 1 - share[1:] / share[:-1]))
    else:
        raise ValueError(f"name: got {name!r}, needed one of {get_args(ScheduleName)}")
    beta = np.minimum(beta, 0.999)
    alpha_bar = np.asarray(np.cumprod(1 - beta), dtype=np.float64)
    return Schedule(alpha_bar, beta)


def _logistic(u: float) -> float:
    return 1 / (1 + math.exp(-u))


def time_features(
    kind: TimeFeatures, t: npt.ArrayLike, n_steps: int, alpha_bar: Array | None = None
) -> Array:
    """What the network sees of integer timesteps t, shape (batch,): an array (batch, features).

    With T = n_steps:

        cosine       cos(k pi t / T) for k = 1 .. 4, then t / T - 1/2      (5 features)
        scalar       t / T                                                 (1 feature)
        sinusoidal   sin(w_i t), cos(w_i t) in turn, w_i = 10000^(-i/7), i = 0 .. 7   (16 features)
        log_sigma    ln((1 - alpha_bar_t) / alpha_bar_t) / 8, t = 0 as t = 1     (1 feature)

    Sources: Vaswani et al., NeurIPS 2017, for the third; Karras et al., NeurIPS 2022, for the last.

    Args:
        kind: One of these names.
        t: Timesteps, (batch,).
        n_steps: T.
        alpha_bar: Of the schedule, (n_steps,); "log_sigma" needs it.

    Raises:
        ValueError: For another kind, or without the alpha_bar that it needs.
    """
    steps = np.asarray(t, dtype=np.float64)
    u = steps[:, np.newaxis] / n_steps
    if kind == "cosine":
        return np.hstack([np.cos(np.pi * np.arange(1, 5) * u), u - 0.5])
    if kind == "scalar":
        return u
    if kind == "sinusoidal":
        angle = steps[:, np.newaxis] * 10_000.0 ** (-np.arange(8) / 7)
        return np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(len(steps), 16)
    if kind == "log_sigma":
        if alpha_bar is None:
            raise ValueError("alpha_bar: got None, needed the schedule's for log_sigma")
        share = np.asarray(alpha_bar)[np.maximum(steps, 1).astype(np.int64), np.newaxis]
        return np.asarray(np.log((1 - share) / share) / 8)
    raise ValueError(f"kind: got {kind!r}, needed one of {get_args(TimeFeatures)}")
