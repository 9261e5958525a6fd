"""No everyday column breaks an estimator: not a counter, a flag, a sentinel, nor a heavy tail."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

import tagix as tx
from benchmarks.everyday_tables import COLUMNS, random_table
from tagix import metrics, nn

pytest.importorskip("sklearn")

from tagix.sklearn import TagiRegressor
from tagix.sklearn._scaling import Moments, Scaler

pytestmark = pytest.mark.filterwarnings("ignore::tagix.sklearn.OutlierWarning")
RNG = np.random.default_rng(0)


def test_inputs_far_out_have_bounded_leverage() -> None:
    """As they are up to 6 standard deviations, beyond by the logarithm; X_std by its slope."""
    z = np.array([0.0, -3.0, 5.999, -6.0, 7.0, -63.0, 141.0, 1e300, -1e300, np.nan])
    got, var = Scaler.identity(1).inputs(z[:, np.newaxis], np.full((10, 1), 0.1))
    assert var is not None
    far = np.abs(z) > 6
    with np.errstate(invalid="ignore"):
        expected = np.where(far, np.sign(z) * 6 * (1 + np.log(np.maximum(np.abs(z), 1) / 6)), z)
        slope = np.where(far, 6 / np.maximum(np.abs(z), 1), 1.0)
    expected[-1] = 0.0  # missing
    np.testing.assert_allclose(got[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(var[:-1, 0], (0.1 * slope[:-1]) ** 2, rtol=1e-6)
    assert var[-1, 0] == 1.0
    assert np.abs(got).max() < 4300


def test_a_stream_sees_the_inputs_that_a_table_shows() -> None:
    """The core's rows and the estimator's are the same, far out as well."""
    model = TagiRegressor(n_estimators=1, random_state=0)
    for row in RNG.normal(size=(40, 2)):
        model.learn_one({"a": row[0], "b": row[1]}, float(row.sum()))
    rows = np.array([[0.3, -0.2], [50.0, 1.0], [-1e6, 40.0]])
    names = model.feature_names_in_.tolist()
    assert model._stream is not None
    one = [model.predict_one(dict(zip(names, row, strict=True)), return_std=True) for row in rows]
    with pytest.warns(UserWarning, match="feature names"):
        mean, std = model.predict(rows, return_std=True)
    np.testing.assert_allclose(np.array(one), np.column_stack([mean, std]), rtol=2e-4)


LAWS = {
    "counter": lambda i: float(i),
    "seconds": lambda i: 1.7e9 + 60.0 * i,
    "log-normal": lambda i: math.exp(2 * random.gauss(0, 1)),
    "Cauchy": lambda i: random.gauss(0, 1) / random.gauss(0, 1),
    "rare flag": lambda i: float(random.random() < 1e-3),
    "jumps": lambda i: 1e6 * (i >= 1500) + random.gauss(0, 1),
}


@pytest.mark.parametrize("noise", ["heteroscedastic", "homoscedastic"])
@pytest.mark.parametrize("law", LAWS)
def test_streams_learn_beside_any_column(law: str, noise: str) -> None:
    """y = x + N(0, 0.1^2), beside a column that says nothing: errors come down to the noise."""
    random.seed(0)
    model = TagiRegressor(n_estimators=1, noise=noise, random_state=0)
    errors = []
    for i in range(4000):
        x = random.gauss(0, 1)
        row, y = {"column": LAWS[law](i), "x": x}, x + random.gauss(0, 0.1)
        if i >= 2000:
            mean, std = model.predict_one(row, return_std=True)
            errors.append((abs(mean - y), std))
        model.learn_one(row, y)
    error, std = np.array(errors).T
    assert np.sqrt(np.mean(np.sort(error)[:-20] ** 2)) < 0.16  # the first rows after a jump
    assert 0.08 < np.median(std) < 0.4
    assert np.mean(error < 1.645 * std) > 0.82


def test_a_column_that_always_leaves_its_range_leaves_predictions_finite() -> None:
    """It grows by 2 % a row, to 1e17: y is learned beside it, within intervals that are wide."""
    random.seed(0)
    model = TagiRegressor(n_estimators=1, random_state=0)
    errors = []
    for i in range(2000):
        x = random.gauss(0, 1)
        row, y = {"column": 1.02**i, "x": x}, x + random.gauss(0, 0.1)
        if i >= 100:
            mean, std = model.predict_one(row, return_std=True)
            errors.append((abs(mean - y), std))
        model.learn_one(row, y)
    error, std = np.array(errors).T
    assert np.isfinite(std).all()
    assert np.median(error[1000:]) < 0.12
    assert np.mean(error < 1.645 * std) > 0.82


@pytest.mark.parametrize("seed", range(12))
def test_random_tables(seed: int, tmp_path: Path) -> None:
    """Fitted, predicted with finite intervals, saved and loaded, and taught more rows."""
    X, y, kinds = random_table(seed)
    half = len(y) // 2
    model = TagiRegressor(random_state=0).fit(X[:half], y[:half])
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = tx.load(path)
    intervals = model.predict_interval(X[half:])
    assert np.isfinite(intervals).all(), kinds
    np.testing.assert_array_equal(loaded.predict_interval(X[half:]), intervals)
    assert np.mean(np.abs(y[half:] - y[:half].mean())) > 0.9 * np.mean(
        np.abs(y[half:] - model.predict(X[half:]))
    )
    loaded.partial_fit(X[half:], y[half:])
    assert np.isfinite(loaded.predict_interval(1.5 * np.nan_to_num(X))).all(), kinds


def test_intervals_of_random_tables_hold_what_they_claim() -> None:
    """Over tables, the share of new targets in 90 % intervals."""
    held = []
    for seed in range(100, 112):
        X, y, _ = random_table(seed)
        half = len(y) // 2
        model = TagiRegressor(random_state=0).fit(X[:half], y[:half])
        low, high = model.predict_interval(X[half:]).T
        held.append(np.mean((low <= y[half:]) & (y[half:] <= high)))
    assert 0.85 < np.mean(held) < 0.97


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not tx.cuda.is_available(), reason="no device cuda")
        ),
    ],
)
@pytest.mark.parametrize("far", [141.0, 1e6, 1e15])
def test_noise_of_a_network_stays_finite_at_any_input(far: float, device: str) -> None:
    """Before training and after it, where nothing like it was seen."""
    net = nn.Sequential(
        nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1),
        noise=tx.Heteroscedastic(), seed=0, device=device,
    )  # fmt: skip
    x = RNG.normal(size=(400, 2)).astype(np.float32)
    y = (x[:, :1] + 0.1 * RNG.normal(size=(400, 1))).astype(np.float32)
    x[:, 1] = 0.0
    rare = np.array([[0.5, far]], dtype=np.float32)
    for _ in range(2):
        aleatoric = np.asarray(net(rare).aleatoric)
        assert np.isfinite(aleatoric).all()
        assert 1e-3 < aleatoric[0, 0] < 100
        net.fit(x, y, n_epochs=5, batch_size=16, progress=False)
    assert net(x).aleatoric.mean() == pytest.approx(0.01, rel=0.5)


def test_every_kind_of_column_is_in_the_random_tables() -> None:
    seen = {kind for seed in range(100, 130) for kind in random_table(seed)[2]}
    assert seen == {*COLUMNS, "plain"}


def test_moments_of_units() -> None:
    """Of a column with an offset: its spread is that of float64 numpy."""
    column = 1e8 + RNG.normal(size=(1000, 1))
    moments = Moments.of_nothing(1)
    moments.add(column)
    scaler = moments.scaler()
    assert scaler.scale[0] == pytest.approx(column.std(), rel=1e-6)


@pytest.mark.parametrize("value", [1.0, -999.0])
def test_one_row_far_out_spoils_no_fit(value: float) -> None:
    """A flag of one row in 5000, at z = 71, or a sentinel: the others are learned as without it."""
    X = RNG.normal(size=(5000, 3))
    X[:, 0] = RNG.normal(size=5000) if value < 0 else 0.0
    X[7, 0] = value
    y = X[:, 1] + 0.1 * RNG.normal(size=5000)
    model = TagiRegressor(n_estimators=1, random_state=0).fit(X[:4000], y[:4000])
    mean, std = model.predict(X[4000:], return_std=True)
    assert np.sqrt(np.mean((mean - y[4000:]) ** 2)) < 0.12
    assert np.median(std) == pytest.approx(0.1, rel=0.2)
    assert np.isfinite(model.predict_interval(X[7:8])).all()


@pytest.mark.parametrize("distance", [10.0, 1e2, 1e4, 1e30])
def test_intervals_far_beyond_the_data_are_finite_and_wide(distance: float) -> None:
    X = RNG.uniform(-1, 1, size=(500, 1))
    y = X[:, 0] + 0.1 * RNG.normal(size=500)
    model = TagiRegressor(random_state=0).fit(X, y)
    mean, std = model.predict([[distance], [0.5]], return_std=True)
    assert np.isfinite(std).all()
    assert std[0] > 3 * std[1]
    assert np.isfinite(model.predict_interval([[distance]])).all()
    assert np.isfinite(metrics.nll_gaussian([0.0], mean[:1], std[:1] ** 2))
