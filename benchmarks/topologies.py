"""Networks of other shapes than a chain beside a plain one, on UCI sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import tagix as tx
from benchmarks.progress import Progress
from tagix import metrics, nn
from tagix.bench.compare import Summary
from tagix.bench.markdown import markdown_table
from tagix.bench.threads import set_threads
from tagix.bench.uci.job import sets_in
from tagix.datasets import UCI_SETS, UciData, load_uci

Array = npt.NDArray[np.float64]
Inputs = npt.NDArray[np.float32] | dict[str, npt.NDArray[np.float32]]

BATCH_SIZE = 16
N_FOLDS = 3
WIDTH = 64
RESIDUAL_WIDTH, N_BLOCKS = 32, 2
BIAS_GAIN = 3.0
"""Factor on the prior of the first layers' biases, as TagiRegressor has it."""
SMALL_GAIN = 0.3
"""Chosen among 1, 0.5, 0.3 and 0.1 on validation rows, a fifth of the train rows of some splits."""


class TwoInputs(nn.Module):
    """A layer for each half of the features, joined before two more layers."""

    def __init__(self, n_first: int, n_second: int, bias_gain: float) -> None:
        self.first = nn.Sequential(nn.Linear(n_first, WIDTH // 2, gain_bias=bias_gain), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(n_second, WIDTH // 2, gain_bias=bias_gain), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))

    def forward(self, first: nn.Value, second: nn.Value) -> nn.Value:
        """The output (1,) for the first features (n_first,) and the others (n_second,)."""
        return self.head(nn.concat([self.first(first), self.second(second)]))


def plain(n_features: int, seed: int, bias_gain: float) -> nn.Network:
    """Two hidden layers one after the other, for n_features inputs and one output."""
    return nn.Sequential(
        *(nn.Linear(n_features, WIDTH, gain_bias=bias_gain), nn.ReLU()),
        *(nn.Linear(WIDTH, WIDTH), nn.ReLU()),
        nn.Linear(WIDTH, 1),
        noise=tx.Heteroscedastic(),
        seed=seed,
    )


def residual(n_features: int, seed: int, bias_gain: float, gain: float = 1.0) -> nn.Network:
    """Residual blocks between two layers, for n_features inputs and one output.

    The prior standard deviations of the last layer of each block are ``gain`` times the default.
    """
    width = RESIDUAL_WIDTH
    blocks = [
        nn.Residual(
            nn.Sequential(
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, width, gain_weight=gain, gain_bias=gain),
            )
        )
        for _ in range(N_BLOCKS)
    ]
    return nn.Sequential(
        *(nn.Linear(n_features, width, gain_bias=bias_gain), *blocks, nn.Linear(width, 1)),
        noise=tx.Heteroscedastic(),
        seed=seed,
    )


def residual_small_gain(n_features: int, seed: int, bias_gain: float) -> nn.Network:
    """Residual blocks that start close to passing their input on, for one output."""
    return residual(n_features, seed, bias_gain, SMALL_GAIN)


def two_inputs(n_features: int, seed: int, bias_gain: float) -> nn.Network:
    """A network of two inputs that share n_features between them, for one output."""
    n_first = _n_first(n_features)
    n_second = n_features - n_first
    return nn.Network(
        TwoInputs(n_first, n_second, bias_gain),
        inputs={"first": (n_first,), "second": (n_second,)},
        noise=tx.Heteroscedastic(),
        seed=seed,
    )


Make = Callable[[int, int, float], nn.Network]
NETWORKS: dict[str, Make] = {
    "plain": plain,
    "residual": residual,
    f"residual, gain {SMALL_GAIN}": residual_small_gain,
    "two inputs": two_inputs,
}


@dataclass
class Measured:
    """What one network did on the splits of a set.

    Attributes:
        n_parameters: Weights and biases, those of the noise included.
        rmse: (n_splits,) root mean squared errors of the test rows, in the unit of the target.
        nll: (n_splits,) means over the test rows of the negative log-likelihood, in nats.
        n_epochs: (n_splits,) passes over the train rows.
    """

    n_parameters: int
    rmse: Array
    nll: Array
    n_epochs: Array


Results = dict[str, dict[str, Measured]]


def synthetic(split: int = 0) -> UciData:
    """300 train and 100 test rows of y = 3 sin(2 x_0) + x_1 x_2 + x_3 + noise of std 0.2."""
    rng = np.random.default_rng(split)
    x = rng.uniform(-1, 1, (400, 4))
    y = 3 * np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + x[:, 3]
    y += 0.2 * rng.standard_normal(400)
    columns = np.arange(5)
    return UciData(
        "synthetic", split, x[:300], y[:300], x[300:], y[300:], columns[:4], int(columns[4])
    )


def score(
    make: Make, data: UciData, n_epochs: int, fixed: bool, bias_gain: float = BIAS_GAIN
) -> tuple[float, float, int, int]:
    """Train on the train rows of a split, and score the test rows.

    Args:
        make: One of NETWORKS; the seed of the network is the number of the split.
        data: The split; rows are standardised by the means and standard deviations of train rows.
        n_epochs: Passes over the train rows, at most.
        fixed: Take all ``n_epochs``, in place of the best number by cross-validation.
        bias_gain: Factor on the prior standard deviations of the first layers' biases.

    Returns:
        RMSE in the unit of the target, mean negative log-likelihood in nats, number of epochs,
        number of parameters.
    """
    if not fixed:
        n_epochs = best_epochs(make, data, n_epochs, bias_gain)
    net = make(data.x_train.shape[1], data.split, bias_gain)
    scale = _Scale(data.x_train, data.y_train)
    net.fit(
        *scale.rows(net, data.x_train, data.y_train),
        n_epochs=n_epochs,
        batch_size=BATCH_SIZE,
        progress=False,
    )
    inputs, _ = scale.rows(net, data.x_test, data.y_test)
    prediction = net(inputs)
    mean = scale.y_mean + scale.y_std * prediction.mean[:, 0].astype(np.float64)
    var = scale.y_std**2 * prediction.var[:, 0].astype(np.float64)
    rmse = float(np.sqrt(np.mean((mean - data.y_test) ** 2)))
    n_parameters = sum(v.size for k, v in net.state_dict().items() if k.endswith(".mean"))
    return rmse, float(metrics.nll_gaussian(data.y_test, mean, var)), n_epochs, n_parameters


def best_epochs(make: Make, data: UciData, most: int, bias_gain: float = BIAS_GAIN) -> int:
    """The number of epochs, 1 to ``most``, with the best log-likelihood of rows left out.

    The train rows are divided into N_FOLDS parts, each of which is predicted after every epoch by a
    network that learns the others. Test rows are not looked at.
    """
    order = np.random.default_rng(data.split).permutation(len(data.x_train))
    total = np.zeros(most)
    for part in np.array_split(order, N_FOLDS):
        rest = np.setdiff1d(order, part)
        net = make(data.x_train.shape[1], data.split, bias_gain)
        scale = _Scale(data.x_train[rest], data.y_train[rest])
        history = net.fit(
            *scale.rows(net, data.x_train[rest], data.y_train[rest]),
            n_epochs=most,
            batch_size=BATCH_SIZE,
            progress=False,
            validation=scale.rows(net, data.x_train[part], data.y_train[part]),
        )
        total += len(part) * np.array(history.validation_log_likelihood)
    return int(np.argmax(total)) + 1


def table(results: Results) -> str:
    """Means over splits +- standard errors, and those of the difference to the plain network."""
    head = ["set", "network", "parameters", "epochs", "RMSE", "minus plain", "NLL", "minus plain"]
    rows = []
    for name, by_network in results.items():
        base = by_network["plain"]
        for network, ours in by_network.items():
            differences = [
                "" if ours is base else _with_error(a - b, "+.3f")
                for a, b in ((ours.rmse, base.rmse), (ours.nll, base.nll))
            ]
            cells = [name, network, str(ours.n_parameters), f"{np.mean(ours.n_epochs):.0f}"]
            cells += [_with_error(ours.rmse, ".3f"), differences[0]]
            cells += [_with_error(ours.nll, ".3f"), differences[1]]
            rows.append(cells)
    return markdown_table(head, rows, n_left=2)


def summary(results: Results) -> str:
    """Differences to the plain network, means over the sets: of RMSE in per cent, of NLL in nats.

    Also on how many sets the difference is above 0 by more than two standard errors, "-" where one
    split says nothing of them.
    """
    head = ["mean over sets", "RMSE minus plain", "NLL minus plain", "sets worse in RMSE", "in NLL"]
    rows = []
    for network in list(NETWORKS)[1:]:
        cells, n_worse = [], []
        for is_rmse in (True, False):
            differences = []
            for by_network in results.values():
                ours, base = by_network[network], by_network["plain"]
                if is_rmse:
                    differences.append(100 * (ours.rmse - base.rmse) / np.mean(base.rmse))
                else:
                    differences.append(ours.nll - base.nll)
            mean = np.mean([np.mean(each) for each in differences])
            errors = np.array([_error(each) for each in differences])
            error = np.sqrt(np.sum(errors**2)) / len(errors)
            unit, form = (" %", "+.1f") if is_rmse else ("", "+.3f")
            cells.append(_in_words(float(mean), float(error), form) + unit)
            worse = [np.mean(d) > 2 * e for d, e in zip(differences, errors, strict=True)]
            n_worse.append("-" if np.isnan(error) else f"{sum(worse)} of {len(worse)}")
        rows.append([network, *cells, *n_worse])
    return markdown_table(head, rows)


def run(
    n_threads: int,
    quick: bool,
    folder: Path | None,
    n_splits: int | None = None,
    n_epochs: int | None = None,
    fixed: bool = False,
    bias_gain: float = BIAS_GAIN,
) -> Results:
    """Measure every network on every set and print the tables.

    Args:
        n_threads: Threads of tagix.
        quick: One split of a made-up set, which needs no folder, and 5 epochs: it shows that all
            this runs, and no more.
        folder: Of the UCI sets, see tagix.datasets.load_uci; None with ``quick`` alone.
        n_splits: The first splits of each set; by default all that are published.
        n_epochs: Passes over the train rows, at most; 160 by default.
        fixed: Take all ``n_epochs``, in place of the best number by cross-validation.
        bias_gain: Factor on the prior standard deviations of the first layers' biases.

    Returns:
        What was measured, by set and network.

    Raises:
        ValueError: The folder has none of the sets.
    """
    set_threads(n_threads, torch=False)
    n_epochs = n_epochs or (5 if quick else 160)
    results: Results = {}
    progress = Progress()
    for name, splits in _sets(quick, folder, n_splits):
        results[name] = {}
        for network, make in NETWORKS.items():
            scores = [score(make, split, n_epochs, fixed, bias_gain) for split in splits]
            rmse, nll, epochs, n_parameters = np.array(scores).T
            results[name][network] = Measured(int(n_parameters[0]), rmse, nll, epochs)
        progress.done(f"{name}: {len(splits)} splits")
    print(f"\n{table(results)}\n\n{summary(results)}")
    return results


def _sets(
    quick: bool, folder: Path | None, n_splits: int | None
) -> Iterator[tuple[str, list[UciData]]]:
    """Names of sets and their splits."""
    if quick or folder is None:
        yield "synthetic", [synthetic(split) for split in range(n_splits or 1)]
        return
    for name in sets_in(folder, "--data"):
        n = min(n_splits or UCI_SETS[name].n_splits, UCI_SETS[name].n_splits)
        yield name, [load_uci(folder, name, split) for split in range(n)]


class _Scale:
    """Means and standard deviations of rows (n_rows, n_features) and targets (n_rows,)."""

    def __init__(self, x: Array, y: Array) -> None:
        self.x_mean, self.x_std = x.mean(axis=0), x.std(axis=0)
        self.x_std[self.x_std == 0] = 1.0
        self.y_mean, self.y_std = float(y.mean()), float(y.std())

    def rows(self, net: nn.Network, x: Array, y: Array) -> tuple[Inputs, npt.NDArray[np.float32]]:
        """Standardised rows and targets as a network takes them."""
        scaled = ((x - self.x_mean) / self.x_std).astype(np.float32)
        target = ((y - self.y_mean) / self.y_std).astype(np.float32)
        if not isinstance(net.inputs, dict):
            return scaled, target
        n_first = _n_first(x.shape[1])
        return {"first": scaled[:, :n_first], "second": scaled[:, n_first:]}, target


def _n_first(n_features: int) -> int:
    """Features of the first of two inputs; the second gets one less where the number is odd."""
    return (n_features + 1) // 2


def _error(values: Array) -> float:
    """The standard error of a mean; NaN for one value."""
    return Summary(tuple(values)).standard_error if len(values) > 1 else float("nan")


def _with_error(values: Array, form: str) -> str:
    return _in_words(float(np.mean(values)), _error(values), form)


def _in_words(mean: float, error: float, form: str) -> str:
    shown = format(mean, form)
    return shown if np.isnan(error) else f"{shown} ± {format(error, form.lstrip('+'))}"
