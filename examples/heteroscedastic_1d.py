"""Fit a curve whose noise depends on x: the network infers the noise, beside its own doubts.

Run it with ``python examples/heteroscedastic_1d.py``; it writes
``output/heteroscedastic_1d.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tagix as tx
from tagix import metrics, nn, plotting


def noise_std(x: np.ndarray) -> np.ndarray:
    return 0.05 + 0.25 * np.clip(x + 0.5, 0.0, 1.0)


def main(n_rows: int = 1000, n_epochs: int = 50) -> None:
    # A wave with noise that grows from left to right.
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, n_rows)
    y = np.sin(4 * x) + noise_std(x) * rng.standard_normal(x.shape)
    held_out = rng.random(x.shape) < 0.2

    # The noise is part of the network: nothing to choose, neither here nor in fit.
    net = nn.Sequential(
        *(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)),
        noise=tx.Heteroscedastic(),
        seed=0,
    )
    net.fit(x[~held_out, None], y[~held_out], n_epochs=n_epochs, batch_size=16, progress=False)

    # var = epistemic + aleatoric: what data would teach, and what they leave open.
    prediction = net(x[held_out, None])
    truth, mean, var = y[held_out], prediction.mean[:, 0], prediction.var[:, 0]
    print(f"log-likelihood per held-out point: {-metrics.nll_gaussian(truth, mean, var):.3f}")
    print(f"coverage of 90 % intervals:        {metrics.coverage(truth, mean, var, level=0.9):.3f}")
    for point in (-0.6, 0.6):
        inferred = float(net([[point]]).aleatoric[0, 0]) ** 0.5
        print(
            f"noise std at {point:+.1f}: {inferred:.3f}, in truth {noise_std(np.array(point)):.3f}"
        )

    # Beyond the data the network knows less and less of the curve.
    grid = np.linspace(-2.0, 2.0, 400, dtype=np.float32)
    curve = net(grid[:, None])
    figure = plotting.plot_regression(
        grid,
        *(part[:, 0] for part in (curve.mean, curve.epistemic, curve.aleatoric)),
        data=(x, y),
        title="Two kinds of variance, 2 standard deviations each",
    )
    print(plotting.save_figure(figure, Path("output/heteroscedastic_1d.png")))


if __name__ == "__main__":
    main()
