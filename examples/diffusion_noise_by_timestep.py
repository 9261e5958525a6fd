"""How hard the noise of a diffusion is to predict, by timestep: the model says, the data confirm.

Run it with ``python examples/diffusion_noise_by_timestep.py``; it writes
``output/diffusion_noise_by_timestep.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tagix as tx
from tagix import metrics, plotting
from tagix.datasets import load_toy


def main(n_train: int = 100_000, n_epochs: int = 6) -> None:
    # Early in the process a noisy point hides its noise, late it is almost nothing else. With
    # Heteroscedastic noise the network infers how much of the noise each (x_t, t) leaves open.
    data = load_toy("swiss_roll", n_train=n_train)
    model = tx.DiffusionModel(
        2, prediction_type="epsilon", noise=tx.Heteroscedastic(), standardize=False, seed=0
    )
    model.fit(data.train, n_epochs=n_epochs, batch_size=2048, progress=False)

    # Held-out points, diffused here: x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise.
    rng = np.random.default_rng(0)
    t = rng.integers(1, model.n_steps, len(data.held_out))
    noise = rng.standard_normal(data.held_out.shape)
    signal = model.alpha_bar[t][:, None]
    mean, var = model.predict(np.sqrt(signal) * data.held_out + np.sqrt(1 - signal) * noise, t)

    print("    t  predicted  actual  ratio")
    for group in np.array_split(np.arange(1, model.n_steps), 8):
        rows = np.isin(t, group)
        predicted, actual = var[rows].mean(), np.mean((noise - mean)[rows] ** 2)
        name = f"{group[0]}-{group[-1]}"
        print(f"{name:>5} {predicted:10.3f} {actual:7.3f} {predicted / actual:6.2f}")
    for level in (0.68, 0.95):
        print(f"coverage of {level:.0%}: {metrics.coverage(noise, mean, var, level=level):.3f}")

    figure = plotting.plot_variance_by(
        t, noise, mean, var, group_label="timestep", title="Variance of the noise that is left open"
    )
    print(plotting.save_figure(figure, Path("output/diffusion_noise_by_timestep.png")))


if __name__ == "__main__":
    main()
