"""Estimators on streams: rows in pieces, units that follow, dicts as in River, the log, drift."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

import tagix as tx
from tagix import nn
from tagix.sklearn import TagiClassifier, TagiRegressor
from tagix.sklearn._growth import wider
from tagix.sklearn._scaling import Moments

Array = np.ndarray
NAMES = ("temperature", "pressure", "day")


def stream(n_rows: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n_rows, 3))
    y = np.sin(2 * z[:, 0]) + z[:, 1] + 0.2 * rng.standard_normal(n_rows)
    return z * [30.0, 1e5, 2.0] + [15.0, 1e6, 0.0], 100 * y - 500


def rows_of(X: Array) -> Iterator[dict[str, float]]:
    return (dict(zip(NAMES, row, strict=True)) for row in X.tolist())


def labels_of(y: Array) -> list[str]:
    return [("low", "middle", "high")[k] for k in np.digitize(y, [-560, -440])]


def one(**arguments: Any) -> TagiRegressor:
    return TagiRegressor(n_estimators=1, random_state=0, **arguments)


def predictions(model: Any, X: Array) -> Array:
    if isinstance(model, TagiClassifier):
        return model.predict_proba(X)
    return np.stack(model.predict(X, return_std=True))


def targets_of(model: Any, y: Array) -> Any:
    return np.array(labels_of(y)) if isinstance(model, TagiClassifier) else y


def assert_same_logs(actual: Any, expected: Any) -> None:
    """Up to rounding, which differs between Python and the core."""
    numbers, others = (vars(model.prequential_log_).copy() for model in (actual, expected))
    assert numbers.pop("drifts") == others.pop("drifts")
    assert numbers == pytest.approx(others, rel=1e-4)


@pytest.mark.parametrize("Estimator", [TagiRegressor, TagiClassifier])
def test_pieces_give_the_same_bits_as_all_at_once(Estimator: Any) -> None:
    X, y = stream(320)
    whole, pieces = (Estimator(n_estimators=2, batch_size=8, random_state=0) for _ in range(2))
    y = targets_of(whole, y)
    whole.partial_fit(X, y)
    for start, stop in ((0, 8), (8, 64), (64, 72), (72, 320)):
        pieces.partial_fit(X[start:stop], y[start:stop])
    assert np.array_equal(predictions(whole, X), predictions(pieces, X))
    assert whole.prequential_log_ == pieces.prequential_log_


def test_units_are_those_of_all_rows_so_far() -> None:
    X, y = stream(300)
    model = one(batch_size=4).partial_fit(X[:12], y[:12])
    np.testing.assert_allclose(model.x_mean_, X[:12].mean(axis=0))
    model.partial_fit(X[12:], y[12:])  # 256 is the last power of two
    np.testing.assert_allclose(model.x_mean_, X[:256].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.x_scale_, X[:256].std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.y_mean_, y[:256].mean(), rtol=1e-12)
    np.testing.assert_allclose(model.y_scale_, y[:256].std(), rtol=1e-12)


def test_a_wider_network_keeps_what_the_narrow_one_has_counted() -> None:
    net = nn.Sequential(
        nn.Linear(3, 4),
        nn.ReLU(),
        nn.Linear(4, 1),
        noise=tx.Heteroscedastic(),
        forgetting=tx.Forgetting(),
        seed=0,
    )
    X, y = np.random.default_rng(0).standard_normal((2, 40, 3))
    net.fit(X, y[:, :1], n_epochs=3, progress=False)
    more = wider(net, more_inputs=2)
    assert more.layers[0].config["in_features"] == 5
    assert more.epochs_trained == net.epochs_trained == 3
    assert more._model.drift == net._model.drift and net._model.drift[1] > 30


def test_predictions_do_not_jump_where_units_change() -> None:
    """Row 1024 brings new units; it moves the predictions no more than rows beside it do."""
    X, y = stream(1100)
    model = one(batch_size=1).partial_fit(X[:1020], y[:1020])
    changes, before = [], predictions(model, X[:200])
    for row in range(1020, 1030):
        units = model.y_scale_.copy()
        model.partial_fit(X[[row]], y[[row]])
        after = predictions(model, X[:200])
        changes.append(np.abs(after - before).max())
        assert (model.y_scale_ != units) == (row == 1023)
        before = after
    assert changes[3] < 2 * max(changes[:3] + changes[4:])


def test_partial_fit_goes_on_from_fit() -> None:
    X, y = stream(700)
    X_test, y_test = stream(1000, seed=1)
    model = one(max_epochs=2).fit(X[:100], y[:100])
    before = model.score(X_test, y_test)
    model.partial_fit(X[100:], y[100:])
    assert model.score(X_test, y_test) > before
    # Units of encoded columns stay; 516 rows end the batch that reaches the next power of two.
    np.testing.assert_allclose(model.x_mean_, X[:100].mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(model.y_mean_, y[:516].mean(axis=0), rtol=1e-9)
    assert model.prequential_log_.n_rows == 600


def test_moments_in_pieces_and_with_holes() -> None:
    rows = np.random.default_rng(0).standard_normal((50, 4)) * [1, 1e6, 1e-6, 1] + [0, 1e9, 5, 0]
    rows[np.random.default_rng(1).random(rows.shape) < 0.3] = np.nan
    rows[:, 3] = np.nan
    moments = Moments.of_nothing(4)
    for piece in np.split(rows, [1, 2, 20]):
        moments.add(piece)
    scaler = moments.scaler()
    np.testing.assert_allclose(scaler.mean[:3], np.nanmean(rows[:, :3], axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaler.scale[:3], np.nanstd(rows[:, :3], axis=0), rtol=1e-9)
    assert scaler.varies.tolist() == [True, True, True, False] and scaler.mean[3] == 0


@pytest.mark.parametrize("Estimator", [TagiRegressor, TagiClassifier])
def test_one_by_one_is_a_batch_size_of_one(Estimator: Any) -> None:
    """The core's stream, which learns most of the rows, and partial_fit end in the same network."""
    X, y = stream(600)
    batch, single = (Estimator(n_estimators=1, batch_size=1, random_state=0) for _ in range(2))
    targets = targets_of(batch, y)
    batch.partial_fit(X, targets)
    for x, target in zip(rows_of(X), targets.tolist(), strict=True):
        single.learn_one(x, target)
    assert single._stream is not None
    assert single.feature_names_in_.tolist() == list(NAMES)
    assert_same_logs(single, batch)
    del single.feature_names_in_  # the rows below have no names
    np.testing.assert_allclose(predictions(single, X), predictions(batch, X), rtol=1e-4)


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_predict_one_is_predict(n_estimators: int) -> None:
    X, y = stream(200)
    model = TagiRegressor(n_estimators=n_estimators, random_state=0)
    for x, target in zip(rows_of(X), y.tolist(), strict=True):
        model.learn_one(x, target)
    del model.feature_names_in_
    means, stds = model.predict(X[:10], return_std=True)
    for x, mean, std in zip(rows_of(X[:10]), means, stds, strict=True):
        assert model.predict_one(x) == pytest.approx(mean, rel=1e-4)
        assert model.predict_one(x, return_std=True) == pytest.approx((mean, std), rel=1e-4)
    missing = X[:1].copy()
    missing[0, 2] = np.nan
    expected = model.predict(missing, return_std=True)
    for x in ({"temperature": missing[0, 0], "pressure": missing[0, 1]}, next(rows_of(missing))):
        assert model.predict_one(x, return_std=True) == pytest.approx(
            (expected[0][0], expected[1][0]), rel=1e-4
        )
    # What it does not know is left out.
    assert model.predict_one(next(rows_of(X)) | {"moon": 1.0}) == model.predict_one(
        next(rows_of(X))
    )


