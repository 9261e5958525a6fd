"""Models of numbers: each learns rows and predicts the law of targets.

All take ``seed`` and ``arguments``, which the table's text names; everything else is the package's
default. Each uses one thread.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tagix._optional import import_optional
from tagix.bench.tabular.deep_ensemble import DeepEnsemble
from tagix.bench.tabular.laws import Gaussian, Law, RegressorLaw
from tagix.bench.tabular.residuals import WithStudentT

Array = npt.NDArray[np.float64]
Arguments = Mapping[str, Any]


class Regressor(Protocol):
    """What a benchmark asks of a model of numbers."""

    def fit(self, x: Array, y: Array) -> object:
        """Learn rows (n, n_features) and targets (n,)."""

    def predict(self, x: Array) -> Law:
        """The law of the targets of rows (n, n_features)."""


class Tagix:
    """TagiRegressor with its defaults."""

    def __init__(self, seed: int, arguments: Arguments) -> None:
        from tagix.sklearn import TagiRegressor

        self._model = TagiRegressor(random_state=seed)

    def fit(self, x: Array, y: Array) -> Tagix:
        """Learn rows (n, n_features) and targets (n,)."""
        self._model.fit(x, y)
        return self

    def predict(self, x: Array) -> RegressorLaw:
        """The law of the targets of rows (n, n_features)."""
        return RegressorLaw(self._model, x)


class NGBoost:
    """Natural gradient boosting of Gaussians (Duan et al., ICML 2020)."""

    def __init__(self, seed: int, arguments: Arguments) -> None:
        ngboost = import_optional("ngboost", extra="peers")
        self._model = ngboost.NGBRegressor(random_state=seed, verbose=False, **arguments)

    def fit(self, x: Array, y: Array) -> NGBoost:
        """Learn rows (n, n_features) and targets (n,)."""
        self._model.fit(x, y)
        return self

    def predict(self, x: Array) -> Gaussian:
        """The law of the targets of rows (n, n_features)."""
        moments = self._model.pred_dist(x).params
        return Gaussian(np.asarray(moments["loc"]), np.asarray(moments["scale"]) ** 2)


class CatBoostWithUncertainty:
    """CatBoost whose trees have a mean and a variance, stopped by a tenth of the train rows."""

    def __init__(self, seed: int, arguments: Arguments) -> None:
        self._seed = seed
        self._model = _catboost(seed, arguments)

    def fit(self, x: Array, y: Array) -> CatBoostWithUncertainty:
        """Learn rows (n, n_features) and targets (n,)."""
        learned, left_out = a_tenth_left_out(len(y), self._seed)
        self._model.fit(x[learned], y[learned], eval_set=(x[left_out], y[left_out]))
        return self

    def predict(self, x: Array) -> Gaussian:
        """The law of the targets of rows (n, n_features)."""
        mean, var = np.asarray(self._model.predict(x), dtype=np.float64).T
        return Gaussian(mean, var)


class XGBoostDistribution:
    """XGBoost whose trees have the parameters of a Gaussian, stopped as CatBoost is."""

    def __init__(self, seed: int, arguments: Arguments) -> None:
        package = import_optional("xgboost_distribution", extra="peers")
        self._seed = seed
        self._model = package.XGBDistribution(random_state=seed, n_jobs=1, **arguments)

    def fit(self, x: Array, y: Array) -> XGBoostDistribution:
        """Learn rows (n, n_features) and targets (n,)."""
        learned, left_out = a_tenth_left_out(len(y), self._seed)
        judged_by = [(x[left_out], y[left_out])]
        self._model.fit(x[learned], y[learned], eval_set=judged_by, verbose=False)
        return self

    def predict(self, x: Array) -> Gaussian:
        """The law of the targets of rows (n, n_features)."""
        law = self._model.predict(x)
        return Gaussian(np.asarray(law.loc, np.float64), np.asarray(law.scale, np.float64) ** 2)


class GaussianProcess:
    """A Gaussian process on standardized columns, its kernel's parameters by greatest likelihood.

    The kernel has a length for each column, and noise. It learns at most ``most_rows`` rows, since
    its cost grows with the cube of their number.
    """

    def __init__(self, seed: int, arguments: Arguments) -> None:
        self._seed, self._most_rows = seed, arguments["most_rows"]

    def fit(self, x: Array, y: Array) -> GaussianProcess:
        """Learn rows (n, n_features) and targets (n,)."""
        processes = import_optional("sklearn.gaussian_process", package="scikit-learn")
        kernels = processes.kernels
        kernel = kernels.ConstantKernel() * kernels.RBF(np.ones(x.shape[1]))
        kernel += kernels.WhiteKernel(0.1)
        self._model = standardized(
            processes.GaussianProcessRegressor(kernel, normalize_y=True, random_state=self._seed)
        )
        rows = some_rows(len(y), self._most_rows, self._seed)
        with warnings.catch_warnings():
            # Of parameters that end at a bound, such as the length of a column that says nothing.
            warnings.simplefilter("ignore")
            self._model.fit(x[rows], y[rows])
        return self

    def predict(self, x: Array) -> Gaussian:
        """The law of the targets of rows (n, n_features), noise included."""
        mean, std = self._model.predict(x, return_std=True)
        return Gaussian(mean, std**2)


class StandardizedMLP:
    """Scikit-learn's MLPRegressor of standardized columns and targets; predicts numbers alone."""

    def __init__(self, seed: int, arguments: Arguments) -> None:
        networks = import_optional("sklearn.neural_network", package="scikit-learn")
        compose = import_optional("sklearn.compose", package="scikit-learn")
        preprocessing = import_optional("sklearn.preprocessing", package="scikit-learn")
        network = networks.MLPRegressor(random_state=seed, **arguments)
        self._model = compose.TransformedTargetRegressor(
            standardized(network), transformer=preprocessing.StandardScaler()
        )

    def fit(self, x: Array, y: Array) -> StandardizedMLP:
        """Learn rows (n, n_features) and targets (n,)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of training that ends at max_iter
            self._model.fit(x, y)
        return self

    def predict(self, x: Array) -> Array:
        """Numbers, (n,)."""
        return np.asarray(self._model.predict(x))


def deep_ensemble(seed: int, arguments: Arguments) -> DeepEnsemble:
    """Networks that give a mean and a variance, trained by Adam with PyTorch."""
    return DeepEnsemble(seed=seed, **arguments)


def catboost_of_numbers(seed: int, arguments: Arguments) -> WithStudentT:
    """CatBoost, and Student's t about it."""
    return WithStudentT(lambda: _catboost(seed, arguments), seed)


