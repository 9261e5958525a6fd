"""The test for drift: when it raises an alarm, and what it does not test."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drift import DriftTest, changing_stream
from helpers import (
    INFERRED,
    KNOWN,
    NoiseModel,
    on_every_device,
    regression_data,
    same_bits,
    small,
    unchanged,
)

import tagix as tx
from tagix import nn


def certain(forgetting: tx.Forgetting, device: str = "cpu") -> nn.Sequential:
    """A network that is sure to predict 0 for its one target, with noise of variance 1."""
    net = nn.Sequential(
        nn.Linear(1, 1), noise=tx.Homoscedastic(1.0), forgetting=forgetting, seed=0, device=device
    )
    net.load_state_dict({key: np.zeros_like(value) for key, value in net.state_dict().items()})
    return net


@on_every_device
@pytest.mark.parametrize("noise", [0.25, np.float32([0.1, 0.5]), KNOWN], ids=str)
@pytest.mark.parametrize(("level", "window"), [(0.3, 1.0), (0.05, 7.5), (1e-4, 200.0)])
def test_drift_of_a_network_that_is_told_its_noise(
    noise: Any, level: float, window: float, device: str
) -> None:
    forgetting = tx.Forgetting(1e-4, level, window)
    net, test = small(forgetting=forgetting, device=device), DriftTest(forgetting)
    noise_var = noise.var() if isinstance(noise, tx.Homoscedastic) else noise
    counts = []
    for x, y in changing_stream(60, 4):
        prediction = net.update(x, y, noise)
        mean, var = (moment.astype(np.float64) for moment in prediction)
        test.drifts(((y - mean) ** 2 / (var + noise_var)).ravel())
        assert net.n_drifts == test.n_drifts
        counts.append(net.n_drifts)
    assert counts[-1] > counts[29]


@on_every_device
@pytest.mark.parametrize("n", [1, 3, 10, 100, 1000])
@pytest.mark.parametrize("level", [0.05, 1e-3, 1e-6])
def test_alarm_is_where_the_chi_square_distribution_has_it(
    n: int, level: float, device: str
) -> None:
    """One batch of n targets: the bound on their squares, and its probability by scipy."""
    stats = pytest.importorskip("scipy.stats")
    spread = 2 / (9 * n)
    bound = n * (1 - spread + stats.norm.isf(level) * math.sqrt(spread)) ** 3
    # By Wilson and Hilferty's approximation, whose errors for few targets are on the safe side.
    probability = stats.chi2.sf(bound, n)
    assert (0.9 if n >= 100 else 0.15) * level < probability < 1.06 * level
    y = np.random.default_rng(n).standard_normal((n, 1))
    for factor, n_drifts in ((0.999, 0), (1.001, 1)):
        net = certain(tx.Forgetting(0, level, window=1e12), device)
        net.update(np.zeros((n, 1)), y * math.sqrt(factor * bound / (y**2).sum()))
        assert net.n_drifts == n_drifts


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Targets as predicted: the number of alarms is at most that of tests times their level.

    The bound is 5 standard deviations above, were the tests independent, and they are less.
    """
    n = 20_000
    y = np.random.default_rng(1).standard_normal((n, 1)).astype(np.float32)
    counts = []
    for level in (0.05, 1e-3, 1e-6):
        for window in (1.0, 10.0, 100.0):
            net = certain(tx.Forgetting(0, level, window, inflation=0))
            net.fit(np.zeros((n, 1)), y, n_epochs=1, batch_size=1, progress=False)
            expected = 1.06 * n * level  # by the approximation, see above
            assert net.n_drifts <= expected + 5 * math.sqrt(expected)
            counts.append(net.n_drifts)
    # With a window of 1 every test is of one target, and so independent of the others.
    stats = pytest.importorskip("scipy.stats")
    bound = (1 - 2 / 9 + stats.norm.isf(0.05) * math.sqrt(2 / 9)) ** 3
    assert counts[0] == (y.astype(np.float64) ** 2 > bound).sum() > 0
    assert counts[-1] == counts[-2] == 0


