"""Which inputs give a wanted output? All the answers, with how sure the network is of each.

Run it with ``python examples/inverse_design.py``; it writes ``output/inverse_design.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

import tagix as tx
from tagix import nn, plotting

WANTED = 1.5


def response(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.sin(2 * x[:, :1]) * np.cos(x[:, 1:]) + 0.5 * x[:, 1:] ** 2)


def main(n_rows: int = 2000, n_epochs: int = 30) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (n_rows, 2))
    net = nn.Sequential(
        *(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)),
        noise=tx.Homoscedastic(learn=True),
        seed=0,
    )
    y = response(x) + 0.05 * rng.standard_normal((n_rows, 1))
    net.fit(x, y, n_epochs=n_epochs, batch_size=8, progress=False)

    # From many starts the search ends at a few modes; log_evidence weighs them.
    starts = rng.uniform(-2, 2, (60, 2))
    prior = tx.Gaussian(np.zeros(2, np.float32), np.ones(2, np.float32))
    found = net.infer_inputs(np.full(len(starts), WANTED), prior, start=starts)
    modes: list[int] = []
    for row in np.argsort(-found.log_evidence):
        apart = [np.abs(found.mean[row] - found.mean[other]).max() > 0.1 for other in modes]
        if found.converged[row] and all(apart):
            modes.append(int(row))
    weights = np.exp(found.log_evidence[modes] - found.log_evidence[modes[0]])
    print(f"{found.converged.sum()} of {len(starts)} searches ended at {len(modes)} modes")
    for row, weight in zip(modes, weights / weights.sum(), strict=True):
        at = found.mean[row]
        print(
            f"x = {at.round(2)}: weight {weight:.2f}, in truth y = {response(at[None])[0, 0]:.2f}"
        )

    # Made with a tolerance of 0.05 in each input: what the uncertainty of the output is made of.
    parts = net.attribute_variance(found.mean[modes[:1]], np.full((1, 2), 0.05**2))
    shares = {"x_0": parts.inputs[0, 0, 0], "x_1": parts.inputs[0, 0, 1]}
    shares |= {f"layer {name}": share[0, 0] for name, share in parts.layers.items()}
    shares["noise"] = parts.noise[0, 0]
    print(", ".join(f"{k} {100 * v / parts.var[0, 0]:.0f} %" for k, v in shares.items()))

    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
    axes = figure.subplots()
    grid = np.linspace(-2.5, 2.5, 120)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    truth = response(points).reshape(120, 120)
    axes.contourf(grid, grid, truth, levels=20, cmap="Blues", alpha=0.7)
    axes.contour(grid, grid, truth, levels=[WANTED], colors="#52606d", linestyles="--")
    for row in modes:
        values, vectors = np.linalg.eigh(found.covariance[row])
        angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
        size = 4 * np.sqrt(values[::-1])
        axes.add_patch(Ellipse(found.mean[row], *size, angle=angle, color="#c2410c", alpha=0.4))
    axes.set(xlabel="x_0", ylabel="x_1", title=f"Inputs for y = {WANTED}, 2 standard deviations")
    print(plotting.save_figure(figure, Path("output/inverse_design.png")))


if __name__ == "__main__":
    main()
