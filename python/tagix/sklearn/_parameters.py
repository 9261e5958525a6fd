"""Parameters that the estimators for tables share, and checks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from tagix._arrays import MOST, as_choice, as_count, as_flag
from tagix._core import Forgetting
from tagix.sklearn._recipe import RECIPE


class Parameters(BaseEstimator):
    """An estimator with the parameters of :class:`TagiRegressor` but ``noise``.

    A derived class has them in its constructor, as scikit-learn wants, and may add others.
    """

    _supervised = True  # for River's pipelines

    hidden: str | Sequence[int]
    n_estimators: int
    max_epochs: int
    batch_size: str | int
    early_stopping: bool
    forgetting: Forgetting | None
    novelty: bool
    random_state: Any
    fast: bool
    n_jobs: int | None
    device: str
    precision: str
    verbose: int | bool

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _more_tags(self) -> dict[str, Any]:
        """The same before scikit-learn 1.6."""
        return {"allow_nan": True}

    def _check_parameters(self) -> None:
        """ValueError or TypeError, with its name, for a parameter that makes no sense."""
        as_count("n_estimators", self.n_estimators, least=1)
        as_count("max_epochs", self.max_epochs, least=1)
        as_flag("early_stopping", self.early_stopping)
        as_flag("novelty", self.novelty)
        as_flag("fast", self.fast)
        self._hidden_widths()
        if self.batch_size != "auto":
            as_count("batch_size", self.batch_size, least=1)
        if self.n_jobs is not None and as_count("n_jobs", self.n_jobs, least=-MOST) == 0:
            raise ValueError("n_jobs: got 0, needed a number of threads, -1 or None")

    def _hidden_widths(self, for_table: bool = False) -> list[int]:
        """Widths of the hidden layers; ValueError or TypeError for anything else."""
        if isinstance(self.hidden, str):
            as_choice("hidden", self.hidden, ("auto",))
            return list(RECIPE.hidden if for_table else RECIPE.stream_hidden)
        if not isinstance(self.hidden, (Sequence, np.ndarray)):
            raise TypeError(f'hidden: got {self.hidden!r}, needed "auto" or a sequence of widths')
        return [as_count("hidden", width, least=1) for width in self.hidden]

    def _batch_size(self, n_rows: int) -> int:
        """Rows of an update; in streams, ``n_rows`` is 0 and does not matter."""
        if self.batch_size == "auto":
            return RECIPE.batch_size(n_rows)
        return as_count("batch_size", self.batch_size, least=1)
