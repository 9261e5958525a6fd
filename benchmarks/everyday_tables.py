"""Tables such as people bring: counters, flags, sentinels, heavy tails, constants, gaps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Column = Callable[[np.random.Generator, int], Array]


def _counter(g: np.random.Generator, n: int) -> Array:
    return np.arange(n, dtype=np.float64) + g.integers(10**6)


def _seconds(g: np.random.Generator, n: int) -> Array:
    return 1.7e9 + np.cumsum(g.exponential(60.0, n))


def _rare_flag(g: np.random.Generator, n: int) -> Array:
    flag = np.zeros(n)
    flag[g.choice(n, size=max(1, n // 1000), replace=False)] = 1
    return flag


def _sentinel(g: np.random.Generator, n: int) -> Array:
    column = g.normal(size=n)
    column[g.integers(n)] = -999
    return column


def _often_missing(g: np.random.Generator, n: int) -> Array:
    return np.where(g.random(n) < 0.3, np.nan, g.normal(size=n))


# What a column may be beside the two that the target depends on.
COLUMNS: dict[str, Column] = {
    "counter": _counter,
    "seconds since 1970": _seconds,
    "rare flag": _rare_flag,
    "flag": lambda g, n: (g.random(n) < 0.3).astype(np.float64),
    "sentinel": _sentinel,
    "log-normal": lambda g, n: np.exp(2 * g.normal(size=n)),
    "Pareto": lambda g, n: 1 + g.pareto(1.1, n),
    "Zipf": lambda g, n: g.zipf(1.5, n).astype(np.float64),
    "Cauchy": lambda g, n: g.standard_cauchy(n),
    "Student's t": lambda g, n: g.standard_t(2, n),
    "constant": lambda g, n: np.full(n, 7.0),
    "zero but for a few": lambda g, n: np.where(g.random(n) < 0.02, g.exponential(100.0, n), 0.0),
    "offset of 1e8": lambda g, n: 1e8 + g.normal(size=n),
    "often missing": _often_missing,
    "never there": lambda g, n: np.full(n, np.nan),
    "code of a category": lambda g, n: g.integers(0, 5, n).astype(np.float64),
    "scale of 1e-12": lambda g, n: 1e-12 * g.normal(size=n),
    "scale of 1e30": lambda g, n: 1e30 * g.normal(size=n),
}


def random_table(seed: int) -> tuple[Array, Array, list[str]]:
    """X, y and the kinds of X's columns: 60 to 600 rows, a law of two plain columns, and noise.

    y is in any units; its noise is Gaussian with a standard deviation of 0.2 to 1 of the law's.
    """
    g = np.random.default_rng(seed)
    n = int(np.exp(g.uniform(np.log(60), np.log(600))))
    kinds = g.choice(list(COLUMNS), size=g.integers(1, 6), replace=False).tolist()
    plain = g.normal(size=(n, 2))
    law = plain[:, 0] + np.sin(2 * plain[:, 1])
    y = law + g.uniform(0.2, 1.0) * law.std() * g.normal(size=n)
    X = np.column_stack([plain, *(COLUMNS[kind](g, n) for kind in kinds)])
    order = g.permutation(X.shape[1])
    names = ["plain", "plain", *kinds]
    return (
        X[:, order],
        y * 10 ** g.uniform(-3, 6) + 10 ** g.uniform(-3, 4),
        [names[i] for i in order],
    )
