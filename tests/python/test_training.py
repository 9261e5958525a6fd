"""Updates and fit against closed forms, replays in numpy, and what History promises."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import Array, regression_data, same_bits, small, unchanged

import tagix as tx
from tagix import nn


def gaussian_log_density(y: Array, mean: Array, var: Array | float) -> Array:
    return -0.5 * (np.log(2 * np.pi * var) + (y - mean) ** 2 / var)


def sequence_for_one_weight() -> list[tuple[float, float, float]]:
    """(x, y, noise variance) of y = 0.7 x + e."""
    generator = np.random.default_rng(0)
    observations = []
    for noise_var in generator.uniform(0.05, 2, 200):
        x = generator.standard_normal()
        y = 0.7 * x + math.sqrt(noise_var) * generator.standard_normal()
        observations.append((float(x), float(y), float(noise_var)))
    return observations


def test_one_weight_is_conjugate_without_caps() -> None:
    """y = w x + e, one by one: precision grows by x^2 / noise, and the mean is Bayes' rule.

    The first-order update var - var^2 H is exact for one observation, if no cap is in its way.
    """
    net = nn.Sequential(nn.Linear(1, 1, bias=False), seed=0, rule=tx.Capped(cap=1e-6))
    state = net.state_dict()
    mean, var = float(state["0.weight.mean"][0, 0]), float(state["0.weight.var"][0, 0])
    precision, information = 1 / var, mean / var
    for x, y, noise_var in sequence_for_one_weight():
        net.update([[x]], [[y]], noise_var)
        precision += x * x / noise_var
        information += x * y / noise_var
    after = net.state_dict()
    np.testing.assert_allclose(after["0.weight.var"], 1 / precision, rtol=1e-4)
    np.testing.assert_allclose(after["0.weight.mean"], information / precision, rtol=1e-4)


def test_one_weight_by_information_is_never_too_sure() -> None:
    """Precision grows by x^2 / (x^2 var + noise), less than Bayes' x^2 / noise (see science)."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), seed=0, rule=tx.Information(0, 1e6))
    state = net.state_dict()
    mean, var = float(state["0.weight.mean"][0, 0]), float(state["0.weight.var"][0, 0])
    precision = 1 / var
    for x, y, noise_var in sequence_for_one_weight():
        net.update([[x]], [[y]], noise_var)
        innovation_var = x * x * var + noise_var
        var = 1 / (1 / var + x * x / innovation_var)
        mean += var * x * (y - mean * x) / innovation_var
        precision += x * x / noise_var
    after = net.state_dict()
    np.testing.assert_allclose(after["0.weight.var"], var, rtol=1e-4)
    np.testing.assert_allclose(after["0.weight.mean"], mean, rtol=1e-4)
    assert after["0.weight.var"] > 1 / precision
    assert mean == pytest.approx(0.7, abs=4 * math.sqrt(var))


def test_one_observation_gives_the_diagonal_of_the_exact_posterior() -> None:
    """y = w x + b + e is linear: w and b have a Gaussian posterior, of which TAGI keeps a part."""
    net = nn.Sequential(nn.Linear(3, 1), seed=1, rule=tx.Capped(cap=1e-6))
    state = net.state_dict()
    mean = np.append(state["0.weight.mean"], state["0.bias.mean"]).astype(np.float64)
    var = np.append(state["0.weight.var"], state["0.bias.var"]).astype(np.float64)
    x, y, noise_var = np.array([0.5, -1.0, 2.0, 1.0]), 1.5, 0.3
    precision = np.diag(1 / var) + np.outer(x, x) / noise_var
    covariance = np.linalg.inv(precision)
    posterior_mean = covariance @ (mean / var + x * y / noise_var)
    net.update([x[:3]], [[y]], noise_var)
    after = net.state_dict()
    np.testing.assert_allclose(after["0.weight.mean"][0], posterior_mean[:3], rtol=1e-5)
    np.testing.assert_allclose(after["0.bias.mean"], posterior_mean[3:], rtol=1e-5)
    np.testing.assert_allclose(after["0.weight.var"][0], np.diag(covariance)[:3], rtol=1e-5)
    np.testing.assert_allclose(after["0.bias.var"], np.diag(covariance)[3:], rtol=1e-5)


