"""Fit a curve with error bars: certain where there are data, unsure where there are none.

Run it with ``python examples/regression_1d.py``; it writes ``output/regression_1d.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tagix as tx
from tagix import nn, plotting


def main() -> None:
    # y = x^3 / 10 + noise, known on both sides of a gap.
    noise_std = 0.1
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-2.0, -0.5, 200), rng.uniform(1.0, 2.0, 200)])
    y = x**3 / 10 + rng.normal(0.0, noise_std, x.shape)

    net = nn.Sequential(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    net.fit(x[:, None], y, noise=tx.Homoscedastic(std=noise_std), n_epochs=50, batch_size=10)

    # var is the variance of the curve; an observation adds its noise to it.
    grid = np.linspace(-3.0, 3.0, 300, dtype=np.float32)[:, None]
    mean, var = (moment[:, 0] for moment in net(grid))
    std = np.sqrt(var + noise_std**2)

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.scatter(x, y, s=6, color="#52606d", alpha=0.6, linewidths=0, label="data")
    axes.plot(grid, grid**3 / 10, "--", color="#52606d", linewidth=1, label="truth")
    axes.plot(grid, mean, color="#c2410c", label="prediction")
    for n_std, alpha in ((2, 0.15), (1, 0.25)):
        axes.fill_between(
            grid[:, 0], mean - n_std * std, mean + n_std * std, color="#c2410c", alpha=alpha, lw=0
        )
    axes.set(xlabel="x", ylabel="y", title="Prediction with 1 and 2 standard deviations")
    axes.legend(frameon=False)
    print(plotting.save_figure(figure, Path("output/regression_1d.png")))


if __name__ == "__main__":
    main()
