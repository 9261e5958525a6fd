"""The loop over epochs that every ``fit`` shares; an epoch itself runs in the core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tagix import _core
from tagix._core import EpochRecord
from tagix._network_state import Progress

__all__ = [
    "Callback",
    "EpochRecord",
    "FitCallback",
    "History",
    "check_callback",
    "run_epochs",
    "undone_on_error",
]

_log = logging.getLogger("tagix.training")


class Callback:
    """Base class for objects that a ``fit`` calls, to follow the fit or to stop it.

    A plain function of an :class:`EpochRecord` is called like :meth:`__call__`. A callback that is
    to be called within epochs has to derive from this class.
    """

    def on_rows(self, epoch: int, rows_done: int, n_rows: int) -> object:
        """Called some 20 times a second within an epoch; returning true ends the fit there.

        The batches so far stay learned, but the epoch does not count in ``epochs_trained``: a later
        fit starts this epoch again. :meth:`__call__` still gets the record of the epoch so far,
        with ``stopped`` true.

        Args:
            epoch: number of epochs that the model was trained for before this one.
            rows_done: rows of this epoch learned so far, less than ``n_rows``.
            n_rows: rows of an epoch.
        """
        return False

    def __call__(self, record: EpochRecord) -> object:
        """Called after each epoch, validation included; returning true ends the fit."""
        return False


FitCallback: TypeAlias = Callback | Callable[[EpochRecord], object]


@dataclass
class History:
    """The results of each epoch of a fit; the lists have one entry per epoch.

    All entries except those of validation come from the predictions made just before each update,
    so they are for data that the model had not learned yet in that epoch.
    """

    train_mse: list[float] = field(default_factory=list)
    """Mean squared error; of classes, of the label's probability p: (1 - p)^2."""
    predicted_var: list[float] = field(default_factory=list)
    """Mean predicted variance of the outputs, observation noise left out; of classes p (1 - p)."""
    train_log_likelihood: list[float] = field(default_factory=list)
    """Mean log density of a target, observation noise included; of classes log p."""
    noise_var: list[float] = field(default_factory=list)
    """Mean noise variance of the targets, known or inferred."""
    surprise: list[float] = field(default_factory=list)
    """Mean of squared errors divided by their predicted variances, noise included. It is 1 if the
    variances are right, and more if the network is overconfident. For classes it is the mean of
    (1/p - 1) / (n_classes - 1), which is also 1 if the probabilities are right.
    """
    seconds: list[float] = field(default_factory=list)
    """Wall-clock duration of the epoch, validation left out."""
    validation_mse: list[float] = field(default_factory=list)
    """Mean squared error on the validation data after the epoch; empty without such data."""
    validation_log_likelihood: list[float] = field(default_factory=list)
    """Mean log density of a validation target after the epoch; empty without such data."""
    n_rows: list[int] = field(default_factory=list)
    """Rows learned. If a callback ends an epoch early, these are fewer than the rows of the data,
    and the training entries of the lists are then about these rows only."""
    stopped: bool = False
    """Whether a callback ended the fit, after the last epoch listed or within it."""


def check_callback(callback: FitCallback | None) -> None:
    """TypeError unless ``callback`` is None or can be called."""
    if callback is not None and not callable(callback):
        raise TypeError(f"callback: got {callback!r}, needed a function of an EpochRecord")


