"""Diffusion models that infer the noise of the noise to be predicted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from helpers import INFERRED, Array, NoiseModel, needs_cuda, on_every_device, same_bits, unchanged

import tagix as tx
from tagix import _core

PARTS = ("mean", "var", "epistemic", "aleatoric")
N_STEPS = 10

on_every_inferred = pytest.mark.parametrize("noise", INFERRED.values(), ids=INFERRED)


def clusters(n_rows: int, seed: int = 0) -> Array:
    """Two Gaussian clusters in the plane, (n_rows, 2) float32."""
    generator = np.random.default_rng(seed)
    centre = np.array([[-2.0, 0.0], [2.0, 1.0]])[generator.integers(0, 2, n_rows)]
    return (centre + [0.5, 0.3] * generator.standard_normal((n_rows, 2))).astype(np.float32)


def small(**options: Any) -> tx.DiffusionModel:
    settings: dict[str, Any] = {
        "hidden": (16, 16),
        "n_steps": N_STEPS,
        "prediction_type": "epsilon",
        "seed": 0,
    } | options
    return tx.DiffusionModel(2, **settings)


def fitted(**options: Any) -> tx.DiffusionModel:
    model = small(**options)
    model.fit(clusters(500), n_epochs=2, progress=False)
    return model


def without_head(model: tx.DiffusionModel) -> tx.DiffusionModel:
    """A model without learned noise of the same values, for data that are not standardized."""
    plain = small(device=model.device, standardize=False)
    state = model.net.state_dict()
    plain.net.load_state_dict({k: v for k, v in state.items() if "noise" not in k})
    return plain


@on_every_device
@on_every_inferred
def test_predictions_have_parts(noise: NoiseModel, device: str) -> None:
    """Those of the network for [x_t, time features]; values as without a head."""
    model = fitted(noise=noise, standardize=False, device=device)
    assert model.noise == noise and model.net.noise == noise
    x_t, t = clusters(30), np.arange(30) % N_STEPS
    prediction = model.predict(x_t, t)
    assert isinstance(prediction, tx.Prediction)
    k = np.arange(1, 5)
    features = np.cos(np.pi * k * t[:, np.newaxis] / N_STEPS)
    inputs = np.hstack([x_t, features, t[:, np.newaxis] / N_STEPS - 0.5])
    expected, plain = model.net(inputs), without_head(model).predict(x_t, t)
    for part in PARTS:
        array = getattr(prediction, part)
        assert array.shape == (30, 2) and array.dtype == np.float32
        np.testing.assert_allclose(array, getattr(expected, part), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        prediction.var, prediction.epistemic + prediction.aleatoric, rtol=1e-6
    )
    np.testing.assert_allclose(prediction.mean, plain.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prediction.epistemic, plain.var, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(plain.aleatoric, np.zeros((30, 2)))


@on_every_device
@on_every_inferred
def test_samples_are_those_of_the_values(noise: NoiseModel, device: str) -> None:
    """The head does not enter a chain, its covariances or its score."""
    model = fitted(noise=noise, standardize=False, device=device)
    plain = without_head(model)
    a, b = (each.sample(60, seed=4, trajectory=True, uncertainty=True) for each in (model, plain))
    for name in ("x", "var", "trajectory", "epistemic", "aleatoric", "score"):
        actual, expected = getattr(a, name), getattr(b, name)
        assert np.isfinite(actual).all()
        np.testing.assert_allclose(
            actual, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max(), err_msg=name
        )
    bare = model.sample(60, seed=4)
    assert bare.x.tobytes() == a.x.tobytes() and bare.var.tobytes() == a.var.tobytes()
    assert bare.trajectory is bare.epistemic is bare.score is None
    # So for the derivatives of the network.
    x = np.hstack([clusters(7), np.zeros((7, 5))]).astype(np.float32)
    np.testing.assert_allclose(model.net.jacobian(x), plain.net.jacobian(x), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        model.net.covariance(x), plain.net.covariance(x), rtol=1e-4, atol=1e-6
    )


@on_every_device
@on_every_inferred
def test_ensemble(noise: NoiseModel, device: str) -> None:
    """The covariance of samples of drawn networks, from the same noise."""
    model = fitted(noise=noise, device=device)
    samples = model.sample(20, seed=2, ensemble=20)
    assert samples.epistemic is not None
    drawn = [model.draw(_core.derive_seed(2, draw)) for draw in range(20)]
    assert all(each.noise == noise and each.device == device for each in drawn)
    chains = np.array([each.sample(20, seed=2).x for each in drawn], np.float64)
    expected = np.array([np.cov(chains[:, row].T) for row in range(20)])
    np.testing.assert_allclose(
        samples.epistemic, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max()
    )
    prediction = drawn[0].predict(clusters(5), np.arange(5))
    np.testing.assert_array_equal(prediction.epistemic, np.zeros((5, 2)))
    np.testing.assert_array_equal(prediction.aleatoric, prediction.var)
    assert (prediction.aleatoric > 0).all()


@on_every_device
@on_every_inferred
def test_history_counts_what_is_inferred(noise: NoiseModel, device: str) -> None:
    """One epoch in one update: the same rows, noise and first values, with or without a head."""
    model = small(noise=noise, device=device, standardize=False)
    plain_model, data = without_head(model), clusters(400)
    history, plain = (
        each.fit(data, n_epochs=1, batch_size=400, progress=False) for each in (model, plain_model)
    )
    x_t = 2 * np.random.default_rng(0).standard_normal((500, 2))
    head = small(noise=noise).predict(x_t, np.arange(500) % (N_STEPS - 1) + 1).aleatoric
    assert history.train_mse[0] == pytest.approx(plain.train_mse[0], rel=1e-5)
    assert history.predicted_var[0] == pytest.approx(plain.predicted_var[0], rel=1e-5)
    assert history.noise_var[0] == pytest.approx(float(head.mean()), rel=0.1)
    assert plain.noise_var[0] == 1


@on_every_inferred
def test_noise_that_gaussian_data_leave_open(noise: NoiseModel) -> None:
    """x_0 ~ N(0, 1): x_t has variance 1, its noise given x_t alpha_bar[t], by conditioning.

    Homoscedastic noise is the mean over t = 1 .. n_steps - 1.
    """
    data = np.random.default_rng(0).standard_normal((4000, 2)).astype(np.float32)
    x_t = np.random.default_rng(1).standard_normal((500, 2)).astype(np.float32)
    model = small(noise=noise, hidden=(32, 32))
    model.fit(data, n_epochs=20, batch_size=256, progress=False)
    found = [model.predict(x_t, np.full(500, t)).aleatoric.mean() for t in range(1, N_STEPS)]
    expected = model.alpha_bar[1:]
    if isinstance(noise, tx.Homoscedastic):
        expected = np.full(N_STEPS - 1, expected.mean())
    np.testing.assert_allclose(found, expected, rtol=0.1)


@on_every_inferred
def test_samples_have_the_moments_of_the_data(noise: NoiseModel) -> None:
    data = clusters(4000)
    model = tx.DiffusionModel(2, hidden=(64, 64), noise=noise, seed=0)
    model.fit(data, n_epochs=30, progress=False)
    x = model.sample(4000).x
    np.testing.assert_allclose(x.mean(axis=0), data.mean(axis=0), atol=0.25)
    np.testing.assert_allclose(x.std(axis=0), data.std(axis=0), rtol=0.15)
    assert np.mean(x[:, 0] < 0) == pytest.approx(0.5, abs=0.1)


@on_every_device
@on_every_inferred
def test_failed_fit_leaves_the_model(noise: NoiseModel, device: str) -> None:
    model = small(noise=noise, device=device)

    def fail(record: tx.EpochRecord) -> None:
        raise RuntimeError("no more")

    with unchanged(model.net), pytest.raises(RuntimeError, match="no more"):
        model.fit(clusters(100), n_epochs=2, progress=False, callback=fail)
    np.testing.assert_array_equal(model.scale, [1, 1])


@needs_cuda
@on_every_inferred
def test_device_changes_little(noise: NoiseModel) -> None:
    model = fitted(noise=noise)
    state = model.net.state_dict()
    x_t, t = clusters(30), np.arange(30) % N_STEPS
    here = model.predict(x_t, t), model.sample(20, seed=1).x
    assert model.to("cuda") is model and model.device == "cuda"
    assert same_bits(model.net.state_dict(), state)
    there = model.predict(x_t, t), model.sample(20, seed=1).x
    for part in PARTS:
        np.testing.assert_allclose(
            getattr(there[0], part), getattr(here[0], part), rtol=1e-4, atol=1e-5
        )
    np.testing.assert_allclose(there[1], here[1], rtol=1e-3, atol=1e-3)


def test_noise_variances_count_for_each_column() -> None:
    """The prior of learned noise, one standard deviation for each column."""
    model = small(noise=tx.Homoscedastic([0.25, 3.0], learn=True))
    prediction = model.predict(clusters(4), np.arange(4))
    np.testing.assert_allclose(prediction.aleatoric, np.tile([0.0625, 9.0], (4, 1)), rtol=1e-5)
    assert math.isclose(model.net(np.zeros((1, 7))).aleatoric[0, 1], 9.0, rel_tol=1e-5)
