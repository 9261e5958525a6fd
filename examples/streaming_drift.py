"""Learn from a stream that changes all at once, with and without forgetting.

Run it with ``python examples/streaming_drift.py``; it writes ``output/streaming_drift.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tagix as tx
from tagix import nn, plotting

CHUNK = 200  # rows between two looks at the error
NOISE_STD = 0.1


def learn(
    x: np.ndarray, y: np.ndarray, forgetting: tx.Forgetting | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Excess squared error and surprise by chunk, and how many drifts were found."""
    net = nn.Sequential(
        *(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)),
        noise=tx.Homoscedastic(std=NOISE_STD),
        forgetting=forgetting,
        seed=0,
    )
    error, surprise = [], []
    for start in range(0, len(x), CHUNK):
        rows = slice(start, start + CHUNK)
        history = net.fit(x[rows], y[rows], n_epochs=1, batch_size=1, shuffle=False, progress=False)
        error += history.train_mse
        surprise += history.surprise
    return np.array(error) - NOISE_STD**2, np.array(surprise), net.n_drifts


def main(n_before: int = 20_000, n_after: int = 6000) -> None:
    # One function for so long that the network is sure of it, and then another one.
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (n_before + n_after, 1))
    changed = np.arange(len(x))[:, None] >= n_before
    y = np.where(changed, 0.6 * np.cos(2 * x) + 0.5 * x, np.sin(3 * x))
    y += NOISE_STD * rng.standard_normal(y.shape)

    # The test alone, and random walks of the parameters of several strengths beside it.
    ways: dict[str, tx.Forgetting | None] = {"no forgetting": None}
    for process_noise in (0.0, 1e-6, 1e-5, 1e-4):
        ways[f"process_noise={process_noise:g}"] = tx.Forgetting(process_noise=process_noise)

    change = n_before // CHUNK
    figure = Figure(figsize=(7.0, 5.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    print(f"{'':21} before: error surprise   after: error in {CHUNK} rows, in the next 800  drifts")
    for name, forgetting in ways.items():
        error, surprise, n_drifts = learn(x, y, forgetting)
        stationary, certainty = error[:change][-25:].mean(), surprise[:change][-25:].mean()
        print(
            f"{name:21} {stationary:13.5f} {certainty:8.2f} "
            f"{error[change]:28.4f} {error[change + 1 : change + 5].mean():17.4f} {n_drifts:8}"
        )
        if name in ("no forgetting", "process_noise=1e-06"):
            rows = CHUNK * (np.arange(len(error)) + 1)
            top.semilogy(rows, np.maximum(error, 1e-4), label=name, linewidth=1.4)
            bottom.semilogy(rows, surprise, label=name, linewidth=1.4)
    top.set(ylabel="squared error less noise", title="A stream that changes")
    bottom.set(xlabel="rows", ylabel="surprise", xlim=(max(0, n_before - 4000), len(x)))
    bottom.axhline(1.0, color="#52606d", linestyle="--", linewidth=1)
    top.legend(frameon=False)
    print(plotting.save_figure(figure, Path("output/streaming_drift.png")))


if __name__ == "__main__":
    main()
