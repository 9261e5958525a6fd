"""Lists of operations in files."""

from __future__ import annotations

import math
from typing import Any

from tagix.io._json import Record, shown
from tagix.nn._traced import ACTIVATIONS, Traced

_OPERATIONS = (
    "input", "affine", "activate", "mix", "add", "concat", "slice", "reshape", "product",
    "largest", "normalise",
)  # fmt: skip
# How many values an operation reads; None: any number but none.
_N_INPUTS = {"input": 0, "add": None, "concat": None, "product": 2}
_KINDS_OF_TAPS = ("window", "transposed_window", "nearest", "linear_interpolation", "broadcast")
_MOST_POSITIONS = 2**20
_MOST_NUMBERS = 2**31


def rebuild_traced(record: Record, n_numbers: int, most: int) -> Traced:
    """The module that ``Traced.describe`` described.

    Raises ValueError for more than ``most`` operations, arrays of more than ``n_numbers``
    parameters, and for anything but operations on values of earlier ones. Whether shapes fit is
    checked when the module is written down.
    """
    parameters = [_parameter(each, n_numbers) for each in record.items("parameters", most=most)]
    names = {parameter["name"] for parameter in parameters}
    if len(names) < len(parameters):
        raise ValueError("parameters: got a name twice")
    if sum(math.prod(parameter["shape"]) for parameter in parameters) > n_numbers:
        raise ValueError(f"parameters: got more than the {n_numbers} that the tensors have")
    nodes: list[dict[str, Any]] = []
    for each in record.items("nodes", most=most):
        nodes.append(_node(each, len(nodes), len(parameters)))
    if not nodes:
        raise ValueError("nodes: got none, needed at least 1")
    layers = [_layer(each) for each in record.items("layers", most=most)]
    record.done()
    return Traced(nodes, parameters, layers)


def _parameter(description: Any, n_numbers: int) -> dict[str, Any]:
    record = Record(description, "parameter")
    name, prior_std = record.text("name"), record.number("prior_std")
    shape = _counts(record, "shape", least=1, most=max(n_numbers, 1))
    if not 1 <= len(shape) <= 4 or math.prod(shape) > n_numbers:
        raise ValueError(f"parameter: shape: got {shown(shape)}, needed one to four extents")
    axes = {}
    if record.has("memory_axes"):
        axes["memory_axes"] = _counts(record, "memory_axes", least=0, most=len(shape) - 1)
        if sorted(axes["memory_axes"]) != list(range(len(shape))):
            raise ValueError(f"parameter: memory_axes: got {shown(axes['memory_axes'])}")
    if not 0 <= prior_std <= 1e15:
        raise ValueError(f"parameter: prior_std: got {prior_std}, needed one in [0, 1e15]")
    constants = []
    for constant in record.items("constants", most=math.prod(shape)):
        if not isinstance(constant, list) or len(constant) != 2:
            raise ValueError(f"constant: got {shown(constant)}, needed a position and a value")
        pair = Record({"position": constant[0], "value": constant[1]}, "constant")
        position = pair.count("position", most=math.prod(shape) - 1)
        constants.append((position, pair.number("value")))
    record.done()
    return {
        "name": name,
        "shape": shape,
        "prior_std": prior_std,
        "constants": constants,
        **axes,
    }


def _node(description: Any, number: int, n_parameters: int) -> dict[str, Any]:
    """An operation on values of those before it, of which there are ``number``."""
    record = Record(description, "node")
    op = record.text("op", _OPERATIONS)
    node: dict[str, Any] = {"op": op, "path": record.text("path")}
    node["inputs"] = _counts(record, "inputs", least=0, most=number - 1)
    n_inputs = _N_INPUTS.get(op, 1)
    if (len(node["inputs"]) if n_inputs is None else n_inputs) != len(node["inputs"]) or (
        n_inputs is None and not node["inputs"]
    ):
        raise ValueError(f"node: inputs: got {shown(node['inputs'])} for {op}")
    node["shape"] = _counts(record, "shape", least=1, most=_MOST_NUMBERS)
    if not node["shape"] or math.prod(node["shape"]) > _MOST_NUMBERS:
        raise ValueError(f"node: shape: got {shown(node['shape'])}")
    if math.prod(node["shape"][1:]) > _MOST_POSITIONS:
        raise ValueError(f"node: shape: got {shown(node['shape'])}, needed a smaller grid")
    if op == "largest" or (op in ("affine", "mix") and record.has("taps")):
        node["taps"] = _taps(record.record("taps"))
    if op == "normalise":
        node["groups"] = record.count("groups", least=1, most=_MOST_NUMBERS)
        node |= {key: record.flag(key) for key in ("per_position", "centred", "exact")}
        node["eps"] = record.number("eps")
        if not 0 <= node["eps"] <= 1e15:
            raise ValueError(f"node: eps: got {node['eps']}, needed one in [0, 1e15]")
    if op in ("input", "slice"):
        key = "first_column" if op == "input" else "first_channel"
        node[key] = record.count(key, most=_MOST_NUMBERS)
    if op == "affine":
        node["weight"] = record.count("weight", most=n_parameters - 1)
        has_bias = record.take("bias")
        node["bias"] = has_bias
        if has_bias is not None:
            node["bias"] = Record({"bias": has_bias}, "node").count("bias", most=n_parameters - 1)
    if op == "activate":
        node["residual"] = record.flag("residual")
        function = record.record("function")
        kind = function.text("type", ACTIVATIONS)
        arguments = function.rest()
        layer = ACTIVATIONS[kind](**arguments)
        node["function"] = {"type": kind, **layer.config}
    record.done()
    return node


def _taps(record: Record) -> dict[str, Any]:
    """Windows of a convolution, or a sum over positions, as ``cpp/graph/taps.h`` makes them."""
    taps: dict[str, Any] = {"kind": record.text("kind", _KINDS_OF_TAPS)}
    taps["numbers"] = _counts(record, "numbers", least=0, most=_MOST_POSITIONS)
    taps["weight"] = record.number("weight")
    if not -1e15 <= taps["weight"] <= 1e15:
        raise ValueError(f"taps: weight: got {taps['weight']}, needed one in [-1e15, 1e15]")
    record.done()
    return taps


def _layer(description: Any) -> tuple[str, str, list[int]]:
    if not isinstance(description, list) or len(description) != 3:
        raise ValueError(f"layer: got {shown(description)}, needed a path, a class and a shape")
    record = Record(dict(zip(("path", "name", "shape"), description, strict=True)), "layer")
    shape = _counts(record, "shape", least=1, most=_MOST_NUMBERS)
    return record.text("path"), record.text("name"), shape


def _counts(record: Record, key: str, *, least: int, most: int) -> list[int]:
    """A list of integers in a range."""
    values = record.items(key, most=10_000)
    return [Record({key: value}, key).count(key, least=least, most=most) for value in values]
