"""Fit the tables of cpp/cpu/relu_tables.h, and check the committed ones.

    python tools/fit_relu_tables.py           prints the largest error of each table
    python tools/fit_relu_tables.py --write   writes the header
    python tools/fit_relu_tables.py --check   fails unless the header holds these tables

With X standard normal, the tail moments at t >= 0

    S(t) = E (X - t)+^2,   E (X - t)+ = -S'(t) / 2,   P(X > t) = S''(t) / 2

are one function and its derivatives, and P(X > t) = S(t) + t E (X - t)+, a sum of positive terms.
So one polynomial for S in each of 31 intervals and its slope give all three; the 32nd, from the
last edge on, is 0. The coefficients are those whose largest relative error of any of the three is
the least, by Lawson's algorithm: least squares, again and again, with weights that grow where the
error is large.

Interval number y = round(a t + b t^2) makes the intervals narrower as t grows and the moments fall.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import mpmath as mp
import numpy as np
import numpy.typing as npt

mp.mp.dps = 40
HEADER = Path(__file__).resolve().parent.parent / "cpp/cpu/relu_tables.h"
N_INTERVALS = 31
N_POINTS = 60  # of an interval, at which the error is looked at

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """One table: its name in C++, what it is for, and how its intervals are laid out.

    Attributes:
        name: Of the struct.
        comment: What stands above it.
        degree: Of the polynomials.
        end: The last edge; beyond it everything is 0.
        growth: b / a.
    """

    name: str
    comment: str
    degree: int
    end: float
    growth: float

    @property
    def a(self) -> float:
        """The factor of t in the number of an interval, such that the last one stops at `end`."""
        return (N_INTERVALS - 0.5) / (self.end * (1 + self.growth * self.end))

    @property
    def b(self) -> float:
        """The factor of t^2."""
        return self.growth * self.a

    def place(self, y: float) -> float:
        """The t at which a t + b t^2 = y."""
        return float((-self.a + np.sqrt(self.a**2 + 4 * self.b * y)) / (2 * self.b))

    def edges(self) -> list[float]:
        """Where the intervals start, and where the last one stops."""
        return [0.0] + [self.place(k + 0.5) for k in range(N_INTERVALS)]


TABLES = (
    Table(
        "ReLUTable",
        "/// To 8 standard deviations, for moments in float.",
        degree=6,
        end=8.01,
        growth=0.8,
    ),
    Table(
        "RoughReLUTable",
        "/// To 5.5 standard deviations, for moments that are rounded to bfloat16 afterwards.",
        degree=4,
        end=5.5,
        growth=0.5,
    ),
)


def tail_moments(t: float) -> tuple[float, float, float]:
    """E (X - t)+^2, E (X - t)+ and P(X > t)."""
    x = mp.mpf(t)
    density = mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)
    probability = mp.erfc(x / mp.sqrt(2)) / 2
    return (
        float((1 + x * x) * probability - x * density),
        float(density - x * probability),
        float(probability),
    )


def fit(low: float, high: float, centre: float, degree: int) -> tuple[Array, Array]:
    """Coefficients in powers of t - centre, lowest first, and the largest error of each moment."""
    angles = np.pi * (np.arange(N_POINTS) + 0.5) / N_POINTS
    t = low + (high - low) * (np.cos(angles) + 1) / 2
    truth = np.array([tail_moments(each) for each in t]).T
    radius = (high - low) / 2
    u = (t - centre) / radius
    k = np.arange(degree + 1)
    # Each row holds what the coefficients contribute to a moment at a point.
    second = u[:, None] ** k
    first = -k / 2 * u[:, None] ** np.maximum(k - 1, 0) / radius
    probability = second + t[:, None] * first
    rows = np.concatenate(
        [
            row / value[:, None]
            for row, value in zip((second, first, probability), truth, strict=True)
        ]
    )
    weights = np.full(len(rows), 1 / len(rows))
    best: tuple[float, Array, Array] | None = None
    for _ in range(60):
        root = np.sqrt(weights)
        scaled = np.linalg.lstsq(rows * root[:, None], root, rcond=None)[0]
        error = np.abs(rows @ scaled - 1)
        if best is None or error.max() < best[0]:
            best = (error.max(), scaled / radius**k, error.reshape(3, -1).max(1))
        weights = weights * (error / error.max() + 1e-3)
        weights /= weights.sum()
    assert best is not None
    return best[1], best[2]


def literals(values: Array) -> str:
    """Shortest decimals that read back as the values rounded to float, as C++ literals."""
    return ", ".join(
        np.format_float_scientific(value, trim="0", exp_digits=1).replace("e+0", "") + "f"
        for value in values.astype(np.float32)
    )


def build(table: Table) -> tuple[str, Array, Array]:
    """The struct in C++, the largest error in each interval of any moment, and the edges."""
    edges = table.edges()
    centres = np.array([(low + high) / 2 for low, high in pairwise(edges)], np.float32)
    fits = [
        fit(low, high, float(centre), table.degree)
        for (low, high), centre in zip(pairwise(edges), centres, strict=True)
    ]
    coefficients = np.array([each[0] for each in fits] + [np.zeros(table.degree + 1)])
    rows = ",\n".join("{" + literals(column) + "}" for column in coefficients.T)
    text = f"""{table.comment}
struct {table.name} {{
  static constexpr int degree = {table.degree};
  static constexpr float a = {literals(np.array([table.a]))};
  static constexpr float b = {literals(np.array([table.b]))};
  static constexpr float end = {literals(np.array([table.place(float(N_INTERVALS))]))};
  alignas(64) static constexpr float centre[32] = {{{literals(np.append(centres, 0))}}};
  alignas(64) static constexpr float coefficients[degree + 1][32] = {{
{rows}}};
}};
"""
    return text, np.array([each[1].max() for each in fits]), np.array(edges)


def header(structs: list[str]) -> str:
    """The whole file, in the project's layout."""
    text = """#pragma once

namespace tagix::cpu {
namespace {

// Polynomials for the tail moments of a standard normal X, S(t) = E (X - t)+^2, made by
// tools/fit_relu_tables.py. Interval round(t (a + b t)) has the powers of t - centre; -S'(t) / 2
// is E (X - t)+, S(t) + t E (X - t)+ is P(X > t). `end` lies in the last interval: all are 0.

""" + "\n".join(structs)
    text += "\n}  // namespace\n}  // namespace tagix::cpu\n"
    return subprocess.run(
        ["clang-format", "--assume-filename", str(HEADER)],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def main() -> None:
    """Print the errors; write the header or compare it with the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the header")
    parser.add_argument("--check", action="store_true", help="compare with the header")
    arguments = parser.parse_args()
    structs = []
    for table in TABLES:
        text, errors, edges = build(table)
        structs.append(text)
        for limit in (4.0, 6.0, 8.0):
            inside = errors[edges[:-1] < limit]
            print(f"{table.name}: to {limit:g} sd, largest relative error {inside.max():.1e}")
    if arguments.write:
        HEADER.write_text(header(structs))
    if arguments.check:
        numbers = re.findall(r"-?\d[\d.e-]*f\b", header(structs))
        committed = re.findall(r"-?\d[\d.e-]*f\b", HEADER.read_text())
        if numbers != committed:
            raise SystemExit(f"{HEADER}: does not hold these tables")


if __name__ == "__main__":
    main()
