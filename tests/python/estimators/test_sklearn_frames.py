"""DataFrames: what their columns become, against scikit-learn's encoder and pandas' arithmetic."""

from __future__ import annotations

import copy
import datetime as dt
import json
import pickle
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")
pytest.importorskip("narwhals", reason="needs the sklearn extra")
pytest.importorskip("pandas")
pytest.importorskip("polars")

import pandas as pd
import polars as pl
from helpers import OLD_FILES
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import tagix as tx
from tagix.sklearn import TagiClassifier, TagiDiffusion, TagiRegressor
from tagix.sklearn._columns import ColumnEncoder
from tagix.sklearn._frames import columns_of

# Some of these tables say nothing about their targets.
pytestmark = pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better")

FEW: dict[str, Any] = {"hidden": (4,), "max_epochs": 2, "n_estimators": 2, "random_state": 0}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}

RNG = np.random.default_rng(3)
N = 60
COLOURS = RNG.choice(["red", "green", "blue"], N).tolist()
FLAGS = (RNG.random(N) < 0.5).tolist()
SIZES = RNG.standard_normal(N).tolist()
DAYS = [dt.date(2021, 3, 1) + dt.timedelta(int(day)) for day in RNG.integers(0, 900, N)]
Y = np.array(SIZES) + 2.0 * (np.array(COLOURS) == "red") + 0.1 * RNG.standard_normal(N)
COLUMNS: dict[str, list[Any]] = {"size": SIZES, "colour": COLOURS, "flag": FLAGS, "day": DAYS}
# The same by hand.
BY_HAND = np.column_stack(
    [
        SIZES,
        *([colour == other for colour in COLOURS] for other in ("blue", "green", "red")),
        FLAGS,
        [day.toordinal() - dt.date(1970, 1, 1).toordinal() for day in DAYS],
    ]
).astype(np.float64)


def encoded(frame: Any) -> np.ndarray:
    columns = columns_of("X", frame)
    assert columns is not None
    return ColumnEncoder.of(columns).transform(columns)


def names_of(frame: Any) -> list[str]:
    columns = columns_of("X", frame)
    assert columns is not None
    return ColumnEncoder.of(columns).input_names(list(columns))


@pytest.fixture(params=FRAMES)
def frame(request: pytest.FixtureRequest) -> Any:
    return FRAMES[request.param](COLUMNS)


# What columns become


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


# Estimators


def test_predictions_are_those_of_the_table_by_hand(frame: Any) -> None:
    model = TagiRegressor(**FEW).fit(frame, Y)
    other = TagiRegressor(**FEW).fit(BY_HAND, Y)
    for _ in range(2):
        assert np.array_equal(model.predict(frame, True), other.predict(BY_HAND, True))
        assert np.array_equal(
            model.predict_interval(frame, 0.8), other.predict_interval(BY_HAND, 0.8)
        )
        assert np.array_equal(model.sample_y(frame, 3), other.sample_y(BY_HAND, 3))
        assert np.array_equal(model.x_mean_, other.x_mean_)
        model.partial_fit(frame[:20], Y[:20])
        other.partial_fit(BY_HAND[:20], Y[:20])
    labels = np.where(np.array(FLAGS), "up", "down")
    classifier = TagiClassifier(**FEW).partial_fit(frame, labels)
    by_hand = TagiClassifier(**FEW).partial_fit(BY_HAND, labels)
    assert np.array_equal(classifier.predict_proba(frame), by_hand.predict_proba(BY_HAND))
    few = {"n_epochs": 1, "random_state": 0, "hidden": (4,)}
    density, by_hand = TagiDiffusion(**few).fit(frame), TagiDiffusion(**few).fit(BY_HAND)
    assert np.array_equal(density.score_samples(frame[:3]), by_hand.score_samples(BY_HAND[:3]))
    assert density.sample(2).shape == (2, 6)


