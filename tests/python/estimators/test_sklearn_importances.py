"""Parts of predicted variances and importances of columns, against closed forms, Monte Carlo and
computations by hand."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from sklearn.exceptions import NotFittedError

from tagix.sklearn import Importances, TagiClassifier, TagiRegressor, VarianceParts

Array = np.ndarray
SLOPES = np.array([2.0, -1.0, 0.5, 0.0])
UNITS = np.array([100.0, 1.0, 0.01, 1.0])


def linear(n_rows: int, seed: int = 0, noise: float = 0.1) -> tuple[Array, Array]:
    """Rows in odd units, and a target with those slopes by standard deviation."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n_rows, 4))
    return z * UNITS + 3.0, z @ SLOPES + noise * rng.standard_normal(n_rows)


@pytest.fixture(scope="module")
def model() -> TagiRegressor:
    return TagiRegressor(fast=True, random_state=0).fit(*linear(500))


def few(**arguments: Any) -> TagiRegressor:
    """A fit in no time; what it has learned does not matter."""
    defaults = {"hidden": (8,), "max_epochs": 2, "n_estimators": 2, "random_state": 0}
    return TagiRegressor(**defaults | {"early_stopping": False} | arguments)


def within(n_rows: int, seed: int = 1) -> Array:
    """Rows in the middle of the table."""
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (n_rows, 4)) * UNITS + 3.0


def assert_adds_up(model: TagiRegressor, X: Any, X_std: Any = None) -> VarianceParts:
    parts = model.attribute_variance(X, X_std)
    expected = model.predict_var(X, X_std)
    np.testing.assert_allclose(parts.var, expected.epistemic + expected.aleatoric, rtol=1e-9)
    np.testing.assert_allclose(parts.noise, expected.aleatoric, rtol=1e-9)
    total = parts.inputs.sum(axis=-1) + parts.networks + parts.novelty + parts.noise
    np.testing.assert_allclose(total, parts.var, rtol=1e-9)
    assert all(part.dtype == np.float64 and (part >= 0).all() for part in parts)
    return parts


# Parts of variances


@pytest.mark.parametrize("column", range(4))
def test_one_uncertain_input_of_a_linear_function(model: TagiRegressor, column: int) -> None:
    """slope^2 X_std^2, all of which belongs to that column."""
    X = within(60)
    std = np.zeros_like(X)
    std[:, column] = 0.3 * UNITS[column]
    inputs = assert_adds_up(model, X, std).inputs
    assert inputs.shape == X.shape
    assert (np.delete(inputs, column, axis=1) == 0).all()
    expected = (0.3 * SLOPES[column]) ** 2
    np.testing.assert_allclose(inputs[:, column].mean(), expected, rtol=0.2, atol=1e-3)


def test_uncertain_inputs_share_by_squares_of_slopes(model: TagiRegressor) -> None:
    X = within(60)
    std = np.full_like(X, 0.3) * UNITS
    inputs = assert_adds_up(model, X, std).inputs.mean(axis=0)
    np.testing.assert_allclose(inputs, (0.3 * SLOPES) ** 2, rtol=0.15, atol=2e-3)
    np.testing.assert_allclose(inputs[0] / inputs[1], 4.0, rtol=0.2)


def test_one_uncertain_input_by_monte_carlo() -> None:
    """Of a curve: the variance of the mean that the model predicts over draws of the input."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (600, 2))
    y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * rng.standard_normal(600)
    model = TagiRegressor(fast=True, novelty=False, random_state=0).fit(X, y)
    std = np.array([[0.2, 0.0]])
    for row in np.array([[[0.7, 0.2]], [[0.2, 0.2]]]):  # on the top of the curve, and beside it
        expected = model.predict(row + std * rng.standard_normal((20_000, 2))).var()
        inputs = assert_adds_up(model, row, std).inputs
        np.testing.assert_allclose(inputs, [[expected, 0]], rtol=0.2)


def test_a_bend_without_a_slope() -> None:
    """Of x_0^2 + .3 x_1 at 0 with standard deviations s, parts are 2 s^4 and .09 s^2."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 2))
    y = X[:, 0] ** 2 + 0.3 * X[:, 1] + 0.05 * rng.standard_normal(1000)
    model = TagiRegressor(fast=True, random_state=0).fit(X, y)
    inputs = assert_adds_up(model, np.zeros((1, 2)), np.full((1, 2), 0.5)).inputs
    np.testing.assert_allclose(inputs, [[2 * 0.5**4, 0.09 * 0.25]], rtol=0.25)


