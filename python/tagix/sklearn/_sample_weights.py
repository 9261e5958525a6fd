"""Weights of rows, as estimators for tables take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix._weights import as_weights

Array = NDArray[np.float64]


def counted(
    sample_weight: Any, unit: float | None, rows: Array, targets: NDArray[Any], std: Array | None
) -> tuple[Array, NDArray[Any], Array | None, Array | None, float]:
    """Rows, targets and standard deviations without rows of weight 0, weights, and their unit.

    Args:
        sample_weight: (n_rows,), numbers of at least 0; None: all rows count alike.
        unit: what the weights are divided by; None: their mean.
        rows: (n_rows, n_inputs).
        targets: (n_rows, n_outputs) or (n_rows,).
        std: standard deviations of rows, of their shape; None: rows are known.

    Returns:
        ``rows``, ``targets`` and ``std``; weights, float64 (rows that are left,), None where all
        rows count alike; and the unit of the weights, 1 where there are none and it was not given.

    Raises:
        ValueError, TypeError: as :func:`tagix._weights.as_weights`.
    """
    if sample_weight is None:
        return rows, targets, std, None, 1.0 if unit is None else unit
    weight = as_weights("sample_weight", sample_weight, len(rows))
    counts = weight > 0
    weight = weight[counts]
    if unit is None:
        most = float(weight.max())
        unit = most * float(np.mean(weight / most))
    return rows[counts], targets[counts], None if std is None else std[counts], weight / unit, unit
