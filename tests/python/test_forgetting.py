"""Parameters that forget: the random walk of each update, and the test for drift."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import (
    INFERRED,
    KNOWN,
    Array,
    NoiseModel,
    on_every_device,
    regression_data,
    same_bits,
    small,
    unchanged,
)

import tagix as tx
from tagix import nn

RULES = {"information": tx.Information(), "capped": tx.Capped()}
NOISES: dict[str, NoiseModel] = {**INFERRED, "known": KNOWN}
on_every_noise = pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)


class DriftTest:
    """The chi-square test that Forgetting documents, in float64."""

    def __init__(self, forgetting: tx.Forgetting) -> None:
        stats = pytest.importorskip("scipy.stats")
        config = forgetting.config
        self.decay = 1 - 1 / config["window"]
        self.threshold = float(stats.norm.isf(config["drift_level"]))
        self.n_drifts = 0
        self.begin()

    def begin(self) -> None:
        self.weights, self.squares = np.empty(0), np.empty(0)

    def drifts(self, squares: Array) -> bool:
        """Whether a batch's squared errors over their variances, with what came before, say so."""
        if squares.size == 0:
            return False
        # Targets of one batch come at once: they are of one weight.
        self.weights = np.append(self.weights * self.decay**squares.size, np.ones(squares.size))
        self.squares = np.append(self.squares, squares)
        ratio = self.weights @ self.squares / self.weights.sum()
        spread = 2 / (9 * self.weights.sum() ** 2 / (self.weights**2).sum())  # 2 / (9 nu)
        if (ratio ** (1 / 3) - (1 - spread)) / math.sqrt(spread) <= self.threshold:
            return False
        self.n_drifts += 1
        self.begin()
        return True


def prior_vars(net: nn.Sequential) -> dict[str, np.float32]:
    """Of each array of parameters, from a network as it is before any data."""
    state = net.state_dict()
    return {key[:-4]: value.flat[0] for key, value in state.items() if key.endswith(".var")}


def forgotten(
    var: Array, prior_var: np.float32, forgetting: tx.Forgetting, drifts: bool, least: float = 0.0
) -> Array:
    """Variances after an update has made them `var`, in float32 as documented."""
    config = forgetting.config
    walked = np.minimum(
        var + np.float32(config["process_noise"]) * prior_var, np.maximum(var, prior_var)
    )
    if drifts:
        least = max(least, np.float32(config["inflation"]) * prior_var)
    return np.maximum(walked, np.float32(least))


def without_forgetting(net: nn.Sequential) -> nn.Sequential:
    twin = nn.Sequential(
        *net.layers, seed=net.seed, rule=net.rule, noise=net.noise, device=net.device
    )
    twin.load_state_dict(net.state_dict())
    return twin


def certain(forgetting: tx.Forgetting, device: str = "cpu") -> nn.Sequential:
    """A network that is sure to predict 0 for its one target, with noise of variance 1."""
    net = nn.Sequential(
        nn.Linear(1, 1), noise=tx.Homoscedastic(1.0), forgetting=forgetting, seed=0, device=device
    )
    net.load_state_dict({key: np.zeros_like(value) for key, value in net.state_dict().items()})
    return net


def changing_stream(
    n_batches: int, batch_size: int, seed: int = 0
) -> Iterator[tuple[Array, Array]]:
    """regression_data, whose targets change their sign half way and back at three quarters."""
    for step in range(n_batches):
        x, y = regression_data(batch_size, seed=1000 * seed + step)
        yield x, -3 * y if n_batches / 2 <= step < 3 * n_batches / 4 else y


