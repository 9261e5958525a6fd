"""Missing values: what the rest of a row says of them, and what it says that they are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from sklearn.linear_model import LinearRegression

import tagix as tx
from tagix.sklearn import TagiClassifier, TagiRegressor
from tagix.sklearn._missing import Links, columns_to_indicate
from tagix.sklearn._scaling import Moments

Array = np.ndarray
COVARIANCE = np.array(
    [[4.0, 2.4, 0.0, 1.0], [2.4, 2.0, 0.0, 0.3], [0.0, 0.0, 9.0, -2.0], [1.0, 0.3, -2.0, 1.5]]
)
MEAN = np.array([1e5, -3.0, 0.0, 7.0])


def gaussian(n_rows: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).multivariate_normal(MEAN, COVARIANCE, n_rows)


def links_of(rows: Array) -> Links:
    moments = Moments.of_nothing(rows.shape[1])
    moments.add(rows)
    return Links.of(rows, moments.scaler())


def with_holes(rows: Array, share: float, seed: int = 1) -> Array:
    holes = np.random.default_rng(seed).random(rows.shape) < share
    return np.asarray(np.where(holes, np.nan, rows))


@pytest.mark.parametrize("share_missing", [0.0, 0.3])
@pytest.mark.parametrize("absent", [[0], [3], [0, 1], [1, 2, 3]])
def test_conditional_moments_of_a_gaussian(absent: list[int], share_missing: float) -> None:
    """Against the closed form of the law that the rows come from."""
    links = links_of(with_holes(gaussian(40_000), share_missing))
    there = [column for column in range(4) if column not in absent]
    rows = gaussian(20, seed=2)
    weights = np.linalg.solve(COVARIANCE[np.ix_(there, there)], COVARIANCE[np.ix_(there, absent)])
    mean = MEAN[absent] + (rows[:, there] - MEAN[there]) @ weights
    var = np.diag(COVARIANCE[np.ix_(absent, absent)] - COVARIANCE[np.ix_(absent, there)] @ weights)
    rows[:, absent] = np.nan
    filled, filled_var = links.fill(rows)
    for place, column in enumerate(absent):
        if var[place] == COVARIANCE[column, column]:  # nothing is known of it
            continue
        scale = np.sqrt(COVARIANCE[column, column])
        np.testing.assert_allclose(filled[:, column], mean[:, place], atol=0.05 * scale)
        np.testing.assert_allclose(filled_var[:, column], var[place], rtol=0.05)
    assert np.array_equal(filled[:, there], rows[:, there])
    assert (filled_var[:, there] == 0).all()


def test_means_are_those_of_a_linear_regression() -> None:
    rows = gaussian(30)
    new = gaussian(10, seed=1)
    expected = LinearRegression().fit(rows[:, [0, 1, 2]], rows[:, 3]).predict(new[:, [0, 1, 2]])
    new[:, 3] = np.nan
    np.testing.assert_allclose(links_of(rows).fill(new)[0][:, 3], expected, rtol=1e-9)


@pytest.mark.parametrize("n_rows", [10, 15, 40])
def test_variances_count_that_rows_are_few(n_rows: int) -> None:
    """By Monte Carlo over tables: squared errors are as large as the variances."""
    errors, variances, n_filled = [], [], 0
    for seed in range(300):
        links = links_of(gaussian(n_rows, seed=seed))
        new = gaussian(20, seed=1000 + seed)
        truth = new[:, 1].copy()
        new[:, 1] = np.nan
        filled, var = links.fill(new)
        if not np.isnan(filled).any():
            n_filled += 1
            errors.append(np.mean((filled[:, 1] - truth) ** 2))
            variances.append(var[0, 1])
    assert n_filled > 250
    assert 0.75 < np.mean(variances) / np.mean(errors) < 1.35


def test_columns_that_say_nothing() -> None:
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((50, 4))
    rows[:, 3] = 5.0  # never varies
    new = rows[:10].copy()
    new[:, 0] = np.nan
    assert np.isnan(links_of(rows).fill(new)[0][:, 0]).all()
    few = links_of(gaussian(4))
    new = gaussian(3)
    new[:, 1] = np.nan
    assert np.isnan(few.fill(new)[0][:, 1]).all()
    nothing = np.full((2, 4), np.nan)
    assert np.isnan(few.fill(nothing)[0]).all()


def test_columns_that_never_vary_do_not_count() -> None:
    """Means and variances are those of a regression without them, however few the rows are."""
    rows, new = gaussian(12), gaussian(5, seed=1)
    new[:, 1] = np.nan
    expected, expected_var = links_of(rows).fill(new)
    constant = np.full((12, 6), 5.0)
    filled, var = links_of(np.hstack([rows, constant])).fill(np.hstack([new, constant[:5]]))
    assert not np.isnan(expected[:, 1]).any()
    np.testing.assert_allclose(filled[:, 1], expected[:, 1], rtol=1e-9)
    np.testing.assert_allclose(var[:, 1], expected_var[:, 1], rtol=1e-9)


def test_copies_of_a_column() -> None:
    a = np.random.default_rng(0).standard_normal(100)
    links = links_of(np.column_stack([a, 2.0 * a + 1.0, -a]))
    filled, var = links.fill(np.array([[0.7, np.nan, np.nan], [np.nan, 3.0, -1.0]]))
    np.testing.assert_allclose(filled, [[0.7, 2.4, -0.7], [1.0, 3.0, -1.0]], atol=1e-4)
    assert (var < 1e-6).all()


def test_correlations_that_do_not_fit_together() -> None:
    """Pairs of columns that are never seen in the same rows: any correlations may come out."""
    generator = np.random.default_rng(0)
    a = generator.standard_normal(90)
    rows = np.column_stack([a, a, -a]) + 0.01 * generator.standard_normal((90, 3))
    rows[60:, 1] = rows[60:, 0]
    rows[:30, 0] = rows[30:60, 1] = rows[60:, 2] = np.nan
    rows[:30, 2] = rows[:30, 1]  # so 1 goes with 2, 0 against 2, and 0 with 1
    links = links_of(rows)
    assert np.linalg.eigvalsh(links.correlation)[0] > 0
    np.testing.assert_allclose(np.diag(links.correlation), 1.0)
    filled, var = links.fill(np.array([[0.5, np.nan, np.nan]]))
    assert np.isfinite(filled[~np.isnan(filled)]).all() and (var >= 0).all()


def test_columns_that_get_indicators() -> None:
    rows = np.ones((6, 5))
    rows[1, 0] = rows[1, 2] = rows[2:, 3] = np.nan  # 2 misses the same as 0
    rows[:, 4] = np.nan
    assert columns_to_indicate(rows).tolist() == [0, 3]
    assert columns_to_indicate(np.ones((3, 2))).tolist() == []


def law(X: Array) -> Array:
    return np.asarray(np.sin(1.5 * X[:, 0]) + X[:, 1])


def table(n_rows: int, seed: int) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((n_rows, 2))
    X = np.column_stack([X, X[:, 0] + 0.05 * generator.standard_normal(n_rows)])
    return X, law(X) + 0.2 * generator.standard_normal(n_rows)


def small(**arguments: Any) -> TagiRegressor:
    return TagiRegressor(**{"n_estimators": 2, "max_epochs": 30, "random_state": 0} | arguments)


def quality(model: Any, X: Array, y: Array) -> tuple[float, float, float]:
    """Root mean squared error, mean standard deviation, and coverage of 90 % intervals."""
    mean, std = model.predict(X, return_std=True)
    error = y - mean
    covered = np.abs(error) < 1.645 * std
    return float(np.sqrt(np.mean(error**2))), float(std.mean()), float(covered.mean())


def test_a_redundant_column_that_is_missing_later() -> None:
    X, y = table(2400, 0)
    model = small().fit(X[:400], y[:400])
    whole = quality(model, X[400:], y[400:])
    for column in (0, 2):
        holes = X[400:].copy()
        holes[:, column] = np.nan
        rmse, std, coverage = quality(model, holes, y[400:])
        assert rmse < 1.25 * whole[0] and std < 1.3 * whole[1] and 0.82 < coverage < 0.96


def test_missing_at_random() -> None:
    X, y = table(2400, 1)
    X = with_holes(X, 0.2)
    model = small().fit(X[:400], y[:400])
    rmse, _, coverage = quality(model, X[400:], y[400:])
    # Of the second column, of which no other knows, a fifth is lost: 0.45.
    assert rmse < 0.62 and 0.82 < coverage < 0.96


@pytest.mark.parametrize("n_columns", [1, 3])
def test_missing_because_of_what_it_is(n_columns: int) -> None:
    """Above 0.3 four fifths of a column are missing: those rows are not as the others are."""
    X, y = table(4400, 2)
    X = X[:, 1:2] if n_columns == 1 else X
    y = y if n_columns == 3 else X[:, 0] + 0.2 * np.random.default_rng(9).standard_normal(4400)
    column = 0 if n_columns == 1 else 1
    gone = (X[:, column] > 0.3) & (np.random.default_rng(3).random(4400) < 0.8)
    X[gone, column] = np.nan
    model = small().fit(X[:400], y[:400])
    mean, std = model.predict(X[400:], return_std=True)
    error = (y[400:] - mean)[gone[400:]]
    # E(x | x > 0.3) = 1.0: without the indicator the bias is that much.
    assert abs(error.mean()) < 0.15
    # The column varies by 0.55 there.
    assert np.sqrt(np.mean(error**2)) < 0.75
    # The value counts as uncertain as any, where in truth it lies on one side: intervals are wide.
    assert 0.85 < np.mean(np.abs(error) < 1.645 * std[gone[400:]]) < 0.995


def test_classes_that_are_missing_a_value() -> None:
    """That a value is missing tells the class, and a classifier sees it."""
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=600)
    X = generator.standard_normal((600, 2))
    X[(labels == 1) & (generator.random(600) < 0.6), 0] = np.nan
    model = TagiClassifier(n_estimators=1, max_epochs=30, random_state=0).fit(X[:400], labels[:400])
    proba = model.predict_proba(X[400:])[:, 1]
    missing = np.isnan(X[400:, 0])
    assert proba[missing].mean() > 0.9
    # Bayes: 0.4 of class 1 against all of class 0.
    assert abs(proba[~missing].mean() - 0.4 / 1.4) < 0.1


@pytest.mark.parametrize("n_features", [2, 3])
def test_a_table_with_holes_goes_on_as_a_stream(n_features: int, tmp_path: Path) -> None:
    """Units that change, new features, files and copies: the indicators stay where they are."""
    X, y = table(1500, 4)
    X = with_holes(X[:, :n_features], 0.2)
    model = small().fit(X[:300], y[:300])
    seen, _ = model.network_inputs(np.where(np.isnan(X[:9]), 0.0, X[:9]))
    assert not seen[:, :n_features].any() and model.net_(seen).mean.shape == (9, 1)
    model.save(tmp_path / "model.safetensors")
    again = tx.load(tmp_path / "model.safetensors")
    for each in (model, again):
        each.partial_fit(X[300:510], y[300:510])
    before = model.predict(X[1000:], return_std=True)
    assert np.array_equal(before, again.predict(X[1000:], return_std=True))
    model._take_over_units()
    after = model.predict(X[1000:], return_std=True)
    np.testing.assert_allclose(after[0], before[0], atol=0.05 * y.std())
    model.partial_fit(X[510:1000], y[510:1000])
    error = model.predict(X[1000:]) - y[1000:]
    assert np.sqrt(np.mean(error**2)) < 0.8
    names = ["a", "b", "c"][:n_features]
    for row, target in zip(X[:40].tolist(), y.tolist(), strict=False):
        model.learn_one(dict(zip(names, row, strict=True)), target)
    known = model.predict_one(dict(zip(names, X[1000], strict=True)))
    assert known == pytest.approx(
        model.predict_one(dict(zip(names, X[1000], strict=True)) | {"d": 1.0})
    )
    for row, target in zip(X[:40].tolist(), y.tolist(), strict=False):
        model.learn_one(dict(zip(names, row, strict=True)) | {"d": 1.0}, target)
    assert model.n_features_in_ == n_features + 1
    assert np.isfinite(model.predict_one({"d": 2.0}, return_std=True)).all()


def test_files_with_damaged_links() -> None:
    X, y = table(60, 5)
    X = with_holes(X, 0.2)
    description, tensors = small(max_epochs=1, early_stopping=False).fit(X, y)._to_file()
    description = json.loads(json.dumps(description))
    TagiRegressor._from_file(description, tensors, "cpu")
    for bad in ([0, 0], [7], [-1], [0.5], "all"):
        changed = {**description, "learned": {**description["learned"], "indicators": bad}}
        with pytest.raises(ValueError, match="indicators"):
            TagiRegressor._from_file(changed, tensors, "cpu")
    linked = tensors["linked"].copy()
    linked[0, 0, 1] = 0.9
    scale = tensors["links"].copy()
    scale[1] = 0.0
    for damaged in ({"linked": linked}, {"links": scale}, {"linked": np.full_like(linked, np.nan)}):
        with pytest.raises(ValueError, match="links"):
            TagiRegressor._from_file(description, tensors | damaged, "cpu")
