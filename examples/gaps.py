"""What is not known between and beyond the data: intervals of a curve, and odds of two moons.

Run it with ``python examples/gaps.py``; it writes ``output/gaps_curve.png`` and
``output/gaps_moons.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_moons

from tagix import plotting
from tagix.sklearn import TagiClassifier, TagiRegressor


def curve() -> None:
    # Two clusters of a wave; nothing is seen between them, or beyond.
    rng = np.random.default_rng(0)
    x = np.r_[rng.uniform(-2, -0.8, 100), rng.uniform(0.8, 2, 100)]
    y = np.sin(2 * x) + 0.05 * rng.standard_normal(x.shape)
    grid = np.linspace(-3.2, 3.2, 300)

    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    for axes, novelty in zip(figure.subplots(1, 2, sharey=True), (True, False), strict=True):
        model = TagiRegressor(novelty=novelty, random_state=0).fit(x[:, None], y)
        at_data, in_gap = model.predict([[1.4], [0.0]], return_std=True)[1]
        print(f"novelty={novelty!s:5}  std at the data {at_data:.3f}, in the gap {in_gap:.3f}")
        mean, std = model.predict(grid[:, None], return_std=True)
        axes.fill_between(grid, mean - 2 * std, mean + 2 * std, color="#c2410c", alpha=0.2, lw=0)
        axes.plot(grid, mean, color="#c2410c", label="prediction, two standard deviations")
        axes.plot(grid, np.sin(2 * grid), color="#52606d", ls="--", label="law")
        axes.scatter(x, y, s=8, color="#1f2933", linewidths=0, label="rows")
        axes.set(title=f"novelty={novelty}", xlabel="x", ylim=(-4.5, 4.5))
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    print(plotting.save_figure(figure, Path("output/gaps_curve.png")))


def moons() -> None:
    X, labels = make_moons(400, noise=0.1, random_state=0)
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    circle = np.c_[np.cos(angle), np.sin(angle)]
    sides = np.meshgrid(np.linspace(-4, 5, 150), np.linspace(-4, 4.5, 150))

    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    for axes, novelty in zip(figure.subplots(1, 2, sharey=True), (True, False), strict=True):
        model = TagiClassifier(novelty=novelty, random_state=0).fit(X, labels)
        for radius in (3, 10, 100):
            far = model.predict_proba(X.mean(axis=0) + radius * circle).max(axis=1).mean()
            print(f"novelty={novelty!s:5}  confidence at radius {radius:3}: {far:.3f}")
        odds = model.predict_proba(np.c_[sides[0].ravel(), sides[1].ravel()])[:, 1]
        image = axes.pcolormesh(
            *sides, odds.reshape(sides[0].shape), cmap="RdBu_r", vmin=0, vmax=1, rasterized=True
        )
        axes.scatter(*X.T, c=labels, cmap="RdBu_r", s=8, edgecolors="white", linewidths=0.3)
        axes.set(title=f"novelty={novelty}", aspect="equal")
    figure.colorbar(image, ax=figure.axes, label="probability of the second moon")
    print(plotting.save_figure(figure, Path("output/gaps_moons.png")))


def main() -> None:
    curve()
    moons()


if __name__ == "__main__":
    main()
