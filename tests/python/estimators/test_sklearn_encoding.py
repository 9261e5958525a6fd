"""What networks see of a table: against numpy, Monte Carlo and finite differences."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

import tagix as tx
from tagix._rescaling import Units
from tagix.sklearn import TagiClassifier, TagiRegressor
from tagix.sklearn._encoding import MOST_BINS, MOST_KNOTS, MOST_VALUES, Encoding
from tagix.sklearn._scaling import have_one_unit

Array = NDArray[np.float64]


def table(n_rows: int = 300) -> NDArray[np.float32]:
    """Columns of many values, skewed; of three; of twelve; and one that never varies."""
    rng = np.random.default_rng(0)
    columns = [rng.exponential(size=n_rows), rng.integers(3, size=n_rows)]
    columns += [rng.integers(12, size=n_rows), np.full(n_rows, 2.0)]
    return np.column_stack(columns).astype(np.float32)


def known(x: NDArray[np.float32], **arguments: Any) -> Encoding:
    return Encoding.of(x, np.zeros(x.shape, bool), **arguments)


def test_inputs_by_hand() -> None:
    x = table()
    encoding = known(x)
    inputs = encoding.inputs(x)
    assert encoding.encoded.tolist() == [0, 1, 2]
    # Ramps: between the eighths of the table, and at each of a few values.
    assert np.bincount(encoding.ramps[0].astype(int)).tolist() == [MOST_BINS, 2, 11]
    np.testing.assert_array_equal(inputs[:, 3], x[:, 3])
    for column in (1, 2):  # whose scores know every value
        z = x[:, column].astype(float)
        score = 0.5 * (z + norm.ppf((rankdata(z) - 0.5) / len(z)))
        score = (score - score.mean()) / score.std()
        np.testing.assert_allclose(inputs[:, column], score, rtol=1e-5, atol=1e-6)
    z = x[:, 0].astype(float)
    score = 0.5 * (z + norm.ppf((rankdata(z) - 0.5) / len(z)))
    np.testing.assert_allclose(inputs[:, 0], (score - score.mean()) / score.std(), atol=0.03)
    assert 0.75 * MOST_KNOTS < encoding.scores[2].max() <= MOST_KNOTS
    place = x.shape[1]
    for column, n_bins in ((0, MOST_BINS), (1, 2), (2, 11)):
        z = x[:, column].astype(float)
        edges = np.unique(z)
        if len(edges) > MOST_VALUES:
            edges = np.quantile(z, np.arange(n_bins + 1) / n_bins, method="averaged_inverted_cdf")
        for start, end in pairwise(edges):
            ramp = np.clip((z - start) / (end - start), 0.0, 1.0)
            np.testing.assert_allclose(inputs[:, place], ramp - ramp.mean(), atol=1e-5)
            place += 1
    assert place == inputs.shape[1] == x.shape[1] + encoding.n_added
    # Beyond the table scores go on by half of z, and ramps stay where they were.
    far = encoding.inputs(np.float32([[50, 0, 0, 2], [51, 0, 0, 2]]))
    assert far[1, 0] - far[0, 0] == pytest.approx(0.5 / _std_of_score(x[:, 0]), rel=1e-3)
    np.testing.assert_array_equal(far[0, 4 : 4 + MOST_BINS], far[1, 4 : 4 + MOST_BINS])


def _std_of_score(z: NDArray[np.float32]) -> float:
    return float(np.std(0.5 * (z + norm.ppf((rankdata(z) - 0.5) / len(z)))))


def test_moments_by_monte_carlo() -> None:
    x = table()
    encoding = known(x)
    rng = np.random.default_rng(1)
    mean = x[:6] + rng.normal(0, 0.3, (6, 4)).astype(np.float32)
    var = rng.uniform(0, 2, (6, 4)).astype(np.float32)
    var[0] = 0.0
    var[1:, 1] = 0.0
    inputs, inputs_var = encoding.moments(mean, var)
    assert inputs_var is not None
    np.testing.assert_array_equal(inputs[0], encoding.inputs(mean[:1])[0])
    assert not inputs_var[0].any()
    draws = mean + np.sqrt(var) * rng.standard_normal((100_000, 1, 4))
    seen = encoding.inputs(draws.reshape(-1, 4).astype(np.float32)).reshape(100_000, 6, -1)
    np.testing.assert_allclose(inputs, seen.mean(axis=0, dtype=float), atol=0.02)
    np.testing.assert_allclose(inputs_var, seen.var(axis=0, dtype=float), rtol=0.03, atol=0.002)


def test_small_variances_keep_their_digits() -> None:
    """Within a segment the function is a line: its variance is the slope's square times var."""
    x = table()
    encoding = known(x)
    ends = np.sort(
        np.r_[encoding.knots[0, : int(encoding.scores[2, 0])], encoding.ramps[1:3, :8].ravel()]
    )
    middle = np.float32(0.5 * (ends[20] + ends[21]))
    row = np.float32([[middle, 1, 3, 2]])
    var = np.float32([[1e-10, 0, 0, 0]])
    _, inputs_var = encoding.moments(row, var)
    assert inputs_var is not None
    by_column = encoding.pull_back(row, np.ones((1, 1, 4 + encoding.n_added)))
    assert by_column.shape == (1, 1, 4)
    beside = np.repeat(row, 2, axis=0)
    beside[:, 0] += np.float32([-1e-3, 1e-3])
    slope = np.diff(encoding.inputs(beside), axis=0)
    expected = (slope[0].astype(float) / 2e-3) ** 2 * 1e-10
    np.testing.assert_allclose(inputs_var[0], expected, rtol=0.02, atol=1e-14)


