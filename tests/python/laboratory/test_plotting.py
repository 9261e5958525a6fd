"""All figures: how they are saved, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="needs the lab extra")

from figures import grid, points  # noqa: E402

from tagix import plotting  # noqa: E402


def test_save_figure_writes_a_png(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    path = plotting.save_figure(plotting.plot_training([0.5], [0.1]), tmp_path / "new" / "a.png")
    pixels = image.imread(path)
    assert pixels.shape[:2] == (540, 1350)  # 9.0 x 3.6 inches at 150 dots
    assert pixels[..., :3].std() > 0.02


def test_plotting_leaves_matplotlib_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    plotting.plot_training([0.5], [0.1])
    plotting.plot_data_and_samples(points(5), points(5))
    plotting.plot_sample_grid({"a": {"b": points(5)}})
    assert dict(matplotlib.rcParams) == before


def panel(*arrays):  # type: ignore[no-untyped-def]
    return plotting.plot_predictions({"y": arrays}, level=0.9)


def animate(**arguments) -> Path:  # type: ignore[no-untyped-def]
    # No file is written: the arguments are refused before.
    return plotting.animate_denoising(np.ones((2, 5, 2)), "/nowhere/a.gif", **arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plotting.plot_data_and_samples(points(5)[:, :1], points(5)), "data: got shape"),
        (lambda: plotting.plot_data_and_samples(points(5), points(5)[:0]), "samples: got shape"),
        (lambda: plotting.plot_data_and_samples(points(5), np.nan * points(5)), "samples: got NaN"),
        (lambda: plotting.plot_sample_var(points(5), np.ones(4)), "var: got shape"),
        (lambda: plotting.plot_sample_var(points(5), -np.ones(5)), "var: got NaN, infinity or a"),
        (lambda: plotting.plot_samples_by(points(5), {}), "values: got none"),
        (lambda: plotting.plot_samples_by(points(5), {"a": np.ones(4)}), "a: got shape"),
        (lambda: plotting.plot_samples_by(points(2), {"a": [1, np.nan]}), "a: got NaN"),
        (lambda: plotting.plot_risk_coverage([1.0], {}), "uncertainty: got none"),
        (lambda: plotting.plot_risk_coverage([1.0], {"a": [1.0, 2.0]}), "got 1 and 2 numbers"),
        (lambda: plotting.plot_variance_by([1.0], [1.0, 2.0], 0.0, 1.0), "group, y_true: got"),
        (lambda: plotting.plot_variance_by([np.nan], [1.0], 0.0, 1.0), "group: got NaN"),
        (lambda: plotting.plot_variance_by([1.0], [np.nan], 0.0, 1.0), "y_true: got NaN"),
        (lambda: plotting.plot_variance_by([1.0], [1.0], 0.0, -1.0), "var: got NaN"),
        (lambda: plotting.plot_regression([1.0], [1.0, 2.0], [1.0], [1.0]), "mean: got shape"),
        (lambda: plotting.plot_regression([1.0], [1.0], [-1.0], [1.0]), "epistemic: got a neg"),
        (lambda: plotting.plot_regression([1.0], [1.0], [1.0], [np.nan]), "aleatoric: got NaN"),
        (lambda: plotting.plot_predictions({}, level=0.9), "panels: got none"),
        (lambda: panel([1.0], [1.0], [1.0]), r"panels\['y'\]: got 3 arrays"),
        (lambda: panel([], [], [], []), r"panels\['y'\]: got 4 arrays or no rows"),
        (lambda: panel([1.0], [1.0, 2.0], [1.0], [1.0]), r"panels\['y'\]: got shape"),
        (lambda: panel([1.0], [np.nan], [1.0], [1.0]), r"panels\['y'\]: got NaN"),
        (lambda: plotting.plot_training([1.0, 2.0], [1.0]), "got lengths 2 and 1"),
        (lambda: plotting.plot_training([], []), "got lengths 0 and 0"),
        (lambda: plotting.plot_training_runs({}), "runs: got none"),
        (lambda: plotting.plot_training_runs({"a": ([1.0], [])}), "a: got lengths 1 and 0"),
        (lambda: plotting.plot_training_runs({"a": ([], None)}), "a: got lengths 0 and 0"),
        (lambda: plotting.plot_sample_grid({}), "cells: got none"),
        (lambda: plotting.plot_sample_grid({"a": {}}), "cells: got none"),
        (lambda: grid(np.ones((5, 4))), r"cells\['a'\]\['b'\]: got 4 features, needed 2 or 3"),
        (lambda: grid(np.nan * points(5)), r"cells\['a'\]\['b'\]: got NaN"),
        (lambda: grid(points(5), data=np.ones((5, 3))), "data: got shape"),
        (lambda: grid(points(5), data={"c": points(5)}), "data: got 'c', needed the name of"),
        (lambda: grid(points(5), labels={"a": {"b": [0]}}), "labels: got shape"),
        (lambda: grid(points(5), labels={"a": {"c": [0]}}), "labels: got .* needed a cell"),
        (lambda: grid(points(5), projection=(0, 2)), "projection: got .* needed two axes"),
        (lambda: plotting.plot_trajectories(points(5)), "trajectory: got shape"),
        (lambda: plotting.plot_trajectories(np.ones((1, 5, 2))), "trajectory: got shape"),
        (lambda: plotting.plot_trajectories(np.full((2, 5, 2), np.inf)), "trajectory: got NaN"),
        (lambda: plotting.plot_trajectories(np.ones((2, 5, 1))), "trajectory: got 1 features"),
        (lambda: plotting.plot_trajectories(np.ones((2, 5, 3)), points(5)), "data: got shape"),
        (lambda: plotting.plot_trajectories(np.ones((2, 5, 2)), n_points=0), "n_points: got 0"),
        (lambda: animate(fps=0.0), "fps: got 0.0"),
        (lambda: animate(fps=51.0), "fps: got 51.0"),
        (lambda: animate(hold=-1.0), "hold: got -1.0"),
        (lambda: animate(turn=np.nan), "turn: got nan"),
        (lambda: animate(labels=[1, 2]), "labels: got shape"),
        (lambda: animate(data=np.ones((5, 3))), "data: got shape"),
        (lambda: plotting.plot_scores([1, 2], {}), "scores: got none"),
        (lambda: plotting.plot_scores([1, 1], {"a": ([1, 2], [0, 0])}), "x: needed finite"),
        (lambda: plotting.plot_scores([1, 2], {"a": ([1], [0])}), "a: got shape"),
        (lambda: plotting.plot_scores([1, 2], {"a": ([1, np.inf], [0, 0])}), "a: got infinity"),
        (lambda: plotting.plot_scores([1], {"a": ([1], [-1])}), "a: got a negative standard"),
        (lambda: plotting.plot_scores([1], {"a": ([1], [0])}, floor=(1, -1)), "floor: got"),
        (lambda: plotting.plot_density([1], [0, 1], np.ones((2, 1))), "x: got shape"),
        (lambda: plotting.plot_density([0, 1], [1, 0], np.ones((2, 2))), "y: got shape"),
        (lambda: plotting.plot_density([0, 1], [0, 1, 2], np.ones((2, 3))), "density: got shape"),
        (lambda: plotting.plot_density([0, 1], [0, 1], [[1, np.inf], [1, 1]]), "density: got NaN"),
        (lambda: plotting.plot_density([0, 1], [0, 1], np.ones((2, 2)), data=[1]), "data: got"),
        (lambda: plotting.plot_trade_off({}), "curves: got none"),
        (lambda: plotting.plot_trade_off({"a": ([1, 2], [1], [1, 2])}), "a: got shape"),
        (lambda: plotting.plot_trade_off({"a": ([1], [np.nan], [1])}), "a: got NaN"),
        (lambda: plotting.plot_trade_off({"a": ([1], [1], [1])}, real=(np.nan, 1)), "real: got"),
    ],
)
def test_plotting_refuses(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()
