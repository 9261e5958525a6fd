"""Samples drawn from a diffusion model."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix._arrays import as_number


@dataclass(frozen=True)
class Samples:
    """Samples of a :class:`DiffusionModel`, in the units of its data."""

    x: NDArray[np.floating[Any]]
    """The samples, (n_samples, n_features): float32, or float64 if the data lie so far from 0 that
    float32 cannot represent their spread."""
    var: NDArray[np.float32]
    """The variance that the network's uncertainty adds in the last step, same shape."""
    trajectory: NDArray[np.floating[Any]] | None
    """The chain from the starting noise to x, (steps of the sampler + 1, n_samples, n_features), if
    asked for, of the dtype of x."""
    epistemic: NDArray[np.float32] | None = None
    """Covariance of x from the network's uncertainty, (n_samples, n_features, n_features)."""
    aleatoric: NDArray[np.float32] | None = None
    """Covariance of x_0 given the last x_t, which the data leave open; same shape."""
    score: NDArray[np.float32] | None = None
    """How uncertain each sample is, (n_samples,), without a unit; larger is less certain.

    The score is the share of the noise in the last x_t that denoising leaves open, 1 - sqrt(1 -
    alpha_bar) trace(J) / n_features: the trace of ``aleatoric``, in standardized units, divided by
    that of the noise. It is 0 where the data determine x in every direction and 1 where they
    determine it in none. Between parts of the data, which pull x in different directions, it
    exceeds 1.
    """

    def keep(self, share: float) -> Samples:
        """The samples without the least certain ones, in the same order.

        Args:
            share: the part to keep, in (0, 1]; round(share * n_samples) samples are kept.

        Raises:
            ValueError: if ``share`` is out of range, or the samples were drawn without
                ``uncertainty=True``.
            TypeError: for anything but a number.
        """
        share = as_number("share", share)
        if not 0.0 < share <= 1.0:
            raise ValueError(f"share: got {share}, needed a number in (0, 1]")
        if self.score is None:
            raise ValueError("score: got none, needed samples drawn with uncertainty=True")
        by_score = np.argsort(self.score, kind="stable")  # NaN, where there is one, comes last
        kept = np.sort(by_score[: round(share * len(by_score))])

        def part(name: str) -> Any:
            array = getattr(self, name)
            if array is None:
                return None
            return array[:, kept] if name == "trajectory" else array[kept]

        return Samples(**{field.name: part(field.name) for field in fields(self)})
