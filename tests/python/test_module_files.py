"""Files of networks that are not plain chains: as they were saved, and damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Array, rewrite_file, same_bits

import tagix as tx
from tagix import nn

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3)
Description = dict[str, Any]


class Everything(nn.Module):
    """Every operation that a module can have."""

    def __init__(self) -> None:
        self.a, self.b, self.act = nn.Linear(3, 2), nn.Linear(3, 2, bias=False), nn.LeakyReLU(0.1)
        self.embed, self.head = nn.ClassEmbedding(1, 2, 2), nn.Linear(9, 2)

    def forward(self, x: nn.Value) -> nn.Value:
        a, b = self.a(x), self.b(x)
        joined = nn.concat([(a + self.act(a)) * self.b(x), self.embed(x), a + b, self.act(b)])
        return self.head(joined)  # type: ignore[no-any-return]


class OnImages(nn.Module):
    """A vector at every position of a grid, and what flattens it."""

    def __init__(self) -> None:
        self.map, self.flat, self.head = nn.Linear(2, 3), nn.Flatten(), nn.Linear(12, 1)

    def forward(self, image: nn.Value, vector: nn.Value) -> nn.Value:
        return self.head(self.flat(self.map(image) + vector))  # type: ignore[no-any-return]


def everything(seed: int = 0, **options: Any) -> nn.Network:
    return nn.Network(Everything(), (3,), seed=seed, **options)


def assert_same(net: Any, path: Path, *x: Any) -> Any:
    net.save(path)
    loaded = tx.load(path)
    assert type(loaded) is type(net)
    for got, wanted in zip(loaded(*x), net(*x), strict=True):
        assert got.tobytes() == wanted.tobytes()
    assert same_bits(loaded.state_dict(), net.state_dict())
    assert [row.name for row in loaded.summary()] == [row.name for row in net.summary()]
    assert loaded.inputs == net.inputs
    # What was loaded can be saved again.
    loaded.save(path)
    assert same_bits(tx.load(path).state_dict(), net.state_dict())
    return loaded


@pytest.mark.parametrize(
    "noise", [None, tx.Heteroscedastic(), tx.Homoscedastic(learn=True)], ids=str
)
def test_a_module_of_a_user_comes_back_as_its_operations(noise: Any, tmp_path: Path) -> None:
    net = everything(noise=noise)
    net.fit(X, X[:, :2], noise=0.5 if noise is None else None, n_epochs=2, progress=False)
    loaded = assert_same(net, tmp_path / "net", X)
    assert isinstance(loaded.module, nn.Traced)
    for each in (net, loaded):
        each.update(X, X[:, 1:], 0.5 if noise is None else None)
    assert same_bits(loaded.state_dict(), net.state_dict())


def test_modules_within_layers(tmp_path: Path) -> None:
    net = nn.Sequential(
        nn.Linear(3, 3),
        nn.Residual(nn.Sequential(Everything(), nn.Linear(2, 3), seed=1)),
        nn.Concat(Everything(), nn.ReLU()),
        nn.Linear(5, 1),
        input_shape=(3,),
        seed=0,
    )
    assert_same(net, tmp_path / "net", X)
    anew = nn.Sequential(Everything(), nn.Linear(2, 1), input_shape=(3,), seed=0)
    assert_same(anew, tmp_path / "net", X)


def test_several_inputs_and_grids(tmp_path: Path) -> None:
    net = nn.Network(OnImages(), {"image": (2, 2, 2), "vector": (3,)}, seed=0)
    image = np.linspace(-1, 1, 40, dtype=np.float32).reshape(5, 2, 2, 2)
    vector = np.linspace(0, 1, 15, dtype=np.float32).reshape(5, 3)
    loaded = assert_same(net, tmp_path / "net", {"image": image, "vector": vector})
    assert same_bits({"y": loaded(vector=vector, image=image).mean}, {
        "y": net(image=image, vector=vector).mean
    })  # fmt: skip


def test_functions_of_a_user_are_in_no_file(tmp_path: Path) -> None:
    own = nn.Activation(np.sin, np.cos)
    net = nn.Network(nn.Residual(nn.Sequential(own, nn.Linear(3, 3))), (3,), seed=0)
    with pytest.raises(ValueError, match=r"nn\.Activation cannot be saved"):
        net.save(tmp_path / "net")


def node(op: str, number: int = 0) -> Callable[[Description], Description]:
    """The n-th operation of a kind."""
    return lambda module: [each for each in module["nodes"] if each["op"] == op][number]


def setting(find: Callable[[Description], Description], **values: Any) -> Any:
    return lambda module: find(module).update(values)


HOSTILE: dict[str, tuple[Callable[[Description], object], str]] = {
    "operation": (setting(node("affine"), op="convolve"), "op: got 'convolve'"),
    "forward reference": (setting(node("affine"), inputs=[99]), "inputs: got 99"),
    "own value": (setting(node("affine"), inputs=[1]), "inputs: got 1"),
    "no inputs": (setting(node("add"), inputs=[]), "inputs: got \\[\\] for add"),
    "too many inputs": (setting(node("affine"), inputs=[0, 0]), "for affine"),
    "negative input": (setting(node("affine"), inputs=[-1]), "inputs: got -1"),
    "no parameter": (setting(node("affine"), weight=99), "weight: got 99"),
    "bias for weight": (setting(node("affine"), weight=1), "got 3 features, needed 1"),
    "weight for bias": (setting(node("affine", 1), bias=0), "got a bias of 6 elements, needed 2"),
    "shape": (setting(node("affine"), shape=[3]), "got affine of shape \\(3,\\), needed \\(2,\\)"),
    "huge shape": (setting(node("affine"), shape=[2**40]), "shape: got"),
    "huge grid": (setting(node("affine"), shape=[1, 2**21]), "smaller grid"),
    "column": (setting(node("input"), first_column=1), "no input at column 1"),
    "function": (setting(node("activate"), function={"type": "Sin"}), "type: got 'Sin'"),
    "slope": (
        setting(node("activate"), function={"type": "LeakyReLU", "negative_slope": "x"}),
        "negative_slope",
    ),
    "residual": (setting(node("activate"), residual=1), "residual: got 1"),
    "surplus": (setting(node("concat"), code="import os"), "got 'code', needed no such entry"),
    "no nodes": (lambda module: module.update(nodes=[]), "nodes: got none"),
    "nodes": (lambda module: module.update(nodes={}), "nodes: got {}, needed a list"),
    "too many nodes": (
        lambda module: module.update(nodes=module["nodes"] * 1000),
        "more than 10000 layers",
    ),
    "parameter name": (
        lambda module: module["parameters"][1].update(name=module["parameters"][0]["name"]),
        "a name twice",
    ),
    "parameter size": (
        lambda module: module["parameters"][0].update(shape=[2**20, 2**20]),
        "shape: got 1048576",
    ),
    "parameter shape": (lambda module: module["parameters"][0].update(shape=[]), "one to four"),
    "all parameters": (
        lambda module: module["parameters"].extend(
            {"name": str(i), "shape": [60], "prior_std": 1, "constants": []} for i in range(9)
        ),
        "more than the",
    ),
    "prior": (lambda module: module["parameters"][0].update(prior_std=-1), "prior_std: got -1"),
    "constants": (
        lambda module: module["parameters"][0].update(constants=[[6, 1.0]]),
        "constant: position: got 6",
    ),
    "constant": (
        lambda module: module["parameters"][0].update(constants=[[0]]),
        "constant: got \\[0\\]",
    ),
    "layers": (lambda module: module["layers"].append(["a", "b"]), "layer: got"),
    "layer": (lambda module: module["layers"].append(["a", "b", [0]]), "shape: got 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_list_of_operations_is_refused(case: str, tmp_path: Path) -> None:
    change, message = HOSTILE[case]
    path = tmp_path / "net"
    everything().save(path)
    rewrite_file(path, lambda description, _: change(description["network"]["module"]))
    with pytest.raises(ValueError, match=rf"^path: .*({message})"):
        tx.load(path)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "inputs: got None"),
        ([], "inputs: got \\[\\], needed a shape"),
        ([2**30], "needed at most 16777216 numbers"),
        ([0], "needed a shape"),
        ([True], "needed a shape"),
        ({"a b": [3]}, "got the name 'a b'"),
        ({}, "got no input"),
        ([4], "x|needed"),
    ],
)
def test_inputs_in_a_file_are_checked(inputs: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net"
    everything().save(path)
    rewrite_file(path, lambda description, _: description["network"].update(inputs=inputs))
    with pytest.raises(ValueError, match=rf"^path: .*({message})"):
        tx.load(path)


def test_values_that_grow_are_refused(tmp_path: Path) -> None:
    """Concatenations of concatenations would have 2^80 numbers."""
    path = tmp_path / "net"
    everything().save(path)

    def grow(description: Description, _: dict[str, Array]) -> None:
        nodes = description["network"]["module"]["nodes"][:1]
        for number in range(80):
            shape = [3 * 2 ** min(number + 1, 29)]
            nodes.append({"op": "concat", "path": "", "inputs": [number] * 2, "shape": shape})
        description["network"]["module"].update(nodes=nodes, layers=[])

    rewrite_file(path, grow)
    with pytest.raises(ValueError, match=r"^path: .*(needed at most|shape)"):
        tx.load(path)
