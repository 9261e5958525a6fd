"""Figures show the numbers they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="needs the lab extra")

from tagix import metrics, plotting  # noqa: E402


def points(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (n, 2)).astype(np.float32)


def test_data_and_samples_share_axes_and_density() -> None:
    data, samples = points(1000), points(200, seed=1)
    figure = plotting.plot_data_and_samples(data, samples, title="A title")
    left, right = figure.axes
    (drawn_data,), (drawn_samples,) = left.collections, right.collections
    np.testing.assert_allclose(drawn_samples.get_offsets(), samples)
    assert drawn_data.get_offsets().shape == (200, 2)
    known = {tuple(row) for row in data.astype(np.float64).tolist()}
    assert {tuple(row) for row in drawn_data.get_offsets().tolist()} <= known
    assert left.get_xlim() == right.get_xlim() and left.get_ylim() == right.get_ylim()
    low, high = left.get_xlim()
    assert low < data[:, 0].min() and high > data[:, 0].max()
    assert figure.get_suptitle() == "A title"


def test_sample_var_is_summed_and_drawn_last_where_largest() -> None:
    samples = points(50)
    var = np.random.default_rng(2).uniform(0.01, 10.0, (50, 2))
    figure = plotting.plot_sample_var(samples, var)
    axes, bar = figure.axes
    (dots,) = axes.collections
    order = np.argsort(var.sum(axis=1))
    np.testing.assert_allclose(dots.get_array(), var.sum(axis=1)[order])
    np.testing.assert_allclose(dots.get_offsets(), samples[order])
    assert "squared" in bar.get_ylabel()
    summed = plotting.plot_sample_var(samples, var.sum(axis=1))
    np.testing.assert_allclose(summed.axes[0].collections[0].get_array(), dots.get_array())


def test_density_lies_at_its_coordinates() -> None:
    x, y = np.array([0.0, 1.0, 3.0]), np.array([-1.0, 1.0])
    density = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    figure = plotting.plot_density(x, y, density, data=[[0.5, 0.0], [2.0, -0.5]], title="p")
    axes, bar = figure.axes
    mesh, dots = axes.collections
    assert np.array_equal(np.asarray(mesh.get_array()).reshape(2, 3), density)
    corners = mesh.get_coordinates()  # of the cells around the coordinates
    assert np.allclose(corners[0, :, 0], [-0.5, 0.5, 2.0, 4.0])
    assert np.allclose(corners[:, 0, 1], [-2.0, 0.0, 2.0])
    assert np.array_equal(dots.get_offsets(), [[0.5, 0.0], [2.0, -0.5]])
    assert axes.get_title() == "p" and "density" in bar.get_ylabel()
    assert len(plotting.plot_density(x, y, density).axes[0].collections) == 1


@pytest.mark.parametrize(
    ("var", "scale"),
    [
        (np.linspace(0.01, 1.0, 101), "log"),
        (np.linspace(0.5, 1.0, 101), "linear"),
        (np.repeat([0.0, 1.0], [11, 90]), "linear"),
    ],
)
def test_sample_var_scale_follows_the_range(var: np.ndarray, scale: str) -> None:
    figure = plotting.plot_sample_var(points(101), var)
    assert figure.axes[1].get_yscale() == scale


def test_sample_var_of_equal_variances() -> None:
    figure = plotting.plot_sample_var(points(10), np.full(10, 0.3))
    assert set(figure.axes[0].collections[0].get_array()) == {0.3}
    figure.canvas.draw()


def test_training_curves() -> None:
    figure = plotting.plot_training([0.9, 0.6, 0.5], [1.0, 0.1, 0.01], ideal_mse=0.4)
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_xydata(), [[1, 0.9], [2, 0.6], [3, 0.5]])
    np.testing.assert_array_equal(left.lines[1].get_ydata(), [0.4, 0.4])
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [[1, 1.0], [2, 0.1], [3, 0.01]])
    assert right.get_yscale() == "log" and left.get_yscale() == "linear"
    narrow = plotting.plot_training([0.9], [0.5])
    assert narrow.axes[1].get_yscale() == "linear" and len(narrow.axes[0].lines) == 1


def predictions(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mean, std = rng.standard_normal(n), np.exp(rng.uniform(-2.0, 1.0, n))
    return mean + std * rng.standard_normal(n), mean, std**2


def labels(axes) -> list[str]:  # type: ignore[no-untyped-def]
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("plot", "curve"),
    [
        (plotting.plot_quantile_calibration, metrics.quantile_calibration_curve),
        (plotting.plot_coverage, metrics.coverage_curve),
    ],
)
def test_frequencies_are_drawn_over_their_band(plot, curve) -> None:  # type: ignore[no-untyped-def]
    stats = pytest.importorskip("scipy.stats", reason="needs the lab extra")
    y, mean, var = predictions(60)
    y[:20] = np.nan
    (axes,) = plot(y, mean, var, levels=[0.9, 0.1, 0.5], title="A title").axes
    line, diagonal = axes.lines
    observed = curve(y, mean, var, levels=[0.1, 0.5, 0.9]).observed
    np.testing.assert_allclose(line.get_xydata(), np.stack([[0.1, 0.5, 0.9], observed], axis=1))
    np.testing.assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    assert axes.get_xlim() == axes.get_ylim() == (0, 1) and axes.get_title() == "A title"
    (band,) = axes.collections
    drawn = {tuple(row) for row in band.get_paths()[0].vertices.round(9).tolist()}
    # The 2.5 % and 97.5 % quantiles of 40 draws, of the frequency 0.1 and 0.9.
    for level in (0.1, 0.9):
        counts = np.arange(41)
        share = np.cumsum(stats.binom.pmf(counts, 40, level))
        low, high = counts[share >= 0.025][0] / 40, counts[share >= 0.975][0] / 40
        assert {(level, round(low, 9)), (level, round(high, 9))} <= drawn
    assert {(0.0, 0.0), (1.0, 1.0)} <= drawn


def test_quantile_calibration_tells_its_error() -> None:
    pytest.importorskip("scipy", reason="needs the lab extra")
    # All targets beyond every quantile: the error is 0.5.
    (axes,) = plotting.plot_quantile_calibration([1.0, 2.0], 100.0, 1.0).axes
    assert "model, calibration error 0.500" in labels(axes)


def height_of(band: Any) -> tuple[float, float]:
    """Lower and upper edge of a patch, a rectangle or, of older releases, a polygon."""
    y = band.get_patch_transform().transform_path(band.get_path()).vertices[:, 1]
    return y.min(), y.max()


def test_pit_histogram_bars_and_band() -> None:
    stats = pytest.importorskip("scipy.stats", reason="needs the lab extra")
    y = stats.norm.ppf(np.repeat([0.1, 0.4, 0.6, 0.9], [40, 10, 20, 30]))
    (axes,) = plotting.plot_pit_histogram(y, 0.0, 1.0, n_bins=4).axes
    *bars, band = axes.patches
    assert [bar.get_height() for bar in bars] == [40, 10, 20, 30]
    assert [bar.get_x() for bar in bars] == [0.0, 0.25, 0.5, 0.75]
    # Of 100 draws with probability 1/4, 95 % are within 17 .. 34.
    assert height_of(band) == (17, 34)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [25, 25])


@pytest.mark.parametrize(("factor", "scale"), [(20.0, "log"), (2.0, "linear")])
def test_variance_calibration_points_and_scale(factor: float, scale: str) -> None:
    # Errors are half of what is predicted: 1 and factor.
    y, var = [0.5, -0.5, 0.5 * factor, -0.5 * factor], [1.0, 1.0, factor**2, factor**2]
    figure = plotting.plot_variance_calibration(y, 0.0, var, n_bins=2)
    (axes,) = figure.axes
    diagonal, line = axes.lines
    np.testing.assert_allclose(line.get_xydata(), [[1.0, 0.5], [factor, 0.5 * factor]])
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert axes.get_xscale() == axes.get_yscale() == scale
    low, high = axes.get_xlim()
    assert low < 0.5 and high > factor and axes.get_ylim() == (low, high)
    assert labels(axes) == ["model, ENCE 0.500"]
    figure.canvas.draw()


def test_variance_calibration_of_an_exact_model() -> None:
    figure = plotting.plot_variance_calibration([1.0, 2.0], [1.0, 2.0], [1.0, 900.0], n_bins=2)
    assert figure.axes[0].get_xscale() == "linear"  # an error of 0 has no logarithm
    figure.canvas.draw()


def test_sparsification_curves() -> None:
    y, var = [1.0, 3.0, -2.0], [0.1, 0.2, 0.3]
    (axes,) = plotting.plot_sparsification(y, 0.0, var, error="mae").axes
    at = [0.0, 1 / 3, 2 / 3]
    expected = [[2.0, 2.0, 2.0], [2.0, 2.0, 1.0], [2.0, 1.5, 1.0]]  # random, model, oracle
    for line, values in zip(axes.lines, expected, strict=True):
        np.testing.assert_allclose(line.get_xydata(), np.stack([at, values], axis=1), atol=1e-15)
    assert labels(axes)[1] == "by predicted variance, AUSE 0.083"
    assert axes.get_ylabel() == "MAE of the others"


def test_sparsification_of_many_targets_is_thinned_to_both_ends() -> None:
    (axes,) = plotting.plot_sparsification(*predictions(5000)).axes
    for line in axes.lines:
        assert len(line.get_xdata()) == 1000
        assert line.get_xdata()[0] == 0.0 and line.get_xdata()[-1] == pytest.approx(4999 / 5000)


def test_reliability_diagram() -> None:
    y_true, y_prob = [0, 1, 1, 0, 1], [0.1, 0.5, 0.6, 0.7, 1.0]
    figure = plotting.plot_reliability_diagram(y_true, y_prob, n_bins=4)
    top, bottom = figure.axes
    assert [bar.get_height() for bar in top.patches] == [0.0, 1.0, 0.5, 1.0]
    assert [bar.get_height() for bar in bottom.patches] == [1, 1, 2, 1]
    assert [bar.get_x() for bar in top.patches] == [0.0, 0.25, 0.5, 0.75]
    dots = top.lines[0].get_xydata()
    np.testing.assert_allclose(dots, [[0.1, 0.0], [0.5, 1.0], [0.65, 0.5], [1.0, 1.0]])
    assert top.get_title().endswith("0.180")  # (0.1 + 0.5 + 2 * 0.15) / 5
    # Empty bins have bars of no height and no dots.
    empty = plotting.plot_reliability_diagram([1], [0.9], n_bins=2).axes[0]
    assert [bar.get_height() for bar in empty.patches] == [0.0, 1.0]


def test_ood_roc() -> None:
    pytest.importorskip("sklearn", reason="needs the lab extra")
    (axes,) = plotting.plot_ood_roc([1.0, 3.0], [2.0, 4.0]).axes
    np.testing.assert_allclose(
        axes.lines[0].get_xydata(), [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
    )
    assert labels(axes) == ["score, AUROC 0.750"]


def test_samples_by_has_a_panel_for_each_measure() -> None:
    samples, rng = points(50), np.random.default_rng(2)
    values = {"score": rng.uniform(-1.0, 1.0, 50), "variance": rng.uniform(0.001, 1.0, 50)}
    figure = plotting.plot_samples_by(samples, values, title="A title")
    panels, bars = figure.axes[:2], figure.axes[2:]
    for axes, (name, each) in zip(panels, values.items(), strict=True):
        (dots,) = axes.collections
        order = np.argsort(each)
        assert axes.get_title() == name
        np.testing.assert_allclose(dots.get_array(), each[order])
        np.testing.assert_allclose(dots.get_offsets(), samples[order])
    assert [bar.get_yscale() for bar in bars] == ["linear", "log"]
    assert figure.get_suptitle() == "A title"
    figure.canvas.draw()


def test_risk_coverage_curves_and_their_areas() -> None:
    # By the first measure the one bad point of four goes first, by the second last.
    loss = [0, 1, 0, 0]
    figure = plotting.plot_risk_coverage(loss, {"good": [1, 4, 2, 3], "poor": [2, 1, 3, 4]})
    (axes,) = figure.axes
    good, poor, random = axes.lines
    np.testing.assert_allclose(good.get_xydata(), [[0.25, 0], [0.5, 0], [0.75, 0], [1, 0.25]])
    np.testing.assert_allclose(poor.get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4])
    assert set(random.get_ydata()) == {0.25}
    assert labels(axes) == ["good, AURC 0.0625", "poor, AURC 0.521", "at random"]
    many = plotting.plot_risk_coverage(np.arange(5000.0), {"score": np.arange(5000.0)})
    line = many.axes[0].lines[0]
    assert len(line.get_xdata()) == 1000 and line.get_xdata()[-1] == 1


def test_variance_by_is_the_mean_of_each_group() -> None:
    y = np.array([[1.0, 3.0], [1.0, 1.0], [0.0, 2.0]])
    var = np.array([[2.0, 4.0], [1.0, 1.0], [3.0, 5.0]])
    (axes,) = plotting.plot_variance_by([7, 2, 7], y, 0 * y, var, group_label="timestep").axes
    actual, predicted = axes.lines
    np.testing.assert_allclose(actual.get_xydata(), [[2, 1], [7, (1 + 9 + 0 + 4) / 4]])
    np.testing.assert_allclose(predicted.get_xydata(), [[2, 1], [7, (2 + 4 + 3 + 5) / 4]])
    assert axes.get_xlabel() == "timestep"


def test_regression_bands_are_the_two_variances() -> None:
    x, mean = np.linspace(0.0, 1.0, 5), np.arange(5.0)
    data = ([0.1, 0.2], [3.0, 4.0])
    figure = plotting.plot_regression(x, mean, 0.25 + 0 * x, 2.0 + 0 * x, data=data, n_std=1.0)
    (axes,) = figure.axes
    dots, total, epistemic = axes.collections
    np.testing.assert_allclose(dots.get_offsets(), np.transpose(data))
    for band, reach in ((total, 1.5), (epistemic, 0.5)):
        corners = {tuple(row) for row in band.get_paths()[0].vertices.round(9).tolist()}
        edges = np.concatenate([mean - reach, mean + reach])
        assert {(a, b) for a, b in zip(np.tile(x, 2), edges, strict=True)} <= corners
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), mean)
    assert labels(axes) == ["data", "aleatoric and epistemic", "epistemic", "prediction"]


def test_predictions_against_the_truth() -> None:
    truth, mean = [1.0, 2.0, 4.0, 3.0], [1.5, 2.0, 3.0, 3.5]
    low, high = [1.0, 1.9, 2.0, 3.1], [2.0, 2.1, 3.9, 3.9]
    panel = (truth, mean, low, high)
    figure = plotting.plot_predictions({"y": panel, "z": panel}, level=0.5, title="Both")
    figure.canvas.draw()
    assert figure.get_suptitle() == "Both"
    for axes, name in zip(figure.axes, "yz", strict=True):
        intervals, dots = axes.collections
        np.testing.assert_allclose(dots.get_offsets(), np.transpose([truth, mean]))
        ends = [np.transpose([truth, bound]) for bound in (low, high)]
        np.testing.assert_allclose(intervals.get_segments(), np.stack(ends, axis=1))
        np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1, 1], [4, 4]])
        # Targets on a bound count: 1 in [1, 2], 2 in [1.9, 2.1].
        assert axes.get_title() == "50% of 4 in their 50% interval"
        assert (axes.get_xlabel(), axes.get_ylabel()) == (f"{name}, true", f"{name}, predicted")


@pytest.mark.parametrize(
    "name",
    [
        "plot_quantile_calibration",
        "plot_coverage",
        "plot_pit_histogram",
        "plot_variance_calibration",
        "plot_sparsification",
    ],
)
def test_calibration_figures_draw_and_refuse(name: str) -> None:
    pytest.importorskip("scipy", reason="needs the lab extra")
    plot = getattr(plotting, name)
    figure = plot(*predictions(50), title="A title")
    figure.canvas.draw()
    assert figure.axes[0].get_title() == "A title"
    with pytest.raises(ValueError, match=r"^var: got NaN, infinity"):
        plot([1.0, 2.0], 0.0, -1.0)


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


def offsets(dots) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The points of a scatter, of two or of three dimensions."""
    if hasattr(dots, "_offsets3d"):
        return np.stack(dots._offsets3d, axis=1)
    return np.asarray(dots.get_offsets())


