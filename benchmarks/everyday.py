"""Estimators on random tables of everyday columns: do they fit, predict, and survive?"""

from __future__ import annotations

import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tagix as tx
from benchmarks.everyday_tables import random_table
from tagix.sklearn import TagiRegressor


@dataclass(frozen=True)
class Outcome:
    """What one table gave: ``error`` is empty where nothing failed."""

    kinds: list[str]
    n_rows: int
    coverage: float
    """Share of new targets in 90 % intervals."""
    relative_error: float
    """Mean absolute error, that of the mean of the targets being 1."""
    seconds: float
    error: str


def try_table(seed: int) -> Outcome:
    """Fit to one half of a table; predict the other, before and after it went through a file.

    Then learn the other half, and predict far beyond.
    """
    X, y, kinds = random_table(seed)
    half = len(y) // 2
    old, new = slice(half), slice(half, None)
    begin, coverage, error, relative_error = time.perf_counter(), np.nan, "", np.nan
    try:
        model = TagiRegressor(random_state=0).fit(X[old], y[old])
        low, high = model.predict_interval(X[new]).T
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            error = "intervals that are not finite"
        coverage = float(np.mean((low <= y[new]) & (y[new] <= high)))
        of_mean = np.mean(np.abs(y[new] - y[old].mean()))
        relative_error = float(np.mean(np.abs(y[new] - model.predict(X[new]))) / of_mean)
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "model.safetensors")
            loaded = tx.load(Path(folder) / "model.safetensors")
        if not np.array_equal(loaded.predict_interval(X[new]), np.column_stack([low, high])):
            error = "another prediction after a file"
        loaded.partial_fit(X[new], y[new])
        far = X[new] + 10 * np.nan_to_num(np.nanstd(np.nan_to_num(X[old]), axis=0))
        if not np.isfinite(loaded.predict_interval(far)).all():
            error = "intervals far out that are not finite"
    except Exception:
        error = traceback.format_exc(limit=-1).strip().splitlines()[-1]
    seconds = time.perf_counter() - begin
    return Outcome(kinds, len(y), coverage, relative_error, seconds, error)


def run(n_tables: int) -> bool:
    """Print what tables of seeds 0 to n_tables - 1 gave; whether none failed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcomes = [try_table(seed) for seed in range(n_tables)]
    failed = [outcome for outcome in outcomes if outcome.error]
    coverage = np.array([outcome.coverage for outcome in outcomes])
    error = np.array([outcome.relative_error for outcome in outcomes])
    rows = np.array([outcome.n_rows for outcome in outcomes])
    print(f"{n_tables} tables, {rows.min()} to {rows.max()} rows: {len(failed)} failed")
    for outcome in failed:
        print(f"  {outcome.kinds}: {outcome.error}")
    shares = ", ".join(f"{share:.3f}" for share in np.nanquantile(coverage, [0.05, 0.5, 0.95]))
    print(f"90 % intervals hold {np.nanmean(coverage):.3f} on average; 5, 50, 95 %: {shares}")
    print(f"mean absolute error, that of the mean of y being 1: {np.nanmean(error):.3f}")
    worse = Counter(kind for o in outcomes if not o.relative_error < 1 for kind in o.kinds)
    print(f"no better than the mean: {np.sum(~(error < 1))} tables; their columns: {dict(worse)}")
    print(f"warnings: {dict(Counter(each.category.__name__ for each in caught))}")
    print(f"{sum(outcome.seconds for outcome in outcomes):.0f} s")
    return not failed
