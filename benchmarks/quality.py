"""Training to the same quality: the swiss roll beside back-propagation on the same network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tagix as tx
from tagix import metrics
from tagix.bench.threads import set_threads
from tagix.bench.timing import Spread, timed
from tagix.datasets import ToyData, load_toy
from tagix.reference import BackpropDiffusion


def run(n_threads: int, n_seeds: int, n_epochs: int) -> None:
    """Train both on the swiss roll with each seed, in turn, and print times and quality.

    The network, the batch size (256), the epochs and the schedule are the same; Adam runs at 3e-3,
    the best of the rates tried for this budget.

    Args:
        n_threads: Of both.
        n_seeds: Networks of each kind.
        n_epochs: Passes over the 100 000 points.
    """
    set_threads(n_threads, torch=True)
    data = load_toy("swiss_roll")
    print(f"swiss roll, {n_epochs} epochs, batch 256, {n_threads} thread(s), {n_seeds} seeds\n")
    print(f"{'':24}{'train s':>9}{'sample s':>9}{'off':>8}{'SW':>8}{'MSE':>8}")
    rows: dict[str, list[dict[str, float]]] = {"tagix": [], "back-propagation": []}
    for seed in range(n_seeds):
        model = tx.DiffusionModel(2, prediction_type="epsilon", standardize=False, seed=seed)
        peer = BackpropDiffusion(
            2,
            hidden=(64,) * 4,
            n_steps=40,
            schedule="cosine",
            time_features="cosine",
            learning_rate=3e-3,
            seed=seed,
        )

        def fit(model: tx.DiffusionModel = model) -> None:
            model.fit(data.train, n_epochs=n_epochs, batch_size=256, progress=False)

        def fit_peer(peer: BackpropDiffusion = peer) -> None:
            peer.fit(data.train, n_epochs=n_epochs, batch_size=256)

        rows["tagix"].append(_measure(model, fit, data))
        rows["back-propagation"].append(_measure(peer, fit_peer, data))
        for name, measured in rows.items():
            last = measured[-1]
            print(
                f"{name:18}{seed:>6}{last['train']:>9.2f}{last['sample']:>9.2f}"
                f"{last['off']:>8.4f}{last['wasserstein']:>8.4f}{last['mse']:>8.4f}",
                flush=True,
            )
    print("\nratio = time of tagix / time of back-propagation: median (least - greatest)")
    for part in ("train", "sample"):
        ours, theirs = ([row[part] for row in measured] for measured in rows.values())
        print(f"{part:24}{Spread.of_ratios(ours, theirs).text()}")
    print("means over seeds")
    for name, measured in rows.items():
        means = {key: np.mean([row[key] for row in measured]) for key in measured[0]}
        print(f"{name:24}" + "  ".join(f"{key} {value:.4f}" for key, value in means.items()))


def _measure(model: Any, fit: Callable[[], None], data: ToyData) -> dict[str, float]:
    _, train = timed(fit)
    samples, sample = timed(lambda: model.sample(10_000))
    x = np.asarray(getattr(samples, "x", samples))
    return {
        "train": train,
        "sample": sample,
        "off": metrics.off_manifold_share(x, data.train, data.off_manifold_radius),
        "wasserstein": metrics.sliced_wasserstein(x, data.held_out),
        "mse": metrics.denoising_mse(model, data.held_out),
    }
