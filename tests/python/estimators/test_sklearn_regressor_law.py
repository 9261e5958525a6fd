"""The law of predictions: quantiles, intervals, densities and samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from odd_units import small, table
from scipy import integrate, stats

import tagix as tx
from tagix import nn
from tagix.sklearn import TagiRegressor


@pytest.fixture(scope="module")
def fitted() -> TagiRegressor:
    return TagiRegressor(random_state=0).fit(*table(600))


LEVELS = [0.05, 0.5, 0.8, 0.95]


def test_quantiles_and_intervals_are_those_of_the_law(fitted: TagiRegressor) -> None:
    """A t with the predicted mean and standard deviation, by SciPy."""
    X = table(30, seed=2)[0]
    mean, std = fitted.predict(X, return_std=True)
    assert fitted._law is not None
    freedom = fitted._law.freedom[0]
    assert 3 <= freedom <= 100
    scale = std * np.sqrt((freedom - 2) / freedom)
    expected = [stats.t.ppf(level, freedom, mean, scale) for level in LEVELS]
    quantiles = fitted.predict_quantiles(X, LEVELS)
    np.testing.assert_allclose(quantiles.T, expected, rtol=1e-9)
    np.testing.assert_allclose(fitted.predict_interval(X), quantiles[:, [0, 3]], rtol=1e-9)
    assert fitted.predict_quantiles(X, 0.5).shape == (30, 1)


def test_quantiles_without_a_law_are_those_of_a_gaussian() -> None:
    X, y = table(30, seed=2)
    model = small(early_stopping=False, max_epochs=2).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    expected = [stats.norm.ppf(level, mean, std) for level in LEVELS]
    np.testing.assert_allclose(model.predict_quantiles(X, LEVELS).T, expected, rtol=1e-9)


def test_log_densities_are_those_of_the_law(fitted: TagiRegressor) -> None:
    """A t with the predicted mean and standard deviation, by SciPy; far out, too."""
    X, y = table(30, seed=2)
    y[0] += 1e4
    mean, std = fitted.predict(X, return_std=True)
    assert fitted._law is not None
    freedom = fitted._law.freedom[0]
    scale = std * np.sqrt((freedom - 2) / freedom)
    expected = stats.t.logpdf(y, freedom, mean, scale)
    np.testing.assert_allclose(fitted.log_prob(X, y), expected, rtol=1e-9)
    X_std = np.full_like(X, 0.1 * X.std(axis=0))
    mean, std = fitted.predict(X, return_std=True, X_std=X_std)
    expected = stats.t.logpdf(y, freedom, mean, std * np.sqrt((freedom - 2) / freedom))
    np.testing.assert_allclose(fitted.log_prob(X, y, X_std), expected, rtol=1e-9)
    # Between two quantiles, the density of a row integrates to the difference of their levels.
    low, high = fitted.predict_quantiles(X[:1], [0.2, 0.7])[0]
    grid = np.linspace(low, high, 201)
    densities = np.exp(fitted.log_prob(np.repeat(X[:1], 201, axis=0), grid))
    assert integrate.trapezoid(densities, grid) == pytest.approx(0.5, rel=1e-4)


def test_log_densities_without_a_law_are_those_of_a_gaussian() -> None:
    X, y = table(30, seed=2)
    stream = small(n_estimators=1)
    for row, target in zip(X, y, strict=True):
        stream.learn_one(dict(enumerate(row)), target)
    for model in (small(early_stopping=False, max_epochs=2).fit(X, y), stream):
        mean, std = model.predict(X, return_std=True)
        expected = stats.norm.logpdf(y, mean, std)
        np.testing.assert_allclose(model.log_prob(X, y), expected, rtol=1e-9)
    # The square of a distance from this constant would overflow.
    constant = small().fit(X, np.full(30, 1e200))
    std = constant.predict(X[:2], return_std=True)[1]
    expected = stats.norm.logpdf([0.0, -1e200], 0.0, std)
    np.testing.assert_allclose(constant.log_prob(X[:2], [1e200, 0.0]), expected, rtol=1e-9)


def test_samples_have_the_moments_of_the_prediction(fitted: TagiRegressor) -> None:
    X = table(40, seed=3)[0]
    mean, std = fitted.predict(X, return_std=True)
    samples = fitted.sample_y(X, 2000, random_state=1)
    assert samples.shape == (40, 2000)
    np.testing.assert_allclose(samples.mean(axis=1), mean, atol=0.2 * std.max())
    assert np.abs(samples.std(axis=1) / std - 1).mean() < 0.1
    assert np.array_equal(samples, fitted.sample_y(X, 2000, random_state=1))
    assert not np.array_equal(samples[:, :2], fitted.sample_y(X, 2, random_state=2))


def test_samples_are_functions() -> None:
    """Far from the data, where nothing is known, neighbours go the same way in each sample."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (200, 1))
    model = small(noise="homoscedastic").fit(x, x[:, 0] + 0.05 * rng.standard_normal(200))
    samples = model.sample_y(np.array([[8.0], [8.1]]), 300)
    assert np.corrcoef(samples)[0, 1] > 0.9