def test_slopes_by_finite_differences() -> None:
    x = table()
    encoding = known(x)
    rng = np.random.default_rng(2)
    rows = (x[:20] + rng.uniform(0.2, 0.4, (20, 4))).astype(np.float32)
    weights = rng.standard_normal((1, 3, 4 + encoding.n_added))
    found = encoding.pull_back(rows, np.repeat(weights, 20, axis=0))
    for column in range(4):
        step = np.zeros(4, np.float32)
        step[column] = 1e-3
        ends = [encoding.inputs((rows + sign * step).astype(np.float32)) for sign in (1, -1)]
        width = (rows + step)[:, column].astype(float) - (rows - step)[:, column]
        expected = (ends[0].astype(float) - ends[1]) @ weights[0].T / width[:, np.newaxis]
        inside = np.abs(expected - found[:, :, column]).max(axis=1) < 0.02
        assert inside.mean() > 0.8  # the others have a knot within the step


def test_weights_are_repeated_rows() -> None:
    x = table(80)
    weight = np.random.default_rng(0).integers(1, 4, 80)
    repeated = np.repeat(x, weight, axis=0)
    probe = table(200)
    np.testing.assert_allclose(
        known(x, weight=weight.astype(float)).inputs(probe),
        known(repeated).inputs(probe),
        atol=1e-5,
    )


def test_missing_values_do_not_count() -> None:
    x = table()
    missing = np.zeros(x.shape, bool)
    missing[:50, 0] = True
    missing[:, 2] = True
    filled = x.copy()
    filled[:50, 0] = 99.0
    encoding = Encoding.of(filled, missing)
    assert encoding.encoded.tolist() == [0, 1]
    np.testing.assert_array_equal(encoding.inputs(x)[:, 0], known(x[50:]).inputs(x)[:, 0])


