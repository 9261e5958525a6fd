"""Trajectories and animations of denoising."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="needs the lab extra")

from figures import offsets, points  # noqa: E402

from tagix import plotting  # noqa: E402


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
