"""What the noise that a network knows or infers means, and how it is predicted and recorded."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest
from helpers import (
    INFERRED,
    KNOWN,
    Array,
    NoiseModel,
    needs_cuda,
    on_every_device,
    regression_data,
    same_bits,
    small,
)

import tagix as tx
from tagix import nn

PARTS = ("mean", "var", "epistemic", "aleatoric")
NOISES = {**INFERRED, "known": KNOWN}
RULES = {"information": tx.Information(), "capped": tx.Capped()}

on_every_noise = pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
on_every_inferred = pytest.mark.parametrize("noise", INFERRED.values(), ids=INFERRED)


def predictions_equal(a: tx.Prediction, b: tx.Prediction) -> bool:
    return all(getattr(a, part).tobytes() == getattr(b, part).tobytes() for part in PARTS)


def log_density(y: Array, mean: Array, var: Array) -> Array:
    return -0.5 * (np.log(2 * np.pi * var) + (y - mean) ** 2 / var)


def sums_of(predictions: list[tx.Prediction], y: Array) -> dict[str, float]:
    """What a History says of targets (NaN where missing), in float64 from their predictions."""
    mean, var, epistemic, aleatoric = (
        np.concatenate([getattr(p, part) for p in predictions]).astype(np.float64) for part in PARTS
    )
    seen = ~np.isnan(y)
    return {
        "mse": np.mean((y - mean)[seen] ** 2),
        "predicted_var": np.mean(epistemic[seen]),
        "noise_var": np.mean(aleatoric[seen]),
        "surprise": np.mean((y - mean)[seen] ** 2 / var[seen]),
        "log_likelihood": np.mean(log_density(y, mean, var)[seen]),
    }


@on_every_device
@on_every_noise
def test_parts_of_a_prediction(noise: NoiseModel, device: str) -> None:
    net = small(noise=noise, device=device)
    x, y = regression_data(40)
    net.fit(x, y, n_epochs=2, batch_size=8, progress=False)
    for x_var in (None, np.full_like(x, 0.1)):
        prediction = net(x, x_var)
        assert isinstance(prediction, tx.Prediction) and isinstance(prediction, tx.Gaussian)
        mean, var = prediction
        assert len(prediction) == 2 and mean is prediction.mean and var is prediction.var
        for part in PARTS:
            array = getattr(prediction, part)
            assert array.dtype == np.float32 and array.shape == (40, 2)
        assert (prediction.epistemic > 0).all() and (prediction.aleatoric > 0).all()
        np.testing.assert_allclose(
            var, prediction.epistemic.astype(np.float64) + prediction.aleatoric, rtol=1e-6
        )
        np.testing.assert_allclose(prediction.std, np.sqrt(var), rtol=1e-6)
        lower, upper = prediction.interval(0.5)
        quartile = 0.6744897501960817 * np.sqrt(var.astype(np.float64))  # of the standard normal
        np.testing.assert_allclose(upper - mean, quartile, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(mean - lower, quartile, rtol=1e-4, atol=1e-6)


@on_every_device
@pytest.mark.parametrize("noise", [*NOISES.values(), None], ids=[*NOISES, "none"])
def test_copies_of_a_prediction_have_its_parts(noise: NoiseModel | None, device: str) -> None:
    prediction = small(noise=noise, device=device)(regression_data(5)[0])
    for other in (
        pickle.loads(pickle.dumps(prediction)),
        copy.copy(prediction),
        copy.deepcopy(prediction),
    ):
        assert type(other) is tx.Prediction
        assert predictions_equal(other, prediction)


def test_fields_of_a_prediction_are_replaced() -> None:
    """As those of any named tuple; parts of a variance that is replaced are not known."""
    prediction = small(noise=KNOWN)(regression_data(5)[0])
    moved = prediction._replace(mean=prediction.mean + 1)
    assert type(moved) is tx.Prediction
    np.testing.assert_array_equal(moved.mean, prediction.mean + 1)
    for part in PARTS[1:]:
        np.testing.assert_array_equal(getattr(moved, part), getattr(prediction, part))
    for other in (
        prediction._replace(var=2 * prediction.var),
        tx.Prediction._make([prediction.mean, 2 * prediction.var]),
    ):
        np.testing.assert_array_equal(other.epistemic, 2 * prediction.var)
        np.testing.assert_array_equal(other.aleatoric, np.zeros((5, 2)))


@on_every_device
def test_without_noise_nothing_is_aleatoric(device: str) -> None:
    net = small(device=device)
    x, y = regression_data(5)
    for prediction in (net(x), net.update(x, y, 0.25), net.update(x, y, KNOWN)):
        np.testing.assert_array_equal(prediction.aleatoric, np.zeros((5, 2)))
        np.testing.assert_array_equal(prediction.epistemic, prediction.var)


@on_every_device
def test_known_noise_counts_and_follows_its_schedule(device: str) -> None:
    noise = tx.Homoscedastic([2.0, 0.6], min_std=0.5, decay=0.5)
    net, told = small(noise=noise, device=device), small(device=device)
    x, y = regression_data(40)
    for epochs, expected in enumerate([(2.0, 0.6), (1.0, 0.5), (0.5, 0.5), (0.5, 0.5)]):
        assert net.epochs_trained == epochs
        prediction, plain = net(x), told(x)
        np.testing.assert_allclose(
            prediction.aleatoric, np.tile(np.square(expected), (40, 1)), rtol=1e-6
        )
        assert prediction.mean.tobytes() == plain.mean.tobytes()
        assert prediction.epistemic.tobytes() == plain.var.tobytes()
        assert predictions_equal(net.update(x, y), prediction)
        told.update(x, y, np.square(expected))
        assert same_bits(net.state_dict(), told.state_dict())
        histories = [
            net.fit(x, y, n_epochs=1, batch_size=16, progress=False, validation=(x, y)),
            told.fit(
                x, y, noise=noise, n_epochs=1, batch_size=16, progress=False, validation=(x, y)
            ),
        ]
        assert same_bits(net.state_dict(), told.state_dict())
        assert histories[0].noise_var == histories[1].noise_var
        assert histories[0].noise_var == pytest.approx([np.mean(np.square(expected))])
        assert (
            histories[0].validation_log_likelihood == histories[1].validation_log_likelihood != []
        )


@on_every_device
def test_a_call_may_name_other_noise_than_is_known(device: str) -> None:
    net, told = small(noise=KNOWN, device=device), small(device=device)
    x, y = regression_data(20)
    for noise in (4.0, np.full_like(y, 0.5), tx.Homoscedastic(3.0)):
        net.update(x, y, noise)
        told.update(x, y, noise)
        net.fit(x, y, noise=noise, n_epochs=1, progress=False)
        told.fit(x, y, noise=noise, n_epochs=1, progress=False)
    assert same_bits(net.state_dict(), told.state_dict())


def test_an_update_predicts_with_the_noise_of_its_targets() -> None:
    net = small(noise=KNOWN)
    x, y = regression_data(20)
    expected = net(x)
    prediction = net.update(x, y, 4.0)
    assert (prediction.aleatoric == 4).all()
    for part in ("mean", "epistemic"):
        assert (getattr(prediction, part) == getattr(expected, part)).all()
    np.testing.assert_allclose(prediction.var, prediction.epistemic + 4, rtol=1e-6)


@on_every_device
@pytest.mark.parametrize("batch_size", [1, 5, 64, 300])
@on_every_noise
def test_update_returns_what_a_call_would(noise: NoiseModel, batch_size: int, device: str) -> None:
    net = small(noise=noise, device=device)
    for step in range(3):
        x, y = regression_data(batch_size, seed=step)
        x_var = None if step < 2 else np.full_like(x, 0.2)
        expected = net(x, x_var)
        actual = net.update(x, y, x_var=x_var)
        for part in PARTS:
            np.testing.assert_allclose(
                getattr(actual, part), getattr(expected, part), rtol=1e-5, atol=1e-6
            )


@needs_cuda
@on_every_noise
def test_arrays_on_the_gpu_give_the_same_parts(noise: NoiseModel) -> None:
    """From the prediction of a call and of an update, as arrays on the GPU."""
    net = small(noise=noise, device="cuda")
    x, y = regression_data(20)
    on_gpu = tx.cuda.Array(x)
    for host, device in (
        (net(x), net(on_gpu)),
        (net(x), net.update(on_gpu, y)),
    ):
        for part in PARTS:
            array = getattr(device, part)
            assert isinstance(array, tx.cuda.Array)
            np.testing.assert_array_equal(array.numpy(), getattr(host, part))


@on_every_device
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("batch_size", [1, 32, 1000])
@pytest.mark.parametrize(
    "noise",
    [*INFERRED.values(), tx.Homoscedastic([0.5, 0.8], min_std=0.3, decay=0.5)],
    ids=[*INFERRED, "known"],
)
def test_history_by_numpy(noise: NoiseModel, batch_size: int, missing: bool, device: str) -> None:
    """From the predictions of the updates one by one, and of the network after each epoch."""
    n_rows = 30 if batch_size == 1 else 100
    x, y = regression_data(n_rows)
    x_valid, y_valid = regression_data(50, seed=1)
    if missing:
        y[::3, 0] = np.nan
        y[20:25] = np.nan
        y_valid[4, 1] = np.nan
    fitted, replayed = small(noise=noise, device=device), small(noise=noise, device=device)
    records: list[tx.EpochRecord] = []
    history = fitted.fit(
        x,
        y,
        n_epochs=2,
        batch_size=batch_size,
        shuffle=False,
        progress=False,
        validation=(x_valid, y_valid),
        callback=lambda record: records.append(record),
    )
    for epoch in range(2):
        replayed._model.epochs_trained = epoch
        truth = sums_of(
            [
                replayed.update(x[i : i + batch_size], y[i : i + batch_size])
                for i in range(0, n_rows, batch_size)
            ],
            y,
        )
        validation = sums_of([replayed(x_valid)], y_valid)
        for name in ("predicted_var", "noise_var", "surprise"):
            assert getattr(history, name)[epoch] == pytest.approx(truth[name], rel=1e-4)
            assert getattr(records[epoch], name) == getattr(history, name)[epoch]
        assert history.train_mse[epoch] == pytest.approx(truth["mse"], rel=1e-4)
        assert history.train_log_likelihood[epoch] == pytest.approx(
            truth["log_likelihood"], rel=1e-4, abs=1e-4
        )
        assert history.validation_mse[epoch] == pytest.approx(validation["mse"], rel=1e-4)
        assert history.validation_log_likelihood[epoch] == pytest.approx(
            validation["log_likelihood"], rel=1e-4, abs=1e-4
        )


@on_every_device
def test_priors_of_a_noise_head(device: str) -> None:
    """Weights and biases of `gain` times the deviation of the values', biases of mean 0."""
    net = nn.Sequential(
        nn.Linear(400, 300, gain_weight=0.5, gain_bias=2.0),
        noise=tx.Heteroscedastic(gain=0.2),
        seed=0,
        device=device,
    )
    state = net.state_dict()
    assert list(dict(net.named_parameters())) == [
        "0.weight", "0.noise_weight", "0.bias", "0.noise_bias",
    ]  # fmt: skip
    n = 120_000
    var = (0.2 * 0.5) ** 2 / 400
    np.testing.assert_allclose(state["0.noise_weight.var"], np.full((300, 400), var), rtol=1e-6)
    np.testing.assert_allclose(
        state["0.noise_bias.var"], np.full(300, (0.2 * 2.0) ** 2 / 400), rtol=1e-6
    )
    np.testing.assert_array_equal(state["0.noise_bias.mean"], np.zeros(300))
    weight = state["0.noise_weight.mean"].astype(np.float64)
    assert weight.mean() == pytest.approx(0, abs=5 * math.sqrt(var / n))
    assert weight.var() == pytest.approx(var, rel=5 * math.sqrt(2 / n))
    correlation = np.corrcoef(weight.ravel(), state["0.weight.mean"].ravel())[0, 1]
    assert abs(correlation) < 5 / math.sqrt(n)
    # The values are those of a network without a head.
    plain = nn.Sequential(nn.Linear(400, 300, gain_weight=0.5, gain_bias=2.0), seed=0)
    assert plain.state_dict()["0.weight.var"].tobytes() == state["0.weight.var"].tobytes()


