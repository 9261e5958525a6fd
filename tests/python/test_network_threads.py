"""Networks on several threads, inside of a call and from outside."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from helpers import Array, in_threads, regression_data, same_bits, unchanged
from networks import small, wide

import tagix as tx
from tagix import _core, nn


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [7, 256, 1000])
def test_same_bits_at_any_number_of_threads(n_threads: int, batch_size: int) -> None:
    """Two runs of one program are equal bit by bit, and the threads change nothing either."""

    def run(threads: int) -> tuple[dict[str, Array], Array]:
        tx.set_num_threads(threads)
        assert tx.get_num_threads() == threads
        net = wide()
        x, y = regression_data(1000)
        net.fit(x, y, noise=0.25, n_epochs=2, batch_size=batch_size, progress=False)
        net.update(x, y, 0.25)
        return net.state_dict(), net(x).var

    state, var = run(n_threads)
    again, var_again = run(1)
    assert same_bits(state, again)
    assert var.tobytes() == var_again.tobytes()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_concurrent_predictions_equal_serial_ones(n_threads: int) -> None:
    """Three threads predict with one network while a fourth updates another."""
    tx.set_num_threads(n_threads)
    net, other = wide(0), wide(1)
    batches = [regression_data(size, seed=size)[0] for size in (1, 50, 400)]
    expected = [net(x) for x in batches]
    training = regression_data(200)

    def predict(index: int) -> None:
        for _ in range(30):
            prediction = net(batches[index])
            assert prediction.mean.tobytes() == expected[index].mean.tobytes()
            assert prediction.var.tobytes() == expected[index].var.tobytes()

    def update() -> None:
        for _ in range(30):
            other.update(*training, 0.1)

    with unchanged(net):
        in_threads([lambda i=i: predict(i) for i in range(3)] + [update])
    serial = wide(1)
    for _ in range(30):
        serial.update(*training, 0.1)
    assert same_bits(other.state_dict(), serial.state_dict())


def test_predictions_during_updates_of_one_network_are_whole() -> None:
    """Each prediction must be one that the network gave between two updates, never a mixture."""
    net, serial = wide(0), wide(0)
    x, y = regression_data(64)
    possible = {serial(x).mean.tobytes()}
    for _ in range(25):
        serial.update(x, y, 0.1)
        possible.add(serial(x).mean.tobytes())
    seen: list[bytes] = []

    def update() -> None:
        for _ in range(25):
            net.update(x, y, 0.1)

    def predict() -> None:
        for _ in range(60):
            seen.append(net(x).mean.tobytes())

    in_threads([update, predict, predict])
    assert set(seen) <= possible
    assert same_bits(net.state_dict(), serial.state_dict())


def test_custom_activations_in_threads() -> None:
    """Their functions need the GIL, which updates give up: none may wait for another forever."""
    net = nn.Sequential(nn.Linear(3, 8), nn.Activation(np.sin, np.cos), nn.Linear(8, 2), seed=0)
    x, y = regression_data(100)

    def work() -> None:
        for _ in range(20):
            net.update(x, y, 0.1)
            net(x)
            net.state_dict()

    in_threads([work, work, work])


def test_fit_leaves_the_gil_to_others() -> None:
    """While one thread fits, this one can run Python."""
    net = wide()
    x, y = regression_data(20_000)
    done = threading.Event()

    def is_long_enough(record: tx.EpochRecord) -> bool:
        return time.perf_counter() - start > 0.3

    def fit() -> None:
        net.fit(
            x,
            y,
            noise=0.1,
            n_epochs=1000,
            batch_size=500,
            progress=False,
            callback=is_long_enough,
        )
        done.set()

    thread = threading.Thread(target=fit)
    start, ticks = time.perf_counter(), 0
    thread.start()
    while not done.is_set():
        time.sleep(0.001)
        ticks += 1
    seconds = time.perf_counter() - start
    thread.join(timeout=60)
    # With the GIL held there were some 20 ticks a second: an epoch looks for signals that often.
    assert ticks > 60 * seconds


def test_first_use_in_two_threads_makes_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the update of one thread would go to a network that is then thrown away."""
    make, made = _core.Model, []

    def slow(*arguments: Any) -> _core.Model:
        time.sleep(0.05)  # gives the GIL to the other thread
        made.append(make(*arguments))
        return made[-1]

    monkeypatch.setattr(_core, "Model", slow)
    net, (x, y) = small(), regression_data(10)
    in_threads([lambda: net.update(x, y, 0.1)] * 2)
    assert len(made) == 1
    monkeypatch.undo()
    serial = small()
    for _ in range(2):
        serial.update(x, y, 0.1)
    assert same_bits(net.state_dict(), serial.state_dict())


def test_state_during_updates_is_whole() -> None:
    """Each state_dict must be one that the network had between two updates, never a mixture."""

    def large() -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(3, 400), nn.ReLU(), nn.Linear(400, 400), nn.Linear(400, 2), seed=0
        )

    def fingerprint(net: nn.Sequential) -> int:
        return hash(b"".join(value.tobytes() for value in net.state_dict().values()))

    net, serial = large(), large()
    x, y = regression_data(4)
    possible = {fingerprint(serial)}
    for _ in range(60):
        serial.update(x, y, 0.1)
        possible.add(fingerprint(serial))
    seen: list[int] = []
    done = threading.Event()

    def update() -> None:
        for _ in range(60):
            net.update(x, y, 0.1)
        done.set()

    def read() -> None:
        while not done.is_set():
            seen.append(fingerprint(net))

    in_threads([update, read])
    assert set(seen) <= possible
    assert same_bits(net.state_dict(), serial.state_dict())
