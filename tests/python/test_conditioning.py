"""Diffusion conditioned on classes: labels, guidance, classes told apart, and every target and
schedule on a distribution that is known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import Array, on_every_device, same_bits, unchanged

import tagix as tx
from tagix import nn, samplers, schedules

CLASS_FEATURES = ("one_hot", "sinusoidal", "embedding")
PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")

# Two classes that overlap: means and standard deviations of their columns, (class, column).
MEANS = np.array([[-1.0, 0.0], [1.0, 0.5]])
STDS = np.array([[0.8, 0.6], [0.6, 0.9]])


def two_classes(n_rows: int, seed: int = 0, share: float = 0.5) -> tuple[Array, Array]:
    """Rows (n_rows, 2) float32 and their classes, a ``share`` of them 1."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(n_rows) < share).astype(np.int64)
    x = MEANS[labels] + STDS[labels] * generator.standard_normal((n_rows, 2))
    return x.astype(np.float32), labels


def posterior(x: Array, shares: tuple[float, float] = (0.5, 0.5)) -> Array:
    """p(class | x) of two_classes by Bayes' theorem, (rows, 2)."""
    z = (x[:, np.newaxis].astype(np.float64) - MEANS) / STDS
    scores = -0.5 * (z**2).sum(axis=2) - np.log(STDS).sum(axis=1) + np.log(shares)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def small(seed: int = 0, **options: Any) -> tx.DiffusionModel:
    settings = {
        "hidden": (16, 16),
        "n_steps": 10,
        "n_classes": 2,
        "prediction_type": "epsilon",
    } | options
    return tx.DiffusionModel(2, seed=seed, **settings)


def fitted(**options: Any) -> tx.DiffusionModel:
    model = small(**options)
    model.fit(*two_classes(400), n_epochs=2, batch_size=32, progress=False)
    return model


# What the network sees.


