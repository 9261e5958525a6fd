"""Three sites learn from rows that never leave them; one network is made of what they learned.

Run it with ``python examples/merge_shards.py``; it writes ``output/merge_shards.png``.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import tagix as tx
from tagix import metrics, nn, plotting

SITES = ((-2.0, -0.4), (-0.8, 0.8), (0.4, 2.0))  # where the inputs of each site lie
NOISE_STD = 0.1


def make_rows(low: float, high: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(low, high, (n, 1))
    return x, np.sin(3 * x) + 0.3 * x + NOISE_STD * rng.standard_normal(x.shape)


def main(n_rows: int = 400, n_epochs: int = 20) -> None:
    # Some rows that all may see give the network that everybody starts from.
    net = nn.Sequential(
        *(nn.Linear(1, 50), nn.ReLU(), nn.Linear(50, 1)),
        noise=tx.Homoscedastic(std=NOISE_STD),
        seed=0,
    )
    net.fit(*make_rows(-2, 2, 60, seed=9), n_epochs=50, batch_size=4, progress=False)
    prior = copy.deepcopy(net)
    sites = [copy.deepcopy(prior) for _ in SITES]
    for seed, (site, ends) in enumerate(zip(sites, SITES, strict=True)):
        site.fit(*make_rows(*ends, n_rows, seed), n_epochs=n_epochs, batch_size=16, progress=False)

    merged = tx.merge(sites, prior)
    without = tx.forget(merged, sites[2], prior)  # the third site withdraws what it gave

    x, y = make_rows(-2, 2, 2000, seed=10)
    named = {"prior": prior, **{f"site {i + 1}": site for i, site in enumerate(sites)}}
    named |= {"merged": merged, "without site 3": without}
    for name, each in named.items():
        mean, var = (moment[:, 0] for moment in each(x))
        rmse = np.sqrt(np.mean((y[:, 0] - mean) ** 2))
        share = metrics.coverage(y[:, 0], mean, var, level=0.9)
        print(f"{name:15} RMSE {rmse:.3f}, coverage of 90 % intervals {share:.3f}")

    grid = np.linspace(-2.5, 2.5, 300, dtype=np.float32)
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for (name, each), (low, high) in zip(list(named.items())[1:4], SITES, strict=True):
        (line,) = axes.plot(grid, each(grid[:, None]).mean, linewidth=1, label=name)
        axes.axvspan(low, high, ymax=0.03, color=line.get_color(), alpha=0.3)
    mean, std = merged(grid[:, None]).mean[:, 0], merged(grid[:, None]).std[:, 0]
    axes.fill_between(grid, mean - 2 * std, mean + 2 * std, color="#c2410c", alpha=0.2, lw=0)
    axes.plot(grid, mean, color="#c2410c", linewidth=2, label="merged")
    axes.plot(grid, np.sin(3 * grid) + 0.3 * grid, "k--", linewidth=1, label="truth")
    axes.set(ylim=(-3, 3), title="Three sites, one network")
    axes.legend(frameon=False)
    print(plotting.save_figure(figure, Path("output/merge_shards.png")))


if __name__ == "__main__":
    main()
