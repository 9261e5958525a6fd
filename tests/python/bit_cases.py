"""The small networks whose bits test_bits.py holds to its record, and the data that they see.

Inputs and targets are whole numbers over powers of two, made without the C library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

import tagix as tx
from tagix import nn

Array = npt.NDArray[Any]


# Data.


def numbers(*shape: int, seed: int) -> Array:
    """Multiples of 1/64 in [-2, 2), from the bits of a generator that numpy promises to keep."""
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(56)).astype(np.float32) / 64 - 2).reshape(shape)


def variances(*shape: int, seed: int) -> Array:
    """Multiples of 1/256 in [0, 1)."""
    return (numbers(*shape, seed=seed) + 2) / 4


def three_columns(n_rows: int, seed: int) -> Array:
    return numbers(n_rows, 3, seed=seed)


def a_class_and_two_columns(n_rows: int, seed: int) -> Array:
    """Two columns and one of three classes as one-hot columns; every fourth row has none."""
    x = numbers(n_rows, 5, seed=seed)
    x[:, 2:] = np.eye(4, 3, dtype=np.float32)[np.arange(n_rows) % 4]
    return x


def two_targets(x: Array) -> Array:
    """Exact in float32, as a product of two inputs has 16 bits."""
    return np.stack([x[:, 0] * x[:, 1] - x[:, 2], x[:, 2] * x[:, 2] / 2], axis=1)


def one_target(x: Array) -> Array:
    return two_targets(x)[:, :1]


def missing_targets(x: Array) -> Array:
    """Some of one output, all of some rows, and all of the first row."""
    y = two_targets(x)
    y[1::3, 0] = np.nan
    y[::5] = np.nan
    return y


def targets_that_jump(x: Array) -> Array:
    """Far off what was learned before wherever the first input is large."""
    return np.where(x[:, :1] > 1, np.float32(20), one_target(x))


def labels(n_classes: int) -> Callable[[Array], Array]:
    """A class by the first input; -1, a missing one, where the second is large."""

    def of(x: Array) -> Array:
        classes = np.floor((x[:, 0] + 2) / 4 * n_classes).astype(np.int64)
        return np.where(x[:, 1] > 1.75, -1, classes)

    return of


# Cases.


@dataclass(frozen=True)
class Case:
    """A network, and what is done with it."""

    layers: tuple[nn.Layer | nn.Sequential, ...]
    options: Mapping[str, Any] = field(default_factory=dict)  # of the network
    inputs: Callable[[int, int], Array] = three_columns
    targets: Callable[[Array], Array] = two_targets
    noise: Any = 0.25  # of an update and a fit; a function gives it for a number of rows
    weighted: bool = False  # whether rows have weights
    uncertain: bool = False  # whether the inputs of a fit are
    rows: tuple[int, ...] = (3, 21)  # predicted at once: few have an executor of their own
    updates: Mapping[int, int] = field(default_factory=lambda: {1: 50, 16: 50})  # by batch size
    epochs: Mapping[int, int] = field(default_factory=lambda: {1: 1, 16: 3})  # of a fit, likewise
    every_precision: bool = False  # whether it has products that a precision rounds


def relu_layers(*widths: int, bias: bool = True) -> tuple[nn.Layer, ...]:
    layers: list[nn.Layer] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out, bias), nn.ReLU()]
    return tuple(layers[:-1])


def ratio(z: Array) -> Array:
    """A function without the C library, for an activation of a user's own."""
    return z / (1 + z * z)


def slope_of_ratio(z: Array) -> Array:
    return (1 - z * z) / ((1 + z * z) * (1 + z * z))


def layerwise(case: Case) -> Case:
    """The same network with a connection around nothing before its last layer.

    No executor fuses it, so that the network runs one layer after the other.
    """
    nothing = nn.Activation(np.zeros_like, np.zeros_like, moments="first_order")
    identity = nn.Residual(nothing)
    return replace(case, layers=(*case.layers[:-1], identity, case.layers[-1]))


