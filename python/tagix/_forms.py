"""What a network's prediction F at x_t says of data and noise, as linear forms.

With x = x_t = a x_0 + b eps and F = p x_0 + q eps (:func:`tagix.schedules.noise_levels`),

    x_0 = (q x - b F) / (a q - b p),   eps = (a F - p x) / (a q - b p)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix._arrays import as_array
from tagix.schedules import alpha_bar_at, noise_levels


@dataclass(frozen=True)
class Form:
    """A linear form in x, F and y: formulas of samplers are written in these."""

    x: float = 0.0
    prediction: float = 0.0
    carry: float = 0.0

    def __add__(self, other: Form) -> Form:
        return Form(self.x + other.x, self.prediction + other.prediction, self.carry + other.carry)

    def __sub__(self, other: Form) -> Form:
        return self + -1.0 * other

    def __rmul__(self, factor: float) -> Form:
        return Form(factor * self.x, factor * self.prediction, factor * self.carry)

    def __truediv__(self, divisor: float) -> Form:
        return Form(self.x / divisor, self.prediction / divisor, self.carry / divisor)


X, F, Y, ZERO = Form(x=1.0), Form(prediction=1.0), Form(carry=1.0), Form()


@dataclass(frozen=True)
class Level:
    """A timestep: x_t = a x_0 + b eps, F = p x_0 + q eps, and what x and F say of x_0 and eps."""

    t: float
    alpha_bar: float
    a: float
    b: float
    p: float
    q: float

    @property
    def is_clean(self) -> bool:
        return self.t == 0

    @property
    def sigma(self) -> float:
        return self.b / self.a

    @property
    def x_0(self) -> Form:
        return (self.q * X - self.b * F) / (self.a * self.q - self.b * self.p)

    @property
    def eps(self) -> Form:
        return (self.a * F - self.p * X) / (self.a * self.q - self.b * self.p)


def levels_at(t: ArrayLike, alpha_bar: ArrayLike, prediction_type: str) -> list[Level]:
    """The levels of timesteps, (n,), as :func:`tagix.schedules.alpha_bar_at` takes them."""
    shares = alpha_bar_at(alpha_bar, t)
    return [
        Level(*row)
        for row in np.column_stack([t, shares, noise_levels(shares, prediction_type)]).tolist()
    ]


def as_prediction(value: Any, shape: tuple[int, ...], t: float) -> NDArray[np.float64]:
    """What a user's function gave at a timestep, as float64, checked.

    Raises:
        ValueError: for another shape, NaN or infinity.
        TypeError: for anything but an array of numbers.
    """
    array = np.asarray(as_array("function", value), np.float64)
    if array.shape != shape:
        raise ValueError(f"function: got an array of shape {array.shape} from it, needed {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"function: got NaN or infinity from it at t = {t:g}")
    return array
