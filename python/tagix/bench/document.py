"""Put tables into a document, each between its markers, without other changes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tagix.bench.store import write_atomically

_END = "<!-- end of table -->"


def begin_marker(name: str) -> str:
    """The line before the table of that name."""
    return f"<!-- table: {name} -->"


def replace_table(text: str, name: str, table: str) -> str:
    """The text, with the part between the markers of a table replaced by this table.

    ValueError unless the text has the pair of markers once.
    """
    begin = begin_marker(name)
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(_END)}", re.DOTALL)
    if text.count(begin) != 1 or len(pattern.findall(text)) != 1:
        raise ValueError(f"document: needed {begin!r} once, and {_END!r} behind it")
    # By a function, since a table may hold what a replacement string would interpret.
    return pattern.sub(lambda _: f"{begin}\n\n{table.strip()}\n\n{_END}", text)


def check_document(path: Path, names: Iterable[str]) -> None:
    """ValueError unless the document has the markers of these tables; OSError without it."""
    text = path.read_text(encoding="utf-8")
    for name in names:
        replace_table(text, name, "")


def write_document(path: Path, tables: dict[str, str]) -> None:
    """Replace these tables in a document; it is written whole or not at all."""
    text = path.read_text(encoding="utf-8")
    for name, table in tables.items():
        text = replace_table(text, name, table)
    write_atomically(path, lambda file: file.write(text.encode()))
