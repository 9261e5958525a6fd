"""fit: what it learns, from which rows in which order, and what it leaves where it fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import Array, regression_data, same_bits, small, unchanged

import tagix as tx
from tagix import nn


@pytest.mark.parametrize("rule", [tx.Information(), tx.Capped()], ids=str)
def test_linear_model_is_learned(rule: tx.UpdateRule) -> None:
    net = nn.Sequential(nn.Linear(1, 1), seed=0, rule=rule)
    generator = np.random.default_rng(0)
    x = generator.uniform(-2, 2, 4000)
    y = 1.5 * x - 0.5 + 0.1 * generator.standard_normal(x.size)
    net.fit(
        x[:, None], y, noise=tx.Homoscedastic(std=0.1), batch_size=1, n_epochs=2, progress=False
    )
    state = net.state_dict()
    # The standard error of the slope is 0.1 / sqrt(4000 * 4/3); what remains is order of visit.
    assert state["0.weight.mean"][0, 0] == pytest.approx(1.5, abs=0.02)
    assert state["0.bias.mean"][0] == pytest.approx(-0.5, abs=0.02)


def test_regression_reaches_the_noise_floor() -> None:
    generator = np.random.default_rng(0)
    std = 0.2

    def data(n: int) -> tuple[Array, Array, Array]:
        x = generator.uniform(-2, 2, (n, 1))
        truth = np.sin(2 * x)
        return x, truth + std * generator.standard_normal((n, 1)), truth

    x, y, _ = data(2000)
    x_test, y_test, truth = data(2000)
    net = nn.Sequential(nn.Linear(1, 50), nn.ReLU(), nn.Linear(50, 1), seed=0)
    noise = tx.Homoscedastic(std=std)
    history = net.fit(
        x, y, noise=noise, n_epochs=30, batch_size=32, validation=(x_test, y_test), progress=False
    )
    mean, var = net(x_test)
    # A mean that is right up to a tenth of the noise variance.
    assert np.mean((mean - truth) ** 2) < 0.1 * std**2
    assert history.train_mse[-1] < 1.15 * std**2 < 5 * std**2 < history.train_mse[0]
    floor = -0.5 * (math.log(2 * math.pi * std**2) + 1)
    assert floor - 0.1 < history.validation_log_likelihood[-1] < floor + 0.05
    far = net(np.array([[-20.0], [20.0]])).var
    assert (far > 10 * var.mean()).all()


def test_shuffling_depends_on_seed_and_epoch_and_visits_every_row() -> None:
    """One weight for each row: which row a batch of 1 visited shows in the variances."""
    n = 40
    x, y = np.eye(n, dtype=np.float32), np.zeros((n, 1), np.float32)

    def order(net: nn.Sequential, shuffle: bool) -> list[int]:
        """Rows in the order of their predictions, from records of a validation-free fit."""
        seen: list[int] = []

        def value(z: Array) -> Array:
            seen.append(int(np.round(z[0])))
            return z

        layer = nn.Activation(value, np.ones_like, moments="first_order")
        watched = nn.Sequential(layer, nn.Linear(n, 1), seed=net.seed)
        watched._model.epochs_trained = net.epochs_trained
        numbered = np.repeat(np.arange(n, dtype=np.float32)[:, None], n, axis=1)
        watched.fit(
            numbered, y, noise=1.0, n_epochs=1, batch_size=1, shuffle=shuffle, progress=False
        )
        return seen

    net = nn.Sequential(nn.Linear(n, 1, bias=False), seed=5)
    first = order(net, True)
    assert sorted(first) == list(range(n)) != first
    assert order(net, True) == first
    assert order(net, False) == list(range(n))
    net.fit(x, y, noise=1.0, n_epochs=1, batch_size=1, progress=False)
    second = order(net, True)
    assert sorted(second) == list(range(n)) and second != first
    other = order(nn.Sequential(nn.Linear(n, 1), seed=6), True)
    assert sorted(other) == list(range(n)) and other != first


def test_training_without_observations_learns_nothing() -> None:
    net, (x, y) = small(), regression_data(20)
    before = net.state_dict()
    history = net.fit(x, np.full_like(y, np.nan), noise=0.25, n_epochs=1, progress=False)
    assert math.isnan(history.train_mse[0])
    assert same_bits(net.state_dict(), before)


def test_overflow_midway_undoes_the_fit() -> None:
    """All rows but the last one teach; in the second epoch, too, where they come in disorder."""
    x, y = regression_data(100)
    seen: list[int] = []
    for rows, n_epochs in ((x, 1), (x.copy(), 3)):
        net = small()
        rows[-1] = 3e38
        with unchanged(net), pytest.raises(ValueError, match="overflow"):
            net.fit(
                rows,
                y,
                noise=0.25,
                n_epochs=n_epochs,
                batch_size=10,
                shuffle=False,
                progress=False,
                callback=lambda record: seen.append(record.n_rows),
            )
        net.update(x[:50], y[:50], 0.25)
    assert seen == []


def test_failed_fit_keeps_parameters_that_no_file_would_take() -> None:
    """NaN written through a view cannot be put back by load_state_dict: the error must stay."""
    net, (x, y) = small(), regression_data(20)
    next(iter(net.named_parameters()))[1].mean[0, 0] = np.nan
    with pytest.raises(ValueError, match="overflow"):
        net.fit(x, y, noise=0.25, n_epochs=1, progress=False)


def test_one_output_takes_targets_of_one_dimension() -> None:
    x, y = regression_data(50)

    def net() -> nn.Sequential:
        return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1), seed=0)

    column, flat = net(), net()
    noise_var = np.linspace(0.1, 1, 50)
    for model, targets, noise in (
        (column, y[:, :1], noise_var[:, None]),
        (flat, y[:, 0], noise_var),
    ):
        model.fit(x, targets, noise=noise, n_epochs=1, validation=(x, targets), progress=False)
        model.update(x, targets, noise)
    assert same_bits(column.state_dict(), flat.state_dict())


def test_fit_copies_its_data() -> None:
    """A callback that writes into the arrays given to fit must not change the training."""
    x, y = regression_data(50)
    expected = small()
    expected.fit(x, y, noise=0.25, n_epochs=3, progress=False)
    net = small()

    def overwrite(record: tx.EpochRecord) -> None:
        x[:] = 0
        y[:] = 0

    net.fit(x, y, noise=0.25, n_epochs=3, progress=False, callback=overwrite)
    assert same_bits(net.state_dict(), expected.state_dict())
