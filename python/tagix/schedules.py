"""Noise schedules of diffusion models: how much signal remains at each timestep.

x_t = sqrt(alpha_bar[t]) x_0 + sqrt(1 - alpha_bar[t]) eps for t = 0 .. T - 1, with alpha_bar[0] = 1
(clean data) and alpha_bar falling strictly. With a = sqrt(alpha_bar) and b = sqrt(1 - alpha_bar),
sigma = b / a is the standard deviation of the noise in z = x_t / a = x_0 + sigma eps. Everything
is float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix._arrays import as_array, as_choice, as_count, as_number

PredictionType = Literal["epsilon", "sample", "v_prediction"]
TimeFeatures = Literal["cosine", "scalar", "sinusoidal", "log_sigma"]

_MAX_BETA = 0.999
# Relative rounding that timestep_of forgives at the ends of the schedule.
_ROUNDING = 1e-9


class Schedule(ABC):
    """A noise schedule for any number of timesteps; equal settings make equal schedules."""

    name: ClassVar[str]
    """What :func:`resolve` calls it."""

    def alpha_bar(self, n_steps: int) -> NDArray[np.float64]:
        """The share of the signal's variance left at t = 0 .. n_steps - 1, (n_steps,).

        Raises:
            ValueError: for ``n_steps`` below 2, or so many that float64 cannot tell the shares
                apart from each other or the last from 0.
            TypeError: for anything but an integer.
        """
        n_steps = as_count("n_steps", n_steps, least=2)
        with np.errstate(all="ignore"):
            shares = self._shares(n_steps)
        if not (shares[-1] > 0 and (np.diff(shares) < 0).all()):  # NaN fails, too
            raise ValueError(
                f"n_steps: got {n_steps}, for which {self!r} does not fall strictly from 1 and "
                "stay above 0 in float64"
            )
        return shares

    @property
    def config(self) -> dict[str, float | None]:
        """Its arguments by name."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]  # a dataclass each

    @abstractmethod
    def _shares(self, n_steps: int) -> NDArray[np.float64]:
        """``alpha_bar`` for n_steps >= 2, not checked."""

    def _set(self, name: str, value: float) -> None:
        object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Cosine(Schedule):
    """alpha_bar[t] = f(t) / f(0) with f(t) = cos^2(pi/2 (t/T + s) / (1 + s)).

    Each beta[t] = 1 - alpha_bar[t] / alpha_bar[t-1] is at most 0.999.
    Source: Nichol & Dhariwal, ICML 2021.

    Args:
        s: offset, at least 0, that keeps the first steps from being too small.

    Raises:
        ValueError, TypeError: with the argument's name, for what it cannot take.
    """

    name: ClassVar[str] = "cosine"
    s: float = 0.008

    def __post_init__(self) -> None:
        s = _finite("s", self.s)
        if s < 0:
            raise ValueError(f"s: got {s}, needed at least 0")
        self._set("s", s)

    def _shares(self, n_steps: int) -> NDArray[np.float64]:
        u = np.arange(n_steps) / n_steps
        f = np.cos(np.pi / 2 * (u + self.s) / (1 + self.s)) ** 2
        return _with_capped_betas(1 - f[1:] / f[:-1])


