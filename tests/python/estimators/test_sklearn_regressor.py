"""TagiRegressor on tables: its units, errors bars, missing and uncertain inputs, its neighbours."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from scipy import integrate, stats
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import tagix as tx
from tagix import nn
from tagix.sklearn import TagiClassifier, TagiDiffusion, TagiRegressor
from tagix.sklearn._ensemble import cubature
from tagix.sklearn._recipe import RECIPE
from tests.python.helpers import needs_cuda

Array = np.ndarray


def table(n_rows: int = 400, seed: int = 0) -> tuple[Array, Array]:
    """Three inputs in odd units, and a target whose noise grows with the first."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n_rows, 3))
    noise = 0.1 + 0.4 * (z[:, 0] > 0)
    y = np.sin(2 * z[:, 0]) + z[:, 1] + noise * rng.standard_normal(n_rows)
    return z * [1000.0, 0.01, 5.0] + [3e4, -2.0, 0.0], 50.0 * y + 1e4


def small(**arguments: Any) -> TagiRegressor:
    return TagiRegressor(**{"n_estimators": 2, "max_epochs": 30, "random_state": 0} | arguments)


@pytest.fixture(scope="module")
def fitted() -> TagiRegressor:
    return TagiRegressor(random_state=0).fit(*table(600))


def test_error_bars(fitted: TagiRegressor) -> None:
    """Against the law of the table: the curve, the noise of each half, and the coverage."""
    X, y = table(4000, seed=1)
    z = (X[:, 0] - 3e4) / 1000
    truth = 50 * (np.sin(2 * z) + (X[:, 1] + 2) / 0.01) + 1e4
    mean, std = fitted.predict(X, return_std=True)
    inner = np.abs(z) < 1.5
    assert np.sqrt(np.mean((mean - truth)[inner] ** 2)) < 10
    # Noise of 5 and of 25, and what the networks do not know.
    quiet, loud = (np.median(std[half & inner]) for half in (z < -0.4, z > 0.4))
    assert 4 < quiet < 13 and 20 < loud < 33
    low, high = fitted.predict_interval(X, level=0.9).T
    assert 0.85 < np.mean((low < y) & (y < high)) < 0.95
    assert fitted.score(X, y) > 0.85


def test_prediction_is_the_mixture_of_the_networks() -> None:
    """By hand, from the networks themselves and moments of the table."""
    X, y = table(600)
    fitted = TagiRegressor(novelty=False, random_state=0).fit(X, y)
    rows = X[:20]  # more than 8, so that they take the same path

    def moments(model: TagiRegressor) -> tuple[Array, Array]:
        predictions = [
            net(model.network_inputs(rows, member=member)[0])
            for member, net in enumerate(model.nets_)
        ]
        means = np.array([p.mean[:, 0] for p in predictions], np.float64)
        var = np.mean([p.var[:, 0] for p in predictions], axis=0) + means.var(axis=0)
        return means.mean(axis=0) * y.std() + y.mean(), var * y.var()

    mean, var = moments(fitted)
    np.testing.assert_allclose(fitted.predict(rows), mean, rtol=1e-6)
    assert len(fitted.nets_) == 5 and fitted.net_ is fitted.nets_[0]
    assert isinstance(fitted.net_.noise, tx.Heteroscedastic)
    # Where no rows are left out, nothing is known but the networks' own variances.
    plain = small(early_stopping=False, max_epochs=2, novelty=False).fit(X, y)
    mean, var = moments(plain)
    predicted, std = plain.predict(rows, return_std=True)
    np.testing.assert_allclose(predicted, mean, rtol=1e-6)
    np.testing.assert_allclose(std, np.sqrt(var), rtol=1e-5)


def test_parts_of_the_variance() -> None:
    """In proportion as in a mixture of networks: of their means and variances, and their noise."""
    fitted = TagiRegressor(novelty=False, random_state=0).fit(*table(600))
    X, _ = table(50, seed=3)
    predictions = [
        net(fitted.network_inputs(X, member=member)[0]) for member, net in enumerate(fitted.nets_)
    ]
    means = np.stack([each.mean for each in predictions]).astype(np.float64)
    epistemic = np.mean([each.epistemic for each in predictions], axis=0) + means.var(axis=0)
    aleatoric = np.mean([each.aleatoric for each in predictions], axis=0)
    var = fitted.predict_var(X)
    share = (epistemic / (epistemic + aleatoric))[:, 0]
    np.testing.assert_allclose(var.epistemic / (var.epistemic + var.aleatoric), share, rtol=1e-5)
    std = fitted.predict(X, return_std=True)[1]
    np.testing.assert_allclose(var.epistemic + var.aleatoric, std**2, rtol=1e-12)
    plain = small(early_stopping=False, max_epochs=2).fit(*table(600))
    var = plain.predict_var(X)
    noise = np.mean(
        [
            net(plain.network_inputs(X, member=member)[0]).aleatoric[:, 0]
            for member, net in enumerate(plain.nets_)
        ],
        axis=0,
    )
    np.testing.assert_allclose(var.aleatoric, plain.y_scale_**2 * noise, rtol=1e-5)
    uncertain = fitted.predict_var(X, X_std=np.full_like(X, X.std(axis=0)))
    assert uncertain.epistemic.mean() > 2 * fitted.predict_var(X).epistemic.mean()


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


