"""Symbolic values: the outputs of layers and modules while a network is written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol, cast

from tagix import _core
from tagix._core import Layer


class HasForward(Protocol):
    """A module, whose attributes are layers and other modules."""

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The symbolic output for symbolic inputs."""


class Value:
    """A value of a network that is being written down: it has a shape and no numbers.

    ``a + b`` is the elementwise sum and ``a * b`` the elementwise product of values of one shape.
    The two values count as independent, except in ``x + f(x)`` with one activation f, which is
    exact. Raises ValueError for shapes that do not fit, and for a product of two activations of one
    value.
    """

    __slots__ = ("_frame", "_number")

    def __init__(self, frame: Frame, number: int) -> None:
        self._frame, self._number = frame, number

    @property
    def shape(self) -> tuple[int, ...]:
        """(features,), or (channels, ...) on a grid."""
        return self._frame.builder().shape(self._number)

    def __add__(self, other: Any) -> Value:
        a, b = (self._frame.number(value, "a sum") for value in (self, other))
        return Value(self._frame, self._frame.builder().add(a, b))

    def __mul__(self, other: Any) -> Value:
        a, b = (self._frame.number(value, "a product") for value in (self, other))
        return Value(self._frame, self._frame.builder().product(a, b))

    def __radd__(self, other: Any) -> NoReturn:
        self._frame.number(other, "a sum")
        raise AssertionError  # a symbolic value would have been asked first

    def __rmul__(self, other: Any) -> NoReturn:
        self._frame.number(other, "a product")
        raise AssertionError

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "forward: got a decision by a symbolic value, which has no numbers, needed the same "
            "operations for all rows"
        )

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            "forward: got a symbolic value where numbers are needed: it can be added, multiplied, "
            "concatenated by nn.concat and given to layers"
        )

    __array__ = __array_ufunc__ = __array_function__ = __float__ = __int__ = __index__ = _refuse
    __iter__ = __len__ = __getitem__ = __sub__ = __rsub__ = __truediv__ = __matmul__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __neg__ = __pow__ = __abs__ = _refuse

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"Value(shape={self.shape})" if self._frame.is_open else "Value()"


class Frame:
    """One call of a module's ``forward``: the builder, and the names of the module's children."""

    def __init__(self, module: HasForward, builder: _core.GraphBuilder) -> None:
        self._builder: _core.GraphBuilder | None = builder
        self._children = {id(child): name for name, child in children_of(module)}
        self._module = module
        self._layers: dict[int, Layer] = {}  # of modules, so that each is one layer in all calls

    @property
    def is_open(self) -> bool:
        """Whether the network is still being written down."""
        return self._builder is not None

    def close(self) -> None:
        """End the frame when ``forward`` has returned; its values cannot be used afterwards."""
        self._builder = None

    def builder(self) -> _core.GraphBuilder:
        """What the network is written down with."""
        if self._builder is None:
            raise TypeError("got a symbolic value of a forward that has ended")
        return self._builder

    def number(self, value: Any, use: str) -> int:
        """The number of a value of this network; TypeError for anything else."""
        if not isinstance(value, Value) or value._frame.builder() is not self.builder():
            raise TypeError(
                f"{_place(self.builder().path)}got {_shown(value)} for {use}, needed a symbolic "
                "value"
            )
        return value._number

    def apply(self, layer: Any, inputs: Sequence[Any]) -> Value:
        """The output of a child of the module."""
        builder, name = self.builder(), self._children.get(id(layer))
        numbers = [self.number(value, "a layer's input") for value in inputs]
        if name is None:
            raise ValueError(
                f"{_place(builder.path)}forward of {type(self._module).__name__} calls {layer!r}, "
                "needed layers that are attributes of the module, or in a list, a tuple or a dict "
                "that is one"
            )
        if id(layer) not in self._layers:
            self._layers[id(layer)] = as_layer(layer)
        return Value(self, builder.apply(name, self._layers[id(layer)], numbers))


def apply(layer: Any, inputs: Sequence[Any]) -> Value:
    """What a layer gives for symbolic values, when ``forward`` calls it."""
    if not inputs or not isinstance(inputs[0], Value):
        given = _shown(inputs[0]) if inputs else "nothing"
        raise TypeError(
            f"{type(layer).__name__}: got {given}, needed a symbolic value: a layer describes a "
            "part of a network, and nn.Sequential or nn.Network predicts"
        )
    return inputs[0]._frame.apply(layer, inputs)


def concat(values: Sequence[Value]) -> Value:
    """The channels of symbolic values side by side, in the ``forward`` of a :class:`Module`.

    Args:
        values: symbolic values of shape (features,), or on the same grid.

    Returns:
        A symbolic value with the channels of all of them.

    Raises:
        ValueError: if there is no value, or if the grids differ.
        TypeError: for anything but symbolic values.
    """
    if not isinstance(values, (list, tuple)) or not all(isinstance(v, Value) for v in values):
        raise TypeError(f"concat: got {_shown(values)}, needed a list of symbolic values")
    if not values:
        raise ValueError("concat: got no values, needed at least 1")
    frame = values[0]._frame
    numbers = [frame.number(value, "a concatenation") for value in values]
    return Value(frame, frame.builder().concat(numbers))


def trace(
    module: HasForward,
    names: Sequence[str] | None,
    builder: _core.GraphBuilder,
    inputs: Sequence[int],
) -> int:
    """Write a module down by calling its ``forward``; returns the number of its output.

    With ``names`` the inputs are given to ``forward`` by keyword.
    """
    frame = Frame(module, builder)
    try:
        values = [Value(frame, number) for number in inputs]
        if names is None:
            output = module.forward(*values)
        else:
            output = module.forward(**dict(zip(names, values, strict=True)))
        if not isinstance(output, Value):
            raise TypeError(
                f"{_place(builder.path)}forward of {type(module).__name__} returned "
                f"{_shown(output)}, needed a symbolic value"
            )
        return frame.number(output, "an output")
    finally:
        frame.close()


def as_layer(layer: Any) -> Layer:
    """The core's layer of a layer, a Sequential or a Module."""
    return layer if isinstance(layer, Layer) else cast(Layer, layer._as_layer())


def children_of(module: Any) -> Iterator[tuple[str, Any]]:
    """Names and layers among the attributes of a module, in their order.

    Layers in a list or a tuple are named by their position, layers in a dict by their key:
    "blocks.0", "heads.mean".
    """
    for name, value in vars(module).items():
        yield from _within(name, value)


def _within(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Layer) or hasattr(type(value), "_as_layer"):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for position, each in enumerate(value):
            yield from _within(f"{name}.{position}", each)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _within(f"{name}.{key}", each)


def _place(path: str) -> str:
    return f"layer {path}: " if path else ""


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, (int, float, str)) else f"a {type(value).__name__}"
