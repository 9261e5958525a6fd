"""What DiffusionModel.sample knows of its samples, against the recursion in float64 numpy."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from helpers import Array, on_every_device

import tagix as tx
from tagix import _core, nn


def mixture(n_rows: int, seed: int = 0) -> Array:
    """Two Gaussian clusters in the plane, (n_rows, 2) float32."""
    generator = np.random.default_rng(seed)
    centre = np.array([[-2.0, 0.0], [2.0, 1.0]])[generator.integers(0, 2, n_rows)]
    return (centre + [0.5, 0.3] * generator.standard_normal((n_rows, 2))).astype(np.float32)


def fitted(device: str = "cpu", **options: Any) -> tx.DiffusionModel:
    settings = {
        "hidden": (16, 16),
        "n_steps": 10,
        "prediction_type": "epsilon",
        "seed": 0,
    } | options
    model = tx.DiffusionModel(2, **settings)
    model.fit(mixture(500), n_epochs=2, progress=False)
    return model.to(device)


@on_every_device
def test_samples_are_the_same_bits(device: str) -> None:
    model = fitted(device)
    for n_samples in (0, 3, 300):
        plain = model.sample(n_samples, seed=5, trajectory=True)
        both = model.sample(n_samples, seed=5, trajectory=True, uncertainty=True)
        for name in ("x", "var", "trajectory"):
            assert getattr(plain, name).tobytes() == getattr(both, name).tobytes()
        assert plain.epistemic is plain.aleatoric is plain.score is None
        shapes = {"epistemic": (n_samples, 2, 2), "aleatoric": (n_samples, 2, 2)}
        for name, shape in (shapes | {"score": (n_samples,)}).items():
            array = getattr(both, name)
            assert array.shape == shape and array.dtype == np.float32 and np.isfinite(array).all()


@on_every_device
def test_covariances_follow_the_recursion(device: str) -> None:
    """S' = A S A^T + c2^2 W over the chain, and Tweedie's formula at its end, in float64."""
    pytest.importorskip("torch", reason="needs the torch extra")
    from tagix import reference

    model = fitted(device)
    layers = [reference.Linear(7, 16), reference.ReLU(), reference.Linear(16, 16)]
    other = reference.Sequential(*layers, reference.ReLU(), reference.Linear(16, 2), seed=0)
    other.load_state_dict(model.net.state_dict())

    samples = model.sample(50, seed=3, trajectory=True, uncertainty=True)
    assert samples.trajectory is not None and samples.score is not None
    chain = (samples.trajectory.astype(np.float64) - model.shift) / model.scale
    eye, h = np.eye(2), 1e-5
    carried = np.zeros((50, 2, 2))
    for position, t in enumerate(range(9, 0, -1)):
        features = np.tile(reference.time_features("cosine", np.array([t]), 10), (50, 1))

        def network_input(x: Array, features: Array = features) -> Array:
            return np.hstack([x, features])

        x = chain[position]
        jacobian = np.stack(
            [
                (other(network_input(x + e)).mean - other(network_input(x - e)).mean) / (2 * h)
                for e in h * eye
            ],
            axis=-1,
        )
        covariance = reference.prediction_covariance(model, x, np.full(50, t))
        signal = model.alpha_bar[t]
        alpha = signal / model.alpha_bar[t - 1]
        c2 = (1 - alpha) / math.sqrt(alpha * (1 - signal))
        slope = eye / math.sqrt(alpha) - c2 * jacobian
        carried = slope @ carried @ slope.transpose(0, 2, 1) + c2**2 * covariance
    tweedie = (1 - signal) / signal * (eye - math.sqrt(1 - signal) * jacobian)
    tweedie = (tweedie + tweedie.transpose(0, 2, 1)) / 2
    units = np.outer(model.scale, model.scale)
    for got, expected in ((samples.epistemic, carried), (samples.aleatoric, tweedie)):
        assert got is not None
        np.testing.assert_allclose(
            got, expected * units, rtol=1e-3, atol=1e-4 * np.abs(expected * units).max()
        )
        np.testing.assert_array_equal(got, got.transpose(0, 2, 1))
    score = np.trace(tweedie, axis1=1, axis2=2) / (2 * (1 - signal) / signal)
    np.testing.assert_allclose(samples.score, score, rtol=1e-3)
    trace = 1 - math.sqrt(1 - signal) * np.trace(jacobian, axis1=1, axis2=2) / 2
    np.testing.assert_allclose(samples.score, trace, rtol=1e-3)


def test_it_is_that_of_chains_with_redrawn_weights() -> None:
    """The median of 100 chains, each with an error of 6 %, between data without branches."""
    pytest.importorskip("torch", reason="needs the torch extra")
    from tagix import reference

    data = np.random.default_rng(0).standard_normal((2000, 2)) @ [[1.0, 0.5], [0.0, 0.6]]
    model = tx.DiffusionModel(2, hidden=(32, 32), n_steps=10, prediction_type="epsilon", seed=0)
    model.fit(data, n_epochs=20, progress=False)
    samples = model.sample(100, seed=2, trajectory=True, uncertainty=True)
    assert samples.trajectory is not None and samples.epistemic is not None
    expected = reference.redrawn_covariance(model, samples.trajectory, 300)
    ratio = np.trace(samples.epistemic, axis1=1, axis2=2) / np.trace(expected, axis1=1, axis2=2)
    assert np.median(ratio) == pytest.approx(1, abs=0.06)


@on_every_device
def test_aleatoric_of_gaussian_data_is_exact(device: str) -> None:
    """The network that is right for N(0, C): Cov(x_0 | x_1) = (C^-1 + abar / (1 - abar))^-1."""
    covariance = np.array([[1.5, 0.6], [0.6, 0.5]])
    model = tx.DiffusionModel(
        2, (), 20, prediction_type="epsilon", standardize=False, seed=0, device=device
    )
    signal = model.alpha_bar[1]
    weight = math.sqrt(1 - signal) * np.linalg.inv(signal * covariance + (1 - signal) * np.eye(2))
    state = model.net.state_dict()
    state["0.weight.mean"][:] = np.hstack([weight, np.zeros((2, 5))])
    for key in ("0.bias.mean", "0.bias.var", "0.weight.var"):
        state[key][:] = 0
    model.net.load_state_dict(state)
    expected = np.linalg.inv(np.linalg.inv(covariance) + signal / (1 - signal) * np.eye(2))
    samples = model.sample(20, uncertainty=True)
    assert samples.aleatoric is not None and samples.epistemic is not None
    np.testing.assert_allclose(samples.aleatoric, np.tile(expected, (20, 1, 1)), rtol=2e-3)
    # A network without uncertainty leaves none.
    np.testing.assert_array_equal(samples.epistemic, 0)


@on_every_device
def test_ensemble(device: str) -> None:
    """The covariance of samples of drawn networks, from the same noise."""
    model = fitted(device)
    plain = model.sample(40, seed=2, uncertainty=True)
    samples = model.sample(40, seed=2, ensemble=24)
    for name in ("x", "var", "aleatoric", "score"):
        assert getattr(samples, name).tobytes() == getattr(plain, name).tobytes()
    assert samples.epistemic is not None and plain.epistemic is not None
    assert samples.epistemic.shape == (40, 2, 2) and samples.epistemic.dtype == np.float32
    assert not np.array_equal(samples.epistemic, plain.epistemic)
    again = model.sample(40, seed=2, ensemble=24)
    np.testing.assert_array_equal(samples.epistemic, again.epistemic)
    seeds = [_core.derive_seed(2, draw) for draw in range(24)]
    drawn = np.array([model.draw(each).sample(40, seed=2).x for each in seeds], np.float64)
    expected = np.array([np.cov(drawn[:, row].T) for row in range(40)])
    np.testing.assert_allclose(
        samples.epistemic, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max()
    )
    assert (np.linalg.eigvalsh(samples.epistemic.astype(np.float64)) > -1e-6).all()
    certain = model.draw(1).sample(5, ensemble=2)
    np.testing.assert_array_equal(certain.epistemic, 0)


@on_every_device
def test_drawn_model(device: str) -> None:
    model = fitted(device)
    drawn = model.draw(4)
    samples = drawn.sample(30, seed=1, uncertainty=True)
    assert drawn.device == device
    np.testing.assert_array_equal(drawn.shift, model.shift)
    np.testing.assert_allclose(samples.var, 0, atol=1e-10)
    assert samples.epistemic is not None and np.abs(samples.epistemic).max() < 1e-8
    np.testing.assert_array_equal(model.draw(4).sample(30, seed=1).x, samples.x)
    assert not np.array_equal(model.sample(30, seed=1).x, samples.x)


def test_score_finds_samples_off_the_data() -> None:
    """Points between two clusters, where there are no data, score higher than those within."""
    model = tx.DiffusionModel(2, hidden=(32, 32), seed=0)
    data = np.array([[-1.0, 0.0], [1.0, 0.0]])[np.arange(8000) % 2]
    data += 0.05 * np.random.default_rng(0).standard_normal(data.shape)
    model.fit(data, n_epochs=4, progress=False)
    samples = model.sample(4000, uncertainty=True)
    assert samples.score is not None
    off = np.minimum(*(np.linalg.norm(samples.x - centre, axis=1) for centre in data[:2])) > 0.2
    assert 20 < off.sum() < 2000
    assert np.median(samples.score[off]) > np.quantile(samples.score[~off], 0.75)
    kept = samples.keep(0.9)
    distance = np.minimum(*(np.linalg.norm(kept.x - centre, axis=1) for centre in data[:2]))
    assert (distance > 0.2).mean() < off.mean()


def test_keep() -> None:
    model = fitted()
    samples = model.sample(101, uncertainty=True, trajectory=True)
    assert samples.score is not None and samples.trajectory is not None
    kept = samples.keep(0.9)
    assert kept.score is not None and kept.trajectory is not None
    limit = np.sort(samples.score)[90]
    chosen = samples.score <= limit
    assert len(kept.x) == 91 and chosen.sum() == 91
    for field in fields(samples):
        array = getattr(samples, field.name)
        expected = array[:, chosen] if field.name == "trajectory" else array[chosen]
        np.testing.assert_array_equal(getattr(kept, field.name), expected)
    assert kept.keep(1.0).x.tobytes() == kept.x.tobytes()
    no_chain = model.sample(10, uncertainty=True).keep(0.5)
    assert len(no_chain.x) == 5 and no_chain.trajectory is None
    # What is not a number is the least certain.
    score = np.array([0.5, np.nan, 0.1, 0.3], np.float32)
    odd = tx.Samples(
        np.arange(8.0, dtype=np.float32).reshape(4, 2),
        np.ones((4, 2)),
        None,
        np.ones((4, 2, 2)),
        np.ones((4, 2, 2)),
        score,
    )
    np.testing.assert_array_equal(odd.keep(0.75).x[:, 0], [0, 4, 6])


def test_errors() -> None:
    model = fitted()
    with pytest.raises(ValueError, match=r"ensemble: got 1, needed at least 2"):
        model.sample(3, ensemble=1)
    with pytest.raises(ValueError, match=r"ensemble: got -4"):
        model.sample(3, ensemble=-4)
    with pytest.raises(TypeError, match=r"ensemble: got 2.5"):
        model.sample(3, ensemble=2.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"ensemble: got True"):
        model.sample(3, ensemble=True)
    with pytest.raises(TypeError, match=r"uncertainty: got 1"):
        model.sample(3, uncertainty=1)  # type: ignore[arg-type]
    plain, samples = model.sample(3), model.sample(3, uncertainty=True)
    with pytest.raises(ValueError, match=r"needed samples drawn with uncertainty=True"):
        plain.keep(0.9)
    for share in (0, -0.1, 1.01, math.nan):
        with pytest.raises(ValueError, match=r"share: got"):
            samples.keep(share)
    with pytest.raises(TypeError, match=r"share: got 'all'"):
        samples.keep("all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"seed: got -1"):
        model.draw(-1)


def test_a_users_activation_has_uncertainty_too() -> None:
    model = fitted(activation=nn.Activation(np.tanh, lambda z: 1 / np.cosh(z) ** 2))
    twin = fitted(activation=nn.Tanh())
    a, b = (m.sample(30, seed=1, uncertainty=True) for m in (model, twin))
    assert a.aleatoric is not None and b.aleatoric is not None
    np.testing.assert_allclose(a.aleatoric, b.aleatoric, rtol=2e-2, atol=1e-4)
