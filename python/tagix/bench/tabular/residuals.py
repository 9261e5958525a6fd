"""A law for models that predict only a number: Student's t of the errors on held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tagix._optional import import_optional
from tagix.bench.tabular.laws import StudentT, log_density_of_t

Array = npt.NDArray[np.float64]

N_FOLDS = 5
# Below, there is no variance; beyond, it is a Gaussian for all that rows can tell.
LEAST_FREEDOM, MOST_FREEDOM = 2.1, 100.0


class WithStudentT:
    """A model that predicts a number, and about it one Student's t for all rows.

    Scale and degrees of freedom are fitted to the errors of five models of the same kind, each on
    the fifth of the rows that it has not learned. The model that predicts learns all rows, so a fit
    takes six trainings.

    Args:
        make: Makes a model with ``fit(x, y)`` and ``predict(x)`` as scikit-learn's.
        seed: Decides which rows are left out together.
    """

    def __init__(self, make: Callable[[], Any], seed: int) -> None:
        self._make, self._seed = make, seed

    def fit(self, x: Array, y: Array) -> WithStudentT:
        """Learn rows (n, n_features) and targets (n,)."""
        self.scale, self.freedom = fit_student_t(out_of_fold_errors(self._make, x, y, self._seed))
        self._model = self._make().fit(x, y)
        return self

    def predict(self, x: Array) -> StudentT:
        """The law of the targets of rows (n, n_features)."""
        mean = np.asarray(self._model.predict(x), dtype=np.float64)
        return StudentT(mean, self.scale, self.freedom)


def out_of_fold_errors(make: Callable[[], Any], x: Array, y: Array, seed: int) -> Array:
    """y minus what a model of the other four fifths of the rows predicts, (n,)."""
    errors = np.empty(len(y))
    order = np.random.default_rng(seed).permutation(len(y))
    for left_out in np.array_split(order, N_FOLDS):
        learned = np.setdiff1d(order, left_out)
        errors[left_out] = y[left_out] - make().fit(x[learned], y[learned]).predict(x[left_out])
    return errors


def fit_student_t(errors: Array) -> tuple[float, float]:
    """Scale and degrees of freedom (2.1 to 100) of Student's t about 0, of greatest likelihood.

    ValueError for errors (n,) that are all 0: they have no scale.
    """
    unit = float(np.sqrt(np.mean(errors**2)))
    if unit == 0:
        raise ValueError("errors: got zeros alone, needed some that are not")

    def loss(point: Array) -> float:
        log_scale, log_freedom = point
        return float(
            -log_density_of_t(errors / unit, np.exp(log_scale), np.exp(log_freedom)).mean()
        )

    # Heavy tails and light ones may each have a minimum of their own.
    optimize = import_optional("scipy.optimize")
    bounds = [(-20.0, 5.0), (np.log(LEAST_FREEDOM), np.log(MOST_FREEDOM))]
    found = [
        optimize.minimize(loss, [start, np.log(freedom)], method="L-BFGS-B", bounds=bounds)
        for start, freedom in ((-1.0, 3.0), (0.0, 30.0))
    ]
    best = min(found, key=lambda each: float(each.fun))
    return unit * float(np.exp(best.x[0])), float(np.exp(best.x[1]))
