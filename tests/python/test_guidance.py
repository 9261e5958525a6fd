"""Samples of a class, with guidance and without."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from conditioned_diffusion import (
    CLASS_FEATURES,
    PREDICTION_TYPES,
    fitted,
    posterior,
    small,
    two_classes,
)
from helpers import Array, on_every_device

import tagix as tx
from tagix import samplers


def guided_by_hand(
    model: tx.DiffusionModel, labels: Any, weights: tuple[float, float], chain: Array
) -> Array:
    """DDIM's chain in float64 on w_c F_c + w_u F_u."""

    def function(x: Array, t: Array) -> Array:
        with_label, without = model.predict(x, t, labels).mean, model.predict(x, t).mean
        return weights[0] * with_label.astype(np.float64) + weights[1] * without

    return samplers.DDIM().sample(
        function,
        (chain[0].astype(np.float64) - model.shift) / model.scale,
        model.alpha_bar,
        prediction_type=model.prediction_type,
        trajectory=True,
    )


@on_every_device
@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("convention", ["scale", "weight"])
@pytest.mark.parametrize(
    ("w", "noise"), [(-0.5, None), (0.4, tx.Heteroscedastic()), (2.5, tx.Heteroscedastic())]
)
def test_guidance_by_hand(
    w: float,
    noise: tx.Heteroscedastic | None,
    convention: str,
    prediction_type: str,
    device: str,
) -> None:
    model = fitted(prediction_type=prediction_type, device=device, noise=noise)
    labels = np.arange(30) % 3 - 1
    samples = model.sample(
        30,
        label=labels,
        guidance=w,
        guidance_convention=convention,
        sampler=samplers.DDIM(),
        trajectory=True,
    )
    assert samples.trajectory is not None
    chain = samples.trajectory
    weights = (w, 1 - w) if convention == "scale" else (1 + w, -w)
    expected = guided_by_hand(model, labels, weights, chain)
    actual = (chain.astype(np.float64) - model.shift) / model.scale
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=5e-5)
    plain = model.sample(30, label=labels, sampler=samplers.DDIM(), seed=5).x
    guided = model.sample(
        30,
        label=labels,
        guidance=w,
        guidance_convention=convention,
        sampler=samplers.DDIM(),
        seed=5,
    ).x
    # Rows without a label are not guided, up to the rounding of the combination.
    np.testing.assert_allclose(guided[labels < 0], plain[labels < 0], rtol=1e-4, atol=1e-4)
    assert (np.abs(guided - plain).max(axis=1)[labels >= 0] > 1e-3).all()


@pytest.mark.parametrize("class_features", CLASS_FEATURES)
@pytest.mark.parametrize(
    "sampler", [None, samplers.Heun(4), samplers.DPMSolverMultistep(4)], ids=repr
)
def test_guidance_that_changes_nothing_is_without_it(
    sampler: samplers.Sampler | None, class_features: str
) -> None:
    model = fitted(class_features=class_features)
    labels = np.arange(20) % 2

    def draw(**options: Any) -> tuple[bytes, bytes]:
        samples = model.sample(20, sampler=sampler, seed=1, **options)
        return samples.x.tobytes(), samples.var.tobytes()

    conditional, unconditional = draw(label=labels), draw()
    assert conditional != unconditional
    assert draw(label=labels, guidance=1.0) == conditional
    assert draw(label=labels, guidance=0.0, guidance_convention="weight") == conditional
    assert draw(label=labels, guidance=0.0) == unconditional
    assert draw(label=labels, guidance=-1.0, guidance_convention="weight") == unconditional
    # Rows that all have no label are as without: the same input goes to the network.
    assert draw(label=-1) == unconditional
    assert draw(label=[-1] * 20) == unconditional


def test_guidance_of_equal_meaning_is_equal() -> None:
    model = fitted()
    scale = model.sample(20, label=0, guidance=2.5, seed=1)
    weight = model.sample(20, label=0, guidance=1.5, guidance_convention="weight", seed=1)
    assert scale.x.tobytes() == weight.x.tobytes() and scale.var.tobytes() == weight.var.tobytes()


def test_labels_of_rows() -> None:
    """Row i goes by label i alone: as if all rows had that label."""
    model = fitted()
    labels = np.array([0, 1, -1, 1, 0, -1])
    mixed = model.sample(6, label=labels, seed=3).x
    for label in (-1, 0, 1):
        alike = model.sample(6, label=label, seed=3).x
        np.testing.assert_allclose(
            mixed[labels == label], alike[labels == label], rtol=1e-5, atol=1e-5
        )


@on_every_device
@pytest.mark.parametrize("guidance", [None, 2.0])
def test_variances_with_a_label(guidance: float | None, device: str) -> None:
    """The last step's: (b / a)^2 (w_c^2 Var F_c + w_u^2 Var F_u) of the noise F; and Tweedie's."""
    model = fitted(time_features="scalar", device=device)
    labels = np.arange(30) % 2
    samples = model.sample(30, label=labels, guidance=guidance, trajectory=True, uncertainty=True)
    assert samples.trajectory is not None and samples.aleatoric is not None
    x = (samples.trajectory[-2].astype(np.float64) - model.shift) / model.scale
    t, a = np.full(30, 1), math.sqrt(model.alpha_bar[1])
    b = math.sqrt(1 - model.alpha_bar[1])
    w_c, w_u = (1.0, 0.0) if guidance is None else (guidance, 1 - guidance)
    var = w_c**2 * model.predict(x, t, labels).var + w_u**2 * model.predict(x, t).var
    np.testing.assert_allclose(samples.var, (b / a) ** 2 * var * model.scale**2, rtol=1e-3)
    slopes = np.zeros((30, 2, 2))
    for weight, one_hot in ((w_c, np.eye(2)[labels]), (w_u, np.zeros((30, 2)))):
        inputs = np.hstack([x, np.full((30, 1), 0.1), one_hot])
        slopes += weight * model.net.jacobian(inputs)[:, :, :2]
    tweedie = (b / a) ** 2 * (np.eye(2) - b * (slopes + slopes.transpose(0, 2, 1)) / 2)
    units = model.scale[:, np.newaxis] * model.scale
    np.testing.assert_allclose(
        samples.aleatoric / units, tweedie, rtol=1e-3, atol=1e-3 * (b / a) ** 2
    )


def test_guidance_moves_samples_away_from_the_other_class() -> None:
    model = small(hidden=(32, 32), n_steps=20)
    model.fit(*two_classes(4000), n_epochs=8, batch_size=64, progress=False)
    confidence = [
        posterior(model.sample(1000, label=1, guidance=w, seed=0).x)[:, 1].mean()
        for w in (0.0, 1.0, 3.0)
    ]
    assert confidence[0] < 0.6  # any class
    # Of rows of class 1 it is 0.899, by 10^6 of them.
    assert confidence[1] == pytest.approx(0.899, abs=0.04)
    assert confidence[2] > 0.97
