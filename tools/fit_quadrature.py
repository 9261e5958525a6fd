"""Make the quadrature rules of cpp/math/quadrature.h, and measure them.

    python tools/fit_quadrature.py           prints nodes, weights and errors beside other rules
    python tools/fit_quadrature.py --check   also fails unless the header holds these rules

Sigmoid-like functions have poles at a distance from the real axis, and for those a trapezoid rule
in z converges far faster than Gauss-Hermite of as many nodes: Gauss-Hermite spends nodes on the
tails, where the density is 1e-10. A trapezoid rule with spacing h(x) errs by about
phi(x) exp(-2 pi d / h(x)) for a pole at distance d above x (in standard deviations), so the spacing
may grow where the density falls. With beta of a few hundredths the substitution

    u = x - beta x^3 / 3,   u_k = (k - (n - 1) / 2) h,   w_k = phi(x_k) h / (1 - beta x_k^2)

does that. The weights are then multiplied by the even polynomial of degree 4 that makes the
moments 0 to 5 exact, which undoes the truncation to |x| < 4.1. n, h and beta were chosen by a grid
search for the fewest nodes with error at most 1e-4 over mean in [-12, 12], sd in [1e-3, 4].

Where a pole is many standard deviations away, Gauss-Hermite needs fewer nodes than a trapezoid
rule. The header's rule for small variances has 12, and the largest variance is chosen for each
function, two digits of it, so that no error of a moment or of a slope of one exceeds 1e-5.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rule = tuple[Array, Array]

HEADER = Path(__file__).resolve().parent.parent / "cpp/math/quadrature.h"
N_NODES, SPACING, BETA = 30, 0.2125, 0.044
N_NARROW_NODES = 12
NARROW_VARS = {"sigmoid": 1.2, "tanh": 0.18, "softplus": 1.5, "silu": 0.85, "gelu": 0.5}


def trapezoid(n_nodes: int, spacing: float, beta: float) -> Rule:
    """Nodes and weights; beta = 0 leaves the nodes equally spaced."""
    u = (np.arange(n_nodes) - (n_nodes - 1) / 2) * spacing
    x = u.copy()
    for _ in range(100):  # Newton's method
        x -= (x - beta * x**3 / 3 - u) / (1 - beta * x**2)
    weights = np.exp(-(x**2) / 2) * spacing / np.sqrt(2 * np.pi) / (1 - beta * x**2)
    moments = [np.sum(weights * x ** (2 * i)) for i in range(5)]
    system = np.array([[moments[i + j] for j in range(3)] for i in range(3)])
    correction = np.linalg.solve(system, np.array([1.0, 1.0, 3.0]))
    return x, weights * (correction[0] + correction[1] * x**2 + correction[2] * x**4)


def gauss_hermite(n_nodes: int) -> Rule:
    """Gauss-Hermite nodes and weights for the standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    return nodes, weights / weights.sum()


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), without overflow."""
    return 0.5 * (1 + np.tanh(z / 2))


def normal_cdf(z: Array) -> Array:
    """Phi by its own integral, fine enough for errors of 1e-8."""
    grid = np.linspace(-9, 9, 20001)
    density = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    steps = (density[1:] + density[:-1]) / 2 * (grid[1] - grid[0])
    return np.asarray(np.interp(z, grid, np.concatenate([[0.0], np.cumsum(steps)])))


Functions = dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]]
FUNCTIONS: Functions = {
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * sigmoid(-z)),
    "tanh": (np.tanh, lambda z: 4 * sigmoid(2 * z) * sigmoid(-2 * z)),
    "softplus": (lambda z: np.logaddexp(0, z), sigmoid),
    "silu": (lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * sigmoid(-z))),
    "gelu": (
        lambda z: z * normal_cdf(z),
        lambda z: normal_cdf(z) + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi),
    ),
}


def moments_and_slopes(name: str, mean: Array, sd: float, rule: Rule) -> list[Array]:
    """For each mean, shape (n,), and one standard deviation.

    E f, Var f and E f', then those of QuadratureSlopes and QuadratureJacobianSlope.
    """
    value, derivative = FUNCTIONS[name]
    nodes, weights = rule
    z = mean[:, None] + sd * nodes
    f, slope = value(z), derivative(z)
    f_mean = f @ weights
    deviation = f - f_mean[:, None]
    return [
        f_mean,
        deviation**2 @ weights,
        slope @ weights,
        (slope * nodes) @ weights / (2 * sd),
        2 * (deviation * slope) @ weights,
        (deviation * slope * nodes) @ weights / sd,
        (slope * (nodes**2 - 1)) @ weights,
    ]


def largest_errors(name: str, rule: Rule, sds: list[float]) -> tuple[float, float]:
    """Over the moments, and over their slopes, relative to max(1, |truth|)."""
    fine = np.linspace(-9, 9, 3001)
    weights = np.exp(-(fine**2) / 2)
    truth_rule = (fine, weights / weights.sum())
    mean = np.linspace(-12, 12, 193)
    errors = np.zeros(7)
    for sd in sds:
        got = np.array(moments_and_slopes(name, mean, sd, rule))
        truth = np.array(moments_and_slopes(name, mean, sd, truth_rule))
        errors = np.maximum(
            errors, np.max(np.abs(got - truth) / np.maximum(1, np.abs(truth)), axis=1)
        )
    return float(errors[:3].max()), float(errors[3:].max())


def main() -> None:
    """Print the rule and its errors; with --check, compare it with the header."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the header")
    check = parser.parse_args().check
    rule = trapezoid(N_NODES, SPACING, BETA)
    narrow = gauss_hermite(N_NARROW_NODES)
    tables = [
        ", ".join(f"S({value!r})" for value in np.round(row, n_digits).tolist())
        for each, n_digits in ((rule, 12), (narrow, 15))
        for row in each
    ]
    print("\n".join(tables))

    rules = {
        f"this rule, {N_NODES} nodes": rule,
        f"equally spaced, {N_NODES} nodes": trapezoid(N_NODES, 0.275, 0),
        "equally spaced, 40 nodes": trapezoid(40, 0.20625, 0),
        f"Gauss-Hermite, {N_NODES} nodes": gauss_hermite(N_NODES),
    }
    to_4 = [0.001, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0]
    for title, each in rules.items():
        for label, sds in (
            ("sd <= 4", to_4),
            ("sd = 6", [6.0]),
            ("sd = 8", [8.0]),
            ("sd = 12", [12.0]),
        ):
            errors = (f"{name} {largest_errors(name, each, sds)[0]:.1e}" for name in FUNCTIONS)
            print(f"{title}, {label}: {', '.join(errors)}")
    for name, var in NARROW_VARS.items():
        of_moments, of_slopes = largest_errors(name, narrow, [0.05, 0.5 * var**0.5, var**0.5])
        title = f"{N_NARROW_NODES} nodes, {name}, var <= {var}"
        print(f"{title}: moments {of_moments:.1e}, slopes {of_slopes:.1e}")
        if max(of_moments, of_slopes) > 1e-5:
            raise SystemExit(f"the rule for small variances is not good to 1e-5 for {name}")

    if check:
        header = re.sub(r"\s+", "", HEADER.read_text())
        if any(table.replace(" ", "") not in header for table in tables):
            raise SystemExit(f"{HEADER.name} does not hold these rules")


if __name__ == "__main__":
    main()