def test_names(frame: Any) -> None:
    """scikit-learn's attributes are those of the columns; the inputs have names of their own."""
    inputs = ["size", "colour_blue", "colour_green", "colour_red", "flag", "day"]
    few = {"n_epochs": 1, "hidden": (4,)}
    for model in (
        TagiRegressor(**FEW).fit(frame, Y),
        TagiClassifier(**FEW).fit(frame, FLAGS),
        TagiDiffusion(**few).fit(frame),
    ):
        assert model.n_features_in_ == 4
        assert model.feature_names_in_.tolist() == list(COLUMNS)
        assert model.input_names_.tolist() == inputs
    assert TagiRegressor(**FEW).fit(BY_HAND[:, :2], Y).input_names_.tolist() == ["x0", "x1"]
    unnamed = pd.DataFrame({0: COLOURS, 1: SIZES})
    assert TagiRegressor(**FEW).fit(unnamed, Y).input_names_.tolist() == [
        *("x0_blue", "x0_green", "x0_red"),
        "x1",
    ]


def test_tables_of_numbers_are_as_arrays() -> None:
    array = RNG.standard_normal((N, 3))
    expected = TagiRegressor(**FEW).fit(array, Y)
    for frame in (
        pd.DataFrame(np.ascontiguousarray(array), columns=list("abc")),
        pl.DataFrame(array, schema=list("abc")),
    ):
        model = TagiRegressor(**FEW).fit(frame, Y)
        assert model._encoder is None
        np.testing.assert_allclose(model.predict(frame), expected.predict(array), rtol=1e-6)


def test_frames_of_another_library_than_in_fit() -> None:
    model = TagiRegressor(**FEW).fit(pd.DataFrame(COLUMNS), Y)
    expected = model.predict(pd.DataFrame(COLUMNS))
    assert np.array_equal(model.predict(pl.DataFrame(COLUMNS)), expected)


def test_unknown_categories_are_missing_values(frame: Any) -> None:
    """So are missing ones, where the table had none: NaN in all inputs of the column."""
    by_hand = BY_HAND[:2].copy()
    by_hand[:, 1:4] = np.nan
    model, other = TagiRegressor(**FEW).fit(frame, Y), TagiRegressor(**FEW).fit(BY_HAND, Y)
    for colour in ("purple", None):
        rows = {name: values[:2] for name, values in COLUMNS.items()} | {"colour": [colour] * 2}
        actual = model.predict(type(frame)(rows), return_std=True)
        assert np.array_equal(actual, other.predict(by_hand, return_std=True))


def test_what_missing_means_is_learned() -> None:
    """Rows of a missing category have a mean of their own, 3, which all others do not have."""
    rng = np.random.default_rng(5)
    letters = rng.choice(["a", "b", "c", None], 400)
    missing = np.array([letter is None for letter in letters])
    y = np.where(missing, 3.0, 0.0) + 0.3 * rng.standard_normal(400)
    model = TagiRegressor(random_state=0).fit(pl.DataFrame({"letter": letters.tolist()}), y)
    mean, std = model.predict(pl.DataFrame({"letter": [None, "a"]}), return_std=True)
    assert abs(mean[0] - y[missing].mean()) < 0.15
    assert abs(mean[1] - y[letters == "a"].mean()) < 0.15
    assert (std < 0.45).all()