@contextmanager
def undone_on_error(
    model: _core.Model, undo: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Put parameters, epoch count and drift back if the block raises, and call ``undo``.

    KeyboardInterrupt does not undo anything: a user who ends a long fit wants to keep the result.
    """
    mean, var = model.get_parameters()
    progress = Progress.of(model)
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        # Parameters that were not finite before, written through a view, cannot be set; with them
        # no prediction is finite, and so nothing was learned.
        with suppress(ValueError):
            model.set_parameters(mean, var)
        progress.give_to(model)
        undo()
        raise


def run_epochs(
    model: _core.Model,
    source: _core.BatchSource,
    *,
    begin_epoch: Callable[[int], None],
    end_epoch: Callable[[History, int], None],
    n_epochs: int,
    batch_size: int,
    shuffle: bool,
    progress: bool,
    callback: FitCallback | None,
) -> History:
    """Train for ``n_epochs`` epochs, or until ``callback`` returns true.

    ``begin_epoch(epoch)`` sets the noise of an epoch; ``end_epoch(history, epoch)`` adds validation
    results. To be called in
    :func:`undone_on_error`.
    """
    history = History()
    n_drifts = model.drift[-1]
    trainer = _core.Trainer(model, source, batch_size, shuffle)
    with _ProgressBar(progress, n_epochs * source.n_rows) as bar:
        for done in range(n_epochs):
            epoch = model.epochs_trained
            begin_epoch(epoch)
            on_rows = _on_rows(bar, done * source.n_rows, callback, epoch, source.n_rows)
            record = trainer.run_epoch(on_rows)
            history.train_mse.append(record.mse)
            history.predicted_var.append(record.predicted_var)
            history.train_log_likelihood.append(record.log_likelihood)
            history.noise_var.append(record.noise_var)
            history.surprise.append(record.surprise)
            history.seconds.append(record.seconds)
            history.n_rows.append(record.n_rows)
            end_epoch(history, epoch)
            _log.debug(
                "epoch %d: %d rows in %.3g s, mean squared error %.4g, log likelihood %.4g",
                epoch,
                record.n_rows,
                record.seconds,
                record.mse,
                record.log_likelihood,
            )
            bar.show(done * source.n_rows + record.n_rows, record)
            wants_end = callback is not None and bool(callback(record))
            if record.stopped or wants_end:
                history.stopped = True
                break
    log_drifts(n_drifts, model.drift[-1])
    _log.info(
        "fit: %d epochs of %d rows in %.3g s, mean squared error %.4g, log likelihood %.4g%s",
        len(history.seconds),
        source.n_rows,
        sum(history.seconds),
        history.train_mse[-1],
        history.train_log_likelihood[-1],
        ", ended by its callback" if history.stopped else "",
    )
    return history


def log_drifts(before: int, after: int) -> None:
    """Say that the test of forgetting has found changes of the data, by its counts."""
    if after > before:
        _log.info("the data have changed: drift found %d times, %d in all", after - before, after)


def _on_rows(
    bar: _ProgressBar, rows_before: int, callback: FitCallback | None, epoch: int, n_rows: int
) -> Callable[[int], bool] | None:
    """What the core calls with the rows done in the epoch, or None where nobody listens."""
    listener = callback if isinstance(callback, Callback) else None
    if listener is None and not bar.enabled:
        return None

    def update(rows_done: int) -> bool:
        bar.advance(rows_before + rows_done)
        # After the last batch it is the record's turn: there is nothing left to stop.
        if listener is None or rows_done >= n_rows:
            return False
        return bool(listener.on_rows(epoch, rows_done, n_rows))

    return update


class _ProgressBar:
    """A tqdm bar over the rows of all epochs, or nothing."""

    def __init__(self, enabled: bool, n_rows: int) -> None:
        self._bar: Any = None
        if enabled:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=n_rows, unit="row", unit_scale=True, leave=False)

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def enabled(self) -> bool:
        """Whether there is a bar."""
        return self._bar is not None

    def advance(self, rows_done: int) -> None:
        """Show how many rows are done in all epochs."""
        if self._bar is not None:
            self._bar.update(rows_done - self._bar.n)

    def show(self, rows_done: int, record: EpochRecord) -> None:
        """Note the end of an epoch."""
        if self._bar is not None:
            self.advance(rows_done)
            self._bar.set_postfix(mse=f"{record.mse:.4g}", var=f"{record.predicted_var:.2g}")