@pytest.mark.parametrize("class_features", CLASS_FEATURES)
def test_network_sees_the_class_as_it_is_described(class_features: str) -> None:
    """predict is the network on [x_t, time features, class features], made here by hand."""
    model = fitted(n_classes=3, class_features=class_features, time_features="scalar")
    labels = np.array([0, 1, 2, -1, 1])
    angles = np.arange(3)[:, np.newaxis] / 10_000 ** (np.arange(4) / 3)
    waves = np.empty((3, 8))
    waves[:, ::2], waves[:, 1::2] = np.sin(angles), np.cos(angles)
    table = waves if class_features == "sinusoidal" else np.eye(3)
    features = np.vstack([table, 0 * table[:1]])[labels]
    x_t, t = two_classes(5)[0], np.array([1.0, 9.0, 4.5, 2.0, 7.0])
    inputs = np.hstack([x_t, t[:, np.newaxis] / 10, features]).astype(np.float32)
    expected = model.net(inputs)
    actual = model.predict(x_t, t, labels)
    np.testing.assert_allclose(actual.mean, expected.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(actual.var, expected.var, rtol=1e-5)
    assert isinstance(model.net[0], nn.ClassEmbedding) is (class_features == "embedding")


def test_one_label_stands_for_all_and_none_for_minus_one() -> None:
    model = fitted()
    x_t, t = two_classes(6)[0], np.arange(6)
    for one, other in (
        (1, [1] * 6),
        (None, [-1] * 6),
        (-1, None),
        (np.uint8(1), np.int16([1] * 6)),
    ):
        a, b = model.predict(x_t, t, one), model.predict(x_t, t, other)
        assert a.mean.tobytes() == b.mean.tobytes() and a.var.tobytes() == b.var.tobytes()
    assert not np.array_equal(model.predict(x_t, t, 0).mean, model.predict(x_t, t, 1).mean)


def test_class_embedding_is_that_of_the_network() -> None:
    model = fitted(class_features="embedding", embedding_dim=5, time_features="scalar")
    mean, var = model.class_embedding
    assert mean.shape == var.shape == (2, 5)
    # Of rows of zeros, what the layer puts beside the three values.
    layer = nn.Sequential(nn.ClassEmbedding(3, 2, 5), seed=0)
    layer.load_state_dict({key: model.net.state_dict()[key] for key in layer.state_dict()})
    expected = layer(np.hstack([np.zeros((2, 3)), np.eye(2)]))
    np.testing.assert_allclose(mean, expected.mean[:, 3:], rtol=1e-6)
    np.testing.assert_allclose(var, expected.var[:, 3:], rtol=1e-6)
    mean[:] = 0  # a copy
    assert model.class_embedding.mean.all()
    with pytest.raises(ValueError, match=r'^class_embedding: got a model without class_features="'):
        _ = fitted().class_embedding


# Guidance.


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


# Training with labels.


def test_rows_learned_without_labels_say_nothing_of_classes() -> None:
    """With p_uncond 1, or labels -1, the weights of classes stay as they were made."""
    x, labels = two_classes(300)
    for model_labels, p_uncond in ((labels, 1.0), (np.full(300, -1), 0.0)):
        model, without = small(), small()
        before = model.net.state_dict()
        model.fit(x, model_labels, p_uncond=p_uncond, n_epochs=2, progress=False)
        after = model.net.state_dict()
        first = {part: f"0.weight.{part}" for part in ("mean", "var")}
        for name in first.values():
            # Inputs: 2 columns, 5 time features, 2 classes.
            np.testing.assert_array_equal(after[name][:, 7:], before[name][:, 7:])
            assert not np.array_equal(after[name][:, :7], before[name][:, :7])
        # And so, with these weights at 0, labels make no difference.
        for name in first.values():
            after[name][:, 7:] = 0
        without.net.load_state_dict(after)
        x_t, t = x[:20], np.arange(20) % 10
        expected = without.predict(x_t, t).mean
        assert model.predict(x_t, t).mean.tobytes() == expected.tobytes()
        assert without.predict(x_t, t, 1).mean.tobytes() == expected.tobytes()


def test_embedding_of_a_class_never_seen_stays_at_its_prior() -> None:
    model = small(n_classes=3, class_features="embedding", embedding_dim=4)
    before = model.class_embedding
    model.fit(*two_classes(300), p_uncond=0.0, n_epochs=1, progress=False)
    after = model.class_embedding
    for part in ("mean", "var"):
        old, new = getattr(before, part), getattr(after, part)
        np.testing.assert_array_equal(new[2], old[2])
        assert (new[:2] != old[:2]).all()


def test_without_dropout_every_row_is_learned_with_its_label() -> None:
    """With p_uncond 0 and one class the 1 of that class is a second bias.

    Its weights and the biases, of equal priors here, then learn the same in each update.
    """
    x, _ = two_classes(300)
    model = small(n_classes=1)
    state = model.net.state_dict()
    for part in ("mean", "var"):
        state[f"0.weight.{part}"][:, 7] = state[f"0.bias.{part}"]
    model.net.load_state_dict(state)
    model.fit(x, np.zeros(300, int), p_uncond=0.0, n_epochs=1, batch_size=16, progress=False)
    after = model.net.state_dict()
    for part in ("mean", "var"):
        weights, biases = after[f"0.weight.{part}"][:, 7], after[f"0.bias.{part}"]
        assert (biases != state[f"0.bias.{part}"]).any()
        np.testing.assert_allclose(weights, biases, rtol=1e-4, atol=1e-6)


def test_labels_change_what_is_learned_and_equal_seeds_give_equal_bits() -> None:
    def run(p_uncond: float) -> tuple[dict[str, Array], list[float]]:
        model = small()
        history = model.fit(*two_classes(300), p_uncond=p_uncond, n_epochs=2, progress=False)
        return model.net.state_dict(), history.train_mse

    (state, mse), again, other = run(0.5), run(0.5), run(0.1)
    assert same_bits(state, again[0]) and mse == again[1]
    assert not same_bits(state, other[0])


def test_class_shares_are_those_of_labelled_rows_of_the_latest_fit() -> None:
    model = small(n_classes=3)
    assert model.class_shares is None
    x = two_classes(16)[0]
    model.fit(x, [0, 2, 2, 2, -1, -1, 2, -1] * 2, n_epochs=1, progress=False)
    shares = model.class_shares
    assert shares is not None
    np.testing.assert_allclose(shares, [0.2, 0, 0.8])
    shares[:] = 1  # a copy
    np.testing.assert_allclose(np.asarray(model.class_shares), [0.2, 0, 0.8])
    model.fit(x, [0, 1] * 8, n_epochs=1, progress=False)
    np.testing.assert_allclose(np.asarray(model.class_shares), [0.5, 0.5, 0])
    model.fit(x, -1, n_epochs=1, progress=False)
    assert model.class_shares is None


def failing(record: tx.EpochRecord) -> None:
    raise LookupError("from the callback")


@pytest.mark.parametrize("class_features", CLASS_FEATURES)
@pytest.mark.parametrize("first", [True, False])
def test_failed_fit_leaves_the_model(first: bool, class_features: str) -> None:
    """Parameters, epochs, units and class shares."""
    x, labels = two_classes(100)
    model = small(class_features=class_features)
    if not first:
        model.fit(x, labels, n_epochs=1, progress=False)
    units, shares = (model.shift, model.scale), model.class_shares
    with unchanged(model.net):
        with pytest.raises(LookupError, match="from the callback"):
            model.fit(9 * x, 1 - labels, n_epochs=2, progress=False, callback=failing)
        for bad in (labels + 1, labels[:-1], labels.astype(float)):
            with pytest.raises((ValueError, TypeError), match=r"^labels: got "):
                model.fit(9 * x, bad, n_epochs=1, progress=False)
        with pytest.raises(ValueError, match=r"^p_uncond: got 2"):
            model.fit(9 * x, labels, p_uncond=2, n_epochs=1, progress=False)
        with pytest.raises(ValueError, match=r"^X: "):
            model.fit(np.full((100, 2), np.nan), labels, n_epochs=1, progress=False)
    np.testing.assert_array_equal([model.shift, model.scale], units)
    np.testing.assert_array_equal(model.class_shares, shares)
    # As if nothing had been tried.
    other = small(class_features=class_features)
    for each in (other, model) if first else (other, other, model):
        each.fit(x, labels, n_epochs=1, progress=False)
    assert same_bits(model.net.state_dict(), other.net.state_dict())


# What is learned.


@pytest.mark.parametrize("class_features", CLASS_FEATURES)
def test_label_chooses_the_cluster(class_features: str) -> None:
    """Two clusters 16 standard deviations apart, with labels of 3 classes, one of them both's."""
    generator = np.random.default_rng(0)
    side = generator.integers(0, 2, 3000)
    x = np.stack([8.0 * side, np.zeros(3000)], axis=1) + 0.5 * generator.standard_normal((3000, 2))
    labels = np.where(generator.random(3000) < 0.3, 2, side)
    model = tx.DiffusionModel(2, (32, 32), 20, n_classes=3, class_features=class_features, seed=0)
    model.fit(x, labels, n_epochs=8, batch_size=64, progress=False)
    wanted = np.arange(1000) % 2
    drawn = model.sample(1000, label=wanted).x
    assert ((drawn[:, 0] > 4) == wanted).mean() >= 0.99
    for label in (2, None):  # either side
        share = (model.sample(1000, label=label).x[:, 0] > 4).mean()
        assert abs(share - 0.5) < 0.1
    certain = model.predict_proba(x[labels < 2][:200], n_draws=2, class_shares=[1, 1, 0])
    assert (certain.argmax(axis=1) == labels[labels < 2][:200]).mean() >= 0.99


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


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize(
    ("schedule", "time_features"),
    [
        ("cosine", "cosine"),
        (schedules.Linear(0.01, 0.4), "sinusoidal"),
        ("sigmoid", "scalar"),
        ("edm", "log_sigma"),
        (schedules.EDM(0.02, 20.0), "cosine"),
    ],
    ids=str,
)
def test_every_target_and_schedule_learns_a_gaussian(
    schedule: Any, time_features: str, prediction_type: str
) -> None:
    """Mean [3, -1], covariance [[4, 1.2], [1.2, 1]]; errors are in standard deviations.

    Of three seeds, the worst errors are 0.14 in the mean and 0.27 in the covariance, both of the
    EDM schedule; those of "epsilon" are half of that and less.
    """
    generator = np.random.default_rng(0)
    mean, covariance = np.array([3.0, -1.0]), np.array([[4.0, 1.2], [1.2, 1.0]])
    data = generator.multivariate_normal(mean, covariance, 4000)
    model = tx.DiffusionModel(
        2,
        (32, 32),
        20,
        schedule,
        prediction_type=prediction_type,
        time_features=time_features,
        seed=0,
    )
    model.fit(data, n_epochs=10, batch_size=64, progress=False)
    x = model.sample(4000).x.astype(np.float64)
    spread = np.sqrt(np.diag(covariance))
    assert (np.abs(x.mean(axis=0) - mean) < 0.15 * spread).all()
    difference = (np.cov(x.T) - covariance) / np.outer(spread, spread)
    assert np.abs(difference).max() < 0.35


# Wrong calls.

X, LABELS = two_classes(10)
CONDITIONED, PLAIN = small(), small(n_classes=None)
NAN, INF = float("nan"), float("inf")
NEEDS_CLASSES = "needed classes in [0, 2), or -1 for none"
WITHOUT_CLASSES = "got labels, needed none for a model without n_classes"
Case = tuple[Callable[[], object], type[Exception], str]


def label_cases(name: str, call: Callable[[Any], object]) -> dict[str, Case]:
    """Wrong labels of 10 rows: id -> (call, error, message)."""
    wrong: list[tuple[Any, type[Exception], str]] = [
        (LABELS + 1, ValueError, f"got 2, {NEEDS_CLASSES}"),
        (LABELS - 2, ValueError, f"got -2, {NEEDS_CLASSES}"),
        (2, ValueError, f"got 2, {NEEDS_CLASSES}"),
        (np.uint64([2**63] * 10), ValueError, "got 9223372036854775808, needed classes"),
        (LABELS[:9], ValueError, "got shape (9,), needed one integer, or (10,)"),
        (LABELS[:, np.newaxis], ValueError, "got shape (10, 1), needed one integer, or (10,)"),
        (LABELS.astype(float), TypeError, "got an array of float64, needed integers"),
        (LABELS.astype(bool), TypeError, "got an array of bool, needed integers"),
        ("one", TypeError, "got a str, needed"),
    ]
    return {
        f"{name} {value!r}": (lambda v=value: call(v), error, f"{name}: {message}")
        for value, error, message in wrong
    }


def named(call: Callable[..., object], name: str, value: Any) -> Callable[[], object]:
    return lambda: call(**{name: value})


def fit(**options: Any) -> object:
    return CONDITIONED.fit(X, **{"labels": LABELS, "n_epochs": 1, "progress": False} | options)


def sample(**options: Any) -> object:
    return CONDITIONED.sample(10, seed=0, **options)


def proba(**options: Any) -> object:
    return CONDITIONED.predict_proba(X, **options)


def model_of(**options: Any) -> object:
    return tx.DiffusionModel(2, (4,), 4, **options)


CASES: dict[str, Case] = {
    **label_cases("labels", lambda value: fit(labels=value)),
    **{
        f"predict {key}": case
        for key, case in label_cases(
            "labels", lambda value: CONDITIONED.predict(X, np.arange(10), value)
        ).items()
    },
    **label_cases("label", lambda value: sample(label=value)),
    "fit without labels": (
        lambda: fit(labels=None),
        ValueError,
        "labels: got none, needed the class of each row, -1 where it is unknown",
    ),
    "fit of a model without classes": (
        lambda: PLAIN.fit(X, LABELS, progress=False),
        ValueError,
        f"labels: {WITHOUT_CLASSES}",
    ),
    "predict of a model without classes": (
        lambda: PLAIN.predict(X, np.arange(10), -1),
        ValueError,
        f"labels: {WITHOUT_CLASSES}",
    ),
    "sample of a model without classes": (
        lambda: PLAIN.sample(3, label=0),
        ValueError,
        f"label: {WITHOUT_CLASSES}",
    ),
    "predict_proba of a model without classes": (
        lambda: PLAIN.predict_proba(X),
        ValueError,
        "n_classes: got a model without classes, needed",
    ),
    **{
        f"p_uncond {value!r}": (
            named(fit, "p_uncond", value),
            error,
            f"p_uncond: got {value!r}, needed a number",
        )
        for value, error in (
            (-0.1, ValueError),
            (1.1, ValueError),
            (NAN, ValueError),
            ("a", TypeError),
            (None, TypeError),
        )
    },
    **{
        f"guidance {value!r}": (
            lambda v=value: sample(label=0, guidance=v),
            error,
            f"guidance: got {value!r}, needed a",
        )
        for value, error in ((NAN, ValueError), (INF, ValueError), ("a", TypeError))
    },
    "guidance without a label": (
        lambda: sample(guidance=2.0),
        ValueError,
        "guidance: got a number without a label, needed a label to guide to",
    ),
    **{
        f"guidance_convention {value!r}": (
            lambda v=value: sample(label=0, guidance=2.0, guidance_convention=v),
            error,
            f"guidance_convention: got {value!r}, needed one of 'scale', 'weight'",
        )
        for value, error in (("Scale", ValueError), (None, TypeError), (1, TypeError))
    },
    **{
        f"class_shares {value!r}": (
            named(proba, "class_shares", value),
            error,
            "class_shares: got ",
        )
        for value, error in (
            ([1, 1, 1], ValueError),
            (1, ValueError),
            ([1, -1], ValueError),
            ([0, 0], ValueError),
            ([1, NAN], ValueError),
            ([1, INF], ValueError),
            ("a", TypeError),
        )
    },
    **{
        f"n_draws {value!r}": (
            named(proba, "n_draws", value),
            error,
            f"n_draws: got {value!r}, needed",
        )
        for value, error in ((0, ValueError), (1.5, TypeError), (None, TypeError))
    },
    **{
        f"seed {value!r}": (named(proba, "seed", value), error, f"seed: got {value!r}, needed")
        for value, error in ((-1, ValueError), (2**63, ValueError), (None, TypeError))
    },
    **{
        f"predict_proba of {name}": (lambda v=value: CONDITIONED.predict_proba(v), error, "X: got ")
        for name, value, error in (
            ("three columns", np.zeros((4, 3)), ValueError),
            ("one dimension", np.zeros(2), ValueError),
            ("NaN", np.full((4, 2), NAN), ValueError),
            ("text", "rows", TypeError),
        )
    },
    **{
        f"model with {name} {value!r}": (
            named(model_of, name, value),
            error,
            f"{name}: got {value!r}, needed",
        )
        for name, value, error in (
            ("prediction_type", "noise", ValueError),
            ("prediction_type", 3, TypeError),
            ("n_classes", 0, ValueError),
            ("n_classes", 2**40, ValueError),
            ("n_classes", 2.0, TypeError),
            ("n_classes", True, TypeError),
            ("class_features", "onehot", ValueError),
            ("class_features", None, TypeError),
            ("embedding_dim", 0, ValueError),
            ("embedding_dim", "8", TypeError),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_wrong_calls(case: str) -> None:
    call, error, message = CASES[case]
    before = CONDITIONED.class_shares
    with unchanged(CONDITIONED.net), pytest.raises(error, match=f"^{re.escape(message)}"):
        call()
    assert CONDITIONED.class_shares is before is None
