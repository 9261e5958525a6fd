"""The sets: those that scikit-learn brings or makes, so that nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tagix._optional import import_optional
from tagix.bench.tabular.job import Split

N_FOLDS = 5


@dataclass(frozen=True)
class TableSet:
    """A set.

    Attributes:
        make: Function of sklearn.datasets.
        of_classes: Whether its targets are labels.
        arguments: Of the function.
        text: What it is.
    """

    make: str
    of_classes: bool
    arguments: Mapping[str, Any]
    text: str

    def load(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
        """Rows (n, n_features), and targets (n,): float64, or labels from 0 on."""
        package = import_optional("sklearn.datasets", package="scikit-learn")
        make: Callable[..., tuple[Any, Any]] = getattr(package, self.make)
        x, y = make(**self.arguments)
        return np.asarray(x, np.float64), np.asarray(y, np.int64 if self.of_classes else np.float64)


_AS_IT_IS: Mapping[str, Any] = {"return_X_y": True}


def _made(**arguments: Any) -> Mapping[str, Any]:
    return {"n_samples": 500, "random_state": 0, **arguments}


# Noise as in Friedman (1991): a third of the signal's standard deviation, but for friedman1, where
# it is a fifth.
SETS: Mapping[str, TableSet] = {
    "diabetes": TableSet(
        "load_diabetes", False, _AS_IT_IS, "442 patients, 10 columns; the target is mostly noise"
    ),
    "friedman1": TableSet(
        "make_friedman1",
        False,
        _made(noise=1.0),
        "500 rows, 10 columns, 5 of which say nothing; smooth",
    ),
    "friedman2": TableSet(
        "make_friedman2", False, _made(noise=125.0), "500 rows, 4 columns that multiply"
    ),
    "friedman3": TableSet(
        "make_friedman3", False, _made(noise=0.1), "500 rows, 4 columns; steep where two are small"
    ),
    "sparse-linear": TableSet(
        "make_sparse_uncorrelated",
        False,
        _made(n_features=10),
        "500 rows, 10 columns, linear in 4 of them; noise of standard deviation 1",
    ),
    "iris": TableSet("load_iris", True, _AS_IT_IS, "150 rows, 4 columns, 3 classes"),
    "wine": TableSet("load_wine", True, _AS_IT_IS, "178 rows, 13 columns, 3 classes"),
    "breast-cancer": TableSet(
        "load_breast_cancer", True, _AS_IT_IS, "569 rows, 30 columns, 2 classes"
    ),
    "digits": TableSet("load_digits", True, _AS_IT_IS, "1797 images of 8 x 8, 10 classes"),
    "moons": TableSet(
        "make_moons", True, _made(noise=0.3), "500 rows, 2 columns, 2 classes that overlap"
    ),
}


def load_fold(name: str, fold: int) -> Split:
    """One of five folds of a set as test rows, the others as train rows.

    Rows are shuffled, always alike; of classes each fold has the same share. ValueError for another
    name or fold.
    """
    if name not in SETS:
        raise ValueError(f"name: got {name!r}, needed one of {', '.join(SETS)}")
    if not 0 <= fold < N_FOLDS:
        raise ValueError(f"fold: got {fold}, needed 0 to {N_FOLDS - 1}")
    selection = import_optional("sklearn.model_selection", package="scikit-learn")
    one_of = SETS[name]
    x, y = one_of.load()
    kind = selection.StratifiedKFold if one_of.of_classes else selection.KFold
    train, test = list(kind(N_FOLDS, shuffle=True, random_state=0).split(x, y))[fold]
    return Split(x[train], y[train], x[test], y[test])
