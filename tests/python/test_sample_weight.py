"""Weights of rows in networks: a row counts as so many with the same target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import Array, on_every_device, same_bits, unchanged

import tagix as tx
from tagix import _core, nn

CLASSES = ["tree", "remax", "softmax"]
HEADS = ["known", "exp", "softplus", *CLASSES]


def deep(
    head: str, device: str = "cpu", rule: nn.UpdateRule | None = None
) -> tuple[nn.Sequential, dict[str, Any]]:
    options: dict[str, dict[str, Any]] = {
        "known": {},
        "exp": {"noise": tx.Heteroscedastic()},
        "softplus": {"noise": tx.Heteroscedastic("softplus")},
        "tree": {"likelihood": tx.HierarchicalSoftmax(3)},
        "remax": {"likelihood": tx.Remax(2)},
        "softmax": {"likelihood": tx.Softmax(2)},
    }
    layers = [nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2)]
    net = nn.Sequential(*layers, seed=0, device=device, rule=rule, **options[head])
    return net, {"noise": tx.Homoscedastic(0.3)} if head == "known" else {}


def rows(head: str, n_rows: int = 70) -> tuple[Array, Array, Array]:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((n_rows, 3)).astype(np.float32)
    y: Array = np.sin(x[:, :2])
    if head in CLASSES:
        y = generator.integers(0, 2, n_rows)
    weight = generator.exponential(size=n_rows)
    weight[::7] = 0
    return x, y, weight


@on_every_device
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "rule", [tx.Information(), tx.Information(share=0.3), tx.Capped(2.0)], ids=repr
)
def test_a_row_counts_as_so_many(head: str, rule: nn.UpdateRule, device: str) -> None:
    """Whole weights are what a batch is in which rows are repeated, but for rounding."""
    x, y, _ = rows(head, 12)
    weight = np.array([1, 0, 3, 2, 1, 7, 1, 40, 2, 0, 1, 5])
    weighted, noise = deep(head, device, rule)
    repeated, _ = deep(head, device, rule)
    weighted.update(x, y, **noise, sample_weight=weight)
    repeated.update(np.repeat(x, weight, axis=0), np.repeat(y, weight, axis=0), **noise)
    for name, array in weighted.state_dict().items():
        np.testing.assert_allclose(array, repeated.state_dict()[name], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("weight", [0.25, 1.0, 9.0])
def test_the_update_of_one_weight(weight: float) -> None:
    """Information form with S = x^2 var spread + v: H = weight x^2 / S, G = weight x r / S."""
    x, y, noise_var, share = 1.5, 0.7, 0.25, 0.2
    net = nn.Sequential(nn.Linear(1, 1, bias=False), rule=tx.Information(share=share, clip=1e6))
    mean, var = (float(net.state_dict()[f"0.weight.{part}"][0, 0]) for part in ("mean", "var"))
    net.update([[x]], [[y]], np.array([noise_var]), sample_weight=[weight])
    total = x**2 * var * (1 + share * (weight - 1)) + noise_var
    after = var / (1 + var * weight * x**2 / total)
    expected = mean + after * weight * x * (y - x * mean) / total
    state = net.state_dict()
    np.testing.assert_allclose(state["0.weight.var"], after, rtol=1e-5)
    np.testing.assert_allclose(state["0.weight.mean"], expected, rtol=1e-5)


@on_every_device
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("batch_size", [1, 16])
def test_fit_updates_by_the_weights_of_each_batch(head: str, batch_size: int, device: str) -> None:
    """Against updates by batches in which rows are repeated; each has the same sum of weights."""
    x, y, _ = rows(head, 64)
    weight = np.tile([1, 2, 0, 3, 1, 1, 0, 8] if batch_size > 1 else [2], 64 // min(batch_size, 8))
    weight = np.resize(weight, 64)
    net, noise = deep(head, device)
    net.fit(
        x,
        y,
        **noise,
        sample_weight=weight,
        n_epochs=1,
        batch_size=batch_size,
        shuffle=False,
        progress=False,
    )
    by_repeats, _ = deep(head, device)
    for start in range(0, len(x), batch_size):
        part = slice(start, start + batch_size)
        by_repeats.update(
            np.repeat(x[part], weight[part], axis=0),
            np.repeat(y[part], weight[part], axis=0),
            **noise,
        )
    for name, array in net.state_dict().items():
        np.testing.assert_allclose(array, by_repeats.state_dict()[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_shuffled_rows_keep_their_weights(head: str) -> None:
    """Rows of weight 0 have wild targets: any mistake shows, in what is recorded, too."""
    x, y, weight = rows(head)
    spoilt = y.copy()
    spoilt[weight == 0] = 1 - spoilt[weight == 0] if head in CLASSES else 1e3
    results, histories = [], []
    for targets in (y, spoilt):
        net, noise = deep(head)
        history = net.fit(x, targets, **noise, sample_weight=weight, n_epochs=3, progress=False)
        results.append(net.state_dict())
        histories.append((history.train_mse, history.train_log_likelihood, history.surprise))
    assert same_bits(*results)
    assert histories[0] == histories[1]


@pytest.mark.parametrize("head", ["known", "exp", "softmax"])
def test_weights_of_1_change_nothing(head: str) -> None:
    x, y, _ = rows(head)
    results = []
    for weight in (None, np.ones(len(x))):
        net, noise = deep(head)
        net.fit(x, y, **noise, sample_weight=weight, n_epochs=2, progress=False)
        net.update(x, y, **noise, sample_weight=weight)
        results.append(net.state_dict())
    assert same_bits(*results)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("weight", [1e-300, 1e6])
def test_small_and_large_weights_keep_parameters_finite(head: str, weight: float) -> None:
    x, y, _ = rows(head)
    net, noise = deep(head)
    net.fit(x, y, **noise, sample_weight=np.full(len(x), weight), n_epochs=1, progress=False)
    assert all(np.isfinite(array).all() for array in net.state_dict().values())


BAD = {
    "shape": (np.ones(69), ValueError, r"sample_weight: got shape \(69,\), needed \(70,\)"),
    "negative": (np.full(70, -1.0), ValueError, "sample_weight: got -1.0 at position 0, needed"),
    "huge": (np.full(70, 1e19), ValueError, "sample_weight: got 1e.19 at position 0, .* 0 to 1e18"),
    "NaN": (np.full(70, np.nan), ValueError, "sample_weight: got nan at position 0, needed"),
    "all zero": (np.zeros(70), ValueError, "sample_weight: got a weight of zero for every row"),
    "text": (["a"] * 70, TypeError, "sample_weight: got a list, needed an array of real numbers"),
}


@on_every_device
@pytest.mark.parametrize("head", ["known", "exp", "softmax"])
@pytest.mark.parametrize(("weight", "error", "message"), BAD.values(), ids=BAD)
def test_bad_weights_change_nothing(
    weight: Any, error: type[Exception], message: str, head: str, device: str
) -> None:
    x, y, _ = rows(head)
    net, noise = deep(head, device)
    with unchanged(net):
        with pytest.raises(error, match=message):
            net.update(x, y, **noise, sample_weight=weight)
        with pytest.raises(error, match=message):
            net.fit(x, y, **noise, sample_weight=weight, n_epochs=1, progress=False)


@pytest.mark.parametrize("shape", [(69,), (71,), (70, 1)])
def test_the_core_takes_no_other_number_of_weights(shape: tuple[int, ...]) -> None:
    """It reads one for each row, whatever Python has looked at."""
    x, y, _ = rows("known")
    net, _ = deep("known")
    weight, noise_var = np.ones(shape, np.float32), np.ones(1, np.float32)
    source = _core.RegressionSource(net._model, x, y)
    with unchanged(net):
        with pytest.raises(ValueError, match=r"^sample_weight: got .* needed 70"):
            net._model.update(x, y, noise_var, weight=weight)
        with pytest.raises(ValueError, match=r"^sample_weight: got .* needed 70"):
            source.set_weight(weight)
