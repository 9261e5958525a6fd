"""The metrics of Gaussian predictions, and predictions that are calibrated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from tagix import metrics

FloatArray = npt.NDArray[np.float64]
GAUSSIAN_METRICS: dict[str, Callable[..., float]] = {
    name: getattr(metrics, name)
    for name in (
        "nll_gaussian",
        "crps_gaussian",
        "interval_score",
        "coverage",
        "quantile_calibration_error",
        "expected_normalized_calibration_error",
        "aurc",
        "ause",
    )
}
NEEDS_SCIPY = {"crps_gaussian", "interval_score", "coverage", "quantile_calibration_error"}


def gaussian_metric(name: str) -> Callable[..., float]:
    """The metric of that name; skips where it needs SciPy and there is none."""
    if name in NEEDS_SCIPY:
        pytest.importorskip("scipy", reason="needs the lab extra")
    return GAUSSIAN_METRICS[name]


def calibrated(n: int, seed: int = 0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Targets drawn from predictions of many sizes of variance."""
    rng = np.random.default_rng(seed)
    std = np.exp(rng.uniform(-2.0, 1.0, n))
    mean = 3.0 * rng.standard_normal(n)
    return mean + std * rng.standard_normal(n), mean, std**2
