"""Calls that change an estimator as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from tagix import nn
from tagix._network_state import Progress
from tagix.sklearn._prequential import PrequentialLog

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E")


def all_or_nothing(
    method: Callable[Concatenate[E, P], R],
) -> Callable[Concatenate[E, P], R]:
    """A method that leaves its estimator as it was if it raises, KeyboardInterrupt included.

    Networks, units, classes, names, counters and logs are restored, and so is a random generator
    among the parameters, so that the same call can be repeated.
    """

    @wraps(method)
    def call(self: E, /, *args: P.args, **kwargs: P.kwargs) -> R:
        snapshot = Snapshot(self)
        try:
            return method(self, *args, **kwargs)
        except BaseException:
            snapshot.restore()
            raise

    return call


class Snapshot:
    """The state of an estimator at one moment.

    Attributes are kept by reference, because methods replace attributes instead of changing them.
    Networks, whose parameters change in place, and the log, which users may hold, are copied and
    restored in place. A stream in the core is kept as its counts, from which :meth:`restore` makes
    a new one.
    """

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._has_stream = getattr(estimator, "_stream", None) is not None
        if self._has_stream:
            estimator._take_in_stream()
        self._attributes = dict(vars(estimator))
        self._attributes.pop("_stream", None)
        self._networks = [_NetworkState(net) for net in self._attributes.get("nets_", ())]
        log = self._attributes.get("_log")
        self._log = _entries_of(log) if isinstance(log, PrequentialLog) else None
        random = self._attributes.get("random_state")
        self._random = random.get_state() if isinstance(random, np.random.RandomState) else None

    def restore(self) -> None:
        """Make the estimator what it was."""
        attributes = vars(self._estimator)
        for name in attributes.keys() - self._attributes.keys():
            del attributes[name]
        attributes.update(self._attributes)
        for network in self._networks:
            network.restore()
        if self._log is not None:
            self._attributes["_log"].__dict__.update(self._log)
        if self._random is not None:
            self._attributes["random_state"].set_state(self._random)
        if self._has_stream:
            self._estimator._begin_stream()


class _NetworkState:
    """Parameters and progress of a network, copied."""

    def __init__(self, net: nn.Sequential) -> None:
        self._model = net._model
        self._parameters = self._model.get_parameters()
        self._progress = Progress.of(self._model)

    def restore(self) -> None:
        # Parameters that were not finite before, written through a view, cannot be set.
        with suppress(ValueError):
            self._model.set_parameters(*self._parameters)
        self._progress.give_to(self._model)


def _entries_of(log: PrequentialLog) -> dict[str, Any]:
    return vars(log) | {"drifts": list(log.drifts)}
