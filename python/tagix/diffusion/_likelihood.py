"""How likely rows are under a diffusion model: their density, and the probabilities of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix import likelihood
from tagix._arrays import as_count, as_points, refuse_gpu
from tagix._classes import as_class_shares, as_labels
from tagix._denoising_likelihood import class_log_likelihoods
from tagix._seeds import check_seed
from tagix.diffusion._parts import Parts
from tagix.diffusion._predicting import network_input


def log_prob(
    model: Parts, X: ArrayLike, labels: ArrayLike | None, *, n_steps: int
) -> NDArray[np.float64]:
    """:meth:`tagix.DiffusionModel.log_prob`, which calls it."""
    refuse_gpu("log_prob", X=X)
    rows = as_points("X", X, model.n_features)
    n_steps = as_count("n_steps", n_steps, least=1)
    classes = None
    if labels is not None:
        classes = as_labels("labels", labels, len(rows), model.n_classes)
    model._check_fitted("log_prob")

    def predict(x: NDArray[np.float64], t: NDArray[np.float64]) -> tuple[Any, Any]:
        inputs = network_input(model, x.astype(np.float32), t, classes)
        slopes = model.net._model.jacobian(inputs, n_inputs=model.n_features)
        return model.net(inputs).mean, slopes

    scale = model.scale.astype(np.float64)
    density = likelihood.log_prob(
        predict,
        (rows - model.shift) / scale,
        model.alpha_bar,
        prediction_type=model.prediction_type,
        n_steps=n_steps,
    )
    return np.asarray(density - np.log(scale).sum())


def predict_proba(
    model: Parts, X: ArrayLike, *, n_draws: int, class_shares: ArrayLike | None, seed: int
) -> NDArray[np.float64]:
    """:meth:`tagix.DiffusionModel.predict_proba`, which calls it."""
    refuse_gpu("predict_proba", X=X)
    rows = as_points("X", X, model.n_features)
    n_draws = as_count("n_draws", n_draws, least=1)
    generator = np.random.default_rng(check_seed(seed))
    if model.n_classes is None:
        raise ValueError("n_classes: got a model without classes, needed one that knows them")
    shares = np.full(model.n_classes, 1.0) if model._class_shares is None else model._class_shares
    if class_shares is not None:
        shares = as_class_shares("class_shares", class_shares, model.n_classes)
    model._check_fitted("predict_proba")

    def predict(x_t: Any, t: NDArray[np.int64], label: int) -> tuple[Any, Any]:
        prediction = model.net(network_input(model, x_t.astype(np.float32), t, label))
        return prediction.mean, prediction.epistemic

    log_likelihoods = class_log_likelihoods(
        predict,
        (rows - model.shift) / model.scale,
        model.n_classes,
        model.alpha_bar,
        model.prediction_type,
        n_draws,
        generator,
    )
    with np.errstate(divide="ignore"):  # a share of 0
        scores = log_likelihoods + np.log(shares / shares.sum())
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
