"""JSON that somebody else wrote: read within limits, and each entry checked as it is taken."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

MOST_DEPTH = 64
"""Arrays and objects within each other."""
MOST_COUNT = 2**53
"""The largest count of epochs, samples or rows: one more still fits what counts them."""

_OPENING, _CLOSING = "[{", "]}"
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def parse_json(text: str, name: str) -> Any:
    """The value that a text of JSON stands for.

    Raises ValueError, with the name, for text that is not JSON, nesting beyond ``MOST_DEPTH``,
    names that an object has twice, integers beyond 64 bits, and strings that are not Unicode text.
    """
    _check_depth(text, name)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_integer)
        if "\\u" in text:  # may stand for half of a surrogate pair
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _check_depth(text: str, name: str) -> None:
    """Before the parser, which recurses, sees the text."""
    if sum(text.count(bracket) for bracket in _OPENING) <= MOST_DEPTH:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        found = match.group()
        depth += (found in _OPENING) - (found in _CLOSING)
        if depth > MOST_DEPTH:
            raise ValueError(f"{name}: got JSON nested more than {MOST_DEPTH} deep")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in entries if names.count(key) > 1)
        raise ValueError(f"an object has {shown(twice)} twice")
    return entries


def _integer(digits: str) -> int:
    # Before int(), which takes quadratic time.
    value = int(digits) if len(digits) <= 20 else None
    if value is None or not -(2**63) <= value < 2**63:
        raise ValueError(f"got the integer {digits[:20]}..., needed one of 64 bits")
    return value


def shown(value: Any) -> str:
    """``repr``, cut short: what a file holds may be long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class Record:
    """An object of a description, whose entries are taken one by one, each checked.

    Every method raises ValueError, with the name of the record and of the entry, for one that is
    missing or of another kind. :meth:`done` refuses what nobody took.

    Args:
        value: of JSON; ValueError unless it is an object.
        name: for messages.
    """

    def __init__(self, value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{name}: got {shown(value)}, needed an object")
        self._entries = dict(value)
        self._name = name

    def has(self, key: str) -> bool:
        """Whether an entry of that name is left."""
        return key in self._entries

    def take(self, key: str) -> Any:
        """An entry of any kind."""
        if key not in self._entries:
            raise ValueError(f"{self._name}: {key} is missing")
        return self._entries.pop(key)

    def rest(self) -> dict[str, Any]:
        """All entries that are left."""
        entries, self._entries = self._entries, {}
        return entries

    def text(self, key: str, choices: Iterable[str] | None = None) -> str:
        """A string, one of the ``choices`` if there are any."""
        value = self.take(key)
        needed = "a string" if choices is None else f"one of {sorted(choices)}"
        if not isinstance(value, str) or (choices is not None and value not in choices):
            raise self._wrong(key, value, needed)
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.take(key)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def count(self, key: str, *, least: int = 0, most: int = MOST_COUNT) -> int:
        """An integer from ``least`` to ``most``."""
        value = self.take(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._wrong(key, value, f"an integer in [{least}, {most}]")
        return value

    def number(self, key: str) -> float:
        """A finite number."""
        value = self.take(key)
        if (
            not isinstance(value, (int, float))
            or isinstance(value, bool)
            or not math.isfinite(value)
        ):
            raise self._wrong(key, value, "a finite number")
        return float(value)

    def items(self, key: str, *, most: int | None = None) -> list[Any]:
        """A list, of no more than ``most`` items."""
        value = self.take(key)
        if not isinstance(value, list):
            raise self._wrong(key, value, "a list")
        if most is not None and len(value) > most:
            raise ValueError(f"{self._name}: {key}: got {len(value)} items, needed at most {most}")
        return value

    def record(self, key: str) -> Record:
        """An object."""
        return Record(self.take(key), f"{self._name}: {key}")

    def done(self) -> None:
        """ValueError if an entry has not been taken."""
        if self._entries:
            raise ValueError(
                f"{self._name}: got {shown(next(iter(self._entries)))}, needed no such entry"
            )

    def _wrong(self, key: str, value: Any, needed: str) -> ValueError:
        return ValueError(f"{self._name}: {key}: got {shown(value)}, needed {needed}")
