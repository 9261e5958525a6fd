"""Eight clouds that overlap: a network says how probable each class is, beside Bayes' rule.

Run it with ``python examples/classification.py``; it writes ``output/classification.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

import tagix as tx
from tagix import metrics, nn, plotting
from tagix.datasets import manycircles


def by_bayes(x: np.ndarray) -> np.ndarray:
    """The best probabilities: from the normal clouds that manycircles draws."""
    angle = np.pi / 4 * np.arange(8)
    distance = x[:, None] - np.stack([np.cos(angle), np.sin(angle)], axis=1)
    density: np.ndarray = np.exp(-(distance**2).sum(axis=2) / (2 * 0.25**2)) + 1e-300
    density /= density.sum(axis=1, keepdims=True)
    return density


def main(n_rows: int = 2000, n_epochs: int = 20) -> None:
    x, labels = manycircles(n_rows, seed=0, return_labels=True)
    held_out, truth = manycircles(20_000, seed=1, return_labels=True)

    # The likelihood says how many outputs the last layer needs: 7 branches for 8 classes.
    tree = tx.HierarchicalSoftmax(8)
    net = nn.Sequential(
        *(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, tree.n_outputs)), likelihood=tree, seed=0
    )
    net.fit(x, labels, n_epochs=n_epochs, batch_size=16, progress=False)

    print("               accuracy  mean log p  calibration error")
    side = np.linspace(-2, 2, 300)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    figure = Figure(figsize=(8.4, 4.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (name, predict) in zip(
        panels, {"predict_proba": net.predict_proba, "Bayes' rule": by_bayes}.items(), strict=True
    ):
        p = predict(held_out)
        likely = np.log(p[np.arange(len(p)), truth]).mean()
        error = metrics.expected_calibration_error(truth, p)
        print(f"{name:14} {(p.argmax(1) == truth).mean():8.3f} {likely:11.3f} {error:18.3f}")
        image = predict(points) @ colormaps["Set2"](np.arange(8))[:, :3]
        panel.imshow(image.reshape(300, 300, 3), origin="lower", extent=(-2, 2, -2, 2))
        panel.plot(*x[:400].T, ".", color="#323f4b", markersize=2)
        panel.set_title(f"{name}: colours mixed by probability")
    print(plotting.save_figure(figure, Path("output/classification.png")))


if __name__ == "__main__":
    main()