def test_targets_of_all_types() -> None:
    rows = np.arange(8.0)[:, np.newaxis]
    numbers = [1.0, 2.0, 1.0, 2.0, 1.0, 1.0, 2.0, 2.0]
    expected = TagiRegressor(**FEW).fit(rows, np.array(numbers)).predict(rows)
    for y in (
        pd.Series(numbers),
        pd.Series(numbers, dtype="Int64"),
        pd.Series(numbers, dtype=object),
        pd.array(numbers, dtype="Float64"),
        pd.Series(pd.Categorical(np.array(numbers, int))),
        pl.Series(numbers),
        pl.Series([Decimal(str(number)) for number in numbers]),
        [str(number) for number in numbers],
    ):
        assert np.array_equal(TagiRegressor(**FEW).fit(rows, y).predict(rows), expected)
    two = TagiRegressor(**FEW).fit(rows, np.c_[numbers, numbers]).predict(rows)
    for frame in (
        pd.DataFrame({"u": numbers, "v": pd.array(numbers, dtype="Int64")}),
        pl.DataFrame({"u": numbers, "v": numbers}),
    ):
        assert np.array_equal(TagiRegressor(**FEW).fit(rows, frame).predict(rows), two)
    booleans = [number == 2 for number in numbers]
    zero_one = TagiRegressor(**FEW).fit(rows, np.array(booleans, float)).predict(rows)
    for y in (booleans, pd.Series(booleans, dtype="boolean"), pl.Series(booleans)):
        assert np.array_equal(TagiRegressor(**FEW).fit(rows, y).predict(rows), zero_one)
        assert TagiClassifier(**FEW).fit(rows, y).classes_.tolist() == [False, True]
    text = ["no" if number == 1 else "yes" for number in numbers]
    probabilities = TagiClassifier(**FEW).fit(rows, np.array(text)).predict_proba(rows)
    for y in (
        text,
        pd.Series(text),
        pd.Series(text, dtype="string"),
        pd.Categorical(text),
        pl.Series(text),
        pl.Series(text, dtype=pl.Enum(["yes", "no"])),
    ):
        model = TagiClassifier(**FEW).fit(rows, y)
        assert model.classes_.tolist() == ["no", "yes"]
        assert np.array_equal(model.predict_proba(rows), probabilities)
    assert TagiClassifier(**FEW).fit(rows, pd.Series(numbers, dtype="Int64")).classes_[0] == 1


def test_uncertain_columns(frame: Any) -> None:
    """Standard deviations of columns are those of their inputs; a category has none."""
    std = np.zeros((N, 4))
    std[:, 0], std[:, 3] = 0.5, 10.0
    by_hand = np.zeros((N, 6))
    by_hand[:, 0], by_hand[:, 5] = 0.5, 10.0
    model = TagiRegressor(**FEW).fit(frame, Y, X_std=std)
    other = TagiRegressor(**FEW).fit(BY_HAND, Y, X_std=by_hand)
    assert np.array_equal(model.predict(frame, True, std), other.predict(BY_HAND, True, by_hand))
    with pytest.raises(ValueError, match="deviations for column 1, which becomes 3 inputs"):
        model.predict(frame, X_std=std + 0.1)
    with pytest.raises(ValueError, match="X_std: got 6 columns, needed 4"):
        model.predict(frame, X_std=by_hand)


# Copies, files and scikit-learn's tools


def test_copies(frame: Any, tmp_path: Path) -> None:
    models = [
        TagiRegressor(**FEW).fit(frame, Y),
        TagiClassifier(**FEW).fit(frame, COLOURS),
        TagiDiffusion(hidden=(4,), n_epochs=1, conditional=True).fit(frame, COLOURS),
    ]
    for model in models:
        model.save(tmp_path / "model")
        for other in (
            tx.load(tmp_path / "model"),
            pickle.loads(pickle.dumps(model)),
            copy.deepcopy(model),
        ):
            assert other._encoder == model._encoder
            assert other.n_features_in_ == 4
            assert other.input_names_.tolist() == model.input_names_.tolist()
            if isinstance(model, TagiDiffusion):
                rows = frame[:3]
                assert np.array_equal(other.score_samples(rows), model.score_samples(rows))
                continue
            twin = copy.deepcopy(model)
            y = COLOURS if isinstance(model, TagiClassifier) else Y
            twin.partial_fit(frame, y)
            assert np.array_equal(other.partial_fit(frame, y).predict(frame), twin.predict(frame))
        assert clone(model)._encoder is None


def test_tables_of_arrow() -> None:
    """The same inputs, of whatever library narwhals reads."""
    arrow = pytest.importorskip("pyarrow")
    model = TagiRegressor(**FEW).fit(arrow.table(COLUMNS), Y)
    expected = TagiRegressor(**FEW).fit(BY_HAND, Y).predict(BY_HAND)
    assert np.array_equal(model.predict(arrow.table(COLUMNS)), expected)


