"""The values of cells of text: numbers in the usual spellings, dates, times, yes and no.

All functions take and return polars Series, null where a cell is missing or is not of the kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

MISSING = (
    *("", "na", "n/a", "nan", "null", "none", "<na>", "nat", "?", "-", "--", "\N{EN DASH}"),
    *(
        "\N{EM DASH}",
        ".",
        "#n/a",
        "#na",
        "#div/0!",
        "#value!",
        "#ref!",
        "#num!",
        "#name?",
        "#null!",
    ),
)
"""Cells that mean a missing value, in lower case."""

TRUE = ("true", "yes", "t", "y", "on", "ja", "wahr", "oui", "vrai")
FALSE = ("false", "no", "f", "n", "off", "nein", "falsch", "non", "faux")

_SPACE = r"[\s\u00a0\u202f\u2007\u2009]"
_CURRENCY = (
    r"(?:US\$|A\$|C\$|R\$|\p{Sc}|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SGD|HKD|SEK|NOK|DKK|ISK|PLN"
    r"|CZK|HUF|RON|BRL|MXN|KRW|RUB|TRY|ZAR|ILS|kr\.?|z\u0142|K\u010d|Ft|Fr\.?)"
)


def present(cells: pl.Series) -> pl.Series:
    """Cells without surrounding spaces, null where they mean a missing value."""
    import polars as pl

    stripped = cells.str.strip_chars()
    missing = stripped.str.to_lowercase().is_in(MISSING)
    return evaluated(pl.when(missing).then(None).otherwise(stripped))


def evaluated(expression: pl.Expr) -> pl.Series:
    """The values of an expression that knows its columns."""
    import polars as pl

    values: pl.Series = pl.select(expression).to_series()
    return values


def converted(values: pl.Series, dtype: Any) -> pl.Series:
    """Values converted to another type, null where conversion fails."""
    converted: pl.Series = values.cast(dtype, strict=False)
    return converted


def plain_numbers(cells: pl.Series) -> pl.Series:
    """Numbers as programs write them, such as -3e-2, float64; infinite ones count."""
    import polars as pl

    return converted(cells, pl.Float64).fill_nan(None)


def numbers(cells: pl.Series, decimal: str) -> pl.Series:
    """Numbers as people write them, float64.

    Besides plain numbers they may have groups of thousands (1,234.5; 1'234.5; 1 234.5), a currency
    sign on either side, a percent sign, which changes nothing (12% is 12), a minus sign of any
    kind, or parentheses around negative numbers.

    Args:
        cells: text, as :func:`present` gives it.
        decimal: the decimal mark, "." or ",".
    """
    import polars as pl

    thousands = "," if decimal == "." else r"\."
    mark = r"\." if decimal == "." else ","
    groups = (
        "|".join(
            # The last of these is the Indian way: 12,34,567.
            rf"[1-9]\d{{0,2}}(?:{separator}\d{{3}})+"
            for separator in (thousands, r"['\u2019]", _SPACE)
        )
        + rf"|[1-9]\d?(?:{thousands}\d{{2}})+{thousands}\d{{3}}"
    )
    grammar = rf"^[+-]?(?:(?:{groups}|\d+)(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d+)?$"
    bare = _bare(cells)
    spelled = bare.str.replace_all(rf"{thousands}|['\u2019]|{_SPACE}", "")
    values = spelled.str.replace(mark, ".").cast(pl.Float64, strict=False)
    return evaluated(pl.when(bare.str.contains(grammar)).then(values))


def _bare(cells: pl.Series) -> pl.Series:
    """Cells without marks of currency, percent signs and unusual ways to write a minus."""
    return (
        cells.str.replace_all(r"[\u2212\u2013\ufe63\uff0d]", "-")
        .str.replace(r"^\((.*)\)$", "-$1")
        .str.replace(rf"^([+-]?){_SPACE}*{_CURRENCY}{_SPACE}*([+-]?)", "$1$2")
        .str.replace(rf"{_SPACE}*(?:{_CURRENCY}|%)$", "")
    )


def marks(cells: pl.Series) -> list[str]:
    """The currencies, and the percent sign, that some of the cells have, sorted.

    The sign of a single currency is given as its code: USD, EUR and GBP.
    """
    found = cells.str.extract(rf"({_CURRENCY}|%)").drop_nulls()
    return sorted({_CODES.get(mark, mark) for mark in found.unique().to_list()})


_CODES = {"$": "USD", "US$": "USD", "\N{EURO SIGN}": "EUR", "\N{POUND SIGN}": "GBP"}


CODE = r"^(?:0\d{2,}|\d{17,})$"


def is_code(cells: pl.Series) -> bool:
    """Whether cells are whole numbers that stand for names, such as 00501.

    Some cells are padded with zeros to three digits or more, or have more digits than a float64.
    """
    digits = cells.drop_nulls()
    return bool(digits.str.contains(CODE).any() and digits.str.contains(r"^\d+$").all())


def booleans(cells: pl.Series) -> pl.Series:
    """True/False, yes/no, t/f, y/n and on/off, and these in German and French, in any case."""
    import polars as pl

    lower = cells.str.to_lowercase()
    return evaluated(pl.when(lower.is_in(TRUE)).then(True).when(lower.is_in(FALSE)).then(False))


_CLOCK = r"(\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d+)?))?(?:\s*([AaPp])\.?[Mm]\.?)?"
_MOMENT = rf"^(.*?\d)(?:(?:T|,?\s+){_CLOCK}\s*(Z|UTC|[+-]\d{{2}}:?\d{{2}})?)?$"
_ISO_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d")
_NAMED_DATES = ("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%d %b %y")
_MONTHS = r"(?i)\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_DOTTED_DATES = ("%d.%m.%Y", "%d.%m.%y")
_DAY_FIRST = ("%d/%m/%Y", "%d-%m-%Y", "%d/%m/%y", "%d-%m-%y")
_MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y", "%m-%d-%y")


def dates(cells: pl.Series, day_first: bool) -> pl.Series:
    """Dates, with or without a time of day, in one of the usual forms; datetimes in microseconds.

    Years come first (2024-03-31, 2024/3/31, 2024-03), or last (31.03.2024, 31/3/24, 3/31/2024), or
    months have English names (31 Mar 2024, March 31, 2024). All cells are read in one form, the
    form that fits most of them. Times with an offset are converted to UTC.

    Args:
        cells: text, as :func:`present` gives it.
        day_first: whether 3/4/2024 is the third of April; with dots it always is.
    """
    import polars as pl

    parts = pl.DataFrame({"cell": cells}).select(
        *(pl.col("cell").str.extract(_MOMENT, group).alias(str(group)) for group in range(1, 7))
    )
    day = parts["1"].str.replace(r"^(\d{4})([-/])(\d{1,2})$", "${1}${2}${3}${2}01")
    words = day.str.replace_all(r"[-,.\s]+", " ")
    best = pl.Series(values=[None] * len(cells), dtype=pl.Date)
    forms: list[tuple[pl.Series, str]] = []
    if day.str.contains(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}$").any():
        in_order = _DAY_FIRST if day_first else _MONTH_FIRST
        forms += [(day, form) for form in (*_ISO_DATES, *in_order, *_DOTTED_DATES)]
    if words.str.contains(_MONTHS).any():
        forms += [(words, form) for form in _NAMED_DATES]
    if not forms:
        return converted(best, pl.Datetime("us"))
    for text, form in forms:
        # %Y takes two digits for a year of the first century.
        long = r"\d{4}" if "%Y" in form else r"(?:^|\D)\d{2}$"
        read = evaluated(
            pl.when(text.str.contains(long)).then(text.str.to_date(form, strict=False))
        )
        if read.null_count() < best.null_count():
            best = read
    clock = evaluated(pl.when(parts["2"].is_null()).then(0).otherwise(_clock(parts)))
    since_midnight = (clock - _offset(parts["6"])).cast(pl.Duration("us"))
    moments: pl.Series = best.cast(pl.Datetime("us")) + since_midnight
    return moments


def _clock(parts: pl.DataFrame) -> pl.Series:
    """The time of day in microseconds; null where there is none or it is impossible."""
    import polars as pl

    hours, minutes = parts["2"].cast(pl.Int64), parts["3"].cast(pl.Int64)
    seconds = parts["4"].str.replace(",", ".").cast(pl.Float64).fill_null(0.0)
    half = parts["5"].str.to_lowercase()
    of_half = hours % 12
    hour = evaluated(
        pl.when(half == "p").then(of_half + 12).when(half == "a").then(of_half).otherwise(hours)
    )
    micros = (hour * 60 + minutes) * 60_000_000 + (seconds * 1e6).round().cast(pl.Int64)
    return evaluated(pl.when((hour < 24) & (minutes < 60) & (seconds < 61)).then(micros))


def _offset(text: pl.Series) -> pl.Series:
    """What a local time is ahead of UTC, in microseconds."""
    import polars as pl

    hours = text.str.extract(r"^[+-](\d{2}):?\d{2}$").cast(pl.Int64)
    minutes = hours * 60 + text.str.extract(r"^[+-]\d{2}:?(\d{2})$").cast(pl.Int64)
    micros = minutes.fill_null(0) * 60_000_000
    return evaluated(pl.when(text.str.starts_with("-")).then(-micros).otherwise(micros))


def hours(cells: pl.Series) -> pl.Series:
    """Times of day such as 14:30, 2:30 pm and 14:30:05.5, as hours since midnight, float64."""
    import polars as pl

    if not cells.str.contains(":", literal=True).any():
        return pl.Series(values=[None] * len(cells), dtype=pl.Float64)
    parts = pl.DataFrame({"cell": cells}).select(
        *(
            pl.col("cell").str.extract(rf"^{_CLOCK}$", group).alias(str(group + 1))
            for group in range(1, 5)
        )
    )
    return converted(_clock(parts), pl.Float64) / 3.6e9
