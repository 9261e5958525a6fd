"""Streams that change, each row predicted before it is learned, beside River's models for such."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

import tagix as tx
from tagix.bench.markdown import markdown_head, markdown_row
from tagix.sklearn import TagiClassifier, TagiRegressor

Row = dict[str, float]
Target = TypeVar("Target", contravariant=True)
N_CLASSES = 3
# So that a class that was thought to be impossible does not decide everything.
LEAST_PROBABILITY = 1e-3
# The best of six on a stream of another seed: classes move all the time.
CLASSES_WALK = 1e-3
# Rows after each change whose scores are told apart.
N_AFTER = 500


def changing_classes(n_rows: int, seed: int) -> list[tuple[Row, int]]:
    """Three classes of 15 clouds of points in five dimensions that move all the time.

    Each cloud walks on a straight line, by .5 in 1000 rows, and turns where it would leave the unit
    cube; its standard deviation is .05 to .15 in each dimension. Halfway each of them gets the next
    class: an abrupt change.
    """
    generator = np.random.default_rng(seed)
    centers = generator.uniform(size=(15, 5))
    steps = generator.normal(size=centers.shape)
    steps *= 0.5e-3 / np.linalg.norm(steps, axis=1, keepdims=True)
    spread = generator.uniform(0.05, 0.15, size=len(centers))
    rows = []
    for i in range(n_rows):
        centers += steps
        steps = np.where((centers < 0) | (centers > 1), -steps, steps)
        cloud = int(generator.integers(len(centers)))
        x = centers[cloud] + spread[cloud] * generator.normal(size=5)
        label = (cloud + (i >= n_rows // 2)) % N_CLASSES
        rows.append((_named(x), label))
    return rows


def changing_numbers(n_rows: int, seed: int) -> list[tuple[Row, float]]:
    """Friedman's first function of ten columns, five of which change their roles, with noise 1.

        y = 10 sin(pi x_a x_b) + 20 (x_c - 1/2)^2 + 10 x_d + 5 x_e + noise

    (a, b, c, d, e) are (0, 1, 2, 3, 4) at first, (2, 5, 3, 6, 1) after half of the rows, and as at
    first after three quarters of them: abrupt changes, the second to what was there before.
    """
    generator = np.random.default_rng(seed)
    x = generator.uniform(size=(n_rows, 10))
    y = generator.normal(size=n_rows)
    for i in range(n_rows):
        between = n_rows // 2 <= i < 3 * n_rows // 4
        a, b, c, d, e = x[i, [2, 5, 3, 6, 1] if between else [0, 1, 2, 3, 4]]
        y[i] += 10 * math.sin(math.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e
    return [(_named(row), target) for row, target in zip(x, y.tolist(), strict=True)]


class Model(Protocol[Target]):
    """A model of one row at a time."""

    def score(self, x: Row, y: Target) -> tuple[float, float]:
        """Predict a row; two scores of that, such as whether it is right and -ln p(y)."""

    def learn(self, x: Row, y: Target) -> object:
        """Learn the row."""


@dataclass
class OfClasses:
    """A classifier with River's methods; scores 1 for a right label, 0 for another, and -ln p."""

    model: Any

    def score(self, x: Row, y: int) -> tuple[float, float]:
        """Accuracy and log loss of the prediction; before the first label all are as likely."""
        found = self.model.predict_proba_one(x)
        total = sum(found.values())
        p = [found.get(k, 0.0) / total if total > 0 else 1 / N_CLASSES for k in range(N_CLASSES)]
        bounded = [max(each, LEAST_PROBABILITY) for each in p]
        return float(p[y] == max(p)), -math.log(bounded[y] / sum(bounded))

    def learn(self, x: Row, y: int) -> None:
        """Learn the row."""
        self.model.learn_one(x, y)


@dataclass
class OfNumbers:
    """A regressor with River's methods; scores the squared error and -ln of a Gaussian density.

    Where the model predicts a number alone, the Gaussian's variance is the mean of its squared
    errors so far, that of the last 100 rows or so, which is what these streams need: each row
    weighs .99 times what the next one does.
    """

    model: Any
    has_std: bool = False
    _sum: float = field(default=0.0, init=False)
    _weight: float = field(default=0.0, init=False)
    _first: float = field(default=1.0, init=False)

    def score(self, x: Row, y: float) -> tuple[float, float]:
        """Squared error and negative log-likelihood of the prediction."""
        if self.has_std:
            mean, std = self.model.predict_one(x, return_std=True)
            var = std**2
        else:
            mean = self.model.predict_one(x)
            # As if a row before the first had had an error of 5, about what the targets vary by.
            var = (self._sum + 25.0 * self._first) / (self._weight + self._first)
        square = (y - mean) ** 2
        self._sum = 0.99 * self._sum + square
        self._weight = 0.99 * self._weight + 1.0
        self._first *= 0.99
        return square, 0.5 * (math.log(2 * math.pi * var) + square / var)

    def learn(self, x: Row, y: float) -> None:
        """Learn the row."""
        self.model.learn_one(x, y)


