"""Samplers of diffusion models, each a table of linear stages.

Names and arguments are those of the schedulers of the diffusers library. In each stage the network
is called once, for its prediction F at (x, t); everything else is linear in x, F, a standard normal
n, and a carry y from the stage before:

    x' = x_weight x + prediction_weight F + carry_weight y + noise_std n
    y' = carry_x x + carry_prediction F,   y = 0 at first

with x = x_t = a x_0 + b eps throughout, a = sqrt(alpha_bar[t]) and b = sqrt(1 - alpha_bar[t]). What
F predicts matters only through x_0 and eps, which are linear in x and F, too.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix._arrays import as_choice, as_count, as_flag, as_number, as_points
from tagix._forms import ZERO, Form, Level, X, Y, as_prediction, levels_at
from tagix._seeds import check_seed
from tagix.schedules import as_alpha_bar, karras_sigmas, timestep_of
from tagix.schedules import sigma as sigma_of

__all__ = [
    "DDIM",
    "DDPM",
    "DPMSolverMultistep",
    "Euler",
    "Heun",
    "Plan",
    "PredictionFunction",
    "Sampler",
    "VarianceType",
]

VarianceType = Literal["fixed_large", "fixed_small"]
Array = NDArray[np.float64]
PredictionFunction = Callable[[Array, Array], ArrayLike]


@dataclass(frozen=True, eq=False)
class Plan:
    """What a sampler does in each stage: float64 arrays (n_stages,) with the module's names."""

    t: Array
    """The timestep at which the network is called."""
    x_weight: Array
    prediction_weight: Array
    carry_weight: Array
    noise_std: Array
    carry_x: Array
    carry_prediction: Array
    aleatoric_identity: Array
    """Cov(x_0 | x_t) = aleatoric_identity I + aleatoric_jacobian (J + J^T) / 2, J = dF / dx.

    That is (b/a)^2 (I - b d eps / dx), Tweedie's formula of the second order (Efron, JASA 2011).
    """
    aleatoric_jacobian: Array
    ends_step: NDArray[np.bool_]
    """Whether a step of the sampler ends with the stage, (n_stages,)."""

    @property
    def table(self) -> Array:
        """The weights (n_stages, 8): the columns in the order of the attributes, from x_weight."""
        return np.stack([getattr(self, name) for name in _WEIGHTS], axis=1)

    @property
    def n_stages(self) -> int:
        """How often the network is called."""
        return len(self.t)

    @property
    def n_steps(self) -> int:
        """Steps of the sampler."""
        return int(self.ends_step.sum())


# The columns of Plan.table.
_WEIGHTS = (
    "x_weight",
    "prediction_weight",
    "carry_weight",
    "noise_std",
    "carry_x",
    "carry_prediction",
    "aleatoric_identity",
    "aleatoric_jacobian",
)


