"""Noise schedules and time features of the diffusion models, in NumPy float64."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

ScheduleName = Literal["cosine", "linear"]
TimeFeatures = Literal["cosine", "scalar", "sinusoidal"]
Array = npt.NDArray[np.float64]


class Schedule(NamedTuple):
    """alpha_bar and beta, each (n_steps,), by timestep t = 0 .. n_steps - 1.

    t = 0 is clean data: alpha_bar = 1 and beta = 0. A model trains and samples on t >= 1.
    """

    alpha_bar: Array
    beta: Array


def schedule(name: ScheduleName, n_steps: int) -> Schedule:
    """The share of signal variance left at each timestep, and the variance added by the step.

    With T = n_steps, alpha_bar_t = prod_{i <= t} (1 - beta_i) and, each beta at most 0.999,

        cosine   alpha_bar_t = f(t) / f(0),  f(t) = cos^2(pi/2 (t/T + s) / (1 + s)),  s = 0.008
        linear   beta_t evenly spaced from 0.1 / T at t = 1 to 20 / T at t = T - 1, the last one
                 alone for T = 2

    Sources: Nichol & Dhariwal, ICML 2021; Ho, Jain & Abbeel, NeurIPS 2020, whose 1e-4 to 0.02 for
    1000 steps is rescaled to T.

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
    else:
        raise ValueError(f"name: got {name!r}, needed one of {get_args(ScheduleName)}")
    beta = np.minimum(beta, 0.999)
    alpha_bar = np.asarray(np.cumprod(1 - beta), dtype=np.float64)
    return Schedule(alpha_bar, beta)


def time_features(kind: TimeFeatures, t: npt.ArrayLike, n_steps: int) -> Array:
    """What the network sees of integer timesteps t, shape (batch,): an array (batch, features).

    With T = n_steps:

        cosine       cos(k pi t / T) for k = 1 .. 4, then t / T - 1/2      (5 features)
        scalar       t / T                                                 (1 feature)
        sinusoidal   sin(w_i t), cos(w_i t) in turn, w_i = 10000^(-i/7), i = 0 .. 7   (16 features)

    Source of the last: Vaswani et al., NeurIPS 2017.

    Raises:
        ValueError: For another kind.
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
    raise ValueError(f"kind: got {kind!r}, needed one of {get_args(TimeFeatures)}")
