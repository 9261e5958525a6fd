"""Samplers as they are called: timesteps, seeds, arrays, values and errors."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from gaussian_mixture import Array
from sampler_data import COSINE, DATA, SAMPLERS, start

from tagix import samplers, schedules
from tagix.samplers import DDIM, DDPM, DPMSolverMultistep, Euler, Heun, Sampler


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_timesteps(sampler: Any) -> None:
    plan = sampler.plan(COSINE)
    n_steps = 39 if sampler.n_steps is None else sampler.n_steps
    assert plan.n_steps == n_steps
    assert (plan.t[0], plan.t[-1]) == (39, 1)
    assert plan.ends_step.dtype == bool and plan.ends_step[-1]
    assert plan.table.shape == (plan.n_stages, 8) and plan.table.dtype == np.float64
    visited = np.unique(plan.t)
    assert len(visited) == n_steps
    if isinstance(sampler, (DDPM, DDIM)):
        np.testing.assert_allclose(np.sort(plan.t)[::-1], plan.t)
        assert np.abs(plan.t - np.linspace(39, 1, n_steps)).max() <= 0.5
        assert (plan.t % 1 == 0).all() == (n_steps <= 39)
    else:
        roots = schedules.sigma(schedules.alpha_bar_at(COSINE, visited)) ** (1 / sampler.rho)
        np.testing.assert_allclose(np.diff(roots), (roots[-1] - roots[0]) / (n_steps - 1), 1e-8)
    # The last stage gives what the network says of x_0.
    x, noise = 0.3, math.sqrt(1 - COSINE[1])
    x_0 = plan.x_weight[-1] * x + plan.prediction_weight[-1] * 0.7
    assert x_0 == pytest.approx((x - noise * 0.7) / math.sqrt(COSINE[1]), rel=1e-12)
    assert plan.noise_std[-1] == 0


@pytest.mark.parametrize(
    "sampler",
    [DDPM(1), DDIM(1), Euler(1), Heun(1), DPMSolverMultistep(1)],
    ids=lambda sampler: type(sampler).__name__,
)
def test_one_step_gives_the_mean_of_the_data(sampler: Sampler) -> None:
    x = start(5, 2)
    expected = DATA.posterior(x, COSINE[-1])[0]
    np.testing.assert_allclose(
        sampler.sample(DATA.prediction(COSINE), x, COSINE), expected, rtol=1e-9
    )


@pytest.mark.parametrize(
    "sampler", [DDPM(), DDPM(3), DDIM(3), Euler(3), Heun(), DPMSolverMultistep()], ids=repr
)
def test_a_schedule_of_one_noisy_timestep(sampler: Sampler) -> None:
    """More steps stay where they are; x_0 is the mean of the data given x."""
    alpha_bar, x = np.array([1.0, 0.3]), start(5, 2)
    samples = sampler.sample(DATA.prediction(alpha_bar), x, alpha_bar)
    np.testing.assert_allclose(samples, DATA.posterior(x, 0.3)[0], rtol=1e-12)


def test_seeds_and_arrays() -> None:
    function, x = DATA.prediction(COSINE), start(6, 2)
    before = x.copy()
    first = DDPM().sample(function, x, COSINE, seed=1, trajectory=True)
    assert first.shape == (40, 6, 2) and first.dtype == np.float64
    np.testing.assert_array_equal(first[0], before)
    np.testing.assert_array_equal(first[-1], DDPM().sample(function, x, COSINE, seed=1))
    assert (first[1:] != DDPM().sample(function, x, COSINE, seed=2, trajectory=True)[1:]).all()
    np.testing.assert_array_equal(
        DDIM().sample(function, x, COSINE, seed=1), DDIM().sample(function, x, COSINE, seed=2)
    )
    np.testing.assert_array_equal(x, before)

    def careless(x_t: Array, t: Array) -> Array:
        prediction = function(x_t, t)
        x_t[:] = t[:] = np.nan
        return prediction

    np.testing.assert_array_equal(first[-1], DDPM().sample(careless, x, COSINE, seed=1))
    float32 = DDIM(4).sample(lambda x_t, t: np.zeros_like(x_t, np.float32), x.tolist(), COSINE)
    assert float32.dtype == np.float64


def test_values() -> None:
    assert Heun() == Heun(18, 7.0) != Heun(19)
    assert hash(DDIM(5)) == hash(DDIM(np.int64(5), 0))
    assert repr(DDPM(5)) == "DDPM(n_steps=5, variance_type='fixed_large')"
    with pytest.raises(FrozenInstanceError):
        DDIM().eta = 0.5  # type: ignore[misc]
    with pytest.raises(TypeError, match="abstract"):
        Sampler()  # type: ignore[abstract]


def zeros(x: Array, t: Array) -> Array:
    return np.zeros_like(x)


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "n_steps": (lambda: DDPM(0), ValueError, r"^n_steps: got 0, needed at least 1"),
    "n_steps DDIM": (lambda: DDIM(-1), ValueError, r"^n_steps: got -1"),
    "n_steps Euler": (lambda: Euler(0), ValueError, r"^n_steps: got 0"),
    "n_steps Heun": (lambda: Heun(0), ValueError, r"^n_steps: got 0"),
    "n_steps DPM": (lambda: DPMSolverMultistep(0), ValueError, r"^n_steps: got 0"),
    "n_steps 1.5": (lambda: DDPM(1.5), TypeError, r"^n_steps: got 1.5"),  # type: ignore[arg-type]
    "variance_type": (
        lambda: DDPM(variance_type="learned"),  # type: ignore[arg-type]
        ValueError,
        r"^variance_type: got 'learned', needed one of 'fixed_large', 'fixed_small'$",
    ),
    "variance_type 1": (
        lambda: DDPM(variance_type=1),  # type: ignore[arg-type]
        TypeError,
        r"^variance_type: got 1",
    ),
    "eta": (lambda: DDIM(eta=1.1), ValueError, r"^eta: got 1.1, needed a number in \[0, 1\]"),
    "eta low": (lambda: DDIM(eta=-0.1), ValueError, r"^eta: got -0.1"),
    "eta NaN": (lambda: DDIM(eta=math.nan), ValueError, r"^eta: got nan"),
    "eta text": (lambda: DDIM(eta="1"), TypeError, r"^eta: got '1'"),  # type: ignore[arg-type]
    "rho": (lambda: Heun(rho=0.0), ValueError, r"^rho: got 0.0, needed a finite number above 0"),
    "rho Euler": (lambda: Euler(rho=math.inf), ValueError, r"^rho: got inf"),
    "rho DPM": (lambda: DPMSolverMultistep(rho=math.nan), ValueError, r"^rho: got nan"),
    "alpha_bar": (lambda: DDPM().plan([0.9, 0.5]), ValueError, r"^alpha_bar: got"),
    "alpha_bar Heun": (lambda: Heun().plan([1.0, 0.5, 0.6]), ValueError, r"^alpha_bar: got"),
    "prediction_type": (
        lambda: DDPM().plan(COSINE, "noise"),
        ValueError,
        r"^prediction_type: got 'noise'",
    ),
    "prediction_type Euler": (
        lambda: Euler().sample(zeros, start(3, 2), COSINE, prediction_type="score"),
        ValueError,
        r"^prediction_type: got 'score'",
    ),
    "function": (
        lambda: DDIM().sample(None, start(3, 2), COSINE),  # type: ignore[arg-type]
        TypeError,
        r"^function: got None",
    ),
    "function shape": (
        lambda: DDIM().sample(lambda x, t: x[:, :1], start(3, 2), COSINE),
        ValueError,
        r"^function: got an array of shape \(3, 1\) from it, needed \(3, 2\)",
    ),
    "function NaN": (
        lambda: DDIM().sample(
            lambda x, t: np.where(t[:, np.newaxis] < 5, np.nan, x), start(3, 2), COSINE
        ),
        ValueError,
        r"^function: got NaN or infinity from it at t = 4$",
    ),
    "function text": (
        lambda: DDIM().sample(lambda x, t: "a", start(3, 2), COSINE),
        TypeError,
        r"^function: got",
    ),
    "x shape": (
        lambda: Heun().sample(zeros, np.zeros(3), COSINE),
        ValueError,
        r"^x: got shape \(3,\), needed \(n, n_features\)",
    ),
    "x count": (
        lambda: Heun().sample(zeros, 3, COSINE),
        ValueError,
        r"^x: got shape \(\), needed",
    ),
    "x empty": (lambda: Heun().sample(zeros, np.zeros((0, 2)), COSINE), ValueError, r"^x: got"),
    "x NaN": (lambda: Heun().sample(zeros, [[math.nan]], COSINE), ValueError, r"^x: got NaN"),
    "x text": (lambda: Heun().sample(zeros, "x", COSINE), TypeError, r"^x: got"),
    "seed": (lambda: DDPM().sample(zeros, [[0.0]], COSINE, seed=-1), ValueError, r"^seed: got -1"),
    "trajectory": (
        lambda: DDPM().sample(zeros, [[0.0]], COSINE, trajectory=1),  # type: ignore[arg-type]
        TypeError,
        r"^trajectory: got 1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_samplers_refuse(case: str) -> None:
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()


def test_a_sampler_of_one_s_own() -> None:
    """A plan is all that a sampler has to give: here, the mean of the data in one stage."""

    class OneStep(Sampler):
        def plan(self, alpha_bar: Any, prediction_type: str = "epsilon") -> samplers.Plan:
            return DDIM(1).plan(alpha_bar, prediction_type)

    x = start(4, 2)
    np.testing.assert_allclose(
        OneStep().sample(DATA.prediction(COSINE), x, COSINE), DATA.posterior(x, COSINE[-1])[0]
    )