@on_every_device
@pytest.mark.parametrize(("link", "expected"), [("exp", 1.0), ("softplus", math.log(2.0))])
def test_noise_that_follows_the_input_starts_near_1(
    link: Any, expected: float, device: str
) -> None:
    net = small(noise=tx.Heteroscedastic(link, gain=1e-4), device=device)
    np.testing.assert_allclose(net(regression_data(20)[0]).aleatoric, expected, rtol=1e-3)


@on_every_device
@pytest.mark.parametrize("std", [1.0, 0.05, 30.0, [0.1, 7.0]])
def test_learned_std_starts_as_given(std: Any, device: str) -> None:
    """For every input, E v = std^2 with a log-normal prior of Var w = 1."""
    net = small(noise=tx.Homoscedastic(std, learn=True), device=device)
    prediction = net(100 * regression_data(20)[0])
    expected = np.broadcast_to(np.square(std), (20, 2))
    np.testing.assert_allclose(prediction.aleatoric, expected, rtol=1e-5)
    state = net.state_dict()
    np.testing.assert_array_equal(state["2.noise_bias.var"], np.ones(2, np.float32))
    assert "2.noise_weight.mean" not in state


@on_every_device
@pytest.mark.parametrize("rule", RULES)
def test_one_noise_for_all_inputs(rule: str, device: str) -> None:
    net = small(noise=tx.Homoscedastic(learn=True), rule=RULES[rule], device=device)
    x, y = regression_data(60)
    net.fit(x, y, n_epochs=2, batch_size=20, progress=False)
    aleatoric = net(100 * x).aleatoric
    np.testing.assert_array_equal(aleatoric, np.broadcast_to(aleatoric[0], (60, 2)))
    state = net.state_dict()
    mean, var = (state[f"2.noise_bias.{moment}"].astype(np.float64) for moment in ("mean", "var"))
    np.testing.assert_allclose(aleatoric[0], np.exp(mean + var / 2), rtol=1e-5)