@dataclass(frozen=True)
class Linear(Schedule):
    """alpha_bar[t] = prod_{i <= t} (1 - beta[i]), beta evenly spaced over t = 1 .. T - 1.

    For T = 2 there is only the last beta. Each beta is at most 0.999. If T is small, the rescaled
    defaults leave almost no signal at the end (1e-10 at T = 20), and samples of networks that
    predict the noise may diverge there. Then use smaller betas, or predict v. Source: Ho, Jain &
    Abbeel, NeurIPS 2020, whose 1e-4 and 0.02 for 1000 steps the defaults rescale to T.

    Args:
        beta_start: variance added by the step to t = 1, in (0, 1); None is 0.1 / T.
        beta_end: variance added by the step to t = T - 1, in (0, 1); None is 20 / T.

    Raises:
        ValueError, TypeError: with the argument's name, for what it cannot take.
    """

    name: ClassVar[str] = "linear"
    beta_start: float | None = None
    beta_end: float | None = None

    def __post_init__(self) -> None:
        for name, given in (("beta_start", self.beta_start), ("beta_end", self.beta_end)):
            if given is None:
                continue
            beta = _finite(name, given)
            if not 0 < beta < 1:
                raise ValueError(f"{name}: got {beta}, needed a number in (0, 1), or None")
            self._set(name, beta)

    def _shares(self, n_steps: int) -> NDArray[np.float64]:
        start = 0.1 / n_steps if self.beta_start is None else self.beta_start
        end = 20 / n_steps if self.beta_end is None else self.beta_end
        # Counted from the end, so that one step alone has beta_end.
        return _with_capped_betas(np.linspace(end, start, n_steps - 1)[::-1])


@dataclass(frozen=True)
class Sigmoid(Schedule):
    """alpha_bar[t] = (g(1) - g(t/T)) / (g(1) - g(0)).

    With g(u) = 1 / (1 + exp(-(start + (end - start) u) / tau)).

    Each beta[t] = 1 - alpha_bar[t] / alpha_bar[t-1] is at most 0.999.
    Source: Jabri, Fleet & Chen, ICML 2023.

    Args:
        start: argument of the sigmoid at t = 0.
        end: argument at t = T, above ``start``.
        tau: temperature, above 0.

    Raises:
        ValueError, TypeError: with the argument's name, for what it cannot take.
    """

    name: ClassVar[str] = "sigmoid"
    start: float = -3.0
    end: float = 3.0
    tau: float = 1.0

    def __post_init__(self) -> None:
        for name, given in (("start", self.start), ("end", self.end), ("tau", self.tau)):
            self._set(name, _finite(name, given))
        if self.end <= self.start:
            raise ValueError(f"end: got {self.end}, needed more than start, which is {self.start}")
        if self.tau <= 0:
            raise ValueError(f"tau: got {self.tau}, needed a number above 0")

    def _shares(self, n_steps: int) -> NDArray[np.float64]:
        def g(u: ArrayLike) -> NDArray[np.float64]:
            argument = (self.start + (self.end - self.start) * np.asarray(u)) / self.tau
            return np.asarray(0.5 * (1 + np.tanh(argument / 2)))

        shares = (g(1) - g(np.arange(n_steps) / n_steps)) / (g(1) - g(0))
        return _with_capped_betas(1 - shares[1:] / shares[:-1])


@dataclass(frozen=True)
class EDM(Schedule):
    """alpha_bar = 1 / (1 + sigma^2), sigma^(1/rho) evenly spaced over t = 1 .. T - 1.

    From sigma_min at t = 1 to sigma_max at t = T - 1, the last one alone for T = 2.
    Source: Karras, Aittala, Aila & Laine, NeurIPS 2022, eq. 5.

    With prediction_type "v_prediction" and time features "log_sigma" it is EDM's preconditioning
    for sigma_data = 1. There the denoiser of z = x_0 + sigma eps is

        D(z) = c_skip z + c_out F(c_in z, c_noise),   c_noise = ln(sigma) / 4
        c_skip = 1 / (1 + sigma^2),   c_out = sigma c_in,   c_in = 1 / sqrt(1 + sigma^2)

    With a = sqrt(alpha_bar) = c_in and b = sqrt(1 - alpha_bar) = c_out, the network's input is
    x_t = a z = c_in z, and v = a eps - b x_0 gives x_0 = a x_t - b v = c_skip z - c_out v. So F is
    -v, and EDM's loss weight, 1 / c_out^2 on D, makes the error of v count alike at every sigma, as
    it does here. The difference is how often each sigma is used in training: evenly over t here,
    while EDM draws ln(sigma) from a normal distribution.

    Args:
        sigma_min: standard deviation of the noise at t = 1, above 0, in units of the data's.
        sigma_max: that at t = T - 1, above ``sigma_min``.
        rho: above 0; the larger, the more timesteps with little noise.

    Raises:
        ValueError, TypeError: with the argument's name, for what it cannot take.
    """

    name: ClassVar[str] = "edm"
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        for name in ("sigma_min", "sigma_max", "rho"):
            value = _finite(name, getattr(self, name))
            if value <= 0:
                raise ValueError(f"{name}: got {value}, needed a number above 0")
            self._set(name, value)
        if self.sigma_max <= self.sigma_min:
            raise ValueError(
                f"sigma_max: got {self.sigma_max}, needed more than sigma_min, which is "
                f"{self.sigma_min}"
            )

    def _shares(self, n_steps: int) -> NDArray[np.float64]:
        falling = karras_sigmas(self.sigma_max, self.sigma_min, n_steps - 1, self.rho)
        return np.concatenate([[1.0], 1 / (1 + falling[::-1] ** 2)])


