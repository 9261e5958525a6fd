"""How the command line reads files of tables for a model; kept in the model's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagix.io import Record

KINDS = ("number", "boolean", "category", "date", "time")
"""Of columns."""


@dataclass(frozen=True)
class Conventions:
    """How a file writes numbers and dates; None where it leaves that open.

    Attributes:
        decimal: the decimal mark, "." or ",".
        day_first: whether 3/4/2024 is the third of April.
    """

    decimal: str | None = None
    day_first: bool | None = None


@dataclass(frozen=True)
class TableFormat:
    """What was found out about the table that a model was fitted to.

    Attributes:
        targets: the columns that the model predicts.
        kinds: the kind of each feature, by its name, in their order.
        conventions: of numbers and dates.
    """

    targets: list[str]
    kinds: dict[str, str]
    conventions: Conventions = field(default_factory=Conventions)

    def to_description(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "targets": self.targets,
            "kinds": list(self.kinds.values()),
            "decimal": self.conventions.decimal,
            "day_first": self.conventions.day_first,
        }

    @classmethod
    def from_description(cls, record: Record, names: Sequence[Any]) -> TableFormat:
        """What :meth:`to_description` described, for features of these names.

        Raises ValueError for anything else.
        """
        targets, kinds = record.items("targets"), record.items("kinds")
        decimal, day_first = record.take("decimal"), record.take("day_first")
        record.done()
        if not targets or not all(isinstance(target, str) for target in targets):
            raise ValueError(f"targets: got {targets!r:.80}, needed names")
        if not all(isinstance(kind, str) and kind in KINDS for kind in kinds):
            raise ValueError(f"kinds: got {kinds!r:.80}, needed those of columns")
        if len(kinds) != len(names) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"kinds: got {len(kinds)}, needed one for each name of a feature")
        if decimal not in (None, ".", ","):
            raise ValueError(f"decimal: got {decimal!r:.80}, needed a point, a comma or nothing")
        if not (day_first is None or isinstance(day_first, bool)):
            raise ValueError(f"day_first: got {day_first!r:.80}, needed true, false or nothing")
        return cls(targets, dict(zip(names, kinds, strict=True)), Conventions(decimal, day_first))
