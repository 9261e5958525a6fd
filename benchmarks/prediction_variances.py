"""Variances of predictions of all kinds of networks, beside draws of weights and the posterior."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import tagix as tx
from benchmarks.uncertainty_sizes import Sizes
from benchmarks.uncertainty_table import Rows
from tagix import nn, reference
from tagix.datasets import UCI_SETS, ToyData, load_uci

Array = npt.NDArray[np.float64]
Layers = Sequence[nn.Layer | nn.Module]

UCI_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "uci"


def measure_networks(rows: Rows, data: ToyData, sizes: Sizes, seed: int) -> None:
    """Add medians of variances over those of draws, for each network and data set."""
    for name, epochs, ratios in itertools.chain(
        _of_tables(sizes, seed), _of_noise(data, sizes, seed)
    ):
        for variance, ratio in ratios.items():
            least, most = (0.9, 1.2) if name[:1] in "68" else (0.95, 1.06)
            bounds = (least, most) if variance == "calibrated" else (None, None)
            target = (
                f"Variance of a prediction / that of draws, {name}, {epochs} epochs, {variance}"
            )
            rows.add(target, ratio, *bounds)


def _of_tables(sizes: Sizes, seed: int) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Networks of the UCI sets: two layers of 50, four of 64, and residual blocks."""
    if not UCI_DATA.is_dir():
        return
    for name in UCI_SETS:
        if not (UCI_DATA / name).is_dir():
            continue
        split = load_uci(UCI_DATA, name, seed)
        x_shift, x_scale = split.x_train.mean(axis=0), split.x_train.std(axis=0)
        x_scale[x_scale == 0] = 1
        x, x_test = ((part - x_shift) / x_scale for part in (split.x_train, split.x_test))
        y = (split.y_train - split.y_train.mean()) / split.y_train.std()
        kinds: dict[str, Layers] = {
            "UCI, 2 x 50": _plain(x.shape[1], 50, 2, nn.ReLU),
            "UCI, 4 x 64": _plain(x.shape[1], 64, 4, nn.ReLU),
        }
        for n_blocks in (1, 3, 6):
            kinds[f"UCI, {n_blocks} residual blocks of 64"] = _residual(x.shape[1], 64, n_blocks)
        for kind, layers in kinds.items():
            net = nn.Sequential(*layers, noise=tx.Homoscedastic(learn=True), seed=seed)
            trained = 0
            for epochs in sizes.uci_epochs:
                net.fit(
                    *(x, y.reshape(len(x), -1)),
                    n_epochs=epochs - trained,
                    batch_size=20,
                    progress=False,
                )
                trained = epochs
                yield kind, epochs, _ratios(net, x_test[: sizes.n_drawn_rows], sizes.n_draws)


