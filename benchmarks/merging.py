"""Networks trained on shards: their product beside what else can be made of the same rows."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import tagix as tx
from benchmarks.progress import Progress
from benchmarks.torch_network import torch_network
from tagix import metrics, nn
from tagix.bench.document import check_document, write_document
from tagix.bench.markdown import markdown_table
from tagix.bench.threads import set_threads

Array = npt.NDArray[np.float32]
Rows = tuple[Array, Array]

NOISE_STD = 0.2
N_FEATURES, N_HIDDEN = 4, 64
LEARNING_RATE = 3e-3
TABLES = {"merging-rmse": 0, "merging-log-likelihood": 1, "merging-coverage": 2}
METHODS = (
    "all rows at once",
    "shard after shard",
    "product",
    "a product an epoch",
    "mean of means",
    "federated averaging",
    "all networks",
    "one shard",
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the defaults are those of docs/merging.md."""

    n_common: int = 512
    n_train: int = 4096
    n_test: int = 4000
    n_epochs: int = 10
    batch_size: int = 16
    n_shards: tuple[int, ...] = (2, 4, 8, 16)


QUICK = Sizes(n_common=64, n_train=160, n_test=200, n_epochs=1, n_shards=(2, 4))


def make_rows(n_rows: int, seed: int) -> Rows:
    """y = sin(2 x_0) + x_1 x_2 / 2 + cos(3 x_3 / 2) + noise, x uniform on (-1.7, 1.7)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.7, 1.7, (n_rows, N_FEATURES))
    y = np.sin(2 * x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] + np.cos(1.5 * x[:, 3])
    y += NOISE_STD * rng.standard_normal(n_rows)
    return x.astype(np.float32), y[:, None].astype(np.float32)


def make_shards(rows: Rows, n_shards: int, split: str, seed: int) -> list[Rows]:
    """Equal shards: "alike" are random rows, "apart" are slabs of x_0."""
    x, y = rows
    order = np.random.default_rng(seed).permutation(len(x))
    if split == "apart":
        order = np.argsort(x[:, 0])
    return [(x[part], y[part]) for part in np.array_split(order, n_shards)]


def make_net(seed: int) -> nn.Sequential:
    """The network of all experiments; its noise is known."""
    layers = [nn.Linear(N_FEATURES, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, 1)]
    return nn.Sequential(*layers, seed=seed, noise=tx.Homoscedastic(std=NOISE_STD))


def learn(
    net: nn.Sequential, rows: Rows, sizes: Sizes, n_epochs: int | None = None
) -> nn.Sequential:
    """The network itself, after some epochs more."""
    net.fit(*rows, n_epochs=n_epochs or sizes.n_epochs, batch_size=sizes.batch_size, progress=False)
    return net


def scores(mean: Array, var: Array, test: Rows) -> Array:
    """RMSE, log-likelihood and coverage of 90 % intervals."""
    truth, mean, var = test[1][:, 0], mean[:, 0], var[:, 0]
    return np.array(
        [
            np.sqrt(np.mean((truth - mean) ** 2)),
            -metrics.nll_gaussian(truth, mean, var),
            metrics.coverage(truth, mean, var, level=0.9),
        ]
    )


def of_network(net: nn.Sequential, test: Rows) -> Array:
    """The scores of a network."""
    return scores(*net(test[0]), test)


def of_mixture(nets: list[nn.Sequential], test: Rows) -> Array:
    """The scores of a Gaussian with the moments of all networks' predictions, mixed."""
    means, variances = (
        np.array(part) for part in zip(*(net(test[0]) for net in nets), strict=True)
    )
    mean = means.mean(axis=0)
    return scores(mean, (variances + means**2).mean(axis=0) - mean**2, test)


def mean_of_means(nets: list[nn.Sequential]) -> nn.Sequential:
    """Parameters averaged one by one, variances too."""
    states = [net.state_dict() for net in nets]
    averaged = copy.deepcopy(nets[0])
    averaged.load_state_dict(
        {k: np.mean([state[k] for state in states], axis=0) for k in states[0]}
    )
    return averaged


def product_by_epoch(prior: nn.Sequential, shards: list[Rows], sizes: Sizes) -> nn.Sequential:
    """Rounds of one epoch, each from the product of the one before."""
    net = prior
    for _ in range(sizes.n_epochs):
        net = tx.merge([learn(copy.deepcopy(net), shard, sizes, 1) for shard in shards], net)
    return net