class Sampler(ABC):
    """Turns noise into samples, in steps from t = T - 1 to t = 1 and from there to clean data."""

    @abstractmethod
    def plan(self, alpha_bar: ArrayLike, prediction_type: str = "epsilon") -> Plan:
        """The table of stages for a schedule.

        Args:
            alpha_bar: of the schedule, (T,), from 1 strictly down.
            prediction_type: what the network predicts, "epsilon", "sample" or "v_prediction".

        Raises:
            ValueError: for an ``alpha_bar`` that no schedule has, or another prediction type.
            TypeError: for an ``alpha_bar`` that is not an array of numbers, and a name that is not
                a string.
        """

    def sample(
        self,
        function: PredictionFunction,
        x: ArrayLike,
        alpha_bar: ArrayLike,
        *,
        prediction_type: str = "epsilon",
        seed: int = 0,
        trajectory: bool = False,
    ) -> Array:
        """Carry out the plan on a function in place of a network, in float64.

        Args:
            function: ``function(x, t)`` predicts F, (n, d), for float64 arrays x (n, d), which it
                may keep or change, and t (n,), timesteps that need not be whole.
            x: where to start at t = T - 1, (n, d): standard normal numbers.
            alpha_bar: of the schedule, (T,).
            prediction_type: what the function predicts.
            seed: fixes the noise of the sampler, where it has one.
            trajectory: return x at the start and after each step.

        Returns:
            float64 (n, d), or (n_steps + 1, n, d) with ``trajectory``.

        Raises:
            ValueError: for wrong shapes, NaN or infinity, those of the function included, and as
                :meth:`plan`.
            TypeError: for an argument of the wrong type, and an array that is not of numbers.
        """
        if not callable(function):
            raise TypeError(f"function: got {function!r}, needed a function of x and t")
        x_t = as_points("x", x).copy()
        plan = self.plan(alpha_bar, prediction_type)
        generator = np.random.default_rng(check_seed(seed))
        chain = [x_t] if as_flag("trajectory", trajectory) else []
        y = np.zeros_like(x_t)
        for i in range(plan.n_stages):
            t = np.full(len(x_t), plan.t[i])
            prediction = as_prediction(function(x_t.copy(), t), x_t.shape, plan.t[i])
            new = plan.x_weight[i] * x_t + plan.prediction_weight[i] * prediction
            new += plan.carry_weight[i] * y
            if plan.noise_std[i] > 0:
                new += plan.noise_std[i] * generator.standard_normal(x_t.shape)
            y = plan.carry_x[i] * x_t + plan.carry_prediction[i] * prediction
            x_t = new
            if trajectory and plan.ends_step[i]:
                chain.append(x_t)
        return np.stack(chain) if trajectory else x_t

    def _set_n_steps(self, n_steps: int | None) -> None:
        if n_steps is not None:
            object.__setattr__(self, "n_steps", as_count("n_steps", n_steps, least=1))


class _EvenSampler(Sampler):
    """One stage for each of ``n_steps`` timesteps that are evenly spaced."""

    n_steps: int | None

    def plan(self, alpha_bar: ArrayLike, prediction_type: str = "epsilon") -> Plan:
        timesteps = _even_timesteps(alpha_bar, self.n_steps)
        return _plan(self._stage(t, s) for t, s in _steps(timesteps, alpha_bar, prediction_type))

    @abstractmethod
    def _stage(self, t: Level, s: Level) -> _Stage:
        """The step from t to s."""


@dataclass(frozen=True)
class _KarrasSampler(Sampler):
    """Steps over ``n_steps`` timesteps with sigma^(1/rho) evenly spaced, and on to 0."""

    n_steps: int | None = None
    rho: float = 7.0

    def __post_init__(self) -> None:
        self._set_n_steps(self.n_steps)
        rho = as_number("rho", self.rho)
        if not 0 < rho < math.inf:
            raise ValueError(f"rho: got {rho}, needed a finite number above 0")
        object.__setattr__(self, "rho", rho)

    def plan(self, alpha_bar: ArrayLike, prediction_type: str = "epsilon") -> Plan:
        timesteps = _karras_timesteps(alpha_bar, self.n_steps, self.rho)
        return _plan(self._stages(_steps(timesteps, alpha_bar, prediction_type)))

    @abstractmethod
    def _stages(self, steps: Iterable[tuple[Level, Level]]) -> Iterator[_Stage]:
        """The stages of all steps, from t to s each."""


@dataclass(frozen=True)
class DDPM(_EvenSampler):
    """Ancestral sampling (Ho, Jain & Abbeel, NeurIPS 2020, algorithm 2), from t to the next s < t:

        x_s = (x_t - beta / b_t eps) / sqrt(alpha) + sqrt(var) n
        alpha = alpha_bar_t / alpha_bar_s,   beta = 1 - alpha

    The timesteps are evenly spaced from T - 1 to 1, rounded to integers as long as there are enough
    integers. The last step goes to clean data and has no noise.

    Args:
        n_steps: steps; None is T - 1, one for each timestep.
        variance_type: "fixed_large", var = beta, right for data of variance 1, or "fixed_small",
            var = beta (1 - alpha_bar_s) / (1 - alpha_bar_t), right for data of one point.

    Raises:
        ValueError, TypeError: with the argument's name, for what it cannot take.
    """

    n_steps: int | None = None
    variance_type: VarianceType = "fixed_large"

    def __post_init__(self) -> None:
        self._set_n_steps(self.n_steps)
        as_choice("variance_type", self.variance_type, get_args(VarianceType))

    def _stage(self, t: Level, s: Level) -> _Stage:
        alpha = t.alpha_bar / s.alpha_bar
        beta = 1 - alpha
        var = beta
        if s.is_clean:
            var = 0.0
        elif self.variance_type == "fixed_small":
            var = beta * (1 - s.alpha_bar) / (1 - t.alpha_bar)
        return _Stage(t, (X - beta / t.b * t.eps) / math.sqrt(alpha), noise_std=math.sqrt(var))


