"""Rows learned one at a time, from dicts as they come, beside PyTorch, scikit-learn and River.

How fast, and how well where the law stays as it is; :mod:`benchmarks.drift` has streams that
change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import torch

from benchmarks import drift
from benchmarks.torch_network import torch_network
from tagix.bench.markdown import markdown_table
from tagix.bench.timing import interleaved_calls
from tagix.sklearn import TagiRegressor

N_FEATURES, N_HIDDEN, NOISE_STD = 8, 16, 0.1
NAMES = [f"x{i}" for i in range(N_FEATURES)]
Row = tuple[dict[str, float], float]
Learner = Callable[[dict[str, float], float], object]
Predictor = Callable[[dict[str, float]], float]


@dataclass(frozen=True)
class Contender:
    """A model of one row at a time; ``learn`` takes a row, ``predict`` gives its mean."""

    learn: Learner
    predict: Predictor


def stream(n_rows: int, seed: int = 0) -> list[Row]:
    """y = sin(3 x0) + x1 x2 + noise of standard deviation .1, in other units than standard ones."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n_rows, N_FEATURES))
    y = np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + NOISE_STD * generator.normal(size=n_rows)
    features = 5.0 + 2.0 * x
    return [
        (dict(zip(NAMES, row, strict=True)), target)
        for row, target in zip(features.tolist(), (10.0 * y).tolist(), strict=True)
    ]


def of_tagix() -> Contender:
    """One network of 16 hidden units, noise inferred."""
    model = TagiRegressor(hidden=(N_HIDDEN,), n_estimators=1, random_state=0)
    return Contender(model.learn_one, model.predict_one)


def of_torch() -> Contender:
    """The same network and Adam, told the units of the stream beforehand."""
    net = torch_network((N_FEATURES, N_HIDDEN, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def inputs(x: dict[str, float]) -> torch.Tensor:
        return (torch.tensor([[x[name] for name in NAMES]]) - 5.0) / 2.0

    def learn(x: dict[str, float], y: float) -> None:
        optimizer.zero_grad()
        loss = (net(inputs(x))[0, 0] - y / 10.0) ** 2
        loss.backward()
        optimizer.step()

    def predict(x: dict[str, float]) -> float:
        with torch.no_grad():
            return 10.0 * float(net(inputs(x))[0, 0])

    return Contender(learn, predict)


def of_sklearn() -> Contender:
    """MLPRegressor.partial_fit of the same network, a row at a time, told the units beforehand."""
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(hidden_layer_sizes=(N_HIDDEN,), random_state=0)

    def inputs(x: dict[str, float]) -> Any:
        return (np.array([[x[name] for name in NAMES]]) - 5.0) / 2.0

    def learn(x: dict[str, float], y: float) -> None:
        model.partial_fit(inputs(x), [y / 10.0])

    def predict(x: dict[str, float]) -> float:
        return 10.0 * float(model.predict(inputs(x))[0]) if hasattr(model, "coefs_") else 0.0

    return Contender(learn, predict)


def of_river() -> Contender:
    """River's standard scaler and linear regression: no network, the cheapest there is."""
    from river import linear_model, preprocessing

    model: Any = preprocessing.StandardScaler() | linear_model.LinearRegression()
    return Contender(model.learn_one, model.predict_one)


def contenders() -> Iterator[tuple[str, Contender]]:
    """Those whose packages are installed; River is not a dependency of the tests."""
    yield "tagix", of_tagix()
    yield "PyTorch, Adam", of_torch()
    yield "scikit-learn, MLPRegressor", of_sklearn()
    try:
        yield "River, linear", of_river()
    except ImportError:
        print("River is not installed, so it is left out")


def run(threads: int, quick: bool) -> None:
    """Print microseconds of a row and root mean squared errors of predictions before learning.

    After that, what predictions of streams that change are worth.
    """
    torch.set_num_threads(threads)
    rows = stream(500 if quick else 20_000)
    models = dict(contenders())
    errors: dict[str, list[float]] = {name: [] for name in models}
    for name, model in models.items():
        for x, y in rows:
            errors[name].append(y - model.predict(x))
            model.learn(x, y)
    n_rounds, block_seconds = (3, 0.02) if quick else (7, 0.5)

    def learn_next(model: Contender) -> Callable[[], object]:
        following = cycle(rows)

        def call() -> None:
            model.learn(*next(following))

        return call

    def predict_next(model: Contender) -> Callable[[], object]:
        following = cycle(rows)

        def call() -> None:
            model.predict(next(following)[0])

        return call

    learning = interleaved_calls(
        {name: learn_next(model) for name, model in models.items()}, n_rounds, block_seconds
    )
    predicting = interleaved_calls(
        {name: predict_next(model) for name, model in models.items()}, n_rounds, block_seconds
    )
    print(f"{N_FEATURES}-{N_HIDDEN}-1, {len(rows)} rows, then {n_rounds} rounds; noise std 1.0")
    print("microseconds of a call: by the clock, and of the processor in the least round")
    head = ["", "learn_one, least", "p10", "median", "processor", "tagix / it, least"]
    head += ["predict_one, least", "RMSE, last half"]
    cells = []
    for name in models:
        learn, late = learning[name], np.array(errors[name][len(rows) // 2 :])
        cells.append(
            [
                name,
                *(f"{1e6 * seconds:.1f}" for seconds in learn.values()),
                f"{learning['tagix'].least / learn.least:.3f}",
                f"{1e6 * predicting[name].least:.1f}",
                f"{math.sqrt(float((late**2).mean())):.3f}",
            ]
        )
    print(markdown_table(head, cells))
    drift.run(quick)
