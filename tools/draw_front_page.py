"""Draws the two pictures of README.md and docs/index.md into docs/images.

python tools/draw_front_page.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tagix as tx
from tagix import nn, plotting
from tagix.datasets import load_toy

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"


def regression() -> Figure:
    """A curve between and beyond noisy points, with the two parts of its uncertainty."""
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.uniform(-2.0, -0.5, 300), generator.uniform(0.7, 2.0, 300)])
    y = np.sin(2 * x) + (0.05 + 0.12 * (x + 2)) * generator.standard_normal(x.shape)
    net = nn.Sequential(
        nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1),
        noise=tx.Heteroscedastic(), seed=0,
    )  # fmt: skip
    net.fit(x[:, None], y[:, None], n_epochs=40, batch_size=16, progress=False)
    grid = np.linspace(-3.0, 3.0, 400, dtype=np.float32)
    prediction = net(grid[:, None])
    mean = prediction.mean[:, 0]

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for var, colour, label in (
        (prediction.var, "#fdd8c4", "with the noise of observations"),
        (prediction.epistemic, "#f0763c", "of the curve"),
    ):
        reach = 2 * np.sqrt(var[:, 0])
        axes.fill_between(grid, mean - reach, mean + reach, color=colour, lw=0, label=label)
    axes.plot(grid, mean, color="#9a3412", label="prediction, two standard deviations")
    axes.scatter(x, y, s=5, color="#334155", alpha=0.6, linewidths=0, label="data")
    axes.set(xlabel="x", ylabel="y", ylim=(-3.2, 3.2))
    axes.legend(frameon=False, fontsize="small", loc="lower left")
    return figure


def samples() -> Figure:
    """Samples of a diffusion model, coloured by how sure it is of each."""
    data = load_toy("swiss_roll", n_train=100_000)
    model = tx.DiffusionModel(2, seed=0)
    model.fit(data.train, progress=False)
    drawn = model.sample(5000, uncertainty=True, seed=1)
    assert drawn.score is not None
    figure = plotting.plot_samples_by(drawn.x, {"score: the larger, the less sure": drawn.score})
    figure.set_size_inches(5.2, 4.0)
    return figure


def main() -> None:
    for name, draw in (("front_regression", regression), ("front_samples", samples)):
        path = IMAGES / f"{name}.png"
        draw().savefig(path, dpi=110)
        print(path)


if __name__ == "__main__":
    main()
