"""What a forward may not do, and what a network of a module refuses, word for word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from modules import Twice, two_input_network

import tagix as tx
from tagix import nn


def of_module(forward: Callable[..., Any], **layers: Any) -> Callable[[], object]:
    made = type("Made", (nn.Module,), {"forward": lambda self, x: forward(self, x)})()
    vars(made).update(layers)
    return lambda: nn.Network(made, (3,), seed=0)


ERRORS: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "shape": (
        of_module(lambda m, x: m.inner(x), inner=nn.Sequential(nn.ReLU(), nn.Linear(5, 1))),
        ValueError,
        "layer inner.1: got 3 features, needed 5",
    ),
    "shape of an attribute": (
        of_module(lambda m, x: m.first(x), first=nn.Linear(4, 1)),
        ValueError,
        "layer first: got 3 features, needed 4",
    ),
    "sum": (
        of_module(lambda m, x: x + m.first(x), first=nn.Linear(3, 4)),
        ValueError,
        "got 3 features and 4 features for a sum, needed the same shape, or a vector of as many "
        "channels beside a grid",
    ),
    "product of one value": (
        of_module(lambda m, x: x * m.act(x), act=nn.Tanh()),
        ValueError,
        "got a product of two functions of the same value, needed factors that are independent",
    ),
    "number": (
        of_module(lambda m, x: x + 1),
        TypeError,
        "got 1 for a sum, needed a symbolic value",
    ),
    "numpy": (
        of_module(lambda m, x: np.tanh(x)),
        TypeError,
        "forward: got a symbolic value where numbers are needed: it can be added, multiplied, "
        "concatenated by nn.concat and given to layers",
    ),
    "array": (
        of_module(lambda m, x: np.ones(3) * x),
        TypeError,
        "forward: got a symbolic value where numbers are needed: it can be added, multiplied, "
        "concatenated by nn.concat and given to layers",
    ),
    "decision": (
        of_module(lambda m, x: x if x else x + x),
        TypeError,
        "forward: got a decision by a symbolic value, which has no numbers, needed the same "
        "operations for all rows",
    ),
    "output": (
        of_module(lambda m, x: None),
        TypeError,
        "forward of Made returned a NoneType, needed a symbolic value",
    ),
    "stranger": (
        of_module(lambda m, x: nn.ReLU()(x)),
        ValueError,
        "forward of Made calls ReLU(moments='exact'), needed layers that are attributes of the "
        "module, or in a list, a tuple or a dict that is one",
    ),
    "numbers to a layer": (
        lambda: nn.Linear(3, 1)(np.ones((2, 3))),
        TypeError,
        "Linear: got a ndarray, needed a symbolic value: a layer describes a part of a network, "
        "and nn.Sequential or nn.Network predicts",
    ),
    "no forward": (
        lambda: nn.Network(nn.Module(), (3,)),
        NotImplementedError,
        "Module: has no forward(self, ...), needed one that says what it does",
    ),
    "no module": (
        lambda: nn.Network(3, (3,)),
        TypeError,
        "module: got 3, needed a Module, a Sequential or a layer of tagix.nn",
    ),
    "no inputs": (
        lambda: nn.Network(nn.ReLU(), None),  # type: ignore[arg-type]
        TypeError,
        "inputs: got None, needed a shape, or a dict of shapes by name",
    ),
    "no shape": (
        lambda: nn.Network(nn.ReLU(), {"a": 3}),  # type: ignore[dict-item]
        TypeError,
        "inputs: got 3, needed a shape such as (features,) or (channels, height, width)",
    ),
    "name": (
        lambda: nn.Network(nn.ReLU(), {"x_var": (3,)}),
        ValueError,
        "inputs: got the name 'x_var', needed one that an argument may have, other than x_var and "
        "variance",
    ),
    "open width": (
        lambda: nn.Sequential(nn.Concat(nn.ReLU(), nn.Tanh()), nn.Linear(6, 1)).state_dict(),
        ValueError,
        "input_shape: got none, needed the shape of the inputs: the layers leave it open",
    ),
    "input missing": (
        lambda: two_input_network()(a=np.ones((2, 3))),
        ValueError,
        "x: got no input 'b', needed all of 'a', 'b'",
    ),
    "input unknown": (
        lambda: two_input_network()({"a": np.ones((2, 3)), "c": np.ones((2, 2))}),
        ValueError,
        "x: got the input 'c', needed 'a', 'b'",
    ),
    "one array": (
        lambda: two_input_network()(np.ones((2, 5))),
        TypeError,
        "x: got a ndarray, needed a dict of the inputs 'a', 'b'",
    ),
    "rows": (
        lambda: two_input_network()(a=np.ones((2, 3)), b=np.ones((3, 2))),
        ValueError,
        "x: got 2 of 'a', 3 of 'b' rows, needed as many of each",
    ),
    "columns": (
        lambda: two_input_network()(a=np.ones((2, 3)), b=np.ones((2, 3))),
        ValueError,
        "b: got 3 features, needed 2",
    ),
    "noise of a sum": (
        lambda: nn.Network(nn.Residual(nn.Linear(3, 3)), (3,), noise=tx.Heteroscedastic()),
        ValueError,
        "noise: got a network that ends in Residual, needed nn.Linear as its last layer, to infer "
        "the noise beside its outputs",
    ),
    "noise of a shared layer": (
        lambda: nn.Network(Twice(), (4,), noise=tx.Heteroscedastic()),
        ValueError,
        "noise: got a network whose last layer is used more than once, needed one that only gives "
        "the outputs",
    ),
    "infer_inputs": (
        lambda: two_input_network().infer_inputs(np.ones(2), (np.ones(5), np.ones(5)), 1.0),
        ValueError,
        "infer_inputs: got a network of several inputs, needed one of one",
    ),
    "noise in a part": (
        lambda: nn.Residual(nn.Sequential(nn.Linear(3, 3), noise=tx.Heteroscedastic())),
        ValueError,
        "layers: got a Sequential with noise, a likelihood or forgetting as a part of another "
        "network, needed them on the outer one, which has the parameters",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    call, kind, message = ERRORS[case]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


def test_a_value_of_a_forward_that_has_ended_is_refused() -> None:
    kept: list[nn.Value] = []
    of_module(lambda m, x: kept.append(x) or x)()  # type: ignore[func-returns-value]
    with pytest.raises(TypeError, match="a symbolic value of a forward that has ended"):
        kept[0] + kept[0]
    assert repr(kept[0]) == "Value()"
