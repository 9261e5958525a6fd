"""Classes of rows by a diffusion model, against Bayes' theorem."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from conditioned_diffusion import MEANS, STDS, fitted, posterior, small, two_classes
from helpers import Array

import tagix as tx
from tagix import schedules


@pytest.mark.parametrize(
    ("options", "worst"),
    [
        ({"class_features": "one_hot"}, 0.025),
        ({"class_features": "sinusoidal"}, 0.025),
        ({"class_features": "embedding"}, 0.025),
        ({"prediction_type": "v_prediction"}, 0.02),
        ({"prediction_type": "v_prediction", "time_features": "log_sigma"}, 0.03),
        ({"schedule": "sigmoid"}, 0.025),
        ({"schedule": "edm", "prediction_type": "v_prediction"}, 0.03),
        ({"schedule": "linear"}, 0.05),
        # Its error where there is little noise weighs most, and is what "sample" learns least.
        ({"prediction_type": "sample"}, 0.1),
    ],
    ids=str,
)
def test_class_probabilities_are_those_of_bayes(options: dict[str, Any], worst: float) -> None:
    """Two Gaussians of which Bayes' theorem tells 93 % apart.

    The bounds are on the mean absolute difference of p(class 1 | x) over 500 rows, at 1.3 times
    or more what the worst of three seeds has.
    """
    model = tx.DiffusionModel(2, (32, 32), 20, n_classes=2, seed=0, **options)
    model.fit(*two_classes(4000), n_epochs=10, batch_size=64, progress=False)
    x, labels = two_classes(500, seed=1)
    expected, actual = posterior(x), model.predict_proba(x)
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual.sum(axis=1), 1)
    assert np.abs(actual - expected)[:, 1].mean() < worst
    assert np.corrcoef(actual[:, 1], expected[:, 1])[0, 1] > 1 - worst / 2
    best = (expected.argmax(axis=1) == labels).mean()
    assert (actual.argmax(axis=1) == labels).mean() > best - 0.03


def test_class_shares_weigh_the_probabilities() -> None:
    model = small(hidden=(32, 32), n_steps=20)
    x, labels = two_classes(4000, share=0.1)
    model.fit(x, labels, n_epochs=10, batch_size=64, progress=False)
    rows, _ = two_classes(300, seed=1)
    # As they were in the fit; and as odds, exactly, where they are given.
    learned = model.predict_proba(rows)
    assert np.abs(learned - posterior(rows, (0.9, 0.1)))[:, 1].mean() < 0.03
    even = model.predict_proba(rows, class_shares=[1, 1])
    uneven = model.predict_proba(rows, class_shares=[6, 2])
    odds = even[:, 1] / even[:, 0] / 3
    np.testing.assert_allclose(uneven[:, 1], odds / (1 + odds), rtol=1e-9)
    np.testing.assert_array_equal(model.predict_proba(rows, class_shares=[0, 2])[:, 1], 1)
    np.testing.assert_allclose(model.predict_proba(rows, class_shares=[0.5, 0.5]), even)
    expected = np.asarray(model.class_shares)
    np.testing.assert_array_equal(model.predict_proba(rows, class_shares=expected), learned)


def test_class_probabilities_by_exact_predictions() -> None:
    """The integral alone: class_log_likelihoods of Gaussians whose best F is known.

    Of each class x_0 ~ N(m, s^2), so that the best x_0_hat is linear in x_t.
    """
    from tagix._denoising_likelihood import class_log_likelihoods

    x, _ = two_classes(400)
    for schedule, n_steps, bound in (
        (schedules.Cosine(), 40, 0.05),
        (schedules.Cosine(), 20, 0.06),
        (schedules.EDM(), 20, 0.05),
    ):
        alpha_bar = schedule.alpha_bar(n_steps)

        def predict(
            x_t: Array, t: Array, label: int, alpha_bar: Array = alpha_bar
        ) -> tuple[Array, Array]:
            share = alpha_bar[int(t[0])]
            a, var = math.sqrt(share), STDS[label] ** 2
            gain = a * var / (share * var + 1 - share)
            return MEANS[label] + gain * (x_t - a * MEANS[label]), np.zeros_like(x_t)

        generator = np.random.default_rng(0)
        scores = class_log_likelihoods(
            predict, x.astype(np.float64), 2, alpha_bar, "sample", 64, generator
        )
        truth = np.log(posterior(x))
        error = np.diff(scores, axis=1) - np.diff(truth, axis=1)
        # The standard error of 64 noises is 0.1 on average.
        assert abs(error.mean()) < bound
        assert np.sqrt((error**2).mean()) < 0.2


def test_class_probabilities_are_seeded() -> None:
    model = fitted()
    x, _ = two_classes(20, seed=1)
    first = model.predict_proba(x, n_draws=3, seed=1)
    assert first.tobytes() == model.predict_proba(x, n_draws=3, seed=1).tobytes()
    assert first.tobytes() != model.predict_proba(x, n_draws=3, seed=2).tobytes()
    assert first.tobytes() != model.predict_proba(x, n_draws=5, seed=1).tobytes()
