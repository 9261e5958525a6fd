"""Denoising diffusion with a Bayesian network that predicts the noise."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix import _core, nn
from tagix._arrays import as_count, as_flag, as_matrix, as_number, as_timesteps, refuse_gpu
from tagix._core import Heteroscedastic, Homoscedastic, UpdateRule
from tagix._seeds import check_seed, resolve_seed
from tagix._training import (
    FitCallback,
    History,
    check_callback,
    run_epochs,
    undone_on_error,
)
from tagix.gaussian import Prediction


@dataclass(frozen=True)
class Samples:
    """Samples of a :class:`DiffusionModel`, in the units of its data."""

    x: NDArray[np.float32]
    """The samples, (n_samples, n_features)."""
    var: NDArray[np.float32]
    """What the network's uncertainty adds to their variance in the last step, same shape."""
    trajectory: NDArray[np.float32] | None
    """The chain from the starting noise to x, (n_steps, n_samples, n_features), if asked for."""
    epistemic: NDArray[np.float32] | None = None
    """What the network does not know of x, (n_samples, n_features, n_features): a covariance."""
    aleatoric: NDArray[np.float32] | None = None
    """What the data leave open of x, same shape: the covariance of x_0 given the last x_t."""
    score: NDArray[np.float32] | None = None
    """How uncertain each sample is, (n_samples,), without a unit; larger is less certain.

    The share of the noise in the last x_t that its denoising leaves open,
    1 - sqrt(1 - alpha_bar) trace(J) / n_features: the trace of ``aleatoric``, in standardized
    units, over that of the noise. It is 0 where the data hold x in every direction and 1 where they
    hold it in none; between parts of the data, which pull either way, it is more.
    """

    def keep(self, share: float) -> Samples:
        """The samples without the least certain ones, in their order.

        Args:
            share: in (0, 1], how many to keep; round(share * n_samples) of them.

        Raises:
            ValueError: if ``share`` is out of range, or the samples were drawn without
                ``uncertainty=True``.
            TypeError: for what is no number.
        """
        share = as_number("share", share)
        if not 0.0 < share <= 1.0:
            raise ValueError(f"share: got {share}, needed a number in (0, 1]")
        if self.score is None:
            raise ValueError("score: got none, needed samples drawn with uncertainty=True")
        by_score = np.argsort(self.score, kind="stable")  # NaN, where there is one, comes last
        kept = np.sort(by_score[: round(share * len(by_score))])

        def part(name: str) -> Any:
            array = getattr(self, name)
            if array is None:
                return None
            return array[:, kept] if name == "trajectory" else array[kept]

        return Samples(**{field.name: part(field.name) for field in fields(self)})