def test_log_against_predictions_made_by_hand() -> None:
    X, y = stream(300)
    model = TagiRegressor(n_estimators=2, random_state=0)
    expected = []
    for number, (x, target) in enumerate(zip(rows_of(X), y.tolist(), strict=True)):
        mean, std = model.predict_one(x, return_std=True)
        if number >= 16:
            expected.append((target, mean, std))
        model.learn_one(x, target)
    target, mean, std = np.array(expected).T
    log = model.prequential_log_
    assert log.n_rows == 284
    assert log.mean_squared_error == pytest.approx(np.mean((target - mean) ** 2), rel=1e-3)
    assert log.mean_absolute_error == pytest.approx(np.mean(np.abs(target - mean)), rel=1e-3)
    assert log.mean_log_likelihood == pytest.approx(
        np.mean(-0.5 * np.log(2 * np.pi * std**2) - 0.5 * ((target - mean) / std) ** 2), rel=1e-4
    )
    assert log.coverage == pytest.approx(np.mean(np.abs(target - mean) < 1.6448536 * std), abs=0.01)


def test_log_of_classes_against_predictions_made_by_hand() -> None:
    X, y = stream(300)
    model = TagiClassifier(n_estimators=1, random_state=0)
    right, log_likelihoods, n_new = 0, [], 0
    for x, label in zip(rows_of(X), labels_of(y), strict=True):
        expected = model.predict_proba_one(x)
        right += model.predict_one(x) == label
        if label in expected:
            log_likelihoods.append(np.log(expected[label]))
        else:
            n_new += 1
        model.learn_one(x, label)
    log = model.prequential_log_
    assert (log.n_rows, log.n_new_labels, n_new) == (300, 3, 3)
    assert log.accuracy == pytest.approx(right / 300)
    assert log.mean_log_likelihood == pytest.approx(np.mean(log_likelihoods), rel=1e-4)
    assert log.accuracy > 0.6


