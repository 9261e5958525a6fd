"""The kernel of the Gaussian process that wide networks of the recipe's prior become.

With rows x whose columns have been scaled by their relevance (Cho & Saul, NIPS 2009),

    k_0(x, x') = (gain_bias^2 + sum_j x_j x'_j) / n_features
    k_l(x, x') = sqrt(k k') (sin t + (pi - t) cos t) / (2 pi) + 1/width
    cos t = k_l-1(x, x') / sqrt(k k'),   k = k_l-1(x, x),   k' = k_l-1(x', x')

The kernel's matrix is taken through some rows (Nystroem's approximation), chosen one by one where
the variance that those before leave is greatest: an incomplete Cholesky factorization with pivots.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tagix.sklearn._recipe import RECIPE

Array = NDArray[np.float64]

LEAST_RESIDUAL = 1e-8
"""Of the greatest prior variance: below it is rounding."""


def kernel(rows: Array, others: Array, hidden: tuple[int, ...]) -> Array:
    """The prior's covariance of outputs, (n_rows, n_others)."""
    core, of_rows, of_others, constant = factored(rows, others, hidden)
    core *= of_rows[:, np.newaxis]
    core *= of_others
    core += constant
    return core


def factored(
    rows: Array, others: Array, hidden: tuple[int, ...]
) -> tuple[Array, Array, Array, float]:
    """The kernel as C, a, b and c with k[i, j] = a[i] C[i, j] b[j] + c: less to be written."""
    (unit_rows, a), (unit_others, b) = _directions(rows, hidden), _directions(others, hidden)
    core = unit_rows @ unit_others.T  # cosines of the angles between them
    constant = 0.0
    for width in hidden:
        if constant:
            above_a, above_b = (np.sqrt(np.pi * each**2 + constant) for each in (a, b))
            core *= (a / above_a)[:, np.newaxis]
            core *= b / above_b
            core += constant / np.multiply.outer(above_a, above_b)
            a, b = above_a, above_b
        np.clip(core, -1.0, 1.0, out=core)
        angle = np.arccos(core)
        np.subtract(np.pi, angle, out=angle)
        angle *= core
        np.multiply(core, core, out=core)
        np.subtract(1.0, core, out=core)
        np.sqrt(core, out=core)
        core += angle
        a, b, constant = a / np.sqrt(2.0 * np.pi), b / np.sqrt(2.0 * np.pi), 1.0 / width
    return core, a, b, constant


def variances(rows: Array, hidden: tuple[int, ...]) -> Array:
    """The diagonal of the kernel, (n_rows,)."""
    variances: Array = (np.einsum("ij,ij->i", rows, rows) + _bias_var(hidden)) / rows.shape[1]
    for width in hidden:
        variances = 0.5 * variances + 1.0 / width
    return variances


def pivots(
    rows: Array, hidden: tuple[int, ...], known: Array, most: int, least_residual: float
) -> tuple[NDArray[np.intp], Array]:
    """Rows that explain the others best, chosen one by one, and what they explain.

    Args:
        rows: as the kernel sees them.
        known: (n_rows, n_before), factors of earlier inducing rows.
        most: how many to choose at most.
        least_residual: variance from which on a row is worth choosing.

    Returns:
        The positions of the chosen rows, and factors (n_rows, n_before + n_chosen), whose products
        are the kernel as far as it is explained.
    """
    before, prior = known.shape[1], variances(rows, hidden)
    least = max(least_residual, LEAST_RESIDUAL * float(prior.max()))
    residual = np.maximum(prior - np.sum(known**2, axis=1), 0.0)
    factors = np.hstack([known, np.zeros((len(rows), min(most, len(rows))))])
    chosen: list[int] = []
    for column in range(before, factors.shape[1]):
        pivot = int(residual.argmax())
        if residual[pivot] <= least:
            break
        covariance = kernel(rows, rows[pivot : pivot + 1], hidden)[:, 0]
        covariance -= factors[:, :column] @ factors[pivot, :column]
        factors[:, column] = covariance / np.sqrt(residual[pivot])
        factors[chosen, column] = 0.0
        factors[pivot, column] = np.sqrt(residual[pivot])
        residual = np.maximum(residual - factors[:, column] ** 2, 0.0)
        residual[pivot] = 0.0
        chosen.append(pivot)
    return np.array(chosen, np.intp), factors[:, : before + len(chosen)]


def _directions(rows: Array, hidden: tuple[int, ...]) -> tuple[Array, Array]:
    """Rows with the bias's input, of length 1, and the lengths that they had, (n_rows,)."""
    wide = np.empty((len(rows), rows.shape[1] + 1))
    wide[:, :-1], wide[:, -1] = rows, np.sqrt(_bias_var(hidden))
    wide /= np.sqrt(rows.shape[1])
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    wide /= lengths[:, np.newaxis]
    return wide, lengths


def _bias_var(hidden: tuple[int, ...]) -> float:
    """Prior variance of a first layer's bias, in units of that of its weights."""
    return RECIPE.gain_bias**2 if hidden else 1.0
