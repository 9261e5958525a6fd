"""Networks that infer the noise of their targets, in float32, against the float64 reference.

Errors of predictions and variances are those of test_parity. Means are measured by the standard
deviations of their parameters where they are smaller than these: a bias may lie next to 0. Of the
tests of 50 updates, too, there are two, for the same reason as there.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the torch extra")

from core_quadrature import with_core_rule
from helpers import (
    Array,
    State,
    on_every_device,
    relative_error,
    same_bits,
)

import tagix as tx
from tagix import nn, reference

TARGET = 1e-5

HETEROSCEDASTIC: dict[str, tuple[Any, float]] = {
    "exp": ("exp", 0.1),
    "exp, wide": ("exp", 1.0),
    "softplus": ("softplus", 0.1),
    "softplus, wide": ("softplus", 1.0),
}
NOISES = [*HETEROSCEDASTIC, "homoscedastic"]
RULES: dict[str, Callable[[ModuleType], Any]] = {
    "information": lambda m: m.Information(),
    "capped": lambda m: m.Capped(),
}
# The reference starts at w = 0, V = exp(1/2).
HOMOSCEDASTIC_STD = float(np.exp(0.25))


def core_noise(noise: str) -> tx.Heteroscedastic | tx.Homoscedastic:
    if noise == "homoscedastic":
        return tx.Homoscedastic(HOMOSCEDASTIC_STD, learn=True)
    return tx.Heteroscedastic(*HETEROSCEDASTIC[noise])


def reference_noise(
    noise: str, core_rule: bool
) -> reference.Heteroscedastic | reference.Homoscedastic:
    if noise == "homoscedastic":
        return reference.Homoscedastic(learn=True, prior_var=1.0, min_var=0.01)
    model = reference.Heteroscedastic(*HETEROSCEDASTIC[noise])
    if core_rule and model.link == "softplus":
        link = with_core_rule(reference.Softplus())
        model.var_moments = (  # type: ignore[method-assign]
            lambda mean, var, *, expected: link.forward(mean, var)
        )
    return model


class Pair:
    """A network that infers noise from the core and from the reference, with one start.

    The reference integrates a softplus by the core's quadrature rule, if `core_rule`.
    """

    def __init__(
        self,
        noise: str,
        rule: str = "information",
        *,
        n_targets: int = 3,
        bias: bool = True,
        nested: bool = False,
        device: str = "cpu",
        core_rule: bool = True,
    ) -> None:
        self.n_targets = n_targets

        def layers(module: ModuleType) -> list[Any]:
            last = [module.ReLU(), module.Linear(16, n_targets, bias)]
            body = [module.Linear(3, 16, bias), module.ReLU(), module.Linear(16, 16, bias)]
            if not nested:
                return body + last
            return [*body[:2], module.Sequential(body[2], module.Sequential(*last))]

        self.core = nn.Sequential(
            *layers(nn), rule=RULES[rule](tx), noise=core_noise(noise), seed=3, device=device
        )
        self.reference = reference.Sequential(
            *layers(reference),
            rule=RULES[rule](reference),
            noise=reference_noise(noise, core_rule),
            seed=4,
        )
        self.follow()

    def follow(self) -> None:
        """Set the reference to the core's parameters."""
        self.reference.load_state_dict(self.core.state_dict())

    def batch(self, batch_size: int, step: int) -> tuple[Array, Array]:
        """Inputs, and targets whose noise grows with the first and differs from each other."""
        generator = np.random.default_rng([batch_size, step])
        x = generator.standard_normal((batch_size, 3))
        values = [np.sin(x[:, 0]) + x[:, 1] * x[:, 2], np.cos(x.sum(axis=1)), x[:, 0] - x[:, 1]]
        y = np.stack(values, axis=1)
        y += np.exp(0.5 * x[:, :1] - [0, 1, 2]) * generator.standard_normal(y.shape)
        return x.astype(np.float32), y[:, : self.n_targets].astype(np.float32)

    def update(self, x: Array, y: Array, x_var: Array | None = None) -> float:
        """Updates both; the error of what they predicted before."""
        return prediction_error(
            self.core.update(x, y, x_var=x_var), self.reference.update(x, y, x_var=x_var)
        )

    def prediction_error(self, x: Array, x_var: Array | None = None) -> float:
        return prediction_error(self.core(x, x_var), self.reference(x, x_var))

    def error(self) -> float:
        return parameter_error(self.core.state_dict(), self.reference.state_dict())


def prediction_error(actual: tx.Prediction, expected: reference.Prediction) -> float:
    """The largest error of mean, var and its parts; means next to 0 are measured by deviations."""
    np.testing.assert_allclose(
        actual.mean, expected.mean, rtol=0, atol=100 * TARGET * np.sqrt(expected.var.max())
    )
    errors = [scaled_error(actual.mean, expected.mean, np.sqrt(expected.var.max()))]
    for part in ("var", "epistemic", "aleatoric"):
        errors.append(relative_error(getattr(actual, part), getattr(expected, part)))
    return max(errors)


def scaled_error(actual: Array, expected: Array, least: float) -> float:
    """max |actual - expected| over max |expected|, or over `least` if that is more."""
    assert actual.shape == expected.shape
    scale = max(float(np.abs(expected).max()), least)
    return float(np.abs(actual.astype(np.float64) - expected).max() / scale)


