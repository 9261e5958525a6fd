"""Samplers through a DiffusionModel: the core's chain is that of tagix.samplers in float64 on the
model's own predictions, for every sampler and prediction type, on every device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from helpers import Array, needs_cuda, on_every_device, with_given_parameters

import tagix as tx
from tagix import samplers, schedules

PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")
N_STEPS = 10

DETERMINISTIC: dict[str, samplers.Sampler] = {
    "DDIM": samplers.DDIM(),
    "DDIM of 4 steps": samplers.DDIM(4),
    "DDIM of 1 step": samplers.DDIM(1),
    "DDIM of 25 steps": samplers.DDIM(25),
    "Euler": samplers.Euler(),
    "Euler of 1 step": samplers.Euler(1),
    "Euler of 25 steps": samplers.Euler(25, rho=3.0),
    "Heun": samplers.Heun(),
    "Heun of 1 step": samplers.Heun(1),
    "Heun of 5 steps": samplers.Heun(5),
    "DPMSolver": samplers.DPMSolverMultistep(),
    "DPMSolver of 1 step": samplers.DPMSolverMultistep(1),
    "DPMSolver of 6 steps": samplers.DPMSolverMultistep(6),
}
N_SAMPLER_STEPS = {
    "DDIM": N_STEPS - 1,
    "DDIM of 4 steps": 4,
    "DDIM of 1 step": 1,
    "DDIM of 25 steps": 25,
    "Euler": N_STEPS - 1,
    "Euler of 1 step": 1,
    "Euler of 25 steps": 25,
    "Heun": 18,
    "Heun of 1 step": 1,
    "Heun of 5 steps": 5,
    "DPMSolver": 20,
    "DPMSolver of 1 step": 1,
    "DPMSolver of 6 steps": 6,
}
STOCHASTIC: dict[str, samplers.Sampler] = {
    "DDPM": samplers.DDPM(),
    "DDPM of 4 steps": samplers.DDPM(4),
    "DDPM of 15 steps": samplers.DDPM(15),
    "DDPM with small variance": samplers.DDPM(variance_type="fixed_small"),
    "DDIM with half the noise": samplers.DDIM(6, eta=0.5),
    "DDIM with all the noise": samplers.DDIM(eta=1.0),
}


def mixture(n_rows: int, seed: int = 0) -> Array:
    """Two Gaussian clusters in the plane, (n_rows, 2) float32."""
    generator = np.random.default_rng(seed)
    centre = np.array([[-2.0, 10.0], [2.0, 11.0]])[generator.integers(0, 2, n_rows)]
    return (centre + [0.5, 0.3] * generator.standard_normal((n_rows, 2))).astype(np.float32)


def fitted(**options: Any) -> tx.DiffusionModel:
    settings = {"hidden": (16, 16), "n_steps": N_STEPS, "seed": 0} | options
    model = tx.DiffusionModel(2, **settings)
    model.fit(mixture(400), n_epochs=2, batch_size=32, progress=False)
    return model


def standardized(model: tx.DiffusionModel, chain: Array | None) -> Array:
    assert chain is not None
    return (chain.astype(np.float64) - model.shift) / model.scale


def by_hand(model: tx.DiffusionModel, sampler: samplers.Sampler, x: Array, **options: Any) -> Array:
    """The sampler in float64 on the model's mean predictions, from standardized noise."""
    return sampler.sample(
        lambda x, t: model.predict(x, t).mean,
        x,
        model.alpha_bar,
        prediction_type=model.prediction_type,
        **options,
    )


