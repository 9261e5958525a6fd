"""Two classes that overlap, and small diffusion models that are conditioned on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from helpers import Array

import tagix as tx

CLASS_FEATURES = ("one_hot", "sinusoidal", "embedding")
PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")

# Two classes that overlap: means and standard deviations of their columns, (class, column).
MEANS = np.array([[-1.0, 0.0], [1.0, 0.5]])
STDS = np.array([[0.8, 0.6], [0.6, 0.9]])


def two_classes(n_rows: int, seed: int = 0, share: float = 0.5) -> tuple[Array, Array]:
    """Rows (n_rows, 2) float32 and their classes, a ``share`` of them 1."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(n_rows) < share).astype(np.int64)
    x = MEANS[labels] + STDS[labels] * generator.standard_normal((n_rows, 2))
    return x.astype(np.float32), labels


def posterior(x: Array, shares: tuple[float, float] = (0.5, 0.5)) -> Array:
    """p(class | x) of two_classes by Bayes' theorem, (rows, 2)."""
    z = (x[:, np.newaxis].astype(np.float64) - MEANS) / STDS
    scores = -0.5 * (z**2).sum(axis=2) - np.log(STDS).sum(axis=1) + np.log(shares)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def small(seed: int = 0, **options: Any) -> tx.DiffusionModel:
    """A model of two columns and two classes."""
    settings = {
        "hidden": (16, 16),
        "n_steps": 10,
        "n_classes": 2,
        "prediction_type": "epsilon",
    } | options
    return tx.DiffusionModel(2, seed=seed, **settings)


def fitted(**options: Any) -> tx.DiffusionModel:
    """Such a model after two epochs of 400 rows."""
    model = small(**options)
    model.fit(*two_classes(400), n_epochs=2, batch_size=32, progress=False)
    return model
