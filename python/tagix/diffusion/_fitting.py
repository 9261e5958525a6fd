"""How a diffusion model learns rows of data."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix import _core
from tagix._arrays import as_array, as_count, as_flag, as_matrix, as_number, refuse_gpu
from tagix._classes import UNKNOWN, as_labels
from tagix._core import Homoscedastic
from tagix._data_units import DataUnits
from tagix._training import FitCallback, History, check_callback, run_epochs, undone_on_error
from tagix.diffusion._defaults import default_batch_size, default_epochs
from tagix.diffusion._parts import Parts

_ROWS_PER_FEATURE = 5


def fit(
    model: Parts,
    X: ArrayLike,
    labels: ArrayLike | None,
    *,
    p_uncond: float,
    n_epochs: int | None,
    batch_size: int | None,
    progress: bool,
    callback: FitCallback | None,
) -> History:
    """:meth:`tagix.DiffusionModel.fit`, which calls it."""
    if n_epochs is not None:
        n_epochs = as_count("n_epochs", n_epochs, least=1)
    if batch_size is not None:
        batch_size = as_count("batch_size", batch_size, least=1)
    progress = as_flag("progress", progress)
    check_callback(callback)
    refuse_gpu("fit", X=X, labels=labels)
    given = as_array("X", X)
    data = as_matrix("X", given)
    _check_rows(data, model.n_features)
    classes = _classes_of_rows(labels, len(data), model.n_classes)
    p_uncond = as_number("p_uncond", p_uncond)

    def begin_epoch(epoch: int) -> None:
        if model.net.noise is None:
            assert isinstance(model._noise, Homoscedastic)
            source.set_noise_var(model._noise.var(epoch))

    undo = _restorer(model)
    units = model._units
    if model._settings["standardize"]:
        units = model._units.widened(given) if model._fitted else DataUnits.of(given)
    if not model._fitted:
        _warn_of_few_rows(len(data), model.n_features - int(units.constant.sum()))
    data = units.centred(given, data)
    with undone_on_error(model.net._model, undo):
        model._units = units
        if model._settings["standardize"] and not model._fitted:
            model._process.standardize_by(data)
        source = _core.DiffusionSource(model.net._model, model._process, data)
        if classes is not None:
            source.set_labels(classes, p_uncond)
            model._class_shares = _shares_of(classes, model.n_classes or 0)
        model._fitted = True
        return run_epochs(
            model.net._model,
            source,
            begin_epoch=begin_epoch,
            end_epoch=lambda history, epoch: None,
            n_epochs=default_epochs(len(data)) if n_epochs is None else n_epochs,
            batch_size=default_batch_size(len(data)) if batch_size is None else batch_size,
            shuffle=True,
            progress=progress,
            callback=callback,
        )


def _check_rows(data: NDArray[np.float32], n_features: int) -> None:
    """ValueError for rows of other columns, for none, and with the columns' numbers for NaN."""
    if data.shape[1] != n_features:
        raise ValueError(f"X: got {data.shape[1]} columns, needed {n_features}")
    if not len(data):
        raise ValueError("X: got 0 rows, needed at least 1")
    bad = np.flatnonzero(~np.isfinite(data).all(axis=0))
    if bad.size:
        columns = ", ".join(map(str, bad[:8])) + (", ..." if len(bad) > 8 else "")
        raise ValueError(
            f"X: got NaN, infinity or numbers too large for float32 in column {columns}, needed "
            "finite numbers: leave these columns or rows out, or fill them in"
        )


def _classes_of_rows(
    labels: ArrayLike | None, n_rows: int, n_classes: int | None
) -> NDArray[np.int64] | None:
    """The class of each row, int64 (n_rows,), -1 where it is unknown; None without classes.

    Raises ValueError and TypeError for wrong labels, and for None where the model has classes.
    """
    if labels is not None:
        return as_labels("labels", labels, n_rows, n_classes)
    if n_classes is not None:
        raise ValueError("labels: got none, needed the class of each row, -1 where it is unknown")
    return None


def _shares_of(classes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64] | None:
    """The share of each class in the labelled rows, float64 (n_classes,); None if none has one."""
    known = classes[classes != UNKNOWN]
    return np.bincount(known, minlength=n_classes) / len(known) if len(known) else None


def _restorer(model: Parts) -> Callable[[], None]:
    """What gives a model back the units and class shares that it has now, not its parameters."""
    process = model._process
    standardization = process.shift, process.scale
    before = model._fitted, model._class_shares, model._units

    def restore() -> None:
        process.set_standardization(*standardization)
        model._fitted, model._class_shares, model._units = before

    return restore


def _warn_of_few_rows(n_rows: int, n_varying: int) -> None:
    if n_rows < _ROWS_PER_FEATURE * n_varying:
        warnings.warn(
            f"X: got {n_rows} rows for {n_varying} columns that vary; below "
            f"{_ROWS_PER_FEATURE * n_varying} rows, samples repeat the rows or miss how columns go "
            "together: give more rows or fewer columns, such as the first principal components",
            UserWarning,
            stacklevel=4,  # of DiffusionModel.fit
        )