@on_every_device
def test_variance_of_a_learned_noise_stays_above_its_bound(device: str) -> None:
    """About 200 targets stay in mind: the variance of w falls to 0.01 and no further."""
    net = small(noise=tx.Homoscedastic(learn=True), device=device)
    x, y = regression_data(200)
    lowest = []
    for _ in range(10):
        net.fit(x, y, n_epochs=1, batch_size=20, progress=False)
        lowest.append(net.state_dict()["2.noise_bias.var"].min())
    assert min(lowest) == lowest[-1] == np.float32(0.01)


def two_regions(n_rows: int, seed: int) -> tuple[Array, Array, Array]:
    """Inputs in [-2, -1] and [1, 2], two targets, and their noise, which differs by region.

    Standard deviations are 0.1 and 0.8 for the first target, 0.4 and 0.2 for the second.
    """
    generator = np.random.default_rng(seed)
    x = generator.uniform(1, 2, (n_rows, 1)) * generator.choice([-1, 1], (n_rows, 1))
    std = np.where(x < 0, [0.1, 0.4], [0.8, 0.2])
    noise = std * generator.standard_normal((n_rows, 2))
    y = np.hstack([np.sin(x), np.cos(x)]) + noise
    return x.astype(np.float32), y.astype(np.float32), std