@on_every_device
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("noise", [*INFERRED.values(), tx.Homoscedastic(0.3)], ids=str)
def test_a_learning_network_is_alarmed_by_change_alone(
    noise: NoiseModel, seed: int, device: str
) -> None:
    """With default settings, not by what it learns of 3000 targets, from its prior on."""
    net = nn.Sequential(
        nn.Linear(1, 16),
        nn.ReLU(),
        nn.Linear(16, 2),
        noise=noise,
        forgetting=tx.Forgetting(),
        seed=seed,
        device=device,
    )
    generator = np.random.default_rng(seed)
    counts = []
    for step in range(320):
        x = generator.uniform(-1.5, 1.5, (5, 1))
        y = np.hstack([np.sin(x), x * x]) + 0.3 * generator.standard_normal((5, 2))
        net.update(x, y if step < 300 else y + 2)
        counts.append(net.n_drifts)
    assert counts[299] == 0 and counts[300] == 1


@on_every_device
def test_targets_that_are_missing_test_nothing(device: str) -> None:
    """Neither do they fade what was seen: the sum goes on where it was."""
    forgetting = tx.Forgetting(0, 1e-3, window=4, inflation=0)
    net, test = certain(forgetting, device), DriftTest(forgetting)
    for y in (2.0, 2.0, math.nan, math.nan, math.nan, 2.9, 1.0, math.nan, 2.0, 2.0, 2.5):
        net.update([[0.0]], [[y]])
        test.drifts(np.array([] if math.isnan(y) else [y * y]))
        assert net.n_drifts == test.n_drifts
    assert test.n_drifts > 0


@on_every_device
def test_update_that_fails_is_not_tested(device: str) -> None:
    """Neither the count nor the sums of the test know of it, nor do variances walk."""
    forgetting = tx.Forgetting(0.1, 1e-3, window=1e12, inflation=0.5)
    net = small(noise=tx.Homoscedastic(1e-18), forgetting=forgetting, device=device)
    state = {key: np.zeros_like(value) for key, value in net.state_dict().items()}
    net.load_state_dict(state | {"2.bias.var": np.float32([1e-36, 1e-36])})
    x = np.zeros((2, 3), np.float32)
    with unchanged(net), pytest.raises(ValueError, match="overflow"):
        net.update(x, np.full((2, 2), 1e30))
    assert net.n_drifts == 0
    with unchanged(net), pytest.raises(ValueError, match=r"^y: got"):
        net.update(x, np.full((2, 2), math.inf))
    with unchanged(net), pytest.raises(ValueError, match=r"^x: "):
        net.update(np.full((2, 3), 3e38), np.ones((2, 2)))
    assert net.n_drifts == 0
    # 2 of 2 targets in 1000 times their variance would be a drift, of 10**6 others is none.
    test = certain(forgetting, device)
    test.update(np.zeros((1000, 1)), np.full((1000, 1), 0.5))
    for bad in ([[math.inf]], [["a"]], [[1.0, 2.0]]):
        with unchanged(test), pytest.raises((ValueError, TypeError), match=r"^y: "):
            test.update([[0.0]], bad)
    test.update(np.zeros((1, 1)), np.full((1, 1), 5.0))
    assert test.n_drifts == 0


@on_every_device
def test_fit_that_fails_leaves_the_test_for_drift(device: str) -> None:
    net = small(noise=KNOWN, forgetting=tx.Forgetting(window=20), device=device)
    x, y = regression_data(50)
    net.fit(x, y, n_epochs=1, batch_size=8, progress=False)
    drifts = net.n_drifts

    def fail(record: tx.EpochRecord) -> None:
        raise RuntimeError("no more")

    with unchanged(net), pytest.raises(RuntimeError, match="no more"):
        net.fit(x, y + 100, n_epochs=1, batch_size=8, progress=False, callback=fail)
    assert net.n_drifts == drifts
    # The sums as well: from here on it is as if there had been no such fit.
    other = small(noise=KNOWN, forgetting=tx.Forgetting(window=20), device=device)
    other.fit(x, y, n_epochs=1, batch_size=8, progress=False)
    for each in (net, other):
        each.update(x, y + 1)
    assert net._model.drift == other._model.drift


def test_test_for_drift_is_kept(tmp_path: Path) -> None:
    net = small(noise=KNOWN, forgetting=tx.Forgetting())
    x, y = regression_data(50)
    net.update(x, y + 100)
    net.update(x, y)
    assert net.n_drifts == 2
    net.save(tmp_path / "net.safetensors")
    loaded = tx.load(tmp_path / "net.safetensors")
    assert isinstance(loaded, nn.Sequential)
    for other in (loaded, pickle.loads(pickle.dumps(net))):
        assert other._model.drift == net._model.drift
        assert other.n_drifts == 2 and other.forgetting == net.forgetting
        assert same_bits(other.state_dict(), net.state_dict())
