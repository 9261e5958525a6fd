"""Small networks for regression_data, and ways to copy."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import tagix as tx
from tagix import nn

COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
}


def small(seed: int | None = 0, rule: tx.UpdateRule | None = None) -> nn.Sequential:
    """One hidden layer of 16."""
    return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2), seed=seed, rule=rule)


def wide(seed: int = 0) -> nn.Sequential:
    """Two hidden layers of 64."""
    return nn.Sequential(
        nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2), seed=seed
    )
