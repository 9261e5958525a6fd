"""A network with more inputs or outputs than it had, and all that it has learned."""

from __future__ import annotations

from tagix import nn


def wider(
    net: nn.Sequential, more_inputs: int = 0, likelihood: nn.Likelihood | None = None
) -> nn.Sequential:
    """A network with further inputs, or with another likelihood, whose outputs are more.

    Each array of parameters becomes the leading block of the new one's array of that name; what is
    beside it is that of the prior. The layers are those of the recipe: a Linear first and last.
    """
    layers = list(net.layers)
    if more_inputs:
        layers[0] = _linear(layers[0], "in_features", more_inputs)
    if likelihood is not None:
        before = net.likelihood.n_outputs if net.likelihood is not None else 0
        layers[-1] = _linear(layers[-1], "out_features", likelihood.n_outputs - before)
    new = nn.Sequential(
        *layers,
        seed=net.seed,
        device=net.device,
        rule=net.rule,
        noise=net.noise,
        likelihood=likelihood or net.likelihood,
        forgetting=net.forgetting,
        precision=net._wanted_precision,
    )
    state = new.state_dict()
    for name, array in net.state_dict().items():
        state[name][tuple(slice(length) for length in array.shape)] = array
    new.load_state_dict(state)
    new._model.epochs_trained = net._model.epochs_trained
    new._model.drift = net._model.drift
    return new


def _linear(layer: nn.Layer | nn.Sequential, dimension: str, more: int) -> nn.Linear:
    assert isinstance(layer, nn.Linear)
    config = layer.config
    return nn.Linear(**config | {dimension: config[dimension] + more})
