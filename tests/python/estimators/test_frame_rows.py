"""Rows of a stream as dicts of the columns of a DataFrame."""

from __future__ import annotations

import copy
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
from frames import COLUMNS, FEW, FRAMES, Y

from tagix.sklearn import TagiClassifier, TagiRegressor

# Some of these tables say nothing about their targets.
pytestmark = pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better")


@pytest.fixture(params=FRAMES)
def frame(request: pytest.FixtureRequest) -> Any:
    return FRAMES[request.param](COLUMNS)


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
