"""Networks of classes beside the same network with softmax and Adam: docs/classification.md."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import cycle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import tagix as tx
from benchmarks.torch_network import torch_network
from tagix import metrics, nn
from tagix.bench.compare import Summary
from tagix.bench.markdown import markdown_table
from tagix.bench.section import show
from tagix.bench.sklearn_sets import SETS
from tagix.bench.store import write_json
from tagix.bench.threads import set_threads
from tagix.bench.timing import interleaved_seconds, timed

Array = npt.NDArray[np.float64]
Inputs = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Likelihood = tx.HierarchicalSoftmax | tx.OneVsRest | tx.Remax | tx.Softmax
# Of rows to probabilities.
Predictor = Callable[[Inputs], Array]

MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
N_HIDDEN, BATCH_SIZE = 64, 16
LEARNING_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
REMAX_STDS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)
N_PLACES = 128


@dataclass(frozen=True)
class Data:
    """Rows with classes, and how they are divided and learned."""

    name: str
    x: Inputs
    labels: Labels
    n_epochs: int

    @property
    def n_classes(self) -> int:
        """The number of classes, of which there is a row each."""
        return int(self.labels.max()) + 1

    def split(self, seed: int) -> tuple[Inputs, Labels, Inputs, Labels]:
        """Seven tenths to learn and the rest to try, both in units of the former."""
        order = np.random.default_rng(seed).permutation(len(self.x))
        n_train = round(0.7 * len(order))
        x, labels = self.x[order], self.labels[order]
        std = x[:n_train].std(axis=0)
        x = (x - x[:n_train].mean(axis=0)) / np.where(std > 1e-6, std, 1).astype(np.float32)
        return x[:n_train], labels[:n_train], x[n_train:], labels[n_train:]


@dataclass(frozen=True)
class Scores:
    """What a method reaches on held-out rows, and the seconds that it trains."""

    accuracy: float
    log_likelihood: float
    calibration_error: float
    seconds: float

    @classmethod
    def of(cls, p: Array, labels: Labels, seconds: float) -> Scores:
        """Of probabilities (rows, n_classes); those of labels count as 1e-30 or more."""
        of_label = np.maximum(p[np.arange(len(p)), labels], 1e-30)
        return cls(
            float((p.argmax(axis=1) == labels).mean()),
            float(np.log(of_label).mean()),
            metrics.expected_calibration_error(labels, p),
            seconds,
        )


def load(quick: bool) -> Iterator[Data]:
    """The sets of data that are there."""
    for name, n_epochs in (("digits", 20), ("wine", 50), ("breast-cancer", 20)):
        x, labels = SETS[name].load()
        yield Data(name.replace("-", "_"), x.astype(np.float32), labels, 2 if quick else n_epochs)
    if quick:
        return
    yield places()
    if not MNIST.is_dir():
        return
    with gzip.open(MNIST / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(MNIST / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    yield Data("MNIST's 10 000 test images", pixels.reshape(-1, 784) / np.float32(255), labels, 5)


def places() -> Data:
    """Many classes, each a normal cloud at a random place in 8 dimensions, in no order."""
    generator = np.random.default_rng(0)
    labels = np.tile(np.arange(N_PLACES), 60)
    x = generator.standard_normal((N_PLACES, 8))[labels]
    x += 0.3 * generator.standard_normal(x.shape)
    return Data(f"{N_PLACES} places", x.astype(np.float32), labels, 10)


def neighbours_alike(x: Inputs, labels: Labels, n_classes: int) -> Labels:
    """Numbers of classes by which those that share a path in the tree lie near to each other.

    Their means are halved along their principal axis, the halves likewise, and so on; the classes
    then follow the leaves of the tree from left to right.
    """
    means = np.stack([x[labels == label].mean(axis=0) for label in range(n_classes)])

    def halved(classes: Labels) -> list[int]:
        if len(classes) == 1:
            return [int(classes[0])]
        centred = means[classes] - means[classes].mean(axis=0)
        axis = np.linalg.svd(centred, full_matrices=False)[2][0]
        classes = classes[np.argsort(centred @ axis)]
        half = len(classes) // 2
        return halved(classes[:half]) + halved(classes[half:])

    # The lowest level of the tree, which is its left part, has the classes from this one on.
    lowest = 2 ** int(np.ceil(np.log2(n_classes))) - n_classes
    numbers = np.empty(n_classes, np.int64)
    numbers[halved(np.arange(n_classes))] = np.roll(np.arange(n_classes), -lowest)
    return numbers


def network(n_features: int, head: Likelihood, seed: int) -> nn.Sequential:
    """One hidden layer and a likelihood."""
    layers = nn.Linear(n_features, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, head.n_outputs)
    return nn.Sequential(*layers, likelihood=head, seed=seed)


def learn(
    head: Likelihood, x: Inputs, labels: Labels, n_epochs: int, seed: int
) -> tuple[Predictor, float]:
    """A network of tagix with the settings that it comes with, and its seconds."""
    net = network(x.shape[1], head, seed)
    _, seconds = timed(
        lambda: net.fit(x, labels, n_epochs=n_epochs, batch_size=BATCH_SIZE, progress=False)
    )
    return lambda rows: net.predict_proba(rows).astype(np.float64), seconds


def learn_softmax(
    rate: float, n_classes: int, x: Inputs, labels: Labels, n_epochs: int, seed: int
) -> tuple[Predictor, float]:
    """Cross-entropy of softmax by fused Adam, and its seconds."""
    net = torch_network((x.shape[1], N_HIDDEN, n_classes), seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate, fused=True)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(labels)
    start = time.perf_counter()
    for _ in range(n_epochs):
        order = torch.randperm(len(inputs))
        for first in range(0, len(order), BATCH_SIZE):
            batch = order[first : first + BATCH_SIZE]
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(net(inputs[batch]), targets[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    seconds = time.perf_counter() - start

    def predict(rows: Inputs) -> Array:
        with torch.inference_mode():
            p: Array = net(torch.from_numpy(rows)).double().softmax(dim=1).numpy()
        return p

    return predict, seconds


def best_rate(data: Data, x: Inputs, labels: Labels, seed: int) -> float:
    """The learning rate of the best log-likelihood on a fifth of the rows to learn."""
    n_train = round(0.8 * len(x))

    def score(rate: float) -> float:
        arguments = x[:n_train], labels[:n_train], data.n_epochs, seed
        predict, _ = learn_softmax(rate, data.n_classes, *arguments)
        return Scores.of(predict(x[n_train:]), labels[n_train:], 0).log_likelihood

    return max(LEARNING_RATES, key=score)


def compare(data: Data, seeds: Iterable[int]) -> dict[str, list[Scores]]:
    """Scores by method and seed; a seed divides the rows, too."""
    heads: dict[str, Likelihood] = {
        "HierarchicalSoftmax": tx.HierarchicalSoftmax(data.n_classes),
        "Remax": tx.Remax(data.n_classes),
        "Softmax": tx.Softmax(data.n_classes),
        "OneVsRest": tx.OneVsRest(data.n_classes),
    }
    scores: dict[str, list[Scores]] = {}
    for seed in seeds:
        x, labels, held_out, truth = data.split(seed)
        rate = best_rate(data, x, labels, seed)
        trained = {
            name: learn(head, x, labels, data.n_epochs, seed) for name, head in heads.items()
        }
        trained["PyTorch, softmax, best Adam"] = learn_softmax(
            rate, data.n_classes, x, labels, data.n_epochs, seed
        )
        for name, (predict, seconds) in trained.items():
            scores.setdefault(name, []).append(Scores.of(predict(held_out), truth, seconds))
    return scores


def by_std(data: Data, seeds: Iterable[int]) -> dict[float, list[Scores]]:
    """Scores of Remax by the noise of its shares."""
    scores: dict[float, list[Scores]] = {std: [] for std in REMAX_STDS}
    for seed in seeds:
        x, labels, held_out, truth = data.split(seed)
        for std, so_far in scores.items():
            head = tx.Remax(data.n_classes, std=std)
            predict, seconds = learn(head, x, labels, data.n_epochs, seed)
            so_far.append(Scores.of(predict(held_out), truth, seconds))
    return scores


def by_order(data: Data, n_orders: int) -> dict[str, list[Scores]]:
    """Scores of a tree by the numbers of its classes, and by the network's seed."""
    x, labels, held_out, truth = data.split(0)
    head = tx.HierarchicalSoftmax(data.n_classes)
    given = np.arange(data.n_classes)
    alike = neighbours_alike(x, labels, data.n_classes)

    def score(numbers: Labels, seed: int) -> Scores:
        predict, seconds = learn(head, x, numbers[labels], data.n_epochs, seed)
        return Scores.of(predict(held_out), numbers[truth], seconds)

    seeds = range(n_orders)
    return {
        "classes as given, by seed": [score(given, seed) for seed in seeds],
        "random orders": [score(np.random.default_rng(i).permutation(given), 0) for i in seeds],
        "neighbours alike, by seed": [score(alike, seed) for seed in seeds],
    }


