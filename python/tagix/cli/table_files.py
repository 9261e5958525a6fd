"""Tables in files, as polars frames whose cells are text or typed as the file has them.

CSV in any of the usual dialects and encodings, Parquet, Arrow (Feather) and spreadsheets. What the
text of cells means, :mod:`tagix.cli.columns` says.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tagix._optional import import_optional
from tagix._text import is_number
from tagix.cli.cells import converted, evaluated, plain_numbers, present

if TYPE_CHECKING:
    import polars as pl

DELIMITERS = ";\t|,"
"""Where two fit, the first: the comma may be that of decimals, and stands in prose."""
STDIN = Path("-")
MOST_NAMES = 20
"""Columns that an error lists."""
PARQUET_SUFFIXES = (".parquet", ".pq")
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")
EXCEL_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")

# Names that pandas gives to an index in a file, which has none itself.
_UNNAMED = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
_ROWS_AT_A_TIME = 20_000
_SAMPLE_ROWS = 200
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as that of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Table:
    """What a file holds.

    Attributes:
        path: of the file, for messages.
        frame: all columns under names that differ; columns of text as the file has them.
        index: the column without a name that numbers or names the rows, which is not a feature.
        lines: the line of each row in a file of text, or its row in a sheet, (n_rows,); None in
            other files, whose rows count from 1.
        unit: what the places of rows are called, "line" or "row".
        delimiter: between the cells of a file of text.
        notes: what a user should know about how the file was read, a line each.
    """

    path: Path
    frame: pl.DataFrame
    index: str | None = None
    lines: NDArray[np.int64] | None = None
    unit: str = "row"
    delimiter: str = ","
    notes: list[str] = field(default_factory=list)
    _cells: dict[str, pl.Series] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return self.frame.height

    @property
    def names(self) -> list[str]:
        """The names of the columns, without that of the index."""
        return [name for name in self.frame.columns if name != self.index]

    def cells(self, name: str) -> pl.Series:
        """A column of text as :func:`tagix.cli.cells.present` gives it."""
        if name not in self._cells:
            self._cells[name] = present(self.frame[name])
        return self._cells[name]

    def require(self, names: Sequence[str], what: str = "column") -> None:
        """Raise ValueError, with all of the names that no column has."""
        shown = self.names
        known = set(shown)
        lacking = [name for name in names if name not in known]
        if not lacking:
            return
        if len(shown) > MOST_NAMES:
            similar = [close for name in lacking for close in get_close_matches(name, shown, 2)]
            like = f", of which {', '.join(map(repr, similar))} come near" if similar else ""
            got = f"{len(shown)} columns{like}"
        else:
            got = f"the columns {', '.join(map(repr, shown)) or 'none'}"
        hint = ""
        if sum(map(is_number, shown)) * 2 >= len(shown):
            hint = "; the first line must hold the names of the columns"
        raise ValueError(
            f"{self.path}: got {got}, needed the {what}{'s' * (len(lacking) > 1)} "
            f"{', '.join(map(repr, lacking))}{hint}"
        )

    def without(self, names: Sequence[str]) -> Table:
        """The table without some columns, with the same notes. ValueError if it lacks them."""
        self.require([name for name in names if name != self.index])
        return replace(self, frame=self.frame.drop(names))

    def with_missing(self, marks: Sequence[str]) -> Table:
        """The table, with the same notes, in which some more cells stand for no value.

        Args:
            marks: cells, in any case; those that are numbers, in any spelling.
        """
        import polars as pl

        if not marks:
            return self
        words = [mark.strip().lower() for mark in marks]
        numbers = pl.Series(
            values=[float(mark) for mark in marks if is_number(mark)], dtype=pl.Float64
        )
        columns = []
        for column in self.frame.get_columns():
            if column.dtype == pl.String:
                cells = self.cells(column.name)
                values = plain_numbers(cells)
                missing = cells.str.to_lowercase().is_in(words) | values.is_in(numbers)
            elif column.dtype.is_numeric():
                missing = converted(column, pl.Float64).is_in(numbers)
            else:
                columns.append(column)
                continue
            kept = evaluated(pl.when(missing.fill_null(False)).then(None).otherwise(column))
            columns.append(kept.alias(column.name))
        return replace(self, frame=pl.DataFrame(columns))

    def where(self, row: int) -> str:
        """The place of a row for messages, such as "line 7"."""
        return f"{self.unit} {row + 1 if self.lines is None else self.lines[row]}"


def read_table(path: Path) -> Table:
    """Read a file by its suffix; "-" is CSV from stdin, and so is a file of any other suffix.

    The first line of text, and the first row of a spreadsheet, holds the names of the columns.
    Columns that have neither a name nor a cell are left out, and so is a first one without a name
    that counts or names the rows. Names that occur twice, and missing ones, are replaced.

    Raises:
        ValueError: for a file of another kind, without names or rows, or with rows of different
            lengths; one line with the path and, where there is one, the line.
        OSError: if the file cannot be read.
        ImportError: without polars, or fastexcel for a spreadsheet.
    """
    import_optional("polars", extra="cli")
    suffix = path.suffix.lower()
    if suffix in PARQUET_SUFFIXES + ARROW_SUFFIXES:
        table = _read_columns(path, suffix)
    elif suffix in EXCEL_SUFFIXES:
        table = _read_sheet(path)
    else:
        table = _read_text(path)
    if not len(table):
        raise ValueError(f"{path}: got no rows, needed at least one beside the names of columns")
    return table


def _read_columns(path: Path, suffix: str) -> Table:
    """Parquet and Arrow, whose columns are typed."""
    import polars as pl

    try:
        if suffix in PARQUET_SUFFIXES:
            frame = pl.read_parquet(path)
        elif path.read_bytes()[:6] == b"ARROW1":
            frame = pl.read_ipc(path)
        else:  # the format of streams
            frame = pl.read_ipc_stream(path)
    except pl.exceptions.PolarsError as error:
        raise _not_readable(path, suffix, error) from error
    return _named(path, frame.columns, frame)


def _read_sheet(path: Path) -> Table:
    """The first sheet of a spreadsheet, all cells as text."""
    import polars as pl

    fastexcel = import_optional("fastexcel", extra="cli")
    try:
        book = fastexcel.read_excel(path)
        frame = book.load_sheet(0, header_row=None, dtypes="string").to_polars()
    except (fastexcel.FastExcelError, pl.exceptions.PolarsError) as error:
        raise _not_readable(path, path.suffix, error) from error
    if not frame.height:
        return Table(path, frame)
    names = [name or "" for name in frame.row(0)]
    table = _named(path, names, frame.slice(1), np.arange(2, frame.height + 1))
    if len(book.sheet_names) > 1:
        table.notes.insert(
            0, f"{path}: read the first of {len(book.sheet_names)} sheets, {book.sheet_names[0]!r}"
        )
    return table


def _not_readable(path: Path, suffix: str, error: Exception) -> ValueError:
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return ValueError(f"{path}: got a file that is not readable as {suffix} ({reason})")


def _read_text(path: Path) -> Table:
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
    table = _named(path, names, frame, lines)
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
                    f"{path}: got bytes that are not {name}, which its mark says ({error})"
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


def _named(
    path: Path,
    raw_names: Sequence[str],
    frame: pl.DataFrame,
    lines: NDArray[np.int64] | None = None,
) -> Table:
    """A table under names that differ, with a note for each one that is not the file's."""
    import polars as pl

    names = [" ".join(name.split()) for name in raw_names]
    names[:1] = [name.removeprefix("#").lstrip() for name in names[:1]]
    if frame.width and all(is_number(name) for name in names if name) and any(names):
        raise ValueError(
            f"{path}: got numbers alone in the first line ({next(filter(None, names))!r} first), "
            "needed names of columns"
        )
    if len(names) == frame.width - 1:
        # Delimiters that end the lines of rows make an empty column; R writes the names of rows
        # first, under no name.
        ends_empty = not len(_cells(frame.to_series(-1)).drop_nulls())
        names = [*names, ""] if ends_empty else ["", *names]
    if lines is not None:
        frame, lines = _without_empty_end(frame, lines)
    kept: dict[str, pl.Series] = {}
    notes: list[str] = []
    index = None
    for place, (name, column) in enumerate(zip(names, frame.get_columns(), strict=True)):
        unnamed = _UNNAMED.fullmatch(name) is not None
        if unnamed and not len(_cells(column).drop_nulls()):
            continue
        of_index = place == 0 or name.startswith("__index_level_")
        if unnamed and index is None and of_index and _names_rows(column):
            index = name
            notes.append(f"{path}: left out column {place + 1}, which has no name and numbers rows")
        elif not name:
            name = _unused(f"column_{place + 1}", [*names, *kept])
            notes.append(f"{path}: column {place + 1} has no name, read as {name!r}")
        elif name in kept:
            others = (f"{name}_{number}" for number in itertools.count(2))
            renamed = next(other for other in others if other not in (*names, *kept))
            notes.append(f"{path}: column {place + 1} is another {name!r}, read as {renamed!r}")
            name = renamed
        kept[name] = column
    return Table(path, pl.DataFrame(kept), index, lines, notes=notes)


def _without_empty_end(
    frame: pl.DataFrame, lines: NDArray[np.int64]
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Without the rows of delimiters alone that spreadsheets write below a table."""
    import polars as pl

    end = frame.height
    while end and not any((cell or "").strip() for cell in frame.row(end - 1)):
        end -= 1
    if end == frame.height or frame.width < 2:
        return frame, lines
    return pl.DataFrame(frame.slice(0, end)), lines[:end]


def _cells(column: pl.Series) -> pl.Series:
    import polars as pl

    return present(column) if column.dtype == pl.String else column


def _names_rows(column: pl.Series) -> bool:
    """Whether cells are whole numbers or words, and all of them differ."""
    import polars as pl

    cells = _cells(column)
    if cells.null_count() or cells.n_unique() < len(cells):
        return False
    if cells.dtype != pl.String:
        return bool(cells.dtype.is_integer())
    numbers = cells.cast(pl.Float64, strict=False).drop_nulls()
    return not len(numbers) or (len(numbers) == len(cells) and bool((numbers % 1 == 0).all()))


def _unused(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name