def test_a_refit_forgets_the_columns(frame: Any) -> None:
    model = TagiRegressor(**FEW).fit(frame, Y)
    expected = TagiRegressor(**FEW).fit(BY_HAND, Y).predict(BY_HAND)
    assert np.array_equal(model.fit(BY_HAND, Y).predict(BY_HAND), expected)
    assert model._encoder is None and not hasattr(model, "feature_names_in_")
    colours = type(frame)({"colour": ["c", "d"] * 10})
    assert model.fit(colours, Y[:20]).input_names_.tolist() == ["colour_c", "colour_d"]


def test_files_of_the_release_before() -> None:
    """They have no columns; figures are those that the release printed."""
    rows = np.random.default_rng(0).normal(size=(40, 3)).round(2)[:3]
    named = pd.DataFrame(rows, columns=list("abc"))
    mean, std = tx.load(OLD_FILES / "named_regressor_4.safetensors").predict(named, return_std=True)
    np.testing.assert_allclose(mean, [-0.15201375, -0.10716502, -0.14953145], rtol=1e-6)
    # Its noise had no belief beside the network's word.
    np.testing.assert_allclose(std, [1.33905582, 1.34297349, 1.35815731], rtol=1e-4)
    probabilities = tx.load(OLD_FILES / "unnamed_classifier_4.safetensors").predict_proba(rows)
    np.testing.assert_allclose(probabilities[:, 0], [0.53889245, 0.5079217, 0.50698847], rtol=1e-6)
    density = tx.load(OLD_FILES / "named_density_4.safetensors")
    np.testing.assert_allclose(
        density.score_samples(named), [-2.84224627, -2.95977208, -5.95502738], rtol=1e-5
    )
    assert density.n_features_in_ == 3 and density.feature_names_in_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("cls", [TagiRegressor, TagiDiffusion])
def test_columns_in_files_are_checked(cls: Any) -> None:
    days = {**COLUMNS, "at": [dt.time(3)] * N}
    model: Any = TagiRegressor(**FEW) if cls is TagiRegressor else TagiDiffusion((4,), n_epochs=1)
    described, tensors = model.fit(pl.DataFrame(days), Y)._to_file()
    described = json.loads(json.dumps(described))
    cls._from_file(described, dict(tensors), "cpu")
    columns = described["learned"]["columns"]
    assert columns[1]["categories"] == ["blue", "green", "red"]
    assert columns[4] == {"kind": "time", "categories": [], "cycles": ["day"]}
    for place, change in (
        (0, {"kind": "numbers"}),
        (0, {"kind": None}),
        (0, {"categories": ["a"]}),
        (0, {"cycles": ["day"]}),
        (1, {"categories": ["blue", "green"]}),
        (1, {"categories": ["blue", "blue", "red"]}),
        (1, {"categories": ["blue", "red", 1]}),
        (1, {"categories": "abc"}),
        (3, {"cycles": ["month"]}),
        (3, {"cycles": [["day"]]}),
        (4, {"cycles": ["day", "day"]}),
        (4, {"cycles": []}),
        (4, {"more": 1}),
    ):
        changed = copy.deepcopy(described)
        changed["learned"]["columns"][place] |= change
        with pytest.raises((ValueError, TypeError)):
            cls._from_file(changed, dict(tensors), "cpu")
    for others in (None, [], columns[:4], [None] * 5, {}):
        changed = copy.deepcopy(described)
        changed["learned"]["columns"] = others
        with pytest.raises((ValueError, TypeError)):
            cls._from_file(changed, dict(tensors), "cpu")


