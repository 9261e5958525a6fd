"""Descriptions of networks in files, and networks from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix import _core, nn
from tagix._arrays import MOST
from tagix._core import Layer
from tagix._network_state import CLASSES, EXTRAS, Progress
from tagix.io._json import Record, shown
from tagix.io._traced import rebuild_traced
from tagix.nn._tracing import as_layer

MOST_LAYERS = 10_000
"""Layers of a network, those of containers included."""
MOST_NUMBERS = 2**24
"""Of one row of a network's inputs."""

_LAYERS: dict[str, Any] = {
    name: getattr(nn, name)
    for name in nn.__all__
    if name not in ("Activation", "Concat", "Residual", "Layer")
    and isinstance(getattr(nn, name), type)
    and issubclass(getattr(nn, name), Layer)
}
_NO_DIMENSIONS = ("output_size", "scale_factor")
"""Integers among the arguments of layers that say nothing of how many parameters there are."""
_WITHOUT_PARAMETERS = (
    *(nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.MaxPool2d, nn.Upsample, nn.ZeroPad2d),
    *(nn.GroupNorm, nn.LayerNorm, nn.RMSNorm),
)
_CONTAINERS = ("Sequential", "Residual", "Concat", "Traced")


def to_file(net: nn.Network) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What :func:`tagix.io.save_model` writes: a description, and the parameters."""
    return {"network": describe_network(net)}, net.state_dict()


def describe_network(net: nn.Network) -> dict[str, Any]:
    """All that a network is made of, and has learned, except its parameters.

    Raises ValueError for what files do not hold: an nn.Activation, or too many layers.
    """
    parts: dict[str, Any]
    if isinstance(net, nn.Sequential):
        described = describe_layer(net, net.input_shape)
        layers = described["layers"]
        parts = {"layers": layers, "input_shape": net.inputs}
    else:
        shapes = list(net._inputs.shapes.values())
        layers = [_describe_module(net.module, shapes)]
        parts = {"module": layers[0], "inputs": net.inputs}
    n_layers = _count_layers(layers)
    if n_layers > MOST_LAYERS:
        raise ValueError(f"layers: got {n_layers}, a file holds at most {MOST_LAYERS}")
    extras = {name: getattr(net, name) for name in EXTRAS}
    return {
        **parts,
        **{name: None if it is None else describe_value(it) for name, it in extras.items()},
        **describe_use(net),
    }


def describe_use(net: nn.Network) -> dict[str, Any]:
    """How a network is used, whatever its layers: what :meth:`NetworkRecord.use` reads."""
    progress = net._progress
    return {
        "seed": net.seed,
        "rule": describe_value(net.rule),
        "precision": net._options.precision,
        "training": progress.training,
        "epochs_trained": progress.epochs_trained,
        "drift": progress.drift,
    }


def from_file(description: Any, tensors: Mapping[str, NDArray[Any]], device: str) -> nn.Network:
    """The network that :func:`to_file` described, with the parameters in ``tensors``.

    Raises ValueError or TypeError, before memory is taken, for a description that the tensors do
    not bear out.
    """
    record = Record(description, "model")
    network = NetworkRecord(record.take("network"), tensors)
    record.done()
    is_module = network.has("module")
    inputs = network.inputs("inputs" if is_module else "input_shape")
    layers = [network.module()] if is_module else network.layers()
    extras: dict[str, Any] = {name: network.extra(name) for name in EXTRAS}
    arguments, progress = network.use()
    net: nn.Network
    if is_module:
        net = nn.Network(layers[0], inputs, device=device, **arguments, **extras)
    else:
        net = nn.Sequential(*layers, input_shape=inputs, device=device, **arguments, **extras)
    restore(net, tensors, progress)
    return net


class NetworkRecord(Record):
    """A network's description, read beside the tensors that have to hold its parameters."""

    def __init__(self, description: Any, tensors: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(description, "network")
        wrong = [name for name in tensors if tensors[name].dtype != np.float32]
        if wrong:
            raise ValueError(f"{shown(wrong[0])}: got {tensors[wrong[0]].dtype}, needed float32")
        self.n_numbers = sum(array.size for array in tensors.values())

    def inputs(self, key: str) -> Any:
        """A shape, shapes by name, or None."""
        value = self.take(key)
        shapes = list(value.values()) if isinstance(value, dict) else [value]
        for shape in [] if value is None else shapes:
            is_shape = isinstance(shape, list) and all(type(extent) is int for extent in shape)
            if not is_shape or not 1 <= len(shape) <= 4 or min(shape) < 1:
                raise ValueError(f"{key}: got {shown(shape)}, needed a shape")
            if math.prod(shape) > MOST_NUMBERS:
                raise ValueError(
                    f"{key}: got {shown(shape)}, needed at most {MOST_NUMBERS} numbers"
                )
        return value

    def module(self) -> Any:
        """The module of a network; ValueError as :meth:`layers`."""
        described = self.take("module")
        if _count_layers([described]) > MOST_LAYERS:
            raise ValueError(f"module: got more than {MOST_LAYERS} layers")
        module = self.layer(described)
        self.check_parameters([module])
        return module

    def layers(self) -> list[Any]:
        """The layers; ValueError if they have more parameters than there are numbers for."""
        described = self.items("layers", most=MOST_LAYERS)
        if _count_layers(described) > MOST_LAYERS:
            raise ValueError(f"layers: got more than {MOST_LAYERS}")
        layers = [self.layer(each) for each in described]
        self.check_parameters(layers)
        return layers

    def layer(self, description: Any) -> Any:
        """A layer or a container; ValueError if one of its dimensions exceeds all numbers."""
        record = Record(description, "layer")
        kind = record.text("type", [*_LAYERS, *_CONTAINERS])
        if kind == "Traced":
            return rebuild_traced(record, self.n_numbers, MOST_LAYERS)
        if kind == "Concat":
            branches = [self.layer(each) for each in record.items("branches")]
            record.done()
            return nn.Concat(*branches)
        if kind == "Residual":
            body, shortcut = self.layer(record.take("body")), record.take("shortcut")
            record.done()
            return nn.Residual(body, None if shortcut is None else self.layer(shortcut))
        if kind == "Sequential":
            layers = [self.layer(each) for each in record.items("layers")]
            seed = record.count("seed", most=MOST)
            record.done()
            return nn.Sequential(*layers, seed=seed)
        arguments = record.rest()
        self._check_counts(kind, arguments)
        layer: Layer = make_whole(_LAYERS[kind], arguments)
        return layer

    def _check_counts(self, name: str, arguments: Any) -> None:
        """ValueError if a count among the arguments exceeds all numbers, and so all dimensions."""
        for key, value in arguments.items():
            if key in _NO_DIMENSIONS:
                continue
            if type(value) is int and value > self.n_numbers:
                raise ValueError(
                    f"{name}: {key}: got {value}, where all tensors have {self.n_numbers} numbers"
                )

    def check_parameters(self, layers: Iterable[Any]) -> None:
        """ValueError if the layers have more parameters than there are numbers for."""
        needed = sum(count_parameters(layer) for layer in layers)
        if needed > self.n_numbers:
            raise ValueError(
                f"layers: got layers of {needed} parameters, but the file has {self.n_numbers}"
            )

    def extra(self, name: str) -> Any:
        """One of the options in ``EXTRAS``; None if the network was made without."""
        value = self.take(name)
        if isinstance(value, dict):
            self._check_counts(name, value)  # a likelihood has fewer classes than there are numbers
        return None if value is None else rebuild_value(value, name, CLASSES[name])

    def use(self) -> tuple[dict[str, Any], Progress]:
        """Arguments of the constructor that are not in ``EXTRAS``, and what use has changed.

        The last that is read: ValueError for an entry that is left.
        """
        sums = self.items("drift", most=4)
        if len(sums) != 4:
            raise ValueError(f"network: drift: got {shown(sums)}, needed three sums and a count")
        drift = Record(dict(zip(_DRIFT, sums, strict=True)), "network: drift")
        arguments = {
            "seed": self.count("seed", most=MOST),
            "rule": rebuild_value(self.take("rule"), "rule", CLASSES["rule"]),
            "precision": self.text("precision"),
        }
        chi_square, weight, square_weight = (drift.number(name) for name in _DRIFT[:3])
        progress = Progress(
            epochs_trained=self.count("epochs_trained"),
            drift=(chi_square, weight, square_weight, drift.count(_DRIFT[3])),
            training=self.flag("training"),
        )
        self.done()
        return arguments, progress


_DRIFT = ("chi_square", "weight", "square_weight", "n_drifts")


def restore(net: nn.Network, tensors: Mapping[str, NDArray[Any]], progress: Progress) -> None:
    """Give a network its parameters and its progress."""
    net.load_state_dict(tensors)
    net._progress = progress


def count_parameters(layer: Any) -> int:
    """Means that a layer has, or variances; of containers, those of all within.

    The count takes no memory for parameters: there may be more of them than a file holds.
    """
    if isinstance(layer, nn.Traced):
        return layer.n_parameters
    if isinstance(layer, (nn.Sequential, nn.Concat, nn.Residual)):
        return sum(count_parameters(each) for each in _within(layer))
    if isinstance(layer, nn.ClassEmbedding):
        # The core lists each constant of its matrix, which takes memory before it can be counted.
        config = layer.config
        rows, columns = (config["n_values"] + config[key] for key in ("embedding_dim", "n_classes"))
        return int(rows * columns)
    if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)):  # on a grid of any size
        config = layer.config
        fan_in = config["in_channels"] * math.prod(config["kernel_size"])
        return int(config["out_channels"] * (fan_in + config["bias"]))
    if isinstance(layer, _WITHOUT_PARAMETERS):
        return 0
    topology = _core.Topology(layer, [], None)
    if topology.in_features is None:  # takes any number of features, and has no parameters
        return 0
    arrays = topology.parameters(topology.in_features)
    return sum(math.prod(array["shape"]) for array in arrays)