def test_clip_bounds_a_step_in_standard_deviations() -> None:
    for rule, bound in ((tx.Information(clip=0.25), 0.25), (tx.Capped(cap=4), 0.25)):
        net, (x, y) = small(rule=rule), regression_data(50)
        before = net.state_dict()
        net.update(x, 100 * y, 1e-3)
        after = net.state_dict()
        for name, _ in net.named_parameters():
            change = np.abs(after[f"{name}.mean"] - before[f"{name}.mean"])
            ratio = change / np.sqrt(before[f"{name}.var"])
            assert ratio.max() == pytest.approx(bound, rel=1e-4)


@pytest.mark.parametrize("rule", [tx.Information(), tx.Capped()], ids=str)
def test_linear_model_is_learned(rule: tx.UpdateRule) -> None:
    net = nn.Sequential(nn.Linear(1, 1), seed=0, rule=rule)
    generator = np.random.default_rng(0)
    x = generator.uniform(-2, 2, 4000)
    y = 1.5 * x - 0.5 + 0.1 * generator.standard_normal(x.size)
    net.fit(
        x[:, None], y, noise=tx.Homoscedastic(std=0.1), batch_size=1, n_epochs=2, progress=False
    )
    state = net.state_dict()
    # The standard error of the slope is 0.1 / sqrt(4000 * 4/3); what remains is order of visit.
    assert state["0.weight.mean"][0, 0] == pytest.approx(1.5, abs=0.02)
    assert state["0.bias.mean"][0] == pytest.approx(-0.5, abs=0.02)


def test_regression_reaches_the_noise_floor() -> None:
    generator = np.random.default_rng(0)
    std = 0.2

    def data(n: int) -> tuple[Array, Array, Array]:
        x = generator.uniform(-2, 2, (n, 1))
        truth = np.sin(2 * x)
        return x, truth + std * generator.standard_normal((n, 1)), truth

    x, y, _ = data(2000)
    x_test, y_test, truth = data(2000)
    net = nn.Sequential(nn.Linear(1, 50), nn.ReLU(), nn.Linear(50, 1), seed=0)
    noise = tx.Homoscedastic(std=std)
    history = net.fit(
        x, y, noise=noise, n_epochs=30, batch_size=32, validation=(x_test, y_test), progress=False
    )
    mean, var = net(x_test)
    # A mean that is right up to a tenth of the noise variance.
    assert np.mean((mean - truth) ** 2) < 0.1 * std**2
    assert history.train_mse[-1] < 1.15 * std**2 < 5 * std**2 < history.train_mse[0]
    floor = -0.5 * (math.log(2 * math.pi * std**2) + 1)
    assert floor - 0.1 < history.validation_log_likelihood[-1] < floor + 0.05
    far = net(np.array([[-20.0], [20.0]])).var
    assert (far > 10 * var.mean()).all()


def test_history_has_an_entry_for_each_epoch() -> None:
    net, (x, y) = small(), regression_data(100)
    history = net.fit(x, y, noise=0.25, n_epochs=3, batch_size=30, progress=False)
    for name in (
        "train_mse",
        "predicted_var",
        "train_log_likelihood",
        "noise_var",
        "surprise",
        "seconds",
    ):
        assert len(getattr(history, name)) == 3, name
    assert history.validation_mse == history.validation_log_likelihood == []
    assert all(seconds > 0 for seconds in history.seconds)
    assert net.epochs_trained == 3