def test_columns_that_come_later_and_units() -> None:
    x = table()
    encoding = known(x)
    wide = np.c_[x, np.arange(len(x), dtype=np.float32)]
    inputs = encoding.inputs(wide)
    np.testing.assert_array_equal(inputs[:, :-1], encoding.inputs(x))
    np.testing.assert_array_equal(inputs[:, -1], wide[:, -1])
    units = encoding.units(Units(np.arange(5.0), np.arange(1.0, 6.0)))
    assert units.mean[:4].tolist() == [0, 1, 2, 3] and units.mean[-1] == 4
    assert not units.mean[4:-1].any() and (units.scale[4:-1] == 1).all()
    again = pickle.loads(pickle.dumps(encoding))
    np.testing.assert_array_equal(again.inputs(wide), inputs)


def test_every_second_network_sees_no_ramps(tmp_path: Path) -> None:
    """Or all of them do, where that predicts rows left out better: a target of steps."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 8, (400, 1))
    steps = np.array([0, 3, -2, 1, 5, -4, 2, 0])[X[:, 0].astype(int)] + 0.05 * rng.standard_normal(
        400
    )
    plane = X[:, 0] + rng.standard_normal(400)
    widths = {}
    for name, y in (("steps", steps), ("plane", plane)):
        model = TagiRegressor(max_epochs=40, random_state=0).fit(X, y)
        widths[name] = [net.layers[0].config["in_features"] for net in model.nets_]
        model.save(tmp_path / "model.safetensors")
        again = tx.load(tmp_path / "model.safetensors")
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        for member, width in enumerate(widths[name]):
            assert model.network_inputs(X[:3], member=member)[0].shape == (3, width)
    assert widths["plane"] == [9, 1, 9, 1, 9] and widths["steps"] == [9] * 5
    with pytest.raises(ValueError, match="member: got 5, needed less than 5"):
        model.network_inputs(X, member=5)


def test_streams_see_columns_as_they_are() -> None:
    X = table(40)[:, :3].astype(float)
    for model in (TagiRegressor(n_estimators=2), TagiClassifier(n_estimators=2)):
        model.partial_fit(X, X[:, 1])
        z = (X - model.x_mean_) / model.x_scale_
        np.testing.assert_allclose(model.network_inputs(X)[0], z, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("scores", lambda a: a.__setitem__((0, 0), 7), "got column 7 of 4"),
        ("scores", lambda a: a.__setitem__((0, 0), -1), "got column -1 of 4"),
        ("scores", lambda a: a.__setitem__((0, 0), 0.5), "not scores and ramps"),
        ("scores", lambda a: a.__setitem__((0, 0), 1), "not scores and ramps"),
        ("scores", lambda a: a.__setitem__((0, 0), 1e300), "not scores and ramps"),
        ("scores", lambda a: a.__setitem__((2, 0), 1e6), "not scores and ramps"),
        ("scores", lambda a: a.__setitem__((2, 0), -3), "not scores and ramps"),
        ("scores", lambda a: a.__setitem__((1, 0), np.nan), "NaN or infinity"),
        ("knots", lambda a: a.__setitem__((0, 1), a[0, 0]), "knots that do not rise"),
        ("knots", lambda a: a.__setitem__((1, 1), np.inf), "NaN or infinity"),
        ("ramps", lambda a: a.__setitem__((0, 0), 4), "got column 4 of 4"),
        ("ramps", lambda a: a.__setitem__((2, 0), a[1, 0]), "needed finite numbers, the end above"),
        ("ramps", lambda a: a.__setitem__((1, 0), 1e300), "needed finite numbers, the end above"),
    ],
)  # fmt: skip
def test_damaged(name: str, change: Any, message: str) -> None:
    from tagix.io import Record

    encoding = known(table())
    tensors: dict[str, Any] = {}
    description = encoding.describe(tensors)
    again = Encoding.read(Record(dict(description), "encoding"), dict(tensors))
    np.testing.assert_array_equal(again.inputs(table()), encoding.inputs(table()))
    tensors[f"encoding.{name}"] = tensors[f"encoding.{name}"].copy()
    change(tensors[f"encoding.{name}"])
    with pytest.raises(ValueError, match=message):
        Encoding.read(Record(dict(description), "encoding"), tensors)


def test_shapes_that_do_not_fit() -> None:
    encoding = known(table())
    with pytest.raises(ValueError, match="x: got 3 columns, needed at least 4"):
        encoding.inputs(table()[:, :3].copy())
    with pytest.raises(ValueError, match="x: got an array of 1 dimensions"):
        encoding.inputs(np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="x_var: got 5 rows, needed 300"):
        encoding.moments(table(), table()[:5].copy())


def answers(n_rows: int = 200) -> Array:
    """Ten columns of answers from 1 to 5, of which some are rarely anything but 1 or 2."""
    rng = np.random.default_rng(0)
    return np.clip(1 + rng.poisson(np.linspace(0.3, 2.5, 10), (n_rows, 10)), 1, 5).astype(float)


def test_columns_of_one_unit_keep_it() -> None:
    X = answers()
    assert have_one_unit(X)
    y = X.mean(axis=1)
    model = TagiRegressor(max_epochs=2, random_state=0).fit(X, y)
    scale = np.sqrt(np.mean(X.var(axis=0)))
    np.testing.assert_allclose(model.x_scale_, scale, rtol=1e-12)
    for member in range(2):
        seen, _ = model.network_inputs(X, member=member)
        np.testing.assert_allclose(seen, (X - X.mean(axis=0)) / scale, rtol=1e-5, atol=1e-6)
    model.partial_fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    np.testing.assert_allclose(model.x_scale_, scale, rtol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X[:, :7],  # few columns
        lambda X: X * np.arange(1, 11),  # each with a range of its own
        lambda X: np.c_[X, np.linspace(0, 100, len(X))],  # one that goes beyond
    ],
)
def test_columns_of_several_units(change: Any) -> None:
    assert not have_one_unit(change(answers()))


def test_holes_and_constants_have_no_unit() -> None:
    X = answers()
    X[::3] = np.nan
    assert have_one_unit(np.c_[X, np.full(len(X), 1000.0), np.full(len(X), np.nan)])


def test_a_fast_fit(tmp_path: Path) -> None:
    """Two networks, half of the updates at most; rows left out are those of one part."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2))
    y = X[:, 0] + 0.1 * rng.standard_normal(300)
    model = TagiRegressor(fast=True, random_state=0).fit(X, y)
    assert len(model.nets_) == 2 and model.n_iter_ <= 75
    assert model._residuals is not None and model._residuals.n_rows == 60
    error = model.predict(X) - X[:, 0]
    assert np.sqrt(np.mean(error**2)) < 0.06
    model.save(tmp_path / "model.safetensors")
    again = tx.load(tmp_path / "model.safetensors")
    assert again.fast and np.array_equal(again.predict(X), model.predict(X))
    single = TagiRegressor(fast=True, n_estimators=1, random_state=0).fit(X, y)
    assert len(single.nets_) == 1
    labels = TagiClassifier(fast=True, random_state=0).fit(X, X[:, 0] > 0)
    assert len(labels.nets_) == 2 and labels.score(X, X[:, 0] > 0) > 0.95
    with pytest.raises(TypeError, match="fast"):
        TagiRegressor(fast="yes").fit(X, y)  # type: ignore[arg-type]


def test_a_file_with_a_score_of_an_indicator() -> None:
    """Indicators of missing values come first, and have neither scores nor units."""
    X = table(60).astype(float)
    X[::5, 0] = np.nan
    model = TagiRegressor(max_epochs=1, random_state=0).fit(X, X[:, 2])
    described, tensors = model._to_file()
    description = json.loads(json.dumps(described))
    TagiRegressor._from_file(description, tensors, "cpu")
    tensors["encoding.scores"] = tensors["encoding.scores"].copy()
    tensors["encoding.scores"][0, 0] = 0.0
    with pytest.raises(ValueError, match="got a score of an indicator"):
        TagiRegressor._from_file(description, tensors, "cpu")
