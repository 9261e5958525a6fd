"""How long TagiRegressor learns, and from tables that are small, hard or spoilt."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from odd_units import Array, small, table
from sklearn.exceptions import ConvergenceWarning

from tagix.sklearn import TagiClassifier, TagiRegressor
from tagix.sklearn._recipe import RECIPE


def test_budgets() -> None:
    """By hand: 4000 updates of 16 rows are 142 passes over 451, .3 of them 43, and so on."""
    assert RECIPE.n_epochs(451, 16, 150) == round(4000 * 16 / 451) == 142
    assert RECIPE.n_epochs(100, 16, 150) == 150 and RECIPE.n_epochs(100, 16, 7) == 7
    assert RECIPE.n_epochs(10**6, 256, 150) == 20
    X, y = table(451)
    model = TagiRegressor(max_epochs=150, early_stopping=False, random_state=0).fit(X, y)
    assert model.n_iter_ == 142
    assert TagiRegressor(random_state=0).fit(X, y).n_iter_ in (142, 43, 17, 9)


def test_number_of_epochs() -> None:
    X, y = table()
    whole = small(max_epochs=10, early_stopping=False).fit(X, y)
    assert whole.n_iter_ == 10 and not whole.history_.stopped
    model = small(max_epochs=20).fit(X, y)
    # Chosen by rows left out: the same for all networks, each of which learns all rows.
    assert {len(history.train_mse) for history in model.histories_} == {model.n_iter_}
    assert model.n_iter_ in (20, 5, 1)
    assert set(model.history_.n_rows) == {400}
    assert model.history_ is model.histories_[0]


def curve(n_rows: int = 750) -> tuple[Array, Array]:
    """Three periods of a sine, which a plateau of the likelihood comes before; noise of .1."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 20, (n_rows, 1))
    return X, np.sin(X[:, 0]) + 0.1 * rng.standard_normal(n_rows)


def test_no_plateau_ends_a_fit() -> None:
    X, y = curve()
    mean, std = TagiRegressor(random_state=0).fit(X, y).predict(X, return_std=True)
    assert np.sqrt(np.mean((mean - np.sin(X[:, 0])) ** 2)) < 0.08
    assert np.median(std) == pytest.approx(0.1, abs=0.03)


@pytest.mark.filterwarnings("ignore::tagix.sklearn.OutlierWarning")
def test_one_outlier_changes_little() -> None:
    """Of 750 rows, 10 000 standard deviations of the noise away."""
    X, y = curve()
    y[5] = 1000.0
    model = TagiRegressor(random_state=0).fit(X, y)
    mean = model.predict(X)
    assert np.sqrt(np.mean((mean - np.sin(X[:, 0])) ** 2)) < 0.08
    low, high = model.predict_interval(X).T
    assert 0.85 < np.mean((low < y) & (y < high)) < 0.97 and np.median(high - low) < 0.5


def test_a_fit_no_better_than_a_constant_warns() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 5)), rng.standard_normal(100)
    with pytest.warns(ConvergenceWarning, match="no better than by a constant"):
        TagiRegressor(random_state=0).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="no better than by a constant"):
        TagiClassifier(random_state=0).fit(X, y > 0)


@pytest.mark.parametrize("n_rows", [1, 2, 14, 15, 30])
def test_few_rows(n_rows: int) -> None:
    """y = 10 x + 100, as far as it can be known."""
    X = np.linspace(-1, 1, n_rows)[:, np.newaxis]
    y = 10 * X[:, 0] + 100
    mean, std = TagiRegressor(random_state=0).fit(X, y).predict(X, return_std=True)
    assert np.isfinite(std).all() and (std > 0).all()
    assert np.abs(mean - y).max() < 1.5


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_constant_target(n_outputs: int) -> None:
    X = np.random.default_rng(0).standard_normal((60, 2))
    y = np.full((60, n_outputs), 7.0)
    mean, std = TagiRegressor(random_state=0).fit(X, y).predict(X, return_std=True)
    assert (mean == 7.0).all()
    np.testing.assert_allclose(std, 7.0 / 61, rtol=1e-12)  # Laplace's rule of succession
