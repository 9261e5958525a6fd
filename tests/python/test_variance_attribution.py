"""Shares of predictive variances against closed forms in float64 and Monte Carlo."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from helpers import (
    INFERRED,
    KNOWN,
    Array,
    on_every_device,
    regression_data,
    relative_error,
    same_bits,
    small,
    unchanged,
)

import tagix as tx
from tagix import nn


def inputs(n_rows: int, n_features: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((n_rows, n_features)).astype(np.float32)
    return x, rng.uniform(0.1, 0.5, x.shape).astype(np.float32)


def total(parts: Any) -> Array:
    return np.asarray(parts.inputs.sum(axis=2) + sum(parts.layers.values()) + parts.noise)


@on_every_device
def test_one_layer_is_closed_form(device: str) -> None:
    """var = sum_k Wm_k^2 v_k + Wv_k (x_k^2 + v_k) + b_v: the products are shared by halves."""
    net = nn.Sequential(nn.Linear(3, 2), seed=0, device=device, noise=tx.Homoscedastic([0.5, 0.25]))
    x, x_var = inputs(5, 3)
    state = {key: value.astype(np.float64) for key, value in net.state_dict().items()}
    weight, weight_var = state["0.weight.mean"], state["0.weight.var"]
    with unchanged(net):
        parts = net.attribute_variance(x, x_var)
    both = weight_var * x_var[:, None, :]
    expected = weight**2 * x_var[:, None, :] + 0.5 * both
    np.testing.assert_allclose(parts.inputs, expected, rtol=1e-4)
    expected = (weight_var * x[:, None, :] ** 2 + 0.5 * both).sum(axis=2) + state["0.bias.var"]
    np.testing.assert_allclose(parts.layers["0"], expected, rtol=1e-5)
    np.testing.assert_allclose(parts.noise, [[0.25, 0.0625]] * 5, rtol=1e-6)
    assert parts.inputs.dtype == parts.noise.dtype == parts.var.dtype == np.float64
    # What is known exactly has no share: the layer alone is all of it.
    known = net.attribute_variance(x)
    assert (known.inputs == 0).all()
    np.testing.assert_array_equal(known.layers["0"], net(x).epistemic)


def moments(state: dict[str, Array], x: Array, x_var: Array, kept: frozenset[Any]) -> Array:
    """Variances of the outputs of two linear layers, in float64, by TAGI's formulas."""
    mean = x.astype(np.float64)
    var = np.stack([x_var[:, k] * (k in kept) for k in range(x.shape[1])], 1).astype(np.float64)
    for layer in ("0", "1"):
        on = float(layer in kept)
        weight, weight_var = state[f"{layer}.weight.mean"], on * state[f"{layer}.weight.var"]
        var = var @ (weight**2).T + (mean**2 + var) @ weight_var.T + on * state[f"{layer}.bias.var"]
        mean = mean @ weight.T + state[f"{layer}.bias.mean"]
    return var


def test_two_layers_over_all_orders() -> None:
    net = nn.Sequential(nn.Linear(2, 7), nn.Linear(7, 2), seed=1)
    x, x_var = inputs(4, 2)
    state = {key: value.astype(np.float64) for key, value in net.state_dict().items()}
    sources: list[Any] = ["0", "1", 0, 1]
    expected = {source: np.zeros((4, 2)) for source in sources}
    orders = list(permutations(sources))
    for order in orders:
        for count, source in enumerate(order):
            after = moments(state, x, x_var, frozenset(order[: count + 1]))
            before = moments(state, x, x_var, frozenset(order[:count]))
            expected[source] += (after - before) / len(orders)
    parts = net.attribute_variance(x, x_var)
    for source in ("0", "1"):
        assert relative_error(parts.layers[source], expected[source]) < 1e-5
    for k in range(2):
        assert relative_error(parts.inputs[:, :, k], expected[k]) < 1e-5
    assert (parts.noise == 0).all()
    # Enough random orders come to the same; a single one and its reverse add up, too.
    many = net.attribute_variance(x, x_var, n_orders=2000, seed=3)
    assert relative_error(many.inputs, parts.inputs) < 0.05
    few = net.attribute_variance(x, x_var, n_orders=1)
    assert relative_error(total(few), net(x, x_var).var) < 1e-6
    assert relative_error(few.layers["0"], parts.layers["0"]) > 1e-3


