"""A table in odd units, and a regressor that learns it quickly."""

from __future__ import annotations

from typing import Any

import numpy as np

from tagix.sklearn import TagiRegressor

Array = np.ndarray


def table(n_rows: int = 400, seed: int = 0) -> tuple[Array, Array]:
    """Three inputs in odd units, and a target whose noise grows with the first."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n_rows, 3))
    noise = 0.1 + 0.4 * (z[:, 0] > 0)
    y = np.sin(2 * z[:, 0]) + z[:, 1] + noise * rng.standard_normal(n_rows)
    return z * [1000.0, 0.01, 5.0] + [3e4, -2.0, 0.0], 50.0 * y + 1e4


def small(**arguments: Any) -> TagiRegressor:
    """A regressor of two networks that learn for 30 epochs at most."""
    return TagiRegressor(**{"n_estimators": 2, "max_epochs": 30, "random_state": 0} | arguments)
