"""Noise schedules, timesteps between those of a schedule, time features and targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tagix import schedules
from tagix.schedules import EDM, Cosine, Linear, Sigmoid

NAMES: list[Any] = ["cosine", "linear", "sigmoid", "edm"]
SCHEDULES = [
    Cosine(),
    Cosine(0.1),
    Linear(),
    Linear(1e-3, 0.3),
    Sigmoid(),
    Sigmoid(0.0, 3.0, 0.7),
    EDM(),
    EDM(0.05, 20.0, 3.0),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_steps", [2, 3, 10, 40, 1000])
def test_alpha_bar_is_that_of_the_reference(name: Any, n_steps: int) -> None:
    pytest.importorskip("torch", reason="needs the torch extra")
    from tagix import reference

    expected = reference.schedule(name, n_steps)
    np.testing.assert_allclose(
        schedules.resolve(name).alpha_bar(n_steps), expected.alpha_bar, rtol=1e-12
    )
    np.testing.assert_allclose(np.cumprod(1 - expected.beta), expected.alpha_bar, rtol=1e-10)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("n_steps", [2, 3, 40, 500])
def test_alpha_bar_falls_from_one(schedule: schedules.Schedule, n_steps: int) -> None:
    alpha_bar = schedule.alpha_bar(n_steps)
    assert alpha_bar.shape == (n_steps,) and alpha_bar.dtype == np.float64
    assert alpha_bar[0] == 1.0 and alpha_bar[-1] > 0
    assert (np.diff(alpha_bar) < 0).all()


def test_arguments_at_known_points() -> None:
    def f(u: float) -> float:
        return math.cos(math.pi / 2 * (u + 0.1) / 1.1) ** 2

    assert Cosine(0.1).alpha_bar(10)[5] == pytest.approx(f(0.5) / f(0), rel=1e-13)
    linear = Linear(0.01, 0.04).alpha_bar(5)  # betas 0.01, 0.02, 0.03, 0.04
    np.testing.assert_allclose(linear[1:], np.cumprod([0.99, 0.98, 0.97, 0.96]), rtol=1e-14)
    assert Linear(0.01, 0.04).alpha_bar(2)[1] == pytest.approx(0.96, rel=1e-14)
    # From 0 to ln 3: the logistic function is 1/2 and 3/4 there, 1 / (1 + 3^(-1/2)) halfway.
    half = Sigmoid(0.0, 2 * math.log(3), 2.0).alpha_bar(2)[1]
    assert half == pytest.approx((0.75 - 1 / (1 + 3**-0.5)) / 0.25, rel=1e-13)
    edm = EDM(1.0, 9.0, 2.0).alpha_bar(4)  # square roots of sigma are 1, 2, 3
    np.testing.assert_allclose(schedules.sigma(edm), [0, 1, 4, 9], rtol=1e-13)
    assert schedules.sigma(EDM().alpha_bar(2))[1] == pytest.approx(80.0, rel=1e-13)
    assert Linear().alpha_bar(10)[-1] == pytest.approx(  # betas from 1 on are 0.999
        np.prod([max(1 - beta, 1e-3) for beta in np.linspace(0.01, 2, 9)]), rel=1e-11
    )


def test_values() -> None:
    assert Cosine() == Cosine(0.008) != Cosine(0.01)
    assert hash(EDM()) == hash(EDM(rho=7))
    assert repr(Linear(beta_end=np.float32(0.5))) == "Linear(beta_start=None, beta_end=0.5)"
    assert EDM(1, 2).config == {"sigma_min": 1.0, "sigma_max": 2.0, "rho": 7.0}
    assert Linear().config == {"beta_start": None, "beta_end": None}
    for schedule in SCHEDULES:
        assert type(schedule)(**schedule.config) == schedule
        assert schedules.resolve(schedule.name, schedule.config) == schedule
        assert schedules.resolve(schedule) is schedule
    for name, made in zip(NAMES, (Cosine, Linear, Sigmoid, EDM), strict=True):
        assert schedules.resolve(name) == made()
    with pytest.raises(FrozenInstanceError):
        Cosine().s = 1.0  # type: ignore[misc]


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "s": (lambda: Cosine(-0.1), ValueError, r"^s: got -0.1, needed at least 0"),
    "s NaN": (lambda: Cosine(math.nan), ValueError, r"^s: got nan, needed a finite"),
    "s text": (lambda: Cosine("0.1"), TypeError, r"^s: got '0.1', needed a number"),  # type: ignore[arg-type]
    "beta_start": (lambda: Linear(0.0), ValueError, r"^beta_start: got 0.0, needed a number in"),
    "beta_end": (lambda: Linear(None, 1.0), ValueError, r"^beta_end: got 1.0"),
    "beta text": (lambda: Linear("a"), TypeError, r"^beta_start: got 'a'"),  # type: ignore[arg-type]
    "end": (lambda: Sigmoid(1.0, 1.0), ValueError, r"^end: got 1.0, needed more than start"),
    "tau": (lambda: Sigmoid(tau=0.0), ValueError, r"^tau: got 0.0"),
    "start": (lambda: Sigmoid(start=-math.inf), ValueError, r"^start: got -inf"),
    "sigma_min": (lambda: EDM(0.0), ValueError, r"^sigma_min: got 0.0"),
    "sigma_max": (lambda: EDM(2.0, 2.0), ValueError, r"^sigma_max: got 2.0, needed more than"),
    "rho": (lambda: EDM(rho=-1.0), ValueError, r"^rho: got -1.0"),
    "rho None": (lambda: EDM(rho=None), TypeError, r"^rho: got None"),  # type: ignore[arg-type]
    "n_steps": (lambda: Cosine().alpha_bar(1), ValueError, r"^n_steps: got 1, needed at least 2"),
    "n_steps 2.5": (lambda: EDM().alpha_bar(2.5), TypeError, r"^n_steps: got 2.5"),  # type: ignore[arg-type]
    "n_steps underflow": (
        lambda: Linear(0.9, 0.9).alpha_bar(1000),
        ValueError,
        r"^n_steps: got 1000, for which Linear\(beta_start=0.9.* does not fall strictly",
    ),
    "n_steps flat": (lambda: Sigmoid(50, 60).alpha_bar(9), ValueError, r"^n_steps: got 9, for"),
    "rho tiny": (lambda: EDM(rho=1e-5).alpha_bar(9), ValueError, r"^n_steps: got 9, for"),
    "sigma flat": (lambda: EDM(1e-12).alpha_bar(9), ValueError, r"^n_steps: got 9, for"),
    "schedule": (
        lambda: schedules.resolve("quadratic"),
        ValueError,
        r"^schedule: got 'quadratic', needed one of 'cosine', 'linear', 'sigmoid', 'edm'$",
    ),
    "schedule 3": (lambda: schedules.resolve(3), TypeError, r"^schedule: got 3"),  # type: ignore[arg-type]
    "config": (
        lambda: schedules.resolve("cosine", {"rho": 1}),
        TypeError,
        r"^config: got 'rho', which Cosine does not take",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_schedules_refuse(case: str) -> None:
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("n_steps", [2, 3, 40])
def test_between_timesteps(schedule: schedules.Schedule, n_steps: int) -> None:
    alpha_bar = schedule.alpha_bar(n_steps)
    whole = np.arange(n_steps)
    np.testing.assert_array_equal(schedules.alpha_bar_at(alpha_bar, whole), alpha_bar)
    # ln sigma is linear: at a third of the way it is the weighted mean of the ends.
    t = np.arange(1, n_steps - 1)
    sigma = np.sqrt((1 - alpha_bar) / alpha_bar)
    third = sigma[1:-1] ** (2 / 3) * sigma[2:] ** (1 / 3)
    between = schedules.alpha_bar_at(alpha_bar, t + 1 / 3)
    np.testing.assert_allclose(between, 1 / (1 + third**2), rtol=1e-12)
    np.testing.assert_allclose(schedules.timestep_of(alpha_bar, third), t + 1 / 3, rtol=1e-10)
    np.testing.assert_allclose(schedules.timestep_of(alpha_bar, sigma[1:]), whole[1:], rtol=1e-10)
    assert schedules.alpha_bar_at(alpha_bar, 1).shape == ()
    assert schedules.alpha_bar_at(alpha_bar, [[1], [0]]).shape == (2, 1)


def test_karras_sigmas() -> None:
    np.testing.assert_allclose(schedules.karras_sigmas(16.0, 1.0, 4, 2.0), [16, 9, 4, 1])
    assert schedules.karras_sigmas(16.0, 1.0, 1).tolist() == [16.0]
    sigmas = schedules.karras_sigmas(80.0, 0.002, 18)
    assert (sigmas[0], sigmas[-1]) == (80.0, 0.002)
    # Table 1 of Karras et al.: i = 9 of 18.
    root = 80 ** (1 / 7) + 9 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))
    assert sigmas[9] == pytest.approx(root**7, rel=1e-13)


@pytest.mark.parametrize("kind", ["cosine", "scalar", "sinusoidal", "log_sigma"])
@pytest.mark.parametrize("name", NAMES)
def test_time_features_are_those_of_the_reference(kind: Any, name: Any) -> None:
    pytest.importorskip("torch", reason="needs the torch extra")
    from tagix import reference

    alpha_bar = schedules.resolve(name).alpha_bar(40)
    t = np.array([0, 1, 2, 17, 39])
    features = schedules.time_features(kind, t, alpha_bar)
    expected = reference.time_features(kind, t, 40, alpha_bar)
    assert features.dtype == np.float64
    np.testing.assert_allclose(features, expected, rtol=1e-12, atol=1e-14)


def test_time_features_between_timesteps() -> None:
    alpha_bar = EDM(1.0, 16.0, 2.0).alpha_bar(5)  # sigma = 1, 4, 9, 16
    t = [2.5]
    cosine = schedules.time_features("cosine", t, alpha_bar)
    np.testing.assert_allclose(cosine, [[0, -1, 0, 1, 0]], atol=1e-14)
    assert schedules.time_features("scalar", [0.25], alpha_bar) == pytest.approx(0.05)
    sinusoidal = schedules.time_features("sinusoidal", t, alpha_bar)
    assert sinusoidal.shape == (1, 16)
    np.testing.assert_allclose(sinusoidal[0, :2], [math.sin(2.5), math.cos(2.5)])
    np.testing.assert_allclose(sinusoidal[0, -2:], [math.sin(2.5e-4), math.cos(2.5e-4)])
    # The geometric mean of 4 and 9; and t = 0 as t = 1, where sigma = 1.
    log_sigma = schedules.time_features("log_sigma", [0, 1, 2.5], alpha_bar)
    np.testing.assert_allclose(log_sigma[:, 0], [0.0, 0.0, math.log(6) / 4], atol=1e-14)
    assert schedules.time_features("cosine", [], alpha_bar).shape == (0, 5)


def test_noise_levels() -> None:
    a, b = 0.6, 0.8
    targets: dict[str, tuple[float, float]]
    targets = {"epsilon": (0.0, 1.0), "sample": (1.0, 0.0), "v_prediction": (-b, a)}
    for prediction_type, (p, q) in targets.items():
        levels = schedules.noise_levels([0.36, 1.0], prediction_type)
        np.testing.assert_allclose(levels[0], np.array([a, b, p, q]), atol=1e-15)
        assert levels.shape == (2, 4) and levels[1, :2].tolist() == [1, 0]


def test_v_prediction_is_the_preconditioning_of_edm() -> None:
    """D = c_skip z + c_out F(c_in z), with the coefficients of Karras et al., table 1."""
    sigma = np.array([0.002, 0.3, 1.0, 80.0])
    c_skip, c_out = 1 / (sigma**2 + 1), sigma / np.sqrt(sigma**2 + 1)
    c_in = 1 / np.sqrt(sigma**2 + 1)
    a, b, p, q = schedules.noise_levels(1 / (1 + sigma**2), "v_prediction").T
    z, v = 1.7, -0.4
    x_0 = (q * a * z - b * v) / (a * q - b * p)
    np.testing.assert_allclose(x_0, c_skip * z + c_out * -v, rtol=1e-12)
    np.testing.assert_allclose(a, c_in, rtol=1e-12)


ALPHA_BAR = [1.0, 0.5, 0.2]
NOT_A_SCHEDULE: list[npt.ArrayLike] = [
    [1.0],
    [[1.0, 0.5]],
    [0.9, 0.5],
    [1.0, 0.5, 0.5],
    [1.0, 0.0],
    [1.0, math.nan],
]


@pytest.mark.parametrize("alpha_bar", NOT_A_SCHEDULE, ids=repr)
def test_what_is_no_schedule(alpha_bar: npt.ArrayLike) -> None:
    calls: list[Callable[[], object]] = [
        lambda: schedules.as_alpha_bar(alpha_bar),
        lambda: schedules.alpha_bar_at(alpha_bar, 1),
        lambda: schedules.timestep_of(alpha_bar, 1.0),
        lambda: schedules.time_features("scalar", [1], alpha_bar),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"^alpha_bar: got"):
            call()


BAD_CALLS: dict[str, tuple[Any, type[Exception], str]] = {
    "t high": (lambda: schedules.alpha_bar_at(ALPHA_BAR, 2.1), ValueError, r"^t: .* \[0, 2\]$"),
    "t low": (lambda: schedules.alpha_bar_at(ALPHA_BAR, -1), ValueError, r"^t: "),
    "t NaN": (lambda: schedules.alpha_bar_at(ALPHA_BAR, math.nan), ValueError, r"^t: "),
    "t between": (
        lambda: schedules.alpha_bar_at(ALPHA_BAR, [1.0, 0.5]),
        ValueError,
        r"^t: got a timestep between 0 and 1",
    ),
    "t text": (lambda: schedules.alpha_bar_at(ALPHA_BAR, "one"), TypeError, r"^t: got"),
    "sigma low": (
        lambda: schedules.timestep_of(ALPHA_BAR, 0.99),
        ValueError,
        r"^sigma: got a number outside \[1, 2\]",
    ),
    "sigma high": (lambda: schedules.timestep_of(ALPHA_BAR, [1.5, 2.01]), ValueError, "^sigma: "),
    "sigma NaN": (lambda: schedules.timestep_of(ALPHA_BAR, math.nan), ValueError, "^sigma: "),
    "shares": (lambda: schedules.sigma([0.5, 0.0]), ValueError, r"^alpha_bar: .* outside \(0, 1\]"),
    "shares NaN": (lambda: schedules.sigma([math.nan]), ValueError, r"^alpha_bar: "),
    "kind": (
        lambda: schedules.time_features("fourier", [1], ALPHA_BAR),
        ValueError,
        r"^time_features: got 'fourier', needed one of 'cosine', 'scalar', 'sinusoidal', 'log_",
    ),
    "kind None": (
        lambda: schedules.time_features(None, [1], ALPHA_BAR),  # type: ignore[arg-type]
        TypeError,
        r"^time_features: got None",
    ),
    "features t": (
        lambda: schedules.time_features("scalar", [3], ALPHA_BAR),
        ValueError,
        r"^t: got a timestep outside",
    ),
    "features shape": (
        lambda: schedules.time_features("scalar", [[1]], ALPHA_BAR),
        ValueError,
        r"^t: got shape \(1, 1\), needed one dimension",
    ),
    "log_sigma between": (
        lambda: schedules.time_features("log_sigma", [0.5], ALPHA_BAR),
        ValueError,
        r"^t: got a timestep between 0 and 1",
    ),
    "prediction_type": (
        lambda: schedules.noise_levels(ALPHA_BAR, "x0"),
        ValueError,
        r"^prediction_type: got 'x0', needed one of 'epsilon', 'sample', 'v_prediction'$",
    ),
    "prediction_type 1": (
        lambda: schedules.noise_levels(ALPHA_BAR, 1),  # type: ignore[arg-type]
        TypeError,
        r"^prediction_type: got 1",
    ),
    "levels shape": (
        lambda: schedules.noise_levels(0.5, "epsilon"),
        ValueError,
        r"^alpha_bar: got shape \(\), needed one dimension",
    ),
    "levels range": (
        lambda: schedules.noise_levels([1.1], "epsilon"),
        ValueError,
        r"^alpha_bar: got a number outside",
    ),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_what_functions_refuse(case: str) -> None:
    call, error, message = BAD_CALLS[case]
    with pytest.raises(error, match=message):
        call()