@on_every_device
@pytest.mark.parametrize("process_noise", [0.0, 1e-3, 0.05])
def test_one_weight_is_a_kalman_filter(process_noise: float, device: str) -> None:
    """y = w x + e, with w a random walk that stays within its prior; conditioning in float64.

    The first-order rule is exact for one target, if no cap is in its way.
    """
    net = nn.Sequential(
        nn.Linear(1, 1, bias=False),
        rule=tx.Capped(cap=1e-6),
        forgetting=tx.Forgetting(process_noise, drift_level=None),
        seed=0,
        device=device,
    )
    state = net.state_dict()
    mean, var = float(state["0.weight.mean"][0, 0]), float(state["0.weight.var"][0, 0])
    prior_var, generator = var, np.random.default_rng(0)
    assert prior_var == 1.0
    for step in range(200):
        x, noise_var = generator.standard_normal(), generator.uniform(0.05, 2)
        y = math.sin(step / 30) * x + math.sqrt(noise_var) * generator.standard_normal()
        x, y, noise_var = (float(np.float32(value)) for value in (x, y, noise_var))
        prediction = net.update([[x]], [[y]], noise_var)
        innovation_var = var * x * x + noise_var
        np.testing.assert_allclose(prediction.epistemic, var * x * x, rtol=1e-5)
        mean += var * x / innovation_var * (y - mean * x)
        var -= (var * x) ** 2 / innovation_var
        var = min(var + process_noise * prior_var, prior_var)
        state = net.state_dict()
        np.testing.assert_allclose(state["0.weight.mean"], mean, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(state["0.weight.var"], var, rtol=1e-5)


@on_every_device
@pytest.mark.parametrize("process_noise", [1e-3, 0.05])
def test_one_weight_by_information_and_walk(process_noise: float, device: str) -> None:
    """Without share and clip: precision grows by x^2 / (x^2 var + noise), and falls."""
    net = nn.Sequential(
        nn.Linear(1, 1, bias=False),
        rule=tx.Information(share=0, clip=1e6),
        forgetting=tx.Forgetting(process_noise, drift_level=None),
        seed=0,
        device=device,
    )
    state = net.state_dict()
    mean, var = float(state["0.weight.mean"][0, 0]), float(state["0.weight.var"][0, 0])
    generator = np.random.default_rng(0)
    for _ in range(200):
        x, y = (float(np.float32(value)) for value in generator.standard_normal(2))
        net.update([[x]], [[y]], 0.25)
        innovation_var = var * x * x + 0.25
        var = 1 / (1 / var + x * x / innovation_var)
        mean += var * x * (y - mean * x) / innovation_var
        var = min(var + process_noise, 1.0)
        state = net.state_dict()
        np.testing.assert_allclose(state["0.weight.mean"], mean, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(state["0.weight.var"], var, rtol=1e-5)


@on_every_device
@on_every_noise
def test_walk_leads_no_further_than_the_prior(noise: NoiseModel, device: str) -> None:
    """Without targets nothing is learned, and 40 steps of 1/32 forget all that was."""
    net = small(noise=noise, forgetting=tx.Forgetting(1 / 32, drift_level=None), device=device)
    prior = prior_vars(net)
    x, y = regression_data(30)
    net.update(x, y)
    learned = net.state_dict()
    for step in range(1, 41):
        net.update(x, np.full_like(y, np.nan))
        state = net.state_dict()
        for name, var in prior.items():
            expected = np.minimum(learned[f"{name}.var"] + step / 32 * var, var)
            np.testing.assert_allclose(state[f"{name}.var"], expected, rtol=1e-5)
            assert (state[f"{name}.var"] <= var).all()
    for name, var in prior.items():
        np.testing.assert_array_equal(state[f"{name}.var"], np.full_like(state[f"{name}.var"], var))
        assert state[f"{name}.mean"].tobytes() == learned[f"{name}.mean"].tobytes()


@on_every_device
def test_more_than_the_prior_stays(device: str) -> None:
    """A variance above the prior, as a user may set it, neither grows nor falls by the walk."""
    net = small(noise=KNOWN, forgetting=tx.Forgetting(0.1), device=device)
    state = {
        key: 3 * value if key.endswith("var") else value for key, value in net.state_dict().items()
    }
    net.load_state_dict(state)
    x, y = regression_data(5)
    net.update(x, np.full_like(y, np.nan))
    assert same_bits(net.state_dict(), state)


@on_every_device
@pytest.mark.parametrize("batch_size", [1, 5, 40])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@on_every_noise
def test_stream(noise: NoiseModel, batch_size: int, rule: tx.UpdateRule, device: str) -> None:
    """Each update is one without forgetting, then the walk, and a raise where the test says so.

    Drifts are found from predictions and targets in float64; variances are bits, in float32.
    """
    forgetting = tx.Forgetting(0.002, drift_level=1e-3, window=80, inflation=0.2)
    net = small(noise=noise, rule=rule, forgetting=forgetting, device=device)
    prior, test = prior_vars(net), DriftTest(forgetting)
    before_change = 0
    n_batches = 60 if batch_size > 1 else 200
    for step, (x, y) in enumerate(changing_stream(n_batches, batch_size)):
        if step % 7 == 0:
            y[::2, step % 2] = np.nan
        twin = without_forgetting(net)
        prediction = twin.update(x, y)
        net.update(x, y)
        squares = (y - prediction.mean.astype(np.float64)) ** 2 / prediction.var
        drifts = test.drifts(squares[~np.isnan(y)])
        assert net.n_drifts == test.n_drifts
        learned, state = twin.state_dict(), net.state_dict()
        for name, prior_var in prior.items():
            assert state[f"{name}.mean"].tobytes() == learned[f"{name}.mean"].tobytes()
            least = 0.01 if (noise, name) == (INFERRED["homoscedastic"], "2.noise_bias") else 0.0
            var = learned[f"{name}.var"]
            expected = forgotten(var, prior_var, forgetting, drifts, least)
            # The twin has its bound, too: of what was below, the walk may lead to no more.
            bounded = var == np.float32(least)
            np.testing.assert_array_equal(state[f"{name}.var"][~bounded], expected[~bounded])
            assert (state[f"{name}.var"][bounded] <= expected[bounded]).all()
            assert (state[f"{name}.var"] >= np.float32(least)).all()
            assert not drifts or state[f"{name}.var"].min() >= np.float32(0.2) * prior_var
        if step == n_batches // 2 - 1:
            before_change = net.n_drifts
            # What a raise would have changed.
            assert any((state[f"{name}.var"] < 0.2 * prior[name]).any() for name in prior)
    assert net.n_drifts > before_change


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
@pytest.mark.parametrize("noise", [None, *NOISES.values()], ids=["told", *NOISES])
@pytest.mark.parametrize("batch_size", [1, 8, 40])
def test_fit_is_the_updates_one_by_one(
    batch_size: int, noise: NoiseModel | None, device: str
) -> None:
    forgetting = tx.Forgetting(0.002, drift_level=1e-3, window=50, inflation=0.2)
    fitted, replayed = (small(noise=noise, forgetting=forgetting, device=device) for _ in range(2))
    told = 0.25 if noise is None else None
    batches = list(changing_stream(10, 16))
    x, y = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    y[3, 1] = np.nan
    fitted.fit(x, y, noise=told, n_epochs=2, batch_size=batch_size, shuffle=False, progress=False)
    for _ in range(2):
        for first in range(0, len(x), batch_size):
            replayed.update(x[first : first + batch_size], y[first : first + batch_size], told)
    assert fitted.n_drifts == replayed.n_drifts > 0
    for key, value in replayed.state_dict().items():
        np.testing.assert_allclose(fitted.state_dict()[key], value, rtol=1e-4, atol=1e-5)


@on_every_device
@on_every_noise
def test_nothing_is_forgotten_by_default(noise: NoiseModel, device: str) -> None:
    """Nor by a walk that stands still and a test that raises nothing, which counts all the same."""
    nets = [
        small(noise=noise, device=device),
        small(noise=noise, forgetting=None, device=device),
        small(noise=noise, forgetting=tx.Forgetting(0, drift_level=None), device=device),
        small(noise=noise, forgetting=tx.Forgetting(0, 0.1, inflation=0), device=device),
    ]
    assert nets[0].forgetting is None
    for x, y in changing_stream(20, 10):
        for net in nets:
            net.update(x, y)
    for net in nets:
        net.fit(x, y, n_epochs=2, batch_size=3, progress=False)
        assert same_bits(net.state_dict(), nets[0].state_dict())
    assert [net.n_drifts for net in nets[:3]] == [0, 0, 0]
    assert nets[3].n_drifts > 0


@pytest.mark.parametrize("batch_size", [4, 100])
def test_threads_change_nothing(batch_size: int) -> None:
    states, counts = [], []
    batches = list(changing_stream(10, 100))
    x, y = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    for n_threads in (1, 2, 3):
        tx.set_num_threads(n_threads)
        net = nn.Sequential(
            nn.Linear(3, 150), nn.ReLU(), nn.Linear(150, 150), nn.ReLU(), nn.Linear(150, 2),
            noise=tx.Heteroscedastic(), forgetting=tx.Forgetting(drift_level=1e-2), seed=0,
        )  # fmt: skip
        net.update(x, y)
        net.fit(x, y, n_epochs=1, batch_size=batch_size, shuffle=False, progress=False)
        states.append(net.state_dict())
        counts.append(net.n_drifts)
    assert same_bits(states[0], states[1]) and same_bits(states[0], states[2])
    assert counts[0] == counts[1] == counts[2] > 0


@on_every_device
def test_a_stream_that_changes_is_followed(device: str) -> None:
    """Better than without forgetting, and after as many targets again nearly as well as before."""
    errors = {}
    for name, forgetting in {"on": tx.Forgetting(), "off": None}.items():
        net = small(noise=tx.Homoscedastic(0.3), forgetting=forgetting, device=device)
        squares = []
        for step in range(800):
            x, y = regression_data(4, seed=step)
            y = -2 * y if step >= 400 else y
            squares.append(np.mean((net.update(x, y).mean - y) ** 2) / (4 if step >= 400 else 1))
        errors[name] = np.mean(squares[300:400]), np.mean(squares[400:450]), np.mean(squares[700:])
    assert errors["on"][0] < 1.5 * errors["off"][0]
    assert errors["on"][1] < errors["off"][1]
    assert errors["on"][2] < 0.6 * errors["off"][2]
    assert errors["on"][2] < 2 * errors["on"][0]


@on_every_device
@pytest.mark.parametrize("forgetting", [None, tx.Forgetting()], ids=["none", "default"])
def test_learned_noise_is_followed(forgetting: tx.Forgetting | None, device: str) -> None:
    """Noise of three standard deviations in turn, within 5 times the 5 % of 200 targets."""
    generator = np.random.default_rng(0)
    net = nn.Sequential(
        nn.Linear(1, 1),
        noise=tx.Homoscedastic(learn=True),
        forgetting=forgetting,
        seed=0,
        device=device,
    )
    for std in (0.3, 1.5, 0.1):
        for _ in range(250):
            x = generator.uniform(-1, 1, (10, 1))
            net.update(x, 0.5 * x + std * generator.standard_normal((10, 1)))
        assert float(net([[0.0]]).aleatoric[0, 0]) ** 0.5 == pytest.approx(std, rel=0.25)


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


def test_forgetting_is_a_value() -> None:
    default = {"process_noise": 1e-6, "drift_level": 1e-6, "window": 100.0, "inflation": 0.1}
    assert tx.Forgetting().config == default
    for changes in ({"process_noise": 0.5}, {"drift_level": None}, {"window": 7}, {"inflation": 0}):
        forgetting = tx.Forgetting(**changes)
        assert forgetting.config == default | changes
        assert forgetting != tx.Forgetting() and forgetting == tx.Forgetting(**changes)
        assert hash(forgetting) == hash(tx.Forgetting(**changes))
        assert pickle.loads(pickle.dumps(forgetting)) == forgetting
        assert eval(repr(forgetting), {"Forgetting": tx.Forgetting}) == forgetting
