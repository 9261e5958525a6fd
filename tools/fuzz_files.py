"""Loads damaged files: each is to be refused with a ValueError, or loaded and usable.

    python tools/fuzz_files.py --n 100000 --workers 2      (options: --help)

Small files of every kind are mutated: bits, lengths, pieces, the JSON of their headers and of their
descriptions, dtypes, shapes, tensors, versions; most with a checksum that fits what they hold, so
that it is not the checksum that refuses them. What is loaded is then used: it predicts, learns
and, now and then, is saved. Any other exception, an end of the process, more than --seconds or more
than --megabytes is a failure: the file is kept in --keep with what happened, and the exit status is
1. Each file follows from --seed and its number alone. tools/fuzz.sh runs this under the address and
undefined-behaviour sanitizers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_damage import Mutator
from fuzz_runner import main
from fuzz_valid_files import valid_files

import tagix as tx
from tagix import nn


def use(model: Any, again: Path | None) -> None:
    """Predict with a model and teach it, as far as it lets one; save it where ``again`` says."""
    if isinstance(model, nn.Network):
        x: Any
        shapes = model._inputs.shapes or {"x": (model._model.in_features or 3,)}
        arrays = {name: np.ones((2, *shape), np.float32) for name, shape in shapes.items()}
        for array in arrays.values():
            array[1] = -0.5
        x = arrays if isinstance(model.inputs, dict) else arrays["x"]
        mean, _ = model(x)
        model.update(x, mean * 0, None if model.noise is not None else tx.Homoscedastic(1.0))
    elif isinstance(model, tx.DiffusionModel):
        x = np.ones((2, model.n_features), np.float32)
        model.predict(x, np.array([0, 1]))
        labels = None if model.n_classes is None else np.array([0, -1])
        model.fit(x, labels, n_epochs=1, progress=False)
    else:
        _use_estimator(model)
    if again is not None:
        model.save(again)


def _use_estimator(model: Any) -> None:
    """Predict with an estimator and teach it, a row and a table."""
    if not model.__sklearn_is_fitted__():
        return
    x = np.ones((2, model.n_features_in_))
    x[1] = -0.5
    takes_arrays = model._encoder is None
    if type(model).__name__ == "TagiDiffusion":
        model.sample(2)
        if takes_arrays:
            model.score_samples(x)
        return
    if not takes_arrays:
        model.learn_one({}, model.predict_one({}))
        return
    y = model.predict(x)
    model.partial_fit(x, y)
    if np.ndim(y) == 1:
        names = getattr(model, "feature_names_in_", range(model.n_features_in_))
        row = dict(zip(names, x[0].tolist(), strict=True))
        model.learn_one(row, y.tolist()[0])
        model.predict_one(row)


def try_file(path: Path, again: Path | None = None) -> str:
    """What became of a file, "refused" or "loaded"; raises what it should not have."""
    try:
        model = tx.load(path)
    except ValueError as error:
        if type(error) is not ValueError or not str(error).startswith("path: "):
            raise RuntimeError("no plain ValueError about the path") from error
        return "refused"
    try:
        use(model, again)
    except (ValueError, TypeError):  # arguments of estimators are checked when they are used
        return "loaded, but of no use"
    return "loaded"


class Files:
    """Files to be tried; see fuzz_runner."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._mutator = Mutator(valid_files(folder), seed)
        self._latest: tuple[int, str, bytes] = (-1, "", b"")

    def _make(self, number: int) -> tuple[str, bytes]:
        if self._latest[0] != number:
            self._latest = (number, *self._mutator.make(number))
        return self._latest[1:]

    def kind(self, number: int) -> str:
        """How it was damaged."""
        return self._make(number)[0]

    def content(self, number: int) -> bytes:
        """The file."""
        return self._make(number)[1]

    def run(self, number: int) -> str:
        """Load it, and use what was loaded."""
        path = self._folder / "file"
        path.write_bytes(self.content(number))
        return try_file(path, self._folder / "again" if number % 50 == 0 else None)


if __name__ == "__main__":
    sys.exit(main(Files, __doc__ or ""))