def parameter_error(actual: State, expected: State) -> float:
    """The largest error of any array; means next to 0 are measured by standard deviations."""
    assert set(actual) == set(expected)
    errors = []
    for key, value in expected.items():
        name, _, moment = key.rpartition(".")
        least = np.sqrt(expected[f"{name}.var"].max()) if moment == "mean" else 0.0
        errors.append(scaled_error(actual[key], value, float(least)))
    return max(errors)


@on_every_device
@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("noise", NOISES)
def test_50_updates(noise: str, rule: str, batch_size: int, n_targets: int, device: str) -> None:
    pair = Pair(noise, rule, n_targets=n_targets, device=device)
    assert pair.prediction_error(pair.batch(100, 99)[0]) <= TARGET
    for step in range(50):
        # Of one row, what is epistemic may be next to nothing beside the noise.
        pair.update(*pair.batch(batch_size, step))
        assert step > 0 or pair.error() <= TARGET
    assert pair.error() <= TARGET
    assert pair.prediction_error(pair.batch(100, 99)[0]) <= TARGET


@on_every_device
@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("batch_size", [64, 300])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("noise", NOISES)
def test_each_of_20_updates(
    noise: str, rule: str, batch_size: int, n_targets: int, device: str
) -> None:
    pair = Pair(noise, rule, n_targets=n_targets, device=device)
    worst = 0.0
    for step in range(20):
        pair.follow()
        worst = max(worst, pair.update(*pair.batch(batch_size, step)), pair.error())
    assert worst <= TARGET


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("noise", ["softplus", "softplus, wide"])
def test_20_updates_against_converged_integrals(noise: str, rule: str) -> None:
    pair = Pair(noise, rule, core_rule=False)
    for step in range(20):
        pair.update(*pair.batch(7, step))
    assert pair.error() <= 1e-4
    assert pair.prediction_error(pair.batch(100, 99)[0]) <= 1e-4


@on_every_device
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("uncertain", [False, True])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("noise", "rule"),
    [("exp", "information"), ("softplus, wide", "capped"), ("homoscedastic", "information")],
)
def test_kinds_of_observation(
    noise: str, rule: str, bias: bool, nested: bool, uncertain: bool, missing: bool, device: str
) -> None:
    pair = Pair(noise, rule, bias=bias, nested=nested, device=device)
    last = "2.1.1" if nested else "4"
    learned = {key.rpartition(".")[0] for key in pair.core.state_dict() if key.startswith(last)}
    parts = ["weight", "noise_weight"] if noise != "homoscedastic" else ["weight"]
    parts += ["bias"] * bias + ["noise_bias"] * (bias or noise == "homoscedastic")
    assert learned == {f"{last}.{part}" for part in parts}
    generator = np.random.default_rng(1)
    for step in range(20):
        x, y = pair.batch(7, step)
        if missing:
            y[generator.random(y.shape) < 0.3] = np.nan
        x_var = generator.uniform(0, 0.1, x.shape).astype(np.float32) if uncertain else None
        assert pair.update(x, y, x_var) <= TARGET
    assert pair.error() <= TARGET
    x, _ = pair.batch(100, 99)
    assert pair.prediction_error(x, np.full_like(x, 0.3)) <= TARGET


@on_every_device
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("noise", NOISES)
def test_rows_without_any_target_say_nothing(noise: str, rule: str, device: str) -> None:
    pair = Pair(noise, rule, device=device)
    pair.update(*pair.batch(7, 0))
    before = pair.core.state_dict()
    x, y = pair.batch(7, 1)
    pair.core.update(x, np.full_like(y, np.nan))
    assert same_bits(pair.core.state_dict(), before)
    assert pair.error() <= TARGET


@on_every_device
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("noise", NOISES)
def test_innovations(noise: str, rule: str, bias: bool, device: str) -> None:
    pair = Pair(noise, rule, bias=bias, device=device)
    x, y = pair.batch(7, 0)
    y[2, 1] = np.nan
    x_var = np.full_like(x, 0.2)
    core = pair.core._model.innovations(x, y, None, x_var)
    expected = pair.reference.innovations(x, y, x_var=x_var)
    assert core["output"].shape == (2, 7, 6)
    np.testing.assert_array_equal(core["output"][:, 2, [1, 4]], 0)
    for key, truth in (("output", expected.output), ("input", expected.input)):
        for actual, value in zip(core[key], truth, strict=True):
            assert relative_error(actual, value) <= TARGET
    names = []
    for _, name, shape, start, _ in pair.core._model.parameter_layout:
        names.append(name)
        information, precision = expected.parameters[name]
        assert information.shape == tuple(shape)
        actual = core["parameters"][:, 0, start : start + information.size]
        assert relative_error(actual[0], information.ravel()) <= TARGET
        assert relative_error(-actual[1], precision.ravel()) <= TARGET
    assert set(names) == set(expected.parameters)


@on_every_device
@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("noise", NOISES)
def test_fit_is_the_updates_one_by_one(noise: str, rule: str, batch_size: int, device: str) -> None:
    pair = Pair(noise, rule, device=device)
    alone = Pair(noise, rule, device=device)
    x, y = pair.batch(4 * batch_size, 0)
    y[1, 0] = np.nan
    pair.core.fit(x, y, n_epochs=2, batch_size=batch_size, shuffle=False, progress=False)
    for _ in range(2):
        for first in range(0, len(x), batch_size):
            alone.core.update(x[first : first + batch_size], y[first : first + batch_size])
            pair.reference.update(x[first : first + batch_size], y[first : first + batch_size])
    assert parameter_error(pair.core.state_dict(), alone.core.state_dict()) <= TARGET
    assert pair.error() <= TARGET
