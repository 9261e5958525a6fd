"""Fit the mixture of normals of cpp/math/logistic_moments.h, and check the committed one.

    python tools/fit_logistic_mixture.py           prints standard deviations, weights and errors
    python tools/fit_logistic_mixture.py --check   also fails unless the header's are as good

The logistic distribution is close to a mixture of normals with mean 0 (Monahan and Stefanski,
Normal scale mixture approximations to F*(z), 1992):

    sigmoid(z) = sum_k p_k Phi(z / s_k)

What is fitted are p_k and s_k, to the least largest error of the sum, by least squares whose
weights grow where the error is large (Lawson's algorithm); and, in the same way, the normal tail

    Phi(-a) = phi(a) (c_1 t + ... + c_6 t^6),   t = 1 / (1 + 0.275 a)
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import expit, ndtr

Array = NDArray[np.float64]

HEADER = Path(__file__).resolve().parent.parent / "cpp/math/logistic_moments.h"
N_NORMALS = 7
TAIL_SCALE, TAIL_DEGREE = 0.275, 6
POINTS = np.concatenate([np.linspace(0, 8, 300), np.linspace(8, 40, 200)])


def mixture(parameters: Array) -> tuple[Array, Array]:
    """Standard deviations and weights from their logarithms; the weights sum to 1."""
    std, weight = np.exp(parameters.reshape(2, -1))
    return std, weight / weight.sum()


def error(std: Array, weight: Array) -> Array:
    """The error of the distribution function at the points, of its lower tail."""
    return np.asarray(ndtr(-POINTS[:, None] / std) @ weight - expit(-POINTS))


def slope_error(std: Array, weight: Array) -> float:
    """The largest error of the density."""
    density = np.exp(-((POINTS[:, None] / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))
    truth = expit(POINTS) * expit(-POINTS)
    return float(np.abs(density @ weight - truth).max())


def fit() -> tuple[Array, Array]:
    """Standard deviations, rising, and weights."""
    place = np.linspace(-1, 1, N_NORMALS)
    parameters = np.concatenate([np.log(2 + 1.3 * place), -2 * place**2])
    weights = np.ones(POINTS.size)
    best = (np.inf, parameters)
    for _ in range(60):
        root = np.sqrt(weights)
        parameters = least_squares(
            lambda x, root=root: root * error(*mixture(x)), parameters, xtol=1e-15, ftol=1e-15
        ).x
        size = np.abs(error(*mixture(parameters)))
        best = min(best, (float(size.max()), parameters), key=lambda each: each[0])
        weights *= size / size.max() + 0.02
        weights /= weights.mean()
    std, weight = mixture(best[1])
    order = np.argsort(std)
    return std[order], weight[order]


def fit_tail() -> tuple[Array, float]:
    """The coefficients c_1 ... c_6, and the largest error."""
    a = np.linspace(0, 9, 1500)
    t = 1 / (1 + TAIL_SCALE * a)
    density = np.exp(-a * a / 2) / np.sqrt(2 * np.pi)
    rows = np.stack([density * t**j for j in range(1, TAIL_DEGREE + 1)], 1)
    weights = np.ones(a.size)
    best = (np.inf, np.zeros(TAIL_DEGREE))
    for _ in range(40):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(rows * root[:, None], ndtr(-a) * root, rcond=None)[0]
        size = np.abs(rows @ found - ndtr(-a))
        best = min(best, (float(size.max()), found), key=lambda each: each[0])
        weights *= size / size.max() + 0.01
        weights /= weights.mean()
    return best[1], best[0]


def main() -> None:
    """Print the fit; with --check, compare its errors with those of the header's numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the header")
    check = parser.parse_args().check
    std, weight = fit()
    print("variances: " + ", ".join(f"S({value:.10g})" for value in std**2))
    print("weights:   " + ", ".join(f"S({value:.10g})" for value in weight))
    largest = float(np.abs(error(std, weight)).max())
    print(f"largest error {largest:.1e}, of the density {slope_error(std, weight):.1e}")
    tail, tail_error = fit_tail()
    print("tail:      " + ", ".join(f"S({value:.10g})" for value in tail))
    print(f"largest error {tail_error:.1e}")
    if check:
        numbers = re.findall(r"S\((0?[\d.]+)\)[,}]", HEADER.read_text())[: 2 * N_NORMALS]
        var, committed = np.array(numbers, float).reshape(2, -1)
        found = float(np.abs(error(np.sqrt(var), committed)).max())
        if found > 1.05 * largest or abs(committed.sum() - 1) > 1e-9:
            raise SystemExit(f"{HEADER.name}: largest error {found:.1e}")


if __name__ == "__main__":
    main()
