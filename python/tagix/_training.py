"""The loop over epochs that every ``fit`` shares; an epoch itself runs in the core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tagix import _core
from tagix._core import EpochRecord

__all__ = ["Callback", "EpochRecord", "History", "check_callback", "run_epochs"]

Callback = Callable[[EpochRecord], object]


@dataclass
class History:
    """What each epoch of a fit gave; the lists have one entry an epoch.

    All but the validation entries come from the predictions made just before each update, so they
    are honest about data not yet learned.
    """

    train_mse: list[float] = field(default_factory=list)
    """Mean squared error."""
    predicted_var: list[float] = field(default_factory=list)
    """Mean predicted variance of the outputs, observation noise left out."""
    train_log_likelihood: list[float] = field(default_factory=list)
    """Mean log density of a target, observation noise included."""
    noise_var: list[float] = field(default_factory=list)
    """Mean noise variance over the outputs; NaN if it was given per sample."""
    seconds: list[float] = field(default_factory=list)
    """Duration of the epoch."""
    validation_mse: list[float] = field(default_factory=list)
    """Mean squared error on the validation data after the epoch; empty without such data."""
    validation_log_likelihood: list[float] = field(default_factory=list)
    """Mean log density of a validation target after the epoch; empty without such data."""


def check_callback(callback: Callback | None) -> None:
    """TypeError unless ``callback`` is None or can be called."""
    if callback is not None and not callable(callback):
        raise TypeError(f"callback: got {callback!r}, needed a function of an EpochRecord")


def run_epochs(
    model: _core.Model,
    source: _core.BatchSource,
    *,
    begin_epoch: Callable[[int], float],
    end_epoch: Callable[[History], None],
    n_epochs: int,
    batch_size: int,
    shuffle: bool,
    progress: bool,
    callback: Callback | None,
) -> History:
    """Train for ``n_epochs`` epochs, or until ``callback`` returns true after one.

    ``begin_epoch(epoch)`` sets the noise of an epoch and returns its mean variance;
    ``end_epoch(history)`` adds validation results.
    """
    history = History()
    with _ProgressBar(progress, n_epochs * source.n_rows) as bar:
        for epoch in range(n_epochs):
            noise_var = begin_epoch(model.epochs_trained)
            record = _core.train_epoch(
                model, source, batch_size, shuffle, bar.updater(epoch * source.n_rows)
            )
            history.train_mse.append(record.mse)
            history.predicted_var.append(record.predicted_var)
            history.train_log_likelihood.append(record.log_likelihood)
            history.noise_var.append(noise_var)
            history.seconds.append(record.seconds)
            end_epoch(history)
            bar.show((epoch + 1) * source.n_rows, record)
            if callback is not None and callback(record):
                break
    return history


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

    def updater(self, rows_before: int) -> Callable[[int], bool] | None:
        """What the core calls with the rows done in the epoch."""
        if self._bar is None:
            return None

        def update(rows_done: int) -> bool:
            self._bar.update(rows_before + rows_done - self._bar.n)
            return False

        return update

    def show(self, rows_done: int, record: EpochRecord) -> None:
        """Note the end of an epoch."""
        if self._bar is not None:
            self._bar.update(rows_done - self._bar.n)
            self._bar.set_postfix(mse=f"{record.mse:.4g}", var=f"{record.predicted_var:.2g}")
