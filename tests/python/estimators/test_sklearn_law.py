"""The law of targets that is fitted to rows out of fold: found again where it is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from scipy import stats

from tagix.sklearn import TagiRegressor
from tagix.sklearn._law import TailedLaw, constant_loss, fit_law
from tagix.sklearn._prequential import RegressionLog

ONE = np.ones(1)
N = 20_000
MEAN = np.random.default_rng(0).uniform(-2, 2, (N, 1))
VAR = np.exp(np.random.default_rng(1).uniform(-3, 1, (N, 1)))


def fitted(
    y: np.ndarray, mean: np.ndarray = MEAN, var: np.ndarray = VAR
) -> tuple[TailedLaw, float]:
    return fit_law(y, mean, var, np.zeros(y.shape[1]), np.ones(y.shape[1]), np.ones(y.shape[1]))


@pytest.mark.parametrize("freedom", [4.0, 12.0])
def test_a_known_law_is_found(freedom: float) -> None:
    """log s^2 = -0.5 + 0.6 log V with the tails of a t; its likelihood is that of SciPy."""
    scale = np.exp(0.5 * (-0.5 + 0.6 * np.log(VAR)))
    y = MEAN + scale * stats.t.rvs(freedom, size=(N, 1), random_state=2)
    law, loss = fitted(y)
    assert law.freedom[0] == pytest.approx(freedom, rel=0.15)
    assert law.power[0] == pytest.approx(0.6, abs=0.05)
    std = np.sqrt(law.var(MEAN, VAR))
    np.testing.assert_allclose(std, scale * np.sqrt(freedom / (freedom - 2)), rtol=0.12)
    truth = stats.t.logpdf(y, freedom, MEAN, scale).mean()
    assert -loss == pytest.approx(truth, abs=0.003)
    assert law.log_density(y, MEAN, std**2).mean() == pytest.approx(-loss, rel=1e-9)


def test_noise_that_depends_on_the_level() -> None:
    """Variances that know nothing of it: the ramps have it, from .1 to 1 over the predictions."""
    std = 10.0 ** ((MEAN - 2.0) / 4.0)
    y = MEAN + std * np.random.default_rng(3).standard_normal((N, 1))
    law, _ = fitted(y, var=np.full((N, 1), 0.5))
    found = np.sqrt(law.var(MEAN, np.full((N, 1), 0.5)))
    np.testing.assert_allclose(found, std, rtol=0.15)


def test_beyond_the_rows_variances_go_on_in_proportion() -> None:
    law, _ = fitted(MEAN + VAR**0.25 * np.random.default_rng(4).standard_normal((N, 1)))
    assert law.power[0] == pytest.approx(0.5, abs=0.05)
    mean = np.zeros((2, 1))
    for ends in (VAR.max() * np.array([[1.0], [100.0]]), VAR.min() * np.array([[1.0], [0.01]])):
        of_ends = law.var(mean, ends)
        assert of_ends[1] / of_ends[0] == pytest.approx(ends[1] / ends[0], rel=1e-9)


def test_variances_on_top_are_not_those_of_the_law() -> None:
    """Half of the rows have inputs that are not known, which adds a variance that is given."""
    added = np.where(np.random.default_rng(10).random((N, 1)) < 0.5, 0.0, 4.0)
    y = MEAN + np.sqrt(0.3 * VAR + added) * np.random.default_rng(11).standard_normal((N, 1))
    ones = np.ones(1)
    law, loss = fit_law(y, MEAN, VAR, 0.0 * ones, ones, ones, added)
    np.testing.assert_allclose(law.var(MEAN, VAR), 0.3 * VAR, rtol=0.15)
    truth = stats.norm.logpdf(y, MEAN, np.sqrt(0.3 * VAR + added)).mean()
    assert -loss == pytest.approx(truth, abs=0.003)


def test_a_share_of_squared_errors_that_more_networks_leave() -> None:
    """A quarter of them is half of each error."""
    errors = stats.t.rvs(5, size=(N, 1), random_state=13)
    quarter, _ = fit_law(MEAN + errors, MEAN, VAR, np.zeros(1), ONE, np.array([0.25]))
    half, _ = fitted(MEAN + 0.5 * errors)
    np.testing.assert_allclose(quarter.array(), half.array(), rtol=1e-6)


def test_a_log_has_the_mean_over_outputs_by_their_law() -> None:
    """Errors by NumPy, densities and central intervals of a t by SciPy."""
    mean, networks_var = np.c_[MEAN, -MEAN], np.c_[VAR, VAR]
    y = mean + stats.t.rvs(4, size=(N, 2), random_state=14) * [1.0, 0.1]
    law, _ = fitted(y, mean, networks_var)
    var = law.var(mean, networks_var)
    log = RegressionLog()
    for part in (slice(100), slice(100, N)):
        log.add(y[part], mean[part], var[part], law)
    error, scale = y - mean, np.sqrt(var * (law.freedom - 2) / law.freedom)
    assert log.n_rows == N
    assert log.mean_squared_error == pytest.approx((error**2).mean(), rel=1e-9)
    assert log.mean_absolute_error == pytest.approx(np.abs(error).mean(), rel=1e-9)
    covered = np.abs(stats.t.cdf(error / scale, law.freedom) - 0.5) <= 0.45
    assert log.coverage == pytest.approx(covered.mean(), abs=1e-4)
    density = stats.t.logpdf(y, law.freedom, mean, scale)
    assert log.mean_log_likelihood == pytest.approx(density.mean(), rel=1e-9)


def test_units() -> None:
    """A law in other units gives the same numbers in them."""
    rng = np.random.default_rng(5)
    y = MEAN[:500] + rng.standard_normal((500, 1))
    law, _ = fitted(y, MEAN[:500], VAR[:500])
    other, _ = fit_law(y, MEAN[:500], VAR[:500], 7.0 * ONE, 1e6 * ONE, ONE)
    expected = 1e12 * law.var(MEAN, VAR)
    np.testing.assert_allclose(other.var(1e6 * MEAN + 7.0, 1e12 * VAR), expected, rtol=1e-9)


def test_one_outlier_of_many_rows_hardly_moves_it() -> None:
    y = MEAN[:1500] + VAR[:1500] ** 0.5 * np.random.default_rng(6).standard_normal((1500, 1))
    std = np.sqrt(fitted(y, MEAN[:1500], VAR[:1500])[0].var(MEAN, VAR))
    y[7] = 1e6
    law, loss = fitted(y, MEAN[:1500], VAR[:1500])
    np.testing.assert_allclose(np.sqrt(law.var(MEAN, VAR)), std, rtol=0.35)
    assert loss < 1.3


def test_quantiles_are_those_of_scipy() -> None:
    y = np.c_[MEAN, -MEAN] + stats.t.rvs(5, size=(N, 2), random_state=7) * [1.0, 0.1]
    law, _ = fitted(y, np.c_[MEAN, -MEAN], np.c_[VAR, VAR])
    levels = np.array([0.01, 0.3, 0.5, 0.975])
    unit = np.sqrt((law.freedom - 2) / law.freedom)
    expected = [stats.t.ppf(levels, nu) * u for nu, u in zip(law.freedom, unit, strict=True)]
    np.testing.assert_allclose(law.quantiles(levels), expected, rtol=1e-9)
    rng = np.random.default_rng(12)
    draws = rng.standard_normal((N, 2)) * law.tails(rng, N)
    for output, nu in enumerate(law.freedom):
        assert stats.kstest(draws[:, output] / unit[output], stats.t(nu).cdf).pvalue > 0.001
    assert np.array_equal(TailedLaw.of_array(law.array()).array(), law.array())
    with pytest.raises(ValueError, match="law: got numbers"):
        TailedLaw.of_array(law.array() * [[np.nan], [1.0]])


def test_few_rows_have_as_few_degrees_of_freedom() -> None:
    """A variance found from n numbers: no more than n."""
    rng = np.random.default_rng(8)
    for n_rows in (15, 40):
        law, _ = fitted(rng.standard_normal((n_rows, 1)), MEAN[:n_rows], VAR[:n_rows])
        assert law.freedom[0] <= n_rows


def test_loss_of_a_constant() -> None:
    """The entropy of a t of 6 degrees of freedom, of whatever scale."""
    y = 3.0 + 0.2 * stats.t.rvs(6, size=(N, 1), random_state=9)
    loss = constant_loss(y, np.full((N, 1), 3.0))
    assert loss == pytest.approx(stats.t.entropy(6, scale=0.2), abs=0.01)


def test_intervals_hold_where_a_law_is_plain() -> None:
    """Houses: size, rooms and a category, noise of 20 000: the error is the noise, seed by seed."""
    for seed in (2, 3, 4):
        g = np.random.default_rng(seed)

        def houses(n: int, g: np.random.Generator = g) -> tuple[np.ndarray, np.ndarray]:
            area, rooms, city = g.uniform(30, 200, n), g.integers(1, 7, n), g.integers(0, 3, n)
            law = 2000 * area + 10000 * rooms + 80000 * (city == 1)
            X = np.column_stack([area, rooms, *(city == k for k in range(3))]).astype(np.float64)
            return X, law + g.normal(0, 20000, n)

        model = TagiRegressor(random_state=seed).fit(*houses(300))
        X, y = houses(2000)
        low, high = model.predict_interval(X).T
        assert np.sqrt(np.mean((model.predict(X) - y) ** 2)) < 23000
        assert 0.85 < np.mean((low <= y) & (y <= high)) < 0.97