def test_sample_grid_panels_hold_their_cells() -> None:
    cells = {
        "ours": {"few": points(5, 1), "many": points(6, 2)},
        "peer": {"many": points(7, 3)},
    }
    data = {"many": points(30, 4), "ours": points(20, 5)}
    figure = plotting.plot_sample_grid(cells, data=data, title="A title")
    places = {}
    for axes in figure.axes:
        spec = axes.get_subplotspec()
        places[spec.rowspan.start, spec.colspan.start] = axes
        assert spec.get_gridspec().get_geometry() == (2, 2)
    assert sorted(places) == [(0, 0), (0, 1), (1, 1)]
    # By row first: both panels of "ours" show its data.
    expected = {
        (0, 0): (data["ours"], cells["ours"]["few"]),
        (0, 1): (data["ours"], cells["ours"]["many"]),
        (1, 1): (data["many"], cells["peer"]["many"]),
    }
    for place, (behind, samples) in expected.items():
        below, above = places[place].collections
        np.testing.assert_allclose(offsets(below), behind)
        np.testing.assert_allclose(offsets(above), samples)
        low, high = places[place].get_xlim()
        assert low < behind[:, 0].min() < behind[:, 0].max() < high
    titles = {place: axes.get_title() for place, axes in places.items()}
    assert titles == {(0, 0): "few", (0, 1): "many", (1, 1): ""}
    rows = {place: [text.get_text() for text in axes.texts] for place, axes in places.items()}
    assert rows == {(0, 0): ["ours"], (0, 1): [], (1, 1): ["peer"]}
    assert figure.get_suptitle() == "A title"
    figure.canvas.draw()