_SCHEDULES: Mapping[str, type[Schedule]] = {
    schedule.name: schedule for schedule in (Cosine, Linear, Sigmoid, EDM)
}


def resolve(schedule: str | Schedule, config: Mapping[str, Any] | None = None) -> Schedule:
    """The schedule of a name, with its defaults or the arguments in ``config``; a schedule is
    returned as it is.

    Raises:
        ValueError: for a name other than "cosine", "linear", "sigmoid" and "edm".
        TypeError: for anything else, and arguments that the schedule does not have.
    """
    if isinstance(schedule, Schedule) and config is None:
        return schedule
    needed = f"one of {', '.join(map(repr, _SCHEDULES))}"
    if not isinstance(schedule, str):
        raise TypeError(f"schedule: got {schedule!r}, needed {needed}, or a tagix.schedules one")
    if schedule not in _SCHEDULES:
        raise ValueError(f"schedule: got {schedule!r}, needed {needed}")
    made = _SCHEDULES[schedule]
    config = {} if config is None else config
    unknown = sorted(set(config) - set(made.__dataclass_fields__))  # type: ignore[attr-defined]
    if unknown:
        raise TypeError(f"config: got {unknown[0]!r}, which {made.__name__} does not take")
    return made(**config)


def karras_sigmas(
    sigma_max: float, sigma_min: float, n_sigmas: int, rho: float = 7.0
) -> NDArray[np.float64]:
    """``n_sigmas`` values from sigma_max down to sigma_min, their 1/rho-th powers evenly spaced.

        sigma_i = (sigma_max^(1/rho) + i / (n-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho

    for i = 0 .. n - 1. The ends are exact; for n = 1 the value is sigma_max. Source: Karras et al.,
    NeurIPS 2022, eq. 5.
    """
    # Powers of Python's floats raise where numpy's overflow.
    sigma_max, sigma_min = np.float64(sigma_max), np.float64(sigma_min)
    sigmas = np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), n_sigmas) ** rho
    sigmas[-1], sigmas[0] = sigma_min, sigma_max
    return np.asarray(sigmas)


def sigma(alpha_bar: ArrayLike) -> NDArray[np.float64]:
    """sqrt((1 - alpha_bar) / alpha_bar): the noise's standard deviation in z = x_t / a, same shape.

    Raises:
        ValueError: for shares outside (0, 1].
        TypeError: for anything but an array of numbers.
    """
    return _sigma_of(_as_shares(alpha_bar))


def as_alpha_bar(alpha_bar: ArrayLike) -> NDArray[np.float64]:
    """``alpha_bar`` as float64 (n_steps,), n_steps >= 2, from 1 strictly down, but above 0.

    Raises:
        ValueError: for other numbers.
        TypeError: for anything but an array of numbers.
    """
    shares = np.asarray(as_array("alpha_bar", alpha_bar), np.float64)
    if shares.ndim != 1 or len(shares) < 2:
        raise ValueError(
            f"alpha_bar: got shape {shares.shape}, needed (n_steps,) with n_steps at least 2"
        )
    if not (shares[0] == 1 and shares[-1] > 0 and (np.diff(shares) < 0).all()):
        raise ValueError("alpha_bar: got other than numbers that fall from 1 strictly and stay > 0")
    return shares