def train_backprop(
    net: torch.nn.Sequential, rows: Rows, sizes: Sizes, seed: int
) -> torch.nn.Sequential:
    """The network itself, after Adam at LEARNING_RATE on squared errors."""
    x, y = (torch.from_numpy(part) for part in rows)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(sizes.n_epochs):
        for part in torch.randperm(len(x), generator=generator).split(sizes.batch_size):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(net(x[part]), y[part]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return net


def federated_average(
    start: torch.nn.Sequential, shards: list[Rows], test: Rows, sizes: Sizes, seed: int
) -> Array:
    """The scores of one round of federated averaging (McMahan et al., 2017) of equal shards."""
    nets = [train_backprop(copy.deepcopy(start), shard, sizes, seed) for shard in shards]
    states = [net.state_dict() for net in nets]
    averaged = copy.deepcopy(start)
    averaged.load_state_dict(
        {k: sum(state[k] for state in states) / len(states) for k in states[0]}
    )
    with torch.no_grad():
        mean = averaged(torch.from_numpy(test[0])).numpy()
    return scores(mean, np.full_like(mean, NOISE_STD**2), test)


Key = tuple[str, str, int]


def run(n_threads: int, n_seeds: int, quick: bool, output: Path | None) -> dict[str, str]:
    """Measure every table, print it and put it into a document.

    Args:
        n_threads: of tagix and PyTorch.
        n_seeds: data sets, splits and networks of each kind.
        quick: small sizes: it shows that all this runs, and no more.
        output: a Markdown file with the tables' markers; None for none.

    Raises:
        ValueError: the file has no markers; found before anything is measured.
        OSError: it cannot be read or written.
    """
    sizes = QUICK if quick else Sizes()
    names = [*TABLES, "merging-seeds", "merging-forget"]
    if output is not None:
        check_document(output, names)
    set_threads(n_threads, torch=True)
    progress = Progress()
    merged: dict[Key, dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
    seeds: dict[int, list[tuple[float, float]]] = defaultdict(list)
    forgotten: dict[tuple[str, str, str], list[Array]] = defaultdict(list)
    for seed in range(n_seeds):
        common = make_rows(sizes.n_common, 3 * seed)
        train = make_rows(sizes.n_train, 3 * seed + 1)
        test = make_rows(sizes.n_test, 3 * seed + 2)
        for prior_name in ("fresh", "trained"):
            _measure_shards(merged, prior_name, common, train, test, sizes, seed)
            _measure_forgetting(forgotten, prior_name, common, train, test, sizes, seed)
            progress.done(f"seed {seed}: {prior_name} prior")
        _measure_seeds(seeds, train, test, sizes, seed)
    tables = {name: _shards_table(merged, column) for name, column in TABLES.items()}
    tables["merging-seeds"] = _table(
        ["shards", "one seed", "a seed each"],
        ([str(n), *(f"{x:.3f}" for x in np.mean(pairs, 0))] for n, pairs in seeds.items()),
    )
    tables["merging-forget"] = _forgetting_table(forgotten)
    for name, table in tables.items():
        print(f"\n{name}\n{table}")
    if output is not None:
        write_document(output, tables)
        print(f"\n{output}")
    return tables


def _backprop_start(common: Rows | None, sizes: Sizes, seed: int) -> torch.nn.Sequential:
    net = torch_network((N_FEATURES, N_HIDDEN, 1), seed)
    return net if common is None else train_backprop(net, common, sizes, seed)


def _prior(name: str, common: Rows, sizes: Sizes, seed: int) -> nn.Sequential:
    """The network that all others start from, "fresh" or "trained" on the common rows."""
    prior = make_net(seed)
    return learn(prior, common, sizes) if name == "trained" else prior


def _measure_shards(
    results: dict[Key, dict[str, list[Array]]],
    prior_name: str,
    common: Rows,
    train: Rows,
    test: Rows,
    sizes: Sizes,
    seed: int,
) -> None:
    prior = _prior(prior_name, common, sizes, seed)
    start = _backprop_start(common if prior_name == "trained" else None, sizes, seed)
    at_once = of_network(learn(copy.deepcopy(prior), train, sizes), test)
    for split in ("alike", "apart"):
        for n_shards in sizes.n_shards:
            shards = make_shards(train, n_shards, split, seed)
            nets = [learn(copy.deepcopy(prior), shard, sizes) for shard in shards]
            sequential = copy.deepcopy(prior)
            for shard in shards:
                learn(sequential, shard, sizes)
            by_method: dict[str, Array] = {
                "all rows at once": at_once,
                "shard after shard": of_network(sequential, test),
                "product": of_network(tx.merge(nets, prior), test),
                "a product an epoch": of_network(product_by_epoch(prior, shards, sizes), test),
                "mean of means": of_network(mean_of_means(nets), test),
                "federated averaging": federated_average(start, shards, test, sizes, seed),
                "all networks": of_mixture(nets, test),
                "one shard": np.mean([of_network(net, test) for net in nets], axis=0),
            }
            for method, measured in by_method.items():
                results[prior_name, split, n_shards][method].append(measured)
            results[prior_name, split, n_shards]["prior"].append(of_network(prior, test))


def _measure_seeds(
    results: dict[int, list[tuple[float, float]]],
    train: Rows,
    test: Rows,
    sizes: Sizes,
    seed: int,
) -> None:
    """RMSE of the product of networks from one seed, and from a seed each."""
    prior = make_net(seed)
    for n_shards in sizes.n_shards:
        shards = make_shards(train, n_shards, "alike", seed)
        same = [learn(copy.deepcopy(prior), shard, sizes) for shard in shards]
        others = []
        for i, shard in enumerate(shards):
            own = learn(make_net(seed + 1000 * i), shard, sizes)
            others.append(make_net(seed))  # merge asks for the seed of the prior
            others[-1].load_state_dict(own.state_dict())
        pair = [of_network(tx.merge(nets, prior), test)[0] for nets in (same, others)]
        results[n_shards].append((float(pair[0]), float(pair[1])))


def _measure_forgetting(
    results: dict[tuple[str, str, str], list[Array]],
    prior_name: str,
    common: Rows,
    train: Rows,
    test: Rows,
    sizes: Sizes,
    seed: int,
) -> None:
    """How far predictions are from those of a network that never saw the shard.

    Root mean square differences, on test rows in the region of the shard's, before and after
    forgetting; and the percentage of parameters that are put back to the prior.
    """
    prior = _prior(prior_name, common, sizes, seed)
    for split in ("alike", "apart"):
        shards = make_shards(train, 10, split, seed)
        others = (np.concatenate(part) for part in zip(*shards[:-1], strict=True))
        never = learn(copy.deepcopy(prior), (next(others), next(others)), sizes)
        nets = [learn(copy.deepcopy(prior), shard, sizes) for shard in shards]
        last = learn(copy.deepcopy(never), shards[-1], sizes)
        among = learn(copy.deepcopy(prior), train, sizes)
        there = test[0][test[0][:, 0] >= shards[-1][0][:, 0].min()]
        for learned, whole, without in (
            ("after the others", last, never),
            ("among the others", among, never),
            ("merged with the others", tx.merge(nets, prior), tx.merge(nets[:-1], prior)),
        ):
            rest = tx.forget(whole, nets[-1], prior, improper="prior")
            before, after = (
                np.sqrt(np.mean((net(there).mean - without(there).mean) ** 2))
                for net in (whole, rest)
            )
            back = np.mean(rest._model.get_parameters()[1] == prior._model.get_parameters()[1])
            results[prior_name, split, learned].append(np.array([before, after, 100 * back]))


def _shards_table(results: dict[Key, dict[str, list[Array]]], column: int) -> str:
    form: Callable[[float], str] = "{:.3f}".format if column < 2 else "{:.2f}".format
    rows = [
        [*map(str, key), *(form(np.mean(by[m], axis=0)[column]) for m in (*METHODS, "prior"))]
        for key, by in results.items()
    ]
    return _table(["prior", "shards", "", *METHODS, "the prior"], rows)


def _forgetting_table(results: dict[tuple[str, str, str], list[Array]]) -> str:
    rows = []
    for (prior, split, learned), measured in results.items():
        before, after, back = np.mean(measured, axis=0)
        rows.append([prior, split, learned, f"{before:.3f}", f"{after:.3f}", f"{back:.1f} %"])
    return _table(
        ["prior", "shards", "the shard was learned", "before", "after", "put back to the prior"],
        rows,
    )


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    return markdown_table(head, list(rows), n_left=len(head))
