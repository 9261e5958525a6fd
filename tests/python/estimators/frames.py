"""A table of numbers, categories, flags and days, as a DataFrame and by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from tagix.sklearn._columns import ColumnEncoder
from tagix.sklearn._frames import columns_of

FEW: dict[str, Any] = {"hidden": (4,), "max_epochs": 2, "n_estimators": 2, "random_state": 0}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}

RNG = np.random.default_rng(3)
N = 60
COLOURS = RNG.choice(["red", "green", "blue"], N).tolist()
FLAGS = (RNG.random(N) < 0.5).tolist()
SIZES = RNG.standard_normal(N).tolist()
DAYS = [dt.date(2021, 3, 1) + dt.timedelta(int(day)) for day in RNG.integers(0, 900, N)]
Y = np.array(SIZES) + 2.0 * (np.array(COLOURS) == "red") + 0.1 * RNG.standard_normal(N)
COLUMNS: dict[str, list[Any]] = {"size": SIZES, "colour": COLOURS, "flag": FLAGS, "day": DAYS}
# The same by hand.
BY_HAND = np.column_stack(
    [
        SIZES,
        *([colour == other for colour in COLOURS] for other in ("blue", "green", "red")),
        FLAGS,
        [day.toordinal() - dt.date(1970, 1, 1).toordinal() for day in DAYS],
    ]
).astype(np.float64)


def encoded(frame: Any) -> np.ndarray:
    """What the columns of a DataFrame become, (rows, inputs)."""
    columns = columns_of("X", frame)
    assert columns is not None
    return ColumnEncoder.of(columns).transform(columns)


def names_of(frame: Any) -> list[str]:
    """Names of those inputs."""
    columns = columns_of("X", frame)
    assert columns is not None
    return ColumnEncoder.of(columns).input_names(list(columns))
