"""Fit the polynomials of cpp/math/scalar.h and cpp/math/normal.h, and check the committed ones.

Each polynomial minimises the largest relative error over its interval (Remez exchange in
40-digit arithmetic); its coefficients, lowest power first, are then rounded to float or double.

    python tools/fit_normal_tails.py           prints every table with its error
    python tools/fit_normal_tails.py --check   also fails unless the headers hold those tables

exp and log1p, both on the interval left by range reduction:

    exp(r)   = 1 + r + r^2 P(r)    |r| <= log(2) / 2
    log1p(x) = x + x^2 P(x)        sqrt(1/2) - 1 <= x <= sqrt(2) - 1

Tail moments of the standard normal X, with R(a) the Mills ratio P(X > a) / phi(a), a >= 0:

    E (X - a)+   = phi(a) L1(a),   L1 = 1 - a R
    E (X - a)+^2 = phi(a) L2(a),   L2 = (1 + a^2) R - a

fall like 1/a^2 and 2/a^3, so what is fitted, with 1/sqrt(2 pi) of phi taken in, is

    (a + 4)^2 L1(a) / sqrt(2 pi)   and   (a + 4)^3 L2(a) / sqrt(2 pi)   in t = (a - 4) / (a + 4)

for 0 <= a <= 12.6. R needs no table: R = L2 + a L1, a sum of positive terms.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 40
REPOSITORY = Path(__file__).resolve().parent.parent
SHIFT = mp.mpf(4)
LARGEST_ARGUMENT = mp.mpf("12.6")

Function = Callable[[mp.mpf], mp.mpf]


@dataclass(frozen=True)
class Table:
    """One polynomial: what it approximates, where, and the header that holds it."""

    name: str
    header: str
    function: Function
    low: mp.mpf
    high: mp.mpf
    degree: int
    dtype: type[np.floating]


def mills_ratio(a: mp.mpf) -> mp.mpf:
    """R(a) = P(X > a) / phi(a)."""
    return mp.sqrt(mp.pi / 2) * mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2))


def scaled_first(t: mp.mpf) -> mp.mpf:
    """(a + 4)^2 L1(a) / sqrt(2 pi) at a = 4 (1 + t) / (1 - t)."""
    a = SHIFT * (1 + t) / (1 - t)
    return (1 - a * mills_ratio(a)) * (a + SHIFT) ** 2 / mp.sqrt(2 * mp.pi)


def scaled_second(t: mp.mpf) -> mp.mpf:
    """(a + 4)^3 L2(a) / sqrt(2 pi) at a = 4 (1 + t) / (1 - t)."""
    a = SHIFT * (1 + t) / (1 - t)
    return ((1 + a * a) * mills_ratio(a) - a) * (a + SHIFT) ** 3 / mp.sqrt(2 * mp.pi)


def exp_remainder(r: mp.mpf) -> mp.mpf:
    """P of exp(r) = 1 + r + r^2 P(r)."""
    return (mp.expm1(r) - r) / r**2 if abs(r) > 1e-12 else mp.mpf(1) / 2 + r / 6


def log1p_remainder(x: mp.mpf) -> mp.mpf:
    """P of log1p(x) = x + x^2 P(x)."""
    return (mp.log1p(x) - x) / x**2 if abs(x) > 1e-12 else -mp.mpf(1) / 2 + x / 3


def chebyshev_points(low: mp.mpf, high: mp.mpf, count: int) -> list[mp.mpf]:
    """The extrema of a Chebyshev polynomial on [low, high], ascending."""
    centre, radius = (low + high) / 2, (high - low) / 2
    return [centre - radius * mp.cos(mp.pi * i / (count - 1)) for i in range(count)]


def fit(table: Table) -> list[mp.mpf]:
    """The coefficients, lowest power first, of least largest relative error."""
    n_points = table.degree + 2
    grid = chebyshev_points(table.low, table.high, 600)
    truth = [table.function(x) for x in grid]
    points = [
        min(range(600), key=lambda i: abs(grid[i] - x))
        for x in chebyshev_points(table.low, table.high, n_points)
    ]
    for _ in range(20):
        system, ones = mp.matrix(n_points, n_points), mp.matrix(n_points, 1)
        for row, i in enumerate(points):
            for power in range(table.degree + 1):
                system[row, power] = grid[i] ** power / truth[i]
            system[row, n_points - 1] = (-1) ** row
            ones[row] = 1
        solution = list(mp.lu_solve(system, ones))
        coefficients, level = solution[:-1], abs(solution[-1])
        error = [
            mp.polyval(coefficients[::-1], x) / f - 1 for x, f in zip(grid, truth, strict=True)
        ]
        if max(map(abs, error)) < level * mp.mpf("1.02"):
            break
        extrema: list[int] = []
        for i, value in enumerate(error):
            if not extrema or (value > 0) != (error[extrema[-1]] > 0):
                extrema.append(i)
            elif abs(value) > abs(error[extrema[-1]]):
                extrema[-1] = i
        while len(extrema) > n_points:
            extrema.pop(0 if abs(error[extrema[0]]) < abs(error[extrema[-1]]) else -1)
        points = extrema
    return coefficients


def relative_error(table: Table, coefficients: list[str]) -> float:
    """The largest relative error of the rounded coefficients, evaluated exactly."""
    exact = [mp.mpf(float(table.dtype(c))) for c in reversed(coefficients)]
    grid = chebyshev_points(table.low, table.high, 1001)
    return float(max(abs(mp.polyval(exact, x) / table.function(x) - 1) for x in grid))


def text(value: mp.mpf, dtype: type[np.floating]) -> str:
    """The shortest decimal that reads back as the rounded value, as a C++ literal."""
    suffix = "f" if dtype is np.float32 else ""
    rounded = dtype(mp.nstr(value, 30))
    return np.format_float_scientific(rounded, trim="0", exp_digits=1).replace("e+0", "") + suffix


def tables() -> list[Table]:
    """The polynomials of the two headers."""
    half_log2 = mp.log(2) / 2
    scalar, normal = "cpp/math/scalar.h", "cpp/math/normal.h"
    top = (LARGEST_ARGUMENT - SHIFT) / (LARGEST_ARGUMENT + SHIFT)
    bottom = -mp.mpf(1)
    low, high = mp.sqrt(mp.mpf(1) / 2) - 1, mp.sqrt(2) - 1
    f32, f64 = np.float32, np.float64
    return [
        Table("exp", scalar, exp_remainder, -half_log2, half_log2, 4, f32),
        Table("log1p", scalar, log1p_remainder, low, high, 7, f32),
        Table("L1, float", normal, scaled_first, bottom, top, 8, f32),
        Table("L2, float", normal, scaled_second, bottom, top, 8, f32),
        Table("L1, double", normal, scaled_first, bottom, top, 18, f64),
        Table("L2, double", normal, scaled_second, bottom, top, 18, f64),
    ]


def main() -> None:
    """Print the tables; with --check, compare them with the headers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the headers")
    check = parser.parse_args().check
    for table in tables():
        literals = [text(c, table.dtype) for c in fit(table)]
        error = relative_error(table, [c.rstrip("f") for c in literals])
        print(f"{table.name}: degree {table.degree}, largest relative error {error:.2g}")
        print("    " + ", ".join(literals))
        if check:
            header = re.sub(r"\s+", "", (REPOSITORY / table.header).read_text())
            if ",".join(literals) not in header:
                raise SystemExit(f"{table.name}: {table.header} does not hold this table")


if __name__ == "__main__":
    main()