def test_sample_grid_colours_by_label() -> None:
    samples = points(5)
    figure = plotting.plot_sample_grid(
        {"a": {"b": samples, "c": samples}}, labels={"a": {"b": [1, 0, 1, -1, 0]}}
    )
    (coloured,), (plain,) = (axes.collections for axes in figure.axes)
    first, second, third, fourth, fifth = map(tuple, coloured.get_facecolor())
    assert first == third and second == fifth and len({first, second, fourth}) == 3
    assert {tuple(color) for color in plain.get_facecolor()} == {second}


def test_sample_grid_of_three_dimensions() -> None:
    rng = np.random.default_rng(0)
    samples, data = rng.standard_normal((2, 9, 3))
    figure = plotting.plot_sample_grid({"a": {"b": samples}}, data=data)
    (axes,) = figure.axes
    assert axes.name == "3d"
    figure.canvas.draw()
    below, above = axes.collections
    # Drawn in perspective, dots are put in order of their distance.
    for dots, expected in ((below, data), (above, samples)):
        assert {tuple(row) for row in offsets(dots).tolist()} == {
            tuple(row) for row in expected.tolist()
        }
    flat = plotting.plot_sample_grid({"a": {"b": samples}}, data=data, projection=(2, 0))
    assert flat.axes[0].name == "rectilinear"
    below, above = flat.axes[0].collections
    np.testing.assert_allclose(offsets(below), data[:, [2, 0]])
    np.testing.assert_allclose(offsets(above), samples[:, [2, 0]])


