"""Laws of targets by their distributions and scores, conformal intervals, and covariances."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm, t

import tagix as tx
from tagix.sklearn import TagiRegressor
from tagix.sklearn._law import TailedLaw, crps, distribution
from tagix.sklearn._residuals import MOST_ROWS, Residuals

Array = NDArray[np.float64]


def law(freedom: float) -> TailedLaw:
    one = np.ones(1)
    return TailedLaw(
        0 * one, one, freedom * one, 0 * one, one, -one, one, np.zeros((1, 5)), np.zeros((1, 4))
    )


@pytest.mark.parametrize("freedom", [None, 3.0, 5.5, 40.0])
def test_distribution_and_score_by_integration(freedom: float | None) -> None:
    """crps(y) is the integral of (F(x) - [y <= x])^2 over all x."""
    known = None if freedom is None else law(freedom)
    scale = 1.0 if freedom is None else np.sqrt((freedom - 2.0) / freedom)
    exact = norm() if freedom is None else t(freedom, scale=scale)
    for reached in (-4.0, -0.3, 0.0, 1.2, 9.0):
        row = np.array([[reached]])
        assert distribution(known, row)[0, 0] == pytest.approx(exact.cdf(reached), rel=1e-12)
        below = quad(lambda x: exact.cdf(x) ** 2, -np.inf, reached, epsabs=1e-10)[0]
        above = quad(lambda x: exact.sf(x) ** 2, reached, np.inf, epsabs=1e-10)[0]
        assert crps(known, row)[0, 0] == pytest.approx(below + above, rel=1e-6)


def skewed(n_rows: int, seed: int) -> tuple[Array, Array]:
    """Noise that is exponential, and three times as large on one side."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 3))
    scale = np.where(X[:, 1] > 0, 0.9, 0.3)
    return X, X[:, 0] + scale * rng.exponential(size=n_rows)


@cache
def fitted() -> TagiRegressor:
    return TagiRegressor(max_epochs=30, random_state=0).fit(*skewed(600, 0))


def test_public_distribution_and_score() -> None:
    """Of rows that are not learned, F(y) is spread evenly; the mean score by 200 quantiles."""
    X, y = skewed(2000, 1)
    model = fitted()
    reached = model.cdf(X, y)
    assert reached.shape == (2000,)
    shares = np.histogram(reached, bins=4, range=(0, 1))[0] / 2000
    assert np.abs(shares - 0.25).max() < 0.12  # the law is symmetric, the noise is not
    levels = (np.arange(400) + 0.5) / 400
    errors = y[:, np.newaxis] - model.predict_quantiles(X, levels)
    pinball = np.maximum(levels * errors, (levels - 1.0) * errors)
    assert model.crps(X, y).mean() == pytest.approx(2.0 * pinball.mean(), rel=5e-3)
    quantile = model.predict_quantiles(X, 0.8)[:, 0]
    np.testing.assert_allclose(model.cdf(X, quantile), 0.8, rtol=1e-9)
    stream = TagiRegressor(n_estimators=1).partial_fit(X[:50], y[:50])
    mean, std = stream.predict(X, return_std=True)
    np.testing.assert_allclose(stream.cdf(X, y), norm.cdf(y, mean, std), rtol=1e-9)


def test_conformal_intervals_hold_skewed_rows() -> None:
    """Each end by itself: as many rows lie below as above, which Student's t cannot give.

    The share that one table's intervals hold varies by .04 from table to table; in the mean of
    several it is the level, or a little more, as more networks predict than rows were left out of.
    """
    X, y = skewed(4000, 2)
    models = [fitted()]
    models += [
        TagiRegressor(max_epochs=30, random_state=s).fit(*skewed(600, s)) for s in (20, 21, 22)
    ]
    for level in (0.5, 0.9):
        ends = np.stack([model.predict_interval(X, level, conformal=True) for model in models])
        below, above = (y < ends[..., 0]).mean(), (y > ends[..., 1]).mean()
        assert level - 0.03 < 1 - below - above < level + 0.06
    np.testing.assert_allclose([below, above], 0.05, atol=0.03)
    plain = fitted().predict_interval(X)
    assert np.mean(y < plain[:, 0]) < 0.01 < 0.05 < np.mean(y > plain[:, 1])


def test_conformal_intervals_of_rows_that_have_moved() -> None:
    """Where rows come from another part of the table the intervals go with the std's."""
    X, y = skewed(6000, 3)
    for moved in (X[:, 1] > 0.5, X[:, 1] < -0.5):
        low, high = fitted().predict_interval(X[moved], conformal=True).T
        held = np.mean((low <= y[moved]) & (y[moved] <= high))
        assert 0.82 < held < 0.98


def test_ranks_by_hand() -> None:
    """Of 19 rows, the ends of 90 % intervals are the first and the last; beyond, infinity."""
    errors = np.random.default_rng(0).standard_normal((19, 2))
    residuals = Residuals.of(errors)
    ends = np.stack([errors.min(axis=0), errors.max(axis=0)], axis=1)
    np.testing.assert_array_equal(residuals.interval(0.9), ends)
    assert np.isinf(residuals.interval(0.91)).all()
    ranked = np.sort(errors, axis=0)
    np.testing.assert_array_equal(residuals.interval(0.5), ranked[[4, 14]].T)
    weight = np.ones(19)
    twice = Residuals.of(errors, weight)
    np.testing.assert_array_equal(twice.interval(0.5), residuals.interval(0.5))
    # Weights: a row of weight 2 is two rows, as far as ranks go.
    weight = np.random.default_rng(1).integers(1, 4, 19).astype(float)
    repeated = Residuals.of(np.repeat(errors, weight.astype(int), axis=0))
    weighted = Residuals.of(errors, weight / weight.mean()).interval(0.6)
    assert (
        np.abs(
            np.searchsorted(ranked[:, 0], weighted[0])
            - np.searchsorted(ranked[:, 0], repeated.interval(0.6)[0])
        ).max()
        <= 1
    )
    many = Residuals.of(np.random.default_rng(0).standard_normal((3 * MOST_ROWS, 1)))
    assert len(many.ranked) == MOST_ROWS
    np.testing.assert_allclose(many.interval(0.9), [[-1.645, 1.645]], atol=0.03)