@dataclass(frozen=True)
class DDIM(_EvenSampler):
    """Denoising diffusion implicit models (Song, Meng & Ermon, ICLR 2021, eq. 12, 16), t to s < t:

        x_s = a_s x_0 + sqrt(b_s^2 - std^2) eps + std n
        std = eta b_s / b_t sqrt(1 - alpha_bar_t / alpha_bar_s)

    The timesteps are those of :class:`DDPM`; DDPM with "fixed_small" equals ``eta=1``.

    Args:
        n_steps: steps; None is T - 1, one for each timestep.
        eta: in [0, 1], the share of DDPM's noise; 0 is deterministic.

    Raises:
        ValueError, TypeError: with the argument's name, for what it cannot take.
    """

    n_steps: int | None = None
    eta: float = 0.0

    def __post_init__(self) -> None:
        self._set_n_steps(self.n_steps)
        eta = as_number("eta", self.eta)
        if not 0 <= eta <= 1:
            raise ValueError(f"eta: got {eta}, needed a number in [0, 1]")
        object.__setattr__(self, "eta", eta)

    def _stage(self, t: Level, s: Level) -> _Stage:
        std = self.eta * s.b / t.b * math.sqrt(1 - t.alpha_bar / s.alpha_bar)
        # Rounding alone can make it negative, for eta = 1 and next to no signal in x_t.
        direction = math.sqrt(max(0.0, s.b**2 - std**2))
        return _Stage(t, s.a * t.x_0 + direction * t.eps, noise_std=std)


@dataclass(frozen=True)
class Euler(_KarrasSampler):
    """Euler's method on the probability-flow ODE dz/dsigma = eps, z = x / a (Karras et al., 2022):

        z_s = z_t + (sigma_s - sigma_t) eps

    sigma^(1/rho) falls evenly from T - 1 to 1 (eq. 5 there); then comes the step to 0. Its error
    is of order 1. On the same timesteps it is :class:`DDIM` with eta = 0.

    Args:
        n_steps: steps, of one call of the network each; None is T - 1.
        rho: above 0; the larger, the more steps at little noise.

    Raises:
        ValueError, TypeError: with the argument's name, for what it cannot take.
    """

    def _stages(self, steps: Iterable[tuple[Level, Level]]) -> Iterator[_Stage]:
        for t, s in steps:
            yield _Stage(t, s.a * (X / t.a + (s.sigma - t.sigma) * t.eps))


@dataclass(frozen=True)
class Heun(_KarrasSampler):
    """Heun's method on the ODE of :class:`Euler` (Karras et al., NeurIPS 2022, algorithm 1):

        z~  = z_t + h eps(z_t, t),   h = sigma_s - sigma_t
        z_s = z_t + h/2 (eps(z_t, t) + eps(z~, s))

    The last step, to sigma = 0, is Euler's: n_steps steps are 2 n_steps - 1 stages. Its error is of
    order 2, except for that step, which gives the mean of the data about the last z.

    Args:
        n_steps: steps; None is T - 1.
        rho: above 0; the larger, the more steps at little noise.

    Raises:
        ValueError, TypeError: with the argument's name, for what it cannot take.
    """

    n_steps: int | None = 18

    def _stages(self, steps: Iterable[tuple[Level, Level]]) -> Iterator[_Stage]:
        for t, s in steps:
            h = s.sigma - t.sigma
            if s.is_clean:
                yield _Stage(t, X / t.a + h * t.eps)
                return
            predicted = s.a * (X / t.a + h * t.eps)
            halfway = s.a * (X / t.a + h / 2 * t.eps)
            yield _Stage(t, predicted, carry=halfway, ends_step=False)
            yield _Stage(s, Y + s.a * h / 2 * s.eps)


