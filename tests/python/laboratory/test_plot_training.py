"""Figures of training and of sweeps."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the lab extra")

from figures import height_of, labels

from tagix import plotting


def test_training_curves() -> None:
    figure = plotting.plot_training([0.9, 0.6, 0.5], [1.0, 0.1, 0.01], ideal_mse=0.4)
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_xydata(), [[1, 0.9], [2, 0.6], [3, 0.5]])
    np.testing.assert_array_equal(left.lines[1].get_ydata(), [0.4, 0.4])
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [[1, 1.0], [2, 0.1], [3, 0.01]])
    assert right.get_yscale() == "log" and left.get_yscale() == "linear"
    narrow = plotting.plot_training([0.9], [0.5])
    assert narrow.axes[1].get_yscale() == "linear" and len(narrow.axes[0].lines) == 1


def test_training_runs_share_two_panels() -> None:
    runs = {"peer": ([0.9, 0.6, 0.5], None), "ours": ([0.8, 0.55], [1.0, 0.05])}
    figure = plotting.plot_training_runs(runs, ideal_mse=0.4, title="A title")
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_xydata(), [[1, 0.9], [2, 0.6], [3, 0.5]])
    np.testing.assert_array_equal(left.lines[1].get_xydata(), [[1, 0.8], [2, 0.55]])
    np.testing.assert_array_equal(left.lines[2].get_ydata(), [0.4, 0.4])
    (drawn,) = right.lines
    np.testing.assert_array_equal(drawn.get_xydata(), [[1, 1.0], [2, 0.05]])
    assert drawn.get_color() == left.lines[1].get_color() != left.lines[0].get_color()
    assert labels(left) == ["peer", "ours"] and right.get_yscale() == "log"
    assert left.get_xlim() == right.get_xlim() == (0.5, 3.5)
    no_var = plotting.plot_training_runs({"peer": ([0.9], None)})
    assert not no_var.axes[1].lines
    no_var.canvas.draw()


def test_scores_are_drawn_with_errors_and_floor() -> None:
    x = [10, 50, 200]
    scores = {
        "ours": ([40.0, 30.0, 28.0], [2.0, 1.0, 0.5]),
        "peer": ([90.0, np.nan, 31.0], [3.0, np.nan, np.nan]),
    }
    figure = plotting.plot_scores(x, scores, floor=(26.0, 0.7), ylabel="EMD", title="A title")
    (axes,) = figure.axes
    for container, (mean, std) in zip(axes.containers, scores.values(), strict=True):
        line, _, (bars,) = container
        np.testing.assert_array_equal(line.get_xydata(), np.stack([x, mean], axis=1))
        known = [
            [[a, m - s], [a, m + s]]
            for a, m, s in zip(x, mean, np.nan_to_num(std), strict=True)
            if not np.isnan(m)
        ]
        drawn = [each for each in bars.get_segments() if len(each) and not np.isnan(each).any()]
        np.testing.assert_allclose(drawn, known)
    (band,) = axes.patches
    edges = height_of(band)
    np.testing.assert_allclose(edges, [26.0 - 0.7, 26.0 + 0.7])
    assert labels(axes) == ["real against real, 26 ± 0.7", "ours", "peer"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    np.testing.assert_array_equal(axes.get_xticks(), x)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("timesteps", "EMD")
    assert axes.get_title() == "A title"
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("x", "mean", "scales", "ticks"),
    [
        ([1, 2, 3], [1, 2, 3], ("linear", "linear"), [1, 2, 3]),
        ([0, 0.1, 1, 10], [-1, 1, 20, 20], ("symlog", "linear"), [0, 0.1, 1, 10]),
        ([0, 1, 2], [0.1, 1, 20], ("linear", "log"), [0, 1, 2]),
        ([5], [1], ("linear", "linear"), None),
        ([0, 0.01, 1, 1.5], [1, 2, 3, 4], ("symlog", "linear"), None),
    ],
)
def test_scores_choose_scales(x, mean, scales, ticks) -> None:  # type: ignore[no-untyped-def]
    figure = plotting.plot_scores(x, {"a": (mean, np.zeros(len(x)))})
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == scales
    if ticks:
        np.testing.assert_allclose(axes.get_xticks(), ticks)
    figure.canvas.draw()


def test_trade_off_labels_each_point_where_there_is_room() -> None:
    weights = np.array([0.0, 0.5, 1.0, 2.0, 5.0, 10.0])
    # The last four points of each are crowded at an accuracy of 1.
    curves = {
        "ours": (weights, 1 - 0.3 * np.exp(-3 * weights), 28 + weights),
        "peer": (weights, 1 - 0.4 * np.exp(-3 * weights), 28.2 + weights),
    }
    figure = plotting.plot_trade_off(curves, real=(0.99, 26.0), title="A title")
    (axes,) = figure.axes
    for line, (_, first, second) in zip(axes.lines, curves.values(), strict=False):
        np.testing.assert_allclose(line.get_xydata(), np.stack([first, second], axis=1))
    np.testing.assert_array_equal(axes.lines[2].get_xydata(), [[0.99, 26.0]])
    assert labels(axes) == ["ours", "peer", "real data"]
    assert [text.get_text() for text in axes.texts] == 2 * ["0", "0.5", "1", "2", "5", "10"]
    where = np.concatenate([np.transpose(curve[1:]) for curve in curves.values()])
    np.testing.assert_allclose([text.xy for text in axes.texts], where)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        inside = axes.transData.transform(where)
        assert not any(box.contains(*point) for point in inside)
