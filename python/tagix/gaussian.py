"""Independent Gaussians, and predictions, whose variance is split by origin."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tagix._arrays import as_number


class Gaussian(NamedTuple):
    """Independent Gaussians given by two float32 arrays of one shape.

    Unpacks as ``mean, var = ...``. The arrays are numpy's, or, for inputs on a GPU, those of the
    inputs' library or :class:`tagix.cuda.Array`.
    """

    mean: NDArray[np.float32]
    var: NDArray[np.float32]

    @property
    def std(self) -> NDArray[np.float32]:
        """The standard deviations, in the unit of the mean.

        TypeError for a :class:`tagix.cuda.Array`, which supports no arithmetic.
        """
        # The array's own power, for libraries whose arrays numpy does not take.
        return np.sqrt(self.var) if isinstance(self.var, np.ndarray) else self.var**0.5

    def interval(self, level: float = 0.9) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lower and upper bounds that hold a share ``level`` of each Gaussian, symmetrically.

            mean -+ Phi^-1((1 + level) / 2) std

        Raises ValueError unless 0 < level < 1, TypeError for anything but a number and for a
        :class:`tagix.cuda.Array`, which supports no arithmetic.
        """
        share = as_number("level", level)
        if not 0.0 < share < 1.0:
            raise ValueError(f"level: got {level!r}, needed a number between 0 and 1")
        reach = NormalDist().inv_cdf(0.5 + 0.5 * share) * self.std
        return self.mean - reach, self.mean + reach


class Prediction(Gaussian):
    """A network's prediction of targets: ``mean, var = net(x)``, each (batch, outputs), float32.

    ``var`` is the variance of a target, the sum of

        epistemic   due to what the network does not know: it shrinks with data,
        aleatoric   the noise of the target itself, as given or as inferred.

    A network made without noise does not know the noise: there ``aleatoric`` is 0, and ``var`` is
    the variance of the mean alone.
    """

    # Of a tuple that is made without them, by _make.
    _epistemic: NDArray[np.float32] | None = None
    _aleatoric: NDArray[np.float32] | None = None

    def __new__(
        cls, mean: Any, epistemic: Any, aleatoric: Any = None, var: Any = None
    ) -> Prediction:
        """From the variance of the mean and, if noise is known, the variance of the noise and the
        total.

        ``var`` is computed if it is not given.
        """
        if aleatoric is None:
            prediction = super().__new__(cls, mean, epistemic)
            prediction._epistemic = None
        else:
            prediction = super().__new__(cls, mean, epistemic + aleatoric if var is None else var)
            prediction._epistemic = epistemic
        prediction._aleatoric = aleatoric
        return prediction

    def _replace(self, **fields: Any) -> Prediction:
        replaced = super()._replace(**fields)
        if "var" not in fields:  # whose parts they are
            replaced._epistemic, replaced._aleatoric = self._epistemic, self._aleatoric
        return replaced

    def __reduce__(self) -> tuple[Any, ...]:
        return Prediction, (self.mean, self.epistemic, self._aleatoric, self.var)

    @property
    def epistemic(self) -> NDArray[np.float32]:
        """The variance of the mean, due to what the network does not know."""
        return self.var if self._epistemic is None else self._epistemic

    @property
    def aleatoric(self) -> NDArray[np.float32]:
        """The variance of the noise.

        TypeError for a :class:`tagix.cuda.Array` of a network without noise: it supports no
        arithmetic.
        """
        return 0 * self.var if self._aleatoric is None else self._aleatoric
