"""Tables and streams in any units: constants, one row, small differences on a large offset."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

import tagix as tx
from tagix.sklearn import OutlierWarning, TagiClassifier, TagiRegressor
from tagix.sklearn._outliers import ruining_value
from tagix.sklearn._scaling import Moments, Scaler

Array = np.ndarray
NOISE = 0.1


def table(n_rows: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Inputs, the law, and targets about it."""
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((n_rows, 2))
    law = np.sin(2.0 * X[:, 0]) + X[:, 1]
    return X, law, law + NOISE * generator.standard_normal(n_rows)


def one(**arguments: Any) -> TagiRegressor:
    return TagiRegressor(n_estimators=1, random_state=0, **arguments)


def learn_rows(model: TagiRegressor, X: Array, y: Array) -> None:
    for row, target in zip(X.tolist(), y.tolist(), strict=True):
        model.learn_one(dict(zip("ab", row, strict=True)), target)


@pytest.mark.parametrize("constant", [7.0, -3.0, 0.0, 1e-12, 1e9, 0.1 + 0.2, 1e300, -1e-300])
def test_constant_targets(constant: float) -> None:
    X = table(60)[0]
    y = np.full(60, constant)
    expected_std = (abs(constant) or 1.0) / 61.0
    for model in (one(), one(noise="homoscedastic")):
        stream = one(noise=model.noise)
        if abs(constant) < 1e150:
            stream.partial_fit(X, y)
        else:  # which the next row would not fit
            with pytest.raises(ValueError, match="overflow"):
                stream.partial_fit(X, y)
            stream.fit(X, y)
        for learned in (model.fit(X, y), stream):
            mean, std = learned.predict(100.0 * X, return_std=True)
            assert (mean == constant).all()
            if 1e-100 < expected_std < 1e100:  # elsewhere its square is not a float64
                np.testing.assert_allclose(std, expected_std, rtol=1e-12)
            assert (std > 0).all() and np.isfinite(std).all()
            assert np.isfinite(learned.predict_interval(X)).all()
            samples = learned.sample_y(X[:3], 2000)
            deviations = (samples - constant) / expected_std
            assert np.abs(deviations.std(axis=1) - 1.0).max() < 0.1
            assert (samples == samples[:1]).all()  # the rows have it in common


def test_constant_up_to_rounding() -> None:
    y = np.where(np.arange(60) % 2, 0.1 + 0.2, 0.3)
    assert y.min() < y.max()
    mean, std = one().fit(table(60)[0], y).predict(table(60)[0], return_std=True)
    np.testing.assert_allclose(mean, 0.3, rtol=1e-15)
    assert (std < 0.01).all()


@pytest.mark.parametrize("target", [392374.0, 1e-12, 0.0, -5e8])
def test_one_row(target: float) -> None:
    X = table(5)[0]
    model = one().fit(X[:1], [target])
    mean, std = model.predict(X, return_std=True)
    assert (mean == target).all()
    np.testing.assert_allclose(std, (abs(target) or 1.0) / 2.0)
    stream = one()
    learn_rows(stream, X[:1], np.array([target]))
    assert stream.predict_one({"a": 3.0, "b": 0.0}, return_std=True) == (mean[0], std[0])
    assert one().fit(X[:1], [[target, 1.0]]).predict(X).tolist() == [[target, 1.0]] * 5


def test_one_class() -> None:
    X = table(20)[0]
    assert (TagiClassifier(random_state=0).fit(X, ["a"] * 20).predict_proba(9 * X) == 1.0).all()


@pytest.mark.parametrize(
    ("offset", "scale"), [(1e9, 1e-5), (-1e12, 1e-2), (5.0, 1e-12), (0.0, 1e-30), (0.0, 1e140)]
)
def test_a_law_on_an_offset(offset: float, scale: float) -> None:
    X, law, y = table(400)
    truth = offset + scale * law
    model = one(max_epochs=30).fit(X[:200], offset + scale * y[:200])
    stream = one().partial_fit(np.tile(X, (5, 1)), np.tile(offset + scale * y, 5))
    # Beside the error there is what float64 rounds off.
    most = 3.5 * NOISE + np.spacing(abs(offset)) / scale
    for learned, most_here in ((model, most), (stream, 1.5 * most)):
        mean, std = learned.predict(X[200:], return_std=True)
        error = (mean - truth[200:]) / scale
        assert np.sqrt(np.mean(error**2)) < most_here
        assert 0.5 * NOISE < np.median(std) / scale < 5.0 * NOISE


