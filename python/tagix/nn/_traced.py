"""Modules as lists of operations, as files keep modules that users wrote."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tagix import _core
from tagix.nn._tracing import Value
from tagix.nn.module import Module

ACTIVATIONS: dict[str, Callable[..., _core.Layer]] = {
    cls.__name__: cls
    for cls in (
        _core.Identity,
        _core.ReLU,
        _core.LeakyReLU,
        _core.Hardtanh,
        _core.Sigmoid,
        _core.Tanh,
        _core.Softplus,
        _core.SiLU,
        _core.GELU,
        _core.Exp,
    )
}


class Traced(Module):
    """A module that was written down as a list of operations, as files keep it.

    :func:`tagix.load` gives one for each :class:`Module` that a user wrote, because files hold no
    classes. It computes the same function and has the same parameters.
    """

    def __init__(
        self,
        nodes: Sequence[Mapping[str, Any]],
        parameters: Sequence[Mapping[str, Any]],
        layers: Sequence[tuple[str, str, Sequence[int]]],
    ) -> None:
        self._nodes = [dict(node) for node in nodes]
        self._parameters = [dict(parameter) for parameter in parameters]
        self._records = list(layers)

    @classmethod
    def of(cls, layer: _core.Layer, inputs: Sequence[Sequence[int]]) -> Traced:
        """A layer traced for these input shapes; ValueError for an :class:`Activation` in it."""
        topology = _core.Topology(layer, [list(shape) for shape in inputs], None)
        n_columns = sum(math.prod(shape) for shape in inputs)
        records = [record for record in topology.layers(n_columns) if record[0]]
        return cls(topology.nodes(n_columns), topology.parameters(n_columns), records)

    def describe(self) -> dict[str, Any]:
        """The constructor's arguments, as lists, dicts, numbers and strings."""
        return {
            "nodes": self._nodes,
            "parameters": self._parameters,
            "layers": [list(record) for record in self._records],
        }

    @property
    def n_parameters(self) -> int:
        """The number of its means, including constant ones."""
        return sum(math.prod(parameter["shape"]) for parameter in self._parameters)

    def __repr__(self) -> str:
        return f"Traced({len(self._nodes)} operations)"

    def forward(self, *inputs: Value, **named: Value) -> Value:
        """Write the operations down again."""
        given = [*inputs, *named.values()]
        frame = given[0]._frame
        builder = frame.builder()
        first_columns, column = {}, 0
        for value in given:
            first_columns[column] = value._number
            column += math.prod(value.shape)
        arrays = [
            builder.parameter(
                name=each["name"],
                shape=each["shape"],
                prior_std=each["prior_std"],
                constants=each["constants"],
                memory_axes=each.get("memory_axes", []),
            )
            for each in self._parameters
        ]
        numbers: list[int] = []
        for node in self._nodes:
            xs = [numbers[x] for x in node["inputs"]]
            numbers.append(self._write(builder, node, xs, first_columns, arrays))
            if builder.shape(numbers[-1]) != tuple(node["shape"]):
                raise ValueError(
                    f"nodes: got {node['op']} of shape {tuple(node['shape'])}, needed "
                    f"{builder.shape(numbers[-1])}"
                )
        for path, name, shape in self._records:
            builder.record(path, name, shape)
        return Value(frame, numbers[-1])

    @staticmethod
    def _write(
        builder: _core.GraphBuilder,
        node: Mapping[str, Any],
        xs: list[int],
        first_columns: Mapping[int, int],
        arrays: list[int],
    ) -> int:
        op, shape = node["op"], node["shape"]
        taps = node.get("taps")
        if taps is not None:
            taps = (taps["kind"], taps["numbers"], taps["weight"])
        if op == "input":
            if node["first_column"] not in first_columns:
                raise ValueError(f"nodes: got no input at column {node['first_column']}")
            return first_columns[node["first_column"]]
        if op == "affine":
            bias = None if node["bias"] is None else arrays[node["bias"]]
            return builder.affine(xs[0], arrays[node["weight"]], bias, taps)
        if op == "activate":
            function = dict(node["function"])
            layer = ACTIVATIONS[function.pop("type")](**function)
            activated = builder.write(layer, xs)
            return builder.add(xs[0], activated) if node["residual"] else activated
        if op == "concat":
            return builder.concat(xs)
        if op == "slice":
            return builder.slice(xs[0], node["first_channel"], shape[0])
        if op == "reshape":
            return builder.reshape(xs[0], shape)
        if op == "mix":
            return builder.broadcast(xs[0], shape[1:]) if taps is None else builder.mix(xs[0], taps)
        if op == "largest":
            assert taps is not None
            return builder.largest(xs[0], taps)
        if op == "normalise":
            keys = ("groups", "per_position", "centred", "exact", "eps")
            return builder.normalise(xs[0], *(node[key] for key in keys))
        if op == "product":
            return builder.product(xs[0], xs[1])
        if len(xs) == 1:  # an input that is the output
            return xs[0]
        return builder.add(xs[0], xs[1])
