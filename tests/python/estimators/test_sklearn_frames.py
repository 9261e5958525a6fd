"""Estimators on DataFrames: predictions, names, targets, copies, files, scikit-learn's tools."""

from __future__ import annotations

import copy
import datetime as dt
import json
import pickle
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
from frames import BY_HAND, COLOURS, COLUMNS, FEW, FLAGS, FRAMES, RNG, SIZES, N, Y
from helpers import OLD_FILES
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tagix as tx
from tagix.sklearn import TagiClassifier, TagiDiffusion, TagiRegressor

# Some of these tables say nothing about their targets.
pytestmark = pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better")


@pytest.fixture(params=FRAMES)
def frame(request: pytest.FixtureRequest) -> Any:
    return FRAMES[request.param](COLUMNS)


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