def describe_layer(layer: Any, input_shape: Sequence[int] | None = None) -> dict[str, Any]:
    """A layer's class and arguments; of a container, what is within, and its seed.

    Modules of a user's own are traced for their input's shape, which has to be known then.
    """
    if isinstance(layer, nn.Sequential):
        inner = []
        for each in layer.layers:
            inner.append(describe_layer(each, input_shape))
            input_shape = _output_shape(each, input_shape)
        return {"type": "Sequential", "layers": inner, "seed": layer.seed}
    if isinstance(layer, nn.Concat):
        branches = [describe_layer(each, input_shape) for each in layer.branches]
        return {"type": "Concat", "branches": branches}
    if isinstance(layer, nn.Residual):
        config = layer.config
        return {"type": "Residual"} | {
            name: None if config[name] is None else describe_layer(config[name], input_shape)
            for name in ("body", "shortcut")
        }
    if isinstance(layer, nn.Module):
        if input_shape is None:
            raise ValueError(
                f"a network with {type(layer).__name__} was made without input_shape, which a file "
                "needs of it"
            )
        return _describe_module(layer, [input_shape])
    if isinstance(layer, nn.Activation):
        raise ValueError(
            "a network with nn.Activation cannot be saved, since a file holds no functions: "
            "save its state_dict() and build the network anew"
        )
    return describe_value(layer)


