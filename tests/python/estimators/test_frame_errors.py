"""DataFrames that are refused, and the words that say why."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")
pytest.importorskip("narwhals", reason="needs the sklearn extra")
pytest.importorskip("pandas")
pytest.importorskip("polars")

import pandas as pd
import polars as pl
from frames import BY_HAND, COLOURS, COLUMNS, DAYS, FEW, FLAGS, FRAMES, SIZES, N, Y

from tagix.sklearn import TagiClassifier, TagiDiffusion, TagiRegressor

# Some of these tables say nothing about their targets.
pytestmark = pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better")


@pytest.fixture(params=FRAMES)
def frame(request: pytest.FixtureRequest) -> Any:
    return FRAMES[request.param](COLUMNS)


INTERNALS = re.compile(
    r"float\(\) argument|could not convert|ambiguous|inhomogeneous|not supported"
)
IDS = [f"id{row}" for row in range(N)]
MIXED: list[Any] = [1, "n/a"] * (N // 2)


class Odd:
    def __repr__(self) -> str:
        return "<odd>"


def frames(columns: dict[str, Any]) -> Any:
    return pd.DataFrame({"size": SIZES, **columns})


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (lambda: frames({"id": IDS}), "column 'id': got 60 different texts in 60 rows.*drop it"),
        (lambda: pl.DataFrame({"id": IDS}), "column 'id': got 60 different texts"),
        (
            lambda: frames({"id": [str(size) for size in SIZES]}),
            r"column 'id': .*convert it to numbers, by pandas.to_numeric",
        ),
        (lambda: frames({"id": IDS, "k": MIXED, "o": [Odd()] * N}), "3 columns.*'id'.*'k'.*'o'"),
        (
            lambda: frames({"k": MIXED}),
            r"column 'k': got numbers \(1\) and text \('n/a'\).*errors='coerce'",
        ),
        (
            lambda: frames({"k": [dt.date(2020, 1, 1), 3.0] * (N // 2)}),
            "column 'k': got dates .* and numbers",
        ),
        (lambda: pl.DataFrame({"l": [[1, 2]] * N}), "column 'l': got values of type ndarray"),
        (lambda: pl.DataFrame({"l": [{"a": 1}] * N}), "column 'l': got values of type dict"),
        (lambda: pl.DataFrame({"l": [b"a"] * N}), "column 'l': got values of type bytes"),
        (lambda: frames({"c": [1j] * N}), "column 'c': got an array of complex128"),
        (
            lambda: frames({"p": pd.period_range("2020-01-01", periods=N)}),
            "column 'p': got values of type Period",
        ),
        (lambda: frames({"colour": COLOURS})[:0], "0 sample"),
        (lambda: pd.DataFrame([[1, "x"]] * N, columns=["a", "a"]), "got two columns 'a'"),
        (lambda: pd.DataFrame(index=range(N)), "got a DataFrame without columns"),
        (lambda: pl.DataFrame({"a": SIZES}).lazy(), r"got a LazyFrame, .*X.collect\(\)"),
        (lambda: frames({"c": [np.inf] + [1.0] * (N - 1)}), "infinity in column 'c'"),
        (lambda: frames({"c": pd.Series([10**400] * N, dtype=object)}), "infinity in column 'c'"),
        (lambda: frames({"c": [np.inf] + [1.0] * (N - 1), "t": COLOURS}), "infinity in column 'c'"),
        (lambda: [["red", 1.0]] * N, "got text, 'red' in row 0 of column 0.*DataFrame"),
        (lambda: np.array([["red", 1.0]] * N, object), "got text, 'red' in row 0 of column 0"),
        (lambda: [[1.0, dt.date(2020, 1, 1)]] * N, "got dates, .* in row 0 of column 1"),
        (lambda: np.array([DAYS], "datetime64[D]").T, "got dates, .* in row 0 of column 0"),
        (lambda: [[1.0, 2.0], [1.0]] * (N // 2), r"rows of different lengths \(1, 2\)"),
        (lambda: {"a": SIZES}, "X: got {'a': .*, needed a table of numbers"),
        (lambda: None, "X: got None, needed a table of numbers"),
        (lambda: IDS, "X: got text, 'id0' in row 0"),
    ],
)
def test_tables_that_are_refused(X: Callable[[], Any], message: str) -> None:
    """The error says what and where, in words of our own; the estimator stays unfitted."""
    table = X()
    y = Y if not hasattr(table, "shape") else Y[: len(table)]
    model = TagiRegressor(**FEW)
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}") as caught:
        model.fit(table, y)
    assert not INTERNALS.search(str(caught.value)) and not hasattr(model, "nets_")


def test_too_many_categories() -> None:
    labels = [f"label{row}" for row in range(1001)]
    frame = pl.DataFrame({"c": labels}).cast(pl.Categorical)
    with pytest.raises(ValueError, match="column 'c': got 1001 categories, needed at most 1000"):
        TagiRegressor(**FEW).fit(frame, np.zeros(1001))
    few = pl.DataFrame({"c": IDS}).cast(pl.Categorical)  # the type says what they are
    assert len(TagiRegressor(**FEW).fit(few, Y).input_names_) == N
    assert len(TagiRegressor(**FEW).fit(pl.DataFrame({"c": IDS[:20]}), Y[:20]).input_names_) == 20


def test_rows_that_do_not_fit_the_columns(frame: Any) -> None:
    make = type(frame)
    model = TagiRegressor(**FEW).fit(frame, Y)
    with pytest.raises(TypeError, match="X: got a value of type ndarray, needed a DataFrame"):
        model.predict(BY_HAND[:, :4])
    with pytest.raises(ValueError, match="same order"):
        model.predict(frame[["colour", "size", "flag", "day"]])
    with pytest.raises(ValueError, match="now missing:\n- day"):
        model.predict(frame[["size", "colour", "flag"]])
    changed = make({**COLUMNS, "size": COLOURS, "day": SIZES})
    with pytest.raises(ValueError, match=r"(?s)2 columns.*'size': got text.*'day': got numbers"):
        model.predict(changed)
    numeric = TagiRegressor(**FEW).fit(frame[["size", "flag"]], Y)
    assert numeric._encoder is None
    with pytest.raises(ValueError, match=r"column 'flag': got text .* as when the estimator was"):
        numeric.predict(make({"size": SIZES, "flag": COLOURS}))
    with pytest.raises(ValueError, match=r"Input X contains NaN, which .*, in column colour_blue"):
        TagiDiffusion((4,), n_epochs=1).fit(frame).score_samples(
            make({**COLUMNS, "colour": ["purple"] * N})
        )


@pytest.mark.parametrize(
    ("y", "numbers", "labels"),
    [
        ([None, *SIZES[1:]], "y contains NaN, None.* 1 of 60 rows, the first of them row 0", None),
        ([*SIZES[:-1], np.nan], "the first of them row 59; needed a number", "needed a label"),
        (pd.Series([pd.NA, *SIZES[1:]]), "y contains NaN", "y contains NaN"),
        (pd.Series(SIZES, dtype="Float64").shift(), "y contains NaN", "y contains NaN"),
        (pl.Series([None, *SIZES[1:]]), "y contains NaN", "y contains NaN"),
        (pl.Series([None, *COLOURS[1:]]), "y contains NaN", "y contains NaN"),
        (DAYS, r"y: got dates .*datetime64\[s\]", "y: got dates .* needed labels"),
        (pd.Series(DAYS, dtype="datetime64[ns]"), "y: got datetimes", "y: got datetimes"),
        (pl.Series(DAYS), "y: got dates", "y: got dates"),
        ([dt.timedelta(1)] * N, "y: got durations", "y: got durations"),
        (COLOURS, r"y: got text \('.*'\), needed numbers.*TagiClassifier", None),
        (MIXED, r"y: got numbers and text \('n/a'\)", "labels that are all text, numbers or bool"),
        ([{}] * N, "y: got values of type dict", "y: got values of type dict"),
        ([[1.0, 2.0], [1.0]] * (N // 2), "y: got rows of different lengths", "different lengths"),
        (3.0, "y: got 3.0, needed an array", "y: got 3.0, needed an array"),
        (
            pd.DataFrame({"u": SIZES, "v": COLOURS}),
            "y: column 'v': got text",
            "1d array",
        ),
    ],
)
def test_targets_that_are_refused(y: Any, numbers: str | None, labels: str | None) -> None:
    for model, message in ((TagiRegressor(**FEW), numbers), (TagiClassifier(**FEW), labels)):
        if message is None:
            continue
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            model.fit(BY_HAND, y)
        assert not INTERNALS.search(str(caught.value)) and not hasattr(model, "nets_")


def test_the_way_out_that_errors_name() -> None:
    """Dates as days, as the error for dates in y says."""
    for y in (DAYS, pd.Series(DAYS), pd.Series(DAYS, dtype="datetime64[ns]"), pl.Series(DAYS)):
        days = np.asarray(y, "datetime64[s]").astype(float) / 86400
        assert days.tolist() == BY_HAND[:, 5].tolist()


def test_without_narwhals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays and frames of numbers are taken as before; others say what to install."""
    frame = pd.DataFrame({"size": SIZES, "flag": FLAGS})
    expected = TagiRegressor(**FEW).fit(frame, pd.Series(Y)).predict(frame)
    fitted = TagiRegressor(**FEW).fit(pd.DataFrame(COLUMNS), Y)
    monkeypatch.setattr("tagix.sklearn._frames.narwhals", lambda: None)
    monkeypatch.setattr("tagix.sklearn._explanations.narwhals", lambda: None)
    model = TagiRegressor(**FEW).fit(frame, pd.Series(Y))
    assert np.array_equal(model.predict(frame), expected)
    with pytest.raises(ValueError, match=r"column 'colour'.*pip install .tagix\[sklearn\]"):
        TagiRegressor(**FEW).fit(pd.DataFrame(COLUMNS), Y)
    with pytest.raises(TypeError, match=r"needed a DataFrame.*pip install .tagix\[sklearn\]"):
        fitted.predict(pd.DataFrame(COLUMNS))