@pytest.mark.parametrize("n_estimators", [1, 2])
def test_features_that_come_and_go(n_estimators: int) -> None:
    X, y = stream(400)
    model = TagiRegressor(n_estimators=n_estimators, random_state=0)
    for number, (x, target) in enumerate(zip(rows_of(X), y.tolist(), strict=True)):
        if number < 100:
            x = {"temperature": x["temperature"]}
        elif number % 7 == 0:
            x["day"] = None  # type: ignore[assignment]
        model.learn_one(x, target)
    assert model.n_features_in_ == 3 and model.feature_names_in_.tolist() == list(NAMES)
    assert all(net(np.zeros((1, 3))).mean.shape == (1, 1) for net in model.nets_)
    # What it learned of the first feature before is still there, and the second is learned.
    X_test, y_test = stream(500, seed=1)
    del model.feature_names_in_
    assert model.score(X_test, y_test) > 0.6


def test_a_new_feature_does_not_change_predictions_without_it() -> None:
    """Its column is new: a row without it, or with the mean that it has had, predicts as before."""
    X, y = stream(100)
    model = one()
    for x, target in zip(rows_of(X), y.tolist(), strict=True):
        model.learn_one({"temperature": x["temperature"]}, target)
    before = model.predict_one({"temperature": 20.0}, return_std=True)
    model._end_stream()
    model._add_features(["pressure"])
    assert model.predict_one({"temperature": 20.0}, return_std=True) == pytest.approx(before)
    assert model.predict_one(
        {"temperature": 20.0, "pressure": 3.0}, return_std=True
    ) == pytest.approx(before)


def test_first_rows_in_odd_units() -> None:
    """Units that are far from 1, and first targets that are nearly equal, do no harm."""
    X, y = stream(500)
    y[:3] = y[0] + np.array([0.0, 1e-3, -1e-3])
    model = one()
    for x, target in zip(rows_of(X * 1e6), (y * 1e-6).tolist(), strict=True):
        model.learn_one(x, target)
    log = model.prequential_log_
    assert log.mean_squared_error < 0.7 * np.var(y * 1e-6) and 0.8 < log.coverage < 1


def test_drift_is_found_and_logged() -> None:
    X, y = stream(3000)
    y[2000:] = -y[2000:]
    for n_estimators in (1, 2):
        model = TagiRegressor(n_estimators=n_estimators, forgetting=tx.Forgetting(), random_state=0)
        for x, target in zip(rows_of(X), y.tolist(), strict=True):
            model.learn_one(x, target)
        drifts = model.prequential_log_.drifts
        assert len([row for row in drifts if row <= 2000]) <= n_estimators
        assert any(2000 < row <= 2010 for row in drifts)
        assert model.prequential_log_.n_drifts == sum(net.n_drifts for net in model.nets_)


