"""The network of layers one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tagix import _core
from tagix._core import Forgetting, Layer, UpdateRule
from tagix.nn._base import Likelihood, NoiseModel, check_options
from tagix.nn._inputs import Inputs
from tagix.nn._tracing import as_layer
from tagix.nn.module import Module
from tagix.nn.network import Network

__all__ = ["Sequential"]


class Sequential(Network):
    """A network of layers, one after the other, with a Gaussian for every weight and bias.

    Args:
        *layers: layers, :class:`Module` and other Sequentials. A Sequential inside another gives
            its architecture; the outer one has parameters of its own for it.
        input_shape: the shape of the input, (features,) or (channels, ...), for arrays of (batch,
            features) or (batch, channels, ...). Needed only where the first layers take any number
            of features and give another, as :class:`Concat`, and for a :class:`Module`.
        seed: fixes the initial means and the order of batches; equal seeds give equal bits.
            Without one, the next of :func:`tagix.manual_seed`.
        device: where the parameters are and the work is done, "cpu" or "cuda"; :meth:`to` changes
            it.
        rule: how observations change the parameters, :func:`tagix.Information` (the default) or
            :func:`tagix.Capped`.
        noise: the noise of targets, which the network then knows: its predictions count it, and
            :meth:`fit` and :meth:`update` need none. :class:`tagix.Heteroscedastic` and
            ``tagix.Homoscedastic(learn=True)`` are inferred beside the values, for which the last
            layer, an :class:`Linear`, gets a second output for each; ``Homoscedastic(std)`` is
            known. None leaves it to each call.
        likelihood: what makes the network one of classes, :class:`tagix.Softmax`,
            :class:`tagix.HierarchicalSoftmax`, :class:`tagix.OneVsRest` or :class:`tagix.Remax`:
            targets are then labels, and :meth:`predict_proba` gives probabilities. The last layer
            has ``likelihood.n_outputs`` outputs, and there is no noise.
        forgetting: what the network forgets after each update, :func:`tagix.Forgetting`; nothing
            by default.
        precision: what matrix products round their factors to, for speed: "float32" (nothing),
            "mixed" (bfloat16 for variances, means stay as they are) or "bfloat16". Parameters,
            activations and sums are float32 in any case. Batches of up to 8 rows are not rounded by
            a chain of layers without an :class:`Activation`; on device "cuda", products that are
            too small for tensor cores are not. A processor or a GPU without products of
            bfloat16 runs float32 instead, with a RuntimeWarning.

    Raises:
        TypeError: for something that is not a layer, a rule, a noise model, a likelihood, a
            Forgetting, an integer seed, or the name of a device or a precision.
        ValueError: if there is no layer, a layer does not fit the one before it or the likelihood,
            there is both noise and a likelihood, a likelihood with a Forgetting that tests for
            drift, noise is to be inferred where the last layer is not a :class:`Linear`, a
            :class:`ClassEmbedding` is to forget, the seed is not in [0, 2**63), or the device or
            the precision is not there; says why not.
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
            if isinstance(layer, Sequential) and layer._has_options:
                raise ValueError(
                    "layers: got a Sequential with noise, a likelihood or forgetting at position "
                    f"{position}, needed them on the outer network, which has the parameters"
                )
        check_options(rule, noise, likelihood, forgetting)
        if input_shape is not None and not isinstance(input_shape, (list, tuple)):
            raise TypeError(f"input_shape: got {input_shape!r}, needed a shape such as (features,)")
        self._layers = layers
        self._set_up(
            _core.Container([as_layer(layer) for layer in layers]),
            Inputs(input_shape, "input_shape"),
            seed=seed,
            device=device,
            rule=rule,
            noise=noise,
            likelihood=likelihood,
            forgetting=forgetting,
            precision=precision,
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
        """The shape of the input where it was given."""
        return self._inputs.shapes.get("x")

    @property
    def _has_options(self) -> bool:
        return (self.noise or self.likelihood or self.forgetting) is not None

    @property
    def _n_layers(self) -> int:
        return len(self._layers)

    def _as_layer(self) -> Layer:
        """The layers as a part of another network."""
        if self._has_options:
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
