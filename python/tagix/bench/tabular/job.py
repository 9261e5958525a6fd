"""One split of a set: train, predict, score."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tagix.bench.jobs import BenchmarkJob
from tagix.bench.tabular.contenders import CONTENDERS, import_before_timing
from tagix.bench.tabular.laws import levels_reached, score, score_classes

Arrays = Mapping[str, npt.NDArray[np.floating[Any]]]


class Split(NamedTuple):
    """Rows (n, n_features) and targets (n,), numbers or, of classes, integers from 0 on."""

    x_train: npt.NDArray[np.float64]
    y_train: npt.NDArray[Any]
    x_test: npt.NDArray[np.float64]
    y_test: npt.NDArray[Any]


@dataclass(frozen=True)
class TableJob(BenchmarkJob):
    """One training of one contender on one split, with its test scores.

    Attributes:
        method: Key in CONTENDERS.
        data: Name of the set.
        split: Its number; the seed, too.
        settings: Everything else that decides the result, see Contender.settings.
    """

    method: str
    data: str
    split: int
    settings: Mapping[str, Any]

    @property
    def format(self) -> int:
        """Since 3, likelihoods are negative log-likelihoods, and seconds of the processor count."""
        return 3

    @property
    def needs_torch(self) -> bool:
        """Whether PyTorch does the work."""
        return self.method == "torch"

    @property
    def of_classes(self) -> bool:
        """Whether targets are labels."""
        return False

    @abstractmethod
    def load(self) -> Split:
        """The rows."""

    def title(self) -> str:
        """Method, set and split."""
        return f"{self.method}_{self.data}_split{self.split}"

    def run(self) -> tuple[dict[str, Any], Arrays]:
        """Train and score.

        Returns:
            Numbers: those of :func:`tagix.bench.tabular.laws.score` or ``score_classes``,
            ``n_train``, ``fit_seconds`` and ``predict_seconds`` by the clock, and
            ``fit_cpu_seconds`` and ``predict_cpu_seconds`` of the processor. Predicting is that of
            mean and variance, or of probabilities. Arrays, of the test rows: ``y``, and ``mean``,
            ``var`` and ``level``, see :func:`tagix.bench.tabular.laws.levels_reached`, or
            ``probabilities``.
        """
        data = self.load()
        import_before_timing(self.method)
        numbers: dict[str, Any] = {"n_train": len(data.y_train)}
        of_test_rows = self._classes if self.of_classes else self._numbers
        arrays = of_test_rows(data, numbers)
        return numbers, {"y": data.y_test, **arrays}

    def _numbers(self, data: Split, numbers: dict[str, Any]) -> Arrays:
        make = CONTENDERS[self.method].regressor
        assert make is not None
        model = make(self.split, self.settings["arguments"])
        with _timed("fit", numbers):
            model.fit(data.x_train, data.y_train)
        with _timed("predict", numbers):
            law = model.predict(data.x_test)
        numbers.update(score(data.y_test, law))
        return {"mean": law.mean, "var": law.var, "level": levels_reached(data.y_test, law)}

    def _classes(self, data: Split, numbers: dict[str, Any]) -> Arrays:
        make = CONTENDERS[self.method].classifier
        assert make is not None
        model = make(self.split, self.settings["arguments"])
        with _timed("fit", numbers):
            model.fit(data.x_train, data.y_train)
        with _timed("predict", numbers):
            probabilities = model.predict(data.x_test)
        numbers.update(score_classes(data.y_test, probabilities))
        return {"probabilities": probabilities}


@contextmanager
def _timed(what: str, numbers: dict[str, Any]) -> Iterator[None]:
    """Adds the seconds within, by the clock and of the processor, to the numbers."""
    clock, processor = time.perf_counter(), time.process_time()
    yield
    numbers[f"{what}_cpu_seconds"] = time.process_time() - processor
    numbers[f"{what}_seconds"] = time.perf_counter() - clock