def test_a_table_has_no_drifts() -> None:
    """Its rows have no order: forgetting begins with the stream that follows."""
    X, y = stream(600)
    model = one(forgetting=tx.Forgetting(drift_level=0.4, window=2), max_epochs=3).fit(X, y)
    assert model.net_.n_drifts == 0
    model.partial_fit(X[:1], y[:1])
    assert model.prequential_log_.n_drifts <= 1


@pytest.mark.parametrize("Estimator", [TagiRegressor, TagiClassifier])
def test_a_copy_of_a_stream_goes_on(Estimator: Any) -> None:
    X, y = stream(300)
    model = Estimator(n_estimators=1, random_state=0)
    targets = targets_of(model, y).tolist()
    rows = list(rows_of(X))
    for x, target in zip(rows[:100], targets, strict=False):
        model.learn_one(x, target)
    other = pickle.loads(pickle.dumps(model))
    for each in (model, other):
        for x, target in zip(rows[100:], targets[100:], strict=True):
            each.learn_one(x, target)
    assert_same_logs(other, model)
    assert other.x_mean_.tolist() == model.x_mean_.tolist()
    for x in rows[:5]:
        assert other.predict_one(x) == model.predict_one(x)


def test_stream_and_table_in_turn() -> None:
    """learn_one, partial_fit and learn_one again: one stream, whoever learns the rows."""
    X, y = stream(300)
    mixed, batch = one(batch_size=1), one(batch_size=1).partial_fit(X, y)
    rows = list(rows_of(X))
    for x, target in zip(rows[:100], y[:100].tolist(), strict=True):
        mixed.learn_one(x, target)
    with pytest.warns(UserWarning, match="valid feature names"):
        mixed.partial_fit(X[100:200], y[100:200])
    for x, target in zip(rows[200:], y[200:].tolist(), strict=True):
        mixed.learn_one(x, target)
    assert mixed.prequential_log_.n_rows == batch.prequential_log_.n_rows == 284
    del mixed.feature_names_in_
    np.testing.assert_allclose(predictions(mixed, X), predictions(batch, X), rtol=1e-4)


def test_several_outputs_of_a_stream() -> None:
    X, y = stream(200)
    model = one()
    assert isinstance(model.predict_one({"temperature": 1.0}), float)
    for x, target in zip(rows_of(X), y, strict=True):
        model.learn_one(x, [target, -target])
    mean, std = model.predict_one(next(rows_of(X)), return_std=True)
    assert mean.shape == std.shape == (2,)
    with pytest.raises(ValueError, match="got 1 outputs, needed 2"):
        model.learn_one(next(rows_of(X)), 1.0)


def test_before_the_first_row() -> None:
    mean, std = TagiRegressor(random_state=0).predict_one({"a": 5.0}, return_std=True)
    assert abs(mean) < 2 and 0.7 < std < 5
    assert TagiClassifier().predict_one({"a": 5.0}) is None
    assert TagiClassifier().predict_proba_one({"a": 5.0}) == {}


@pytest.mark.parametrize("n_before", [0, 50])
@pytest.mark.parametrize("model", [one(), TagiClassifier(n_estimators=1, random_state=0)])
def test_bad_rows_change_nothing(model: Any, n_before: int) -> None:
    X, y = stream(100)
    model = type(model)(**model.get_params())
    target = targets_of(model, y).tolist()
    rows = list(rows_of(X))
    for x, each in zip(rows[:n_before], target, strict=False):
        model.learn_one(x, each)
    with pytest.raises(TypeError, match="needed a"):
        model.learn_one([1.0, 2.0], target[0])
    with pytest.raises(TypeError, match="needed a number"):
        model.learn_one(rows[0] | {"day": "monday"}, target[0])
    with pytest.raises(ValueError, match="got inf"):
        model.learn_one(rows[0] | {"day": float("inf")}, target[0])
    with pytest.raises(ValueError, match="needed"):
        model.learn_one(rows[0], float("nan"))
    with pytest.raises(ValueError, match="no features"):
        type(model)().learn_one({}, target[0])
    for x, each in zip(rows[n_before:], target[n_before:], strict=True):
        model.learn_one(x, each)
    untouched = type(model)(**model.get_params())
    for x, each in zip(rows, target, strict=True):
        untouched.learn_one(x, each)
    assert model.prequential_log_ == untouched.prequential_log_
    assert model.predict_one(rows[0]) == untouched.predict_one(rows[0])