def _of_noise(
    data: ToyData, sizes: Sizes, seed: int
) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Networks that predict the noise of a swiss roll, trained on a fifth of its rows."""
    generator = np.random.default_rng(seed)
    model = tx.DiffusionModel(2, standardize=False)

    def noisy(clean: Array) -> tuple[Array, Array]:
        t = generator.integers(1, model.n_steps, len(clean))
        noise = generator.standard_normal(clean.shape)
        signal = model.alpha_bar[t][:, np.newaxis]
        x_t = np.sqrt(signal) * clean + np.sqrt(1 - signal) * noise
        return np.hstack([x_t, reference.time_features("cosine", t, model.n_steps)]), noise

    x, y = noisy(data.train[: len(data.train) // 5].astype(np.float64))
    x_test, _ = noisy(data.held_out[: sizes.n_drawn_rows].astype(np.float64))
    kinds: dict[str, Layers] = {
        "4 x 64 tanh": _plain(x.shape[1], 64, 4, nn.Tanh, 2),
        "4 x 64 SiLU": _plain(x.shape[1], 64, 4, nn.SiLU, 2),
        "4 x 256": _plain(x.shape[1], 256, 4, nn.ReLU, 2),
        "6 x 64": _plain(x.shape[1], 64, 6, nn.ReLU, 2),
        "8 x 64": _plain(x.shape[1], 64, 8, nn.ReLU, 2),
        "a layer of 64, used 3 times": [_Repeated(x.shape[1], 64, 3, 2)],
    }
    epochs = sizes.epochs[0]
    for kind, layers in kinds.items():
        net = nn.Sequential(*layers, seed=seed, input_shape=x.shape[1:])
        net.fit(
            *(x, y),
            noise=tx.Homoscedastic(std=1.0),
            n_epochs=epochs,
            batch_size=256,
            progress=False,
        )
        yield kind, epochs, _ratios(net, x_test, sizes.n_draws)


class _Repeated(nn.Module):
    """A network that uses one hidden layer several times."""

    def __init__(self, n_in: int, width: int, n_times: int, n_out: int) -> None:
        self.first, self.last = nn.Linear(n_in, width), nn.Linear(width, n_out)
        self.shared, self.relu = nn.Linear(width, width), nn.ReLU()
        self.n_times = n_times

    def forward(self, x: nn.Value) -> nn.Value:
        hidden = self.relu(self.first(x))
        for _ in range(self.n_times):
            hidden = self.relu(self.shared(hidden))
        return self.last(hidden)  # type: ignore[no-any-return]


def _plain(
    n_in: int, width: int, n_layers: int, activation: Callable[[], nn.Layer], n_out: int = 1
) -> Layers:
    widths = (n_in, *[width] * n_layers)
    layers: list[nn.Layer] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), activation()]
    return [*layers, nn.Linear(width, n_out)]


def _residual(n_in: int, width: int, n_blocks: int) -> Layers:
    layers: list[nn.Layer] = [nn.Linear(n_in, width)]
    for _ in range(n_blocks):
        block = (nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        layers.append(nn.Residual(nn.Sequential(*block)))
    return [*layers, nn.Linear(width, 1)]


def _ratios(net: nn.Sequential, x: Array, n_draws: int) -> dict[str, float]:
    """Medians over rows and outputs of variances by both kinds / that of draws."""
    drawn = np.stack([net.draw(seed)(x).mean for seed in range(n_draws)])
    drawn_var = drawn.var(axis=0, ddof=1, dtype=np.float64)
    return {
        variance: float(np.median(net(x, variance=variance).epistemic / drawn_var))
        for variance in ("calibrated", "diagonal")
    }


def measure_posterior(rows: Rows, sizes: Sizes) -> None:
    """Networks that have learned two clusters of a wave, beside the posterior by HMC.

    Of one network and of mixtures of eight, standard deviations of the function as root mean
    squares over the rows of each region, in units of HMC's.
    """
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-2, -1, 100), rng.uniform(1, 2, 100)])[:, np.newaxis]
    y = np.sin(2 * x[:, 0]) + 0.1 * rng.standard_normal(len(x))
    regions = {
        "the clusters": np.sort(x, axis=0)[::4],
        "the gap between them": np.linspace(-0.6, 0.6, 41)[:, np.newaxis],
    }
    posterior = reference.hamiltonian(x, y, regions, *sizes.n_moves)

    def size(std: Array) -> float:
        return float(np.sqrt(np.mean(std**2)))

    scale, unit = x.std(), y.std()
    nets = []
    for seed in range(8):
        net = nn.Sequential(
            *_plain(1, 50, 1, nn.ReLU), noise=tx.Homoscedastic(learn=True), seed=seed
        )
        net.fit(
            *((x - x.mean()) / scale, ((y - y.mean()) / unit)[:, np.newaxis]),
            n_epochs=sizes.toy_epochs // 4,
            batch_size=40,
            progress=False,
        )
        nets.append(net)
    worst = f"R-hat {posterior.r_hat:.3f}"
    for name, at in regions.items():
        predictions = [net((at - x.mean()) / scale, variance="calibrated") for net in nets]
        means = np.stack([each.mean for each in predictions]).astype(np.float64)
        var = np.stack([each.epistemic for each in predictions]).astype(np.float64)
        ours = {
            "One network": np.sqrt(var[0]) * unit,
            "A mixture of 8": np.sqrt(var.mean(axis=0) + means.var(axis=0)) * unit,
        }
        for who, std in ours.items():
            ratio = size(std) / size(posterior.std[name])
            rows.add(f"{who} of 50 units in {name}: standard deviation / HMC", ratio, note=worst)
