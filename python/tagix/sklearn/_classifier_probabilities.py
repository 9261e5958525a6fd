"""Probabilities of classes: those of the networks, novelty, and class weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from tagix.sklearn import _ensemble
from tagix.sklearn._classifier_labels import ClassifierLabels
from tagix.sklearn._probits import LEAST_PROBABILITY

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


class ClassifierProbabilities(ClassifierLabels):
    """A classifier that predicts the probability of each label."""

    @property
    def class_weight_(self) -> Array:
        """The factor on the probability of each of ``classes_``, (n_classes,)."""
        check_is_fitted(self)
        return np.array([self._weight_of.get(label, 1.0) for label in self.classes_.tolist()])

    def _probabilities(self, x: Float32, x_var: Float32 | None) -> Array:
        """Of ``classes_``, for standardized inputs."""
        probabilities = _ensemble.predict_proba(self.nets_, x, x_var, self._encoding)
        probabilities = probabilities[:, self._columns]
        if len(self._columns) < len(self._labels):  # what is left of a class that does not exist
            total = probabilities.sum(axis=1, keepdims=True)
            tiny = np.finfo(np.float64).tiny
            probabilities = (probabilities + tiny) / (total + tiny * len(self._columns))
        if self._novelty is not None:
            unknown = self._novelty.chance_to_exceed(x)
            probabilities += unknown * (self._shares() - probabilities)
        return probabilities

    def _shares(self) -> Array:
        """Of ``classes_`` in the last fit, with one row more of each."""
        counts = np.array([self._counts.get(label, 0) + 1.0 for label in self.classes_.tolist()])
        return np.asarray(counts / counts.sum())

    def _weighted(self, probabilities: Array) -> Array:
        """Probabilities of ``classes_`` by ``class_weight_``."""
        return reweighted(probabilities, self.class_weight_) if self._weight_of else probabilities

    def _log_likelihoods(self, rows: Array, targets: NDArray[Any]) -> Array:
        columns = self._column_of_label()
        unknown = [label for label in dict.fromkeys(targets.tolist()) if label not in columns]
        if unknown:
            raise ValueError(f"y: got labels {unknown}, needed those of classes_, {self.classes_}")
        probabilities = self._weighted(self._probabilities(*self._x_scaler.inputs(rows)))
        of_label = probabilities[np.arange(len(rows)), [columns[y] for y in targets.tolist()]]
        return np.asarray(np.log(np.maximum(of_label, LEAST_PROBABILITY)))


def reweighted(probabilities: Array, weights: Array) -> Array:
    """Probabilities (..., classes) times weights, made to add up to 1 again."""
    tiny = np.finfo(np.float64).tiny  # where all are 0
    weighted = probabilities * (weights / weights.max()) + tiny
    return np.asarray(weighted / weighted.sum(axis=-1, keepdims=True))
