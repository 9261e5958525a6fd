"""One fold of a set of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

from tagix.bench.sklearn_sets.sets import N_FOLDS, SETS, load_fold
from tagix.bench.tabular.contenders import CONTENDERS
from tagix.bench.tabular.job import Split, TableJob


@dataclass(frozen=True)
class FoldJob(TableJob):
    """One training without one fold, ``split``, of the set ``data``, a key in SETS."""

    @property
    def of_classes(self) -> bool:
        """Whether targets are labels."""
        return SETS[self.data].of_classes

    def load(self) -> Split:
        """The rows of the fold."""
        return load_fold(self.data, self.split)


def jobs(method: str, data: str, n_folds: int = N_FOLDS) -> list[FoldJob]:
    """The jobs of a set, the first ``n_folds`` of its folds."""
    settings = CONTENDERS[method].settings(SETS[data].of_classes)
    return [FoldJob(method, data, fold, settings) for fold in range(n_folds)]
