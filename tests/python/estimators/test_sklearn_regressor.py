"""TagiRegressor on tables: error bars, units, outputs, parameters, copies and neighbours."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from odd_units import Array, small, table
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import tagix as tx
from tagix.sklearn import TagiClassifier, TagiDiffusion, TagiRegressor
from tests.python.helpers import needs_cuda


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
