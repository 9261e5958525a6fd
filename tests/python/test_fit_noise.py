"""Noise that is told to fit: schedules by epoch, and arrays of variances."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import regression_data, same_bits, small

import tagix as tx
from tagix import nn


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