def calls_by_classes(n_classes: int, x: Inputs) -> dict[str, Callable[[], object]]:
    """A training step and a prediction of each method on a batch of so many classes."""
    generator = np.random.default_rng(0)
    batches = cycle([generator.integers(0, n_classes, len(x)) for _ in range(16)])
    inputs = torch.from_numpy(x)
    module = torch_network((x.shape[1], N_HIDDEN, n_classes))
    optimizer = torch.optim.Adam(module.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        targets = torch.from_numpy(next(batches))
        loss = torch.nn.functional.cross_entropy(module(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def predict() -> None:
        with torch.inference_mode():
            module(inputs).softmax(dim=1)

    tree = network(x.shape[1], tx.HierarchicalSoftmax(n_classes), 0)
    remax = network(x.shape[1], tx.Remax(n_classes), 0)
    softmax = network(x.shape[1], tx.Softmax(n_classes), 0)
    one_vs_rest = network(x.shape[1], tx.OneVsRest(n_classes), 0)
    return {
        "tree, step": lambda: tree.update(x, next(batches)),
        "Remax, step": lambda: remax.update(x, next(batches)),
        "Softmax, step": lambda: softmax.update(x, next(batches)),
        "OneVsRest, step": lambda: one_vs_rest.update(x, next(batches)),
        "PyTorch, step": step,
        "tree, prediction": lambda: tree.predict_proba(x),
        "Remax, prediction": lambda: remax.predict_proba(x),
        "Softmax, prediction": lambda: softmax.predict_proba(x),
        "OneVsRest, prediction": lambda: one_vs_rest.predict_proba(x),
        "PyTorch, prediction": predict,
    }


def microseconds_by_classes(
    counts: Iterable[int], n_rounds: int, round_seconds: float
) -> dict[int, dict[str, float]]:
    """Microseconds a row of those calls, by number of classes: the best of rounds."""
    x = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    found = {}
    for n_classes in counts:
        seconds = interleaved_seconds(calls_by_classes(n_classes, x), n_rounds, round_seconds)
        found[n_classes] = {name: 1e6 * min(values) / len(x) for name, values in seconds.items()}
    return found


def table(rows: dict[str, list[Scores]]) -> str:
    """Means and standard deviations in Markdown."""
    lines = []
    for name, scores in rows.items():
        columns = (Summary.of(getattr(s, field.name) for s in scores) for field in fields(Scores))
        lines.append([name, *(show(c, 2 if i == 3 else 3) for i, c in enumerate(columns))])
    return markdown_table(["", "accuracy", "mean log p", "calibration error", "seconds"], lines)


def run(n_threads: int, n_seeds: int, quick: bool, output: Path | None) -> None:
    """Measures and prints it all, table by table; also as JSON to ``output``."""
    set_threads(n_threads, torch=True)
    results: dict[str, dict[str, list[Scores]]] = {}

    def report(title: str, rows: dict[str, list[Scores]]) -> None:
        results[title] = rows
        print(f"\n{title}\n\n{table(rows)}", flush=True)

    for data in load(quick):
        seeds = range(n_seeds)
        size = f"{data.name}: {len(data.x)} rows, {data.n_classes} classes, {data.n_epochs} epochs"
        report(f"{size}, {n_seeds} splits", compare(data, seeds))
        stds = {f"Remax(std={std})": s for std, s in by_std(data, seeds[:3]).items()}
        report(f"{data.name}, the noise of shares, {len(seeds[:3])} splits", stds)
        if data.n_classes > 3:
            orders = by_order(data, 2 if quick else 5)
            report(f"{data.name}, HierarchicalSoftmax on one split", orders)

    counts = (10, 100) if quick else (10, 100, 1000, 10_000)
    costs = microseconds_by_classes(counts, 2 if quick else 9, 0.01 if quick else 0.1)
    names = list(costs[counts[0]])
    print("\nMicroseconds a row, batches of 64, the best of rounds\n")
    lines = [[str(n), *(f"{times[name]:.1f}" for name in names)] for n, times in costs.items()]
    print(markdown_table(["classes", *names], lines))
    if output is not None:
        scores = {
            title: {name: [asdict(s) for s in each] for name, each in rows.items()}
            for title, rows in results.items()
        }
        write_json(output, {"scores": scores, "microseconds": costs}, indent=1)