class DiffusionModel:
    """Generates rows like those it was fitted to (Ho, Jain & Abbeel, NeurIPS 2020).

    A network predicts the noise in x_t = sqrt(alpha_bar[t]) x_0 + sqrt(1 - alpha_bar[t]) noise from
    [x_t, time features of t]; alpha_bar[0] = 1 is clean data, and training draws t uniformly from
    1 .. n_steps - 1.

    Args:
        n_features: columns of the data.
        hidden: widths of the hidden layers.
        n_steps: timesteps, at least 2.
        schedule: "cosine" (Nichol & Dhariwal, 2021) or "linear".
        time_features: "cosine" (cos(k pi t/T) for k = 1..4 and t/T - 1/2), "scalar" (t/T) or
            "sinusoidal" (16 of them, as in transformers).
        activation: the layer after each hidden linear one; exact-moment ReLU by default.
        noise: observation noise of the noise to be predicted; std 1 by default, which weighs the
            data, and claims nothing. :class:`tagix.Heteroscedastic` infers what x_t and t leave
            open, ``tagix.Homoscedastic(learn=True)`` its mean over both: :meth:`predict` then
            gives it as ``aleatoric``.
        rule: as for :class:`tagix.nn.Sequential`.
        standardize: work on columns scaled to mean 0 and standard deviation 1, as measured in the
            first fit. x_0 above is then (data - shift) / scale, and :meth:`predict` works in
            these units, while :meth:`fit` takes rows and :meth:`sample` gives them in those of
            the data. :attr:`shift` and :attr:`scale` tell the two apart.
        seed: fixes weights, batches, noise and samples; equal seeds give equal bits.
        device: "cpu" or "cuda"; :meth:`to` changes it.
        precision: as for :class:`tagix.nn.Sequential`.

    Raises:
        ValueError, TypeError: with the argument's name, for what it cannot take.
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int] = (64, 64, 64, 64),
        n_steps: int = 40,
        schedule: str = "cosine",
        *,
        time_features: str = "cosine",
        activation: nn.Layer | None = None,
        noise: Homoscedastic | Heteroscedastic | None = None,
        rule: UpdateRule | None = None,
        standardize: bool = True,
        seed: int | None = None,
        device: str = "cpu",
        precision: str = "float32",
    ) -> None:
        n_features = as_count("n_features", n_features, least=1)
        n_steps = as_count("n_steps", n_steps, least=2)
        if isinstance(hidden, (str, bytes)) or not isinstance(hidden, Sequence):
            raise TypeError(f"hidden: got {hidden!r}, needed a sequence of widths")
        widths = [as_count("hidden", width, least=1) for width in hidden]
        if activation is not None and (
            not isinstance(activation, nn.Layer) or activation.in_features is not None
        ):
            raise TypeError(f"activation: got {activation!r}, needed an activation of tagix.nn")
        if noise is not None and not isinstance(noise, (Homoscedastic, Heteroscedastic)):
            raise TypeError(
                f"noise: got {noise!r}, needed tagix.Homoscedastic() or tagix.Heteroscedastic()"
            )
        self._noise = Homoscedastic(std=1.0) if noise is None else noise
        if isinstance(self._noise, Homoscedastic) and len(self._noise.std) not in (1, n_features):
            raise ValueError(
                f"noise: got {len(self._noise.std)} standard deviations, needed 1 or {n_features}"
            )
        self._settings: dict[str, Any] = {
            "n_features": n_features,
            "hidden": widths,
            "n_steps": n_steps,
            "schedule": schedule,
            "time_features": time_features,
            "standardize": as_flag("standardize", standardize),
        }
        process = _make_process(self._settings, device)
        self._placed_process = device, process
        self._activation = activation or nn.ReLU()
        layers: list[nn.Layer] = []
        features = process.network_inputs
        for width in widths:
            layers += [nn.Linear(features, width), self._activation]
            features = width
        layers.append(nn.Linear(features, n_features))
        infers_noise = isinstance(self._noise, Heteroscedastic) or self._noise.learn
        self.net = nn.Sequential(
            *layers,
            seed=resolve_seed(seed),
            device=device,
            rule=rule,
            noise=self._noise if infers_noise else None,
            precision=precision,
        )
        self._fitted = False
        self._sample_calls = 0
        self._counting_samples = threading.Lock()

    @property
    def _process(self) -> _core.DiffusionProcess:
        """Schedule and units, on the device of the network, which may have been moved by itself."""
        device, process = self._placed_process
        if device != self.net.device:
            device = self.net.device
            process = self._process_on(device)
            self._placed_process = device, process
        return process

    def _process_on(self, device: str) -> _core.DiffusionProcess:
        """A copy of the process on a device."""
        process = _make_process(self._settings, device)
        _, placed = self._placed_process
        process.set_standardization(placed.shift, placed.scale)
        return process

    @property
    def device(self) -> str:
        """Where the parameters are and the work is done."""
        return self.net.device

    def to(self, device: str) -> DiffusionModel:
        """Move the model to a device, in place; returns it.

        As :meth:`tagix.nn.Sequential.to`; units and the count of samples stay as they are, too.
        """
        return self._move(device)

    def cpu(self) -> DiffusionModel:
        """As ``to("cpu")``."""
        return self._move("cpu")

    def cuda(self) -> DiffusionModel:
        """As ``to("cuda")``."""
        return self._move("cuda")

    def _move(self, device: str) -> DiffusionModel:
        if device == self.device:
            return self
        process = self._process_on(device)  # raises for a device that is not there
        self.net._move(device, stacklevel=5)
        self._placed_process = device, process
        return self

    @property
    def n_features(self) -> int:
        """Columns of the data."""
        return self._process.n_features

    @property
    def n_steps(self) -> int:
        """Timesteps T; t runs from 0 (clean data) to T - 1."""
        return self._process.n_steps

    @property
    def alpha_bar(self) -> NDArray[np.float64]:
        """The share of the signal's variance left at each timestep, (n_steps,)."""
        return self._process.alpha_bar

    @property
    def shift(self) -> NDArray[np.float32]:
        """What is taken from each column of data before it is divided by ``scale``.

        (n_features,), a copy, in the units of the data: the means of the first fit's columns, 0
        before it and with standardize=False.
        """
        return np.asarray(self._process.shift, dtype=np.float32)

    @property
    def scale(self) -> NDArray[np.float32]:
        """What each column of data is divided by after ``shift`` has been taken from it.

        (n_features,), a copy, in the units of the data: the standard deviations of the first
        fit's columns (1 for a constant one), 1 before it and with standardize=False.
        """
        return np.asarray(self._process.scale, dtype=np.float32)

    @property
    def noise(self) -> Homoscedastic | Heteroscedastic:
        """Observation noise of the noise to be predicted."""
        return self._noise

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self._settings.items())
        return f"DiffusionModel({settings}, noise={self._noise!r}, rule={self.net.rule!r})"

    def fit(
        self,
        X: ArrayLike,
        *,
        n_epochs: int = 10,
        batch_size: int = 256,
        progress: bool = True,
        callback: FitCallback | None = None,
    ) -> History:
        """Train on rows of data, with new timesteps and noise each epoch.

        A later fit goes on from where this one ended, in the same units. KeyboardInterrupt ends a
        fit within an epoch, and the model keeps what it has learned; any other exception, those
        of the callback included, leaves the model as it was before the call, its units too.

        Args:
            X: rows of data, (rows, n_features), in any units.
            n_epochs: passes over the data.
            batch_size: rows of an update; the last one of an epoch may have fewer.
            progress: show a progress bar on stderr.
            callback: as in :meth:`tagix.nn.Sequential.fit`.

        Returns:
            Error, likelihood, predicted variance and time of each epoch; errors and variances are
            those of the noise, in standardized units.

        Raises:
            ValueError: for wrong shapes, NaN or infinity, counts below 1, and if predictions or
                updates overflow float32 on the way.
            TypeError: for something that is not an array of numbers, an integer, a bool, a
                function.
        """
        n_epochs = as_count("n_epochs", n_epochs, least=1)
        batch_size = as_count("batch_size", batch_size, least=1)
        progress = as_flag("progress", progress)
        check_callback(callback)
        refuse_gpu("fit", X=X)
        data = as_matrix("X", X)

        def begin_epoch(epoch: int) -> None:
            if self.net.noise is None:
                assert isinstance(self._noise, Homoscedastic)
                source.set_noise_var(self._noise.var(epoch))

        model, process = self.net._model, self._process
        units, fitted = (process.shift, process.scale), self._fitted

        def undo() -> None:
            process.set_standardization(*units)
            self._fitted = fitted

        with undone_on_error(model, undo):
            if self._settings["standardize"] and not fitted:
                process.standardize_by(data)
            source = _core.DiffusionSource(model, process, data)
            self._fitted = True
            return run_epochs(
                model,
                source,
                begin_epoch=begin_epoch,
                end_epoch=lambda history, epoch: None,
                n_epochs=n_epochs,
                batch_size=batch_size,
                shuffle=True,
                progress=progress,
                callback=callback,
            )

    def predict(self, x_t: ArrayLike, t: ArrayLike) -> Prediction:
        """Predict the noise in noisy rows.

        Args:
            x_t: noisy rows, (batch, n_features), in standardized units: made from data as
                x_0 = (data - shift) / scale.
            t: their timesteps, integers in [0, n_steps), (batch,).

        Returns:
            Mean and variance of the noise, each float32 (batch, n_features). Where the model
            infers the noise of the noise (:attr:`noise`), that counts, as ``aleatoric``.

        Raises:
            ValueError, TypeError: for wrong shapes, NaN, infinity or timesteps out of range.
        """
        noisy, timesteps = as_matrix("x_t", x_t), as_timesteps("t", t)
        return Prediction(*self._process.predict(self.net._model, noisy, timesteps))

    def draw(self, seed: int) -> DiffusionModel:
        """A model whose network is without uncertainty, as :meth:`tagix.nn.Sequential.draw`.

        Units, noise and the count of samples are those of this one.

        Raises:
            ValueError: if the seed is not in [0, 2**63).
            TypeError: for what is no integer.
        """
        net = self.net.draw(seed)
        drawn = DiffusionModel.__new__(DiffusionModel)
        drawn.__setstate__(self.__getstate__() | {"net": net})
        return drawn

    def sample(
        self,
        n_samples: int,
        *,
        trajectory: bool = False,
        seed: int | None = None,
        uncertainty: bool = False,
        ensemble: int | None = None,
    ) -> Samples:
        """Draw samples with the DDPM sampler (variance beta_t, no noise in the last step).

        With ``uncertainty`` each sample comes with two covariances, in the same pass:

            epistemic   S' = A S A^T + c2^2 W from S = 0 at the starting noise, over all steps
            aleatoric   (1 - alpha_bar) / alpha_bar (I - sqrt(1 - alpha_bar) J) at the last step

        with J the Jacobian and W the covariance of the predicted noise, A = c1 I - c2 J,
        c1 = 1 / sqrt(alpha) and c2 = (1 - alpha) / sqrt(alpha (1 - alpha_bar)). The first takes the
        weights of the network as drawn afresh in each step. The second is Tweedie's formula,
        symmetrised: how far the data near x are spread, as the network sees them; it is no
        covariance where the network is far off, and then may have negative variances.

        Args:
            n_samples: how many, from 0 on.
            trajectory: keep the whole chain of each.
            uncertainty: give ``epistemic``, ``aleatoric`` and ``score``, too, for up to three times
                the time. x is the same.
            ensemble: of how many drawn networks, at least 2, ``epistemic`` is to be the covariance:
                each keeps its weights for a whole chain, with the noise that x was made of. It
                takes about as many times the time, and implies ``uncertainty``.
            seed: fixes the noise. Without one, it follows from the model's seed and the number of
                calls without one so far; calls at a time in several threads differ, too.

        Returns:
            The samples in the units of the data, their variances and covariances in these units
            squared.

        Raises:
            ValueError: if ``n_samples`` is negative, the seed not in [0, 2**63) or ``ensemble``
                below 2.
            TypeError: for what is no integer or, in ``trajectory`` and ``uncertainty``, no bool.
        """
        count = as_count("n_samples", n_samples, least=0)
        trajectory = as_flag("trajectory", trajectory)
        n_draws = 0 if ensemble is None else as_count("ensemble", ensemble, least=2)
        uncertainty = as_flag("uncertainty", uncertainty) or n_draws > 0

        def draw(seed: int) -> Samples:
            return Samples(
                *self._process.sample(
                    self.net._model, count, seed, trajectory, uncertainty, n_draws
                )
            )

        if seed is not None:
            return draw(check_seed(seed))
        with self._counting_samples:
            # Claimed before the GIL is given up, so that no other thread gets the same number.
            self._sample_calls += 1
            call = self._sample_calls
        try:
            return draw(_core.derive_seed(self.net.seed, call))
        except BaseException:
            with self._counting_samples:
                if self._sample_calls == call:  # a failed call does not count
                    self._sample_calls -= 1
            raise

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write settings, network and units to a safetensors file; :func:`tagix.load` reads it.

        A file of that name is replaced when the new one is whole.

        Raises:
            ValueError: for a model with an :class:`tagix.nn.Activation`, whose functions no file
                holds.
            TypeError: for what is no path.
            OSError: if the file cannot be written; an old one is then as it was.
        """
        from tagix.io import save_diffusion

        save_diffusion(self, path)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_placed_process"], state["_counting_samples"]
        _, process = self._placed_process
        state["standardization"] = (process.shift, process.scale)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        shift, scale = state.pop("standardization")
        self.__dict__.update(state)
        self._counting_samples = threading.Lock()
        process = _make_process(self._settings, self.net.device)
        process.set_standardization(shift, scale)
        self._placed_process = self.net.device, process


def _make_process(settings: dict[str, Any], device: str) -> _core.DiffusionProcess:
    names = ("n_features", "n_steps", "schedule", "time_features")
    return _core.DiffusionProcess(**{name: settings[name] for name in names}, device=device)