@pytest.mark.parametrize("batch_size", [1, 32, 100, 1000])
@pytest.mark.parametrize("missing", [False, True])
def test_history_is_that_of_the_updates_one_by_one(batch_size: int, missing: bool) -> None:
    """fit without shuffling, replayed by update: the same bits, and metrics by numpy."""
    x, y = regression_data(100)
    if missing:
        y[::3, 0] = np.nan
        y[50:60] = np.nan
    noise_var = np.float32([0.25, 0.5])
    fitted, replayed = small(), small()
    history = fitted.fit(
        x,
        y,
        noise=tx.Homoscedastic(std=np.sqrt(noise_var)),
        n_epochs=2,
        batch_size=batch_size,
        shuffle=False,
        progress=False,
    )
    for epoch in range(2):
        predictions = [
            replayed.update(x[i : i + batch_size], y[i : i + batch_size], noise_var)
            for i in range(0, 100, batch_size)
        ]
        mean = np.concatenate([p.mean for p in predictions]).astype(np.float64)
        var = np.concatenate([p.var for p in predictions]).astype(np.float64)
        seen = ~np.isnan(y)
        log_density = gaussian_log_density(y, mean, var + noise_var)
        assert history.train_mse[epoch] == pytest.approx(np.mean((y - mean)[seen] ** 2), rel=1e-5)
        assert history.predicted_var[epoch] == pytest.approx(np.mean(var[seen]), rel=1e-5)
        assert history.train_log_likelihood[epoch] == pytest.approx(
            np.mean(log_density[seen]), rel=1e-5
        )
        noise_of = np.broadcast_to(noise_var, y.shape)[seen].astype(np.float64)
        assert history.noise_var[epoch] == pytest.approx(noise_of.mean(), rel=1e-6)
        standardized = (y - mean)[seen] ** 2 / (var[seen] + noise_of)
        assert history.surprise[epoch] == pytest.approx(np.mean(standardized), rel=1e-5)
    for key, value in replayed.state_dict().items():
        np.testing.assert_allclose(fitted.state_dict()[key], value, rtol=1e-4, atol=1e-6)


def test_noise_schedule_goes_by_epochs_of_the_network() -> None:
    noise = tx.Homoscedastic(std=2.0, min_std=0.5, decay=0.5)
    for epoch, std in enumerate([2.0, 1.0, 0.5, 0.5]):
        assert noise.var(epoch) == pytest.approx([std**2])
    net, (x, y) = small(), regression_data(50)
    first = net.fit(x, y, noise=noise, n_epochs=2, progress=False)
    second = net.fit(x, y, noise=noise, n_epochs=2, progress=False)
    assert first.noise_var + second.noise_var == pytest.approx([4.0, 1.0, 0.25, 0.25])
    # update follows the same count: 4 epochs have passed.
    by_schedule, by_value = small(), small()
    for other in (by_schedule, by_value):
        other.load_state_dict(net.state_dict())
        other._model.epochs_trained = 1
    by_schedule.update(x, y, noise)
    by_value.update(x, y, 1.0)
    assert same_bits(by_schedule.state_dict(), by_value.state_dict())


def test_schedule_is_what_the_updates_use() -> None:
    noise = tx.Homoscedastic(std=2.0, decay=0.5)
    x, y = regression_data(50)
    fitted, replayed = small(), small()
    fitted.fit(x, y, noise=noise, n_epochs=3, batch_size=50, shuffle=False, progress=False)
    for noise_var in (4.0, 1.0, 0.25):
        replayed.update(x, y, noise_var)
    assert same_bits(fitted.state_dict(), replayed.state_dict())


def test_std_per_output_decays_together() -> None:
    noise = tx.Homoscedastic(std=[1.0, 4.0], min_std=0.75, decay=0.5)
    assert noise.var(1) == pytest.approx([0.75**2, 4.0])
    assert noise.std == [1.0, 4.0] and (noise.min_std, noise.decay) == (0.75, 0.5)


@pytest.mark.parametrize("shape", [(), (1,), (2,), (100, 1), (100, 2)])
def test_noise_arrays_broadcast_to_targets(shape: tuple[int, ...]) -> None:
    """fit hands each row its own noise variances, in the order in which it visits the rows."""
    generator = np.random.default_rng(0)
    x, y = regression_data(100)
    noise_var = generator.uniform(0.1, 2, shape).astype(np.float32)
    rows = np.broadcast_to(noise_var, y.shape)
    for shuffle in (False, True):
        fitted, replayed = small(), small()
        history = fitted.fit(
            x, y, noise=noise_var, n_epochs=1, batch_size=100, shuffle=shuffle, progress=False
        )
        replayed.update(x, y, rows)
        for key, value in replayed.state_dict().items():  # sums in another order if shuffled
            np.testing.assert_allclose(fitted.state_dict()[key], value, rtol=1e-3, atol=1e-5)
        assert history.noise_var == pytest.approx([rows.mean()], rel=1e-5)


