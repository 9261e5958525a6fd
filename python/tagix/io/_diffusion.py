"""Descriptions of diffusion models in files, and models from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from tagix import nn, schedules
from tagix._arrays import MOST, as_count
from tagix._classes import MOST_CLASSES, ClassFeatures, as_class_shares
from tagix._data_units import DataUnits
from tagix._network_state import CLASSES
from tagix.diffusion import MOST_STEPS, DiffusionModel, network_layers
from tagix.io._json import Record
from tagix.io._networks import (
    MOST_LAYERS,
    NetworkRecord,
    describe_layer,
    describe_use,
    describe_value,
    rebuild_value,
    restore,
)

_SHIFT, _SCALE = "standardization.shift", "standardization.scale"
# float64, and only of models that have them: earlier releases read all other files.
_OFFSET, _CONSTANT = "standardization.offset", "standardization.constant"


def to_file(
    model: DiffusionModel,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """All that a model is made of, and its arrays: those of the network, and its units.

    Raises ValueError for a model with an nn.Activation.
    """
    schedule = model.schedule
    description = {
        "network": describe_use(model.net),  # its layers follow from the settings
        "settings": model._settings
        | {"schedule": {"name": schedule.name, "config": schedule.config}},
        "activation": describe_layer(model._activation),
        "noise": describe_value(model.noise),
        "fitted": model._fitted,
        "class_shares": None if model.class_shares is None else model.class_shares.tolist(),
        "sample_calls": model._sample_calls,
    }
    shift = np.asarray(model._process.shift, dtype=np.float32)
    tensors: dict[str, NDArray[Any]] = model.net.state_dict() | {
        _SHIFT: shift,
        _SCALE: model.scale,
    }
    units = model._units
    if units.offset.any() or units.constant.any():
        tensors |= {_OFFSET: units.offset, _CONSTANT: units.constant.astype(np.float64)}
    return description, tensors


def from_file(description: Any, tensors: Mapping[str, NDArray[Any]], device: str) -> DiffusionModel:
    """The model that :func:`to_file` described.

    Raises ValueError or TypeError, before memory is taken, for a description that the tensors do
    not bear out.
    """
    record = Record(description, "model")
    parameters = dict(tensors)
    offset, constant = (parameters.pop(name, None) for name in (_OFFSET, _CONSTANT))
    network = NetworkRecord(record.take("network"), parameters)
    arguments, progress = network.use()
    activation = network.layer(record.take("activation"))
    if isinstance(activation, nn.Sequential):
        raise ValueError("its activation is a Sequential")
    settings = _settings(record.record("settings"), network.n_numbers)
    network.check_parameters(network_layers(settings, activation))
    data_units = _data_units(offset, constant, settings["n_features"])
    units = [_units(parameters, name, settings["n_features"]) for name in (_SHIFT, _SCALE)]
    noise = rebuild_value(record.take("noise"), "noise", CLASSES["noise"])
    fitted, sample_calls = record.flag("fitted"), record.count("sample_calls")
    shares = record.take("class_shares")
    record.done()

    model = DiffusionModel(
        **settings, activation=activation, noise=noise, device=device, **arguments
    )
    restore(model.net, parameters, progress)
    model._process.set_standardization(*units)
    model._fitted, model._units = fitted, data_units
    if shares is not None:
        model._class_shares = as_class_shares("class_shares", shares, model.n_classes or 0)
    model._sample_calls = sample_calls
    return model


def _units(tensors: dict[str, NDArray[Any]], name: str, n_features: int) -> list[float]:
    """Takes the shifts or the scales of the columns out of the tensors."""
    if name not in tensors:
        raise ValueError(f"{name} is missing")
    array = tensors.pop(name)
    if array.shape != (n_features,):
        raise ValueError(f"{name}: got {len(array)} numbers, needed {n_features}")
    values: list[float] = array.tolist()
    return values


def _data_units(
    offset: NDArray[Any] | None, constant: NDArray[Any] | None, n_features: int
) -> DataUnits:
    if offset is None and constant is None:
        return DataUnits.plain(n_features)
    for name, array in ((_OFFSET, offset), (_CONSTANT, constant)):
        if array is None or array.shape != (n_features,) or array.dtype != np.float64:
            raise ValueError(f"{name}: got {array!r:.80}, needed float64 ({n_features},)")
    assert offset is not None and constant is not None
    if not np.isfinite(offset).all() or not np.isin(constant, (0.0, 1.0)).all():
        raise ValueError(f"{_OFFSET}, {_CONSTANT}: got NaN, infinity or a flag that is not 0 or 1")
    return DataUnits(offset, constant == 1.0)


def _settings(record: Record, n_numbers: int) -> dict[str, Any]:
    """The constructor's arguments, bounded by how many numbers the tensors have."""
    n_classes = record.take("n_classes")
    kind = record.text("class_features", get_args(ClassFeatures))
    if n_classes is not None:
        most = MOST_CLASSES if kind == "sinusoidal" else min(MOST_CLASSES, n_numbers)
        n_classes = as_count("n_classes", n_classes, least=1, most=most)
    hidden = record.items("hidden", most=MOST_LAYERS)
    learns_vectors = n_classes is not None and kind == "embedding"
    described = record.record("schedule")
    name, config = described.text("name"), described.record("config").rest()
    described.done()
    schedule = schedules.resolve(name, config)
    if set(schedule.config) != set(config):
        raise ValueError(f"schedule: got {sorted(config)}, needed {sorted(schedule.config)}")
    settings = {
        "n_features": record.count("n_features", least=1, most=n_numbers),
        "hidden": [as_count("hidden", width, least=1, most=n_numbers) for width in hidden],
        "n_steps": record.count("n_steps", least=2, most=MOST_STEPS),
        "schedule": schedule,
        "prediction_type": record.text("prediction_type"),
        "time_features": record.text("time_features", get_args(schedules.TimeFeatures)),
        "n_classes": n_classes,
        "class_features": kind,
        "embedding_dim": record.count(
            "embedding_dim", least=1, most=n_numbers if learns_vectors else MOST
        ),
        "standardize": record.flag("standardize"),
    }
    record.done()
    return settings