@on_every_device
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_chain_of_a_deterministic_sampler(name: str, prediction_type: str, device: str) -> None:
    model = fitted(prediction_type=prediction_type, device=device)
    samples = model.sample(40, sampler=DETERMINISTIC[name], trajectory=True, seed=3)
    chain = standardized(model, samples.trajectory)
    assert chain.shape == (N_SAMPLER_STEPS[name] + 1, 40, 2)
    assert samples.trajectory is not None
    np.testing.assert_array_equal(samples.trajectory[-1], samples.x)
    expected = by_hand(model, DETERMINISTIC[name], chain[0], trajectory=True)
    assert np.abs(expected[-1] - expected[0]).max() > 0.5
    np.testing.assert_allclose(chain, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("time_features", ["log_sigma", "scalar", "sinusoidal"])
@pytest.mark.parametrize(
    "schedule", ["edm", "sigmoid", schedules.Linear(0.01, 0.6), schedules.EDM(0.01, 20.0)]
)
@pytest.mark.parametrize("name", ["Heun of 5 steps", "DPMSolver of 6 steps", "DDIM of 25 steps"])
def test_chain_with_other_schedules_and_time_features(
    name: str, schedule: Any, time_features: str
) -> None:
    """Between whole timesteps the core must see the features that predict takes."""
    model = fitted(schedule=schedule, time_features=time_features, prediction_type="v_prediction")
    sampler = DETERMINISTIC[name]
    samples = model.sample(40, sampler=sampler, trajectory=True, seed=3)
    chain = standardized(model, samples.trajectory)
    expected = by_hand(model, sampler, chain[0], trajectory=True)
    np.testing.assert_allclose(chain, expected, rtol=0, atol=2e-5)


@on_every_device
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("name", STOCHASTIC)
def test_noise_of_a_stochastic_sampler(name: str, prediction_type: str, device: str) -> None:
    """What each step adds to its linear form is noise of the variance that the sampler states."""
    n_rows, sampler = 2000, STOCHASTIC[name]
    model = fitted(prediction_type=prediction_type, device=device)
    chain = standardized(model, model.sample(n_rows, sampler=sampler, trajectory=True).trajectory)
    plan = sampler.plan(model.alpha_bar, prediction_type)
    assert chain.shape == (plan.n_steps + 1, n_rows, 2)
    before = np.zeros((n_rows, 2))
    for i in range(plan.n_stages):
        x = chain[i]
        prediction = model.predict(x, np.full(n_rows, plan.t[i])).mean
        rest = chain[i + 1] - plan.x_weight[i] * x - plan.prediction_weight[i] * prediction
        if plan.noise_std[i] == 0:
            assert i == plan.n_stages - 1
            np.testing.assert_allclose(rest, 0, atol=1e-4)
            continue
        noise = rest / plan.noise_std[i]
        n = noise.size
        assert abs(noise.mean()) < 5 / math.sqrt(n)
        assert abs(noise.var() - 1) < 5 * math.sqrt(2 / n)
        assert abs((noise**4).mean() - 3) < 5 * math.sqrt(96 / n)
        for other in (before, x):  # independent of the noise before and of where it is added
            assert abs((noise * other).mean()) < 5 * math.sqrt(max((other**2).mean(), 1e-9) / n)
        before = noise


@pytest.mark.parametrize("name", STOCHASTIC)
def test_moments_of_a_stochastic_sampler(name: str) -> None:
    """Samples against as many that the sampler makes in float64 with noise of its own."""
    n_rows, sampler = 4000, STOCHASTIC[name]
    model = fitted(prediction_type="v_prediction")
    start = np.random.default_rng(1).standard_normal((n_rows, 2))
    expected = by_hand(model, sampler, start, seed=2)
    x = standardized(model, model.sample(n_rows, sampler=sampler).x)
    for i in range(2):
        for power in (1, 2):
            a, b = x[:, i] ** power, expected[:, i] ** power
            error = math.sqrt((a.var() + b.var()) / n_rows)
            assert abs(a.mean() - b.mean()) < 5 * error
    products = x[:, 0] * x[:, 1], expected[:, 0] * expected[:, 1]
    error = math.sqrt(sum(each.var() for each in products) / n_rows)
    assert abs(products[0].mean() - products[1].mean()) < 5 * error


def test_default_sampler_is_ddpm() -> None:
    model = fitted()
    default = model.sample(20, seed=1, trajectory=True)
    named = model.sample(20, seed=1, trajectory=True, sampler=samplers.DDPM())
    assert default.x.tobytes() == named.x.tobytes()
    assert default.trajectory is not None and default.trajectory.shape == (N_STEPS, 20, 2)


@pytest.mark.parametrize("name", [*DETERMINISTIC, *STOCHASTIC])
def test_no_rows_and_one(name: str) -> None:
    sampler = (DETERMINISTIC | STOCHASTIC)[name]
    model = with_given_parameters(tx.DiffusionModel(2, (8,), N_STEPS, seed=0))
    for n_rows in (0, 1):
        samples = model.sample(n_rows, sampler=sampler, trajectory=True)
        assert samples.x.shape == samples.var.shape == (n_rows, 2)
        assert samples.trajectory is not None and samples.trajectory.shape[1:] == (n_rows, 2)
        assert np.isfinite(samples.x).all()


@pytest.mark.parametrize("n_steps", [2, 3])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_models_of_few_timesteps(name: str, n_steps: int) -> None:
    model = fitted(n_steps=n_steps)
    samples = model.sample(20, sampler=DETERMINISTIC[name], trajectory=True)
    chain = standardized(model, samples.trajectory)
    expected = by_hand(model, DETERMINISTIC[name], chain[0], trajectory=True)
    np.testing.assert_allclose(chain, expected, rtol=0, atol=1e-3)


def test_rows_do_not_depend_on_how_many() -> None:
    model = fitted()
    for sampler in (samplers.Heun(3), samplers.DDIM(3, eta=1.0)):
        many, few = (model.sample(n, sampler=sampler, seed=2).x for n in (8200, 3))
        np.testing.assert_allclose(few, many[:3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_variance_of_the_last_step(prediction_type: str) -> None:
    """x = x_0 as F has it: (b / (a q - b p))^2 Var F, in the units of the data squared."""
    model = fitted(prediction_type=prediction_type)
    samples = model.sample(50, sampler=samplers.DDIM(), trajectory=True)
    x = standardized(model, samples.trajectory)[-2]
    a, b = math.sqrt(model.alpha_bar[1]), math.sqrt(1 - model.alpha_bar[1])
    p, q = {"epsilon": (0, 1), "sample": (1, 0), "v_prediction": (-b, a)}[prediction_type]
    var = (b / (a * q - b * p)) ** 2 * model.predict(x, np.full(50, 1)).var * model.scale**2
    np.testing.assert_allclose(samples.var, var, rtol=1e-3)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("name", ["DDPM", "DDIM of 4 steps", "Euler of 25 steps"])
def test_covariances(name: str, prediction_type: str, device: str) -> None:
    """S' = A S A^T + c^2 W along the chain, and Tweedie's formula at its end, by hand."""
    sampler = (DETERMINISTIC | STOCHASTIC)[name]
    model = fitted(prediction_type=prediction_type, device=device)
    samples = model.sample(30, sampler=sampler, trajectory=True, uncertainty=True, seed=1)
    plain = model.sample(30, sampler=sampler, seed=1)
    assert samples.x.tobytes() == plain.x.tobytes()
    chain = standardized(model, samples.trajectory)
    plan = sampler.plan(model.alpha_bar, prediction_type)
    S, identity = np.zeros((30, 2, 2)), np.eye(2)
    for i, t in enumerate(plan.t):
        features = schedules.time_features("cosine", np.full(30, t), model.alpha_bar)
        inputs = np.hstack([chain[i], features])
        slopes = model.net.jacobian(inputs)[:, :, :2].astype(np.float64)
        A = plan.x_weight[i] * identity + plan.prediction_weight[i] * slopes
        S = A @ S @ A.transpose(0, 2, 1)
        S += plan.prediction_weight[i] ** 2 * model.net.covariance(inputs)
    # eps = (a F - p x) / (a q - b p) at t = 1.
    a, b = math.sqrt(model.alpha_bar[1]), math.sqrt(1 - model.alpha_bar[1])
    p, q = {"epsilon": (0, 1), "sample": (1, 0), "v_prediction": (-b, a)}[prediction_type]
    slope_of_eps = (a * slopes - p * identity) / (a * q - b * p)
    aleatoric = (b / a) ** 2 * (identity - b * slope_of_eps)
    aleatoric = (aleatoric + aleatoric.transpose(0, 2, 1)) / 2
    units = model.scale[:, np.newaxis] * model.scale
    assert samples.epistemic is not None and samples.aleatoric is not None
    assert samples.score is not None
    np.testing.assert_allclose(samples.epistemic / units, S, rtol=2e-3, atol=2e-3 * S.max())
    np.testing.assert_allclose(
        samples.aleatoric / units, aleatoric, rtol=2e-3, atol=2e-3 * (b / a) ** 2
    )
    score = np.trace(aleatoric, axis1=1, axis2=2) / 2 / (b / a) ** 2
    np.testing.assert_allclose(samples.score, score, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("sampler", [samplers.Heun(4), samplers.DPMSolverMultistep(4)])
def test_covariances_of_samplers_that_have_none(sampler: samplers.Sampler) -> None:
    model = fitted()
    for options in ({"uncertainty": True}, {"ensemble": 2}):
        with pytest.raises(ValueError, match=r"^uncertainty: got .*needed"):
            model.sample(3, sampler=sampler, **options)
    # A failed call does not count: the next sample is the first.
    assert model.sample(3).x.tobytes() == fitted().sample(3).x.tobytes()


@pytest.mark.parametrize("sampler", ["DDIM", samplers.DDIM, 5, schedules.Cosine()])
def test_what_is_no_sampler(sampler: Any) -> None:
    with pytest.raises(TypeError, match=r"^sampler: got .*, needed one of tagix\.samplers"):
        fitted().sample(3, sampler=sampler)


@needs_cuda
@pytest.mark.parametrize("name", ["DDPM", "DDIM of 25 steps", "Heun of 5 steps", "DPMSolver"])
def test_devices_agree(name: str) -> None:
    model = fitted(prediction_type="v_prediction", time_features="log_sigma", schedule="edm")
    sampler = (DETERMINISTIC | STOCHASTIC)[name]
    on_cpu = standardized(
        model, model.sample(100, sampler=sampler, seed=1, trajectory=True).trajectory
    )
    model.to("cuda")
    on_gpu = standardized(
        model, model.sample(100, sampler=sampler, seed=1, trajectory=True).trajectory
    )
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=0, atol=2e-5)
