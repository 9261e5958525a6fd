"""Regression sets of the UCI repository with the published train and test splits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_count

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class UciSet:
    """The protocol of a set.

    Attributes:
        n_splits: Published splits, 0 to n_splits - 1.
        n_hidden: Units of the hidden layer of the networks in the published figures.
    """

    n_splits: int = 20
    n_hidden: int = 50


UCI_SETS: Mapping[str, UciSet] = {
    "bostonHousing": UciSet(),
    "concrete": UciSet(),
    "energy": UciSet(),
    "kin8nm": UciSet(),
    "naval-propulsion-plant": UciSet(),
    "power-plant": UciSet(),
    "protein-tertiary-structure": UciSet(n_splits=5, n_hidden=100),
    "wine-quality-red": UciSet(),
    "yacht": UciSet(),
}


@dataclass(frozen=True)
class UciData:
    """One split of a set, in its own units: nothing is scaled.

    Attributes:
        name: Key in UCI_SETS.
        split: Number of the split.
        x_train: (n_train, n_features) float64.
        y_train: (n_train,) float64.
        x_test: (n_test, n_features) float64.
        y_test: (n_test,) float64.
        feature_indices: (n_features,) int64, columns of data.txt that are in x.
        target_index: Column of data.txt that is y.
    """

    name: str
    split: int
    x_train: FloatArray
    y_train: FloatArray
    x_test: FloatArray
    y_test: FloatArray
    feature_indices: IndexArray
    target_index: int


def load_uci(path: str | os.PathLike[str], name: str, split: int = 0) -> UciData:
    """Read one split of a set from the published files.

    ``path/name`` (or ``path/name/data``) has data.txt, with one row of numbers per line. The index
    files have one number per line, counted from 0: index_features.txt and index_target.txt name
    columns of data.txt, and index_train_<split>.txt and index_test_<split>.txt name its rows
    (Hernandez-Lobato and Adams, ICML 2015; Gal and Ghahramani, ICML 2016).

    Args:
        path: Folder of all sets.
        name: Key in UCI_SETS.
        split: Number of the split.

    Raises:
        ValueError: Another name or split, and a file that is damaged: text in place of a number,
            rows of different lengths, indices that are out of range or occur twice, a row in both
            train and test, a target among the features. The message names the file.
        TypeError: For ``split`` anything but an integer, for ``path`` anything but a path.
        FileNotFoundError: A file is missing.
    """
    if name not in UCI_SETS:
        raise ValueError(f"name: got {name!r}, needed one of {', '.join(UCI_SETS)}")
    split = as_count("split", split, least=0, most=UCI_SETS[name].n_splits - 1)
    folder = Path(path) / name
    if not (folder / "data.txt").exists() and (folder / "data" / "data.txt").exists():
        folder = folder / "data"

    data_file = folder / "data.txt"
    data = _read_numbers(data_file, n_dimensions=2)
    n_rows, n_columns = data.shape
    if not np.isfinite(data).all():
        raise ValueError(f"{data_file}: got NaN or infinity, needed finite numbers")
    features = _read_indices(folder / "index_features.txt", n_columns)
    target = _read_indices(folder / "index_target.txt", n_columns)
    if len(target) != 1:
        raise ValueError(f"{folder / 'index_target.txt'}: got {len(target)} columns, needed 1")
    if target[0] in features:
        raise ValueError(
            f"{folder / 'index_target.txt'}: got column {target[0]}, which is a feature, too"
        )
    train = _read_indices(folder / f"index_train_{split}.txt", n_rows)
    test_file = folder / f"index_test_{split}.txt"
    test = _read_indices(test_file, n_rows)
    if shared := np.intersect1d(train, test).tolist():
        raise ValueError(f"{test_file}: got rows {shared[:5]}, which are in the train set, too")

    x, y = data[:, features], data[:, target[0]]
    return UciData(name, split, x[train], y[train], x[test], y[test], features, int(target[0]))


def _read_numbers(path: Path, n_dimensions: Literal[1, 2]) -> npt.NDArray[Any]:
    """Numbers of a text file, float64; ValueError with its name for anything else in it."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, see tagix.datasets.load_uci")
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path}: got an empty file")
    try:
        return np.loadtxt(lines, dtype=np.float64, ndmin=n_dimensions, comments=None)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_indices(path: Path, end: int) -> IndexArray:
    """Different integers in [0, end), one or more."""
    numbers = _read_numbers(path, n_dimensions=1)
    if numbers.ndim != 1:
        raise ValueError(f"{path}: got {numbers.shape[1]} numbers a line, needed one")
    # NaN is neither.
    if not ((numbers == np.floor(numbers)) & (numbers >= 0) & (numbers < end)).all():
        raise ValueError(f"{path}: got other than integers from 0 to {end - 1}")
    indices = numbers.astype(np.int64)
    if len(np.unique(indices)) < len(indices):
        raise ValueError(f"{path}: got an index twice")
    return indices
