"""Scores of predictions for rows that networks have not learned: of numbers and of labels."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tagix import nn
from tagix._core import OneVsRest
from tagix.sklearn import _ensemble
from tagix.sklearn._encoding import Encoding
from tagix.sklearn._law import TailedLaw, constant_loss, fit_law
from tagix.sklearn._probits import fit_link, log_loss, loss_of_more, probabilities
from tagix.sklearn._residuals import Residuals
from tagix.sklearn._table_training import Verdict

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Rows = NDArray[np.intp]

# Squared errors of more networks are at least this share of those of a few. Networks that have
# hardly begun differ most, and to trust in their mean chose budgets too small to predict well.
LEAST_SAVED = 0.9
# From so many standard deviations on a target may do more harm than good.
FAR = 8.0


@dataclass(frozen=True)
class RegressionJudge:
    """Judges by the likelihood of the law fitted to the held-out rows.

    Attributes:
        x, x_var: inputs, and their variances where any are uncertain.
        y: targets (rows, outputs), in the units of ``center`` and ``scale``.
        center, scale: (outputs,), the units that networks see targets in.
        n_networks: how many there will be in the mixture.
        varies: (outputs,), whether networks learn the output at all; other outputs count as known.
        encoding: what networks see of rows.
        weight: (rows,), by which rows count; None: all alike.
    """

    x: Float32
    x_var: Float32 | None
    y: Array
    center: Array
    scale: Array
    n_networks: int
    varies: NDArray[np.bool_]
    encoding: Encoding
    weight: Array | None = None

    def folds(self, n_folds: int, seed: int) -> NDArray[np.intp]:
        """The number of the part that each row belongs to, by chance."""
        return np.random.default_rng(seed).permutation(len(self.y)) % n_folds

    def predict(self, net: nn.Sequential, rows: Rows) -> Array:
        """Means, variances without unknown inputs and due to them, (rows, 3, outputs)."""
        x_var = None if self.x_var is None else self.x_var[rows]
        mixture = _ensemble.predict([net], self.x[rows], x_var, self.encoding)
        own = mixture.var - mixture.of_inputs
        known = np.zeros_like(own), np.ones_like(own), np.zeros_like(own)
        learned = mixture.mean, own, mixture.of_inputs
        return np.where(self.varies, np.stack(learned, axis=1), np.stack(known, axis=1))

    def judge(self, predictions: Array, rows: Rows, fold: NDArray[np.intp]) -> Verdict[TailedLaw]:
        """The worth of predictions (networks, rows, 3, outputs).

        With variance b between networks, the mean squared error of a mixture of n networks is
        b (1/k - 1/n) less than that of k networks, and b (1 - 1/n) counts as its own variance.
        """
        y, weight = self.y[rows], _of_rows(self.weight, rows)
        means = predictions[:, :, 0]
        mean, var, of_inputs = predictions.mean(axis=0).swapaxes(0, 1)
        saved = np.ones(y.shape[1])
        if len(means) > 1:
            between = means.var(axis=0, ddof=1)
            var = var + between * (1.0 - 1.0 / self.n_networks)
            change = np.average(between, axis=0, weights=weight)
            change = change * (1.0 / len(means) - 1.0 / self.n_networks)
            squared_error = np.average((y - mean) ** 2, axis=0, weights=weight)
            share = change / np.where(squared_error > 0, squared_error, 1.0)
            saved = np.maximum(LEAST_SAVED, 1.0 - share)
        law, loss = fit_law(y, mean, var, self.center, self.scale, saved, of_inputs, weight)
        mean, var = mean * self.scale + self.center, var * self.scale**2
        std = np.sqrt(law.var(mean, var) + of_inputs * self.scale**2)
        # Of as many networks as there will be, as the law's are.
        errors = (y * self.scale + self.center - mean) * np.sqrt(saved) / std
        constant = constant_loss(y, self._constants(fold)[rows], weight)
        return Verdict(loss, constant, law, Residuals.of(errors, weight))

    def _constants(self, fold: NDArray[np.intp]) -> Array:
        """The median of the targets in all other parts, for each row."""
        medians = [
            np.median(self.y[fold != k], axis=0) if (fold != k).any() else np.zeros(self.y.shape[1])
            for k in range(fold.max() + 1)
        ]
        return np.stack(medians)[fold]


def moved_in(y: Array) -> Array | None:
    """Targets (rows, outputs) with outliers moved in; None if there are no outliers.

    Outliers lie more than FAR standard deviations from the median, for a Gaussian with the same
    inner 80 %. They are moved to this distance.
    """
    low, middle, high = np.quantile(y, [0.1, 0.5, 0.9], axis=0)
    reach = FAR * (high - low) / (2.0 * NormalDist().inv_cdf(0.9))
    reach = np.where(reach > 0, reach, np.inf)
    if not (np.abs(y - middle) > reach).any():
        return None
    return np.clip(y, middle - reach, middle + reach)


@dataclass(frozen=True)
class LabelJudge:
    """Judges by the mean logarithm of the label's probability.

    For :class:`tagix.OneVsRest` the link is fitted to the held-out rows.

    Attributes:
        x, x_var: inputs, and their variances where any are uncertain.
        labels: numbers of classes (rows,).
        n_networks: how many there will be in the mixture.
        encoding: what networks see of rows.
        weight: (rows,), by which rows count; None: all alike.
    """

    x: Float32
    x_var: Float32 | None
    labels: NDArray[np.int64]
    n_networks: int
    encoding: Encoding
    weight: Array | None = None

    def folds(self, n_folds: int, seed: int) -> NDArray[np.intp]:
        """The number of the part that each row belongs to: of each class about the same share."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        order = order[np.argsort(self.labels[order], kind="stable")]
        fold = np.empty(len(order), np.intp)
        fold[order] = np.arange(len(order)) % n_folds
        return fold

    def predict(self, net: nn.Sequential, rows: Rows) -> Array:
        """Probabilities of the labels, (rows,); of OneVsRest outputs, (rows, 2, classes)."""
        x_var = None if self.x_var is None else self.x_var[rows]
        if isinstance(net.likelihood, OneVsRest):
            outputs = _ensemble.predict([net], self.x[rows], x_var, self.encoding)
            return np.stack([outputs.mean, outputs.epistemic], axis=1)
        of_classes = _ensemble.predict_proba([net], self.x[rows], x_var, self.encoding)
        return np.asarray(of_classes[np.arange(len(rows)), self.labels[rows]])

    def judge(
        self, predictions: Array, rows: Rows, fold: NDArray[np.intp]
    ) -> Verdict[OneVsRest | None]:
        """The worth of what networks predict, (networks, rows) or (networks, rows, 2, classes).

        The only row of a class is not scored: without it, no network can expect its class.
        """
        labels = self.labels[rows]
        counted = np.bincount(self.labels)[labels] > 1
        if not counted.any():
            counted = np.ones(len(rows), dtype=bool)
        constants = np.empty(len(rows))
        for k in np.unique(fold[rows]):
            others = fold != k
            weight = None if self.weight is None else self.weight[others]
            counts = np.bincount(self.labels[others], weight, self.labels.max() + 1)
            left = fold[rows] == k
            constants[left] = (counts / max(counts.sum(), 1.0))[labels[left]]
        weight = _of_rows(self.weight, rows[counted])
        labels, law = labels[counted], None
        if predictions.ndim > 2:
            mean, var = np.moveaxis(predictions[:, counted], 2, 0)
            law = fit_link(labels, mean, var, weight, self.n_networks)
            of_labels = probabilities(law, mean, var)[:, np.arange(len(labels)), labels]
        else:
            of_labels = predictions[:, counted]
        loss = loss_of_more(of_labels, weight, self.n_networks)
        return Verdict(loss, log_loss(constants[counted], weight), law)


def _of_rows(weight: Array | None, rows: Rows) -> Array | None:
    """Weights of some rows, of mean 1."""
    return None if weight is None else weight[rows] / weight[rows].mean()
