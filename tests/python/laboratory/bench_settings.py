"""A benchmark job that takes little time."""

from __future__ import annotations

from typing import Any

from tagix.bench.jobs import Sampling

SMALL: dict[str, Any] = {
    "n_train": 400,
    "n_steps": 5,
    "hidden": (8,),
    "checkpoints": (1, 3),
    "samplings": (Sampling(n_samples=300, metrics=("emd", "nll"), n_stored=50, n_chains=7),),
}
