"""Points to draw, and what is read from figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from tagix import plotting


def points(n: int, seed: int = 0) -> np.ndarray:
    """Points of the plane, (n, 2)."""
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (n, 2)).astype(np.float32)


def labels(axes) -> list[str]:  # type: ignore[no-untyped-def]
    """Texts of the legend."""
    return [text.get_text() for text in axes.get_legend().get_texts()]


def height_of(band: Any) -> tuple[float, float]:
    """Lower and upper edge of a patch, a rectangle or, of older releases, a polygon."""
    y = band.get_patch_transform().transform_path(band.get_path()).vertices[:, 1]
    return y.min(), y.max()


def offsets(dots) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The points of a scatter, of two or of three dimensions."""
    if hasattr(dots, "_offsets3d"):
        return np.stack(dots._offsets3d, axis=1)
    return np.asarray(dots.get_offsets())


def grid(samples: np.ndarray, **arguments):  # type: ignore[no-untyped-def]
    """A grid of one cell."""
    return plotting.plot_sample_grid({"a": {"b": samples}}, **arguments)
