"""One split of a set: train, predict, score."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tagix.bench.jobs import BenchmarkJob
from tagix.bench.uci.laws import Law, RegressorLaw, levels_reached, score
from tagix.bench.uci.peer import DeepEnsemble
from tagix.datasets import UCI_SETS, UciData, load_uci

Array = npt.NDArray[np.float64]
Method = Literal["tagix", "pytorch"]

# Of the peer. As of our defaults, one choice for all sets: the best RMSE of three that were tried
# on every fourth split of the five sets that docs/uci.md has.
PEER_SETTINGS: Mapping[str, Any] = {
    "n_networks": 3,
    "n_epochs": 100,
    "batch_size": 32,
    "learning_rate": 0.01,
}


@dataclass(frozen=True)
class UciJob(BenchmarkJob):
    """One training on one split, with its test scores.

    Attributes:
        method: "tagix", TagiRegressor with its defaults, or "pytorch", the peer.
        data: Key in UCI_SETS.
        split: Its number; the seed, too.
        folder: Of all sets.
        n_hidden: Units of the hidden layer.
        settings: Everything else that decides the result: the defaults, and the peer's arguments.
    """

    method: Method
    data: str
    split: int
    folder: str
    n_hidden: int
    settings: Mapping[str, Any]

    @property
    def format(self) -> int:
        """Since 2, each model is scored by the law that it predicts; before, by a Gaussian."""
        return 2

    @property
    def needs_torch(self) -> bool:
        """Whether PyTorch does the work."""
        return self.method == "pytorch"

    def title(self) -> str:
        """Method, set and split."""
        return f"{self.method}_{self.data}_split{self.split}"

    def run(self) -> tuple[dict[str, Any], Mapping[str, npt.NDArray[np.floating[Any]]]]:
        """Train and score.

        Returns:
            Numbers: those of :func:`tagix.bench.uci.laws.score`, ``fit_seconds`` (scaling
            included), ``predict_seconds``, of mean and variance, and ``n_epochs``, a mean over
            networks. Arrays, of the test rows: ``y``, ``mean``, ``var``, and ``level``, see
            :func:`tagix.bench.uci.laws.levels_reached`.
        """
        data = load_uci(self.folder, self.data, self.split)
        # Imported before the clock runs.
        import_module("torch" if self.needs_torch else "tagix.sklearn")
        start = time.perf_counter()
        model = self._trained(data)
        trained = time.perf_counter()
        law: Law = model.predict(data.x_test)
        seconds = {
            "fit_seconds": trained - start,
            "predict_seconds": time.perf_counter() - trained,
        }
        numbers = {"n_train": len(data.y_train), "n_epochs": model.n_epochs, **seconds}
        arrays = {
            "y": data.y_test,
            "mean": law.mean,
            "var": law.var,
            "level": levels_reached(data.y_test, law),
        }
        return {**numbers, **score(data.y_test, law)}, arrays

    def _trained(self, data: UciData) -> TagixModel | DeepEnsemble:
        if self.method == "tagix":
            return TagixModel(self.n_hidden, self.split, data.x_train, data.y_train)
        peer = DeepEnsemble(self.n_hidden, seed=self.split, **self.settings)
        return peer.fit(data.x_train, data.y_train)


class TagixModel:
    """TagiRegressor with its defaults but the width, trained."""

    def __init__(self, n_hidden: int, seed: int, x: Array, y: Array) -> None:
        from tagix.sklearn import TagiRegressor

        self._model = TagiRegressor(hidden=(n_hidden,), random_state=seed).fit(x, y)

    @property
    def n_epochs(self) -> float:
        """Mean over its networks."""
        return float(np.mean([len(history.train_mse) for history in self._model.histories_]))

    def predict(self, x: Array) -> RegressorLaw:
        """The law of targets of rows."""
        return RegressorLaw(self._model, x)


def jobs(method: Method, folder: str, data: str, n_splits: int | None = None) -> list[UciJob]:
    """The jobs of a set, all its splits or the first ``n_splits``."""
    if method == "tagix":
        from tagix.sklearn._recipe import RECIPE

        settings: Mapping[str, Any] = asdict(RECIPE)
    else:
        settings = PEER_SETTINGS
    protocol = UCI_SETS[data]
    splits = range(protocol.n_splits if n_splits is None else min(n_splits, protocol.n_splits))
    return [UciJob(method, data, split, folder, protocol.n_hidden, settings) for split in splits]
