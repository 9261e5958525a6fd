"""The state of a network besides its layers, its inputs and its parameters.

Copies, pickles, files, and merged or grown networks are made from the fields of these two classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

from tagix import _core
from tagix._core import (
    Capped,
    Forgetting,
    Heteroscedastic,
    HierarchicalSoftmax,
    Homoscedastic,
    Information,
    OneVsRest,
    Remax,
    Softmax,
    UpdateRule,
)
from tagix._seeds import resolve_seed

NoiseModel: TypeAlias = "Homoscedastic | Heteroscedastic"
Likelihood: TypeAlias = "HierarchicalSoftmax | OneVsRest | Remax | Softmax"


@dataclass(frozen=True)
class Options:
    """The arguments of a network's constructor, except its layers and its inputs.

    See :class:`tagix.nn.Network` for what each means. A field may name classes: the option is then
    None or an instance of one of them, which has the arguments of its constructor as ``config``. An
    extra is such an option that is not required: None means that the network has none.

    Raises:
        TypeError: for an option of another class.
        ValueError: for noise together with a likelihood.
    """

    seed: int | None = None
    device: str = "cpu"
    rule: UpdateRule | None = field(default=None, metadata={"classes": (Information, Capped)})
    noise: NoiseModel | None = field(
        default=None, metadata={"classes": (Homoscedastic, Heteroscedastic), "extra": True}
    )
    likelihood: Likelihood | None = field(
        default=None,
        metadata={"classes": (Softmax, HierarchicalSoftmax, OneVsRest, Remax), "extra": True},
    )
    forgetting: Forgetting | None = field(
        default=None, metadata={"classes": (Forgetting,), "extra": True}
    )
    precision: str = "float32"
    """The precision that the user chose; the device may not support it."""

    def __post_init__(self) -> None:
        for name, classes in CLASSES.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, tuple(classes.values())):
                raise TypeError(f"{name}: got {value!r}, needed {_calls(list(classes))}")
        if self.likelihood is not None and self.noise is not None:
            raise ValueError(
                f"noise: got {self.noise!r}, needed None: with likelihood={self.likelihood!r} "
                "targets are labels, which have no noise"
            )

    def resolved(self) -> Options:
        """The same options, with the default seed and rule where they are None.

        Raises TypeError for a seed that is not an integer, ValueError unless it is in [0, 2**63).
        """
        rule = Information() if self.rule is None else self.rule
        return replace(self, seed=resolve_seed(self.seed), rule=rule)

    def arguments(self) -> dict[str, Any]:
        """All options by name, for a constructor or a pickle."""
        return {name: getattr(self, name) for name in OPTION_NAMES}

    @property
    def has_extras(self) -> bool:
        """Whether one of :data:`EXTRAS` is given."""
        return any(getattr(self, name) is not None for name in EXTRAS)


OPTION_NAMES: tuple[str, ...] = tuple(each.name for each in fields(Options))

CLASSES: dict[str, dict[str, Any]] = {
    each.name: {cls.__name__: cls for cls in each.metadata["classes"]}
    for each in fields(Options)
    if each.metadata
}
"""The classes, by their names, of each option that is an instance of a class of tagix."""

EXTRAS: tuple[str, ...] = tuple(each.name for each in fields(Options) if each.metadata.get("extra"))
"""The names of the extras; a network inside another network must not have any."""


@dataclass(frozen=True)
class Progress:
    """The state that the use of a network changes, except its parameters."""

    epochs_trained: int = 0
    """Epochs of ``fit``."""
    drift: tuple[float, float, float, int] = (0.0, 0.0, 0.0, 0)
    """Of the test for drift: sums of chi-square, weights and squared weights; drifts found."""
    training: bool = True
    """Whether the network is in training mode; the core does not store this."""

    @classmethod
    def of(cls, model: _core.Model, training: bool = True) -> Progress:
        """The progress of a model."""
        return cls(model.epochs_trained, model.drift, training)

    def give_to(self, model: _core.Model) -> None:
        """Make it the progress of a model."""
        model.epochs_trained, model.drift = self.epochs_trained, self.drift


def _calls(names: list[str]) -> str:
    """As "tagix.A(), tagix.B() or tagix.C()"."""
    calls = [f"tagix.{name}()" for name in names]
    return " or ".join([", ".join(calls[:-1]), calls[-1]]) if len(calls) > 1 else calls[0]