@pytest.mark.parametrize(
    ("link", "gain", "batch_size", "device"),
    [
        *itertools.product(["exp", "softplus"], [0.1, 1.0], [20, 256], ["cpu"]),
        pytest.param("exp", 1.0, 256, "cuda", marks=needs_cuda),
        pytest.param("softplus", 1.0, 256, "cuda", marks=needs_cuda),
    ],
)
def test_noise_of_each_region_and_target_is_recovered(
    link: Any, gain: float, batch_size: int, device: str
) -> None:
    """Within 5 standard deviations of sqrt(mean of n squared residuals), relative 1 / sqrt(2 n)."""
    x, y, std = two_regions(8000, seed=1)
    net = nn.Sequential(
        nn.Linear(1, 64),
        nn.ReLU(),
        nn.Linear(64, 2),
        noise=tx.Heteroscedastic(link, gain),
        seed=2,
        device=device,
    )
    n_epochs = 40 if gain == 0.1 else 20
    history = net.fit(x, y, n_epochs=n_epochs, batch_size=batch_size, progress=False)
    aleatoric = net(x).aleatoric
    for region in (x[:, 0] < 0, x[:, 0] > 0):
        tolerance = 5 / math.sqrt(2 * region.sum())
        found = np.sqrt(aleatoric[region].mean(axis=0))
        np.testing.assert_allclose(found, std[region][0], rtol=tolerance)
    assert history.surprise[-1] == pytest.approx(1, abs=0.05)