def test_shares_of_draws() -> None:
    """Two layers about a ReLU, by networks of which both, the first or the second are drawn."""
    net = nn.Sequential(nn.Linear(2, 40), nn.ReLU(), nn.Linear(40, 1), seed=0)
    state = {
        key: value * np.float32(0.3 if key.endswith("var") else 1)
        for key, value in net.state_dict().items()
    }
    net.load_state_dict(state)
    x, _ = inputs(6, 2)
    var: dict[str, Array] = {}
    for drawn in ("0", "2", "02"):
        some = nn.Sequential(*net.layers, seed=0)
        some.load_state_dict(
            {k: v * (not k.endswith("var") or k[0] in drawn) for k, v in state.items()}
        )
        outputs = np.array([some.draw(seed)(x).mean for seed in range(4000)], np.float64)
        var[drawn] = outputs.var(axis=0)
    parts = net.attribute_variance(x)
    first = 0.5 * (var["0"] + var["02"] - var["2"])
    np.testing.assert_allclose(parts.layers["0"], first, rtol=0.2)
    np.testing.assert_allclose(parts.layers["2"], var["02"] - first, rtol=0.2)
    assert relative_error(total(parts), net(x).var) < 1e-6


@on_every_device
@pytest.mark.parametrize("noise", [None, KNOWN, *INFERRED.values()], ids=repr)
def test_shares_add_up(noise: Any, device: str) -> None:
    """To the predicted variance, for every noise, with more sources than all orders are for."""
    net = small(noise=noise, device=device)
    x, y = regression_data(60)
    net.fit(x, y, noise=tx.Homoscedastic(0.3) if noise is None else None, progress=False)
    x_var = np.full_like(x, 0.2)
    x_var[:, 1] = 0
    prediction = net(x, x_var)
    before = net.state_dict()
    for n_orders in (None, 3):
        parts = net.attribute_variance(x, x_var, n_orders=n_orders)
        assert list(parts.layers) == ["0", "2"] and parts.inputs.shape == (60, 2, 3)
        np.testing.assert_allclose(total(parts), prediction.var, rtol=1e-6)
        np.testing.assert_allclose(parts.var, prediction.var, rtol=1e-6)
        np.testing.assert_array_equal(parts.noise, prediction.aleatoric)
        assert (parts.inputs[:, :, 1] == 0).all() and (parts.inputs[:, :, [0, 2]] > 0).all()
    assert same_bits(before, net.state_dict())
    wide = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 1), seed=0, device=device)
    x, x_var = inputs(7, 12)
    np.testing.assert_allclose(
        total(wide.attribute_variance(x, x_var)), wide(x, x_var).var, rtol=1e-6
    )


def test_nested_and_constant_layers() -> None:
    embedding = nn.ClassEmbedding(1, 2, 3)
    inner = nn.Sequential(nn.Linear(4, 5), nn.ReLU())
    net = nn.Sequential(embedding, inner, nn.Linear(5, 1), seed=0)
    parts = net.attribute_variance([[0.5, 1, 0], [0.5, 0, 0]])
    assert list(parts.layers) == ["0", "1.0", "2"]
    assert parts.layers["0"][0] > 0 and parts.layers["0"][1] == 0  # no class, no embedding
    np.testing.assert_allclose(total(parts), net([[0.5, 1, 0], [0.5, 0, 0]]).var, rtol=1e-6)
    drawn = net.draw(0).attribute_variance([[0.5, 1, 0]])
    assert all((share == 0).all() for share in drawn.layers.values())


def test_errors() -> None:
    net = small()
    assert net.attribute_variance(np.zeros((0, 3))).inputs.shape == (0, 2, 3)
    with pytest.raises(ValueError, match=r"x: got 2 features, needed 3"):
        net.attribute_variance(np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"x_var: got"):
        net.attribute_variance(np.zeros((5, 3)), -np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"n_orders: got 0"):
        net.attribute_variance(np.zeros((5, 3)), n_orders=0)
    with pytest.raises(ValueError, match=r"seed: got -1"):
        net.attribute_variance(np.zeros((5, 3)), seed=-1)
