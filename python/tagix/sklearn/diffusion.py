"""Density estimation by denoising diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from tagix._arrays import as_count
from tagix._training import History
from tagix.diffusion import DiffusionModel
from tagix.io import _diffusion
from tagix.samplers import DPMSolverMultistep, Sampler
from tagix.sklearn import _files
from tagix.sklearn._columns import ColumnEncoder
from tagix.sklearn._compatibility import (
    input_names,
    validate_rows,
    validate_rows_and_targets,
)
from tagix.sklearn._files import SavedEstimator
from tagix.sklearn._undo import all_or_nothing

Array = NDArray[np.float64]


class TagiDiffusion(DensityMixin, SavedEstimator, BaseEstimator):
    """Learns the density of rows: draws new rows, and tells how probable a row is.

    A :class:`tagix.DiffusionModel` with the interface of scikit-learn's density estimators. Columns
    are scaled inside.

    Args:
        hidden: widths of the hidden layers; None: the default of :class:`tagix.DiffusionModel` for
            the number of columns.
        conditional: whether rows have classes, given as y of :meth:`fit`, that are learned, too. If
            false, y is ignored, as in scikit-learn's density estimators.
        n_steps: noise levels of the diffusion.
        n_epochs: passes over the rows, each with new noise. None: the budget of updates of
            :meth:`tagix.DiffusionModel.fit`.
        batch_size: rows of an update; None: 64 for less than 20 000 rows, else 256.
        random_state: an int, a numpy RandomState or None, for the seed of the model.
        device: "cpu" or "cuda".
        precision: as for :class:`tagix.nn.Sequential`.
        verbose: whether fit shows a progress bar.

    Attributes:
        model_ : the :class:`tagix.DiffusionModel`.
        history_ : the results of each epoch of the last fit (:class:`tagix.History`).
        n_iter_ : epochs of the last fit.
        classes_ : the labels, sorted, of a conditional estimator.
        n_features_in_, feature_names_in_, input_names_ : as those of :class:`TagiRegressor`.

    Example:
        >>> model = TagiDiffusion().fit(X)
        >>> model.sample(1000), model.score_samples(X_new)
    """

    model_: DiffusionModel
    history_: History
    classes_: NDArray[Any]
    _encoder: ColumnEncoder | None = None

    def __init__(
        self,
        hidden: Sequence[int] | None = None,
        *,
        conditional: bool = False,
        n_steps: int = 40,
        n_epochs: int | None = None,
        batch_size: int | None = None,
        random_state: Any = None,
        device: str = "cpu",
        precision: str = "float32",
        verbose: int | bool = 0,
    ) -> None:
        self.hidden = hidden
        self.conditional = conditional
        self.n_steps = n_steps
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.verbose = verbose

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    @property
    def input_names_(self) -> NDArray[Any]:
        """Names of the model's inputs, as for :class:`TagiRegressor`."""
        return input_names(self)

    @property
    def n_iter_(self) -> int:
        """Epochs of the last fit."""
        return len(self.history_.train_mse)

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> TagiDiffusion:
        """Learn a table from scratch.

        After any exception, including KeyboardInterrupt, the estimator is unchanged.

        Args:
            X: rows, (n_rows, n_features), without missing values; a DataFrame becomes numbers as
                for :meth:`TagiRegressor.fit`.
            y: labels, (n_rows,), for a conditional estimator; else ignored.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: if X is not a table of finite numbers or y are not labels, and
                for invalid parameters of the estimator.

        Warns:
            UserWarning: if there are fewer than 5 rows for each column that varies.
        """
        labels = None
        if self.conditional:
            if y is None:
                raise ValueError("y: got None, needed labels, as the estimator is conditional")
            rows, classes = validate_rows_and_targets(self, X, y, reset=True)
            self._refuse_missing(rows)
            check_classification_targets(classes)
            self.classes_, labels = np.unique(column_or_1d(classes, warn=True), return_inverse=True)
        else:
            rows = validate_rows(self, X, reset=True)
            self._refuse_missing(rows)
        model = DiffusionModel(
            rows.shape[1],
            None if self.hidden is None else tuple(self.hidden),
            self.n_steps,
            n_classes=None if labels is None else len(self.classes_),
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            device=self.device,
            precision=self.precision,
        )
        self.history_ = model.fit(
            rows,
            labels,
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            progress=bool(self.verbose),
        )
        self.model_ = model
        return self

    def _refuse_missing(self, rows: Array) -> None:
        """ValueError with the names of the columns that have NaN."""
        missing = np.isnan(rows).sum(axis=0)
        columns = np.flatnonzero(missing)
        if columns.size:
            names = getattr(self, "feature_names_in_", np.arange(self.n_features_in_))
            if self._encoder is not None:
                names = self._encoder.input_names(list(names))
            listed = ", ".join(f"{names[i]!s} ({missing[i]} rows)" for i in columns[:8])
            raise ValueError(
                f"Input X contains NaN, which TagiDiffusion does not take, in column {listed}"
                f"{', ...' if len(columns) > 8 else ''}: leave these columns or rows out, or fill "
                "them in, as by sklearn.impute.SimpleImputer"
            )

    def sample(
        self,
        n_samples: int = 1,
        random_state: Any = None,
        *,
        y: ArrayLike | None = None,
        sampler: Sampler | None = None,
    ) -> Any:
        """Draw rows like those of the table.

        Args:
            n_samples: number of samples.
            random_state: an int, a numpy RandomState or None, for their noise.
            y: for a conditional estimator, the label of all samples, or one label for each. Without
                it labels are drawn with their frequencies in the table.
            sampler: one of :mod:`tagix.samplers`; None is ``DPMSolverMultistep(20)``. With few
                steps DDPM makes correlated columns too narrow.

        Returns:
            float64 (n_samples, n_inputs), the columns of X or the inputs in ``input_names_``; for a
            conditional estimator, a pair of these rows and their labels, (n_samples,).
        """
        check_is_fitted(self)
        count = as_count("n_samples", n_samples, least=1)
        random = check_random_state(random_state)
        seed = int(random.randint(2**31 - 1))
        if sampler is None:
            sampler = DPMSolverMultistep(20)
        if not self.conditional:
            if y is not None:
                raise ValueError("y: got labels, needed none: the estimator is not conditional")
            return self.model_.sample(count, sampler=sampler, seed=seed).x.astype(np.float64)
        if y is None:
            shares = self.model_.class_shares
            numbers = random.choice(len(self.classes_), size=count, p=shares)
        else:
            numbers = self._numbers(np.broadcast_to(np.asarray(y), (count,)))
        drawn = self.model_.sample(count, label=numbers, sampler=sampler, seed=seed)
        return drawn.x.astype(np.float64), self.classes_[numbers]

    def score_samples(self, X: Any, y: ArrayLike | None = None) -> Array:
        """ln p(x) of each row, (n_rows,), in the units of X; ln p(x | y) with labels.

        See :meth:`tagix.DiffusionModel.log_prob`.
        """
        check_is_fitted(self)
        rows = validate_rows(self, X, reset=False)
        self._refuse_missing(rows)
        labels = None
        if y is not None:
            if not self.conditional:
                raise ValueError("y: got labels, needed none: the estimator is not conditional")
            labels = self._numbers(np.asarray(y))
        return self.model_.log_prob(rows, labels)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean ln p(x) of the rows; y is ignored."""
        return float(self.score_samples(X).mean())

    def _to_file(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        parameters = _files.describe_parameters(self.get_params(deep=False))
        if not self.__sklearn_is_fitted__():
            return {"parameters": parameters, "learned": None}, {}
        model, arrays = _diffusion.to_file(self.model_)
        tensors: dict[str, NDArray[Any]] = {"history": _files.history_array(self.history_)}
        _files.put(tensors, "model", arrays)
        names = getattr(self, "feature_names_in_", None)
        labels = self.classes_.tolist() if self.conditional else None
        learned = {
            "model": model,
            "stopped": self.history_.stopped,
            "feature_names": None if names is None else names.tolist(),
            "n_features": self.n_features_in_,
            "columns": _files.describe_columns(self._encoder),
            "labels": None if labels is None else _files.describe_labels("classes_", labels),
        }
        return {"parameters": parameters, "learned": learned}, tensors

    def _read_learned(self, learned: Any, tensors: _files.Tensors, device: str) -> None:
        model = _diffusion.from_file(learned.take("model"), _files.take(tensors, "model"), device)
        self.history_ = _files.read_history(tensors, "history", learned.flag("stopped"))
        names, labels = learned.take("feature_names"), learned.take("labels")
        n_features = learned.count("n_features", least=1)
        self._encoder = _files.read_columns(learned.take("columns"), n_features)
        learned.done()
        n_inputs = n_features if self._encoder is None else self._encoder.n_inputs
        if n_inputs != model.n_features:
            raise ValueError(f"columns: got {n_inputs} inputs, needed {model.n_features}")
        n_classes = model.n_classes
        if (n_classes is not None, labels is not None) != (bool(self.conditional),) * 2:
            raise ValueError("labels: got a model or labels that do not fit `conditional`")
        self.n_features_in_ = n_features
        if names is not None:
            if not isinstance(names, list) or len(names) != n_features:
                raise ValueError(f"feature_names: got {names!r:.80}, needed {n_features}")
            self.feature_names_in_ = np.array(
                _files.read_labels("feature_names", names), dtype=object
            )
        if labels is not None:
            if not isinstance(labels, list) or len(labels) != n_classes:
                raise ValueError(f"labels: got {labels!r:.80}, needed {n_classes} of them")
            self.classes_ = np.unique(_files.read_labels("labels", labels))
            if len(self.classes_) != n_classes:
                raise ValueError(f"labels: got {labels!r:.80}, needed ones of a kind")
        self.model_ = model

    def _numbers(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """The model's classes of labels; ValueError for a label that is unknown."""
        known = np.isin(labels, self.classes_)
        if not known.all():
            raise ValueError(f"y: got {labels[~known][0]!r}, needed labels, {self.classes_}")
        return np.searchsorted(self.classes_, labels).astype(np.int64)