def test_noise_rows_are_shuffled_with_their_targets() -> None:
    """A row with little noise teaches the most: with mixed-up noise the other rows would."""
    x = np.eye(2, dtype=np.float32).repeat(50, axis=0)
    y = np.where(x[:, :1] > 0, 1.0, -1.0).astype(np.float32)
    noise_var = np.where(x[:, :1] > 0, 1e-2, 1e4)
    net = nn.Sequential(nn.Linear(2, 1, bias=False), seed=0)
    before = net.state_dict()["0.weight.mean"]
    net.fit(x, y, noise=noise_var, n_epochs=3, batch_size=8, progress=False)
    after = net.state_dict()
    assert after["0.weight.mean"][0, 0] == pytest.approx(1, abs=0.05)
    assert after["0.weight.mean"][0, 1] == pytest.approx(before[0, 1], abs=0.05)
    assert after["0.weight.var"][0, 0] < 0.01 < 0.4 < after["0.weight.var"][0, 1]


def test_shuffling_depends_on_seed_and_epoch_and_visits_every_row() -> None:
    """One weight for each row: which row a batch of 1 visited shows in the variances."""
    n = 40
    x, y = np.eye(n, dtype=np.float32), np.zeros((n, 1), np.float32)

    def order(net: nn.Sequential, shuffle: bool) -> list[int]:
        """Rows in the order of their predictions, from records of a validation-free fit."""
        seen: list[int] = []

        def value(z: Array) -> Array:
            seen.append(int(np.round(z[0])))
            return z

        layer = nn.Activation(value, np.ones_like, moments="first_order")
        watched = nn.Sequential(layer, nn.Linear(n, 1), seed=net.seed)
        watched._model.epochs_trained = net.epochs_trained
        numbered = np.repeat(np.arange(n, dtype=np.float32)[:, None], n, axis=1)
        watched.fit(
            numbered, y, noise=1.0, n_epochs=1, batch_size=1, shuffle=shuffle, progress=False
        )
        return seen

    net = nn.Sequential(nn.Linear(n, 1, bias=False), seed=5)
    first = order(net, True)
    assert sorted(first) == list(range(n)) != first
    assert order(net, True) == first
    assert order(net, False) == list(range(n))
    net.fit(x, y, noise=1.0, n_epochs=1, batch_size=1, progress=False)
    second = order(net, True)
    assert sorted(second) == list(range(n)) and second != first
    other = order(nn.Sequential(nn.Linear(n, 1), seed=6), True)
    assert sorted(other) == list(range(n)) and other != first


@pytest.mark.parametrize("n_rows", [10, 20_000])
def test_validation_metrics(n_rows: int) -> None:
    """After the epoch, whatever the number of rows; recomputed in numpy."""
    net, (x, y) = small(), regression_data(100)
    x_valid, y_valid = regression_data(n_rows, seed=1)
    y_valid[3, 1] = np.nan
    noise = tx.Homoscedastic(std=1.0, decay=0.5)
    states = []
    history = net.fit(
        x,
        y,
        noise=noise,
        n_epochs=2,
        validation=(x_valid, y_valid),
        progress=False,
        callback=lambda record: states.append(net.state_dict()),
    )
    assert len(history.validation_mse) == len(history.validation_log_likelihood) == 2
    for epoch, noise_var in enumerate((1.0, 0.25)):
        net.load_state_dict(states[epoch])
        mean, var = (moment.astype(np.float64) for moment in net(x_valid))
        assert history.validation_mse[epoch] == pytest.approx(
            np.nanmean((y_valid - mean) ** 2), rel=1e-5
        )
        assert history.validation_log_likelihood[epoch] == pytest.approx(
            np.nanmean(gaussian_log_density(y_valid, mean, var + noise_var)), rel=1e-5
        )


@pytest.mark.parametrize("shape", [(2,), (1, 2), (100, 2), (100, 1), ()])
def test_validation_counts_noise_of_each_output(shape: tuple[int, ...]) -> None:
    """Of an array of noise variances, for each output the mean over the training rows."""
    generator = np.random.default_rng(3)
    noise_var = (0.01 * 100 ** generator.uniform(0, 1, shape)).astype(np.float32)
    if shape and shape[-1] == 2:
        noise_var[..., 1] *= 50
    net, (x, y) = small(), regression_data(100)
    x_valid, y_valid = regression_data(30, seed=1)
    history = net.fit(
        x, y, noise=noise_var, n_epochs=1, validation=(x_valid, y_valid), progress=False
    )
    per_output = np.broadcast_to(noise_var, y.shape).astype(np.float64).mean(axis=0)
    mean, var = (moment.astype(np.float64) for moment in net(x_valid))
    assert history.validation_log_likelihood[0] == pytest.approx(
        gaussian_log_density(y_valid, mean, var + per_output).mean(), rel=1e-5
    )


