"""Mixtures of Gaussians, for which what a diffusion model has to learn is known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tagix import schedules

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """sum_k weights[k] N(means[k], covariances[k]): shapes (k,), (k, d) and (k, d, d)."""

    weights: Array
    means: Array
    covariances: Array

    def posterior(self, x: Array, alpha_bar: float) -> tuple[Array, Array]:
        """Mean and covariance of x_0 given x_t = a x_0 + b eps, by conditioning each Gaussian."""
        a, b = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
        gain = a * self.covariances @ np.linalg.inv(self._noisy(a, b))
        shares = np.exp(self._log_shares(x, a, b))
        shares /= shares.sum(axis=1, keepdims=True)
        away = x[:, np.newaxis] - a * self.means
        means = self.means + np.einsum("kij,nkj->nki", gain, away)
        mean = np.einsum("nk,nki->ni", shares, means)
        second = np.einsum("nk,nki,nkj->nij", shares, means, means)
        second += np.einsum("nk,kij->nij", shares, self.covariances - a * gain @ self.covariances)
        return mean, second - mean[:, :, np.newaxis] * mean[:, np.newaxis]

    def log_prob(self, z: Array, sigma: float) -> Array:
        """ln density of the mixture with noise of standard deviation sigma added, (n,)."""
        logs = self._log_shares(z, 1.0, sigma)
        most = logs.max(axis=1)
        return np.asarray(most + np.log(np.exp(logs - most[:, np.newaxis]).sum(axis=1)))

    def prediction(
        self, alpha_bar: Array, prediction_type: str = "epsilon"
    ) -> Callable[[Array, Array], Array]:
        """The exact function(x, t) of the timesteps of a schedule."""

        def function(x: Array, t: Array) -> Array:
            share = _share_at(alpha_bar, t)
            return target(self.posterior(x, share)[0], x, share, prediction_type)

        return function

    def _noisy(self, a: float, b: float) -> Array:
        d = self.means.shape[1]
        return np.asarray(a**2 * self.covariances + b**2 * np.eye(d))

    def _log_shares(self, x: Array, a: float, b: float) -> Array:
        """ln (weights[k] N(x; a means[k], a^2 covariances[k] + b^2 I)), (n, k)."""
        noisy = self._noisy(a, b)
        away = x[:, np.newaxis] - a * self.means
        square = np.einsum("nki,kij,nkj->nk", away, np.linalg.inv(noisy), away)
        volume = np.linalg.slogdet(2 * np.pi * noisy)[1]
        return np.asarray(np.log(self.weights) - (square + volume) / 2)


def target(x_0: Array, x: Array, share: float, prediction_type: str) -> Array:
    """What a network predicts where it takes x for a x_0 + b eps."""
    a, b = np.sqrt(share), np.sqrt(1 - share)
    eps = (x - a * x_0) / b
    targets = {"epsilon": eps, "sample": x_0, "v_prediction": a * eps - b * x_0}
    return np.asarray(targets[prediction_type])


def with_jacobian(
    mixture: Mixture, alpha_bar: Array, prediction_type: str = "epsilon"
) -> Callable[[Array, Array], tuple[Array, Array]]:
    """function(x, t) -> (F, dF/dx), of d x_0 / dx = a / b^2 Cov(x_0 | x)."""

    def function(x: Array, t: Array) -> tuple[Array, Array]:
        share = _share_at(alpha_bar, t)
        mean, covariance = mixture.posterior(x, share)
        slope = np.sqrt(share) / (1 - share) * covariance
        identity = np.broadcast_to(np.eye(x.shape[1]), slope.shape)
        # F is linear in x_0 and x, and so is its derivative in those of x_0 and x.
        return (
            target(mean, x, share, prediction_type),
            target(slope, identity, share, prediction_type),
        )

    return function


def gaussian(mean: npt.ArrayLike, covariance: npt.ArrayLike) -> Mixture:
    """A mixture of one."""
    return Mixture(np.ones(1), np.array([mean], float), np.array([covariance], float))


def standardized_mixture(d: int) -> Mixture:
    """Three overlapping Gaussians of full covariance, with mean 0 and variance 1 in each column."""
    generator = np.random.default_rng(d)
    weights = np.array([0.5, 0.3, 0.2])
    means = generator.standard_normal((3, d))
    means -= weights @ means
    root = 0.25 * generator.standard_normal((3, d, d))
    covariances = root @ root.transpose(0, 2, 1) + 0.02 * np.eye(d)
    scale = np.sqrt(weights @ (means**2 + np.diagonal(covariances, axis1=1, axis2=2)))
    return Mixture(weights, means / scale, covariances / np.outer(scale, scale))


def _share_at(alpha_bar: Array, t: Array) -> float:
    assert (t == t[0]).all()
    return float(schedules.alpha_bar_at(alpha_bar, t[0]))
