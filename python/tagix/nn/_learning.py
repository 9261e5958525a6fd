"""How networks learn."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix import _core
from tagix._arrays import (
    SupportsDLPack,
    as_count,
    as_flag,
    as_targets,
    is_on_gpu,
    refuse_gpu,
)
from tagix._classes import UNKNOWN, as_labels
from tagix._training import (
    FitCallback,
    History,
    check_callback,
    log_drifts,
    run_epochs,
    undone_on_error,
)
from tagix._weights import as_weights, for_core, without_targets
from tagix.gaussian import Prediction
from tagix.nn._base import Noise, log
from tagix.nn._predicting import AnyArrays, Arrays, Predicting

T = TypeVar("T")


class _Rows(NamedTuple):
    """What a fit learns: rows in the core with their weights, and what goes with them."""

    source: _core.RegressionSource
    noise: Any
    """As given, on the CPU."""
    shape: tuple[int, ...]
    """Of the targets, as given."""
    rows_by_outputs: tuple[int, ...]
    """Of the targets, as the core takes them."""


class Learning(Predicting):
    """Updates of networks by targets."""

    def update(
        self,
        x: AnyArrays,
        y: ArrayLike | SupportsDLPack,
        noise: Noise | SupportsDLPack | None = None,
        x_var: AnyArrays | None = None,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> Prediction:
        """Predict for a batch, then update every parameter by its targets, in place.

        Args:
            x: inputs as for calling the network, (batch, features) or a dict of several by name.
            y: targets, (batch, outputs), (batch,) for one output, or (batch, channels, ...) for
                outputs on a grid; NaN is a missing observation. For a network with a
                :attr:`likelihood`, labels, integers (batch,); -1 is missing.
            noise: a known :class:`tagix.Homoscedastic`, or noise variances that broadcast to y;
                None for a network that was made with its noise. A noise model decays with the
                epochs of :meth:`fit`; an update is not an epoch, so the noise does not decay in a
                stream of updates.
            x_var: variances of the inputs, same shape as x.
            sample_weight: (batch,), numbers from 0 to 1e18, on the CPU: a row of weight n counts as
                n rows of the batch with the same targets, a row of weight 0 as one without targets.

        If x is on the GPU (see calling the network), y and x_var may be on the GPU or on the CPU.
        So may noise variances; they are copied to the CPU to be checked.

        Returns:
            The prediction made before the update, as from calling the network. If the network knows
            its noise, the prediction includes the noise of the update.

        Raises:
            ValueError, TypeError: as calling the network; for noise variances that are not
                positive, and weights that are negative or all 0; if ``noise`` is given to a network
                that infers it, or not given to a network that does not know it; and if the
                prediction or the update overflows float32. The network is then unchanged.
        """
        if self.forgetting is not None and log.isEnabledFor(logging.INFO):
            n_drifts = self.n_drifts
            prediction = self._update(x, y, noise, x_var, sample_weight)
            log_drifts(n_drifts, self.n_drifts)
            return prediction
        return self._update(x, y, noise, x_var, sample_weight)

    def _update(self, x: Any, y: Any, noise: Any, x_var: Any, sample_weight: Any) -> Prediction:
        if is_on_gpu("x", x, self.device):
            return self._update_on_gpu(x, y, noise, x_var, sample_weight)
        inputs = self._inputs.rows("x", x)
        targets, shape = self._targets("y", y, *inputs.shape)
        noise_var = self._noise_var(noise, shape, targets.shape)
        x_var = self._inputs.variances("x_var", x_var, len(inputs))
        weights = _optional_weights(sample_weight, len(inputs))
        targets = without_targets(targets, weights)
        return self._prediction(
            self._model.update(
                *(inputs, targets, noise_var, x_var, for_core(weights), self.noise is not None)
            )
        )

    def _update_on_gpu(
        self, x: Any, y: Any, noise: Any, x_var: Any, sample_weight: Any
    ) -> Prediction:
        inputs = _core.CudaArgument("x", x)
        targets = self._targets_on_gpu(inputs, y)
        shape = targets.shape
        noise = self._on_host("noise", noise)
        noise_var = self._noise_var(noise, shape, _by_outputs(shape))
        weights = _optional_weights(sample_weight, shape[0])
        on_gpu = self._model.update_on_device(
            *(inputs, targets, noise_var, self._optional_argument("x_var", x_var)),
            *(for_core(weights), self.noise is not None),
        )
        return self._prediction(on_gpu, x)

    def _targets_on_gpu(self, inputs: _core.CudaArgument, y: Any) -> _core.CudaArgument:
        """Targets of inputs on the GPU: there, too, but for labels, which come from the CPU."""
        if self.likelihood is None or len(inputs.shape) != 2:
            return self._argument("y", y)
        return self._argument("y", self._targets("y", y, *inputs.shape)[0])

    def fit(
        self,
        x: Arrays,
        y: ArrayLike,
        *,
        noise: Noise | None = None,
        x_var: Arrays | None = None,
        sample_weight: ArrayLike | None = None,
        n_epochs: int = 10,
        batch_size: int = 256,
        shuffle: bool = True,
        progress: bool = True,
        validation: tuple[Arrays, ArrayLike] | None = None,
        callback: FitCallback | None = None,
    ) -> History:
        """Learn rows of data in batches, for a number of passes over them.

        KeyboardInterrupt ends the fit within an epoch, and the network keeps what it has learned.
        After any other exception, including exceptions of the callback, parameters and
        :attr:`epochs_trained` are reset to their values before the call; this also undoes changes
        that other threads have made meanwhile.

        Args:
            x: inputs as for calling the network, (rows, features) or a dict of several by name.
            y: targets, (rows, outputs), (rows,) for one output, or (rows, channels, ...) for
                outputs on a grid; NaN is a missing observation. For a network with a
                :attr:`likelihood`, labels, integers (rows,); -1 is missing.
            noise: as for :meth:`update`.
            x_var: variances of the inputs, same shape as x, on the CPU; None means that they are
                known exactly.
            sample_weight: (rows,), numbers from 0 to 1e18, on the CPU: a row of weight n counts as
                n rows.
            n_epochs: passes over the data.
            batch_size: rows of an update; the last one of an epoch may have fewer.
            shuffle: visit the rows in a new order each epoch.
            progress: show a progress bar on stderr.
            validation: (x, y), on the CPU, on which error and log-likelihood are reported after
                each epoch. The likelihood includes the noise of a noise model in that epoch, or the
                noise that the network infers after it. If noise variances are given as an array, it
                includes their mean over the training rows, for each output.
            callback: called with an :class:`tagix.EpochRecord` after each epoch; returning true
                ends the training. A :class:`tagix.Callback` is called within epochs, too, and can
                end one early.

        Returns:
            Error, likelihood, predicted variance and time of each epoch.

        Raises:
            ValueError: for wrong shapes, NaN or infinity, ``noise`` and ``sample_weight`` as in
                :meth:`update`, counts below 1, and if predictions or updates overflow float32 on
                the way.
            TypeError: for something that is not an array of numbers, an integer, a bool, a
                function.

        If x is on the GPU (see calling the network), the rows stay there and must not change during
        the fit; y and noise may be on the GPU or on the CPU.
        """
        n_epochs = as_count("n_epochs", n_epochs, least=1)
        batch_size = as_count("batch_size", batch_size, least=1)
        shuffle, progress = as_flag("shuffle", shuffle), as_flag("progress", progress)
        check_callback(callback)
        rows_of = self._rows_on_gpu if is_on_gpu("x", x, self.device) else self._rows_on_host
        source, noise, shape, rows_by_outputs = rows_of(x, y, noise, sample_weight)
        model = self._noise_model(noise)
        validation_var = None
        if x_var is not None:
            refuse_gpu("fit", x_var=x_var)
            variances = self._inputs.variances("x_var", x_var, shape[0])
            if variances is not None:
                source.set_x_var(variances)
        if not self._takes_no_noise_var and model is None:
            noise_var = self._noise_var_per_target(noise, shape, rows_by_outputs)
            source.set_noise_var_per_target(noise_var)
            validation_var = noise_var.mean(axis=0, dtype=np.float64).astype(np.float32)

        def begin_epoch(epoch: int) -> None:
            nonlocal validation_var
            if model is not None:
                validation_var = np.asarray(model.var(epoch), dtype=np.float32)
                source.set_noise_var(model.var(epoch))

        begin_epoch(self.epochs_trained)
        # The noise has been checked: what the validation finds wrong is its own.
        end_epoch = self._validator(validation, lambda: validation_var)

        with undone_on_error(self._model):
            return run_epochs(
                self._model,
                source,
                begin_epoch=begin_epoch,
                end_epoch=end_epoch,
                n_epochs=n_epochs,
                batch_size=batch_size,
                shuffle=shuffle,
                progress=progress,
                callback=callback,
            )

    def _rows_on_host(self, x: Any, y: Any, noise: Any, sample_weight: Any) -> _Rows:
        """What fit learns, of arrays on the CPU."""
        refuse_gpu("fit", y=y, noise=noise)
        inputs = self._inputs.rows("x", x)
        targets, shape = self._targets("y", y, *inputs.shape)
        weights = _optional_weights(sample_weight, len(inputs))
        targets = without_targets(targets, weights)
        source = _core.RegressionSource(self._model, inputs, targets)
        _give_weights(source, weights)
        return _Rows(source, noise, shape, targets.shape)

    def _rows_on_gpu(self, x: Any, y: Any, noise: Any, sample_weight: Any) -> _Rows:
        """The same of x on the GPU, where its rows stay."""
        inputs = _core.CudaArgument("x", x)
        targets = self._targets_on_gpu(inputs, y)
        source = _core.RegressionSource(self._model, inputs, targets)
        noise = self._on_host("noise", noise)
        shape = targets.shape
        _give_weights(source, _optional_weights(sample_weight, shape[0]))
        return _Rows(source, noise, shape, _by_outputs(shape))

    def _targets(
        self, name: str, y: Any, n_rows: int, n_features: int
    ) -> tuple[NDArray[np.float32], tuple[int, ...]]:
        """Targets as the core takes them (classes as numbers or NaN), and their shape as given."""
        if self._grid_outputs is not None and self.likelihood is None:
            return self._grid_outputs.targets(name, y)
        if self.likelihood is None:
            return as_targets(name, y, self._model.out_features(n_features))
        refuse_gpu("a network of classes", **{name: y})
        labels = as_labels(name, y, n_rows, self.likelihood.n_classes)
        targets = np.where(labels == UNKNOWN, np.float32("nan"), labels.astype(np.float32))
        return targets[:, np.newaxis], labels.shape

    def _validator(
        self,
        validation: tuple[Arrays, ArrayLike] | None,
        noise_var: Callable[[], NDArray[np.float32] | None],
    ) -> Callable[[History, int], None]:
        """What run_epochs calls at the end of an epoch.

        ``noise_var()`` gives the noise variance of each output in that epoch, or None where the
        network infers it.
        """
        if validation is None:
            return lambda history, epoch: None
        if not isinstance(validation, tuple) or len(validation) != 2:
            raise TypeError(f"validation: got a {type(validation).__name__}, needed (x, y)")
        refuse_gpu("fit", **{"validation x": validation[0], "validation y": validation[1]})
        x = self._inputs.rows("validation x", validation[0])
        _for_validation(lambda: self._model.out_features(x.shape[1]))
        y, _ = self._targets("validation y", validation[1], *x.shape)

        def evaluate(history: History, epoch: int) -> None:
            sums = self._model.evaluate(x, y, noise_var())
            n_observed = sums.n_observed or float("nan")  # NaN where every target is missing
            history.validation_mse.append(sums.squared_error / n_observed)
            history.validation_log_likelihood.append(sums.log_likelihood / n_observed)

        # Bad values are refused before anything is trained.
        _for_validation(lambda: evaluate(History(), self.epochs_trained))
        return evaluate


def _for_validation(call: Callable[[], T]) -> T:
    """What the core says of x and y, said of the validation data."""
    try:
        return call()
    except ValueError as error:
        raise ValueError(f"validation {error}") from error


def _optional_weights(sample_weight: Any, n_rows: int) -> NDArray[np.float64] | None:
    return None if sample_weight is None else as_weights("sample_weight", sample_weight, n_rows)


def _give_weights(source: _core.RegressionSource, weights: NDArray[np.float64] | None) -> None:
    if weights is not None:
        source.set_weight(weights.astype(np.float32))


def _by_outputs(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of targets (rows,) or (rows, outputs) with their outputs."""
    return shape if len(shape) == 2 else (*shape, 1)
