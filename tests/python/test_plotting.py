"""Figures show the numbers they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="needs the lab extra")

from tagix import plotting  # noqa: E402


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
        (lambda: plotting.plot_training([1.0, 2.0], [1.0]), "got lengths 2 and 1"),
        (lambda: plotting.plot_training([], []), "got lengths 0 and 0"),
    ],
)
def test_plotting_refuses(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()