def test_pipelines_and_searches(frame: Any) -> None:
    model = TagiRegressor(hidden=(8,), n_estimators=1, max_epochs=20, random_state=0)
    scores = cross_val_score(model, frame, Y, cv=3)
    by_hand = cross_val_score(model, BY_HAND, Y, cv=3)
    assert np.array_equal(scores, by_hand)
    search = GridSearchCV(model, {"hidden": [(2,), (4,)]}, cv=2).fit(frame, Y)
    assert np.isfinite(search.predict(frame)).all()
    numbers = ColumnTransformer([("scaled", StandardScaler(), ["size"])], remainder="passthrough")
    numbers.set_output(transform="pandas" if isinstance(frame, pd.DataFrame) else "polars")
    pipeline = make_pipeline(numbers, model).fit(frame, Y)
    assert np.isfinite(pipeline.predict(frame)).all()
    assert pipeline[-1].input_names_.tolist()[:2] == ["scaled__size", "remainder__colour_blue"]


# Rows of a stream


def test_dicts_of_the_columns() -> None:
    """A row by its dict is the row of the frame; what it lacks is missing."""
    frame = pl.DataFrame(COLUMNS)
    model, other = TagiRegressor(**FEW).fit(frame, Y), TagiRegressor(**FEW).fit(frame, Y)
    for place in range(4):
        row = {name: values[place] for name, values in COLUMNS.items()}
        assert model.predict_one(row) == other.predict(frame[place : place + 1])[0]
        model.learn_one(row, Y[place])
        other.partial_fit(frame[place : place + 1], Y[place : place + 1])
    missing = pl.DataFrame({**{name: [None] for name in COLUMNS}, "size": [1.0]})
    for row in ({"size": 1.0}, {"size": 1.0, "colour": None, "day": pd.NaT, "more": 5}):
        assert model.predict_one(row) == other.predict(missing)[0]
    before = model.predict(frame)
    for row, message in (
        ({"size": "big"}, r"x\['size'\]: got text \('big'\), needed numbers"),
        ({"size": np.inf}, r"x\['size'\]: got inf"),
        ({"day": 3.0}, r"x\['day'\]: got numbers \(3.0\), needed dates"),
        ({"weight": 1.0}, "x: got the features 'weight', needed those of the table"),
    ):
        with pytest.raises(ValueError, match=message):
            model.learn_one(row, 1.0)
    assert np.array_equal(model.predict(frame), before)


@pytest.mark.parametrize("n_rows", [0, 40])
def test_values_of_dicts_that_are_no_numbers(n_rows: int) -> None:
    """After 40 rows the core learns them."""
    model = TagiRegressor(n_estimators=1, random_state=0)
    for row in range(n_rows):
        model.learn_one({"a": float(row % 5)}, float(row % 3))
    assert (model._stream is not None) == (n_rows > 0)
    for value in ("text", dt.date(2020, 1, 1), dt.datetime(2020, 1, 1), b"a", [1.0], 1j):
        with pytest.raises(TypeError, match=r"x\['a'\]: got|x: got .* for a, needed a number"):
            copy.deepcopy(model).learn_one({"a": value}, 1.0)
        with pytest.raises(TypeError, match=r"x\['b'\]: got .*, needed a number"):
            model.learn_one({"a": 1.0, "b": value}, 1.0)
    for value in (True, np.bool_(True), Decimal(1)):
        expected, actual = copy.deepcopy(model), copy.deepcopy(model)
        expected.learn_one({"a": 1.0}, 1.0)
        actual.learn_one({"a": value}, 1.0)
        assert actual.predict_one({"a": value}) == expected.predict_one({"a": 1.0})
    if n_rows:
        missing = model.predict_one({"a": None})
        assert model.predict_one({"a": pd.NA}) == missing == model.predict_one({"a": float("nan")})
    for y in ("text", dt.date(2020, 1, 1)):
        with pytest.raises(TypeError, match=r"y: got .* needed a number"):
            model.learn_one({"a": 1.0}, y)
    for missing_y in (None, pd.NA, float("nan")):
        with pytest.raises(ValueError, match=r"y: got .*, needed finite numbers"):
            model.learn_one({"a": 1.0}, missing_y)
        with pytest.raises(ValueError, match=r"y: got .*, needed a label"):
            TagiClassifier(**FEW).learn_one({"a": 1.0}, missing_y)


# Errors

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
