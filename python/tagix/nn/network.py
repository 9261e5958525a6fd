"""The network of any module: it owns the parameters, predicts and learns."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from tagix._arrays import as_count
from tagix._core import Forgetting, Layer, UpdateRule
from tagix._network_state import OPTION_NAMES, Likelihood, NoiseModel, Options, Progress
from tagix.io import save_model
from tagix.nn._base import available_device
from tagix.nn._inputs import Inputs
from tagix.nn._learning import Learning
from tagix.nn._state import Stateful
from tagix.nn._summary import Flops, LayerSummary, count_flops, summarize, table
from tagix.nn._tracing import as_layer
from tagix.nn.module import Module

__all__ = ["Network"]


class Network(Learning, Stateful):
    """A network of any topology, with a Gaussian for every weight and bias.

    Args:
        module: what the network computes: a :class:`Module`, a layer or a :class:`Sequential`. The
            network owns the parameters for it.
        inputs: the shape of the input, (features,) or (channels, ...), or a dict of shapes by name.
            The inputs of a dict are passed to the module's ``forward`` by name, and to the network
            as ``net(a=..., b=...)`` or as dicts: ``net.fit({"a": ..., "b": ...}, y)``. Arrays are
            then (batch, features) or (batch, channels, ...).
        seed: fixes the initial means and the order of batches; equal seeds give equal bits. Without
            one, the next seed after :func:`tagix.manual_seed` is used.
        device: where the parameters are and the work is done, "cpu" or "cuda"; :meth:`to` changes
            it.
        rule: how observations change the parameters, :func:`tagix.Information` (the default) or
            :func:`tagix.Capped`.
        noise: the noise of targets. The network then knows it: predictions include it, and
            :meth:`fit` and :meth:`update` need no noise. ``Homoscedastic(std)`` is known.
            :class:`tagix.Heteroscedastic` and ``tagix.Homoscedastic(learn=True)`` are inferred
            together with the values; for this the last layer, a :class:`Linear`, gets a second
            output for each value. With None each call states the noise.
        likelihood: turns the network into a classifier: :class:`tagix.Softmax`,
            :class:`tagix.HierarchicalSoftmax`, :class:`tagix.OneVsRest` or :class:`tagix.Remax`.
            Targets are then labels, and :meth:`predict_proba` gives probabilities. The last layer
            must have ``likelihood.n_outputs`` outputs, and there is no noise.
        forgetting: what the network forgets after each update, :func:`tagix.Forgetting`; nothing
            by default.
        precision: what matrix products round their factors to, for speed: "float32" (nothing),
            "mixed" (bfloat16 for variances, nothing for means) or "bfloat16". Parameters,
            activations and sums are float32 in any case. A chain of layers without an
            :class:`Activation` does not round batches of up to 8 rows. Device "cuda" does not round
            products that are too small for tensor cores. A processor or a GPU without bfloat16
            products uses float32 instead, with a RuntimeWarning.

    Raises:
        TypeError: for something that is not a module, a shape, a rule, a noise model, a likelihood,
            a Forgetting, an integer seed, or the name of a device or a precision; and for
            operations of a ``forward`` that symbolic values do not support.
        ValueError: for values in the module whose shapes do not fit (the message has the path of
            the layer and both shapes); if both noise and a likelihood are given; for a likelihood
            with a Forgetting that tests for drift; if noise is to be inferred but the last layer is
            not a separate :class:`Linear`; if a :class:`ClassEmbedding` is to forget; if the seed
            is not in [0, 2**63); and if the device or the precision is not available, with the
            reason.
    """

    def __init__(
        self,
        module: Any,
        inputs: Sequence[int] | Mapping[str, Sequence[int]],
        *,
        seed: int | None = None,
        device: str = "cpu",
        rule: UpdateRule | None = None,
        noise: NoiseModel | None = None,
        likelihood: Likelihood | None = None,
        forgetting: Forgetting | None = None,
        precision: str = "float32",
    ) -> None:
        if not isinstance(module, Layer) and not hasattr(type(module), "_as_layer"):
            raise TypeError(
                f"module: got {module!r}, needed a Module, a Sequential or a layer of tagix.nn"
            )
        if inputs is None:
            raise TypeError("inputs: got None, needed a shape, or a dict of shapes by name")
        options = Options(
            seed=seed,
            device=device,
            rule=rule,
            noise=noise,
            likelihood=likelihood,
            forgetting=forgetting,
            precision=precision,
        )
        shapes = Inputs(inputs)
        self._module = module
        if isinstance(module, Module):
            layer = module._as_layer(list(shapes.shapes) if shapes.is_named else None)
        else:
            layer = as_layer(module)
        self._set_up(layer, shapes, options)

    @property
    def module(self) -> Any:
        """What the network computes, as it was given."""
        return self._module

    @property
    def inputs(self) -> Any:
        """The shape of the input, or a dict of shapes by name, as it was given."""
        return self._inputs.as_given

    @property
    def _n_layers(self) -> int:
        return len(self.summary())

    def summary(self) -> list[LayerSummary]:
        """The layers in the order of the computation, each container before its layers.

        Returns:
            For each layer its path, its class, the shape of its output, (features,) or (channels,
            ...), and how many means it has to learn, including the layers within it.

        Raises:
            ValueError: for a Sequential of only activations that was made without input_shape.
        """
        return summarize(self._topology, self._model)

    def flops(self, batch_size: int) -> Flops:
        """The multiply-adds of matrix products for a batch: of a prediction, and of a training
        step.

        For each layer a prediction takes three products, where a network of plain numbers takes
        one, and two products if the inputs are known exactly. A step takes two more for the
        innovations of the parameters, and two for the innovations that pass to the layer below.

        Raises:
            ValueError: for a batch_size below 1, and as :meth:`summary`.
            TypeError: for anything but an integer.
        """
        return count_flops(self._topology, as_count("batch_size", batch_size, least=1))

    def __repr__(self) -> str:
        module = repr(self._module).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {module},\n  inputs={self.inputs!r}\n)"

    def __str__(self) -> str:
        """The layers with their shapes and numbers of parameters, one a line."""
        if self._topology.in_features is None:
            return repr(self)
        return table(type(self).__name__, self._inputs, self._topology, self._model)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network's structure and everything that it has learned to a safetensors file.

        :func:`tagix.load` reads it back. An existing file is replaced when the new one is complete
        and on disk. If the path is a symbolic link, the file that it points to is replaced.

        Raises:
            ValueError: for networks with an :class:`Activation`, because files hold no functions,
                and for networks with more than 10 000 layers.
            TypeError: for anything but a path.
            OSError: if the file cannot be written; an existing file is then unchanged.
        """
        save_model(self, path)

    def _parts(self) -> dict[str, Any]:
        """The first arguments of the constructor, as a pickle keeps them."""
        return {"module": self._module, "inputs": self.inputs}

    def _restore_parts(self, state: dict[str, Any], **options: Any) -> None:
        """Calls the constructor with what a pickle kept."""
        Network.__init__(self, state["module"], state["inputs"], **options)

    def __getstate__(self) -> dict[str, Any]:
        state = {**self._parts(), **self._options.arguments(), **vars(self._progress)}
        if self._made_model is not None:
            state["state_dict"] = self.state_dict()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickle of an older version may lack an entry, for which the default stands.
        options = {name: state[name] for name in OPTION_NAMES if name in state}
        options["device"] = available_device(state["device"])
        self._restore_parts(state, **options)
        if "state_dict" in state:
            self.load_state_dict(state["state_dict"])
        names = [each.name for each in fields(Progress)]
        self._progress = Progress(**{name: state[name] for name in names if name in state})
