"""Parameters that forget: the random walk of each update."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from drift import NOISES, DriftTest, changing_stream
from helpers import (
    INFERRED,
    KNOWN,
    Array,
    NoiseModel,
    on_every_device,
    regression_data,
    same_bits,
    small,
)

import tagix as tx
from tagix import nn

RULES = {"information": tx.Information(), "capped": tx.Capped()}


on_every_noise = pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)


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
