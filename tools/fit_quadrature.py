"""Make the quadrature rule of cpp/math/quadrature.h, and measure it.

    python tools/fit_quadrature.py           prints nodes, weights and errors beside other rules
    python tools/fit_quadrature.py --check   also fails unless the header holds this rule

Sigmoid-like functions have poles at a distance from the real axis, and for those a trapezoid rule
in z converges far faster than Gauss-Hermite of as many nodes: Gauss-Hermite spends nodes on the
tails, where the density is 1e-10. A trapezoid rule with spacing h(x) errs by about
phi(x) exp(-2 pi d / h(x)) for a pole at distance d above x (in standard deviations), so the spacing
may grow where the density falls. With beta of a few hundredths the substitution

    u = x - beta x^3 / 3,   u_k = (k - (n - 1) / 2) h,   w_k = phi(x_k) h / (1 - beta x_k^2)

does that. The weights are then multiplied by the even polynomial of degree 4 that makes the
moments 0 to 5 exact, which undoes the truncation to |x| < 4.1. n, h and beta were chosen by a grid
search for the fewest nodes with error at most 1e-4 over mean in [-12, 12], sd in [1e-3, 4].
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


def moments(name: str, mean: Array, sd: float, rule: Rule) -> tuple[Array, Array, Array]:
    """E f, Var f and E f' for each mean, shape (n,), and one standard deviation."""
    value, derivative = FUNCTIONS[name]
    nodes, weights = rule
    z = mean[:, None] + sd * nodes
    f = value(z)
    f_mean = f @ weights
    return f_mean, (f - f_mean[:, None]) ** 2 @ weights, derivative(z) @ weights


def largest_error(name: str, rule: Rule, sds: list[float]) -> float:
    """Over mean, var and Jacobian, relative to max(1, |truth|)."""
    fine = np.linspace(-9, 9, 3001)
    weights = np.exp(-(fine**2) / 2)
    truth_rule = (fine, weights / weights.sum())
    mean = np.linspace(-12, 12, 193)
    worst = 0.0
    for sd in sds:
        for got, true in zip(
            moments(name, mean, sd, rule), moments(name, mean, sd, truth_rule), strict=True
        ):
            worst = max(worst, float(np.max(np.abs(got - true) / np.maximum(1, np.abs(true)))))
    return worst


def main() -> None:
    """Print the rule and its errors; with --check, compare it with the header."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the header")
    check = parser.parse_args().check
    rule = trapezoid(N_NODES, SPACING, BETA)
    tables = [", ".join(f"S({value!r})" for value in np.round(row, 12).tolist()) for row in rule]
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
            errors = (f"{name} {largest_error(name, each, sds):.1e}" for name in FUNCTIONS)
            print(f"{title}, {label}: {', '.join(errors)}")

    if check:
        header = re.sub(r"\s+", "", HEADER.read_text())
        if any(table.replace(" ", "") not in header for table in tables):
            raise SystemExit(f"{HEADER.name} does not hold this rule")


if __name__ == "__main__":
    main()
