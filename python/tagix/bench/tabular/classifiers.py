"""Models of classes: each learns rows with labels from 0 on and predicts probabilities.

All take ``seed`` and ``arguments``, which the table's text names; everything else is the package's
default. Each uses one thread.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tagix._optional import import_optional
from tagix.bench.tabular.regressors import Arguments, some_rows, standardized

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


class Classifier(Protocol):
    """What a benchmark asks of a model of classes."""

    def fit(self, x: Array, y: Labels) -> object:
        """Learn rows (n, n_features) and labels (n,), each of which occurs."""

    def predict(self, x: Array) -> Array:
        """Probabilities (rows, n_classes) of the classes of rows (n, n_features)."""


class WithProbabilities:
    """An estimator of scikit-learn's kind, made for the number of classes that rows have.

    Args:
        make: Makes it for so many classes.
        seed: Of the choice of rows.
        most_rows: Maximum number of rows to learn; of more rows, so many are chosen.
    """

    def __init__(
        self, make: Callable[[int], Any], seed: int = 0, most_rows: int | None = None
    ) -> None:
        self._make, self._seed, self._most_rows = make, seed, most_rows

    def fit(self, x: Array, y: Labels) -> WithProbabilities:
        """Learn rows (n, n_features) and labels (n,), each of which occurs."""
        self._model = self._make(int(y.max()) + 1)
        rows = some_rows(len(y), self._most_rows or len(y), self._seed)
        with warnings.catch_warnings():
            # Of training that ends at max_iter, and of parameters that end at a bound.
            warnings.simplefilter("ignore")
            self._model.fit(x[rows], y[rows])
        return self

    def predict(self, x: Array) -> Array:
        """Probabilities (rows, n_classes) of the classes of rows (n, n_features)."""
        return np.asarray(self._model.predict_proba(x), dtype=np.float64)


def tagix(seed: int, arguments: Arguments) -> WithProbabilities:
    """TagiClassifier with its defaults."""
    from tagix.sklearn import TagiClassifier

    return WithProbabilities(lambda _: TagiClassifier(random_state=seed))


def ngboost(seed: int, arguments: Arguments) -> WithProbabilities:
    """Natural gradient boosting of categorical laws."""
    package = import_optional("ngboost", extra="peers")
    laws = import_optional("ngboost.distns", package="ngboost", extra="peers")

    def make(n_classes: int) -> Any:
        law = laws.k_categorical(n_classes)
        return package.NGBClassifier(Dist=law, random_state=seed, verbose=False, **arguments)

    return WithProbabilities(make)


def catboost(seed: int, arguments: Arguments) -> WithProbabilities:
    """CatBoost."""
    package = import_optional("catboost", extra="peers")

    def make(n_classes: int) -> Any:
        return package.CatBoostClassifier(
            random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False, **arguments
        )

    return WithProbabilities(make)


def gaussian_process(seed: int, arguments: Arguments) -> WithProbabilities:
    """A Gaussian process on standardized columns by Laplace's method, one class against the rest.

    The kernel has one length for all columns, because some sets have too many columns for one each.
    """
    processes = import_optional("sklearn.gaussian_process", package="scikit-learn")
    kernels = processes.kernels

    def make(n_classes: int) -> Any:
        kernel = kernels.ConstantKernel() * kernels.RBF(3.0)
        return standardized(processes.GaussianProcessClassifier(kernel, random_state=seed))

    return WithProbabilities(make, seed, arguments["most_rows"])


def mlp(seed: int, arguments: Arguments) -> WithProbabilities:
    """A network by scikit-learn, of standardized columns."""
    networks = import_optional("sklearn.neural_network", package="scikit-learn")
    return WithProbabilities(
        lambda _: standardized(networks.MLPClassifier(random_state=seed, **arguments))
    )


def random_forest(seed: int, arguments: Arguments) -> WithProbabilities:
    """A random forest by scikit-learn."""
    trees = import_optional("sklearn.ensemble", package="scikit-learn")
    return WithProbabilities(lambda _: trees.RandomForestClassifier(random_state=seed, **arguments))


def boosted_trees(seed: int, arguments: Arguments) -> WithProbabilities:
    """Gradient boosting by scikit-learn."""
    trees = import_optional("sklearn.ensemble", package="scikit-learn")
    return WithProbabilities(
        lambda _: trees.HistGradientBoostingClassifier(random_state=seed, **arguments)
    )
