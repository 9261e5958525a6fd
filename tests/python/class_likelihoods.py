"""The likelihoods of classes, their closed forms in float64, and data with labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import Array

import tagix as tx
from tagix import nn

Likelihood = tx.HierarchicalSoftmax | tx.OneVsRest | tx.Remax | tx.Softmax

HEADS: dict[str, Callable[[int], Likelihood]] = {
    "tree": tx.HierarchicalSoftmax,
    "remax": tx.Remax,
    "remax of std 1": lambda n_classes: tx.Remax(n_classes, std=1),
    "softmax": tx.Softmax,
    "one vs rest": tx.OneVsRest,
    "flat one vs rest": lambda n: tx.OneVsRest(n, std=1, link_std=0.5, sharpness=0.7),
}
on_every_head = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)

erf = np.vectorize(math.erf, otypes=[np.float64])
SHARE, CLIP = 0.01, 1 / 3  # of tagix.Information()


def normal_cdf(x: Array) -> Array:
    """Of N(0, 1)."""
    return np.asarray(0.5 * (1 + erf(x / np.sqrt(2))))


def normal_density(x: Array) -> Array:
    """Of N(0, 1)."""
    return np.asarray(np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))


def paths(n_classes: int) -> list[list[tuple[int, int]]]:
    """For each class the (output, branch) on its way from the root: 1 for right, -1 for left.

    A complete binary tree, numbered from the top down and from left to right.
    """
    found: dict[int, list[tuple[int, int]]] = {}
    level = [(1, list[tuple[int, int]]())]
    while level:
        below = []
        for node, path in level:
            if node >= n_classes:
                found[node - n_classes] = path
                continue
            below.append((2 * node, [*path, (node - 1, -1)]))
            below.append((2 * node + 1, [*path, (node - 1, 1)]))
        level = below
    return [found[label] for label in range(n_classes)]


def remax_shares(mean: Array, var: Array) -> tuple[Array, Array, Array]:
    """Means and variances of shares and Cov(z, share) / Var z, by log-normal variables."""
    sd = np.sqrt(var)
    density, probability = normal_density(mean / sd), normal_cdf(mean / sd)
    first = mean * probability + sd * density
    spread = (mean**2 + var) * probability + mean * sd * density - first**2
    total, total_var = first.sum(1, keepdims=True), spread.sum(1, keepdims=True)
    log_var, log_total_var = np.log1p(spread / first**2), np.log1p(total_var / total**2)
    covariance = np.log1p(spread / (first * total))
    log_mean = np.log(first) - log_var / 2 - np.log(total) + log_total_var / 2
    of_share = log_var + log_total_var - 2 * covariance
    share = np.exp(log_mean + of_share / 2)
    jacobian = probability * first * share * np.expm1(log_var - covariance) / spread
    return share, share**2 * np.expm1(of_share), jacobian


def rectified_sum(mean: Array, var: Array) -> tuple[Array, Array, Array]:
    """Mean and variance of the sum of rectified outputs (rows, 1), and P(z > 0)."""
    sd = np.sqrt(var)
    density, probability = normal_density(mean / sd), normal_cdf(mean / sd)
    first = mean * probability + sd * density
    spread = (mean**2 + var) * probability + mean * sd * density - first**2
    return first.sum(1, keepdims=True), spread.sum(1, keepdims=True), probability


def softmax_terms(mean: Array, var: Array) -> tuple[Array, Array]:
    """Probabilities and their slopes k: log odds of each class against the rest, flattened."""
    share = np.exp(mean - mean.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    total_var = np.empty_like(var)
    for i in range(mean.shape[1]):
        rest = np.delete(share, i, axis=1)
        rest /= rest.sum(1, keepdims=True)
        total_var[:, i] = var[:, i] + (rest**2 * np.delete(var, i, axis=1)).sum(1)
    slope = 1 / np.sqrt(1 + np.pi / 8 * total_var)
    weight = share**slope
    return weight / weight.sum(1, keepdims=True), slope


def probabilities(head: Likelihood, mean: Array, var: Array) -> Array:
    """(rows, n_classes) in float64."""
    if isinstance(head, tx.Softmax):
        return softmax_terms(mean, var)[0]
    if isinstance(head, tx.OneVsRest):
        exceeds = normal_cdf((mean - 0.5) / np.sqrt(var + head.config["link_std"] ** 2))
        weight = exceeds ** head.config["sharpness"]
        return np.asarray(weight / weight.sum(1, keepdims=True))
    if isinstance(head, tx.Remax):
        weight = remax_shares(mean, var)[0] + 1e-6
        return np.asarray(weight / weight.sum(1, keepdims=True))
    right = normal_cdf(mean / np.sqrt(1 + var))
    columns = [
        np.prod([right[:, i] if s > 0 else 1 - right[:, i] for i, s in path], axis=0)
        for path in paths(head.n_classes)
    ]
    return np.stack(columns, axis=1)


def innovations(head: Likelihood, mean: Array, var: Array, labels: Array) -> tuple[Array, Array]:
    """What outputs have to learn from labels in a batch of that size, in float64."""
    spread = 1 + SHARE * (len(labels) - 1)
    delta_mean, delta_var = np.zeros_like(mean), np.zeros_like(mean)

    def learn(at: Any, score: Array, information: Array) -> None:
        divisor = 1 + information * var[at] * (spread - 1)
        delta_mean[at], delta_var[at] = score / divisor, -information / divisor

    for row, label in enumerate(labels):
        if label < 0:
            continue
        if isinstance(head, tx.OneVsRest):
            total = var[row] * spread + head.config["std"] ** 2
            delta_mean[row] = (np.eye(head.n_classes)[label] - mean[row]) / total
            delta_var[row] = -1 / total
            continue
        if isinstance(head, tx.Softmax):
            p, slope = (a[0] for a in softmax_terms(mean[[row]], var[[row]]))
            learn(row, slope * (np.eye(head.n_classes)[label] - p), slope**2 * p * (1 - p))
            continue
        if isinstance(head, tx.Remax):
            share, share_var, jacobian = (a[0] for a in remax_shares(mean[[row]], var[[row]]))
            noise_var = np.float64(np.float32(head.config["std"] ** 2))
            total = share * (1 - share) + share_var * (spread - 1) + noise_var
            sum_mean, sum_var, slope = (a[0] for a in rectified_sum(mean[[row]], var[[row]]))
            scale = head.n_classes / np.sqrt(2 * np.pi)
            scale_var = sum_var * spread + scale**2
            delta_mean[row] = jacobian * (np.eye(head.n_classes)[label] - share) / total
            delta_mean[row] += slope * (scale - sum_mean) / scale_var
            delta_var[row] = -(jacobian**2) / total - slope**2 / scale_var
            continue
        for i, branch in paths(head.n_classes)[label]:
            scale = np.sqrt(1 + var[row, i])
            beta = mean[row, i] / scale
            density, right = normal_density(beta), normal_cdf(beta)
            taken = right if branch > 0 else 1 - right
            learn(
                (row, i),
                branch * density / taken / scale,
                density**2 / (right * (1 - right)) / scale**2,
            )
    return delta_mean, delta_var


def one_layer(head: Likelihood, **options: Any) -> nn.Sequential:
    """A linear layer of four inputs with the outputs that the head needs, and the head."""
    return nn.Sequential(nn.Linear(4, head.n_outputs), likelihood=head, seed=3, **options)


def forward(net: nn.Sequential, x: Array, x_var: Array | float = 0.0) -> tuple[Array, Array]:
    """Mean and variance of the outputs of one layer in float64."""
    (_, weight), (_, bias) = net.named_parameters()
    w, v = (np.float64(part) for part in (weight.mean, weight.var))
    x64 = np.float64(x)
    x_var = np.broadcast_to(np.float64(x_var), x.shape)
    mean = x64 @ w.T + np.float64(bias.mean)
    return mean, x64**2 @ v.T + x_var @ (w**2 + v).T + np.float64(bias.var)


def rows(n_rows: int, n_classes: int, seed: int = 0) -> tuple[Array, Array]:
    """Inputs (n_rows, 4) and labels, one in five of them missing."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n_rows, 4)).astype(np.float32)
    labels = generator.integers(0, n_classes, n_rows)
    labels[generator.random(n_rows) < 0.2] = -1
    return x, labels


def clusters(n_rows: int, n_classes: int = 5, seed: int = 0) -> tuple[Array, Array]:
    """Overlapping blobs, one for each class, in four dimensions."""
    centres = np.random.default_rng(99).standard_normal((n_classes, 4))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, n_classes, n_rows)
    x = centres[labels] + 0.5 * generator.standard_normal((n_rows, 4))
    return x.astype(np.float32), labels


def classifier(head: Likelihood, **options: Any) -> nn.Sequential:
    """A network for clusters."""
    layers = nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, head.n_outputs)
    return nn.Sequential(*layers, likelihood=head, seed=1, **options)