def test_trajectories_are_drawn_step_by_step() -> None:
    trajectory = np.random.default_rng(0).standard_normal((4, 9, 2))
    data = points(10)
    figure = plotting.plot_trajectories(trajectory, data, n_points=3, title="A title")
    axes, bar = figure.axes
    behind, lines, starts, ends = axes.collections
    np.testing.assert_allclose(offsets(behind), data)
    # Points 0, 4 and 8, three steps each.
    segments = [
        [trajectory[step, point], trajectory[step + 1, point]]
        for step in range(3)
        for point in (0, 4, 8)
    ]
    np.testing.assert_allclose(lines.get_segments(), segments)
    np.testing.assert_array_equal(lines.get_array(), np.repeat([1, 2, 3], 3))
    np.testing.assert_allclose(offsets(starts), trajectory[0, [0, 4, 8]])
    np.testing.assert_allclose(offsets(ends), trajectory[-1, [0, 4, 8]])
    assert set(starts.get_array()) == {0} and set(ends.get_array()) == {3}
    assert axes.get_title() == "A title" and bar.get_ylabel() == "step of the reverse chain"
    figure.canvas.draw()
    few = plotting.plot_trajectories(trajectory, n_points=100)
    assert len(few.axes[0].collections[0].get_segments()) == 3 * 9


