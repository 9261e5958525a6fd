"""The noise of targets that a call of a network uses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix._arrays import as_float32
from tagix._core import Heteroscedastic, Homoscedastic
from tagix.nn._base import NetworkBase


class Noisy(NetworkBase):
    """Combines the noise that a network knows with the noise that a call states."""

    def _known_noise_var(self) -> NDArray[np.float32] | None:
        """The noise variances that the network was told: one, or one for each output."""
        if self.noise is None or self._infers_noise:
            return None
        assert isinstance(self.noise, Homoscedastic)
        return np.asarray(self.noise.var(self.epochs_trained), dtype=np.float32)

    def _noise_model(self, noise: Any) -> Homoscedastic | None:
        """The known noise model that a call goes by, its own or the network's; else None.

        Raises ValueError for noise that the call must not name, TypeError if it has to name some.
        """
        if self.likelihood is not None:
            if noise is not None:
                raise ValueError(
                    f"noise: got {noise!r}, needed none: the network has {self.likelihood!r}"
                )
            return None
        if noise is None:
            if self.noise is None:
                raise TypeError(
                    "noise: got None, needed tagix.Homoscedastic(std) or noise variances, as the "
                    "network was made without noise"
                )
            return None if self._infers_noise else self.noise  # type: ignore[return-value]
        if self._infers_noise:
            shape = getattr(noise, "shape", ())
            given = f"an array of shape {tuple(shape)}" if shape else repr(noise)
            raise ValueError(f"noise: got {given}, needed none: the network infers {self.noise!r}")
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
        noise_var = as_float32("noise", noise)
        if noise_var.ndim == 0:
            return noise_var
        return self._noise_var_per_target(noise_var, shape, matrix_shape)

    def _noise_var_per_target(
        self, noise: Any, shape: tuple[int, ...], matrix_shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """The array of noise variances that a call was given, like the targets."""
        noise_var = as_float32("noise", noise)
        try:
            noise_var = np.broadcast_to(noise_var, shape)
        except ValueError as error:
            raise ValueError(
                f"noise: got variances of shape {noise_var.shape}, needed a shape that broadcasts "
                f"to y, {shape}"
            ) from error
        if self._grid_outputs is not None:
            return self._grid_outputs.rows(noise_var)
        return np.ascontiguousarray(noise_var.reshape(matrix_shape))