def test_validation_changes_nothing() -> None:
    x, y = regression_data(100)
    plain, validated = small(), small()
    plain.fit(x, y, noise=0.25, n_epochs=2, progress=False)
    validated.fit(x, y, noise=0.25, n_epochs=2, progress=False, validation=(x, y))
    assert same_bits(plain.state_dict(), validated.state_dict())


def test_validation_without_observations_has_no_metrics() -> None:
    net, (x, y) = small(), regression_data(20)
    history = net.fit(
        x, y, noise=0.25, n_epochs=1, progress=False, validation=(x, np.full_like(y, np.nan))
    )
    assert math.isnan(history.validation_mse[0])
    assert math.isnan(history.validation_log_likelihood[0])


def test_training_without_observations_learns_nothing() -> None:
    net, (x, y) = small(), regression_data(20)
    before = net.state_dict()
    history = net.fit(x, np.full_like(y, np.nan), noise=0.25, n_epochs=1, progress=False)
    assert math.isnan(history.train_mse[0])
    assert same_bits(net.state_dict(), before)


def test_callback_sees_records_and_stops() -> None:
    net, (x, y) = small(), regression_data(100)
    records: list[tx.EpochRecord] = []

    def callback(record: tx.EpochRecord) -> bool:
        records.append(record)
        return len(records) == 3

    history = net.fit(
        x, y, noise=0.25, n_epochs=10, batch_size=64, progress=False, callback=callback
    )
    assert net.epochs_trained == len(history.train_mse) == len(records) == 3
    assert history.stopped and history.n_rows == [100, 100, 100]
    assert [record.epoch for record in records] == [0, 1, 2]
    assert {record.n_rows for record in records} == {100}
    assert not any(record.stopped for record in records)
    for key, name in (
        ("mse", "train_mse"),
        ("predicted_var", "predicted_var"),
        ("log_likelihood", "train_log_likelihood"),
        ("seconds", "seconds"),
    ):
        assert [getattr(record, key) for record in records] == getattr(history, name)


def test_exception_from_callback_undoes_the_fit() -> None:
    net, (x, y) = small(), regression_data(100)
    net.fit(x, y, noise=0.25, n_epochs=2, progress=False)

    def fail(record: tx.EpochRecord) -> None:
        if record.epoch == 4:
            raise LookupError("from the callback")

    with unchanged(net), pytest.raises(LookupError, match="from the callback"):
        net.fit(x, y, noise=0.25, n_epochs=5, progress=False, callback=fail)
    net.update(x, y, 0.25)
    assert np.isfinite(net(x).mean).all()


def test_keyboard_interrupt_keeps_what_was_learned() -> None:
    net, expected, (x, y) = small(), small(), regression_data(100)
    expected.fit(x, y, noise=0.25, n_epochs=1, progress=False)

    def interrupt(record: tx.EpochRecord) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.fit(x, y, noise=0.25, n_epochs=5, progress=False, callback=interrupt)
    assert net.epochs_trained == 1 and same_bits(net.state_dict(), expected.state_dict())


def test_overflow_midway_undoes_the_fit() -> None:
    """All rows but the last one teach; in the second epoch, too, where they come in disorder."""
    x, y = regression_data(100)
    seen: list[int] = []
    for rows, n_epochs in ((x, 1), (x.copy(), 3)):
        net = small()
        rows[-1] = 3e38
        with unchanged(net), pytest.raises(ValueError, match="overflow"):
            net.fit(
                rows,
                y,
                noise=0.25,
                n_epochs=n_epochs,
                batch_size=10,
                shuffle=False,
                progress=False,
                callback=lambda record: seen.append(record.n_rows),
            )
        net.update(x[:50], y[:50], 0.25)
    assert seen == []


def test_failed_fit_keeps_parameters_that_no_file_would_take() -> None:
    """NaN written through a view cannot be put back by load_state_dict: the error must stay."""
    net, (x, y) = small(), regression_data(20)
    next(iter(net.named_parameters()))[1].mean[0, 0] = np.nan
    with pytest.raises(ValueError, match="overflow"):
        net.fit(x, y, noise=0.25, n_epochs=1, progress=False)