def test_trajectories_of_three_dimensions() -> None:
    trajectory = np.random.default_rng(0).standard_normal((4, 2, 3))
    figure = plotting.plot_trajectories(trajectory, trajectory[0])
    axes = figure.axes[0]
    figure.canvas.draw()
    low, high = np.transpose([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()])
    assert (low < trajectory.min(axis=(0, 1))).all() and (high > trajectory.max(axis=(0, 1))).all()
    flat = plotting.plot_trajectories(trajectory, projection=(1, 2)).axes[0]
    np.testing.assert_allclose(flat.collections[0].get_segments()[0], trajectory[:2, 0, 1:])


def rgb(color: str) -> np.ndarray:
    return np.rint(255 * np.array(matplotlib.colors.to_rgb(color))).astype(int)


@pytest.mark.parametrize("n_features", [2, 3])
def test_animation_has_a_frame_per_state(tmp_path: Path, n_features: int) -> None:
    image = pytest.importorskip("PIL.Image")
    from tagix.plotting._figures import SAMPLE_COLOR, VAR_COLOR

    # All points move as one from corner to corner; two in three are of class 0.
    corner = np.full(n_features, 2.0)
    states = np.stack([share * corner for share in (-1.0, -0.5, 0.5, 1.0)])
    trajectory = np.repeat(states[:, None], 300, axis=1)
    trajectory += 0.1 * np.random.default_rng(0).standard_normal(trajectory.shape)
    classes = (np.arange(300) % 3 == 2).astype(int)
    path = plotting.animate_denoising(
        trajectory,
        tmp_path / "new" / "a.gif",
        data=trajectory[-1],
        labels=classes,
        fps=10,
        hold=0.5,
        turn=0.0,
        title="A title",
    )
    assert path == tmp_path / "new" / "a.gif"
    with image.open(path) as file:
        assert (file.n_frames, file.size, file.info["loop"]) == (4, (640, 640), 0)
        frames, durations = [], []
        for step in range(4):
            file.seek(step)
            durations.append(file.info["duration"])
            frames.append(np.asarray(file.convert("RGB")).astype(int))
    assert durations == [100, 100, 100, 600]
    centers = []
    for pixels in frames:
        drawn = [(pixels == rgb(color)).all(axis=2) for color in (SAMPLE_COLOR, VAR_COLOR)]
        assert 1.2 < drawn[0].sum() / drawn[1].sum() < 4.0
        row, column = np.nonzero(drawn[0] | drawn[1])
        centers.append((row.mean(), column.mean()))
        assert (pixels == 255).all(axis=2).mean() > (0.8 if n_features == 2 else 0.3)
    rows, columns = np.transpose(centers)
    assert (np.diff(rows) < 0).all()  # upwards
    if n_features == 2:
        # And to the right, evenly, as the states are: 1, 2 and 1 units.
        np.testing.assert_allclose(np.diff(columns) / np.diff(columns)[0], [1, 2, 1], rtol=0.05)
        np.testing.assert_allclose(np.diff(rows), -np.diff(columns), rtol=0.05)


