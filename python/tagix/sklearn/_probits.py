"""Scores of probabilities of labels, and the best link of one-vs-rest networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tagix._core import OneVsRest

Array = NDArray[np.float64]

# Less counts as so much, so that one wrong label does not outweigh all others.
LEAST_PROBABILITY = 1e-4
# The part that counts of what more networks are expected to gain. All of it trusts too much in the
# mean of networks that are far too sure alone.
TRUSTED_GAIN = 0.5
# What is tried, in steps of a factor of 2 and of its square root: finer steps gain nothing.
_LINK_VARS = 0.08 * 2.0 ** np.arange(-4, 4)
_SHARPNESSES = 2.0 * 2.0 ** (np.arange(-5, 5) / 2)
# Of so many rows a sample says enough.
_MOST_ROWS = 4000
# Standard deviations of the logarithms of both, where nothing is known of a table.
_SPREAD_OF_LINK_VAR = 1.0
_SPREAD_OF_SHARPNESS = 0.5


def log_loss(probabilities: Array, weight: Array | None) -> float:
    """The mean negative logarithm of probabilities (rows,)."""
    losses = -np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    return float(np.average(losses, weights=weight))


def loss_of_more(of_labels: Array, weight: Array | None, n_networks: int) -> float:
    """The log loss that a mixture of ``n_networks`` would have, by that of a few of them.

    The mean probability of k networks has a loss that falls, in the mean, as L_k = a + b/k: to
    leading order b is half the mean of Var p / p^2. So L_1 and L_k say what L_n is,

        L_n = L_k - (L_1 - L_k) (1/k - 1/n) / (1 - 1/k)

    of which TRUSTED_GAIN counts.

    Args:
        of_labels: probabilities that each network gave the labels, (networks, rows).
        weight: (rows,), by which rows count; None: all alike.
        n_networks: how many there will be.
    """
    k = len(of_labels)
    loss = log_loss(of_labels.mean(axis=0), weight)
    if k == 1 or n_networks <= k:
        return loss
    alone = float(np.mean([log_loss(each, weight) for each in of_labels]))
    return loss - TRUSTED_GAIN * (alone - loss) * (1 / k - 1 / n_networks) / (1 - 1 / k)


def probabilities(likelihood: OneVsRest, mean: Array, var: Array) -> Array:
    """Those of classes by outputs (..., classes), as the core has them (:class:`OneVsRest`)."""
    config = likelihood.config
    return _shares(config["sharpness"] * _log_probits(mean, var, config["link_std"] ** 2))


def fit_link(
    labels: NDArray[np.int64], mean: Array, var: Array, weight: Array | None, n_networks: int
) -> OneVsRest:
    """The likelihood with which networks give labels the best mean log-probability.

    Args:
        labels: numbers of classes (rows,).
        mean, var: moments of outputs that networks gave without having learned the rows, (networks,
            rows, classes). Their probabilities are averaged.
        weight: (rows,), by which rows count; None: all alike.
        n_networks: how many there will be in the mixture.

    Returns:
        The likelihood, with the posterior mode of ``link_std`` and ``sharpness`` for Gaussian
        priors of their logarithms about the defaults.
    """
    if len(labels) > _MOST_ROWS:
        part = np.random.default_rng(0).permutation(len(labels))[:_MOST_ROWS]
        labels, mean, var = labels[part], mean[:, part], var[:, part]
        weight = None if weight is None else weight[part] / weight[part].mean()
    n_classes = mean.shape[-1]
    default = OneVsRest(n_classes)
    usual = default.config["link_std"] ** 2, default.config["sharpness"]
    rows = np.arange(len(labels))
    best = np.inf, *usual
    for link_var in _LINK_VARS:
        log_probits = _log_probits(mean, var, link_var)
        for sharpness in _SHARPNESSES:
            of_labels = _shares(sharpness * log_probits)[:, rows, labels]
            loss = loss_of_more(of_labels, weight, n_networks)
            surprise = (np.log(link_var / usual[0]) / _SPREAD_OF_LINK_VAR) ** 2
            surprise += (np.log(sharpness / usual[1]) / _SPREAD_OF_SHARPNESS) ** 2
            best = min(best, (loss + surprise / 2 / len(rows), link_var, sharpness))
    return OneVsRest(n_classes, link_std=float(np.sqrt(best[1])), sharpness=float(best[2]))


def _log_probits(mean: Array, var: Array, link_var: float) -> Array:
    from scipy.special import log_ndtr

    return np.asarray(log_ndtr((mean - 0.5) / np.sqrt(var + link_var)))


def _shares(log_weights: Array) -> Array:
    """Exponentials over their sums, (..., classes)."""
    weights = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