def slow_network() -> nn.Sequential:
    """Each batch takes 20 ms, so that an epoch of some batches reports more than once."""

    def value(z: Array) -> Array:
        time.sleep(0.02)
        return z

    layer = nn.Activation(value, np.ones_like, moments="first_order")
    return nn.Sequential(nn.Linear(3, 2), layer, seed=0)


@pytest.mark.parametrize("progress", [False, True])
def test_callback_ends_an_epoch_early(progress: bool) -> None:
    """In its second epoch; history says where, and the batches so far are learned."""
    x, y = regression_data(40)
    calls: list[tuple[int, int, int]] = []
    records: list[tx.EpochRecord] = []

    class Stop(tx.Callback):
        def on_rows(self, epoch: int, rows_done: int, n_rows: int) -> bool:
            calls.append((epoch, rows_done, n_rows))
            return epoch == 1

        def __call__(self, record: tx.EpochRecord) -> None:
            records.append(record)

    net = slow_network()
    options: dict[str, Any] = {"noise": 0.25, "batch_size": 2, "shuffle": False}
    history = net.fit(
        x, y, **options, n_epochs=5, progress=progress, callback=Stop(), validation=(x, y)
    )
    rows = calls[-1][1]
    assert [epoch for epoch, _, _ in calls] == [0] * (len(calls) - 1) + [1] and len(calls) > 2
    assert all(0 < done < 40 and n_rows == 40 for _, done, n_rows in calls)
    assert history.stopped and history.n_rows == [40, rows]
    assert [record.stopped for record in records] == [False, True]
    assert [record.n_rows for record in records] == history.n_rows
    assert net.epochs_trained == 1
    assert len(history.train_mse) == len(history.seconds) == len(history.validation_mse) == 2
    replayed = nn.Sequential(nn.Linear(3, 2), nn.Identity(), seed=0)
    replayed.fit(x, y, **options, n_epochs=1, progress=False)
    replayed.fit(x[:rows], y[:rows], **options, n_epochs=1, progress=False)
    for key, value in replayed.state_dict().items():
        np.testing.assert_allclose(net.state_dict()[key], value, rtol=1e-4, atol=1e-6)
    # The epoch did not count: the next fit is epoch 1 again.
    again: list[int] = []
    net.fit(x, y, **options, n_epochs=1, progress=False, callback=lambda r: again.append(r.epoch))
    assert again == [1]


def test_callback_that_only_listens_changes_nothing() -> None:
    x, y = regression_data(40)
    net, expected = slow_network(), slow_network()
    history = net.fit(
        x, y, noise=0.25, n_epochs=2, batch_size=4, progress=False, callback=tx.Callback()
    )
    expected.fit(x, y, noise=0.25, n_epochs=2, batch_size=4, progress=False)
    assert not history.stopped and history.n_rows == [40, 40] and net.epochs_trained == 2
    assert same_bits(net.state_dict(), expected.state_dict())


def test_exception_within_an_epoch_undoes_the_fit() -> None:
    class Fail(tx.Callback):
        def on_rows(self, epoch: int, rows_done: int, n_rows: int) -> bool:
            raise LookupError("within the epoch")

    net, (x, y) = slow_network(), regression_data(40)
    with unchanged(net), pytest.raises(LookupError, match="within the epoch"):
        net.fit(x, y, noise=0.25, batch_size=2, progress=False, callback=Fail())