@pytest.mark.parametrize(("offset", "scale"), [(1e8, 1e-4), (-1e15, 3.0), (1e-3, 1e-15)])
def test_columns_on_an_offset(offset: float, scale: float) -> None:
    """They are worth what they are without it, but for what float64 rounds off."""
    X, law, y = table(400)
    moved = X * [scale, 1.0] + [offset, 0.0]
    constant = np.column_stack([moved, np.full(400, 1e8), np.full(400, 0.1)])
    constant[::2, 3] = 0.1 * 3 / 3  # may differ by rounding
    model = one(max_epochs=30).fit(constant[:200], y[:200])
    assert np.sqrt(np.mean((model.predict(constant[200:]) - law[200:]) ** 2)) < 3.5 * NOISE
    # What has never varied is not looked at.
    other = constant.copy()
    other[:, 2:] += 1.0
    assert np.array_equal(model.predict(other), model.predict(constant))


def scaler_of(mean: list[float], scale: list[float]) -> Scaler:
    return Scaler(np.array(mean), np.array(scale), np.ones(len(mean), bool))


def bounded(z: Array) -> Array:
    """Inputs beyond 6 standard deviations by their logarithm."""
    far = np.maximum(np.abs(z), 6.0)
    return np.where(np.abs(z) <= 6.0, z, np.sign(z) * 6.0 * (1.0 + np.log(far / 6.0)))


def test_a_scale_that_has_more_than_doubled_counts_as_doubled() -> None:
    old = scaler_of([1.0, 1.0, 1.0, 1.0], [3.0, 3.0, 3.0, 3.0])
    new = scaler_of([4.0, 1.0, -2.0, 181.0], [4.5, 6.0, 30.0, 6.0])
    before, after = old.input_units_towards(new)
    np.testing.assert_array_equal(before.mean, old.mean)
    np.testing.assert_array_equal(before.scale, old.scale)
    # The last one lies at 60 old standard deviations, and reaches from 58 to 62.
    far = float(bounded(np.array(60.0))), np.ptp(bounded(np.array([58.0, 62.0]))) / 2
    np.testing.assert_allclose(after.mean, [4.0, 1.0, -2.0, 1.0 + 3.0 * far[0]], rtol=1e-12)
    np.testing.assert_allclose(after.scale, [4.5, 6.0, 6.0, 3.0 * far[1]], rtol=1e-12)


@pytest.mark.parametrize("n_estimators", [1, 2])
@pytest.mark.parametrize("n_constant", [1, 5, 100])
def test_a_stream_of_a_constant_that_begins_to_vary(n_constant: int, n_estimators: int) -> None:
    X, law, y = table(3000)
    y = 1e6 * y
    y[:n_constant] = 5.0
    model = TagiRegressor(n_estimators=n_estimators, random_state=0)
    learn_rows(model, X[:n_constant], y[:n_constant])
    mean, std = model.predict_one({"a": 50.0, "b": 0.0}, return_std=True)
    assert mean == 5.0 and std == pytest.approx(5.0 / (n_constant + 1))
    learn_rows(model, X[n_constant:2500], y[n_constant:2500])
    del model.feature_names_in_
    mean, std = model.predict(X[2500:], return_std=True)
    assert np.sqrt(np.mean((mean / 1e6 - law[2500:]) ** 2)) < 0.3 * law.std()
    assert 0.8 < np.mean(np.abs(y[2500:] - mean) < 1.645 * std) <= 1.0
    log = model.prequential_log_
    assert log.n_rows == 2500 - max(n_constant + 1, 16)
    assert -20.0 < log.mean_log_likelihood < -12.0  # -14 for a std of 2e5


@pytest.mark.parametrize("partial", [False, True])
def test_one_of_several_outputs_is_constant(partial: bool) -> None:
    X, law, y = table(400)
    targets = np.column_stack([np.full(400, 8.0), y])
    model = one(max_epochs=30)
    if partial:
        model.partial_fit(np.tile(X, (5, 1)), np.tile(targets, (5, 1)))
    else:
        model.fit(X, targets)
    mean, std = model.predict(X, return_std=True)
    assert (mean[:, 0] == 8.0).all()
    np.testing.assert_allclose(std[:, 0], 8.0 / (model._n_rows + 1))
    assert np.sqrt(np.mean((mean[:, 1] - law) ** 2)) < 0.4
    assert model.sample_y(X[:2], 5).shape == (2, 2, 5)
    # It begins to vary.
    again = np.column_stack([-y, y])
    model.partial_fit(np.tile(X, (5, 1)), np.tile(again, (5, 1)))
    assert np.sqrt(np.mean((model.predict(X)[:, 0] + law) ** 2)) < 0.8


