"""Covariances of few drawn networks are moderated by the closed form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

import tagix as tx
from tagix import _core
from tagix.diffusion._moderation import (
    LEAST_ROWS,
    MOST_DRAWS,
    digamma,
    inverse_trigamma,
    moderated,
    trigamma,
)

special = pytest.importorskip("scipy.special")
ones = np.ones(2, np.float32)


@pytest.mark.parametrize("x", [1e-3, 0.5, 1.0, 1.5, 7.5, 10.0, 300.0])
def test_gamma_functions(x: float) -> None:
    assert digamma(x) == pytest.approx(special.digamma(x), rel=1e-11, abs=1e-11)
    assert trigamma(x) == pytest.approx(special.polygamma(1, x), rel=1e-11)
    assert inverse_trigamma(float(special.polygamma(1, x))) == pytest.approx(x, rel=1e-9)


def rows_of_draws(
    n_rows: int, n_draws: int, prior_freedom: float, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """True variances, covariances of draws along one direction, and a closed form.

    The truth is d0 s0^2 / chi-square(d0), about s0^2 = 3 c^1.2 for a closed form of trace c.
    """
    rng = np.random.default_rng(seed)
    closed = np.exp(rng.normal(0, 1.5, n_rows))
    truth = 3 * closed**1.2 * prior_freedom / rng.chisquare(prior_freedom, n_rows)
    angle = rng.uniform(0, np.pi, n_rows)
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    numbers = rng.standard_normal((n_draws, n_rows, 1)) * np.sqrt(truth)[:, np.newaxis]
    deviation = numbers * direction
    deviation = deviation - deviation.mean(axis=0)
    drawn = np.einsum("kni,knj->nij", deviation, deviation) / (n_draws - 1)
    form = np.tile(np.diag([0.75, 0.25]), (n_rows, 1, 1)) * closed[:, np.newaxis, np.newaxis]
    return truth, drawn.astype(np.float32), form.astype(np.float32)


def trace(covariance: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return np.trace(covariance.astype(np.float64), axis1=1, axis2=2)


@pytest.mark.parametrize("n_draws", [4, 8])
def test_errors_are_those_of_the_best_mixture(n_draws: int) -> None:
    """By the true line and the true d0 the mixture (d0 s0^2 + d s^2) / (d0 + d) is optimal."""
    prior_freedom, freedom = 6.0, n_draws - 1
    truth, drawn, closed = rows_of_draws(4000, n_draws, prior_freedom, seed=n_draws)
    got = trace(moderated(drawn, closed, n_draws, ones))
    prior = 3 * trace(closed) ** 1.2
    best = (prior_freedom * prior + freedom * trace(drawn)) / (prior_freedom + freedom)
    np.testing.assert_allclose(np.median(np.log(got / best)), 0, atol=0.05)

    def error(var: npt.NDArray[np.float64]) -> float:
        return float(np.sqrt(np.mean(np.log(var / truth) ** 2)))

    assert error(got) < 1.03 * error(best)
    assert error(got) < 0.75 * error(trace(drawn))


def test_draws_that_spread_no_more_than_few_draws_do() -> None:
    """Where the closed form is exact up to its line, the draws only place the line."""
    truth, drawn, closed = rows_of_draws(4000, 5, 1e9, seed=3)
    got = moderated(drawn, closed, 5, ones)
    np.testing.assert_allclose(trace(got), truth, rtol=0.12)
    shape = got / trace(got)[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(shape, np.tile(np.diag([0.75, 0.25]), (4000, 1, 1)), atol=0.12)


def test_columns_count_alike_in_the_units_of_the_model() -> None:
    _, drawn, closed = rows_of_draws(50, 4, 6.0, seed=4)
    scale = np.array([1e3, 1e-3], np.float32)
    units = np.outer(scale, scale)
    got = moderated(drawn * units, closed * units, 4, scale)
    np.testing.assert_allclose(got / units, moderated(drawn, closed, 4, ones), rtol=1e-5, atol=1e-7)


def test_rows_that_do_not_vary_stay_as_they_are() -> None:
    _, drawn, closed = rows_of_draws(LEAST_ROWS + 1, 4, 6.0, seed=5)
    drawn[3] = 0
    got = moderated(drawn, closed, 4, ones)
    assert not got[3].any()
    assert not np.array_equal(got[4], drawn[4])
    few = moderated(drawn[:LEAST_ROWS], closed[:LEAST_ROWS], 4, ones)
    np.testing.assert_array_equal(few, drawn[:LEAST_ROWS])


def test_samples_are_moderated_up_to_sixteen_draws() -> None:
    rng = np.random.default_rng(0)
    data = rng.standard_normal((400, 2)) * [2.0, 0.5] + [1.0, -3.0]
    model = tx.DiffusionModel(2, hidden=(16, 16), n_steps=8, seed=1)
    model.fit(data, n_epochs=3, progress=False)
    plain = model.sample(60, seed=2, uncertainty=True)
    for n_draws in (4, MOST_DRAWS, MOST_DRAWS + 1):
        seeds = [_core.derive_seed(2, draw) for draw in range(n_draws)]
        chains = np.array([model.draw(each).sample(60, seed=2).x for each in seeds], np.float64)
        drawn = np.array([np.cov(chains[:, row].T) for row in range(60)]).astype(np.float32)
        samples = model.sample(60, seed=2, ensemble=n_draws)
        assert samples.epistemic is not None and plain.epistemic is not None
        expected = drawn
        if n_draws <= MOST_DRAWS:
            expected = moderated(drawn, plain.epistemic, n_draws, model.scale.astype(np.float32))
            assert np.linalg.eigvalsh(samples.epistemic.astype(np.float64)).min() > 0
        np.testing.assert_allclose(
            samples.epistemic, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
        )
