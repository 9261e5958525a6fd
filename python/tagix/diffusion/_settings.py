"""The settings of a diffusion model: how arguments are checked, and what is built from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tagix import _core, nn, schedules
from tagix._arrays import as_count
from tagix._classes import feature_table, n_class_features
from tagix._core import Heteroscedastic, Homoscedastic
from tagix.diffusion._defaults import default_hidden

MOST_STEPS = 100_000
"""Timesteps that a model can have: the tables of what the network sees of them are then 10 MB."""


def as_widths(hidden: Any, n_features: int) -> list[int]:
    """Widths of the hidden layers; those of :func:`default_hidden` for None.

    Raises ValueError for a width below 1, TypeError for anything but a sequence of integers.
    """
    if hidden is None:
        hidden = default_hidden(n_features)
    if isinstance(hidden, (str, bytes)) or not isinstance(hidden, Sequence):
        raise TypeError(f"hidden: got {hidden!r}, needed a sequence of widths")
    return [as_count("hidden", width, least=1) for width in hidden]


def check_activation(activation: Any) -> None:
    """Raise TypeError for anything but None and a layer that takes any number of features."""
    if activation is not None and (
        not isinstance(activation, nn.Layer) or activation.in_features is not None
    ):
        raise TypeError(f"activation: got {activation!r}, needed an activation of tagix.nn")


def as_noise(noise: Any, n_features: int) -> Homoscedastic | Heteroscedastic:
    """The noise of F, of standard deviation 1 for None.

    Raises ValueError for a number of standard deviations other than 1 and ``n_features``,
    TypeError for anything but a noise of tagix.
    """
    if noise is not None and not isinstance(noise, (Homoscedastic, Heteroscedastic)):
        raise TypeError(
            f"noise: got {noise!r}, needed tagix.Homoscedastic() or tagix.Heteroscedastic()"
        )
    checked = Homoscedastic(std=1.0) if noise is None else noise
    if isinstance(checked, Homoscedastic) and len(checked.std) not in (1, n_features):
        raise ValueError(
            f"noise: got {len(checked.std)} standard deviations, needed 1 or {n_features}"
        )
    return checked


def network_layers(settings: Mapping[str, Any], activation: nn.Layer) -> list[nn.Layer]:
    """The layers of a model of these settings, checked ones: no parameters are made yet."""
    features = settings["n_features"] + schedules.n_time_features(settings["time_features"])
    n_classes = settings["n_classes"] or 0
    layers: list[nn.Layer] = []
    if n_classes and settings["class_features"] == "embedding":
        layers.append(nn.ClassEmbedding(features, n_classes, settings["embedding_dim"]))
        features += settings["embedding_dim"]
    else:
        features += n_class_features(settings["class_features"], n_classes)
    for width in settings["hidden"]:
        layers += [nn.Linear(features, width), activation]
        features = width
    layers.append(nn.Linear(features, settings["n_features"]))
    return layers


def make_process(settings: Mapping[str, Any], device: str) -> _core.DiffusionProcess:
    """The tables of schedule, time and classes on a device, for columns that are not scaled."""
    alpha_bar = settings["schedule"].alpha_bar(settings["n_steps"])
    levels = schedules.noise_levels(alpha_bar, settings["prediction_type"])
    timesteps = np.arange(len(alpha_bar))
    features = schedules.time_features(settings["time_features"], timesteps, alpha_bar)
    return _core.DiffusionProcess(
        settings["n_features"],
        np.ascontiguousarray(levels, dtype=np.float32),
        np.ascontiguousarray(features, dtype=np.float32),
        feature_table(settings["class_features"], settings["n_classes"] or 0),
        device=device,
    )
