"""Modules: parts of networks that users write as classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tagix import _core
from tagix.nn._tracing import Value, apply, children_of, trace

__all__ = ["Module"]


class Module:
    """Base class for parts of networks that you write yourself.

    Its attributes are layers, Sequentials and other Modules, also in lists, tuples and dicts, and
    ``forward`` says how they are connected::

        class Block(nn.Module):
            def __init__(self, width):
                self.first = nn.Linear(width, width)
                self.second = nn.Linear(width, width)
                self.act = nn.ReLU()

            def forward(self, x):
                return x + self.second(self.act(self.first(x)))

    ``forward`` is called once, when a :class:`Network` or a :class:`Sequential` is made from the
    module. It gets symbolic values that have a shape and no numbers; the operations that it does
    are those that the network does for every row. Parameters are named after attributes, such as
    "first.weight". A layer that is called twice in one ``forward`` has the same parameters both
    times. The Module itself owns no parameters, and may be part of several networks.
    """

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The symbolic output for symbolic inputs; every Module defines it."""
        raise NotImplementedError(
            f"{type(self).__name__}: has no forward(self, ...), needed one that says what it does"
        )

    def __call__(self, *inputs: Any) -> Value:
        """The module's output in the ``forward`` of another module; TypeError for numbers."""
        return apply(self, inputs)

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): {child!r}".replace("\n", "\n  ") for name, child in children_of(self)
        ]
        return f"{type(self).__name__}(" + "".join(f"\n{line}" for line in lines) + "\n)"

    def _as_layer(self, names: Sequence[str] | None = None) -> _core.Layer:
        """The module as the core sees it; ``names`` are the arguments of ``forward``."""
        return _core.PythonLayer(type(self).__name__, partial(trace, self, names))
