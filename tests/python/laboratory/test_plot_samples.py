"""Figures of samples: beside data, by their variances, in grids and as densities."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the lab extra")

from figures import grid, offsets, points

from tagix import plotting


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


def test_labels_of_samples_are_integers() -> None:
    with pytest.raises(TypeError, match="labels: got an array of float64"):
        grid(points(2), labels={"a": {"b": [0.0, 1.0]}})
