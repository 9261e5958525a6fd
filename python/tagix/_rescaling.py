"""Re-expresses a network in other units of inputs and targets, without changing its predictions.

A network that sees x = (X - mean) / scale and predicts y = (Y - mean) / scale can change to other
means and scales without forgetting anything, because an affine change of units is an affine change
of the weights:

    inputs    W' = W s'/s,   b' = b + W (mean' - mean)/s      of the first layer
    targets   W' = W s/s',   b' = (b s + mean - mean')/s'     of the last one
              w' = w + 2 ln(s/s')                             of a noise head, variance exp(w)

This is right for what was learned. What was not learned comes from the prior, and the prior is
stated in the units of the network, whatever they are. The scale of a counter doubles with every
doubling of its rows, so a weight that has learned nothing would become twice as uncertain each
time. So in the first layer no variance grows beyond 1.5 times that of the prior, P, and the mean of
the weight is limited together with its variance:

    W'     = c W,   Var W' = c^2 Var W,   c = min(s'/s, max(1, sqrt(1.5 P / Var W)))
    Var b' = min(1.5 P, Var b + Var W ((mean' - mean)/s)^2)

Where nothing is limited, means of predictions are exact. A change of targets' units also keeps
variances exact, except for noise that a network leaves to the belief of
:class:`tagix.Heteroscedastic`. The shift of inputs moves part of the weights' uncertainty to the
bias, and TAGI's independent parameters cannot represent its covariance with W'. So variances of
predictions are exact at the new mean of the inputs, and on average over inputs that vary
independently about this mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tagix import nn

Array = NDArray[np.float64]

# How many times the prior's variance a parameter may have in new units.
MOST_OF_PRIOR_VAR = 1.5


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
        ValueError: where the first or the last layer is not a :class:`tagix.nn.Linear` with a bias,
            the columns are not its own, a mean is not finite, a scale not positive and finite, or
            the noise head has the link "softplus", whose variances do not scale by a shift. The
            network is then as it was.
    """
    state = {name: array.astype(np.float64) for name, array in net.state_dict().items()}
    leaves = list(_leaves(net))
    if inputs is not None:
        _rescale_inputs(state, net._model.prior_std, _linear(leaves[0], "first"), *inputs)
    if targets is not None:
        if getattr(net.noise, "link", "exp") != "exp":
            raise ValueError(f"noise: got {net.noise!r}, needed one with the link 'exp'")
        _rescale_targets(state, _linear(leaves[-1], "last"), *targets)
    net.load_state_dict(state)


def _rescale_inputs(
    state: dict[str, Array], prior_std: dict[str, float], layer: str, old: Units, new: Units
) -> None:
    _check(old, new, state[f"{layer}.weight.mean"].shape[1])
    ratio = new.scale / old.scale
    shift = (new.mean - old.mean) / old.scale
    # A network of one layer has its noise head on the inputs, too.
    for weight, bias in (("weight", "bias"), ("noise_weight", "noise_bias")):
        if f"{layer}.{weight}.mean" not in state:
            continue
        weight_mean, weight_var = (state[f"{layer}.{weight}.{part}"] for part in ("mean", "var"))
        weight_prior, bias_prior = (
            prior_std.get(f"{layer}.{name}", 0.0) ** 2 for name in (weight, bias)
        )
        if weight_prior == 0.0:  # constants: noise that is the same for all inputs
            continue
        bias_var = state[f"{layer}.{bias}.var"]
        state[f"{layer}.{bias}.mean"] += weight_mean @ shift
        np.minimum(MOST_OF_PRIOR_VAR * bias_prior, bias_var + weight_var @ shift**2, out=bias_var)
        most = np.sqrt(MOST_OF_PRIOR_VAR * weight_prior / np.maximum(weight_var, 1e-300))
        held = np.minimum(ratio, np.maximum(most, 1.0))
        weight_mean *= held
        weight_var *= held**2


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