def alpha_bar_at(alpha_bar: ArrayLike, t: ArrayLike) -> NDArray[np.float64]:
    """The share of the signal's variance at any timestep, also between those of the schedule.

    For whole t this is alpha_bar[t]. Between two timesteps from 1 on, ln sigma is linear in t.
    Nothing is defined between 0, where sigma = 0, and 1.

    Args:
        alpha_bar: of the schedule, (n_steps,).
        t: timesteps, any shape, in [1, n_steps - 1], or 0.

    Returns:
        float64, the shape of ``t``.

    Raises:
        ValueError: for other timesteps, or an ``alpha_bar`` that no schedule has.
        TypeError: for anything but an array of numbers.
    """
    shares = as_alpha_bar(alpha_bar)
    steps = _as_steps(t, len(shares))
    if ((steps > 0) & (steps < 1)).any():
        raise ValueError(
            "t: got a timestep between 0 and 1, where the noise is not defined, needed 0 or at "
            "least 1"
        )
    lower = np.floor(steps).astype(np.int64)
    log_sigma = np.log(_sigma_of(shares[1:]))
    between = _shares_of(np.exp(np.interp(steps, np.arange(1, len(shares)), log_sigma)))
    return np.asarray(np.where(steps == lower, shares[lower], between))


def timestep_of(alpha_bar: ArrayLike, sigma: ArrayLike) -> NDArray[np.float64]:
    """The timestep, in [1, n_steps - 1], at which the noise in z = x_t / a has a given size.

    The inverse of :func:`alpha_bar_at`.

    Args:
        alpha_bar: of the schedule, (n_steps,).
        sigma: standard deviations, any shape, from that at t = 1 to that at t = n_steps - 1.

    Returns:
        float64, the shape of ``sigma``.

    Raises:
        ValueError: for a sigma out of that range, or an ``alpha_bar`` that no schedule has.
        TypeError: for anything but an array of numbers.
    """
    known = _sigma_of(as_alpha_bar(alpha_bar))[1:]
    wanted = np.asarray(as_array("sigma", sigma), np.float64)
    least, most = known[0] * (1 - _ROUNDING), known[-1] * (1 + _ROUNDING)
    if not ((wanted >= least) & (wanted <= most)).all():
        raise ValueError(
            f"sigma: got a number outside [{known[0]:.6g}, {known[-1]:.6g}], the range of the "
            "schedule"
        )
    return np.asarray(np.interp(np.log(wanted), np.log(known), np.arange(1.0, len(known) + 1)))


def time_features(kind: str, t: ArrayLike, alpha_bar: ArrayLike) -> NDArray[np.float64]:
    """The features of timesteps that a network gets as inputs.

    With T = n_steps:

        cosine      cos(k pi t/T) for k = 1 .. 4, and t/T - 1/2                  5 features
        scalar      t/T                                                          1 feature
        sinusoidal  sin(t w_i), cos(t w_i) in turn, w_i = 10000^(-i/7), i < 8   16 features
        log_sigma   ln(sigma) / 4, where t = 0 counts as t = 1                   1 feature

    Sources: Vaswani et al., NeurIPS 2017, for the third; Karras et al., NeurIPS 2022, for the last.

    Args:
        kind: one of these names.
        t: timesteps, (rows,), in [0, n_steps - 1], whole or not; "log_sigma" takes none between 0
            and 1.
        alpha_bar: of the schedule, (n_steps,).

    Returns:
        float64 (rows, features).

    Raises:
        ValueError: for another kind, other timesteps, or an ``alpha_bar`` that no schedule has.
        TypeError: for anything but an array of numbers.
    """
    as_choice("time_features", kind, get_args(TimeFeatures))
    shares = as_alpha_bar(alpha_bar)
    n_steps = len(shares)
    steps = _as_steps(t, n_steps)
    if steps.ndim != 1:
        raise ValueError(f"t: got shape {steps.shape}, needed one dimension (rows,)")
    column = steps[:, np.newaxis]
    if kind == "cosine":
        waves = np.cos(np.pi * np.arange(1, 5) * column / n_steps)
        return np.hstack([waves, column / n_steps - 0.5])
    if kind == "scalar":
        return np.asarray(column / n_steps)
    if kind == "sinusoidal":
        angles = column * 10_000.0 ** (-np.arange(8) / 7)
        return np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(len(steps), 16)
    noisy = alpha_bar_at(shares, np.where(column == 0, 1.0, column))
    return np.asarray(np.log(_sigma_of(noisy)) / 4)