def test_units_do_not_matter() -> None:
    """Columns in other units: the same standardized table, up to rounding."""
    X, y = table()
    model = small().fit(X, y)
    other = small().fit(X * [1e-3, 1e5, 7.0] + [1.0, 2.0, 3.0], -1e-3 * y)
    np.testing.assert_allclose(model.x_mean_, X.mean(axis=0))
    np.testing.assert_allclose(model.x_scale_, X.std(axis=0))
    np.testing.assert_allclose([model.y_mean_[0], model.y_scale_[0]], [y.mean(), y.std()])
    # -y: the same up to the sign of what the networks start from, so only nearly.
    np.testing.assert_allclose(other.x_scale_, X.std(axis=0) * [1e-3, 1e5, 7.0])
    same = small().fit(X * [1e-3, 1e5, 7.0] + [1.0, 2.0, 3.0], 1e-3 * y)
    expected = model.predict(X)
    np.testing.assert_allclose(
        1e3 * same.predict(X * [1e-3, 1e5, 7.0] + [1.0, 2.0, 3.0]), expected, atol=0.05 * y.std()
    )


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


@pytest.mark.parametrize("noise", ["heteroscedastic", "homoscedastic"])
def test_several_outputs(noise: str) -> None:
    X, y = table()
    Y = np.stack([y, -3 * y + X[:, 2]], axis=1)
    model = small(noise=noise).fit(X, Y)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (400, 2)
    assert model.score(X, Y) > 0.8
    assert model.predict_interval(X).shape == (400, 2, 2)
    assert model.predict_quantiles(X, [0.1, 0.5, 0.9]).shape == (400, 2, 3)
    assert model.sample_y(X[:5], 7).shape == (5, 2, 7)
    assert model._law is not None
    freedom = model._law.freedom
    expected = stats.t.logpdf(Y, freedom, mean, std * np.sqrt((freedom - 2) / freedom))
    np.testing.assert_allclose(model.log_prob(X, Y), expected, rtol=1e-9)
    with pytest.raises(ValueError, match="y: got 1 outputs, needed 2"):
        model.log_prob(X, y)
    assert small(max_epochs=2).fit(X, Y[:, :1]).predict(X).shape == (400, 1)


def test_prior() -> None:
    X = np.random.default_rng(0).standard_normal((200, 4))
    model = small()
    mean, std = model.prior(X).predict(X, return_std=True)
    assert mean.shape == (200,) and np.abs(mean).mean() < 2 and 0.7 < np.median(std) < 3
    assert np.array_equal(mean, small().prior(X[:1] + 7).predict(X))
    prior = model.prior(X)
    assert prior.predict_interval(X).shape == (200, 2) and prior.sample_y(X, 3).shape == (200, 3)
    assert vars(model) == vars(small())  # nothing was learned
    y = X[:, 0]
    learned = [each.partial_fit(X, y).predict(X) for each in (prior, small())]
    assert np.array_equal(*learned)
    with pytest.raises(ValueError, match="inf"):
        model.prior([[np.inf]])


@pytest.mark.parametrize("Estimator", [TagiRegressor, TagiClassifier, TagiDiffusion])
def test_before_any_fit(Estimator: Any) -> None:
    """Every public method and attribute that needs a fit says so, and names no private thing."""
    X, model = np.zeros((5, 2)), Estimator()
    methods = {
        "predict": (X,),
        "predict_interval": (X,),
        "predict_quantiles": (X, [0.5]),
        "log_prob": (X, X[:, 0]),
        "predict_proba": (X,),
        "predict_log_proba": (X,),
        "sample_y": (X,),
        "score": (X, X[:, 0]),
        "sample": (),
        "score_samples": (X,),
    }
    for name, arguments in methods.items():
        if hasattr(model, name):
            with pytest.raises(NotFittedError, match=Estimator.__name__):
                getattr(model, name)(*arguments)
    named = re.findall(r"\b[a-z]\w*_\b", Estimator.__doc__.split("Attributes:")[1])
    assert len(named) > 4
    for name in named:
        assert not hasattr(model, name)
        with pytest.raises(AttributeError) as caught:
            getattr(model, name)
        assert Estimator.__name__ in str(caught.value) and "'_" not in str(caught.value)


