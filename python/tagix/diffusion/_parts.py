"""The parts of a diffusion model (network, process, units and settings) and where they are."""

from __future__ import annotations

import hashlib
import threading
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tagix import _core, nn
from tagix._core import Heteroscedastic, Homoscedastic, UpdateRule
from tagix._data_units import DataUnits
from tagix._seeds import resolve_seed
from tagix.diffusion._settings import make_process, network_layers
from tagix.gaussian import Gaussian
from tagix.schedules import Schedule

P = TypeVar("P", bound="Parts")


class Parts:
    """The parts of a model, and properties that describe them.

    Attributes:
        net: the network, which predicts F.
    """

    net: nn.Sequential
    _settings: dict[str, Any]
    _noise: Homoscedastic | Heteroscedastic
    _activation: nn.Layer
    _placed_process: tuple[str, _core.DiffusionProcess]
    _fitted: bool
    _units: DataUnits
    _untrained: bytes | None  # None: of pickles that do not say
    _class_shares: NDArray[np.float64] | None
    _sample_calls: int
    _counting_samples: threading.Lock

    def _set_up(
        self, *, seed: int | None, device: str, rule: UpdateRule | None, precision: str
    ) -> None:
        """Make the parts that follow from settings, noise and activation, which are checked."""
        process = make_process(self._settings, device)
        self._placed_process = device, process
        layers = network_layers(self._settings, self._activation)
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
        self._units = DataUnits.plain(self._settings["n_features"])
        self._untrained = _fingerprint(self.net)
        self._class_shares = None
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
        process = make_process(self._settings, device)
        _, placed = self._placed_process
        process.set_standardization(placed.shift, placed.scale)
        return process

    def _move(self: P, device: str) -> P:
        if device == self.device:
            return self
        process = self._process_on(device)  # raises for a device that is not there
        self.net._move(device, stacklevel=5)
        self._placed_process = device, process
        return self

    def _check_fitted(self, call: str) -> None:
        """RuntimeError for a model whose parameters are still those that its seed gave it."""
        if not self._fitted and _fingerprint(self.net) == self._untrained:
            raise RuntimeError(
                f"{call}: got a model that has not been fitted, needed fit(X) before, or "
                "parameters by net.load_state_dict"
            )

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_placed_process"], state["_counting_samples"]
        _, process = self._placed_process
        state["standardization"] = (process.shift, process.scale)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        shift, scale = state.pop("standardization")
        state.setdefault("_untrained", None)
        state.setdefault("_units", DataUnits.plain(state["_settings"]["n_features"]))
        self.__dict__.update(state)
        self._counting_samples = threading.Lock()
        process = make_process(self._settings, self.net.device)
        process.set_standardization(shift, scale)
        self._placed_process = self.net.device, process

    @property
    def device(self) -> str:
        """Where the parameters are and the work is done."""
        return self.net.device

    @property
    def n_features(self) -> int:
        """Columns of the data."""
        return self._process.n_features

    @property
    def n_steps(self) -> int:
        """Timesteps T; t runs from 0 (clean data) to T - 1."""
        return self._process.n_steps

    @property
    def schedule(self) -> Schedule:
        """How the signal fades over the timesteps."""
        schedule: Schedule = self._settings["schedule"]
        return schedule

    @property
    def alpha_bar(self) -> NDArray[np.float64]:
        """The share of the signal's variance left at each timestep, (n_steps,)."""
        return self.schedule.alpha_bar(self.n_steps)

    @property
    def prediction_type(self) -> str:
        """What the network predicts: "epsilon", "sample" or "v_prediction"."""
        return str(self._settings["prediction_type"])

    @property
    def n_classes(self) -> int | None:
        """Classes that rows can have; None for a model without."""
        n_classes: int | None = self._settings["n_classes"]
        return n_classes

    @property
    def class_shares(self) -> NDArray[np.float64] | None:
        """The share of each class in the labelled rows of the latest fit, (n_classes,), or None."""
        return None if self._class_shares is None else self._class_shares.copy()

    @property
    def class_embedding(self) -> Gaussian:
        """The learned vectors of the classes, each (n_classes, embedding_dim), a copy.

        ValueError for a model with other ``class_features``.
        """
        layer = self.net.layers[0]
        if not isinstance(layer, nn.ClassEmbedding):
            raise ValueError('class_embedding: got a model without class_features="embedding"')
        n_values = layer.config["n_values"]
        state = self.net.state_dict()
        mean, var = (state[f"0.weight.{part}"][n_values:, n_values:].T for part in ("mean", "var"))
        return Gaussian(mean.copy(), var.copy())

    @property
    def shift(self) -> NDArray[np.floating[Any]]:
        """The offset subtracted from each column of data before division by ``scale``.

        (n_features,), a copy, in the units of the data: the means of the first fit's columns; 0
        before the first fit and with standardize=False. float32, or float64 if the data lie so far
        from 0 that float32 cannot represent their spread.
        """
        shift = np.asarray(self._process.shift, dtype=np.float32)
        return self._units.restore(shift)

    @property
    def scale(self) -> NDArray[np.float32]:
        """The divisor of each column of data, applied after ``shift`` is subtracted.

        (n_features,), a copy, in the units of the data: the standard deviations of the first fit's
        columns (1 for a constant column); 1 before the first fit and with standardize=False.
        """
        return np.asarray(self._process.scale, dtype=np.float32)

    @property
    def noise(self) -> Homoscedastic | Heteroscedastic:
        """Observation noise of what the network predicts."""
        return self._noise


def _fingerprint(net: nn.Sequential) -> bytes:
    """What tells the parameters of a network from others."""
    digest = hashlib.blake2b(digest_size=16)
    for plane in net._model.get_parameters():
        digest.update(plane.tobytes())
    return digest.digest()