@dataclass(frozen=True)
class DPMSolverMultistep(_KarrasSampler):
    """DPM-Solver++(2M) (Lu et al., 2022, algorithm 2), from t to s < t, with r the timestep before:

        x_s = b_s / b_t x_t - a_s (exp(-h_s) - 1) D
        D   = (1 + h_s / (2 h_t)) x_0(x_t) - h_s / (2 h_t) x_0(x_r)
        h_s = ln(sigma_t / sigma_s),   h_t = ln(sigma_r / sigma_t)

    In the first step D = x_0(x_t), and the last, to sigma = 0, gives x_0. The timesteps are those
    of :class:`Euler`. Its error is of order 2, with one call of the network per step.

    Args:
        n_steps: steps; None is T - 1.
        rho: above 0; the larger, the more steps at little noise.

    Raises:
        ValueError, TypeError: with the argument's name, for what it cannot take.
    """

    n_steps: int | None = 20

    def _stages(self, steps: Iterable[tuple[Level, Level]]) -> Iterator[_Stage]:
        previous_h = 0.0
        for t, s in steps:
            if s.is_clean:
                yield _Stage(t, t.x_0)
                return
            h = math.log(t.sigma / s.sigma)
            # Steps have no length where the schedule has but one noisy timestep.
            ratio = h / (2 * previous_h) if previous_h > 0 else 0.0
            estimate = (1 + ratio) * t.x_0 - ratio * Y
            yield _Stage(t, s.b / t.b * X - s.a * math.expm1(-h) * estimate, carry=t.x_0)
            previous_h = h


@dataclass(frozen=True)
class _Stage:
    """A call of the network at ``level`` and what becomes of x and y."""

    level: Level
    x: Form
    noise_std: float = 0.0
    carry: Form = ZERO
    ends_step: bool = True

    @property
    def weights(self) -> tuple[float, ...]:
        """The row of Plan.table."""
        level, x, carry = self.level, self.x, self.carry
        # (b/a)^2 (I - b d eps / dx), where eps is a form in x and F(x).
        slope = Form(x=1.0) - level.b * level.eps
        aleatoric = level.sigma**2 * slope
        return (
            x.x,
            x.prediction,
            x.carry,
            self.noise_std,
            carry.x,
            carry.prediction,
            aleatoric.x,
            aleatoric.prediction,
        )


def _plan(stages: Iterable[_Stage]) -> Plan:
    listed = list(stages)
    columns = np.array([stage.weights for stage in listed]).T.copy()
    return Plan(
        t=np.array([stage.level.t for stage in listed]),
        ends_step=np.array([stage.ends_step for stage in listed]),
        **dict(zip(_WEIGHTS, columns, strict=True)),
    )


def _steps(
    timesteps: Array, alpha_bar: ArrayLike, prediction_type: str
) -> Iterator[tuple[Level, Level]]:
    """The pairs (t, s) of a chain over the timesteps, and from the last of them to 0."""
    return pairwise(levels_at(np.append(timesteps, 0.0), alpha_bar, prediction_type))


def _even_timesteps(alpha_bar: ArrayLike, n_steps: int | None) -> Array:
    """n_steps timesteps evenly from T - 1 to 1, whole ones where there are enough."""
    last = len(as_alpha_bar(alpha_bar)) - 1
    count = last if n_steps is None else n_steps
    timesteps = np.linspace(last, 1.0, count)
    return np.rint(timesteps) if count <= last else timesteps


def _karras_timesteps(alpha_bar: ArrayLike, n_steps: int | None, rho: float) -> Array:
    """n_steps timesteps from T - 1 to 1 with sigma^(1/rho) evenly spaced; one alone is T - 1."""
    shares = as_alpha_bar(alpha_bar)
    last = len(shares) - 1
    least, most = sigma_of(shares[[1, -1]])
    sigmas = karras_sigmas(most, least, last if n_steps is None else n_steps, rho)
    timesteps = timestep_of(shares, sigmas)
    timesteps[-1], timesteps[0] = 1.0, last
    return timesteps
