"""What columns of DataFrames become, against scikit-learn's encoder and pandas' arithmetic."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")
pytest.importorskip("narwhals", reason="needs the sklearn extra")
pytest.importorskip("pandas")
pytest.importorskip("polars")

import pandas as pd
import polars as pl
from frames import COLOURS, COLUMNS, FEW, FRAMES, SIZES, N, Y, encoded, names_of
from sklearn.preprocessing import OneHotEncoder

from tagix.sklearn import TagiRegressor

# Some of these tables say nothing about their targets.
pytestmark = pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better")


@pytest.fixture(params=FRAMES)
def frame(request: pytest.FixtureRequest) -> Any:
    return FRAMES[request.param](COLUMNS)


def test_categories_are_those_of_scikit_learn() -> None:
    """One-hot, in sorted order; a missing value is a category where the table has any."""
    with_missing = [
        None if size > 1 else colour for size, colour in zip(SIZES, COLOURS, strict=True)
    ]
    table = pd.DataFrame({"a": pd.Series(COLOURS), "b": pd.Series(with_missing, dtype=object)})
    encoder = OneHotEncoder(sparse_output=False).fit(table)
    expected = encoder.transform(table)
    for frame in (
        table,
        table.astype("category"),
        table.astype("string"),
        table.astype(pd.CategoricalDtype(["red", "green", "blue", "unused"], ordered=True)),
        pl.DataFrame({"a": COLOURS, "b": with_missing}),
        pl.DataFrame({"a": COLOURS, "b": with_missing}).cast(pl.Categorical),
        pl.DataFrame({"a": COLOURS, "b": with_missing}).cast(pl.Enum(["red", "green", "blue"])),
    ):
        assert encoded(frame).tolist() == expected.tolist()
        assert names_of(frame) == encoder.get_feature_names_out().tolist()


def test_categories_that_are_no_text() -> None:
    """Whole numbers are the same with and without missing values, which make floats of them."""
    numbers = pd.DataFrame({"k": pd.Categorical([3, 1, 3, None])})
    assert names_of(numbers) == ["k_1", "k_3", "k_None"]
    assert encoded(numbers).tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    bins = pd.DataFrame({"k": pd.cut([0.5, 1.5, 0.7], [0, 1, 2])})
    assert names_of(bins) == ["k_(0, 1]", "k_(1, 2]"]
    assert encoded(bins).tolist() == [[1, 0], [0, 1], [1, 0]]
    days = pd.DataFrame({"k": pd.Categorical(pd.to_datetime(["2020-01-02", "2020-01-01"]))})
    assert encoded(days).tolist() == [[0, 1], [1, 0]]
    model = TagiRegressor(**FEW).fit(pd.DataFrame({"k": pd.Categorical([3, 1] * 10)}), [1, 0] * 10)
    plain = model.predict(pd.DataFrame({"k": [1, 3]}))
    assert plain.tolist() == model.predict(pd.DataFrame({"k": ["1", "3"]})).tolist()
    assert plain.tolist() == model.predict(pd.DataFrame({"k": [1.0, 3.0]})).tolist()


@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_dates_and_times_are_days(zone: str | None) -> None:
    """Of 12 rows, too few for cycles: pandas' nanoseconds since 1970 over those of a day."""
    stamps = pd.date_range("1969-12-30 17:31", periods=12, freq="57h", tz=zone).to_series()
    stamps.iloc[3] = pd.NaT
    durations = stamps - stamps.iloc[0]
    table = pd.DataFrame({"stamp": stamps, "for": durations}).reset_index(drop=True)
    moments = stamps if zone is None else stamps.dt.tz_convert("UTC")
    expected = np.column_stack(
        [
            [np.nan if stamp is pd.NaT else stamp.timestamp() / 86400 for stamp in moments],
            [duration.total_seconds() / 86400 for duration in durations],
        ]
    )
    for frame in (table, pl.from_pandas(table), table.astype(object)):
        np.testing.assert_allclose(encoded(frame), expected, rtol=1e-15, atol=1e-12)


def test_dates_without_a_time() -> None:
    days = [dt.date(2024, 2, 29), None, dt.date(1969, 12, 31), dt.date(9999, 1, 1)]
    expected = [19782.0, np.nan, -1.0, float(dt.date(9999, 1, 1).toordinal() - 719163)]
    for frame in (
        pd.DataFrame({"day": days}),
        pd.DataFrame({"day": pd.array(days, dtype="date32[pyarrow]")}),
        pl.DataFrame({"day": days}),
    ):
        np.testing.assert_array_equal(encoded(frame)[:, 0], expected)


