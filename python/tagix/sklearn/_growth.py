"""Give a network more inputs or outputs, and keep all that it has learned."""

from __future__ import annotations

from tagix import nn
from tagix._core import OneVsRest

# Standard deviations of a new class's regression, for one of the prior. Hidden units that are
# certain by now change little: it has to learn from them as they are, and from few rows.
STD_OF_NEW_REGRESSION = 4.0


def wider(
    net: nn.Sequential, more_inputs: int = 0, likelihood: nn.Likelihood | None = None
) -> nn.Sequential:
    """A network with further inputs, or with another likelihood, whose outputs are more.

    Each array of parameters becomes the leading block of the new network's array. The rest comes
    from the prior, but with larger variances for new regressions (:class:`tagix.OneVsRest`). The
    layers are those of the recipe: the first and the last are Linear.
    """
    layers = list(net.layers)
    if more_inputs:
        layers[0] = _linear(layers[0], "in_features", more_inputs)
    if likelihood is not None:
        n_before = net.likelihood.n_outputs if net.likelihood is not None else 0
        layers[-1] = _linear(layers[-1], "out_features", likelihood.n_outputs - n_before)
    options = net._options.arguments() | {"likelihood": likelihood or net.likelihood}
    new = nn.Sequential(*layers, **options)
    state = new.state_dict()
    before = net.likelihood
    if isinstance(before, OneVsRest) and likelihood is not None:
        for name in (f"{len(layers) - 1}.weight", f"{len(layers) - 1}.bias"):
            state[f"{name}.mean"][before.n_outputs :] = 0
            state[f"{name}.var"][before.n_outputs :] *= STD_OF_NEW_REGRESSION**2
    for name, array in net.state_dict().items():
        state[name][tuple(slice(length) for length in array.shape)] = array
    new.load_state_dict(state)
    new._progress = net._progress
    return new


def _linear(layer: nn.Layer | nn.Sequential, dimension: str, more: int) -> nn.Linear:
    assert isinstance(layer, nn.Linear)
    config = layer.config
    return nn.Linear(**config | {dimension: config[dimension] + more})
