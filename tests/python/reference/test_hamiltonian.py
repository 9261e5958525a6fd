"""Hamiltonian Monte Carlo: its gradient, and a posterior of which much is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the torch extra")

from tagix import reference
from tagix.reference.hamiltonian import N_CHAINS, Posterior


def test_the_gradient_is_that_of_the_density_by_differences() -> None:
    rng = np.random.default_rng(0)
    posterior = Posterior(rng.standard_normal((20, 2)), rng.standard_normal(20), gain_bias=2.0)
    theta = rng.standard_normal((N_CHAINS, posterior.n_parameters))
    _, gradient = posterior.log_density(theta)
    step = 1e-6
    for k in [*rng.choice(posterior.n_parameters, 40, replace=False).tolist(), -1, -2]:
        moved = step * np.eye(posterior.n_parameters)[k]
        above, below = (posterior.log_density(theta + sign * moved)[0] for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, k], (above - below) / (2 * step), atol=2e-5)


def test_a_line_between_two_clusters() -> None:
    """The noise is found, the mean is well known at the rows, and less so between and beyond."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-2, -1, 60), rng.uniform(1, 2, 60)])[:, np.newaxis]
    y = 0.7 * x[:, 0] + 0.1 * rng.standard_normal(len(x))
    regions = {"rows": x, "gap": np.array([[0.0]]), "far": np.array([[8.0]])}
    draws = reference.hamiltonian(x, y, regions, 100, 120)
    assert draws.noise_std == pytest.approx(0.1, rel=0.2)
    rows, gap, far = (float(np.mean(draws.std[name])) for name in regions)
    # Five or so numbers are learned from 120 rows.
    assert 0.1 * np.sqrt(2 / 120) < rows < 0.1 * np.sqrt(20 / 120)
    assert 2 * rows < gap < far
    assert draws.r_hat < 1.5


def test_errors() -> None:
    x, y = np.ones((3, 1)), np.ones(3)
    with pytest.raises(ValueError, match=r"^n_warm, n_kept: got 0 and 8"):
        reference.hamiltonian(x, y, {}, 0, 8)
    with pytest.raises(ValueError, match=r"^x, y: got shapes \(3, 1\) and \(2,\)"):
        reference.hamiltonian(x, y[:2], {}, 1, 8)
