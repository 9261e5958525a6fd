"""Layers and the network that they make up.

A layer describes its shapes and priors; a :class:`Sequential` owns the parameters. Names follow
torch.nn.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix import _core
from tagix._arrays import (
    SupportsDLPack,
    as_count,
    as_flag,
    as_float32,
    as_matrix,
    as_targets,
    is_on_gpu,
    like,
    refuse_gpu,
)
from tagix._classes import UNKNOWN, as_labels
from tagix._core import (
    GELU,
    Activation,
    ClassEmbedding,
    Exp,
    Forgetting,
    Hardtanh,
    Heteroscedastic,
    HierarchicalSoftmax,
    Homoscedastic,
    Identity,
    Layer,
    LeakyReLU,
    Linear,
    OneVsRest,
    ReLU,
    Remax,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    UpdateRule,
)
from tagix._input_inference import InputPosterior, infer_inputs
from tagix._seeds import check_seed, resolve_seed
from tagix._training import (
    FitCallback,
    History,
    check_callback,
    log_drifts,
    run_epochs,
    undone_on_error,
)
from tagix._variance_attribution import VarianceAttribution, attribute_variance
from tagix._weights import as_weights, for_core, without_targets
from tagix.gaussian import Gaussian, Prediction

__all__ = [
    "GELU",
    "Activation",
    "ClassEmbedding",
    "Exp",
    "Hardtanh",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Linear",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
]

_log = logging.getLogger("tagix.nn")

T = TypeVar("T")
NoiseModel: TypeAlias = "Homoscedastic | Heteroscedastic"
Noise: TypeAlias = "Homoscedastic | ArrayLike"
Likelihood: TypeAlias = "HierarchicalSoftmax | OneVsRest | Remax | Softmax"


class Sequential:
    """A network of layers, one after the other, with a Gaussian for every weight and bias.

    Args:
        *layers: layers and other Sequentials. A Sequential inside another gives its architecture;
            the outer one has parameters of its own for it.
        seed: fixes the initial means and the order of batches; equal seeds give equal bits.
            Without one, the next of :func:`tagix.manual_seed`.
        device: where the parameters are and the work is done, "cpu" or "cuda"; :meth:`to` changes
            it.
        rule: how observations change the parameters, :func:`tagix.Information` (the default) or
            :func:`tagix.Capped`.
        noise: the noise of targets, which the network then knows: its predictions count it, and
            :meth:`fit` and :meth:`update` need none. :class:`tagix.Heteroscedastic` and
            ``tagix.Homoscedastic(learn=True)`` are inferred beside the values, for which the last
            layer, an :class:`Linear`, gets a second output for each; ``Homoscedastic(std)`` is
            known. None leaves it to each call.
        likelihood: what makes the network one of classes, :class:`tagix.Softmax`,
            :class:`tagix.HierarchicalSoftmax`, :class:`tagix.OneVsRest` or :class:`tagix.Remax`:
            targets are then labels, and
            :meth:`predict_proba` gives probabilities. The last layer has ``likelihood.n_outputs``
            outputs, and there is no noise.
        forgetting: what the network forgets after each update, :func:`tagix.Forgetting`; nothing
            by default.
        precision: what matrix products round their factors to, for speed: "float32" (nothing),
            "mixed" (bfloat16 for variances, means stay as they are) or "bfloat16". Parameters,
            activations and sums are float32 in any case, and batches of up to 8 rows are not
            rounded unless the network has an :class:`Activation`; on device "cuda", products that
            are too small for tensor cores are not. A processor or a GPU without products of
            bfloat16 runs float32 instead, with a RuntimeWarning.

    Raises:
        TypeError: for something that is not a layer, a rule, a noise model, a likelihood, a
            Forgetting, an integer seed, or the name of a device or a precision.
        ValueError: if there is no layer, a layer does not fit the one before it or the likelihood,
            there is both noise and a likelihood, a likelihood with a Forgetting that tests for
            drift, noise is to be inferred where the last layer is not a :class:`Linear`, a
            :class:`ClassEmbedding` is to forget, the seed is not in [0, 2**63), or the device or
            the precision is not there; says why not.
    """

    def __init__(
        self,
        *layers: Layer | Sequential,
        seed: int | None = None,
        device: str = "cpu",
        rule: UpdateRule | None = None,
        noise: NoiseModel | None = None,
        likelihood: Likelihood | None = None,
        forgetting: Forgetting | None = None,
        precision: str = "float32",
    ) -> None:
        for position, layer in enumerate(layers):
            if not isinstance(layer, (Layer, Sequential)):
                raise TypeError(
                    f"layers: got {layer!r} at position {position}, needed a layer of tagix.nn"
                )
            if isinstance(layer, Sequential) and (
                (layer.noise or layer.likelihood or layer.forgetting) is not None
            ):
                raise ValueError(
                    "layers: got a Sequential with noise, a likelihood or forgetting at position "
                    f"{position}, needed them on the outer network, which has the parameters"
                )
        if rule is not None and not isinstance(rule, UpdateRule):
            raise TypeError(f"rule: got {rule!r}, needed tagix.Information() or tagix.Capped()")
        self._layers = layers
        if noise is not None and not isinstance(noise, (Homoscedastic, Heteroscedastic)):
            raise TypeError(
                f"noise: got {noise!r}, needed tagix.Homoscedastic() or tagix.Heteroscedastic()"
            )
        if forgetting is not None and not isinstance(forgetting, Forgetting):
            raise TypeError(f"forgetting: got {forgetting!r}, needed tagix.Forgetting()")
        if likelihood is not None and not isinstance(
            likelihood, (HierarchicalSoftmax, OneVsRest, Remax, Softmax)
        ):
            raise TypeError(
                f"likelihood: got {likelihood!r}, needed tagix.Softmax(), "
                "tagix.HierarchicalSoftmax(), tagix.OneVsRest() or tagix.Remax()"
            )
        if likelihood is not None and noise is not None:
            raise ValueError(
                f"noise: got {noise!r}, needed None: with likelihood={likelihood!r} targets are "
                "labels, which have no noise"
            )
        self._container: _core.Container = _core.Container(
            [layer._container if isinstance(layer, Sequential) else layer for layer in layers]
        )
        self._container.check_noise(noise)
        self._noise, self._likelihood, self._forgetting = noise, likelihood, forgetting
        self._seed = resolve_seed(seed)
        _core.backend_name(device)  # raises for a device that is not there
        self._device = device
        self._wanted_precision = precision
        self._precision = _available_precision(precision, device)
        self._rule = _core.Information() if rule is None else rule
        self._made_model: _core.Model | None = None
        self._making_model = threading.Lock()
        self._training = True
        if forgetting is not None or likelihood is not None:
            _ = self._model  # raises for layers that have constants, or other outputs

    @property
    def _model(self) -> _core.Model:
        """The core's network, made at the first use: a nested Sequential never needs one."""
        if self._made_model is None:
            with self._making_model:  # of two threads at their first use, one makes it
                if self._made_model is None:
                    self._made_model = _core.Model(
                        self._container,
                        self._rule,
                        self._seed,
                        self._device,
                        self._precision,
                        self._noise,
                        self._forgetting,
                        self._likelihood,
                    )
                    if _log.isEnabledFor(logging.DEBUG):
                        backend = _core.backend_name(self._device, self._precision)
                        _log.debug("a network of %d layers on %s", len(self._layers), backend)
        return self._made_model

    @property
    def layers(self) -> tuple[Layer | Sequential, ...]:
        """The layers as they were given."""
        return self._layers

    @property
    def seed(self) -> int:
        """The seed of the initial means and of the order of batches."""
        return self._seed

    @property
    def rule(self) -> UpdateRule:
        """How observations change the parameters."""
        return self._rule

    @property
    def noise(self) -> NoiseModel | None:
        """The noise of targets as it was given; None where each call says."""
        return self._noise

    @property
    def likelihood(self) -> Likelihood | None:
        """What the outputs say of classes; None for a network of numbers."""
        return self._likelihood

    @property
    def forgetting(self) -> Forgetting | None:
        """What the network forgets after each update."""
        return self._forgetting

    @property
    def n_drifts(self) -> int:
        """How often the test of :attr:`forgetting` has found that the data have changed."""
        return self._model.drift[-1]

    @property
    def _infers_noise(self) -> bool:
        return isinstance(self._noise, Heteroscedastic) or (
            self._noise is not None and self._noise.learn
        )

    @property
    def _takes_no_noise_var(self) -> bool:
        return self._infers_noise or self._likelihood is not None

    @property
    def device(self) -> str:
        """Where the parameters are and the work is done."""
        return self._device

    def to(self, device: str) -> Sequential:
        """Move the network to a device, in place; returns it.

        Parameters, seed, rule, :attr:`epochs_trained` and :attr:`training` stay as they are, and
        so does the precision wanted when the network was made, where the device has it. What
        :meth:`named_parameters` gave before shows the parameters as they were. To be called while
        nothing else uses the network, neither another thread nor a fit whose callback this is.

        Args:
            device: "cpu" or "cuda".

        Raises:
            ValueError: for a device that is not there, with the reason. The network is then where
                it was, as after any other exception.
            TypeError: for anything but a string.
        """
        return self._move(device)

    def cpu(self) -> Sequential:
        """As ``to("cpu")``."""
        return self._move("cpu")

    def cuda(self) -> Sequential:
        """As ``to("cuda")``."""
        return self._move("cuda")

    def _move(self, device: str, stacklevel: int = 4) -> Sequential:
        _core.backend_name(device)  # raises for a device that is not there
        if device == self._device:
            return self
        precision = _available_precision(self._wanted_precision, device, stacklevel)
        with self._making_model:
            if self._made_model is not None:
                self._made_model = self._made_model.copy_to(device, precision)
            self._device, self._precision = device, precision
        return self

    @property
    def precision(self) -> str:
        """What matrix products round their factors to: "float32", "mixed" or "bfloat16"."""
        return self._precision

    @property
    def epochs_trained(self) -> int:
        """Epochs of ``fit`` so far; noise schedules go by it."""
        return self._model.epochs_trained

    @property
    def training(self) -> bool:
        """Whether layers that tell training from evaluation are training; none does so far."""
        return self._training

    def train(self, mode: bool = True) -> Sequential:
        """Set :attr:`training`; returns the network. TypeError unless ``mode`` is a bool."""
        self._training = as_flag("mode", mode)
        return self

    def eval(self) -> Sequential:
        """As ``train(False)``."""
        return self.train(False)

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, index: int) -> Layer | Sequential:
        return self._layers[index]

    def __iter__(self) -> Iterator[Layer | Sequential]:
        return iter(self._layers)

    def __repr__(self) -> str:
        lines = [
            f"  ({i}): {layer!r}".replace("\n", "\n  ") for i, layer in enumerate(self._layers)
        ]
        return "Sequential(\n" + "\n".join(lines) + "\n)"

    def __call__(
        self, x: ArrayLike | SupportsDLPack, x_var: ArrayLike | SupportsDLPack | None = None
    ) -> Prediction:
        """Predict targets, as far as the network knows their noise.

        Args:
            x: inputs, (batch, features).
            x_var: variances of the inputs, same shape; None means that they are known exactly.

        A network on device "cuda" takes float32 arrays on the GPU without a copy, from any library
        with DLPack, and then gives such: those of PyTorch and CuPy for theirs, else
        :class:`tagix.cuda.Array`. It waits for what the library has queued, and what it returns is
        complete.

        Returns:
            Mean and variance, each float32 (batch, outputs), with the parts of the variance:
            ``epistemic``, of the mean, and ``aleatoric``, of the noise that the network knows
            (:attr:`noise`); without, ``var`` is the variance of the mean. With a
            :attr:`likelihood` these are its outputs, and :meth:`predict_proba` has the classes.

        Raises:
            ValueError: for wrong shapes, NaN, infinity or negative variances, if the function of an
                :class:`Activation` gives NaN or infinity, and for an array on the GPU that is not
                C-contiguous.
            TypeError: for something that is not an array of numbers, for one on the GPU that is not
                of float32, and where the network is on the CPU.
        """
        noise_var = self._known_noise_var()
        if is_on_gpu("x", x, self._device):
            on_gpu = self._model.predict_on_device(
                _core.CudaArgument("x", x), self._optional_argument("x_var", x_var), noise_var
            )
            return self._prediction(on_gpu, x)
        return self._prediction(
            self._model.predict(as_matrix("x", x), _optional_matrix("x_var", x_var), noise_var)
        )

    def _prediction(self, arrays: tuple[Any, Any, Any, Any], x: Any = None) -> Prediction:
        """What the core predicts, as arrays like ``x``, if that is on the GPU."""
        mean, var, noise_var, total_var = (
            array if x is None or array is None else like(x, array) for array in arrays
        )
        if self._noise is None:  # what a call says of the noise is not the network's knowledge
            return Prediction(mean, var)
        return Prediction(mean, var, noise_var, total_var)

    def _known_noise_var(self) -> NDArray[np.float32] | None:
        """The noise variances that the network was told: one, or one for each output."""
        if self._noise is None or self._infers_noise:
            return None
        assert isinstance(self._noise, Homoscedastic)
        return np.asarray(self._noise.var(self.epochs_trained), dtype=np.float32)

    def predict_proba(self, x: ArrayLike, x_var: ArrayLike | None = None) -> NDArray[np.float32]:
        """The probabilities of classes, by a network with a :attr:`likelihood`.

        What the network does not know is in them: they are expected over its outputs, whose
        variances draw them together.

        Args:
            x: inputs, (batch, features), on the CPU.
            x_var: variances of the inputs, same shape; None means that they are known exactly.

        Returns:
            (batch, n_classes), each row of which sums to 1.

        Raises:
            ValueError, TypeError: as calling the network, for an array on the GPU, and for a
                network without a likelihood.
        """
        if self._likelihood is None:
            raise ValueError(
                "predict_proba: got a network without a likelihood, needed one made with "
                "likelihood=tagix.Softmax(n_classes) or another"
            )
        refuse_gpu("predict_proba", x=x, x_var=x_var)
        return self._model.predict_proba(as_matrix("x", x), _optional_matrix("x_var", x_var))

    def _targets(
        self, name: str, y: Any, n_rows: int, n_features: int
    ) -> tuple[NDArray[np.float32], tuple[int, ...]]:
        """Targets as the core takes them (classes as numbers or NaN), and their shape as given."""
        if self._likelihood is None:
            return as_targets(name, y, self._model.out_features(n_features))
        refuse_gpu("a network of classes", **{name: y})
        labels = as_labels(name, y, n_rows, self._likelihood.n_classes)
        targets = np.where(labels == UNKNOWN, np.float32("nan"), labels.astype(np.float32))
        return targets[:, np.newaxis], labels.shape

    def jacobian(self, x: ArrayLike, x_var: ArrayLike | None = None) -> NDArray[np.float32]:
        """How the means of the outputs follow the inputs, d mean[b, o] / d x[b, i].

        The derivative of what calling the network gives, in closed form and not by differences:
        means and variances of all layers move with x, and the variances move the means of the
        layers above them.

        Args:
            x: inputs, (batch, features), on the CPU.
            x_var: variances of the inputs, same shape, which stay as they are.

        Returns:
            (batch, outputs, features).

        Raises:
            ValueError, TypeError: as calling the network, and for an array on the GPU.

        An :class:`Activation` with first-order moments knows no second derivative: that its
        variance follows its mean is left out, which matters where an activation with exact moments
        lies above it.
        """
        refuse_gpu("jacobian", x=x, x_var=x_var)
        return self._model.jacobian(as_matrix("x", x), _optional_matrix("x_var", x_var))

    def covariance(self, x: ArrayLike, x_var: ArrayLike | None = None) -> NDArray[np.float32]:
        """How the outputs vary together, observation noise left out.

            Cov(z_i, z_j) = sum_k W_mean[i, k] W_mean[j, k] a_var[k]

        for the last :class:`Linear`, whose inputs count as independent, as everywhere in TAGI; an
        activation above it multiplies by the slopes of both. On the diagonal are the variances that
        calling the network gives.

        Args:
            x: inputs, (batch, features), on the CPU.
            x_var: variances of the inputs, same shape; None means that they are known exactly.

        Returns:
            (batch, outputs, outputs).

        Raises:
            ValueError, TypeError: as calling the network, and for an array on the GPU.
        """
        refuse_gpu("covariance", x=x, x_var=x_var)
        return self._model.covariance(as_matrix("x", x), _optional_matrix("x_var", x_var))

    def infer_inputs(
        self,
        y: ArrayLike,
        prior: tuple[ArrayLike, ArrayLike],
        noise: Noise | None = None,
        *,
        start: ArrayLike | None = None,
        n_iterations: int = 50,
        tolerance: float = 0.01,
    ) -> InputPosterior:
        """The posterior of inputs that give wanted outputs, by iterated linearization.

        p(x | y) is proportional to p(x) N(y; mean(x), covariance(x) + noise): what the network does
        not know about an input makes it less likely, as noise does. Near a most probable x it is
        taken for a Gaussian. A network may give the same outputs at many inputs: which of the modes
        is found depends on where the search starts.

        Args:
            y: wanted outputs, (rows, outputs), or (rows,) for one output; NaN where anything will
                do.
            prior: a :class:`tagix.Gaussian`, or (mean, var), of the inputs: each (rows, features)
                or (features,). A variance of 0 is an input that is known.
            noise: as for :meth:`update`: how far from y an output may be; none for a network that
                knows its noise.
            start: where the search begins, as the prior's mean, which is the default.
            n_iterations: steps at most.
            tolerance: the length of a step, in posterior standard deviations, at which to end.

        Returns:
            Mean, full covariance, log evidence and whether the search ended by its tolerance, each
            by row.

        Raises:
            ValueError: for wrong shapes, NaN, infinity or negative variances in the prior, infinite
                y, a count below 1, a tolerance that is not above 0, noise as for
                :meth:`update`, and a network with a :attr:`likelihood`.
            TypeError: for an array that is not of numbers or is on the GPU, and noise as for
                :meth:`update`.
        """
        return infer_inputs(self, y, prior, noise, start, n_iterations, tolerance)

    def attribute_variance(
        self,
        x: ArrayLike,
        x_var: ArrayLike | None = None,
        *,
        n_orders: int | None = None,
        seed: int = 0,
    ) -> VarianceAttribution:
        """What a predictive variance comes from: input features, layers, noise.

        The share of a source is what it adds to the variance as sources are switched on one after
        the other, the rest taken at their means, on average over orders in which to do it. So the
        shares add up to the variance that calling the network gives. Noise is as predicted.

        Args:
            x: inputs, (batch, features).
            x_var: variances of the inputs, same shape; None means that they are known exactly.
            n_orders: how many random orders to average over, each a prediction for every source;
                None takes all orders of up to 8 sources, by 2^n predictions, and 16 of more.
            seed: fixes the random orders.

        Raises:
            ValueError, TypeError: as calling the network; for arrays on the GPU; for an n_orders
                below 1 and a seed outside [0, 2**63), and for either if it is not an integer.
        """
        return attribute_variance(self, x, x_var, n_orders, seed)

    def draw(self, seed: int) -> Sequential:
        """A network without uncertainty, its weights drawn from what this one believes of them.

        Means are drawn from N(mean, var) of each parameter, variances are 0, and so is what is
        epistemic of its predictions. How predictions vary from draw to draw is what a variance
        stands for: a check of any of them by Monte Carlo, and an ensemble.

        Args:
            seed: fixes the numbers; equal seeds give equal bits.

        Returns:
            A new network of the same layers, seed, rule, noise, device, precision and epochs.

        Raises:
            ValueError: if the seed is not in [0, 2**63).
            TypeError: for anything but an integer.
        """
        return self._with_model(self._model.draw(check_seed(seed)))

    def _with_model(self, model: _core.Model) -> Sequential:
        """A new network as this one, with the parameters and counts of a model made of its own."""
        other = Sequential(
            *self._layers,
            seed=self._seed,
            device=self._device,
            rule=self._rule,
            noise=self._noise,
            likelihood=self._likelihood,
            forgetting=self._forgetting,
        )
        other._wanted_precision, other._precision = self._wanted_precision, self._precision
        other._training = self._training
        other._made_model = model
        return other

    def update(
        self,
        x: ArrayLike | SupportsDLPack,
        y: ArrayLike | SupportsDLPack,
        noise: Noise | SupportsDLPack | None = None,
        x_var: ArrayLike | SupportsDLPack | None = None,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> Prediction:
        """Predict for a batch, then update every parameter by its targets, in place.

        Args:
            x: inputs, (batch, features).
            y: targets, (batch, outputs), or (batch,) for one output; NaN is a missing observation.
                For a network with a :attr:`likelihood`, labels, integers (batch,); -1 is missing.
            noise: a :class:`tagix.Homoscedastic` that is known, or noise variances that broadcast
                to y; None for a network that was made with its noise. The decay of a noise model
                goes by the epochs of :meth:`fit`, and an update is not one: in a stream of updates
                the noise does not decay.
            x_var: variances of the inputs, same shape as x.
            sample_weight: (batch,), numbers from 0 to 1e18, on the CPU: a row counts as so many
                rows of the batch with the same targets, one of weight 0 as one without targets.

        With x on the GPU, as calling the network takes it, y and x_var may be there or on the CPU.
        Noise variances may, too; they are copied to the CPU, to be checked.

        Returns:
            The prediction made before the update, as from calling the network; the noise that it
            counts, if the network knows one, is that of the update.

        Raises:
            ValueError, TypeError: as calling the network, for noise variances that are not
                positive, weights that are negative or all 0, for ``noise`` where the network infers
                it, and none where it does not know it, and if the prediction or the update
                overflows float32. The network is then as it was.
        """
        if self._forgetting is not None and _log.isEnabledFor(logging.INFO):
            n_drifts = self.n_drifts
            prediction = self._update(x, y, noise, x_var, sample_weight)
            log_drifts(n_drifts, self.n_drifts)
            return prediction
        return self._update(x, y, noise, x_var, sample_weight)

    def _update(self, x: Any, y: Any, noise: Any, x_var: Any, sample_weight: Any) -> Prediction:
        if is_on_gpu("x", x, self._device):
            return self._update_on_gpu(x, y, noise, x_var, sample_weight)
        inputs = as_matrix("x", x)
        targets, shape = self._targets("y", y, *inputs.shape)
        noise_var = self._noise_var(noise, shape, targets.shape)
        x_var = _optional_matrix("x_var", x_var)
        weights = _optional_weights(sample_weight, len(inputs))
        targets = without_targets(targets, weights)
        return self._prediction(
            self._model.update(inputs, targets, noise_var, x_var, for_core(weights))
        )

    def _update_on_gpu(
        self, x: Any, y: Any, noise: Any, x_var: Any, sample_weight: Any
    ) -> Prediction:
        inputs = _core.CudaArgument("x", x)
        targets = self._targets_on_gpu(inputs, y)
        shape = targets.shape
        noise = self._on_host("noise", noise)
        noise_var = self._noise_var(noise, shape, shape if len(shape) == 2 else (*shape, 1))
        weights = _optional_weights(sample_weight, shape[0])
        on_gpu = self._model.update_on_device(
            inputs, targets, noise_var, self._optional_argument("x_var", x_var), for_core(weights)
        )
        return self._prediction(on_gpu, x)

    def _targets_on_gpu(self, inputs: _core.CudaArgument, y: Any) -> _core.CudaArgument:
        """Targets of inputs on the GPU: there, too, but for labels, which come from the CPU."""
        if self._likelihood is None or len(inputs.shape) != 2:
            return self._argument("y", y)
        return self._argument("y", self._targets("y", y, *inputs.shape)[0])

    def _argument(self, name: str, value: Any) -> _core.CudaArgument:
        """An array of a user on the GPU; from the CPU it is uploaded."""
        on_gpu = is_on_gpu(name, value, self._device)
        return _core.CudaArgument(name, value if on_gpu else as_float32(name, value))

    def _on_host(self, name: str, value: Any) -> Any:
        """A copy on the CPU of an array on the GPU; anything else as it is."""
        on_gpu = value is not None and is_on_gpu(name, value, self._device)
        return _core.CudaArgument(name, value).numpy() if on_gpu else value

    def _optional_argument(self, name: str, value: Any) -> _core.CudaArgument | None:
        return None if value is None else self._argument(name, value)

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        noise: Noise | None = None,
        x_var: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        n_epochs: int = 10,
        batch_size: int = 256,
        shuffle: bool = True,
        progress: bool = True,
        validation: tuple[ArrayLike, ArrayLike] | None = None,
        callback: FitCallback | None = None,
    ) -> History:
        """Update by rows of data in batches, for some passes over them.

        KeyboardInterrupt ends it within an epoch, and the network keeps what it has learned. With
        any other exception, those of the callback included, parameters and
        :attr:`epochs_trained` are put back to what they were before the call, together with what
        other threads have changed meanwhile.

        Args:
            x: inputs, (rows, features).
            y: targets, (rows, outputs), or (rows,) for one output; NaN is a missing observation.
                For a network with a :attr:`likelihood`, labels, integers (rows,); -1 is missing.
            noise: as for :meth:`update`.
            x_var: variances of the inputs, same shape as x, on the CPU; None means that they are
                known exactly.
            sample_weight: (rows,), numbers from 0 to 1e18, on the CPU: a row counts as so many.
            n_epochs: passes over the data.
            batch_size: rows of an update; the last one of an epoch may have fewer.
            shuffle: visit the rows in a new order each epoch.
            progress: show a progress bar on stderr.
            validation: (x, y), on the CPU, on which to report error and log-likelihood after each
                epoch. The likelihood counts the noise of a noise model in that epoch, or what the
                network infers after it; of an array of noise variances it counts, for each
                output, the mean over the training rows.
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

        With x on the GPU, as calling the network takes it, the rows stay there, and must keep
        their values; y and noise may be there or on the CPU.
        """
        n_epochs = as_count("n_epochs", n_epochs, least=1)
        batch_size = as_count("batch_size", batch_size, least=1)
        shuffle, progress = as_flag("shuffle", shuffle), as_flag("progress", progress)
        check_callback(callback)
        if is_on_gpu("x", x, self._device):
            inputs_on_gpu = _core.CudaArgument("x", x)
            on_gpu = self._targets_on_gpu(inputs_on_gpu, y)
            source = _core.RegressionSource(self._model, inputs_on_gpu, on_gpu)
            noise = self._on_host("noise", noise)
            shape = on_gpu.shape
            rows_by_outputs = shape if len(shape) == 2 else (*shape, 1)
            weights = _optional_weights(sample_weight, shape[0])
        else:
            refuse_gpu("fit", y=y, noise=noise)
            inputs = as_matrix("x", x)
            targets, shape = self._targets("y", y, *inputs.shape)
            weights = _optional_weights(sample_weight, len(inputs))
            targets = without_targets(targets, weights)
            source = _core.RegressionSource(self._model, inputs, targets)
            rows_by_outputs = targets.shape
        model = self._noise_model(noise)
        validation_var = None
        if x_var is not None:
            refuse_gpu("fit", x_var=x_var)
            source.set_x_var(as_matrix("x_var", x_var))
        if weights is not None:
            source.set_weight(weights.astype(np.float32))
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

    def named_parameters(self) -> Iterator[tuple[str, Gaussian]]:
        """Names such as "0.weight" with views of the network's own memory; writes take effect.

        On device "cuda" they are copies on the CPU instead, which cannot be written to.

        Nothing checks what is written, NaN and negative variances included, and no lock is taken:
        neither read nor write a view while another thread updates the network.
        :meth:`state_dict` and :meth:`load_state_dict` do both.
        """
        for number, name, _, _ in self._model.parameter_layout:
            yield (
                name,
                Gaussian(self._model.parameter_mean(number), self._model.parameter_var(number)),
            )

    def state_dict(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all parameters: "0.weight.mean" (out, in), "0.weight.var", "0.bias.mean" ...

        A noise head has "noise_weight" and "noise_bias" of the shapes of its layer's. All of one
        moment: updates of other threads come before or after the whole copy.
        """
        planes = dict(zip(("mean", "var"), self._model.get_parameters(), strict=True))
        state: dict[str, NDArray[np.float32]] = {}
        for _, name, shape, start in self._model.parameter_layout:
            for moment, plane in planes.items():
                state[f"{name}.{moment}"] = plane[start : start + math.prod(shape)].reshape(shape)
        return state

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Take over parameters as :meth:`state_dict` gives them, all of them or, on error, none.

        Raises:
            ValueError: if names are missing or unknown, shapes differ, means are not finite or
                variances negative.
            TypeError: for anything but a mapping of names to arrays of numbers.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"state_dict: got a {type(state_dict).__name__}, "
                "needed a mapping of names to arrays"
            )
        layout = {name: (shape, start) for _, name, shape, start in self._model.parameter_layout}
        names = [f"{name}.{moment}" for name in layout for moment in ("mean", "var")]
        missing = [name for name in names if name not in state_dict]
        unknown = [name for name in state_dict if name not in names]
        if missing or unknown:
            raise ValueError(
                f"state_dict: got {len(state_dict)} arrays, missing {missing or 'none'}, "
                f"unknown {unknown or 'none'}, needed exactly {names}"
            )
        # What is not listed, as the weights of a noise head that has none, stays as it is.
        planes = dict(zip(("mean", "var"), self._model.get_parameters(), strict=True))
        for name, (shape, start) in layout.items():
            for moment, plane in planes.items():
                key = f"{name}.{moment}"
                array = as_float32(key, state_dict[key])
                if array.shape != shape:
                    raise ValueError(f"{key}: got an array of shape {array.shape}, needed {shape}")
                if not np.isfinite(array).all() or (moment == "var" and (array < 0).any()):
                    raise ValueError(
                        f"{key}: got NaN, infinite{' or negative' * (moment == 'var')} values, "
                        f"needed finite {'variances of at least 0' if moment == 'var' else 'means'}"
                    )
                plane[start : start + array.size] = array.ravel()
        self._model.set_parameters(planes["mean"], planes["var"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that the network is made of, and what it has learned, to a safetensors file.

        :func:`tagix.load` reads it back. A file of that name is replaced when the new one is
        whole, and on the disk; of a symbolic link, the file that it points to.

        Raises:
            ValueError: for networks with an :class:`Activation`, whose functions no file holds, or
                with more than 10 000 layers.
            TypeError: for anything but a path.
            OSError: if the file cannot be written; an old one is then as it was.
        """
        from tagix.io import save_model

        save_model(self, path)

    def _to_file(self) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
        """What :func:`tagix.io.save_model` writes: a description, and the parameters."""
        from tagix.io._networks import describe_network

        return {"network": describe_network(self)}, self.state_dict()

    @classmethod
    def _from_file(
        cls, description: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], device: str
    ) -> Sequential:
        """The network that :meth:`_to_file` described; ValueError or TypeError if there is none."""
        from tagix.io._networks import rebuild_network

        return rebuild_network(description, tensors, device)

    def __getstate__(self) -> dict[str, Any]:
        state = {"layers": self._layers, "seed": self._seed, "device": self._device}
        state["rule"], state["noise"] = self._rule, self._noise
        state["likelihood"], state["forgetting"] = self._likelihood, self._forgetting
        state["precision"] = self._wanted_precision
        state["training"] = self._training
        if self._made_model is not None:
            state["state_dict"] = self.state_dict()
            state["epochs_trained"] = self.epochs_trained
            state["drift"] = self._model.drift
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        arguments = {
            key: state[key]
            for key in ("seed", "rule", "noise", "likelihood", "forgetting", "precision")
        }
        device = _available_device(state["device"])
        Sequential.__init__(self, *state["layers"], device=device, **arguments)
        self._training = state["training"]
        if "state_dict" in state:
            self.load_state_dict(state["state_dict"])
            self._model.epochs_trained = state["epochs_trained"]
            self._model.drift = state["drift"]

    def _noise_model(self, noise: Any) -> Homoscedastic | None:
        """The known noise model that a call goes by, its own or the network's; else None.

        Raises ValueError for noise that the call must not name, TypeError if it has to name some.
        """
        if self._likelihood is not None:
            if noise is not None:
                raise ValueError(
                    f"noise: got {noise!r}, needed none: the network has {self._likelihood!r}"
                )
            return None
        if noise is None:
            if self._noise is None:
                raise TypeError(
                    "noise: got None, needed tagix.Homoscedastic(std) or noise variances, as the "
                    "network was made without noise"
                )
            return None if self._infers_noise else self._noise  # type: ignore[return-value]
        if self._infers_noise:
            shape = getattr(noise, "shape", ())
            given = f"an array of shape {tuple(shape)}" if shape else repr(noise)
            raise ValueError(f"noise: got {given}, needed none: the network infers {self._noise!r}")
        if isinstance(noise, Heteroscedastic) or (isinstance(noise, Homoscedastic) and noise.learn):
            raise ValueError(
                f"noise: got {noise!r}, which a network has to be made with to infer it: "
                f"nn.Sequential(..., noise=tagix.{noise!r})"
            )
        return noise if isinstance(noise, Homoscedastic) else None

    def _noise_var(
        self, noise: Any, shape: tuple[int, ...], matrix_shape: tuple[int, ...]
    ) -> NDArray[np.float32] | None:
        """Noise variances as the core takes them: 1, one for each output, or like the targets.

        None where the network infers them or has none. ``shape`` is the shape of y as it was given,
        to which an array of variances broadcasts, and ``matrix_shape`` the same with two
        dimensions.
        """
        model = self._noise_model(noise)
        if model is not None:
            return np.asarray(model.var(self.epochs_trained), dtype=np.float32)
        if self._takes_no_noise_var:
            return None
        return self._noise_var_per_target(noise, shape, matrix_shape)

    def _noise_var_per_target(
        self, noise: Any, shape: tuple[int, ...], matrix_shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """The array of noise variances that a call was given, like the targets."""
        noise_var = as_float32("noise", noise)
        try:
            noise_var = np.broadcast_to(noise_var, shape).reshape(matrix_shape)
        except ValueError as error:
            raise ValueError(
                f"noise: got variances of shape {noise_var.shape}, needed a shape that broadcasts "
                f"to y, {shape}"
            ) from error
        return np.ascontiguousarray(noise_var)

    def _validator(
        self,
        validation: tuple[ArrayLike, ArrayLike] | None,
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
        x = as_matrix("validation x", validation[0])
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


def _available_precision(precision: str, device: str, stacklevel: int = 3) -> str:
    """The precision, or float32 with a warning where the device lacks it."""
    if _core.has_precision(precision, device):
        return precision
    lacking = _core.backend_name("cpu") if device == "cpu" else "the GPU"
    warnings.warn(
        f"precision: got {precision!r}, but {lacking} has no products of bfloat16, so float32 runs "
        "instead",
        RuntimeWarning,
        stacklevel=stacklevel,
    )
    return "float32"


def _available_device(device: str) -> str:
    """The device that a pickle names, or the CPU with a warning where it is not there."""
    reason = _core.cuda_why_not() if device == "cuda" else None
    if reason is None:
        return device
    warnings.warn(
        f"device: the network was on 'cuda' when it was pickled, but {reason}, so it is on 'cpu'",
        RuntimeWarning,
        stacklevel=3,
    )
    return "cpu"


def _for_validation(call: Callable[[], T]) -> T:
    """What the core says of x and y, said of the validation data."""
    try:
        return call()
    except ValueError as error:
        raise ValueError(f"validation {error}") from error


def _optional_weights(sample_weight: Any, n_rows: int) -> NDArray[np.float64] | None:
    return None if sample_weight is None else as_weights("sample_weight", sample_weight, n_rows)


def _optional_matrix(name: str, value: Any) -> NDArray[np.float32] | None:
    return None if value is None else as_matrix(name, value)
