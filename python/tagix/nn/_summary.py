"""What a network looks like: layers, shapes, parameters, the cost of a batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from tagix import _core
from tagix.nn._inputs import Inputs


@dataclass(frozen=True)
class LayerSummary:
    """One layer of a network."""

    name: str
    """Its path, as "2" or "block.first"."""
    layer: str
    """Its class."""
    output_shape: tuple[int, ...]
    """(features,), or (channels, ...) on a grid; of an inferred noise without its outputs."""
    n_parameters: int
    """Means that it has to learn, and as many variances; of a container those within it."""


class Flops(NamedTuple):
    """Multiply-adds of the matrix products for a batch."""

    forward: int
    """Of a prediction."""
    step: int
    """Of a step of training, the prediction included."""


def known_features(topology: _core.Topology) -> int:
    """The number of columns of a row; ValueError if it is not fixed."""
    if topology.in_features is None:
        raise ValueError("input_shape: got none, needed the shape of the inputs to know all others")
    return topology.in_features


def summarize(topology: _core.Topology, model: _core.Model) -> list[LayerSummary]:
    """The layers of a network, each once."""
    sizes = {name: math.prod(shape) for _, name, shape, *_ in model.parameter_layout}
    layers: dict[str, LayerSummary] = {}
    for path, name, shape in topology.layers(known_features(topology)):
        if not path or path in layers:  # the network itself, or a layer that is used again
            continue
        n_parameters = sum(size for key, size in sizes.items() if key.startswith(f"{path}."))
        layers[path] = LayerSummary(path, name, shape, n_parameters)
    return list(layers.values())


def count_flops(topology: _core.Topology, batch_size: int) -> Flops:
    """The multiply-adds of all affine maps for a batch."""
    forward = step = 0
    for positions, n_in, n_out, is_known in topology.products(known_features(topology)):
        product = batch_size * positions * n_in * n_out
        forward += product * (2 if is_known else 3)
        step += product * (4 if is_known else 7)
    return Flops(forward, step)


def table(name: str, inputs: Inputs, topology: _core.Topology, model: _core.Model) -> str:
    """Layers, shapes and numbers of parameters as text."""
    layers = summarize(topology, model)
    total = sum(math.prod(shape) for _, _, shape, *_ in model.parameter_layout)
    shapes = inputs.shapes or {"x": (known_features(topology),)}
    rows = [("layer", "", "output", "parameters")]
    rows += [("", key, _text(shape), "") for key, shape in shapes.items()]
    rows += [
        (row.name, row.layer, _text(row.output_shape), f"{row.n_parameters:,}".replace(",", " "))
        for row in layers
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"{a:{widths[0]}}  {b:{widths[1]}}  {c:{widths[2]}}  {d:>{widths[3]}}".rstrip()
        for a, b, c, d in rows
    ]
    return "\n".join([name, *lines, f"{total:,} parameters".replace(",", " ")])


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