def test_a_table_of_many_columns() -> None:
    """More than 64, whose points are not independent any more."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 70))
    y = 3 * X[:, 0] + X[:, 66] + 0.1 * rng.standard_normal(1500)
    model = TagiRegressor(fast=True, random_state=0).fit(X, y)
    row, std = np.zeros((1, 70)), np.zeros((1, 70))
    std[0, [0, 66, 67]] = 0.3
    inputs = assert_adds_up(model, row, std).inputs[0]
    np.testing.assert_allclose(inputs[[0, 66, 67]], [0.81, 0.09, 0.0], rtol=0.3, atol=0.001)
    assert np.count_nonzero(inputs) <= 3


def test_missing_values_belong_to_their_column(model: TagiRegressor) -> None:
    """Of a column that nothing else tells, all that it varies by: slope^2 by standard deviation."""
    X = within(40)
    X[::2, 0] = np.nan
    X[1, 1] = np.nan
    parts = assert_adds_up(model, X)
    np.testing.assert_allclose(parts.inputs[::2, 0].mean(), 4.0, rtol=0.2)
    assert (parts.inputs[::2, 1:] == 0).all() and (parts.inputs[3::2] == 0).all()
    assert parts.inputs[1, 1] > 0.5 and (np.delete(parts.inputs[1], 1) == 0).all()


def test_missing_values_that_others_tell() -> None:
    """The rest of the row says most of them; what is left belongs to the missing column."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 3))
    X[:, 1] = X[:, 0] + 0.3 * rng.standard_normal(500)
    y = X[:, 0] + X[:, 2] + 0.1 * rng.standard_normal(500)
    holes = X.copy()
    holes[::7, 0] = np.nan  # so that there is an indicator
    model = TagiRegressor(fast=True, random_state=0).fit(holes, y)
    new = rng.uniform(-1, 1, (30, 3))
    new[:, 0] = np.nan
    inputs = assert_adds_up(model, new).inputs
    assert (inputs[:, 1:] == 0).all()
    expected = 0.09 / 1.09  # Var(x_0 | x_1)
    np.testing.assert_allclose(inputs[:, 0].mean(), expected, rtol=0.4)


def test_novelty_and_noise(model: TagiRegressor) -> None:
    far = within(20) + 20 * UNITS
    parts = assert_adds_up(model, far)
    assert (parts.novelty > 0).all() and (parts.inputs == 0).all()
    assert (assert_adds_up(model, within(20)).novelty == 0).mean() > 0.8
    plain = few(novelty=False).fit(*linear(100))
    assert (assert_adds_up(plain, far).novelty == 0).all()
    assert (assert_adds_up(few().prior(far), far).novelty == 0).all()


def test_several_outputs_and_one_that_never_varied() -> None:
    X, y = linear(200)
    targets = np.column_stack([y, X[:, 1], np.full(200, 7.0)])
    model = TagiRegressor(fast=True, random_state=0).fit(X, targets)
    rows, std = within(15), np.full((15, 4), 0.2) * UNITS
    std[0] = 0
    parts = assert_adds_up(model, rows, std)
    assert parts.inputs.shape == (15, 3, 4) and parts.networks.shape == (15, 3)
    assert (parts.inputs[0] == 0).all() and (parts.inputs[1:, :2] > 0).any(axis=2).all()
    assert (parts.inputs[:, 2] == 0).all() and (parts.noise[:, 2] == 0).all()
    np.testing.assert_allclose(parts.networks[:, 2], parts.var[:, 2], rtol=1e-12)
    # The second output is the second column alone.
    assert (parts.inputs[1:, 1, 1] > 0.7 * parts.inputs[1:, 1].sum(axis=1)).all()


def test_a_stream_of_dicts() -> None:
    X, y = linear(60)
    model = few(n_estimators=1)
    for row, target in zip(X.tolist(), y.tolist(), strict=True):
        model.learn_one(dict(enumerate(row)), target)
    holes = within(5)
    holes[:, 2] = np.nan
    inputs = assert_adds_up(model, holes).inputs
    assert (inputs[:, 2] > 0).all() and (np.delete(inputs, 2, axis=1) == 0).all()
    assert model.permutation_importance(X, y, random_state=0).mean.shape == (4,)


# Importances of columns