def test_conformal_of_what_left_no_rows_out() -> None:
    X, y = skewed(60, 0)
    for model in (
        TagiRegressor(early_stopping=False, max_epochs=2).fit(X, y),
        TagiRegressor().partial_fit(X, y),
        TagiRegressor(max_epochs=2).fit(X[:14], y[:14]),
    ):
        with pytest.raises(ValueError, match="conformal: got True, needed a fit that left rows"):
            model.predict_interval(X, conformal=True)
    with pytest.raises(TypeError, match="conformal"):
        fitted().predict_interval(X, conformal="yes")  # type: ignore[arg-type]


def together(n_rows: int, seed: int) -> tuple[Array, Array]:
    """Three outputs: noise of the first two has a correlation of -.8, the third never varies."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 2))
    noise = rng.multivariate_normal([0, 0], [[1, -0.8], [-0.8, 1]], n_rows)
    y = np.column_stack([X[:, 0] + noise[:, 0], 10 * X[:, 1] + 5 * noise[:, 1], np.full(n_rows, 3)])
    return X, y


def test_covariances_of_outputs(tmp_path: Path) -> None:
    X, y = together(500, 0)
    model = TagiRegressor(max_epochs=30, random_state=0).fit(X, y)
    probe = X[:40]
    mean, cov = model.predict(probe, return_cov=True)
    plain, std = model.predict(probe, return_std=True)
    assert cov.shape == (40, 3, 3)
    np.testing.assert_array_equal(mean, plain)
    np.testing.assert_allclose(np.einsum("rii->ri", cov), std**2, rtol=1e-9)
    correlation = cov[:, 0, 1] / (std[:, 0] * std[:, 1])
    np.testing.assert_allclose(correlation, -0.8, atol=0.12)
    np.testing.assert_allclose(cov, cov.swapaxes(1, 2), rtol=1e-12)
    assert not cov[:, :2, 2].any() and (np.linalg.eigvalsh(cov) > 0).all()
    samples = model.sample_y(probe, 4000, random_state=0)
    # The noise of samples has that correlation; what is not known of functions has little.
    drawn = np.array([np.corrcoef(each[:2])[0, 1] for each in samples])
    assert (drawn < -0.25).all() and (drawn > -0.9).all() and np.median(drawn) < -0.55
    model.save(tmp_path / "model.safetensors")
    again = tx.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(probe, return_cov=True)[1], cov)
    interval = model.predict_interval(probe, conformal=True)
    np.testing.assert_array_equal(again.predict_interval(probe, conformal=True), interval)
    # Of a constant, errors of 0 say nothing of the next.
    np.testing.assert_array_equal(interval[:, 2], model.predict_interval(probe)[:, 2])


def test_covariances_by_inputs_that_are_not_known() -> None:
    """y_2 = -2 y_1, both of one uncertain input: that is their covariance, too."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (400, 1))
    y = np.c_[X, -2 * X] + 0.02 * rng.standard_normal((400, 2))
    model = TagiRegressor(max_epochs=40, random_state=0).fit(X, y)
    probe = np.zeros((5, 1))
    _, cov = model.predict(probe, X_std=np.full((5, 1), 0.2), return_cov=True)
    np.testing.assert_allclose(cov[:, 0, 1], -2 * 0.2**2, rtol=0.15)


def test_covariances_that_are_refused() -> None:
    X, y = skewed(60, 0)
    model = TagiRegressor(max_epochs=2).fit(X, y)
    with pytest.raises(ValueError, match="return_cov: got True, needed a fit to targets"):
        model.predict(X, return_cov=True)
    wide = TagiRegressor(max_epochs=2).fit(X, np.c_[y, y])
    with pytest.raises(ValueError, match="return_cov: got True with return_std"):
        wide.predict(X, return_std=True, return_cov=True)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("residuals", lambda a: a.__setitem__((0, 0, 0), 9.0), "not ranked errors"),
        ("residuals", lambda a: a.__setitem__((1, 0, 0), 0.0), "not ranked errors"),
        ("residuals", lambda a: a.__setitem__((0, 0, 0), np.nan), "NaN or infinity"),
        ("residuals.n_rows", lambda a: a.__setitem__(0, 3.0), "not ranked errors"),
        ("residuals.n_rows", lambda a: a.__setitem__(0, 20.5), "not ranked errors"),
        ("residuals.correlation", lambda a: a.__setitem__((0, 1), 0.7), "not correlations"),
        ("residuals.correlation", lambda a: a.__setitem__((0, 0), 2.0), "not correlations"),
        ("residuals.correlation", lambda a: a.__setitem__(slice(None), 3.0), "not correlations"),
    ],
)  # fmt: skip
def test_damaged(name: str, change: Any, message: str) -> None:
    residuals = Residuals.of(np.random.default_rng(0).standard_normal((20, 2)))
    tensors: dict[str, Any] = {}
    residuals.describe(tensors)
    again = Residuals.read(dict(tensors), 2)
    np.testing.assert_array_equal(again.interval(0.8), residuals.interval(0.8))
    tensors[name] = tensors[name].copy()
    change(tensors[name])
    with pytest.raises(ValueError, match=message):
        Residuals.read(tensors, 2)
