"""Train a Bayesian diffusion model on the swiss roll, without gradients, and draw samples.

Run it with ``python examples/diffusion_swiss_roll.py``; it takes seconds and writes figures to
``output/``. ``tagix diffusion swiss-roll`` runs the same job with options.
"""

from __future__ import annotations

from pathlib import Path

import tagix as tx
from tagix import metrics, plotting
from tagix.datasets import load_toy


def main() -> None:
    # 100 000 points in the plane, mean 0 and standard deviation 1.
    data = load_toy("swiss_roll")

    # The network predicts the noise in a noisy point, as a Gaussian with mean and variance. Each of
    # its weights is a Gaussian too; an update is Bayes' rule, so there is no learning rate.
    model = tx.DiffusionModel(
        n_features=2,
        hidden=(64, 64, 64, 64),
        noise=tx.Homoscedastic(std=1.0),
        standardize=False,
        seed=0,
    )
    history = model.fit(data.train, n_epochs=10, batch_size=256)

    # Noise becomes points on the roll; samples.var says how sure the model is of each.
    samples = model.sample(10_000)
    off_manifold = metrics.off_manifold_share(samples.x, data.train, data.off_manifold_radius)
    distance = metrics.sliced_wasserstein(samples.x, data.held_out)
    print(f"samples off the manifold:    {off_manifold:.4f}")
    print(f"sliced Wasserstein distance: {distance:.4f}")
    print(f"held-out noise MSE:          {metrics.denoising_mse(model, data.held_out):.4f}")

    figures = {
        "samples": plotting.plot_data_and_samples(data.train, samples.x),
        "sample_var": plotting.plot_sample_var(samples.x, samples.var),
        "training": plotting.plot_training(history.train_mse, history.predicted_var),
    }
    for name, figure in figures.items():
        print(plotting.save_figure(figure, Path("output") / f"example_swiss_roll_{name}.png"))


if __name__ == "__main__":
    main()