def _describe_module(module: Any, shapes: Sequence[Sequence[int]]) -> dict[str, Any]:
    """What a network computes, by configuration where all of it is built in."""
    if not isinstance(module, nn.Module):
        return describe_layer(module, shapes[0])
    traced: nn.Traced = module  # type: ignore[assignment]
    if not isinstance(module, nn.Traced):
        traced = nn.Traced.of(as_layer(module), shapes)
    return {"type": "Traced", **traced.describe()}


def _output_shape(layer: Any, input_shape: Sequence[int] | None) -> tuple[int, ...] | None:
    """The shape that a layer gives, where that of its input or its own are known."""
    core = as_layer(layer)
    if input_shape is None:
        if core.in_features is None:
            return None
        input_shape = (core.in_features,)
    topology = _core.Topology(core, [list(input_shape)], None)
    return topology.output_shape(math.prod(input_shape))


def _within(layer: Any) -> list[Any]:
    """The layers that a container is made of."""
    if isinstance(layer, nn.Sequential):
        return list(layer.layers)
    if isinstance(layer, nn.Concat):
        return list(layer.branches)
    return [each for each in layer.config.values() if each is not None]


def _count_layers(layers: Any) -> int:
    """Layers in a description, containers and what is within; nothing of it need be right."""
    if not isinstance(layers, list):
        return 0
    count = len(layers)
    for each in layers:
        if isinstance(each, dict):
            inner = each.get("type") != "Traced" and each.get("layers")
            count += _count_layers(inner) + _count_layers(each.get("branches"))
            count += _count_layers(each.get("nodes"))
            count += sum(
                _count_layers([each[key]]) for key in ("body", "shortcut") if each.get(key)
            )
    return count


def describe_value(value: Any) -> dict[str, Any]:
    """A layer, rule or noise model as its class and its constructor's arguments."""
    return {"type": type(value).__name__, **value.config}


def rebuild_value(description: Any, name: str, classes: Mapping[str, Any]) -> Any:
    """What :func:`describe_value` described, if its class is one of ``classes``."""
    record = Record(description, name)
    kind = record.text("type", classes)
    return make_whole(classes[kind], record.rest())


def make_whole(cls: Any, arguments: dict[str, Any]) -> Any:
    """``cls(**arguments)``; ValueError if an argument is missing that has a default, too."""
    value = cls(**arguments)
    missing = [key for key in value.config if key not in arguments]
    if missing:
        raise ValueError(f"{cls.__name__}: {missing[0]} is missing")
    return value
