"""Callbacks, interrupts and progress bars of fit."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from helpers import Array, regression_data, same_bits, small, unchanged

import tagix as tx
from tagix import nn


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
