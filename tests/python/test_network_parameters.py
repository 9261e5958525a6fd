"""Parameters of a network: state dictionaries, views, and copies that go on."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
from helpers import Array, regression_data, same_bits, unchanged
from networks import COPIES, small, wide

import tagix as tx
from tagix import nn


def test_state_dict_round_trip() -> None:
    net, other = small(0), small(1)
    net.update(*regression_data(10), 0.1)
    state = net.state_dict()
    other.load_state_dict(state)
    assert same_bits(other.state_dict(), state)
    x, y = regression_data(10, seed=1)
    assert net(x).mean.tobytes() == other(x).mean.tobytes()
    net.update(x, y, 0.1)
    other.update(x, y, 0.1)
    assert same_bits(other.state_dict(), net.state_dict())


def test_state_dict_holds_copies() -> None:
    net = small()
    state = net.state_dict()
    with unchanged(net):
        for array in state.values():
            array += 1
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in state.values())


Damage = Callable[[dict[str, Array]], object]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: state.pop("2.bias.var"), r"missing \['2\.bias\.var'\]"),
        (lambda state: state.update(extra=np.zeros(1)), r"unknown \['extra'\]"),
        (
            lambda state: state.update({"2.bias.mean": np.zeros(3)}),
            r"2\.bias\.mean: got .*\(3,\), needed \(2,\)",
        ),
        (
            lambda state: state.update({"2.weight.var": np.ones((16, 2))}),
            r"2\.weight\.var: got .*\(16, 2\), needed \(2, 16\)",
        ),
        (lambda state: state.update({"2.bias.var": np.array([1, -1e-9])}), r"2\.bias\.var: .*neg"),
        (lambda state: state.update({"2.bias.var": np.array([1, np.inf])}), r"2\.bias\.var: .*inf"),
        (
            lambda state: state.update({"2.bias.mean": np.array([1, np.nan])}),
            r"2\.bias\.mean: .*NaN",
        ),
        (lambda state: state.update({"2.bias.mean": np.array([1, 1e39])}), r"2\.bias\.mean: .*inf"),
    ],
)
def test_load_state_dict_is_all_or_nothing(damage: Damage, message: str) -> None:
    """The damage is in the last layer, so that all before it would have been taken over."""
    net, state = small(0), small(1).state_dict()
    damage(state)
    with unchanged(net), pytest.raises(ValueError, match=message):
        net.load_state_dict(state)


def test_load_state_dict_type_error_names_the_array() -> None:
    net, state = small(0), dict(small(1).state_dict())
    state["2.bias.var"] = "much"  # type: ignore[assignment]
    with unchanged(net), pytest.raises(TypeError, match=r"2\.bias\.var: got a str"):
        net.load_state_dict(state)


def test_named_parameters_are_views() -> None:
    net = small()
    parameters = dict(net.named_parameters())
    assert list(parameters) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    weight = parameters["0.weight"]
    weight.mean[:] = 0
    parameters["0.bias"].mean[:] = 0
    weight.var[3, 1] = 17.0
    assert (net.state_dict()["0.weight.mean"] == 0).all()
    assert net.state_dict()["0.weight.var"][3, 1] == 17.0
    x, y = regression_data(5)
    bias = parameters["2.bias"].mean.copy()
    net.update(x, y, 1.0)
    assert (parameters["2.bias"].mean != bias).all()  # the view shows the update
    np.testing.assert_array_equal(parameters["2.bias"].mean, net.state_dict()["2.bias.mean"])


def test_views_outlive_the_network() -> None:
    net = small()
    weight = dict(net.named_parameters())["0.weight"].mean
    expected = weight.copy()
    del net
    others = [wide(seed) for seed in range(20)]  # would use the memory if it were free
    assert len(others) == 20
    np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("rule", [tx.Information(0.25, 0.5), tx.Capped(2.5), tx.Capped()], ids=str)
def test_copies_go_on_with_the_same_bits(
    make: Callable[[nn.Sequential], nn.Sequential], rule: tx.UpdateRule
) -> None:
    layers = [
        nn.Linear(3, 8, init="xavier", gain_weight=0.7),
        nn.Sequential(nn.LeakyReLU(0.3), nn.Linear(8, 8, bias=False)),
        nn.Activation(np.sin, np.cos),
        nn.Linear(8, 2),
    ]
    net = nn.Sequential(*layers, seed=4, rule=rule).eval()
    x, y = regression_data(50)
    noise = tx.Homoscedastic(std=1, decay=0.5)
    net.fit(x, y, noise=noise, n_epochs=2, batch_size=20, progress=False)
    other = make(net)
    assert (other.rule, other.seed, other.training) == (rule, 4, False)
    assert (other.epochs_trained, repr(other)) == (2, repr(net))
    assert same_bits(other.state_dict(), net.state_dict())
    with unchanged(net):  # a copy shares nothing
        other.fit(x, y, noise=noise, n_epochs=1, batch_size=20, progress=False)
    net.fit(x, y, noise=noise, n_epochs=1, batch_size=20, progress=False)
    assert same_bits(other.state_dict(), net.state_dict())


def test_copy_of_an_unused_network() -> None:
    net = small(9)
    assert same_bits(copy.deepcopy(net).state_dict(), net.state_dict())
