"""Classes: draw them, sharpen them by guidance, tell them apart, and weigh points by their density.

Run it with ``python examples/diffusion_classes.py``; it writes two figures to ``output/``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tagix as tx
from tagix import metrics, plotting
from tagix.datasets import load_classroom


def main(n_epochs: int = 50, n_samples: int = 2000, grid: int = 100) -> None:
    data = load_classroom("blobs")  # of two classes, and they overlap
    model = tx.DiffusionModel(
        2,
        n_steps=100,
        n_classes=2,
        noise=tx.Heteroscedastic(),
        seed=0,
    )
    model.fit(data.train, data.train_labels, n_epochs=n_epochs, batch_size=64, progress=False)

    # Guidance makes samples typical of their class, and less varied.
    label = np.arange(n_samples) % 2
    print("guidance  accuracy  recall")
    shown = {}
    for weight in (0.5, 1.0, 2.0, 4.0):
        # 19 calls of the network in place of 99, and no noise on the way
        sampler = tx.samplers.DPMSolverMultistep(20)
        samples = model.sample(n_samples, label=label, guidance=weight, sampler=sampler, seed=1).x
        accuracy = metrics.knn_accuracy(samples, label, data.train, data.train_labels)
        _, recall = metrics.precision_recall(samples, data.train)
        print(f"{weight:8g} {accuracy:9.3f} {recall:7.3f}")
        shown[f"guidance {weight:g}"] = samples
    figure = plotting.plot_sample_grid(
        {"samples": shown},
        data=data.train[:n_samples],
        labels={"samples": dict.fromkeys(shown, label)},
        title="Both classes by weight of guidance",
    )
    print(plotting.save_figure(figure, Path("output/diffusion_classes_guidance.png")))

    # The same model tells classes apart, and says how probable each is.
    probability = model.predict_proba(data.held_out[:n_samples], n_draws=4)
    truth = data.held_out_labels[:n_samples]
    accuracy = np.mean(probability.argmax(axis=1) == truth)
    error = metrics.expected_calibration_error(truth, probability)
    neighbours = metrics.knn_accuracy(
        data.held_out[:n_samples], truth, data.train, data.train_labels
    )
    print(f"predict_proba: accuracy {accuracy:.3f}, by 15 neighbours {neighbours:.3f}")
    print(f"               expected calibration error {error:.3f}")

    # And the density of any point.
    side = np.linspace(-1.2, 1.2, grid)
    points = np.stack(np.meshgrid(side, side), axis=-1)
    log_prob = model.log_prob(points.reshape(-1, 2)).reshape(grid, grid)
    print(f"the density adds up to {np.exp(log_prob).sum() * (side[1] - side[0]) ** 2:.3f}")
    figure = plotting.plot_density(side, side, np.exp(log_prob), data=data.train[:n_samples])
    print(plotting.save_figure(figure, Path("output/diffusion_classes_density.png")))


if __name__ == "__main__":
    main()