def activation_cases() -> Iterator[tuple[str, Case]]:
    """Every activation once, in a tiny network, by both kinds of moments."""
    kinds: list[tuple[type[Any], dict[str, Any]]] = [
        (nn.ReLU, {}),
        (nn.LeakyReLU, {"negative_slope": 0.125}),
        (nn.Hardtanh, {}),
        (nn.Sigmoid, {}),
        (nn.Tanh, {}),
        (nn.Softplus, {}),
        (nn.SiLU, {}),
        (nn.GELU, {}),
        (nn.Exp, {}),
        (nn.Activation, {"value": ratio, "derivative": slope_of_ratio}),
    ]
    for kind, arguments in kinds:
        gain = 0.25 if kind is nn.Exp else 1.0  # what is learned must not overflow
        for moments in ("exact", "first_order"):
            layers = (
                nn.Linear(3, 7, gain_weight=gain),
                kind(**arguments, moments=moments),
                nn.Linear(7, 2, gain_weight=gain),
            )
            yield f"{kind.__name__}, {moments}", Case(layers)
    yield "Identity", Case((nn.Linear(3, 7), nn.Identity(), nn.Linear(7, 2)))


MLP = relu_layers(3, 17, 2)
ONE_OUTPUT = relu_layers(3, 17, 1)
OWN = nn.Activation(ratio, slope_of_ratio)


def topology_cases() -> dict[str, Case]:
    """Chains, nests and ends of layers."""
    return {
        "Linear": Case((nn.Linear(3, 2),), every_precision=True),
        "Linear, Linear": Case((nn.Linear(3, 5), nn.Linear(5, 2, init="xavier"))),
        "1 hidden layer": Case(MLP, every_precision=True),
        "2 hidden layers": Case(relu_layers(3, 19, 33, 2), every_precision=True),
        "3 hidden layers": Case(relu_layers(3, 21, 9, 37, 2), every_precision=True),
        "no bias": Case(relu_layers(3, 19, 2, bias=False)),
        "one output": Case(ONE_OUTPUT, targets=one_target),
        "nested": Case(
            (
                nn.Sequential(nn.Linear(3, 11), nn.Sequential(nn.ReLU(), nn.Linear(11, 6))),
                nn.Sequential(nn.Tanh()),
                nn.Linear(6, 2),
            )
        ),
        "activations at both ends": Case(
            (nn.Tanh(), nn.Linear(3, 10), nn.SiLU(), nn.ReLU(), nn.Linear(10, 2), nn.Softplus())
        ),
        "activations alone": Case(
            (nn.Tanh(), nn.ReLU()), targets=lambda x: x / 2, updates={16: 1}, epochs={}
        ),
        "own activation at the end": Case((nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 2), OWN)),
        "own activation, nested": Case(
            (nn.Sequential(nn.Linear(3, 9), OWN), nn.ReLU(), nn.Linear(9, 2, bias=False))
        ),
        "ClassEmbedding": Case(
            (nn.ClassEmbedding(2, 3, 4), nn.Linear(6, 13), nn.ReLU(), nn.Linear(13, 2)),
            inputs=a_class_and_two_columns,
        ),
    }


def size_cases() -> dict[str, Case]:
    """Networks and batches that are small or large to a backend.

    CUDA has products of at least 64 in each dimension on tensor cores, and fuses networks of at
    most 128 features; the CPU fuses those of at most 131 072 parameters.
    """
    few: dict[str, Any] = {"updates": {16: 2}, "epochs": {16: 1}}
    large: dict[str, Any] = {"rows": (5000,), "updates": {5000: 1}, "epochs": {}}
    return {
        "wide": Case(
            relu_layers(3, 70, 90, 2),
            rows=(100,),
            updates={100: 2},
            epochs={},
            every_precision=True,
        ),
        "wider": Case(relu_layers(3, 150, 2), **few),
        "many parameters": Case(relu_layers(3, 300, 450, 2), **few),
        "many rows": Case(MLP, **large, every_precision=True),
        "many rows, own activation": Case((nn.Linear(3, 9), OWN, nn.Linear(9, 2)), **large),
    }


