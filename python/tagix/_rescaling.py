"""A network in other units of its inputs and targets: predictions stay, first and last layer move.

A network that sees x = (X - mean) / scale and predicts y = (Y - mean) / scale can be told of other
means and scales without forgetting anything, because an affine map of units is one of the weights:

    inputs    W' = W s'/s,   b' = b + W (mean' - mean)/s      of the first layer
    targets   W' = W s/s',   b' = (b s + mean - mean')/s'     of the last one
              w' = w + 2 ln(s/s')                             of a noise head, variance exp(w)

Means are exact, and so are the variances of targets. The shift of inputs gives the bias a part of
the weights' uncertainty, Var b' = Var b + Var W ((mean' - mean)/s)^2, of which TAGI's independent
parameters cannot hold the covariance with W': variances of predictions are exact at inputs of the
new mean, and on average over inputs that vary about it independently.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tagix import nn

Array = NDArray[np.float64]


class Units(NamedTuple):
    """Where columns have their zero and their one: both float64 (columns,), scales positive."""

    mean: Array
    scale: Array

    def behind(self, n_columns: int) -> Units:
        """These behind ``n_columns`` of mean 0 and scale 1."""
        zeros = np.zeros(n_columns)
        return Units(np.append(zeros, self.mean), np.append(zeros + 1.0, self.scale))


def rescale(
    net: nn.Sequential,
    *,
    inputs: tuple[Units, Units] | None = None,
    targets: tuple[Units, Units] | None = None,
) -> None:
    """Re-express a network in new units, in place; each argument is a pair (old, new).

    Raises:
        ValueError: where the first or the last layer is no :class:`tagix.nn.Linear` with a bias,
            the columns are not its own, a mean is not finite, a scale not positive and finite, or
            the noise head has the link "softplus", whose variances do not scale by a shift. The
            network is then as it was.
    """
    state = {name: array.astype(np.float64) for name, array in net.state_dict().items()}
    leaves = list(_leaves(net))
    if inputs is not None:
        _rescale_inputs(state, _linear(leaves[0], "first"), *inputs)
    if targets is not None:
        if getattr(net.noise, "link", "exp") != "exp":
            raise ValueError(f"noise: got {net.noise!r}, needed one with the link 'exp'")
        _rescale_targets(state, _linear(leaves[-1], "last"), *targets)
    net.load_state_dict(state)


def _rescale_inputs(state: dict[str, Array], layer: str, old: Units, new: Units) -> None:
    _check(old, new, state[f"{layer}.weight.mean"].shape[1])
    ratio = new.scale / old.scale
    shift = (new.mean - old.mean) / old.scale
    # A network of one layer has its noise head on the inputs, too.
    for weight, bias in (("weight", "bias"), ("noise_weight", "noise_bias")):
        if f"{layer}.{weight}.mean" not in state:
            continue
        weight_mean, weight_var = (state[f"{layer}.{weight}.{part}"] for part in ("mean", "var"))
        state[f"{layer}.{bias}.mean"] += weight_mean @ shift
        state[f"{layer}.{bias}.var"] += weight_var @ shift**2
        weight_mean *= ratio
        weight_var *= ratio**2


def _rescale_targets(state: dict[str, Array], layer: str, old: Units, new: Units) -> None:
    _check(old, new, len(state[f"{layer}.bias.mean"]))
    ratio = old.scale / new.scale
    bias_mean, bias_var = (state[f"{layer}.bias.{part}"] for part in ("mean", "var"))
    bias_mean *= ratio
    bias_mean += (old.mean - new.mean) / new.scale
    bias_var *= ratio**2
    state[f"{layer}.weight.mean"] *= ratio[:, np.newaxis]
    state[f"{layer}.weight.var"] *= ratio[:, np.newaxis] ** 2
    if f"{layer}.noise_bias.mean" in state:
        state[f"{layer}.noise_bias.mean"] += 2.0 * np.log(ratio)


def _check(old: Units, new: Units, n_columns: int) -> None:
    for units in (old, new):
        mean, scale = np.asarray(units.mean), np.asarray(units.scale)
        if mean.shape != (n_columns,) or scale.shape != (n_columns,):
            raise ValueError(
                f"units: got means of shape {mean.shape} and scales of shape {scale.shape}, "
                f"needed ({n_columns},)"
            )
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError("units: got NaN, infinity or a scale that is not positive")


def _leaves(net: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Layer]]:
    """Layers with the names of their parameters' prefixes, nested containers opened."""
    for position, layer in enumerate(net.layers):
        if isinstance(layer, nn.Sequential):
            yield from _leaves(layer, f"{prefix}{position}.")
        else:
            yield f"{prefix}{position}", layer


def _linear(leaf: tuple[str, nn.Layer], which: str) -> str:
    name, layer = leaf
    if not isinstance(layer, nn.Linear) or not layer.config["bias"]:
        raise ValueError(f"net: its {which} layer is {layer!r}, needed a Linear with a bias")
    return name