def test_callback_may_use_the_network() -> None:
    net, (x, y) = small(), regression_data(50)
    predictions: list[Array] = []
    net.fit(
        x,
        y,
        noise=0.25,
        n_epochs=2,
        progress=False,
        callback=lambda record: predictions.append(net(x).mean),
    )
    assert len(predictions) == 2 and not np.array_equal(*predictions)
    np.testing.assert_array_equal(predictions[1], net(x).mean)


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="needs signals")
@pytest.mark.parametrize("progress", [False, True])
def test_keyboard_interrupt_ends_the_epoch(progress: bool, request: pytest.FixtureRequest) -> None:
    """Within an epoch of minutes, and the network stays usable with what it has learned."""
    # Python ignores SIGINT where it was started in the background of a shell.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, handler))
    net = nn.Sequential(nn.Linear(3, 128), nn.ReLU(), nn.Linear(128, 2), seed=0)
    x, y = regression_data(200_000)
    before = net.state_dict()
    timer = threading.Timer(0.4, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        net.fit(x, y, noise=0.25, n_epochs=1000, batch_size=50, progress=progress)
    timer.join()
    after = net.state_dict()
    assert all(np.isfinite(value).all() for value in after.values())
    assert not same_bits(after, before)
    net.update(x[:10], y[:10], 0.25)


def test_progress_bar_goes_to_stderr_alone(capsys: pytest.CaptureFixture[str]) -> None:
    net, (x, y) = small(), regression_data(100)
    net.fit(x, y, noise=0.25, n_epochs=2, progress=False)
    assert capsys.readouterr() == ("", "")
    net.fit(x, y, noise=0.25, n_epochs=2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "row" in captured.err and "/200" in captured.err


def test_progress_changes_nothing() -> None:
    x, y = regression_data(100)
    quiet, loud = small(), small()
    quiet.fit(x, y, noise=0.25, n_epochs=2, progress=False)
    loud.fit(x, y, noise=0.25, n_epochs=2, progress=True)
    assert same_bits(quiet.state_dict(), loud.state_dict())


def test_one_output_takes_targets_of_one_dimension() -> None:
    x, y = regression_data(50)

    def net() -> nn.Sequential:
        return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1), seed=0)

    column, flat = net(), net()
    noise_var = np.linspace(0.1, 1, 50)
    for model, targets, noise in (
        (column, y[:, :1], noise_var[:, None]),
        (flat, y[:, 0], noise_var),
    ):
        model.fit(x, targets, noise=noise, n_epochs=1, validation=(x, targets), progress=False)
        model.update(x, targets, noise)
    assert same_bits(column.state_dict(), flat.state_dict())


def test_fit_copies_its_data() -> None:
    """A callback that writes into the arrays given to fit must not change the training."""
    x, y = regression_data(50)
    expected = small()
    expected.fit(x, y, noise=0.25, n_epochs=3, progress=False)
    net = small()

    def overwrite(record: tx.EpochRecord) -> None:
        x[:] = 0
        y[:] = 0

    net.fit(x, y, noise=0.25, n_epochs=3, progress=False, callback=overwrite)
    assert same_bits(net.state_dict(), expected.state_dict())


def test_overflow_is_an_error_and_not_nan() -> None:
    net = small()
    x = np.full((4, 3), 3e38, np.float32)
    with unchanged(net), pytest.raises(ValueError, match=r"x: .*overflow"):
        net.update(x, np.zeros((4, 2)), 1.0)
    with unchanged(net), pytest.raises(ValueError, match="overflow"):
        net.fit(x, np.zeros((4, 2)), noise=1.0, n_epochs=1, progress=False)


Call = Callable[[nn.Sequential, Array, Array], object]


@pytest.mark.parametrize("rule", [tx.Information(), tx.Capped()], ids=["information", "capped"])
@pytest.mark.parametrize(
    "call",
    [
        lambda net, x, y: net.update(x, y, 1e-12),
        lambda net, x, y: net.fit(x, y, noise=1e-12, n_epochs=1, progress=False),
    ],
    ids=["update", "fit"],
)
def test_huge_targets_never_write_nan(rule: tx.UpdateRule, call: Call) -> None:
    """Innovations of +-1e38 / 1e-12 overflow: either an error, or finite parameters."""
    net = nn.Sequential(nn.Linear(1, 2), seed=0, rule=rule)
    state = net.state_dict()
    net.load_state_dict({k: v * (1e-12 if k.endswith("var") else 1) for k, v in state.items()})
    x, y = np.float32([[1], [1]]), np.float32([[3e38, 1], [-3e38, 1]])
    try:
        call(net, x, y)
    except ValueError as error:
        assert "overflow" in str(error)
    assert all(np.isfinite(value).all() for value in net.state_dict().values())


@pytest.mark.parametrize("clip", [1 / 3, float("inf")])
def test_certain_parameters_stay(clip: float) -> None:
    """A variance of 0 is allowed, and means that nothing can be learned."""
    net = small(rule=tx.Information(clip=clip))
    state = net.state_dict()
    net.load_state_dict({k: 0 * v if k.endswith("var") else v for k, v in state.items()})
    x, y = regression_data(10)
    assert (net(x).var == 0).all()
    with unchanged(net):
        net.update(x, y, 0.25)