def test_animation_turns_and_stays_small(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    noise, data = np.random.default_rng(0).standard_normal((2, 1000, 3)) * [[[1.0]], [[0.3]]]
    angle = np.linspace(0.0, np.pi / 2, 41)[:, None, None]
    trajectory = np.cos(angle) * noise + np.sin(angle) * data
    for projection, limit in (((0, 1), 1.0e6), (None, 1.5e6)):
        path = plotting.animate_denoising(
            trajectory, tmp_path / "a.gif", data=data, projection=projection
        )
        with image.open(path) as file:
            assert file.n_frames == 41
        assert path.stat().st_size < limit
    still = np.repeat(trajectory[:1], 2, axis=0)
    plotting.animate_denoising(still, tmp_path / "b.gif", turn=90.0)
    with image.open(tmp_path / "b.gif") as file:
        first = np.asarray(file.convert("L")).astype(int)
        file.seek(1)
        second = np.asarray(file.convert("L")).astype(int)
    assert (abs(second - first)[60:] > 50).mean() > 0.01  # below the caption


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


def grid(samples: np.ndarray, **arguments):  # type: ignore[no-untyped-def]
    return plotting.plot_sample_grid({"a": {"b": samples}}, **arguments)


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


def test_labels_of_samples_are_integers() -> None:
    with pytest.raises(TypeError, match="labels: got an array of float64"):
        grid(points(2), labels={"a": {"b": [0.0, 1.0]}})