@on_every_device
@pytest.mark.parametrize("batch_size", [20, 256])
@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
def test_one_noise_of_each_target_is_recovered(scale: float, batch_size: int, device: str) -> None:
    """10 000 targets with noise of standard deviations 0.2 and 0.8, within 10 %, of any scale.

    The prior is told the scale of the targets, which is what it takes.
    """
    generator = np.random.default_rng(3)
    x = generator.uniform(-2, 2, (10_000, 1)).astype(np.float32)
    noise = [0.2, 0.8] * generator.standard_normal((10_000, 2))
    y = (scale * (np.hstack([np.sin(x), np.cos(x)]) + noise)).astype(np.float32)
    net = nn.Sequential(
        nn.Linear(1, 64),
        nn.ReLU(),
        nn.Linear(64, 2, gain_weight=scale, gain_bias=scale),
        noise=tx.Homoscedastic(scale, learn=True),
        seed=0,
        device=device,
    )
    net.fit(x, y, n_epochs=10 if device == "cpu" else 3, batch_size=batch_size, progress=False)
    found = np.sqrt(net(x[:1]).aleatoric[0])
    np.testing.assert_allclose(found, [0.2 * scale, 0.8 * scale], rtol=0.1)


@on_every_device
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("link", ["exp", "softplus"])
@pytest.mark.parametrize("gain", [0.1, 1.0])
@pytest.mark.parametrize("batch_size", [1, 20, 256, 2048, 20_000])
def test_stays_in_proportion_at_any_batch_size(
    batch_size: int, gain: float, link: Any, rule: str, device: str
) -> None:
    """Targets of about 1 with noise of 0.1 or 1: a few batches leave nothing out of proportion."""
    generator = np.random.default_rng(batch_size)
    net = nn.Sequential(
        nn.Linear(2, 16),
        nn.ReLU(),
        nn.Linear(16, 2),
        noise=tx.Heteroscedastic(link, gain),
        rule=RULES[rule],
        seed=1,
        device=device,
    )
    grid = generator.uniform(-2, 2, (500, 2)).astype(np.float32)
    largest = max(1.0, float(net(grid).aleatoric.max()))
    for _ in range(8):
        x = generator.uniform(-2, 2, (batch_size, 2))
        y = np.sin(x) + np.where(x > 0, 1.0, 0.1) * generator.standard_normal(x.shape)
        before = net.update(x, y)
        assert all(np.isfinite(getattr(before, part)).all() for part in PARTS)
    after = net(grid)
    assert np.abs(after.mean).max() < 10
    assert after.aleatoric.min() > 1e-3
    assert after.aleatoric.max() < 3 * largest
    for key, value in net.state_dict().items():
        assert np.isfinite(value).all()
        assert key.endswith("mean") or (value > 0).all()


@on_every_inferred
def test_a_seed_gives_the_same_bits(noise: NoiseModel) -> None:
    x, y = regression_data(100)
    states = []
    for n_threads in (1, 2, 3):
        tx.set_num_threads(n_threads)
        net = nn.Sequential(
            nn.Linear(3, 150), nn.ReLU(), nn.Linear(150, 150), nn.ReLU(), nn.Linear(150, 2),
            noise=noise, seed=5,
        )  # fmt: skip
        net.fit(x, y, n_epochs=2, batch_size=40, progress=False)
        states.append(net.state_dict())
    assert same_bits(states[0], states[1]) and same_bits(states[0], states[2])