def lightgbm_of_numbers(seed: int, arguments: Arguments) -> WithStudentT:
    """LightGBM, and Student's t about it."""
    lightgbm = import_optional("lightgbm", extra="peers")

    def make() -> Any:
        return lightgbm.LGBMRegressor(random_state=seed, n_jobs=1, verbose=-1, **arguments)

    return WithStudentT(make, seed)


def mlp_of_numbers(seed: int, arguments: Arguments) -> WithStudentT:
    """A network by scikit-learn, and Student's t about it."""
    return WithStudentT(lambda: StandardizedMLP(seed, arguments), seed)


def forest_of_numbers(seed: int, arguments: Arguments) -> WithStudentT:
    """A random forest by scikit-learn, and Student's t about it."""
    trees = import_optional("sklearn.ensemble", package="scikit-learn")
    return WithStudentT(lambda: trees.RandomForestRegressor(random_state=seed, **arguments), seed)


def boosted_trees_of_numbers(seed: int, arguments: Arguments) -> WithStudentT:
    """Gradient boosting by scikit-learn, and Student's t about it."""
    trees = import_optional("sklearn.ensemble", package="scikit-learn")

    def make() -> Any:
        return trees.HistGradientBoostingRegressor(random_state=seed, **arguments)

    return WithStudentT(make, seed)


def a_tenth_left_out(n_rows: int, seed: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Indices of the rows to learn, and of a tenth of them, one at least, to stop by."""
    order = np.random.default_rng(seed).permutation(n_rows)
    n_left_out = max(1, round(n_rows / 10))
    return order[n_left_out:], order[:n_left_out]


def some_rows(n_rows: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """Indices of all rows, or of ``most`` of them where there are more."""
    return np.random.default_rng(seed).permutation(n_rows)[:most]


def standardized(model: Any) -> Any:
    """The model behind a scaler of columns."""
    pipeline = import_optional("sklearn.pipeline", package="scikit-learn")
    preprocessing = import_optional("sklearn.preprocessing", package="scikit-learn")
    return pipeline.make_pipeline(preprocessing.StandardScaler(), model)


def _catboost(seed: int, arguments: Arguments) -> Any:
    catboost = import_optional("catboost", extra="peers")
    return catboost.CatBoostRegressor(
        random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False, **arguments
    )
