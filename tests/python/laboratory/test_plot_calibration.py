"""Figures of calibration, ranking and regression."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the lab extra")

from figures import height_of, labels

from tagix import metrics, plotting


def predictions(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mean, std = rng.standard_normal(n), np.exp(rng.uniform(-2.0, 1.0, n))
    return mean + std * rng.standard_normal(n), mean, std**2


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
