"""Errors, callbacks and interrupts in the middle of work on device cuda."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from device_models import small, small_diffusion
from helpers import Array, needs_cuda, regression_data, same_bits, unchanged

import tagix as tx
from tagix import nn


def slow(device: str) -> nn.Sequential:
    """Each batch takes 20 ms, so that an epoch of some batches reports more than once."""

    def value(z: Array) -> Array:
        time.sleep(0.02)
        return z

    layer = nn.Activation(value, np.ones_like, moments="first_order")
    return nn.Sequential(nn.Linear(3, 2), layer, seed=0, device=device)


@needs_cuda
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.full((6, 3), np.nan)}, "^x: got .*finite"),
        ({"x": np.zeros((6, 4))}, "^x: got 4 features, needed 3"),
        ({"x": np.full((6, 3), 1e30)}, "^x: the prediction.* overflow"),
        ({"x_var": -np.ones((6, 3))}, "^x_var: got -1"),
        ({"y": np.full((6, 2), np.inf)}, "^y: got inf"),
        ({"y": np.zeros((6, 3))}, "^y: got 3 columns"),
        ({"y": np.full((6, 2), 3e38), "noise": 1e-8}, "^y: the innovations overflow"),
        ({"noise": 0.0}, "^noise: got 0"),
    ],
)
def test_errors_leave_the_network(change: dict[str, Any], message: str) -> None:
    x, y = regression_data(6)
    arguments = {"x": x, "y": y, "noise": 0.25, **change}
    net = small("cuda")
    with unchanged(net), pytest.raises(ValueError, match=message):
        net.update(**arguments)
    if "x_var" not in change:
        with unchanged(net), pytest.raises(ValueError, match=r"^(x|y|noise): "):
            net.fit(**arguments, n_epochs=2, batch_size=2, progress=False)


@needs_cuda
def test_errors_of_user_activations_leave_the_network() -> None:
    layers = nn.Linear(3, 4), nn.Activation(np.log, np.reciprocal), nn.Linear(4, 2)
    net = nn.Sequential(*layers, seed=0, device="cuda")
    x, y = regression_data(10)
    with (
        unchanged(net),
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match=r"^value: the function log of nn\.Activation returned"),
    ):
        net.update(x, y, 0.25)


@needs_cuda
def test_overflow_midway_undoes_the_fit() -> None:
    x, y = regression_data(40)
    x[-1] = 3e38
    net = small("cuda")
    with unchanged(net), pytest.raises(ValueError, match="overflow"):
        net.fit(x, y, noise=0.25, n_epochs=2, batch_size=8, shuffle=False, progress=False)
    data = x[:, :2]
    model = small_diffusion("cuda", standardize=False)
    with unchanged(model.net), pytest.raises(ValueError, match="overflow"):
        model.fit(data, n_epochs=2, batch_size=8, progress=False)


@needs_cuda
def test_callbacks() -> None:
    x, y = regression_data(40)
    net, expected = small("cuda"), small("cuda")
    records: list[tx.EpochRecord] = []

    def stop(record: tx.EpochRecord) -> bool:
        records.append(record)
        return record.epoch == 1

    history = net.fit(x, y, noise=0.25, n_epochs=5, batch_size=16, progress=False, callback=stop)
    assert history.stopped and len(records) == 2 and net.epochs_trained == 2
    expected.fit(x, y, noise=0.25, n_epochs=2, batch_size=16, progress=False)
    assert same_bits(net.state_dict(), expected.state_dict())

    def fail(record: tx.EpochRecord) -> bool:
        raise LookupError("of a callback")

    with unchanged(net), pytest.raises(LookupError, match="of a callback"):
        net.fit(x, y, noise=0.25, n_epochs=5, progress=False, callback=fail)

    def interrupt(record: tx.EpochRecord) -> bool:
        raise KeyboardInterrupt

    before = net.state_dict()
    with pytest.raises(KeyboardInterrupt):
        net.fit(x, y, noise=0.25, n_epochs=5, progress=False, callback=interrupt)
    assert net.epochs_trained == 3 and not same_bits(net.state_dict(), before)


@needs_cuda
@pytest.mark.parametrize("progress", [False, True])
def test_progress_within_an_epoch(progress: bool, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = regression_data(40)
    calls: list[int] = []

    class Stop(tx.Callback):
        def on_rows(self, epoch: int, rows_done: int, n_rows: int) -> bool:
            calls.append(rows_done)
            return len(calls) == 3

    net = slow("cuda")
    history = net.fit(
        x, y, noise=0.25, n_epochs=5, batch_size=2, progress=progress, callback=Stop()
    )
    assert calls == sorted(calls) and all(0 < rows < 40 for rows in calls) and len(calls) == 3
    assert history.stopped and history.n_rows == [calls[-1]] and net.epochs_trained == 0
    assert ("row" in capsys.readouterr().err) is progress


@needs_cuda
@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="needs signals")
def test_keyboard_interrupt_ends_the_epoch() -> None:
    net = small("cuda")
    x, y = regression_data(200_000)
    before = net.state_dict()
    timer = threading.Timer(0.5, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        net.fit(x, y, noise=0.25, n_epochs=1000, batch_size=10, progress=False)
    timer.join()
    after = net.state_dict()
    assert all(np.isfinite(value).all() for value in after.values())
    assert not same_bits(after, before)
    net.update(x[:10], y[:10], 0.25)


@needs_cuda
def test_interrupted_sampling_leaves_the_model() -> None:
    model = small_diffusion("cuda", n_steps=1000)
    timer = threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(1000):
            model.sample(100)
    timer.join()
    assert model.sample(3, seed=1).x.tobytes() == model.sample(3, seed=1).x.tobytes()