def test_noise_is_not_learned_by_heart() -> None:
    """On few rows of a linear law with much noise."""
    covered = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((1150, 8))
        y = X[:, 0] + 0.5 * X[:, 1] + rng.standard_normal(1150)
        model = TagiRegressor(random_state=0).fit(X[:150], y[:150])
        low, high = model.predict_interval(X[150:]).T
        covered.append(((low < y[150:]) & (y[150:] < high)).mean())
    assert 0.85 < np.mean(covered) < 0.95


HEAVY = {
    "t of 2": lambda rng, X: X[:, 0] + 0.3 * rng.standard_t(2, len(X)),
    "Cauchy": lambda rng, X: X[:, 0] + 0.3 * rng.standard_cauchy(len(X)),
    "nine of ten are 0": lambda rng, X: np.where(
        rng.random(len(X)) < 0.9, 0.0, np.exp(0.5 * X[:, 0] + 0.3 * rng.standard_normal(len(X)))
    ),
    "log-normal": lambda rng, X: np.exp(X[:, 0] + rng.standard_normal(len(X))),
}


@pytest.mark.filterwarnings("ignore:fit. rows left out")  # where X says little
@pytest.mark.parametrize("name", HEAVY)
def test_heavy_tails(name: str) -> None:
    """Intervals hold, and the law is likelier than a Gaussian of its moments, by SciPy."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2400, 2))
    y = HEAVY[name](rng, X)
    X_test, y_test = X[400:], y[400:]
    model = TagiRegressor((50,), random_state=0).fit(X[:400], y[:400])
    low, high = model.predict_interval(X_test).T
    assert 0.84 < np.mean((low <= y_test) & (y_test <= high)) < 0.97
    mean, std = model.predict(X_test, return_std=True)
    assert model._law is not None
    freedom = model._law.freedom[0]
    scale = std * np.sqrt((freedom - 2) / freedom)
    of_law = stats.t.logpdf(y_test, freedom, mean, scale).mean()
    assert np.isfinite(of_law) and of_law > stats.norm.logpdf(y_test, mean, std).mean() + 0.1


def test_samples_have_the_tails_of_the_law() -> None:
    """Quantiles of many draws against those that are predicted; a Gaussian's are .23 away."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2))
    y = X[:, 0] + 0.3 * rng.standard_t(2, 300)
    model = TagiRegressor((50,), random_state=0).fit(X, y)
    rows = X[:10]
    samples = model.sample_y(rows, 4000)
    levels = [0.05, 0.25, 0.75, 0.95]
    std = model.predict(rows, return_std=True)[1]
    away = (np.quantile(samples, levels, axis=1).T - model.predict_quantiles(rows, levels)).T / std
    assert np.abs(away).max() < 0.22 and np.abs(away.mean(axis=1)).max() < 0.09


def test_the_law_stays_as_rows_are_added() -> None:
    """In a stream after a table: the same degrees of freedom, and intervals that hold."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 2))
    y = 100 * (X[:, 0] + 0.3 * rng.standard_t(3, 3000))
    model = TagiRegressor(n_estimators=1, random_state=0).fit(X[:400], y[:400])
    law = model._law
    model.partial_fit(X[400:900], y[400:900])
    for x, target in zip(X[900:1000].tolist(), y[900:1000].tolist(), strict=True):
        model.learn_one(dict(zip("ab", x, strict=True)), target)
    assert model._law is law and law is not None and law.freedom[0] < 10
    assert 0.84 < model.prequential_log_.coverage < 0.97
    low, high = model.predict_interval(X[1000:]).T
    assert 0.84 < np.mean((low < y[1000:]) & (y[1000:] < high)) < 0.97
    row = dict(zip("ab", X[0].tolist(), strict=True))
    np.testing.assert_allclose(
        model.predict_one(row, return_std=True), np.ravel(model.predict(X[:1], return_std=True))
    )


def test_noise_is_the_one_asked_for() -> None:
    X, y = table(50)
    short: dict[str, Any] = {"max_epochs": 1, "early_stopping": False}
    assert isinstance(small(**short).fit(X, y).net_.noise, tx.Heteroscedastic)
    net = small(**short, noise="homoscedastic").fit(X, y).net_
    assert isinstance(net.noise, tx.Homoscedastic) and net.noise.learn
    wide = small(**short, hidden=(7, 5)).fit(X, y)
    shapes = [layer.config for layer in wide.net_.layers if isinstance(layer, nn.Linear)]
    assert [(each["in_features"], each["out_features"]) for each in shapes] == [
        (3 + 3 * 8, 7),  # the columns, and 8 ramps of each
        (7, 5),
        (5, 1),
    ]
