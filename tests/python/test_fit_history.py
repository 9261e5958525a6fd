"""The history of fit: an entry for each epoch, replayed in numpy, and validation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import Array, regression_data, same_bits, small

import tagix as tx


def gaussian_log_density(y: Array, mean: Array, var: Array | float) -> Array:
    return -0.5 * (np.log(2 * np.pi * var) + (y - mean) ** 2 / var)


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