@pytest.mark.parametrize("Estimator", [TagiRegressor, TagiClassifier, TagiDiffusion])
def test_documented_attributes_are_those_that_exist(Estimator: Any) -> None:
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(np.random.default_rng(0).standard_normal((40, 2)), columns=["a", "b"])
    model = Estimator(random_state=0)
    short = {"n_epochs": 1} if Estimator is TagiDiffusion else {"early_stopping": False}
    conditional = {"conditional": True} if Estimator is TagiDiffusion else {}
    model.set_params(**short, **conditional).fit(X, (X["a"] > 0).astype(int))
    documented = Estimator.__doc__.split("Attributes:")[1].split("Example:")[0]
    properties = {name for name in dir(Estimator) if isinstance(getattr(Estimator, name), property)}
    existing = {name for name in properties | set(vars(model)) if re.fullmatch(r"[a-z]\w*_", name)}
    assert set(re.findall(r"\b[a-z]\w*_\b", documented)) == existing
    assert all(hasattr(model, name) for name in existing)


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


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"noise": "student"}, "noise: got 'student'"),
        ({"hidden": "big"}, "hidden: got 'big'"),
        ({"hidden": (0,)}, "hidden: got 0"),
        ({"n_estimators": 0}, "n_estimators"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_bad_parameters(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        TagiRegressor(**arguments).fit(*table(20))


def test_bad_input(fitted: TagiRegressor) -> None:
    X, y = table(20)
    with pytest.raises(ValueError, match="infinity"):
        small().fit(np.where(X[0, 0] == X, np.inf, X), y)
    with pytest.raises(ValueError, match="contains NaN"):
        small().fit(X, np.where(y == y[0], np.nan, y))
    with pytest.raises(ValueError, match=r"X_std: got shape \(20, 2\)"):
        small().fit(X, y, X_std=X[:, :2])
    with pytest.raises(ValueError, match="X_std: got NaN or negative"):
        fitted.predict(X, X_std=-np.ones_like(X))
    with pytest.raises(ValueError, match="level: got 1"):
        fitted.predict_interval(X, level=1.0)
    with pytest.raises(ValueError, match="quantiles"):
        fitted.predict_quantiles(X, [0.5, 1.0])
    with pytest.raises(ValueError, match="n_samples"):
        fitted.sample_y(X, 0)
    with pytest.raises(ValueError, match="contains NaN"):
        fitted.log_prob(X, np.where(y == y[0], np.nan, y))
    with pytest.raises(ValueError, match="inconsistent"):
        fitted.log_prob(X, y[:5])
    with pytest.raises(ValueError, match="squares overflow"):
        small().fit(X * 1e300, y)
    with pytest.raises(ValueError, match="expecting 3 features"):
        fitted.predict(X[:, :2])


def test_copies_predict_the_same_bits(fitted: TagiRegressor) -> None:
    X = table(50, seed=5)[0]
    expected = fitted.predict(X)
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert np.array_equal(other.predict(X), expected)
    unfitted = clone(fitted)
    assert not hasattr(unfitted, "nets_")
    assert np.array_equal(unfitted.fit(*table(600)).predict(X), expected)


def test_in_a_pipeline_and_a_search() -> None:
    X, y = load_diabetes(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    pipeline = make_pipeline(FunctionTransformer(np.cbrt), small())
    mean, std = pipeline.fit(X_train, y_train).predict(X_test, return_std=True)
    assert mean.shape == std.shape == y_test.shape
    search = GridSearchCV(
        small(max_epochs=10), {"hidden": [(4,), (50,)], "noise": ["homoscedastic", "auto"]}, cv=2
    )
    search.fit(X_train, y_train)
    assert set(search.best_params_) == {"hidden", "noise"}
    assert (
        search.score(X_test, y_test)
        > LinearRegression().fit(X_train, y_train).score(X_test, y_test) - 0.15
    )


def test_in_two_processes() -> None:
    X, y = table(100)
    model = small(max_epochs=3)
    expected = cross_val_score(model, X, y, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the pool, where the machine is slow
        scores = cross_val_score(model, X, y, cv=2, n_jobs=2)
    assert np.array_equal(scores, expected)


def test_seeds() -> None:
    X, y = table(100)
    once, again = (small(max_epochs=3).fit(X, y).predict(X) for _ in range(2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, small(max_epochs=3, random_state=1).fit(X, y).predict(X))
    generator = np.random.RandomState(0)
    first, second = (
        small(max_epochs=3, random_state=generator).fit(X, y).predict(X) for _ in range(2)
    )
    assert np.array_equal(first, once) and not np.array_equal(first, second)


def test_rows_do_not_depend_on_their_neighbours(fitted: TagiRegressor) -> None:
    X = table(40, seed=6)[0]
    together = fitted.predict(X)
    assert np.array_equal([fitted.predict(row[np.newaxis])[0] for row in X], together)


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize("Estimator", [TagiRegressor, TagiClassifier])
def test_on_a_gpu(device: str, Estimator: Any) -> None:
    """Nearly what the CPU predicts: with missing values, as a table and then as a stream."""
    X, y = table(60)
    X[::7, 1] = np.nan
    target = (y > 1e4).astype(int) if Estimator is TagiClassifier else y
    outcomes = []
    for each in ("cpu", device):
        model = Estimator((8,), n_estimators=1, max_epochs=2, random_state=0, device=each)
        model.fit(X, target).partial_fit(X, target)
        model.learn_one(dict(zip("abc", X[1].tolist(), strict=True)), target[1])
        classes = Estimator is TagiClassifier
        outcomes.append(model.predict_proba(X) if classes else model.predict(X) / y.std())
    np.testing.assert_allclose(*outcomes, atol=2e-3)
