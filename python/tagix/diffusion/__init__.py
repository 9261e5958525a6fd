"""Denoising diffusion with a Bayesian network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix import nn, schedules
from tagix._arrays import as_choice, as_count, as_flag
from tagix._classes import MOST_CLASSES, ClassFeatures
from tagix._core import Heteroscedastic, Homoscedastic, UpdateRule
from tagix._training import FitCallback, History
from tagix.diffusion import _fitting, _likelihood, _predicting, _sampling
from tagix.diffusion._defaults import (
    default_batch_size,
    default_epochs,
    default_hidden,
    default_sampler,
)
from tagix.diffusion._parts import Parts
from tagix.diffusion._settings import (
    MOST_STEPS,
    as_noise,
    as_widths,
    check_activation,
    network_layers,
)
from tagix.gaussian import Prediction
from tagix.io import save_model
from tagix.samplers import Sampler
from tagix.samples import Samples
from tagix.schedules import Schedule

__all__ = [
    "MOST_STEPS",
    "DiffusionModel",
    "Samples",
    "default_batch_size",
    "default_epochs",
    "default_hidden",
    "default_sampler",
    "network_layers",
]


class DiffusionModel(Parts):
    """Generates rows like those it was fitted to (Ho, Jain & Abbeel, NeurIPS 2020).

    A network predicts F in x_t = sqrt(alpha_bar[t]) x_0 + sqrt(1 - alpha_bar[t]) noise from
    [x_t, time features of t, class features]; alpha_bar[0] = 1 is clean data, and training draws t
    uniformly from 1 .. n_steps - 1.

    Args:
        n_features: columns of the data.
        hidden: widths of the hidden layers; None: (64, 64, 64, 64) for up to 3 columns, (128, 128)
            for more.
        n_steps: timesteps, 2 to 100 000.
        schedule: "cosine" (Nichol & Dhariwal, 2021), "linear", "sigmoid" or "edm", or one of
            :mod:`tagix.schedules` with arguments of its own.
        prediction_type: what F is: "v_prediction", sqrt(alpha_bar[t]) noise
            - sqrt(1 - alpha_bar[t]) x_0 (Salimans & Ho, 2022); "epsilon", the noise; or "sample",
            x_0. Where x_t is nearly all noise, an error of a predicted noise counts sigma times
            in x_0, 26 times at the end of the default schedule: of tables, samples then run away.
        time_features: "cosine" (cos(k pi t/T) for k = 1..4 and t/T - 1/2), "scalar" (t/T),
            "sinusoidal" (16 of them, as in transformers) or "log_sigma" (ln(sigma) / 4, as in EDM).
        n_classes: of the rows' labels, which :meth:`fit` then takes, at most 16384; None: they have
            none.
        class_features: what the network sees of a class: "one_hot", "sinusoidal" (8 of its number)
            or "embedding", a vector learned for each class (:class:`tagix.nn.ClassEmbedding`).
        embedding_dim: length of that vector.
        activation: the layer after each hidden linear one; exact-moment ReLU by default.
        noise: observation noise of F; std 1 by default, which weighs the data, and claims nothing.
            :class:`tagix.Heteroscedastic` infers what x_t and t leave open,
            ``tagix.Homoscedastic(learn=True)`` its mean over both: :meth:`predict` then gives it
            as ``aleatoric``.
        rule: as for :class:`tagix.nn.Sequential`.
        standardize: work on columns scaled to mean 0 and standard deviation 1, as measured in the
            first fit. x_0 above is then (data - shift) / scale, and :meth:`predict` works in
            these units, while :meth:`fit` takes rows and :meth:`sample` gives them in those of
            the data. :attr:`shift` and :attr:`scale` tell the two apart.
        seed: fixes weights, batches, noise and samples; equal seeds give equal bits.
        device: "cpu" or "cuda"; :meth:`to` changes it.
        precision: as for :class:`tagix.nn.Sequential`.

    Raises:
        ValueError, TypeError: for an argument out of range, or of another type; the message begins
            with its name.
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int] | None = None,
        n_steps: int = 40,
        schedule: str | Schedule = "cosine",
        *,
        prediction_type: str = "v_prediction",
        time_features: str = "cosine",
        n_classes: int | None = None,
        class_features: str = "one_hot",
        embedding_dim: int = 8,
        activation: nn.Layer | None = None,
        noise: Homoscedastic | Heteroscedastic | None = None,
        rule: UpdateRule | None = None,
        standardize: bool = True,
        seed: int | None = None,
        device: str = "cpu",
        precision: str = "float32",
    ) -> None:
        n_features = as_count("n_features", n_features, least=1)
        n_steps = as_count("n_steps", n_steps, least=2, most=MOST_STEPS)
        widths = as_widths(hidden, n_features)
        check_activation(activation)
        self._noise = as_noise(noise, n_features)
        schedules.check_prediction_type(prediction_type)
        self._settings = {
            "n_features": n_features,
            "hidden": widths,
            "n_steps": n_steps,
            "schedule": schedules.resolve(schedule),
            "prediction_type": prediction_type,
            "time_features": time_features,
            "n_classes": None
            if n_classes is None
            else as_count("n_classes", n_classes, least=1, most=MOST_CLASSES),
            "class_features": as_choice("class_features", class_features, get_args(ClassFeatures)),
            "embedding_dim": as_count("embedding_dim", embedding_dim, least=1),
            "standardize": as_flag("standardize", standardize),
        }
        self._activation = activation or nn.ReLU()
        self._set_up(seed=seed, device=device, rule=rule, precision=precision)

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

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self._settings.items())
        return f"DiffusionModel({settings}, noise={self._noise!r}, rule={self.net.rule!r})"

    def fit(
        self,
        X: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        p_uncond: float = 0.2,
        n_epochs: int | None = None,
        batch_size: int | None = None,
        progress: bool = True,
        callback: FitCallback | None = None,
    ) -> History:
        """Train on rows of data, with new timesteps and noise each epoch.

        How good samples are goes by how many noisy rows have been seen, whatever the size of the
        batches. So the default is a budget of updates, or as many epochs as that takes.

        A column that is constant comes back as that constant, and one row as that row. Integers
        come back as numbers near them.

        A later fit goes on from where this one ended, in the same units. KeyboardInterrupt ends a
        fit within an epoch, and the model keeps what it has learned; any other exception, those
        of the callback included, leaves the model as it was before the call, its units too.

        Args:
            X: rows of data, (rows, n_features), in any units.
            labels: of a model with ``n_classes``: the class of each row, integers (rows,) in
                [0, n_classes), or -1 where it is unknown.
            p_uncond: probability with which a row is learned without its label, in [0, 1], each
                epoch anew; what is learned so serves samples without a label, and guidance.
            n_epochs: passes over the data; None: as many as 10 000 updates of 64 rows take (3 334
                for 150 rows, 127 for 5 000), and at least 10.
            batch_size: rows of an update; the last one of an epoch may have fewer. None: 64 for
                less than 20 000 rows, else 256.
            progress: show a progress bar on stderr.
            callback: as in :meth:`tagix.nn.Sequential.fit`.

        Returns:
            Error, likelihood, predicted variance and time of each epoch; errors and variances are
            those of F, in standardized units.

        Raises:
            ValueError: for wrong shapes, NaN or infinity, counts below 1, and if predictions or
                updates overflow float32 on the way.
            TypeError: for something that is not an array of numbers, an integer, a bool, a
                function.

        Warns:
            UserWarning: in a first fit of fewer than 5 rows for each column that varies.
        """
        return _fitting.fit(
            self,
            X,
            labels,
            p_uncond=p_uncond,
            n_epochs=n_epochs,
            batch_size=batch_size,
            progress=progress,
            callback=callback,
        )

    def predict(self, x_t: ArrayLike, t: ArrayLike, labels: ArrayLike | None = None) -> Prediction:
        """Predict F in noisy rows: with prediction_type "epsilon", the noise in them.

        Args:
            x_t: noisy rows, (batch, n_features), in standardized units: made from data as
                x_0 = (data - shift) / scale.
            t: their timesteps, (batch,), 0 or in [1, n_steps - 1], whole or not.
            labels: their classes, integers (batch,) or one for all, -1 for none; None: none has
                one.

        Returns:
            Mean and variance of F, each float32 (batch, n_features). Where the model infers the
            noise of F (:attr:`noise`), that counts, as ``aleatoric``.

        Raises:
            ValueError, TypeError: for wrong shapes, NaN, infinity, timesteps or classes out of
                range.
        """
        return _predicting.predict(self, x_t, t, labels)

    def log_prob(
        self, X: ArrayLike, labels: ArrayLike | None = None, *, n_steps: int = 64
    ) -> NDArray[np.float64]:
        """ln p(X) by the probability-flow ODE, of the mean prediction.

        p is the density of the data smoothed by the noise of t = 1; the divergence along the flow
        is exact, by the Jacobian of the network (:func:`tagix.likelihood.log_prob`, which has the
        equations and their error). It integrates to 1 over the data's units.

        The mean absolute difference between log_prob and ln p of the data, at held-out rows, was
        0.01 to 0.03 nats for one Gaussian in the plane and 0.11 to 0.14 for two that overlap, of
        models with default settings fitted to 2 000 rows. With prediction_type "epsilon" or
        "sample" it was 0.24 to 0.32 for both: an error of the noise counts sigma times as much in
        x_0, and "sample" errs most at little noise. A constant column counts as one that holds the
        noise of t = 1, of standard deviation sigma.

        Args:
            X: rows, (rows, n_features), in the units of the data.
            labels: condition on classes, as in :meth:`predict`.
            n_steps: steps of the solver, of four calls of the network each.

        Returns:
            float64 (rows,), natural logarithms.

        Raises:
            ValueError, TypeError: for wrong shapes, NaN, infinity, labels or counts out of range.
            RuntimeError: for a model that has not been fitted.
        """
        return _likelihood.log_prob(self, X, labels, n_steps=n_steps)

    def predict_proba(
        self,
        X: ArrayLike,
        *,
        n_draws: int = 8,
        class_shares: ArrayLike | None = None,
        seed: int = 0,
    ) -> NDArray[np.float64]:
        """The probability of each class, by how well a row is denoised as one of that class.

            p(c | x) ~ share_c p(x | c),   ln p(x | c) = const - 1/2 int E |x - x_hat_c|^2 d SNR

        (Kong, Brekelmans & Ver Steeg, ICLR 2023), where x_hat_c is the network's estimate of x from
        x_t, and its variance adds to the squared error. The integral is over the noise levels of
        training; beyond them, at less noise, the data of a class are taken to be smooth.

        On two Gaussians of which the exact probabilities tell 93 % apart, those of networks of two
        layers of 32 were off by 0.01 to 0.02 on average with "epsilon" and "v_prediction", by 0.05
        to 0.1 with "sample", whose errors at little noise weigh most here.

        Args:
            X: rows, (rows, n_features), in the units of the data.
            n_draws: noises for each row and timestep, the same for all classes; best an even
                number of them, as every other one is the one before with the opposite sign.
            class_shares: probabilities of the classes before x is seen, (n_classes,), which need
                not add up to 1; None: those of the latest fit (:attr:`class_shares`), or equal ones
                where it had no labels.
            seed: fixes the noise.

        Returns:
            float64 (rows, n_classes), each row adding up to 1.

        Raises:
            ValueError, TypeError: for a model without classes, wrong shapes, NaN, infinity,
                negative shares, a seed or a count out of range.
            RuntimeError: for a model that has not been fitted.
        """
        return _likelihood.predict_proba(
            self, X, n_draws=n_draws, class_shares=class_shares, seed=seed
        )

    def draw(self, seed: int) -> DiffusionModel:
        """A model whose network is without uncertainty, as :meth:`tagix.nn.Sequential.draw`.

        Units, noise and the count of samples are those of this one.

        Raises:
            ValueError: if the seed is not in [0, 2**63).
            TypeError: for anything but an integer.
        """
        net = self.net.draw(seed)
        drawn = DiffusionModel.__new__(DiffusionModel)
        drawn.__setstate__(self.__getstate__() | {"net": net})
        return drawn

    def sample(
        self,
        n_samples: int,
        *,
        label: ArrayLike | None = None,
        guidance: float | None = None,
        guidance_convention: str = "scale",
        sampler: Sampler | None = None,
        trajectory: bool = False,
        seed: int | None = None,
        uncertainty: bool = False,
        ensemble: int | None = None,
    ) -> Samples:
        """Draw samples, of up to 3 columns with the DDPM sampler over all timesteps.

        Of tables of many columns that go together, DDPM in so few steps makes samples too narrow
        (of scikit-learn's wine data, standard deviations by 13 % at most, of breast cancer by 28).
        More than 3 columns are drawn by DPM-Solver++ in 20 steps, with 7 and 16, in half the time;
        but with ``uncertainty`` or an ``ensemble``, which it does not have, by DDPM.

        With a ``label``, and with ``guidance`` w, the prediction is combined from that with the
        label, F_c, and that without, F_u; their variances add as if they were independent:

            "scale"   F_u + w (F_c - F_u)    w = 1 is without guidance  (Saharia et al., 2022, and
                                             the diffusers library)
            "weight"  (1 + w) F_c - w F_u    w = 0 is without guidance  (Ho & Salimans, 2022)

        With ``uncertainty`` each sample comes with two covariances, in the same pass:

            epistemic   S' = A S A^T + c^2 W from S = 0 at the starting noise, over all steps
            aleatoric   (1 - alpha_bar) / alpha_bar (I - sqrt(1 - alpha_bar) d eps / dx_t)
                        at the last step

        with W the covariance of F, and x' = ... + c F and A = dx'/dx in a step of the sampler. The
        first takes the weights of the network as drawn afresh in each step. The second is Tweedie's
        formula, symmetrised: how far the data near x are spread, as the network sees them; where
        the network is far off, it is not a covariance, and may have negative variances.

        Args:
            n_samples: how many, from 0 on.
            label: the class to draw, an integer for all or (n_samples,) of them, -1 for none;
                None: rows of any class.
            guidance: how much to sharpen towards the label; None: not at all.
            guidance_convention: what its number means, "scale" or "weight".
            sampler: one of :mod:`tagix.samplers`; None is ``DDPM()`` up to 3 columns and with
                ``uncertainty``, else ``DPMSolverMultistep(20)``.
            trajectory: keep the whole chain of each.
            uncertainty: give ``epistemic``, ``aleatoric`` and ``score``, too, for up to three times
                the time. x is the same as without, by the same sampler. Not for samplers whose
                steps use more than one prediction.
            ensemble: of how many drawn networks, at least 2, ``epistemic`` is to be the covariance:
                each keeps its weights for a whole chain, with the noise that x was made of. It
                takes about as many times the time, and implies ``uncertainty``.
            seed: fixes the noise. Without one, it follows from the model's seed and the number of
                calls without one so far; calls at a time in several threads differ, too.

        Returns:
            The samples in the units of the data, their variances and covariances in these units
            squared.

        Raises:
            ValueError: if ``n_samples`` is negative, the seed not in [0, 2**63), ``ensemble``
                below 2, a label out of range or given to a model without classes, guidance given
                without a label, or uncertainty asked of a sampler that has none.
            TypeError: for a number that is not an integer, and a ``trajectory`` or ``uncertainty``
                that is not a bool.
            RuntimeError: for a model that has not been fitted.
        """
        return _sampling.sample(
            self,
            n_samples,
            label=label,
            guidance=guidance,
            guidance_convention=guidance_convention,
            sampler=sampler,
            trajectory=trajectory,
            seed=seed,
            uncertainty=uncertainty,
            ensemble=ensemble,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write settings, network and units to a safetensors file; :func:`tagix.load` reads it.

        A file of that name is replaced when the new one is whole, and on the disk; of a symbolic
        link, the file that it points to.

        Raises:
            ValueError: for a model with an :class:`tagix.nn.Activation`, whose functions no file
                holds.
            TypeError: for anything but a path.
            OSError: if the file cannot be written; an old one is then as it was.
        """
        save_model(self, path)