def classifiers() -> Iterator[tuple[str, Callable[[], Model[int]]]]:
    """The models of classes, those of River if it is installed."""
    forgetting = tx.Forgetting(CLASSES_WALK, drift_level=None)  # drift is found in numbers alone
    yield (
        f"tagix, forgetting=Forgetting({CLASSES_WALK}, drift_level=None)",
        lambda: OfClasses(TagiClassifier(n_estimators=1, forgetting=forgetting, random_state=0)),
    )
    yield "tagix", lambda: OfClasses(TagiClassifier(n_estimators=1, random_state=0))
    try:
        from river import ensemble, forest, linear_model, preprocessing, tree
    except ImportError:
        print("River is not installed, so it is left out")
        return

    def softmax() -> Any:
        return preprocessing.StandardScaler() | linear_model.SoftmaxRegression()

    yield "River, adaptive random forest", lambda: OfClasses(forest.ARFClassifier(seed=0))
    yield (
        "River, Hoeffding adaptive tree",
        lambda: OfClasses(tree.HoeffdingAdaptiveTreeClassifier(seed=0)),
    )
    yield "River, streaming random patches", lambda: OfClasses(ensemble.SRPClassifier(seed=0))
    yield "River, scaled softmax regression", lambda: OfClasses(softmax())


def regressors() -> Iterator[tuple[str, Callable[[], Model[float]]]]:
    """The models of numbers, those of River if it is installed."""
    forgetting = tx.Forgetting()
    yield (
        "tagix, forgetting=Forgetting()",
        lambda: OfNumbers(
            TagiRegressor(n_estimators=1, forgetting=forgetting, random_state=0), has_std=True
        ),
    )
    yield "tagix", lambda: OfNumbers(TagiRegressor(n_estimators=1, random_state=0), has_std=True)
    try:
        from river import forest, linear_model, preprocessing, tree
    except ImportError:
        return

    def linear() -> Any:
        return preprocessing.StandardScaler() | linear_model.LinearRegression()

    yield "River, adaptive random forest", lambda: OfNumbers(forest.ARFRegressor(seed=0))
    yield (
        "River, Hoeffding adaptive tree",
        lambda: OfNumbers(tree.HoeffdingAdaptiveTreeRegressor(seed=0)),
    )
    yield "River, scaled linear regression", lambda: OfNumbers(linear())


@dataclass(frozen=True)
class Prequential:
    """Scores of predictions of rows not learned yet, means over rows.

    Attributes:
        first, second: Of all rows.
        first_after, second_after: Of the 500 rows after each change.
        seconds: Of a row, predicted and learned.
    """

    first: float
    second: float
    first_after: float
    second_after: float
    seconds: float


def prequential(
    model: Model[Target], rows: Sequence[tuple[Row, Target]], changes: Sequence[float]
) -> Prequential:
    """Predict and learn row by row.

    Args:
        model: A fresh one.
        rows: Features and targets in their order.
        changes: Parts of the stream after which it changes abruptly.
    """
    start = time.process_time()
    scores = np.empty((len(rows), 2))
    for i, (x, y) in enumerate(rows):
        scores[i] = model.score(x, y)
        model.learn(x, y)
    seconds = (time.process_time() - start) / len(rows)
    begins = [int(part * len(rows)) for part in changes]
    after = np.concatenate([scores[begin : begin + N_AFTER] for begin in begins])
    (first, second), (first_after, second_after) = scores.mean(axis=0), after.mean(axis=0)
    return Prequential(
        float(first), float(second), float(first_after), float(second_after), seconds
    )


def run(quick: bool) -> None:
    """Print accuracies, errors and likelihoods on both streams, means over streams of 3 seeds."""
    n_rows, seeds = (2_000, range(1)) if quick else (10_000, range(3))
    print(f"\nClasses that move, and change abruptly halfway; {n_rows} rows, {len(seeds)} seeds")
    after = ["accuracy after a change", "log loss after it"]
    print(markdown_head(["", "accuracy", "log loss", *after, "us a row"]))
    for name, make in classifiers():
        found = [prequential(make(), changing_classes(n_rows, seed), [0.5]) for seed in seeds]
        print(_line(name, found, lambda share: f"{share:.3f}"))
    print(f"\nNumbers whose law changes twice, noise 1; {n_rows} rows, {len(seeds)} seeds")
    print("-ln p is by a Gaussian, of River's models with the variance of their last errors")
    after = ["RMSE after a change", "-ln p after it"]
    print(markdown_head(["", "RMSE", "-ln p", *after, "us a row"]))
    for name, make_regressor in regressors():
        found = [
            prequential(make_regressor(), changing_numbers(n_rows, seed), [0.5, 0.75])
            for seed in seeds
        ]
        print(_line(name, found, lambda square: f"{math.sqrt(square):.3f}"))


def _line(name: str, found: Sequence[Prequential], show: Callable[[float], str]) -> str:
    def mean(of: str) -> float:
        return float(np.mean([getattr(each, of) for each in found]))

    return markdown_row(
        [
            name,
            show(mean("first")),
            f"{mean('second'):.3f}",
            show(mean("first_after")),
            f"{mean('second_after'):.3f}",
            f"{1e6 * mean('seconds'):.0f}",
        ]
    )


def _named(x: Any) -> Row:
    return {f"x{k}": value for k, value in enumerate(x.tolist())}