def noise_cases() -> dict[str, Case]:
    """Noise that is given, known or inferred."""
    return {
        "noise of each output": Case(MLP, noise=np.array([0.25, 0.5], np.float32)),
        "noise of each target": Case(
            MLP, noise=lambda n_rows: variances(n_rows, 2, seed=4) + np.float32(0.125)
        ),
        "noise that decays": Case(MLP, noise=tx.Homoscedastic([1, 2], min_std=0.5, decay=0.75)),
        "known noise": Case(MLP, {"noise": tx.Homoscedastic([0.5, 0.75])}, noise=None),
        "inferred noise": Case(
            MLP, {"noise": tx.Homoscedastic(learn=True)}, noise=None, every_precision=True
        ),
        "Heteroscedastic, exp": Case(
            MLP, {"noise": tx.Heteroscedastic()}, noise=None, every_precision=True
        ),
        "Heteroscedastic, softplus": Case(
            MLP, {"noise": tx.Heteroscedastic("softplus", gain=0.5)}, noise=None
        ),
        "Heteroscedastic, Capped": Case(
            MLP, {"noise": tx.Heteroscedastic(), "rule": tx.Capped()}, noise=None
        ),
        "Heteroscedastic, own activation": Case(
            (nn.Linear(3, 9), OWN, nn.Linear(9, 2)), {"noise": tx.Heteroscedastic()}, noise=None
        ),
    }


def class_cases() -> dict[str, Case]:
    """Likelihoods of classes."""
    return {
        "Softmax": Case(
            relu_layers(3, 17, 4), {"likelihood": tx.Softmax(4)}, targets=labels(4), noise=None
        ),
        "HierarchicalSoftmax": Case(
            relu_layers(3, 17, 4),
            {"likelihood": tx.HierarchicalSoftmax(5)},
            targets=labels(5),
            noise=None,
        ),
        "Remax": Case(
            relu_layers(3, 17, 4), {"likelihood": tx.Remax(4)}, targets=labels(4), noise=None
        ),
    }


def learning_cases() -> dict[str, Case]:
    """What is learned of targets: rules, weights, missing ones, forgetting."""
    return {
        "Information": Case(MLP, {"rule": tx.Information(share=0.125, clip=0.25)}),
        "Capped": Case(MLP, {"rule": tx.Capped()}),
        "Capped at 3": Case(MLP, {"rule": tx.Capped(3)}),
        "weights of rows": Case(MLP, weighted=True),
        "weights of rows, Softmax": Case(
            relu_layers(3, 17, 4),
            {"likelihood": tx.Softmax(4)},
            targets=labels(4),
            noise=None,
            weighted=True,
        ),
        "uncertain inputs": Case(MLP, uncertain=True, updates={}),
        "missing targets": Case(MLP, targets=missing_targets),
        "missing targets, Heteroscedastic": Case(
            MLP, {"noise": tx.Heteroscedastic()}, targets=missing_targets, noise=None
        ),
        "Forgetting": Case(
            MLP, {"forgetting": tx.Forgetting(process_noise=2**-10, drift_level=None)}
        ),
        "Forgetting, drift": Case(
            ONE_OUTPUT,
            {"forgetting": tx.Forgetting(process_noise=2**-16, window=8)},
            targets=targets_that_jump,
        ),
    }


ONE_BY_ONE = (
    "Tanh, exact",
    "Linear",
    "2 hidden layers",
    "activations at both ends",
    "nested",
    "no bias",
    "ClassEmbedding",
    "wide",
    "many rows",
    "Heteroscedastic, exp",
    "inferred noise",
    "Softmax",
    "Forgetting",
    "missing targets",
)


def cases() -> dict[str, Case]:
    """All of them by name, those of ONE_BY_ONE once more with one layer after the other."""
    found = {
        **dict(activation_cases()),
        **topology_cases(),
        **size_cases(),
        **noise_cases(),
        **class_cases(),
        **learning_cases(),
    }
    return found | {f"{name}, layerwise": layerwise(found[name]) for name in ONE_BY_ONE}
