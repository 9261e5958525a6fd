"""Inputs of TagiRegressor that are missing, uncertain or constant."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")


from odd_units import small, table

from tagix.sklearn._ensemble import cubature


def test_missing_inputs_are_the_training_mean_and_variance() -> None:
    """NaN predicts as X_std equal to the training standard deviation about its mean does."""
    X, y = table()
    model = small().fit(X, y)
    known, missing = X[:50].copy(), X[:50].copy()
    known[:, 1] = X[:, 1].mean()
    missing[:, 1] = np.nan
    std = np.zeros_like(known)
    std[:, 1] = X[:, 1].std()
    by_std = model.predict(known, return_std=True, X_std=std)
    by_nan = model.predict(missing, return_std=True)
    for expected, actual in zip(by_std, by_nan, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5)
    # The second column moves y by 50: it is missed in the error bars.
    assert np.median(by_nan[1]) > 40 > np.median(model.predict(X[:50], return_std=True)[1])


def test_fit_with_missing_inputs() -> None:
    """A tenth of the numbers is missing: better than to leave out the column that has them."""
    X, y = table(800)
    holes = X.copy()
    holes[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    X_test, y_test = table(800, seed=1)
    score = small().fit(holes, y).score(X_test, y_test)
    assert score > 0.75
    assert small().fit(X[:, :1], y).score(X_test[:, :1], y_test) < 0.5


def test_cubature_is_exact_for_cubic_polynomials() -> None:
    """Of independent standard normal variables, and close to it beyond 64 of them."""
    for n_features in (1, 3, 16, 40):
        points = cubature(n_features).astype(np.float64)
        np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(points.T @ points / len(points), np.eye(n_features), atol=1e-5)
        np.testing.assert_allclose((points**3).mean(axis=0), 0, atol=1e-4)
    many = cubature(100).astype(np.float64)
    covariance = many.T @ many / len(many)
    np.testing.assert_allclose(np.diag(covariance), 1, atol=1e-5)
    assert np.abs(covariance - np.eye(100)).max() < 0.6


def test_missing_inputs_are_integrated_out() -> None:
    """Against 20 000 draws of what is missing, row by row."""
    X, y = table()
    model = small().fit(X, y)
    rows = X[:5].copy()
    rows[:, 1] = np.nan
    mean, std = model.predict(rows, return_std=True)
    rng = np.random.default_rng(0)
    for row, actual_mean, actual_std in zip(rows, mean, std, strict=True):
        cloud = np.repeat(row[np.newaxis], 20_000, axis=0)
        cloud[:, 1] = rng.normal(X[:, 1].mean(), X[:, 1].std(), len(cloud))
        means, stds = model.predict(cloud, return_std=True)
        expected_std = np.sqrt(means.var() + np.mean(stds**2))
        assert actual_mean == pytest.approx(means.mean(), abs=0.1 * expected_std)
        assert actual_std == pytest.approx(expected_std, rel=0.1)


def test_error_bars_hold_where_values_are_missing() -> None:
    X, y = table(800)
    X_test, y_test = table(2000, seed=1)
    for table_X, seed in ((X, 0), (X_test, 1)):
        table_X[np.random.default_rng(seed).random(table_X.shape) < 0.2] = np.nan
    low, high = small().fit(X, y).predict_interval(X_test).T
    covered = (low < y_test) & (y_test < high)
    assert 0.84 < covered[np.isnan(X_test).any(axis=1)].mean() < 0.97


def test_uncertain_inputs_count() -> None:
    """y = x with noise in x of known size: with X_std the error bars count it."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(-2, 2, 600)
    std = np.where(rng.random(600) < 0.5, 0.0, 0.5)
    x = (truth + std * rng.standard_normal(600))[:, np.newaxis]
    y = truth + 0.05 * rng.standard_normal(600)
    model = small().fit(x, y, X_std=std[:, np.newaxis])
    grid = np.linspace(-1, 1, 20)[:, np.newaxis]
    sharp, blurred = (
        model.predict(grid, return_std=True, X_std=np.full_like(grid, s))[1] for s in (0.0, 0.5)
    )
    assert np.median(sharp) < 0.3 and np.median(blurred) == pytest.approx(0.5, rel=0.25)


def test_a_column_that_never_varies_says_nothing() -> None:
    X, y = table(100)
    X[:, 2] = 7.0
    model = small(max_epochs=3).fit(X, y)
    moved = X.copy()
    moved[:, 2] = 1e6
    assert np.array_equal(model.predict(X), model.predict(moved))
    assert model.x_scale_[2] == 1.0