def orders(n_rows: int, seed: int) -> Any:
    """What permutes rows, one order after the other."""
    generator = np.random.default_rng(np.random.RandomState(seed).randint(2**31 - 1))
    while True:
        yield generator.permutation(n_rows)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_importances_by_hand(n_outputs: int) -> None:
    X, y = linear(80)
    X[::9, 2] = np.nan
    if n_outputs == 2:
        y = np.column_stack([y, 3 * X[:, 3]])
    model = few().fit(X, y)
    order, before = orders(80, seed=5), model.log_prob(X, y).mean()
    falls = np.empty((4, 3))
    for column in range(4):
        for repeat in range(3):
            permuted = X.copy()
            permuted[:, column] = X[next(order), column]
            falls[column, repeat] = before - model.log_prob(permuted, y).mean()
    importances = model.permutation_importance(X, y, n_repeats=3, random_state=5)
    assert isinstance(importances, Importances)
    np.testing.assert_allclose(importances.mean, falls.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(importances.std, falls.std(axis=1), rtol=1e-9)
    again = model.permutation_importance(X, y, n_repeats=3, random_state=5)
    assert np.array_equal(again, importances)


def test_importances_of_classes_by_hand() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3))
    labels = np.where(X[:, 0] + 0.3 * X[:, 1] > 0, "up", "down")
    weights = {"up": 3.0}
    model = TagiClassifier(fast=True, random_state=0, class_weight=weights).fit(X, labels)
    of_label = (labels == "up").astype(int)  # classes_ are sorted

    def score(rows: Array) -> float:
        proba = model.predict_proba(rows)[np.arange(300), of_label]
        return float(np.log(np.maximum(proba, 1e-4)).mean())

    order = orders(300, seed=1)
    falls = np.empty((3, 2))
    for column in range(3):
        for repeat in range(2):
            permuted = X.copy()
            permuted[:, column] = X[next(order), column]
            falls[column, repeat] = score(X) - score(permuted)
    mean, std = model.permutation_importance(X, labels, n_repeats=2, random_state=1)
    np.testing.assert_allclose(mean, falls.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(std, falls.std(axis=1), rtol=1e-9)
    assert mean[0] > 3 * mean[1] > 0 and abs(mean[2]) < 0.05


def test_importances_are_those_of_a_linear_function() -> None:
    """A permuted column brings errors of variance 2 slope^2: slope^2 / noise^2 nats."""
    slopes = np.array([1.0, 0.6, 0.3, 0.0])
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6000, 4))
    y = X @ slopes + rng.standard_normal(6000)
    model = TagiRegressor(
        noise="homoscedastic", early_stopping=False, max_epochs=20, n_estimators=2, random_state=0
    ).fit(X[:2000], y[:2000])
    mean, std = model.permutation_importance(X[2000:], y[2000:], n_repeats=5, random_state=0)
    np.testing.assert_allclose(mean, slopes**2, rtol=0.15, atol=0.01)
    assert abs(mean[3]) < 0.01 and (std < 0.1).all()
    assert model.permutation_importance(X[:50], y[:50], n_repeats=1).std.tolist() == [0.0] * 4


FRAMES = ["pandas", "polars"]


@pytest.mark.parametrize("library", FRAMES)
def test_a_column_of_a_dataframe_counts_as_one(library: str) -> None:
    """With all its inputs: as permuting the column of the DataFrame itself does."""
    pytest.importorskip("narwhals")
    frames = pytest.importorskip(library)
    rng = np.random.default_rng(0)
    sizes = rng.standard_normal(120)
    colours = rng.choice(["red", "green", "blue"], 120)
    others = rng.standard_normal(120)
    columns = {"size": sizes, "colour": colours, "other": others}

    def frame(**changed: Array) -> Any:
        return frames.DataFrame({k: v.tolist() for k, v in (columns | changed).items()})

    y = sizes + 2.0 * (colours == "red") + 0.1 * rng.standard_normal(120)
    model = TagiRegressor(fast=True, random_state=0).fit(frame(), y)
    assert len(model.input_names_) == 5 and len(model.feature_names_in_) == 3
    order, before = orders(120, seed=2), model.log_prob(frame(), y).mean()
    falls = np.empty((3, 2))
    for place, name in enumerate(columns):
        for repeat in range(2):
            permuted = frame(**{name: columns[name][next(order)]})
            falls[place, repeat] = before - model.log_prob(permuted, y).mean()
    importances = model.permutation_importance(frame(), y, n_repeats=2, random_state=2)
    np.testing.assert_allclose(importances.mean, falls.mean(axis=1), rtol=1e-9)
    assert importances.mean[2] < 0.3 * importances.mean[:2].min()
    # And what a missing category leaves open belongs to that column.
    missing = assert_adds_up(model, frame(colour=np.array([None] * 120)))
    assert missing.inputs.shape == (120, 3)
    assert (missing.inputs[:, 1] > 0).all() and (missing.inputs[:, [0, 2]] == 0).all()


def test_errors() -> None:
    X, y = linear(40)
    labels = np.where(y > 0, 1, 0)
    classifier = TagiClassifier(hidden=(4,), max_epochs=2, n_estimators=1, early_stopping=False)
    for model, targets in ((few(), y), (classifier, labels)):
        with pytest.raises(NotFittedError):
            model.permutation_importance(X, targets)
        model.fit(X, targets)
        for wrong, error in ((0, ValueError), (1.5, TypeError)):
            with pytest.raises(error, match=r"^n_repeats"):
                model.permutation_importance(X, targets, n_repeats=wrong)
        message = "y: got 39 targets for 40 rows of X, needed as many"
        with pytest.raises(ValueError, match=re.escape(message)):
            model.permutation_importance(X, targets[1:])
        with pytest.raises(ValueError, match="3 features"):
            model.permutation_importance(X[:, :3], targets)
    with pytest.raises(ValueError, match=r"^y: got labels \[2\], needed those of classes_"):
        classifier.permutation_importance(X, labels * 2)
    regressor = few().fit(X, y)
    with pytest.raises(ValueError, match=r"^y: got 2 outputs, needed 1"):
        regressor.permutation_importance(X, np.column_stack([y, y]))
    with pytest.raises(NotFittedError):
        few().attribute_variance(X)
    with pytest.raises(ValueError, match=r"^X_std: got shape"):
        regressor.attribute_variance(X, np.zeros((40, 3)))
    with pytest.raises(ValueError, match="3 features"):
        regressor.attribute_variance(X[:, :3])
