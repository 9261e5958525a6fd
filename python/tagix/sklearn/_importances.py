"""The origins of predicted variances, and the importance of columns for predictions.

The variance of a mean f due to unknown inputs is split in proportion to the variance that each
input brings while the others are at their means,

    v_j = Var f(m_1, ..., X_j, ..., m_n),   share of input j = v_j / sum_k v_k

with the three points of Gauss and Hermite for X_j, which know a slope and a bend:

    v_j = (u^2 + d^2)/6 - ((u + d)/6)^2,   u, d = f(m_j +- sqrt(3) s_j) - f(m_j)

Where f is linear, v_j is slope_j^2 s_j^2, and where it is a sum of functions of one input each, the
v_j add up to the variance. What inputs do together beyond that is split in the same proportion;
where all v are 0, equally. A share by slopes alone, the coefficients of a linear fit, takes inputs
for known at the bottom of a valley: of x_1^2 + .3 x_2 at 0 it gave x_1 nothing.

What a column is worth is what predictions lose where its values are permuted among the rows, so
that it says nothing of the target, while its own distribution stays (Breiman, Machine Learning,
2001; for any model and loss Fisher, Rudin & Dominici, Journal of Machine Learning Research, 2019).
The loss is the negative log-likelihood, which means and error bars both count in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tagix._arrays import as_count
from tagix.sklearn import _ensemble

if TYPE_CHECKING:
    from tagix.sklearn._regressor_moments import RegressorMoments
    from tagix.sklearn._tabular_estimator import TabularEstimator

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


class VarianceParts(NamedTuple):
    """Parts of predicted variances, in the units of y squared; no part is negative.

    All float64 (n_rows,), or (n_rows, n_outputs) after a fit to such y, ``inputs`` with one
    dimension more. ``inputs`` summed over columns, ``networks`` and ``novelty`` are the
    ``epistemic`` of :meth:`TagiRegressor.predict_var`, and ``noise`` is its ``aleatoric``.
    """

    inputs: Array
    """Of columns of X that are missing or uncertain, (n_rows, [n_outputs,] n_columns), 0 elsewhere.
    """
    networks: Array
    """Uncertainty of the networks: of their weights, and their differences from each other."""
    novelty: Array
    """Variance added for rows unlike those of the fit; 0 with ``novelty=False``."""
    noise: Array
    """The noise of a target, as far as the networks know it."""
    var: Array
    """The total: the square of the standard deviation that is predicted."""


class Importances(NamedTuple):
    """The importance of each column of X, in nats per target; float64 (n_columns,)."""

    mean: Array
    """By how much the mean log-likelihood falls without the column, the mean over repeats."""
    std: Array
    """The standard deviation of this fall over repeats."""


def attribute_variance(model: RegressorMoments, X: Any, X_std: Any) -> VarianceParts:
    """See :meth:`TagiRegressor.attribute_variance`."""
    check_is_fitted(model)
    x, x_var = model._inputs_to_predict(X, X_std)
    mixture = model._in_units(_ensemble.predict(model.nets_, x, x_var, model._encoding))
    novelty = np.zeros_like(mixture.mean)
    if model._novelty is not None:
        novelty = model._novelty.excess(x, mixture.mean)
    by_input = np.zeros((*mixture.mean.shape, x.shape[1]))
    uncertain = np.zeros(len(x), dtype=bool) if x_var is None else x_var.any(axis=1)
    if x_var is not None and uncertain.any():
        shares = _shares(model, x[uncertain], x_var[uncertain])
        by_input[uncertain] = mixture.of_inputs[uncertain, :, np.newaxis] * shares
    columns = _columns_of_inputs(model)
    belongs = np.equal.outer(columns, np.arange(model.n_features_in_)).astype(np.float64)
    parts = VarianceParts(
        inputs=by_input[:, :, model._n_indicators() :] @ belongs,
        # By rounding, the difference of two large numbers may be below 0.
        networks=np.maximum(mixture.epistemic - mixture.of_inputs, 0.0),
        novelty=novelty,
        noise=mixture.aleatoric,
        var=mixture.epistemic + novelty + mixture.aleatoric,
    )
    return VarianceParts(*(model._by_row(part) for part in parts))


def permutation_importance(
    model: TabularEstimator, X: Any, y: Any, n_repeats: Any, random_state: Any
) -> Importances:
    """See :meth:`TagiRegressor.permutation_importance`.

    What X became as a table of numbers is permuted, the inputs of a column together.
    """
    repeats = as_count("n_repeats", n_repeats, least=1)
    generator = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    check_is_fitted(model)
    n_rows, n_targets = _length(X), _length(y)
    if n_rows is not None and n_targets is not None and n_rows != n_targets:
        raise ValueError(f"y: got {n_targets} targets for {n_rows} rows of X, needed as many")
    rows, targets = model._validated(X, y, reset=False)
    columns = _columns_of_inputs(model)
    before = model._log_likelihoods(rows, targets).mean()
    falls = np.empty((model.n_features_in_, repeats))
    for column, of_column in enumerate(falls):
        own = np.flatnonzero(columns == column)
        permuted = rows.copy()
        for repeat in range(repeats):
            permuted[:, own] = rows[np.ix_(generator.permutation(len(rows)), own)]
            of_column[repeat] = before - model._log_likelihoods(permuted, targets).mean()
    return Importances(falls.mean(axis=1), falls.std(axis=1))


def _shares(model: RegressorMoments, x: Float32, x_var: Float32) -> Array:
    """Shares of the inputs, (rows, outputs, inputs), of rows all of which are uncertain."""
    var = _ensemble.var_of_each_input(model.nets_, x, x_var, model._encoding)
    total = var.sum(axis=2, keepdims=True)
    uncertain = x_var > 0
    equal = uncertain / uncertain.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(total > 0, var / total, equal[:, np.newaxis]))


def _columns_of_inputs(model: TabularEstimator) -> NDArray[np.int64]:
    """The column of X that each of ``input_names_`` comes from, (n_inputs,)."""
    columns = np.arange(model.n_features_in_)
    if model._encoder is None:
        return columns
    return np.repeat(columns, [column.n_inputs for column in model._encoder.columns])


def _length(values: Any) -> int | None:
    """Rows, None where that is not known without a closer look."""
    try:
        return len(values)
    except TypeError:
        return None
