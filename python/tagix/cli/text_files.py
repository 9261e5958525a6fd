"""Tables in files of text: their encoding, delimiter, lines and quotes."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tagix._text import is_number
from tagix.cli.column_names import named_table
from tagix.cli.paths import ARROW_SUFFIXES, EXCEL_SUFFIXES, PARQUET_SUFFIXES, STDIN
from tagix.cli.table import Table

if TYPE_CHECKING:
    import polars as pl

DELIMITERS = ";\t|,"
"""Where two fit, the first: the comma may be that of decimals, and stands in prose."""

_ROWS_AT_A_TIME = 20_000
_SAMPLE_ROWS = 200
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as that of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> Table:
    """The table of a file of text, all cells as text; of stdin where ``path`` is "-".

    Raises:
        ValueError: for a file that is not text, without names, or with rows of different lengths;
            one line with the path and, where there is one, the line.
        OSError: if the file cannot be read.
    """
    data = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    if path == STDIN:
        path = Path("stdin")
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise ValueError(f"{path}: got a damaged gzip file ({error})") from error
    text, encoding = _decode(path, data)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text, first_line, stated = _without_preamble(text)
    text = text.rstrip("\n")
    if not text.strip():
        raise ValueError(f"{path}: got no text, needed names of columns and rows")
    delimiter = stated or _delimiter(text)
    if delimiter == " ":
        text, delimiter = re.sub(r"(?m)^ +| +$", "", text), "\t"
        text = re.sub(" +", "\t", text)
    text, first_line = _without_comments(text, first_line, delimiter)
    names, frame, lines = (_split_quoted if '"' in text else _split_plain)(
        path, text, first_line, delimiter
    )
    table = named_table(path, names, frame, lines)
    if encoding is not None:
        table.notes.insert(0, f"{path}: not UTF-8, read as {encoding}")
    return replace(table, delimiter=delimiter, unit="line")


def _decode(path: Path, data: bytes) -> tuple[str, str | None]:
    """The text, and its encoding if that is a guess."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), None
            except UnicodeDecodeError as error:
                name = encoding.upper().removesuffix("-SIG")
                raise ValueError(
                    f"{path}: got bytes that are not {name}, as its byte order mark says ({error})"
                ) from error
    sample = np.frombuffer(data[:4096], np.uint8)
    if (sample == 0).any():
        # ASCII in UTF-16 has a zero in every other byte.
        for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
            if (sample[start::2] == 0).mean() > 0.5 and not (sample[1 - start :: 2] == 0).any():
                try:
                    return data.decode(encoding), encoding.upper()
                except UnicodeDecodeError:
                    break
        raise ValueError(
            f"{path}: got bytes that are not text; files of other kinds are known by their suffix, "
            f"{', '.join(PARQUET_SUFFIXES + ARROW_SUFFIXES + EXCEL_SUFFIXES)}"
        )
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "Latin-1"


def _without_preamble(text: str) -> tuple[str, int, str | None]:
    """The text from the first line that is not empty, its number, and what Excel's "sep=" says."""
    body = text.lstrip("\n")
    first_line = 1 + len(text) - len(body)
    stated = re.match(r'"?sep=(.)"?\n', body)
    if stated is None:
        return body, first_line, None
    return body[stated.end() :], first_line + 1, stated[1]


def _without_comments(text: str, first_line: int, delimiter: str) -> tuple[str, int]:
    """The text without lines that begin with # before the names of columns.

    The last of them may be the names, as numpy.savetxt writes them: if it has as many cells as the
    line that follows, and that is not a line of names itself.
    """
    lines = list(itertools.takewhile(lambda line: line.startswith("#"), text.split("\n")))
    if not lines:
        return text, first_line
    follows = text.split("\n", len(lines) + 1)[len(lines) : len(lines) + 1]
    cells = follows[0].split(delimiter) if follows else []
    as_many = lines[-1].count(delimiter) + 1 == len(cells)
    if as_many and any(map(is_number, cells)):
        lines.pop()
    skipped = sum(len(line) + 1 for line in lines)
    return text[skipped:], first_line + len(lines)


def _reader(text: str, delimiter: str) -> Any:
    return csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )


def _delimiter(text: str) -> str:
    """The one by which most of the first rows have as many cells as there are names.

    A space stands for columns that are aligned by spaces.
    """
    end = 0
    for _ in range(_SAMPLE_ROWS):
        end = text.find("\n", end) + 1
        if not end:
            end = len(text)
            break
    sample = "\n".join(line for line in text[:end].split("\n") if not line.startswith("#"))
    sample = sample or text[:end]
    header = sample.partition("\n")[0]

    def score(delimiter: str) -> tuple[bool, float, bool, int]:
        widths: list[int] = []
        fits_quotes = True
        try:
            widths.extend(len(row) for row in _reader(sample, delimiter) if row)
        except csv.Error as error:
            fits_quotes = "unexpected end" in str(error)  # the sample may end within quotes
        if not widths or widths[0] < 2 or max(widths[1:], default=2) < 2:
            return False, 0.0, False, 0
        share = widths.count(widths[0]) / len(widths)
        in_prose = header.count(f"{delimiter} ") == header.count(delimiter)
        return fits_quotes, share, not in_prose, widths[0]

    best = max(DELIMITERS, key=score)
    if score(best)[1]:
        return best
    widths = {len(line.split()) for line in sample.split("\n") if line.strip()}
    if '"' not in sample and len(widths) == 1 and widths != {1}:
        return " "
    # One column, in the names of which, and the cells, the others may occur.
    return min(DELIMITERS, key=sample.count)


def _split_plain(
    path: Path, text: str, first_line: int, delimiter: str
) -> tuple[list[str], pl.DataFrame, NDArray[np.int64]]:
    """Names, cells and the lines of rows of a text without quotes."""
    import polars as pl

    data = text.encode() if text.endswith("\n") else text.encode() + b"\n"
    header, _, _ = text.partition("\n")
    names = header.split(delimiter)
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == ord("\n"))
    starts = np.append(0, ends[:-1] + 1)
    places = np.flatnonzero(array == ord(delimiter))
    widths = np.diff(np.searchsorted(places, np.append(0, ends))) + 1
    blank = starts == ends
    for line in np.flatnonzero((widths == 1) & ~blank):  # few but in files of one column
        blank[line] = not data[starts[line] : ends[line]].strip()
    rows = np.flatnonzero(~blank)[1:]
    lines = rows + first_line
    _check_widths(path, len(names), widths[rows], lines)
    if not len(rows):
        return names, pl.DataFrame({name: [] for name in map(str, range(len(names)))}), lines
    body = data[ends[0] + 1 :]
    if blank.any():
        body = b"".join(data[starts[row] : ends[row] + 1] for row in rows)
    # All cells as text: no number of rows is looked at for types.
    frame = pl.read_csv(
        body, has_header=False, separator=delimiter, quote_char=None, infer_schema_length=0
    )
    return names, frame, lines


def _split_quoted(
    path: Path, text: str, first_line: int, delimiter: str
) -> tuple[list[str], pl.DataFrame, NDArray[np.int64]]:
    """As :func:`_split_plain`, for cells in quotes, which may hold delimiters and ends of lines.

    By Python's own reader: that of polars fills up rows that are too short, and neither finds
    quotes after a space nor tells the line of an error.
    """
    import polars as pl

    reader = _reader(text, delimiter)
    lines: list[int] = []

    def rows() -> Any:
        for row in reader:
            if row and not (len(row) == 1 and not row[0].strip()):
                lines.append(first_line + reader.line_num - 1)
                yield row

    parts: list[list[Sequence[str]]] = []
    widths: list[int] = []
    source = rows()
    try:
        names = next(source)
        while chunk := list(itertools.islice(source, _ROWS_AT_A_TIME)):
            widths.extend(map(len, chunk))
            if len(set(widths[-len(chunk) :])) > 1:
                break  # refused below
            parts.append(list(zip(*chunk, strict=True)))
    except csv.Error as error:
        line, reason = first_line + reader.line_num - 1, str(error)
        if "unexpected end" in reason:  # of the file: what matters is where the row begins
            line, reason = (lines or [first_line - 1])[-1] + 1, "got quotes that do not end"
        raise ValueError(f"{path}, line {line}: {reason}") from error
    numbers = np.array(lines[1:], dtype=np.int64)
    _check_widths(path, len(names), np.array(widths), numbers[: len(widths)])
    columns = [str(i) for i in range(max(widths, default=len(names)))]
    frames = [pl.DataFrame(dict(zip(columns, part, strict=True))) for part in parts]
    if not frames:
        return names, pl.DataFrame({column: [] for column in columns}), numbers
    return names, pl.concat(frames, rechunk=True), numbers


def _check_widths(
    path: Path, n_names: int, widths: NDArray[np.int64], lines: NDArray[np.int64]
) -> None:
    """ValueError unless all rows have a cell for each name, or all of them one more."""
    if len(widths) and (widths == n_names + 1).all():
        return
    wrong = np.flatnonzero(widths != n_names)
    if len(wrong):
        width = widths[wrong[0]]
        cells = "1 cell" if width == 1 else f"{width} cells"
        raise ValueError(
            f"{path}, line {lines[wrong[0]]}: got {cells}, needed {n_names}, one for each name in "
            "the first line"
        )
