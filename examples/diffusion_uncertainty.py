"""Samples that come with their uncertainty: see it, check it, and drop the bad ones by it.

Run it with ``python examples/diffusion_uncertainty.py``; it needs the extra ``torch`` for the old
recursion and the Monte Carlo check, and writes two figures to ``output/``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

import tagix as tx
from tagix import metrics, plotting, reference
from tagix.datasets import load_toy


def total(covariance: np.ndarray) -> np.ndarray:
    return np.asarray(np.trace(covariance, axis1=1, axis2=2), dtype=np.float64)


def main(
    n_train: int = 100_000, n_epochs: int = 10, n_samples: int = 10_000, n_chains: int = 100
) -> None:
    data = load_toy("swiss_roll", n_train=n_train)
    model = tx.DiffusionModel(2, prediction_type="epsilon", standardize=False, seed=0)
    model.fit(data.train, n_epochs=n_epochs, batch_size=256, progress=False)

    # One pass gives the samples and three measures of each.
    samples = model.sample(n_samples, uncertainty=True, trajectory=True, seed=1)
    assert samples.trajectory is not None and samples.score is not None
    assert samples.epistemic is not None and samples.aleatoric is not None
    measures = {
        "score": samples.score,
        "epistemic": total(samples.epistemic),
        "old recursion": reference.published_var(model, samples.trajectory).sum(axis=1),
    }
    distance, _ = cKDTree(data.train).query(samples.x)
    off = distance > data.off_manifold_radius

    # Monte Carlo on some samples: weights drawn from the posterior in each step of each chain.
    some = min(100, n_samples)
    trajectory = samples.trajectory[:, :some]
    checked = total(reference.redrawn_covariance(model, trajectory, n_chains))

    # A variance can be right (ratio 1), and can rank samples (AUROC 1); it need not do both.
    print(f"{'':14} AUROC of bad samples  variance / Monte Carlo, median")
    for name, values in measures.items():
        ratio = f"{np.median(values[:some] / checked):.3g}" if name != "score" else "-"
        print(f"{name:14} {metrics.ood_auroc(values[~off], values[off]):20.3f} {ratio:>31}")
    kept, radius = samples.keep(0.9), data.off_manifold_radius
    off_kept = metrics.off_manifold_share(kept.x, data.train, radius)
    print(f"off the manifold: {off.mean():.4f} of all, {off_kept:.4f} of keep(0.9)")

    colours = {"epistemic": total(samples.epistemic), "aleatoric": total(samples.aleatoric)}
    figure = plotting.plot_samples_by(
        samples.x,
        colours | {"score": samples.score},
        title="What the network does not know, what data leave open, and the score",
    )
    print(plotting.save_figure(figure, Path("output/diffusion_uncertainty_samples.png")))
    figure = plotting.plot_risk_coverage(
        off, measures, title="Share off the manifold of the samples that are kept"
    )
    print(plotting.save_figure(figure, Path("output/diffusion_uncertainty_filtering.png")))


if __name__ == "__main__":
    main()
