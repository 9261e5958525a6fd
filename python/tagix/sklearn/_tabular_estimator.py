"""Base of regressor and classifier: how an estimator learns a table."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from tagix._training import FitCallback, check_callback
from tagix.sklearn import _importances, _novelty
from tagix.sklearn._eval_set import as_pair, named
from tagix.sklearn._importances import Importances
from tagix.sklearn._novelty import Novelty
from tagix.sklearn._recipe import RECIPE
from tagix.sklearn._sample_weights import counted
from tagix.sklearn._scaling import Moments, Scaler
from tagix.sklearn._side_by_side import Progress, SideBySide
from tagix.sklearn._table_training import Evaluation, Length, TableTraining
from tagix.sklearn._tabular_files import TabularFiles

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


class TabularEstimator(TabularFiles):
    """Networks that learn tables and streams, whatever their targets are.

    A derived class gives what raises NotImplementedError here and in the classes above. It learns
    a table by :meth:`_start`, :meth:`_take_units_of_table`, :meth:`_table` and
    :meth:`_learn_table`, in this order.
    """

    def _learn_novelty(self, x: Float32, y: NDArray[Any], weight: Array | None) -> Novelty:
        """What the rows of a fit say of others, once networks have learned them."""
        raise NotImplementedError

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, NDArray[Any]]:
        """X as float64 (rows, inputs), and targets, numbers (rows, outputs) or labels (rows,)."""
        raise NotImplementedError

    def _log_likelihoods(self, rows: Array, targets: NDArray[Any]) -> Array:
        """Log densities or log probabilities of targets, of what :meth:`_validated` gave."""
        raise NotImplementedError

    def _refuse_evaluation(self, targets: NDArray[Any], learned: NDArray[Any]) -> None:
        """ValueError for targets of an ``eval_set`` that do not go with those to be learned."""
        raise NotImplementedError

    def permutation_importance(
        self, X: Any, y: Any, *, n_repeats: int = 5, random_state: Any = None
    ) -> Importances:
        """The importance of each column: how much predictions lose when its values are permuted.

        The values of one column are permuted among the rows, with the other columns unchanged. The
        importance is the fall in the mean log-likelihood of the targets. For numbers this is the
        log density of ``log_prob``, averaged over outputs; for labels it is the log of
        ``predict_proba``, with probabilities of at least 1e-4. On rows that were not learned, it
        measures how useful the column is for new rows: 0 means not at all, and values below 0 are
        due to chance. Redundant columns share their importance, in ways that differ from fit to
        fit. A column counts with all inputs that it becomes. The computation takes a prediction of
        X for each column and repeat.

        Args:
            X: rows, (n_rows, n_columns), as in ``fit``.
            y: their targets or labels.
            n_repeats: permutations of each column.
            random_state: an int, a numpy RandomState or None, for the permutations.

        Returns:
            Mean and standard deviation over repeats, float64 (n_columns,), in nats per target, in
            the order of the columns and of ``feature_names_in_``.

        Raises:
            NotFittedError: before anything has been learned.
            ValueError, TypeError: for a table unlike that of ``fit``, targets of another number
                or kind, labels that are not among ``classes_``, and for an ``n_repeats`` that is
                not an integer of at least 1.
        """
        return _importances.permutation_importance(self, X, y, n_repeats, random_state)

    def clone(self, new_params: dict[str, Any] | None = None) -> Any:
        """A new estimator with the same parameters, or some others, as River's ensembles need."""
        return clone(self).set_params(**(new_params or {}))

    def _rows_to_fit(
        self,
        X: Any,
        y: Any,
        X_std: Any,
        sample_weight: ArrayLike | None,
        callback: FitCallback | None,
    ) -> tuple[Array, NDArray[Any], Array | None, Array | None, float]:
        """Check the parameters and the arguments of a fit.

        Returns:
            What :func:`counted` gives: rows, targets and standard deviations without rows of weight
            0, weights in units of their mean, and this unit.

        Raises:
            ValueError, TypeError: as :meth:`TagiRegressor.fit`.
        """
        self._check_parameters()
        check_callback(callback)
        rows, targets = self._validated(X, y, reset=True)
        return counted(sample_weight, None, rows, targets, self._as_std(X_std, rows))

    def _evaluation(
        self, eval_set: Any, learned: NDArray[Any]
    ) -> tuple[Array, NDArray[Any]] | None:
        """Rows and targets of an ``eval_set``, as :meth:`_validated` gives them; None for none.

        Raises ValueError and TypeError, with the argument's name, for anything but a pair (X, y)
        that goes with the targets ``learned``.
        """
        if eval_set is None:
            return None
        with named("eval_set"):
            rows, targets = self._validated(*as_pair(eval_set), reset=False)
            self._refuse_evaluation(targets, learned)
        return rows, targets

    def _start(
        self,
        n_features: int,
        keys: list[Any] | None = None,
        for_table: bool = False,
    ) -> None:
        """Networks and units that have seen nothing; ``keys`` name features of dicts.

        The networks of a table are made with its units: :meth:`_take_units_of_table`.
        """
        self._stream = None
        self._novelty = None
        self._encoding = None
        if not for_table:
            self._make_all_networks(n_features, for_table=False)
        self._x_moments = Moments.of_nothing(n_features)
        self._x_scaler = Scaler.identity(n_features)
        self._n_rows = 0
        self._settled = False
        self._drifts_in_fit = 0
        self._weight_unit = 1.0
        self._table_format = None
        if keys is None:
            names = getattr(self, "feature_names_in_", None)
            self._feature_keys = None if names is None else names.tolist()
        else:
            self.n_features_in_ = n_features
            self._name_features(keys)

    def _table(
        self,
        X: Array,
        std: Array | None,
        y: NDArray[Any],
        evaluation: tuple[Array, NDArray[Any]] | None,
        callback: FitCallback | None,
        weight: Array | None,
    ) -> TableTraining:
        """A table in the units of ``_x_scaler``, for networks to learn.

        ``evaluation`` are rows and targets, as networks take them, that are not learned.
        """
        x, x_var = self._x_scaler.inputs(X, std)
        assert self._encoding is not None
        return TableTraining(
            x,
            x_var,
            y,
            self._encoding,
            self._network_maker(),
            batch_size=self._batch_size(len(x)),
            max_epochs=self.max_epochs,
            progress=Progress(type(self).__name__, bool(self.verbose)),
            side_by_side=SideBySide(self.n_jobs),
            callback=callback,
            evaluation=None
            if evaluation is None
            else Evaluation(*self._x_scaler.inputs(evaluation[0]), evaluation[1]),
            weight=weight,
            fast=self.fast,
        )

    def _count_table(self, n_rows: int) -> None:
        """Note that these are the rows so far, in the units of all of which the networks are."""
        self._n_rows, self._settled = n_rows, True
        self._drifts_in_fit = self._n_drifts()

    def _chooses_length(self, n_rows: int) -> bool:
        """Whether rows are left out for a while, to see how long it is best to train."""
        return self.early_stopping and n_rows >= RECIPE.least_rows

    def _learn_table(self, table: TableTraining, length: Length[Any]) -> None:
        """Train new networks so long, and learn what is novel beside the table.

        Warns ConvergenceWarning where rows left out were predicted no better than by a constant.
        """
        self._encoding = length.encoding
        seeds = [net.seed for net in self.nets_]
        self.nets_ = self._networks_of_seeds(table.x.shape[1], seeds, for_table=True)
        self.histories_ = table.fit(self.nets_, length)
        self._count_table(len(table.x))
        if self.novelty:
            part = _novelty.sample(len(table.x))
            weight = None if table.weight is None else table.weight[part]
            self._novelty = self._learn_novelty(table.x[part], table.y[part], weight)
        verdict = length.verdict
        if verdict is not None and verdict.loss >= verdict.constant_loss:
            warnings.warn(
                "fit: rows left out were predicted no better than by a constant (mean negative "
                f"log-likelihood {verdict.loss:.3g}, of a constant {verdict.constant_loss:.3g}): "
                "X may say nothing about y, or the rows be too few",
                ConvergenceWarning,
                stacklevel=4,  # whoever called the decorated fit
            )
