"""Parameters of networks, and copies of them in dicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix._arrays import as_float32
from tagix.gaussian import Gaussian
from tagix.nn._base import NetworkBase


class Stateful(NetworkBase):
    """The parameters of networks."""

    def named_parameters(self) -> Iterator[tuple[str, Gaussian]]:
        """Names such as "0.weight" with views of the network's memory; writing to them changes it.

        On device "cuda" they are read-only copies on the CPU instead.

        Written values are not checked, not even for NaN and negative variances, and no lock is
        taken: neither read nor write a view while another thread updates the network.
        :meth:`state_dict` and :meth:`load_state_dict` check and lock.
        """
        for number, name, *_ in self._model.parameter_layout:
            yield (
                name,
                Gaussian(self._model.parameter_mean(number), self._model.parameter_var(number)),
            )

    def state_dict(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all parameters: "0.weight.mean" (out, in), "0.weight.var", "0.bias.mean" ...

        A noise head has "noise_weight" and "noise_bias" of the shapes of its layer's weight and
        bias. The copy is consistent: updates of other threads come before or after it as a whole.
        """
        planes = dict(zip(("mean", "var"), self._model.get_parameters(), strict=True))
        state: dict[str, NDArray[np.float32]] = {}
        for _, name, shape, start, axes in self._model.parameter_layout:
            in_memory = [shape[axis] for axis in axes]
            for moment, plane in planes.items():
                array = plane[start : start + math.prod(shape)].reshape(in_memory)
                state[f"{name}.{moment}"] = np.ascontiguousarray(array.transpose(np.argsort(axes)))
        return state

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Load parameters as :meth:`state_dict` gives them; on error none of them changes.

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
        layout = {name: rest for _, name, *rest in self._model.parameter_layout}
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
        for name, (shape, start, axes) in layout.items():
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
                plane[start : start + array.size] = array.transpose(axes).ravel()
        self._model.set_parameters(planes["mean"], planes["var"])
