"""Networks on device cuda that several threads make and use."""

from __future__ import annotations

from device_models import TOLERANCE, small
from helpers import in_threads, needs_cuda, regression_data, same_bits, state_error

from tagix import nn


@needs_cuda
def test_networks_in_threads_at_once() -> None:
    x, y = regression_data(40)
    n_threads = 4

    def train(seed: int) -> nn.Sequential:
        net = small("cuda", seed=seed)
        net.fit(x, y, noise=0.25, n_epochs=2, batch_size=16, progress=False)
        for first in range(0, 40, 10):
            net.update(x[first : first + 10], y[first : first + 10], 0.25)
        return net

    expected = [train(seed).state_dict() for seed in range(n_threads)]
    nets: dict[int, nn.Sequential] = {}

    def work(seed: int) -> None:
        nets[seed] = train(seed)

    in_threads([lambda seed=seed: work(seed) for seed in range(n_threads)])  # type: ignore[misc]
    for seed in range(n_threads):
        assert same_bits(nets[seed].state_dict(), expected[seed])


@needs_cuda
def test_one_network_in_threads_at_once() -> None:
    """Predictions beside updates are those of whole states: before all, after all or in between."""
    net, replayed = small("cuda"), small("cuda")
    x, y = regression_data(24)
    whole = [replayed(x).mean.tobytes()]
    for _ in range(5):
        replayed.update(x, y, 0.25)
        whole.append(replayed(x).mean.tobytes())
    seen: list[bytes] = []

    def predict() -> None:
        seen.extend(net(x).mean.tobytes() for _ in range(10))

    def update() -> None:
        for _ in range(5):
            net.update(x, y, 0.25)

    in_threads([predict, predict, update])
    assert len(seen) == 20 and set(seen) <= set(whole)
    assert net(x).mean.tobytes() == whole[-1]


@needs_cuda
def test_models_are_made_and_dropped_in_threads() -> None:
    """Memory that one thread has given back serves another."""
    x, y = regression_data(16)
    expected = small()
    expected.update(x, y, 0.25)

    def work() -> None:
        for _ in range(5):
            net = small().to("cuda")
            net.update(x, y, 0.25)
            assert state_error(net.state_dict(), expected.state_dict()) <= TOLERANCE

    in_threads([work] * 3)
