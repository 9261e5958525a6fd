"""The network of layers one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tagix import _core
from tagix._core import Forgetting, Layer, UpdateRule
from tagix._network_state import Likelihood, NoiseModel, Options
from tagix.nn._inputs import Inputs
from tagix.nn._tracing import as_layer
from tagix.nn.module import Module
from tagix.nn.network import Network

__all__ = ["Sequential"]


class Sequential(Network):
    """A network of layers, one after the other, with a Gaussian for every weight and bias.

    Args:
        *layers: layers, Modules (:class:`Module`) and other Sequentials. A Sequential inside
            another contributes only its architecture; the outer Sequential owns the parameters.
        input_shape: the shape of the input, (features,) or (channels, ...), for arrays of (batch,
            features) or (batch, channels, ...). Needed only for a :class:`Module`, and where the
            first layers take any number of features and change it, as :class:`Concat` does.
        seed, device, rule, noise, likelihood, forgetting, precision: as for :class:`Network`.

    Raises:
        TypeError, ValueError: as :class:`Network`, for its options and for layers that do not fit
            one after the other; also ValueError if there is no layer, and for a Sequential with
            noise, a likelihood or forgetting inside another one.
    """

    def __init__(
        self,
        *layers: Layer | Module | Sequential,
        input_shape: Sequence[int] | None = None,
        seed: int | None = None,
        device: str = "cpu",
        rule: UpdateRule | None = None,
        noise: NoiseModel | None = None,
        likelihood: Likelihood | None = None,
        forgetting: Forgetting | None = None,
        precision: str = "float32",
    ) -> None:
        for position, layer in enumerate(layers):
            if not isinstance(layer, (Layer, Module, Sequential)):
                raise TypeError(
                    f"layers: got {layer!r} at position {position}, needed a layer of tagix.nn"
                )
            if isinstance(layer, Sequential) and layer._options.has_extras:
                raise ValueError(
                    "layers: got a Sequential with noise, a likelihood or forgetting at position "
                    f"{position}, needed them on the outer network, which has the parameters"
                )
        options = Options(
            seed=seed,
            device=device,
            rule=rule,
            noise=noise,
            likelihood=likelihood,
            forgetting=forgetting,
            precision=precision,
        )
        if input_shape is not None and not isinstance(input_shape, (list, tuple)):
            raise TypeError(f"input_shape: got {input_shape!r}, needed a shape such as (features,)")
        self._layers = layers
        self._set_up(
            _core.Container([as_layer(layer) for layer in layers]),
            Inputs(input_shape, "input_shape"),
            options,
        )

    @property
    def module(self) -> Sequential:
        """The network itself."""
        return self

    @property
    def layers(self) -> tuple[Any, ...]:
        """The layers as they were given."""
        return self._layers

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of the input if it was given."""
        return self._inputs.shapes.get("x")

    @property
    def _n_layers(self) -> int:
        return len(self._layers)

    def _as_layer(self) -> Layer:
        """The layers as a part of another network."""
        if self._options.has_extras:
            raise ValueError(
                "layers: got a Sequential with noise, a likelihood or forgetting as a part of "
                "another network, needed them on the outer one, which has the parameters"
            )
        return self._layer

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, index: int) -> Any:
        return self._layers[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._layers)

    def __repr__(self) -> str:
        lines = [
            f"  ({i}): {layer!r}".replace("\n", "\n  ") for i, layer in enumerate(self._layers)
        ]
        return "Sequential(\n" + "\n".join(lines) + "\n)"

    def _parts(self) -> dict[str, Any]:
        return {"layers": self._layers, "input_shape": self.input_shape}

    def _restore_parts(self, state: dict[str, Any], **options: Any) -> None:
        # Pickles of older versions know no input_shape.
        shape = state.get("input_shape")
        Sequential.__init__(self, *state["layers"], input_shape=shape, **options)
