"""What every network has: its parts, how it learns, and where it is."""

from __future__ import annotations

import logging
import math
import threading
import warnings
from dataclasses import replace
from typing import TypeAlias, TypeVar

from numpy.typing import ArrayLike

from tagix import _core
from tagix._arrays import as_flag
from tagix._core import Forgetting, Heteroscedastic, Homoscedastic, Layer, UpdateRule
from tagix._network_state import Likelihood, NoiseModel, Options, Progress
from tagix.nn._inputs import Inputs
from tagix.nn._outputs import GridOutputs

log = logging.getLogger("tagix.nn")

Noise: TypeAlias = "Homoscedastic | ArrayLike"


S = TypeVar("S", bound="NetworkBase")


class NetworkBase:
    """A network's topology, options, device and model of the core."""

    _inputs: Inputs
    _layer: Layer

    def _set_up(self, layer: Layer, inputs: Inputs, options: Options) -> None:
        """What constructors have in common."""
        self._layer, self._inputs, self._options = layer, inputs, options
        self._made_topology: _core.Topology | None = None
        self._made_outputs: GridOutputs | None = None
        if inputs.shapes or layer.in_features is not None or self._infers_noise:
            self._check_noise()
        self._options = options.resolved()
        _core.backend_name(options.device)  # raises for a device that is not there
        self._precision = available_precision(options.precision, options.device, stacklevel=4)
        self._made_model: _core.Model | None = None
        self._making_model = threading.Lock()
        self._training = True
        if options.forgetting is not None or options.likelihood is not None:
            _ = self._model  # raises for layers that have constants, or other outputs

    def _check_noise(self) -> None:
        """ValueError for noise that the network cannot have."""
        topology = self._topology
        if topology.in_features is None or self.noise is None or self._infers_noise:
            return
        n_stds, outputs = len(self.noise.var(0)), self._n_outputs  # type: ignore[union-attr]
        if n_stds not in (1, outputs):
            raise ValueError(f"noise: got {n_stds} standard deviations, needed 1 or {outputs}")

    @property
    def _topology(self) -> _core.Topology:
        """What the network computes, written down at the first use or when it is made."""
        if self._made_topology is None:
            shapes = list(self._inputs.shapes.values())
            self._made_topology = _core.Topology(self._layer, shapes, self.noise)
        return self._made_topology

    @property
    def _n_outputs(self) -> int:
        """How many values it predicts, of a network whose inputs have known shapes."""
        in_features = self._topology.in_features
        assert in_features is not None
        return math.prod(self._topology.output_shape(in_features))

    @property
    def _grid_outputs(self) -> GridOutputs | None:
        """The outputs of a network that gives some on a grid; None for features."""
        if not self._inputs.shapes:  # the common case, for streams that are learned row by row
            return None
        if self._made_outputs is None:
            in_features = self._topology.in_features
            assert in_features is not None
            self._made_outputs = GridOutputs(tuple(self._topology.output_shape(in_features)))
        return self._made_outputs if len(self._made_outputs.shape) > 1 else None

    @property
    def _model(self) -> _core.Model:
        """The core's network, made at the first use: a nested Sequential never needs one."""
        if self._made_model is None:
            with self._making_model:  # of two threads at their first use, one makes it
                if self._made_model is None:
                    self._made_model = _core.Model(
                        self._topology,
                        self.rule,
                        self.seed,
                        self.device,
                        self.precision,
                        self.noise,
                        self.forgetting,
                        self.likelihood,
                    )
                    if log.isEnabledFor(logging.DEBUG):
                        backend = _core.backend_name(self.device, self._precision)
                        log.debug("a network of %d layers on %s", self._n_layers, backend)
        return self._made_model

    @property
    def _n_layers(self) -> int:
        """How many layers it is made of, as a message names it."""
        raise NotImplementedError

    def _with_model(self: S, model: _core.Model) -> S:
        """A new network as this one, with the parameters and counts of a model made of its own."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._made_model, other._making_model = model, threading.Lock()
        return other

    @property
    def seed(self) -> int:
        """The seed of the initial means and of the order of batches."""
        assert self._options.seed is not None  # since _set_up
        return self._options.seed

    @property
    def rule(self) -> UpdateRule:
        """How observations change the parameters."""
        assert self._options.rule is not None  # since _set_up
        return self._options.rule

    @property
    def noise(self) -> NoiseModel | None:
        """The noise of targets as it was given; None if each call states the noise."""
        return self._options.noise

    @property
    def likelihood(self) -> Likelihood | None:
        """How outputs become class probabilities; None for a network of numbers."""
        return self._options.likelihood

    @property
    def forgetting(self) -> Forgetting | None:
        """What the network forgets after each update."""
        return self._options.forgetting

    @property
    def n_drifts(self) -> int:
        """How often the test of :attr:`forgetting` has detected a change of the data."""
        return self._model.drift[-1]

    @property
    def _infers_noise(self) -> bool:
        return isinstance(self.noise, Heteroscedastic) or (
            self.noise is not None and self.noise.learn
        )

    @property
    def _takes_no_noise_var(self) -> bool:
        return self._infers_noise or self.likelihood is not None

    @property
    def device(self) -> str:
        """Where the parameters are and the work is done."""
        return self._options.device

    def to(self: S, device: str) -> S:
        """Move the network to a device, in place; returns it.

        Parameters, seed, rule, :attr:`epochs_trained` and :attr:`training` stay as they are. So
        does the precision chosen when the network was made, if the device supports it. Arrays that
        :meth:`named_parameters` gave before keep showing the parameters as they were. Call this
        only while nothing else uses the network: no other thread, and no fit from whose callback it
        is called.

        Args:
            device: "cpu" or "cuda".

        Raises:
            ValueError: for a device that is not available, with the reason. After any exception the
                network stays where it was.
            TypeError: for anything but a string.
        """
        return self._move(device)

    def cpu(self: S) -> S:
        """As ``to("cpu")``."""
        return self._move("cpu")

    def cuda(self: S) -> S:
        """As ``to("cuda")``."""
        return self._move("cuda")

    def _move(self: S, device: str, stacklevel: int = 4) -> S:
        _core.backend_name(device)  # raises for a device that is not there
        if device == self.device:
            return self
        precision = available_precision(self._options.precision, device, stacklevel)
        with self._making_model:
            if self._made_model is not None:
                self._made_model = self._made_model.copy_to(device, precision)
            self._options = replace(self._options, device=device)
            self._precision = precision
        return self

    @property
    def precision(self) -> str:
        """What matrix products round their factors to: "float32", "mixed" or "bfloat16"."""
        return self._precision

    @property
    def epochs_trained(self) -> int:
        """Epochs of ``fit`` so far; noise schedules depend on this count."""
        return self._model.epochs_trained

    @property
    def training(self) -> bool:
        """Whether the network is in training mode; so far no layer depends on it."""
        return self._training

    def train(self: S, mode: bool = True) -> S:
        """Set :attr:`training`; returns the network. TypeError unless ``mode`` is a bool."""
        self._training = as_flag("mode", mode)
        return self

    def eval(self: S) -> S:
        """As ``train(False)``."""
        return self.train(False)

    @property
    def _progress(self) -> Progress:
        """What use has changed, except the parameters; does not make the model."""
        if self._made_model is None:
            return Progress(training=self._training)
        return Progress.of(self._made_model, self._training)

    @_progress.setter
    def _progress(self, progress: Progress) -> None:
        self._training = progress.training
        if self._made_model is not None or progress != self._progress:
            progress.give_to(self._model)


def available_precision(precision: str, device: str, stacklevel: int = 3) -> str:
    """The precision, or float32 with a warning if the device lacks it."""
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


def available_device(device: str) -> str:
    """The device that a pickle names, or the CPU with a warning if that device is not available."""
    reason = _core.cuda_why_not() if device == "cuda" else None
    if reason is None:
        return device
    warnings.warn(
        f"device: the network was on 'cuda' when it was pickled, but {reason}, so it is on 'cpu'",
        RuntimeWarning,
        stacklevel=3,
    )
    return "cpu"
