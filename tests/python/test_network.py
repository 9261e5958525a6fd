"""Networks: initial parameters, seeds, containers, printing and predictions as values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from helpers import regression_data, same_bits
from networks import COPIES, small

import tagix as tx
from tagix import nn


@pytest.mark.parametrize(
    ("init", "gain_weight", "gain_bias", "weight_std", "bias_std"),
    [
        ("he", 1.0, 1.0, math.sqrt(1 / 200), math.sqrt(1 / 200)),
        ("xavier", 1.0, 1.0, math.sqrt(2 / 500), math.sqrt(2 / 500)),
        ("he", 0.5, 3.0, 0.5 * math.sqrt(1 / 200), 3 * math.sqrt(1 / 200)),
        ("xavier", 2.0, 0.1, 2 * math.sqrt(2 / 500), 0.1 * math.sqrt(2 / 500)),
    ],
)
def test_prior(
    init: str, gain_weight: float, gain_bias: float, weight_std: float, bias_std: float
) -> None:
    layer = nn.Linear(200, 300, init=init, gain_weight=gain_weight, gain_bias=gain_bias)
    state = nn.Sequential(layer, seed=1).state_dict()
    assert state["0.weight.mean"].shape == (300, 200) and state["0.bias.mean"].shape == (300,)
    for name, std in (("weight", weight_std), ("bias", bias_std)):
        mean = state[f"0.{name}.mean"].astype(np.float64).ravel()
        np.testing.assert_allclose(state[f"0.{name}.var"], std**2, rtol=1e-6)
        n, z = mean.size, mean / std
        # 5 standard deviations of the mean, the variance and the fourth moment of n normals.
        assert abs(z.mean()) < 5 / math.sqrt(n)
        assert abs((z**2).mean() - 1) < 5 * math.sqrt(2 / n)
        assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    weight = state["0.weight.mean"].astype(np.float64)
    for a, b in ((weight[:-1], weight[1:]), (weight[:, :-1], weight[:, 1:])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / math.sqrt(a.size)


def test_linear_without_bias() -> None:
    net = nn.Sequential(nn.Linear(3, 2, bias=False), seed=0)
    assert list(net.state_dict()) == ["0.weight.mean", "0.weight.var"]
    np.testing.assert_array_equal(net(np.zeros((1, 3))).mean, 0)
    np.testing.assert_array_equal(net(np.zeros((1, 3))).var, 0)


def test_equal_seeds_equal_bits() -> None:
    assert same_bits(small(7).state_dict(), small(7).state_dict())
    assert not same_bits(small(7).state_dict(), small(8).state_dict())
    large = 2**63 - 1
    assert small(large).seed == large
    assert same_bits(small(large).state_dict(), small(large).state_dict())


def test_parameters_of_layers_are_independent() -> None:
    net = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50), seed=0)
    state = net.state_dict()
    first, second = state["0.weight.mean"], state["1.weight.mean"]
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / math.sqrt(first.size)


def test_manual_seed_fixes_models_without_one() -> None:
    tx.manual_seed(11)
    first = [small(None).state_dict() for _ in range(2)]
    tx.manual_seed(11)
    second = [small(None).state_dict() for _ in range(2)]
    tx.manual_seed(12)
    third = small(None).state_dict()
    assert all(same_bits(a, b) for a, b in zip(first, second, strict=True))
    assert not same_bits(first[0], first[1])
    assert not same_bits(first[0], third)


def test_given_seed_does_not_count() -> None:
    tx.manual_seed(11)
    first = small(None).seed
    tx.manual_seed(11)
    small(5)
    assert small(None).seed == first


def test_nested_containers_name_parameters_by_path() -> None:
    def flat() -> list[nn.Layer]:
        return [nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)]

    layers = flat()
    inner = nn.Sequential(*layers[2:4])
    net = nn.Sequential(nn.Sequential(nn.Sequential(*layers[:2]), inner), layers[4], seed=3)
    names = [name for name, _ in net.named_parameters()]
    assert names == [
        "0.0.0.weight", "0.0.0.bias", "0.1.0.weight", "0.1.0.bias", "1.weight", "1.bias",
    ]  # fmt: skip
    same = nn.Sequential(*flat(), seed=3)
    assert [a.tobytes() for a in net.state_dict().values()] == [
        a.tobytes() for a in same.state_dict().values()
    ]
    x, y = regression_data(20)
    net.update(x, y, 0.1)
    same.update(x, y, 0.1)
    assert net(x).mean.tobytes() == same(x).mean.tobytes()
    # The inner container has parameters of its own, which the outer's training leaves alone.
    before = inner.state_dict()
    net.update(x, y, 0.1)
    assert same_bits(inner.state_dict(), before)


def test_container_protocol() -> None:
    layers = [nn.Linear(3, 2), nn.ReLU()]
    net = nn.Sequential(*layers, seed=0)
    assert len(net) == 2 and net[0] is layers[0] and list(net) == layers
    assert net.layers == tuple(layers)


def test_one_layer_twice_has_two_sets_of_parameters() -> None:
    layer = nn.Linear(4, 4)
    net = nn.Sequential(layer, nn.ReLU(), layer, seed=0)
    state = net.state_dict()
    assert not np.array_equal(state["0.weight.mean"], state["2.weight.mean"])


def test_repr_builds_the_network_again() -> None:
    net = nn.Sequential(
        nn.Linear(3, 4, bias=False, init="xavier", gain_weight=0.5, gain_bias=2.0),
        nn.LeakyReLU(0.1),
        nn.Sequential(nn.ReLU("first_order"), nn.Identity()),
    )
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Linear(in_features=3, out_features=4, bias=False, init='xavier', "
        "gain_weight=0.5, gain_bias=2.0)\n"
        "  (1): LeakyReLU(negative_slope=0.1, moments='exact')\n"
        "  (2): Sequential(\n"
        "    (0): ReLU(moments='first_order')\n"
        "    (1): Identity()\n"
        "  )\n"
        ")"
    )
    for layer in (net[0], net[1], nn.GELU("first_order"), nn.Exp()):
        assert repr(eval(repr(layer), vars(nn))) == repr(layer)


@pytest.mark.parametrize(
    "value",
    [
        tx.Information(),
        tx.Information(share=0.25, clip=0.5),
        tx.Information(share=1e-7, clip=float(np.nextafter(0.5, 1))),
        tx.Capped(),
        tx.Capped(cap=3),
        tx.Homoscedastic(std=0.1, min_std=1e-3, decay=0.99),
        tx.Homoscedastic(std=[0.5, 2]),
    ],
    ids=repr,
)
def test_repr_of_rules_and_noise_builds_them_again(value: Any) -> None:
    again = eval(repr(value), vars(tx))
    assert again == value and repr(again) == repr(value)
    for make in COPIES.values():
        assert make(value) == value


def test_rules_compare_by_value() -> None:
    assert tx.Information() == tx.Information(share=0.01, clip=1 / 3)
    assert tx.Information() != tx.Information(share=0.02)
    assert tx.Information(share=0.01000001) != tx.Information(share=0.01)
    assert tx.Capped(3) == tx.Capped(cap=3.0) != tx.Capped()
    assert tx.Capped() != tx.Information() and tx.Capped() != "Capped(cap=None)"


def test_train_and_eval_set_a_flag() -> None:
    net = small()
    assert net.training
    assert net.eval() is net and not net.training
    assert net.train() is net and net.training
    assert not net.train(False).training


def test_gaussian_unpacks() -> None:
    prediction = small()(np.ones((4, 3)))
    mean, var = prediction
    assert mean is prediction.mean and var is prediction.var
    np.testing.assert_allclose(prediction.std**2, var, rtol=1e-6)
