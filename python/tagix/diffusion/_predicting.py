"""What the network of a diffusion model predicts in noisy rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix import schedules
from tagix._arrays import as_matrix, as_timesteps
from tagix._classes import UNKNOWN, as_labels, feature_table
from tagix.diffusion._parts import Parts
from tagix.gaussian import Prediction
from tagix.nn._predicting import VarianceKind


def predict(
    model: Parts, x_t: ArrayLike, t: ArrayLike, labels: ArrayLike | None, variance: VarianceKind
) -> Prediction:
    """:meth:`tagix.DiffusionModel.predict`, which calls it."""
    noisy = as_matrix("x_t", x_t)
    if noisy.shape[1] != model.n_features:
        raise ValueError(f"x_t: got {noisy.shape[1]} columns, needed {model.n_features}")
    if not np.isfinite(noisy).all():
        raise ValueError("x_t: got NaN or infinity, needed finite numbers")
    prediction: Prediction = model.net(network_input(model, noisy, t, labels), variance=variance)
    return prediction


def network_input(
    model: Parts, noisy: NDArray[np.float32], t: ArrayLike, labels: ArrayLike | None
) -> NDArray[np.float32]:
    """Rows [x_t, time features, class features], float32 (rows, inputs of the network).

    Args:
        model: whose network is to see the rows.
        noisy: x_t, (rows, n_features), in standardized units.
        t: timesteps, (rows,), in [0, n_steps - 1].
        labels: classes, integers (rows,) or one for all, -1 for none; None: none has one.

    Raises:
        ValueError, TypeError: for timesteps or classes of wrong shapes or out of range.
    """
    timesteps = as_timesteps("t", t, len(noisy), model.n_steps)
    table = feature_table(model._settings["class_features"], model.n_classes or 0)
    classes = np.full(len(noisy), UNKNOWN)
    if labels is not None:
        classes = as_labels("labels", labels, len(noisy), model.n_classes)
    features = schedules.time_features(model._settings["time_features"], timesteps, model.alpha_bar)
    # Row -1 of the table, its last, is for rows without a class.
    return np.hstack([noisy, features.astype(np.float32), table[classes]])
