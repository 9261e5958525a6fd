"""Diffusion conditioned on classes: what the network sees of labels, and learns from them."""

from __future__ import annotations

import numpy as np
import pytest
from conditioned_diffusion import CLASS_FEATURES, fitted, small, two_classes
from helpers import Array, same_bits, unchanged

import tagix as tx
from tagix import nn


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