def test_times_of_day_are_parts_of_it_and_a_circle() -> None:
    times = [dt.time(0), dt.time(6), None, dt.time(18, 30, 15, 500_000)]
    part = np.array([0.0, 0.25, np.nan, (18.5 * 3600 + 15.5) / 86400])
    expected = np.column_stack([part, np.sin(2 * np.pi * part), np.cos(2 * np.pi * part)])
    for frame in (pd.DataFrame({"at": times}), pl.DataFrame({"at": times})):
        np.testing.assert_allclose(encoded(frame), expected, atol=1e-15)
        assert names_of(frame) == ["at", "at_sin_day", "at_cos_day"]


@pytest.mark.parametrize(
    ("frequency", "periods", "cycles"),
    [
        ("1D", 800, ["year", "week"]),
        ("1D", 700, ["week"]),  # less than two years
        ("1D", 299, []),  # few rows
        ("7h", 400, ["week", "day"]),
        ("61D", 400, ["year", "week"]),
        ("1min", 400, []),
    ],
)
def test_cycles_that_a_table_sees_twice(frequency: str, periods: int, cycles: list[str]) -> None:
    stamps = pd.date_range("2020-01-01", periods=periods, freq=frequency)
    days = stamps.astype("datetime64[s]").astype(np.int64).to_numpy() / 86400
    expected = [days]
    for cycle in cycles:
        turn = 2 * np.pi * (days / {"year": 365.2425, "week": 7.0, "day": 1.0}[cycle])
        expected += [np.sin(turn), np.cos(turn)]
    frame = pd.DataFrame({"t": stamps})
    assert names_of(frame) == ["t"] + [f"t_{p}_{c}" for c in cycles for p in ("sin", "cos")]
    np.testing.assert_allclose(encoded(frame), np.column_stack(expected), atol=1e-9)


def test_cycles_let_a_network_see_seasons() -> None:
    """Years to come have the seasons of those before."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2020-01-01", periods=4 * 365, freq="D").to_series()
    y = np.sin(2 * np.pi * days.dt.day_of_year / 365.25) + 0.2 * rng.standard_normal(len(days))
    frame, before = pd.DataFrame({"day": days}), len(days) - 365
    model = TagiRegressor(random_state=0).fit(frame[:before], y[:before])
    assert model.score(frame[before:], y[before:]) > 0.85  # the noise leaves .93


def test_numbers_of_all_types() -> None:
    """Nullable integers, booleans and decimals are float64, NaN where they are missing."""
    expected = [[1.0, 1.0, 1.5, 2.5], [np.nan, np.nan, np.nan, np.nan], [-3.0, 0.0, 0.25, np.inf]]
    decimals = [Decimal("1.5"), None, Decimal("0.25")]
    tables = [
        pd.DataFrame(
            {
                "i": pd.array([1, None, -3], dtype="Int64"),
                "b": pd.array([True, None, False], dtype="boolean"),
                "d": decimals,
                "f": [2.5, None, np.inf],
            }
        ),
        pd.DataFrame(
            {
                "i": [1, pd.NA, -3],
                "b": [True, None, False],
                "d": decimals,
                "f": [2.5, None, np.inf],
            },
            dtype=object,
        ),
        pl.DataFrame(
            {"i": [1, None, -3], "b": [True, None, False], "d": decimals, "f": [2.5, None, np.inf]}
        ),
    ]
    for frame in tables:
        np.testing.assert_array_equal(encoded(frame), expected)
        model = TagiRegressor(**FEW).fit(frame[["i", "b", "d"]], [1.0, 2.0, 3.0])
        assert model._encoder is None and model.n_features_in_ == 3
        array = np.array(expected)[:, :3]
        assert model.predict(frame[["i", "b", "d"]]).tolist() == (
            TagiRegressor(**FEW).fit(array, [1.0, 2.0, 3.0]).predict(array).tolist()
        )


def test_a_column_of_nothing_but_missing_values() -> None:
    for frame in (
        pd.DataFrame({"a": SIZES, "b": [None] * N, "c": COLOURS}),
        pl.DataFrame({"a": SIZES, "b": [None] * N, "c": COLOURS}),
    ):
        assert np.isnan(encoded(frame)[:, 1]).all()
        model = TagiRegressor(**FEW).fit(frame, Y)
        assert np.isfinite(model.predict(frame)).all()
