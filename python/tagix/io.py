"""Networks and diffusion models in safetensors files, architecture included."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix import _core, nn, schedules
from tagix._classes import as_class_shares
from tagix.diffusion import DiffusionModel

# 1 had no noise that is learned and no forgetting; 2 schedules without arguments and no classes.
FORMAT_VERSION = 3
_NOISE_MODELS = {
    "Homoscedastic": _core.Homoscedastic,
    "Heteroscedastic": _core.Heteroscedastic,
}


def load(path: str | os.PathLike[str], device: str = "cpu") -> nn.Sequential | DiffusionModel:
    """Read what ``save`` of a network or a diffusion model wrote.

    Args:
        path: the file.
        device: where the model is to be, "cpu" or "cuda"; files do not say where it was.

    Raises:
        TypeError: for what is no path, and for a device that is no string.
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a file of tagix, or is damaged, or the device is not there; says
            what is wrong.
    """
    from safetensors import SafetensorError, safe_open

    _core.backend_name(device)  # raises for a device that is not there
    name = _checked(path)
    if not name.exists():
        raise FileNotFoundError(f"path: got {str(name)!r}, needed a file that exists")
    if not name.is_file():
        raise ValueError(f"path: got {str(name)!r}, needed a file")
    try:
        with safe_open(str(name), framework="numpy") as file:
            # First, as the tensors of another program's file may be of types that numpy lacks.
            description = _description(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return _rebuild(description, tensors, device)
    except SafetensorError as error:
        raise ValueError(
            f"path: {str(name)!r} is not a whole safetensors file ({error})"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"path: {str(name)!r} does not hold a model of tagix ({error})") from error


def save_network(net: nn.Sequential, path: str | os.PathLike[str]) -> None:
    """Write a network; see :meth:`tagix.nn.Sequential.save`."""
    _write(path, {"kind": "Sequential", "network": _network_config(net)}, net.state_dict())


def save_diffusion(model: DiffusionModel, path: str | os.PathLike[str]) -> None:
    """Write a diffusion model; see :meth:`tagix.DiffusionModel.save`."""
    description = {
        "kind": "DiffusionModel",
        "network": _network_config(model.net),
        "settings": model._settings
        | {"schedule": {"name": model.schedule.name, "config": model.schedule.config}},
        "activation": _layer_config(model._activation),
        "noise": _config(model.noise),
        "fitted": model._fitted,
        "class_shares": None if model.class_shares is None else model.class_shares.tolist(),
        "sample_calls": model._sample_calls,
    }
    tensors = model.net.state_dict()
    tensors["standardization.shift"] = np.asarray(model._process.shift, dtype=np.float32)
    tensors["standardization.scale"] = np.asarray(model._process.scale, dtype=np.float32)
    _write(path, description, tensors)


def _write(
    path: str | os.PathLike[str],
    description: dict[str, Any],
    tensors: dict[str, NDArray[np.float32]],
) -> None:
    """Write beside the target and rename, so that a crash leaves the old file or the new one."""
    from safetensors.numpy import save

    target = _checked(path)
    metadata = {"format": "tagix", "version": str(FORMAT_VERSION)}
    metadata["description"] = json.dumps(description)
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(save(tensors, metadata=metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _checked(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path)
    except TypeError as error:
        raise TypeError(f"path: got {path!r}, needed the path of a file") from error


def _description(metadata: Mapping[str, str]) -> dict[str, Any]:
    if metadata.get("format") != "tagix":
        raise ValueError("its metadata does not name the format 'tagix'")
    version = int(metadata["version"])
    if version > FORMAT_VERSION:
        raise ValueError(f"its format version is {version}, this release reads {FORMAT_VERSION}")
    description = json.loads(metadata["description"])
    if not isinstance(description, dict):
        raise ValueError("its description is not an object")
    return description


def _rebuild(
    description: dict[str, Any], tensors: dict[str, NDArray[Any]], device: str
) -> nn.Sequential | DiffusionModel:
    network = description["network"]
    rule = _value(network["rule"], {"Information": _core.Information, "Capped": _core.Capped})
    precision = network.get("precision", "float32")  # older files name none
    if description["kind"] == "Sequential":
        layers = [_layer(config, network["seed"]) for config in network["layers"]]
        noise, forgetting = network.get("noise"), network.get("forgetting")  # not in older files
        net = nn.Sequential(
            *layers,
            seed=network["seed"],
            device=device,
            rule=rule,
            noise=None if noise is None else _value(noise, _NOISE_MODELS),
            forgetting=None
            if forgetting is None
            else _value(forgetting, {"Forgetting": _core.Forgetting}),
            precision=precision,
        )
        net.load_state_dict(tensors)
        _restore_counts(net, network)
        return net
    if description["kind"] != "DiffusionModel":
        raise ValueError(f"its kind is {description['kind']!r}")
    activation = _layer(description["activation"], network["seed"])
    if isinstance(activation, nn.Sequential):
        raise ValueError("its activation is a Sequential")
    settings = dict(description["settings"])
    if not isinstance(settings["schedule"], str):  # as it is in older files
        schedule = settings["schedule"]
        settings["schedule"] = schedules.resolve(schedule["name"], schedule["config"])
    model = DiffusionModel(
        **settings,
        activation=activation,
        noise=_value(description["noise"], _NOISE_MODELS),
        rule=rule,
        seed=network["seed"],
        device=device,
        precision=precision,
    )
    shift, scale = tensors.pop("standardization.shift"), tensors.pop("standardization.scale")
    model.net.load_state_dict(tensors)
    _restore_counts(model.net, network)
    model._process.set_standardization(shift.tolist(), scale.tolist())
    model._fitted = bool(description["fitted"])
    shares = description.get("class_shares")  # not in older files
    if shares is not None:
        model._class_shares = as_class_shares("class_shares", shares, model.n_classes or 0)
    model._sample_calls = int(description["sample_calls"])
    return model


def _network_config(net: nn.Sequential) -> dict[str, Any]:
    return {
        "layers": [_layer_config(layer) for layer in net.layers],
        "seed": net.seed,
        "rule": _config(net.rule),
        "noise": None if net.noise is None else _config(net.noise),
        "forgetting": None if net.forgetting is None else _config(net.forgetting),
        "precision": net._wanted_precision,
        "epochs_trained": net.epochs_trained,
        "drift": net._model.drift,
    }


def _restore_counts(net: nn.Sequential, network: Mapping[str, Any]) -> None:
    net._model.epochs_trained = network["epochs_trained"]
    if "drift" in network:  # not in older files
        net._model.drift = tuple(network["drift"])


def _layer_config(layer: nn.Layer | nn.Sequential) -> dict[str, Any]:
    if isinstance(layer, nn.Sequential):
        inner = [_layer_config(each) for each in layer.layers]
        return {"type": "Sequential", "layers": inner, "seed": layer.seed}
    if isinstance(layer, nn.Activation):
        raise ValueError(
            "a network with nn.Activation cannot be saved, since a file holds no functions: "
            "save its state_dict() and build the network anew"
        )
    return _config(layer)


def _layer(config: Mapping[str, Any], seed: int) -> nn.Layer | nn.Sequential:
    """A layer; a nested container without a seed, as older files have it, gets ``seed``.

    It must have one: else it would take the next of :func:`tagix.manual_seed`, and to load a file
    would change the models that are made later.
    """
    if config["type"] == "Sequential":
        seed = config.get("seed", seed)
        return nn.Sequential(*(_layer(each, seed) for each in config["layers"]), seed=seed)
    classes = {name: getattr(nn, name) for name in nn.__all__ if name != "Sequential"}
    layer: nn.Layer = _value(config, classes)
    return layer


def _config(value: Any) -> dict[str, Any]:
    """A layer, rule or noise model as its class and its constructor's arguments."""
    return {"type": type(value).__name__, **value.config}


def _value(config: Mapping[str, Any], classes: Mapping[str, Any]) -> Any:
    """What :func:`_config` described, if its class is one of ``classes``."""
    if config["type"] not in classes:
        raise ValueError(f"it has a {config['type']!r} where one of {sorted(classes)} belongs")
    return classes[config["type"]](**{key: config[key] for key in config if key != "type"})