def test_a_constant_is_kept_in_a_file(tmp_path: Path) -> None:
    X = table(20)[0]
    model = one().fit(X, np.full(20, 7.0))
    model.save(tmp_path / "model.safetensors")
    again = tx.load(tmp_path / "model.safetensors")
    for each in (model, again):
        each.partial_fit(X, np.full(20, 7.0))
    assert again.predict(X, return_std=True)[1].tolist() == [7.0 / 41.0] * 20


def test_moments_against_fractions() -> None:
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((40, 4)) * [1e-3, 1.0, 1e-10, 0.0] + [1e9, -1e12, 3.0, 1.1]
    moments = Moments.of_nothing(4)
    for piece in np.split(rows, [1, 3, 20]):
        moments.add(piece)
    scaler = moments.scaler()
    for column in range(4):
        exact = [Fraction(number) for number in rows[:, column].tolist()]
        mean = sum(exact) / 40
        var = sum((number - mean) ** 2 for number in exact) / 40
        assert scaler.mean[column] == pytest.approx(float(mean), rel=1e-15)
        assert moments.squares[column] / 40 == pytest.approx(float(var), rel=1e-5)
    assert scaler.varies.tolist() == [True, True, True, False]
    assert moments.squares[3] == 0.0


def heavy_columns(n_rows: int, seed: int) -> dict[str, Array]:
    generator = np.random.default_rng(seed)
    return {
        "normal": generator.standard_normal(n_rows),
        "uniform": generator.random(n_rows),
        "exponential": generator.standard_exponential(n_rows),
        "log-normal": np.exp(generator.standard_normal(n_rows)),
        "counts": generator.poisson(0.05, n_rows).astype(float),
        "counter": np.arange(n_rows, dtype=float),
        "flag": (np.arange(n_rows) < 2).astype(float),
        "constant": np.full(n_rows, 3.0),
        "half -999": np.where(np.arange(n_rows) % 2, -999.0, generator.standard_normal(n_rows)),
        "missing": np.full(n_rows, np.nan),
    }


@pytest.mark.parametrize("n_rows", [10, 100, 1000, 20_000])
def test_no_column_is_ruined_without_reason(n_rows: int) -> None:
    for seed in range(3):
        for name, column in heavy_columns(n_rows, seed).items():
            assert ruining_value(1e6 * column + 1e3) is None, name


@pytest.mark.parametrize("n_rows", [100, 1000, 20_000])
def test_a_value_that_ruins_a_column(n_rows: int) -> None:
    column = np.random.default_rng(0).standard_normal(n_rows)
    column[3] = np.nan
    for value in (-999.0, 1e9):
        column[7] = value
        assert ruining_value(column) == value
        assert ruining_value(5.0 - column) == 5.0 - value
    column[7] = 20.0  # large, but the rest is told apart all the same
    assert ruining_value(column) is None


@pytest.mark.parametrize("Estimator", [TagiRegressor, TagiClassifier])
def test_a_ruined_column_is_named(Estimator: Any) -> None:
    X, _, y = table(60)
    X[5, 1] = -999.0
    model, labels = Estimator(n_estimators=1, max_epochs=2, early_stopping=False), y > 0
    with pytest.warns(OutlierWarning, match=r"X\[:, 1\]: the value -999 makes") as caught:
        model.fit(X, labels)
    assert len(caught) == 1 and caught[0].filename == __file__
    pandas = pytest.importorskip("pandas")
    with pytest.warns(OutlierWarning, match=r"X, column 'height': the value -999 makes"):
        model.fit(pandas.DataFrame(X, columns=["width", "height"]), labels)


def test_ruined_targets() -> None:
    X, _, y = table(60)
    y[5] = 1e7
    model = one(max_epochs=2, early_stopping=False)
    with pytest.warns(OutlierWarning, match=r"^y: the value 1e\+07 makes"):
        model.fit(X, y)
    with pytest.warns(OutlierWarning, match=r"^y\[:, 1\]: the value 1e\+07 makes"):
        model.fit(X, np.column_stack([X[:, 0], y]))
