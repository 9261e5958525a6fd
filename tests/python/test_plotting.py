"""Figures show the numbers they are given."""

from __future__ import annotations

from pathlib import Path

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


def test_pit_histogram_bars_and_band() -> None:
    stats = pytest.importorskip("scipy.stats", reason="needs the lab extra")
    y = stats.norm.ppf(np.repeat([0.1, 0.4, 0.6, 0.9], [40, 10, 20, 30]))
    (axes,) = plotting.plot_pit_histogram(y, 0.0, 1.0, n_bins=4).axes
    *bars, band = axes.patches
    assert [bar.get_height() for bar in bars] == [40, 10, 20, 30]
    assert [bar.get_x() for bar in bars] == [0.0, 0.25, 0.5, 0.75]
    # Of 100 draws with probability 1/4, 95 % are within 17 .. 34.
    assert (band.get_y(), band.get_y() + band.get_height()) == (17, 34)
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
    assert dict(matplotlib.rcParams) == before


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
        (lambda: plotting.plot_training([1.0, 2.0], [1.0]), "got lengths 2 and 1"),
        (lambda: plotting.plot_training([], []), "got lengths 0 and 0"),
    ],
)
def test_plotting_refuses(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()
