"""Shares of a predictive variance by what it comes from: inputs, layers, noise.

V(A) is the variance of the mean that a network predicts when only the sources in A are uncertain.
Input features in A keep their variances, layers in A keep the variances of their weights and
biases, and all other sources are set to their means. Switch the sources on one after the other:
source s adds

    share of s = V(those before s, and s) - V(those before s)

These shares add up to V(all), since V(none) = 0. They depend on the order where variances multiply,
as those of a weight and its input do. The mean over all orders (Shapley, 1953) treats all sources
alike:

    share of s = sum_A |A|! (n - |A| - 1)! / n!  (V(A and s) - V(A)),   over all A without s
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tagix import _core

Array: TypeAlias = NDArray[np.float64]

_MOST_SOURCES = 8  # of which all 2^n subsets are predicted


@dataclass(frozen=True, eq=False)
class VarianceAttribution:
    """Parts that add up to a predictive variance, in the unit of the targets squared.

    All arrays are float64. A share may be negative if the uncertainty of one source makes the
    uncertainty of others count less.
    """

    inputs: NDArray[np.float64]
    """By input feature, (rows, outputs, features); 0 for inputs that are known exactly."""
    layers: dict[str, NDArray[np.float64]]
    """By layer, weights and biases together, (rows, outputs); keys as of parameters: "0", "2"."""
    noise: NDArray[np.float64]
    """The noise of the targets that the network knows, its ``aleatoric``, (rows, outputs)."""
    var: NDArray[np.float64]
    """The variance that the network predicts, (rows, outputs)."""


def attribute_variance(
    model: _core.Model,
    inputs: NDArray[np.float32],
    input_var: NDArray[np.float32] | None,
    known_noise_var: NDArray[np.float32] | None,
    n_orders: int | None,
    seed: int,
) -> VarianceAttribution:
    """See :meth:`tagix.nn.Sequential.attribute_variance`.

    Args:
        model: a copy of the network's, whose parameters are changed.
        inputs: (rows, features).
        input_var: their variances, same shape, or None.
        known_noise_var: one noise variance, or one for each output; None where the network infers
            them or has no noise.
        n_orders: at least 1, or None.
        seed: in [0, 2**63).
    """
    mean, var = model.get_parameters()
    _, epistemic, noise_var, _ = model.predict(inputs, input_var, known_noise_var)

    layers: dict[str, NDArray[np.bool_]] = {}
    for _, name, shape, start, _ in model.parameter_layout:
        own = layers.setdefault(name.rpartition(".")[0], np.zeros(len(var), bool))
        own[start : start + math.prod(shape)] = True
    names = [name for name, own in layers.items() if (var[own] > 0).any()]
    features = [] if input_var is None else [int(k) for k in np.flatnonzero(input_var.any(axis=0))]
    n_sources = len(names) + len(features)

    def variance(sources: frozenset[int]) -> Array:
        """V of these sources: layers first, then features."""
        if not sources:
            return np.zeros(epistemic.shape)
        if len(sources) == n_sources:
            return epistemic.astype(np.float64)
        kept = np.zeros(len(var), bool)
        for source, name in enumerate(names):
            if source in sources:
                kept |= layers[name]
        model.set_parameters(mean, np.where(kept, var, np.float32(0)))
        some_var = None
        if input_var is not None:
            some_var = np.zeros_like(input_var)
            for source, feature in enumerate(features, start=len(names)):
                if source in sources:
                    some_var[:, feature] = input_var[:, feature]
        return model.predict(inputs, some_var)[1].astype(np.float64)

    if n_orders is None and n_sources <= _MOST_SOURCES:
        shares = _over_all_orders(variance, n_sources, epistemic.shape)
    else:
        shares = _over_orders(
            variance, _random_orders(n_sources, n_orders or 16, seed), n_sources, epistemic.shape
        )
    noise = np.zeros(epistemic.shape) if noise_var is None else np.asarray(noise_var, np.float64)
    by_feature = np.zeros((*epistemic.shape, inputs.shape[1]))
    for source, feature in enumerate(features, start=len(names)):
        by_feature[:, :, feature] = shares[source]
    return VarianceAttribution(
        inputs=by_feature,
        layers={
            name: shares[names.index(name)] if name in names else np.zeros(epistemic.shape)
            for name in layers
        },
        noise=noise,
        var=epistemic.astype(np.float64) + noise,
    )


def _over_all_orders(
    variance: Callable[[frozenset[int]], Array], n_sources: int, shape: tuple[int, ...]
) -> Array:
    """Mean shares over all orders, (sources, *shape), from each of the 2^n subsets once."""
    shares = np.zeros((n_sources, *shape))
    for size in range(n_sources + 1):
        with_it = 1 / (n_sources * math.comb(n_sources - 1, size - 1)) if size else 0.0
        without = 1 / (n_sources * math.comb(n_sources - 1, size)) if size < n_sources else 0.0
        for subset in combinations(range(n_sources), size):
            value = variance(frozenset(subset))
            for source in range(n_sources):
                shares[source] += value * (with_it if source in subset else -without)
    return shares


def _random_orders(n_sources: int, n_orders: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Random orders, every second one the reverse of that before it."""
    rng = np.random.default_rng(seed)
    order = np.arange(n_sources)
    for count in range(n_orders):
        order = order[::-1] if count % 2 else rng.permutation(n_sources)
        yield order


def _over_orders(
    variance: Callable[[frozenset[int]], Array],
    orders: Iterator[NDArray[np.int64]],
    n_sources: int,
    shape: tuple[int, ...],
) -> Array:
    """Mean shares over some orders, (sources, *shape)."""
    shares, n_orders = np.zeros((n_sources, *shape)), 0
    for order in orders:
        n_orders += 1
        before = np.zeros(shape)
        for count, source in enumerate(order):
            value = variance(frozenset(order[: count + 1].tolist()))
            shares[source] += value - before
            before = value
    return shares / n_orders
