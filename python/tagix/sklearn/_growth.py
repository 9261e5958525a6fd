"""A network with more inputs or outputs than it had, and all that it has learned."""

from __future__ import annotations

from tagix import nn


def take_over(new: nn.Sequential, old: nn.Sequential) -> nn.Sequential:
    """Write the parameters of a network into a wider one, and its counts; returns that.

    Each array of the old network becomes the leading block of the new one's array of that name;
    what is beside it keeps the prior. The layers are the same but for their numbers of features.
    """
    state = new.state_dict()
    for name, array in old.state_dict().items():
        state[name][tuple(slice(length) for length in array.shape)] = array
    new.load_state_dict(state)
    new._model.epochs_trained = old._model.epochs_trained
    new._model.drift = old._model.drift
    return new
