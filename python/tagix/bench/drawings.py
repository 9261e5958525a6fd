"""The figures of the tables: stored samples to files, by tagix.plotting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tagix import plotting
from tagix.bench.jobs import Job
from tagix.bench.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float32]
DPI = 80  # a page is about 1100 pixels wide


class Points(NamedTuple):
    """Samples (n, n_features) with their labels (n,), if they have some."""

    x: Array
    labels: npt.NDArray[np.int64] | None


def samples(results: Results, jobs: Iterable[Job], sampling: str = "default") -> Points | None:
    """What was stored of the first job that has something, or None."""
    for job in jobs:
        arrays = results.arrays(job)
        if sampling in arrays:
            return Points(arrays[sampling], None)
        by_label: list[Array] = []
        while (name := f"{sampling}/{len(by_label)}") in arrays:
            by_label.append(arrays[name])
        if by_label:
            labels = np.repeat(np.arange(len(by_label)), [len(points) for points in by_label])
            return Points(np.concatenate(by_label), labels)
    return None


def draw_grid(
    cells: Mapping[tuple[str, str], Points | None],
    data: Mapping[str, Points | None],
    title: str,
    path: Path,
) -> None:
    """Samples by row and column, over real points by the name of a row or of a column."""
    points: dict[str, dict[str, Array]] = {}
    labels: dict[str, dict[str, Any]] = {}
    for (row, column), drawn in cells.items():
        if drawn is not None:
            points.setdefault(row, {})[column] = drawn.x
            if drawn.labels is not None:
                labels.setdefault(row, {})[column] = drawn.labels
    if points:
        behind = {name: each.x for name, each in data.items() if each is not None}
        named = set(points) | {column for row in points.values() for column in row}
        behind = {name: x for name, x in behind.items() if name in named}
        _save(
            plotting.plot_sample_grid(points, data=behind, labels=labels or None, title=title), path
        )


def draw_panels(
    panels: Mapping[str, Points | None], data: Points | None, title: str, path: Path
) -> None:
    """Samples by title, a panel each in one row, all over the same real points."""
    shown = {name: drawn.x for name, drawn in panels.items() if drawn is not None}
    if shown:
        behind = None if data is None else data.x
        _save(plotting.plot_sample_grid({"": shown}, data=behind, title=title), path)


def draw_trade_off(
    curves: Mapping[str, Sequence[tuple[float, float, float]]],
    real: tuple[float, float] | None,
    title: str,
    path: Path,
) -> None:
    """Curves of (weight, accuracy, EMD) by name."""
    columns = {name: np.asarray(points).T for name, points in curves.items() if points}
    if columns:
        _save(
            plotting.plot_trade_off(
                {name: (rows[0], rows[1], rows[2]) for name, rows in columns.items()},
                real=real,
                title=title,
            ),
            path,
        )


def draw_uncertainty(arrays: Mapping[str, Array], sampling: str, title: str, path: Path) -> None:
    """Stored samples coloured by their epistemic variance and by their score."""
    if f"{sampling}/var" in arrays:
        values = {
            "variance by the network's weights": arrays[f"{sampling}/var"],
            "score: what the data leave open": arrays[f"{sampling}/score"],
        }
        _save(plotting.plot_samples_by(arrays[sampling], values, title=title), path)


def draw_runs(runs: Mapping[str, Mapping[str, Any] | None], title: str, path: Path) -> None:
    """Error and predicted variance by epoch of results by name."""
    shown = {
        name: (result["train_mse"], result["predicted_var"] or None)
        for name, result in runs.items()
        if result is not None
    }
    if shown:
        _save(plotting.plot_training_runs(shown, title=title), path)


def draw_chains(
    arrays: Mapping[str, Array], sampling: str, data: Points | None, title: str, path: Path
) -> None:
    """Paths of single points, or, for a path that ends in .gif, the denoising of all as a film."""
    chains = arrays.get(f"{sampling}/chains")
    if chains is None:
        return
    behind = None if data is None else data.x
    if path.suffix == ".gif":
        plotting.animate_denoising(chains, path, data=behind, title=title)
    else:
        _save(plotting.plot_trajectories(chains, behind, title=title), path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, format="png")
