"""Versions of the format, and what older files do not say."""

from __future__ import annotations

from typing import Any

FORMAT_VERSION = 8
"""1 had no noise that is learned and no forgetting, 2 schedules without arguments and no classes,
3 no checksum and no estimators, 4 no columns of categories and dates, no word of how files of
tables are read, no weights of classes, no indicators of missing values, no novelty, no law of
targets, and estimators that stopped on plateaus, 5 no weights of rows, 6 no encoding of columns,
and nothing of rows left out but the law, 7 networks of layers one after the other alone."""

# What every entry that an older file may lack was for it.
_NETWORK = {
    "noise": None,
    "likelihood": None,
    "forgetting": None,
    "precision": "float32",
    "training": True,
    "drift": [0.0, 0.0, 0.0, 0],
}
_IMPLIED = ("layers", "input_shape", "noise", "likelihood", "forgetting")
_SETTINGS = {
    "prediction_type": "epsilon",
    "time_features": "cosine",
    "n_classes": None,
    "class_features": "one_hot",
    "embedding_dim": 8,
    "standardize": True,
}

_TABULAR = ("TagiRegressor", "TagiClassifier")

_SCHEDULES = {
    "cosine": {"s": 0.008},
    "linear": {"beta_start": None, "beta_end": None},
    "sigmoid": {"start": -3.0, "end": 3.0, "tau": 1.0},
}


def upgrade(description: dict[str, Any], version: int) -> dict[str, Any]:
    """The description of a file of an older version as this one would have it.

    What else is wrong with it stays so, for those who read it to find.
    """
    if version >= FORMAT_VERSION:
        return description
    description = _with_input_shapes(description)
    if version == 7:
        return description
    _add_encoding(description)
    if version == 6:
        return description
    learned = description.get("learned")
    if description.get("kind") in _TABULAR and isinstance(learned, dict):
        learned = description["learned"] = {"weight_unit": 1.0, **learned}
    if version == 5:
        return description
    if isinstance(learned, dict):
        description["learned"] = _with_columns(learned)
    if description.get("kind") == "TagiClassifier":
        _add_class_weights(description)
    parameters = description.get("parameters")
    if description.get("kind") in _TABULAR and isinstance(parameters, dict):
        description["parameters"] = {"n_jobs": None, **parameters}
    if version == 4:
        description = _from_4(description)
    if description.get("kind") in ("TagiRegressor", "TagiClassifier"):
        _add_novelty(description)
    network = description.get("network")
    if isinstance(network, dict):
        network = {**_NETWORK, **network}
        if description.get("kind") == "DiffusionModel":  # what follows from the settings
            network = {key: network[key] for key in network if key not in _IMPLIED}
        else:
            network["layers"] = _with_seeds(network.get("layers"), network.get("seed"))
        description["network"] = network
    settings = description.get("settings")
    if isinstance(settings, dict):
        settings = {**_SETTINGS, **settings}
        if isinstance(settings.get("schedule"), str):
            name = settings["schedule"]
            settings["schedule"] = {"name": name, "config": _SCHEDULES.get(name, {})}
        description = {"class_shares": None, **description, "settings": settings}
        noise = description.get("noise")
        if isinstance(noise, dict) and noise.get("type", "Homoscedastic") == "Homoscedastic":
            description["noise"] = {"type": "Homoscedastic", "learn": False, **noise}
    return description


def _with_input_shapes(value: Any) -> Any:
    """A description whose networks of layers say that their inputs follow from the layers."""
    if isinstance(value, list):
        return [_with_input_shapes(each) for each in value]
    if not isinstance(value, dict):
        return value
    entries = {key: _with_input_shapes(each) for key, each in value.items()}
    network = entries.get("network")
    if isinstance(network, dict) and "layers" in network:
        entries["network"] = {"input_shape": None, **network}
    return entries


def _add_encoding(description: dict[str, Any]) -> None:
    parameters, learned = description.get("parameters"), description.get("learned")
    if description.get("kind") in _TABULAR and isinstance(parameters, dict):
        description["parameters"] = {"fast": False, **parameters}
    if description.get("kind") in _TABULAR and isinstance(learned, dict):
        learned = {"encoding": None, **learned}
        if description["kind"] == "TagiRegressor":
            learned = {"has_residuals": False, **learned}
        description["learned"] = learned


def _from_4(description: dict[str, Any]) -> dict[str, Any]:
    parameters, learned = description.get("parameters"), description.get("learned")
    if description.get("kind") in ("TagiRegressor", "TagiClassifier"):
        if isinstance(parameters, dict):
            kept = {key: parameters[key] for key in parameters if key not in ("patience", "tol")}
            description["parameters"] = kept
        if isinstance(learned, dict) and description["kind"] == "TagiRegressor":
            description["learned"] = {"has_law": False, **learned}
    return description


def _with_seeds(layers: Any, seed: Any) -> Any:
    """Containers without a seed get that of the network.

    They must have one: else they would take the next of :func:`tagix.manual_seed`, and to load a
    file would change the models that are made later.
    """
    if not isinstance(layers, list):
        return layers
    return [
        {
            "seed": seed,
            **layer,
            "layers": _with_seeds(layer.get("layers"), layer.get("seed", seed)),
        }
        if isinstance(layer, dict) and layer.get("type") == "Sequential"
        else layer
        for layer in layers
    ]


def _with_columns(learned: dict[str, Any]) -> dict[str, Any]:
    """What an estimator has learned, of columns that are the inputs of its networks."""
    model = learned.get("model")
    if isinstance(model, dict) and isinstance(model.get("settings"), dict):  # of TagiDiffusion
        learned = {"n_features": model["settings"].get("n_features"), **learned}
    else:
        learned = {"indicators": None, "table_format": None, **learned}
    return {"columns": None, **learned}


def _add_novelty(description: dict[str, Any]) -> None:
    parameters, learned = description.get("parameters"), description.get("learned")
    if isinstance(parameters, dict):
        description["parameters"] = {"novelty": True, **parameters}
    if isinstance(learned, dict):
        learned = {"novelty": None, **learned}
        if isinstance(learned.get("labels"), list):
            learned = {"counts": [0] * len(learned["labels"]), **learned}
        description["learned"] = learned


def _add_class_weights(description: dict[str, Any]) -> None:
    for key, nothing in (("parameters", None), ("learned", [])):
        if isinstance(description.get(key), dict):
            description[key] = {"class_weight": nothing, **description[key]}
