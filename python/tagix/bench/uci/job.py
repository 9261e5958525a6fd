"""One published split of a UCI set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tagix.bench.tabular.contenders import CONTENDERS
from tagix.bench.tabular.job import Split, TableJob
from tagix.datasets import UCI_SETS, load_uci


@dataclass(frozen=True)
class UciJob(TableJob):
    """One training on one split of the set ``data``, a key in UCI_SETS.

    Attributes:
        folder: Of all sets.
    """

    folder: str

    def load(self) -> Split:
        """The rows of the split."""
        data = load_uci(self.folder, self.data, self.split)
        return Split(data.x_train, data.y_train, data.x_test, data.y_test)


def sets_in(folder: Path, option: str) -> list[str]:
    """The sets that a folder has, in the order of UCI_SETS; ValueError for none."""
    names = [name for name in UCI_SETS if (folder / name).is_dir()]
    if not names:
        raise ValueError(f"{option}: got {folder}, needed a folder with some of {list(UCI_SETS)}")
    return names


def jobs(method: str, folder: str, data: str, n_splits: int | None = None) -> list[UciJob]:
    """The jobs of a set, all its splits or the first ``n_splits``."""
    n = UCI_SETS[data].n_splits
    settings = CONTENDERS[method].settings()
    splits = range(n if n_splits is None else min(n_splits, n))
    return [UciJob(method, data, split, settings, folder) for split in splits]