def n_time_features(kind: str) -> int:
    """Columns of :func:`time_features`."""
    return len(time_features(kind, [1], [1.0, 0.5])[0])


def noise_levels(alpha_bar: ArrayLike, prediction_type: str) -> NDArray[np.float64]:
    """The coefficients of data and noise in x_t and in the target F of a network.

        x_t = a x_0 + b eps,   F = p x_0 + q eps,   a = sqrt(alpha_bar),   b = sqrt(1 - alpha_bar)

        epsilon        p, q = 0, 1     the noise             (Ho, Jain & Abbeel, NeurIPS 2020)
        sample         p, q = 1, 0     the data
        v_prediction   p, q = -b, a    v = a eps - b x_0     (Salimans & Ho, ICLR 2022)

    Args:
        alpha_bar: shares of the signal's variance, (n,), each in (0, 1], in any order.
        prediction_type: one of these names.

    Returns:
        float64 (n, 4): the columns a, b, p, q.

    Raises:
        ValueError: for another name, another shape, or shares outside (0, 1].
        TypeError: for an ``alpha_bar`` that is not an array of numbers, and a name that is not
            a string.
    """
    check_prediction_type(prediction_type)
    shares = _as_shares(alpha_bar)
    if shares.ndim != 1:
        raise ValueError(f"alpha_bar: got shape {shares.shape}, needed one dimension (n,)")
    a, b = np.sqrt(shares), np.sqrt(1 - shares)
    zero, one = np.zeros_like(a), np.ones_like(a)
    targets = {"epsilon": (zero, one), "sample": (one, zero), "v_prediction": (-b, a)}
    p, q = targets[prediction_type]
    return np.stack([a, b, p, q], axis=1)


def check_prediction_type(prediction_type: str) -> None:
    """ValueError unless it is the name of a prediction type, TypeError if it is not a string."""
    as_choice("prediction_type", prediction_type, get_args(PredictionType))


def _with_capped_betas(betas: NDArray[np.float64]) -> NDArray[np.float64]:
    """alpha_bar from the betas of t = 1 on, each at most 0.999."""
    return np.concatenate([[1.0], np.cumprod(1 - np.minimum(betas, _MAX_BETA))])


def _shares_of(sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """alpha_bar from sigma."""
    return np.asarray(1 / (1 + sigmas**2))


def _sigma_of(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """sigma from alpha_bar."""
    return np.asarray(np.sqrt((1 - shares) / shares))


def _as_shares(alpha_bar: ArrayLike) -> NDArray[np.float64]:
    """float64 of any shape, each in (0, 1]."""
    shares = np.asarray(as_array("alpha_bar", alpha_bar), np.float64)
    if not ((shares > 0) & (shares <= 1)).all():
        raise ValueError("alpha_bar: got a number outside (0, 1], needed all of them in it")
    return shares


def _as_steps(t: ArrayLike, n_steps: int) -> NDArray[np.float64]:
    """Timesteps as float64 in [0, n_steps - 1]."""
    steps = np.asarray(as_array("t", t), np.float64)
    if not ((steps >= 0) & (steps <= n_steps - 1)).all():
        raise ValueError(f"t: got a timestep outside [0, {n_steps - 1}]")
    return steps


def _finite(name: str, value: float) -> float:
    """A finite float, else ValueError or TypeError."""
    number = as_number(name, value)
    if not np.isfinite(number):
        raise ValueError(f"{name}: got {number}, needed a finite number")
    return number
