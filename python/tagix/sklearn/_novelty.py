"""Novelty: the uncertainty about a row grows with its distance from the rows of a fit.

Networks with independent weights cannot represent this: after learning two clusters they are as
certain between and beyond the clusters as in them, because the covariances of the weights are lost.
A model of the same prior keeps all covariances: as a network of the recipe's prior gets wider, it
becomes a Gaussian process with the kernel of ``_prior_kernel.py``, on columns x_j times s_j. Its
posterior variance given the rows is v(x) = amplitude u(x). It depends on the targets only through
the amplitude and the noise, which maximize the (type II) likelihood. The factors s_j^2 say how
strongly the trained networks' means depend on each column: a gap in a column without influence does
not count. By the process, whose mean is m_k, the squared error of the networks' mean m at x is
v(x) + (m - m_k)^2. A row is novel as far as u(x) exceeds its usual value for rows of the fit, held
out one by one. Only then is this error added:

    excess(x) = share (v(x) + (m - m_k)^2),   share = max(0, 1 - level / u(x))^2,
    level = a high quantile of u(x_i) without row i

The excess is 0 for most rows like those that were learned, and grows with the squared distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from tagix import nn
from tagix._rescaling import Units
from tagix.sklearn._encoding import Encoding
from tagix.sklearn._files import take_array
from tagix.sklearn._prior_kernel import LEAST_RESIDUAL, factored, kernel, pivots, variances

if TYPE_CHECKING:
    from tagix.io import Record

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

MOST_ROWS = 10_000
"""Rows of a larger table are drawn at random."""
MOST_INDUCING = 48
"""Rows that the kernel's matrix is taken through, at most, after a fit."""
MOST_INDUCING_LATER = 96
"""The same after rows of :meth:`Novelty.with_rows`."""
LEVEL = 0.95
"""Share of held-out rows of a fit that are not novel."""
LEAST_RELEVANCE = 0.03
"""Weight of a column that the networks do not depend on, in units of the mean over columns: its
effect far from the data is unknown."""
SMALL = 0.01
"""Variance that does not matter, in units of the noise's."""
NOISE_RATIOS = np.logspace(-6, 1, 36)
"""Candidate variances of the noise, in units of the amplitude; the likeliest is taken."""

_ROWS_AT_A_TIME = 512  # what the passes of a prediction write stays in cache
_MOST_TANGENTS = 20_000  # rows times columns of which Jacobians are taken
_MOST_JACOBIANS = 200


@dataclass(frozen=True)
class Novelty:
    """What :func:`learn` finds. Inputs are standardized rows, (rows, n_features).

    Instances do not change: :meth:`with_rows` and :meth:`in_units` give new ones.

    Attributes:
        hidden: widths of the network's hidden layers.
        scale, shift: float64 (n_features,); the kernel sees scale * x + shift.
        inducing: float64 (n_inducing, n_features), rows as the kernel sees them.
        cholesky: float64 (n_inducing, n_inducing), lower: the factor of their kernel's matrix.
        gram: float64 (n_inducing, n_inducing), the sum over learned rows of f f^T, where
            f = cholesky^-1 k(inducing, row).
        noise_ratio: variance of the noise, in units of the amplitude.
        level: the usual u of a row that was not learned.
        amplitude: float64 (n_outputs,), in squared units of the targets.
        sums: float64 (n_inducing, n_outputs), the sum of f (target - centre) over learned rows.
        centre: float64 (n_outputs,), mean of the process where nothing is known.
    """

    hidden: tuple[int, ...]
    scale: Array
    shift: Array
    inducing: Array
    cholesky: Array
    gram: Array
    noise_ratio: float
    level: float
    amplitude: Array
    sums: Array
    centre: Array

    def excess(self, x: Float32, mean: Array | None = None) -> Array:
        """Variance beyond what is usual, (rows, n_outputs), in squared units of the targets.

        Args:
            x: standardized rows.
            mean: (rows, n_outputs), what the networks predict; without, the process's own mean.
        """
        unknown, process_mean = self.posterior(x)
        variance: Array = unknown[:, np.newaxis] * self.amplitude
        if mean is not None:
            variance += (mean - process_mean) ** 2
        variance *= self._share(unknown)[:, np.newaxis]
        return variance

    def chance_to_exceed(self, x: Float32) -> Array:
        """The probability that an error of that variance is greater than 1, (rows, n_outputs)."""
        variance = self.excess(x)
        with np.errstate(divide="ignore"):
            chance: Array = erfc(1.0 / np.sqrt(2.0 * variance))
        return chance

    def draw(
        self, x: Float32, mean: Array, n_samples: int, generator: np.random.Generator
    ) -> Array:
        """Functions of mean 0 and of variance :meth:`excess`, (n_samples, rows, n_outputs).

        Rows are correlated through the inducing rows, and through some of the rows themselves, and
        they share the fraction of the way from the networks' mean to the mean of the process.
        """
        (unknown, process_mean), rows = self.posterior(x), self._seen(x)
        known = self._factors(rows)
        factors = pivots(rows, self.hidden, known, MOST_INDUCING, SMALL * self.level)[1]
        unseen = np.maximum(variances(rows, self.hidden) - np.sum(factors**2, axis=1), 0.0)
        values, vectors = _spectrum(self.gram)
        factors[:, : len(values)] = known @ (
            vectors * np.sqrt(self.noise_ratio / (values + self.noise_ratio))
        )
        shape = (n_samples, factors.shape[1], len(self.amplitude))
        functions: Array = factors @ generator.standard_normal(shape)
        functions += np.sqrt(unseen)[:, np.newaxis] * generator.standard_normal(functions.shape)
        functions *= np.sqrt(self.amplitude)
        ways = generator.standard_normal((n_samples, 1, len(self.amplitude)))
        functions += ways * (process_mean - mean)
        functions *= np.sqrt(self._share(unknown))[:, np.newaxis]
        return functions

    def _share(self, unknown: Array) -> Array:
        tiny = np.finfo(np.float64).tiny
        share: Array = np.maximum(unknown - self.level, 0.0) / np.maximum(unknown, tiny)
        return share**2

    def posterior(self, x: Float32) -> tuple[Array, Array]:
        """Variance u of a process of amplitude 1, (rows,), and its mean, (rows, n_outputs)."""
        left, mean = np.empty(len(x)), np.empty((len(x), len(self.centre)))
        n_explaining = self._explaining.shape[1] - len(self.centre)
        totals = self._explaining.sum(axis=0)
        for start in range(0, len(x), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            rows = self._seen(x[part])
            core, of_rows, of_inducing, constant = factored(rows, self.inducing, self.hidden)
            # k A of k = a C b + c, without writing k.
            along = core @ (of_inducing[:, np.newaxis] * self._explaining)
            along *= of_rows[:, np.newaxis]
            along += constant * totals
            explained = np.einsum("ij,ij->i", along[:, :n_explaining], along[:, :n_explaining])
            left[part] = variances(rows, self.hidden) - explained
            mean[part] = along[:, n_explaining:] + self.centre
        return np.maximum(left, 0.0, out=left), mean

    def with_rows(
        self, x: Float32, targets: Array | None = None, weight: Array | None = None
    ) -> Novelty:
        """The novelty after more rows; rows like these are then known.

        Scale, noise and level stay. Rows that the inducing rows explain badly become inducing rows,
        too; for earlier rows, these use what the inducing rows knew of them at that time.

        Args:
            x: standardized rows.
            targets: (rows, n_outputs), in the units of :attr:`centre`; None where the process's
                mean does not matter.
            weight: (rows,), a row of weight n counts as n rows; None: 1.
        """
        rows = self._seen(x)
        about = np.zeros((len(rows), 1)) if targets is None else targets - self.centre
        known, root = self._factors(rows), _root(weight)
        about = about * root
        least = SMALL * self.noise_ratio
        unseen = variances(rows, self.hidden) - np.sum(known**2, axis=1)
        before, most = len(self.inducing), MOST_INDUCING_LATER
        if before >= most or unseen.max() <= least:
            known = known * root
            gram, sums = self.gram + known.T @ known, self.sums + known.T @ about
            more = replace(self, gram=gram, sums=sums)
            more.__dict__["_whitening"] = self._whitening  # of the same rows
            return more
        chosen, factors = pivots(rows, self.hidden, known, most - before, least)
        size = before + len(chosen)
        cholesky = np.zeros((size, size))
        cholesky[:before, :before] = self.cholesky
        cholesky[before:] = factors[chosen]
        factors = factors * root
        gram = factors.T @ factors
        gram[:before, :before] += self.gram
        sums = factors.T @ about
        sums[:before] += self.sums
        inducing, cholesky = np.vstack([self.inducing, rows[chosen]]), np.tril(cholesky)
        return replace(self, inducing=inducing, cholesky=cholesky, gram=gram, sums=sums)

    def in_units(self, old: Units, new: Units) -> Novelty:
        """The same for rows in other units, as in :func:`tagix._rescaling.rescale`."""
        ratio, move = new.scale / old.scale, (new.mean - old.mean) / old.scale
        return replace(self, scale=self.scale * ratio, shift=self.shift + self.scale * move)

    def _seen(self, x: Float32) -> Array:
        return np.asarray(x * self.scale + self.shift, dtype=np.float64)

    def _factors(self, rows: Array) -> Array:
        """What the inducing rows see of others: cholesky^-1 k for each, (n_rows, n_inducing)."""
        return kernel(rows, self.inducing, self.hidden) @ self._whitening

    @cached_property
    def _whitening(self) -> Array:
        return np.asarray(np.linalg.inv(self.cholesky).T)

    @cached_property
    def _explaining(self) -> Array:
        """A where |k(x, inducing) A|^2 is what rows explain of k(x, x); and that of means."""
        values, vectors = _spectrum(self.gram)
        share = values / (values + self.noise_ratio)
        counts = share > 1e-12  # the rest explains nothing
        along = (vectors.T @ self.sums) / (values + self.noise_ratio)[:, np.newaxis]
        matrix = np.hstack([vectors[:, counts] * np.sqrt(share[counts]), vectors @ along])
        return np.asarray(self._whitening @ matrix)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is worked out when it is asked for."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def describe(self, tensors: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """For JSON; arrays go into ``tensors``."""
        for name in _ARRAYS:
            tensors[f"novelty.{name}"] = getattr(self, name)
        return {"noise_ratio": self.noise_ratio, "level": self.level}

    @classmethod
    def read(
        cls,
        record: Record,
        tensors: dict[str, NDArray[Any]],
        hidden: Sequence[int],
        n_features: int,
        n_outputs: int,
    ) -> Novelty:
        """What :meth:`describe` described; ValueError for anything else."""
        noise_ratio, level = record.number("noise_ratio"), record.number("level")
        record.done()
        if noise_ratio <= 0 or level < 0:
            raise ValueError(
                f"novelty: got noise_ratio {noise_ratio} and level {level}, needed positive ones"
            )
        inducing = take_array(tensors, "novelty.inducing", (None, n_features))
        size = len(inducing)
        arrays = {
            "scale": take_array(tensors, "novelty.scale", (n_features,)),
            "shift": take_array(tensors, "novelty.shift", (n_features,)),
            "inducing": inducing,
            "cholesky": take_array(tensors, "novelty.cholesky", (size, size)),
            "gram": take_array(tensors, "novelty.gram", (size, size)),
            "amplitude": take_array(tensors, "novelty.amplitude", (n_outputs,)),
            "sums": take_array(tensors, "novelty.sums", (size, n_outputs)),
            "centre": take_array(tensors, "novelty.centre", (n_outputs,)),
        }
        if not 1 <= size <= MOST_INDUCING_LATER:
            raise ValueError(f"novelty: got {size} rows, needed 1 to {MOST_INDUCING_LATER}")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("novelty: got NaN or infinity, needed finite numbers")
        cholesky, widths = arrays["cholesky"], tuple(hidden)
        prior = variances(inducing, widths)
        wrong = np.abs(cholesky @ cholesky.T - kernel(inducing, inducing, widths)).max()
        least = np.sqrt(0.5 * LEAST_RESIDUAL * prior.min())
        if (
            np.triu(cholesky, 1).any()
            or (np.diagonal(cholesky) < least).any()
            or not wrong <= 1e-6 * prior.max()
        ):
            raise ValueError("novelty: got a cholesky that is not the factor of the rows' kernel")
        if (arrays["amplitude"] < 0).any():
            raise ValueError("novelty: got a negative amplitude")
        return cls(widths, noise_ratio=noise_ratio, level=level, **arrays)


_ARRAYS = ("scale", "shift", "inducing", "cholesky", "gram", "amplitude", "sums", "centre")


def sample(n_rows: int) -> NDArray[np.intp] | slice:
    """The rows of a table that :func:`learn` is to see: all, or MOST_ROWS of them."""
    if n_rows <= MOST_ROWS:
        return slice(None)
    return np.random.default_rng(0).choice(n_rows, MOST_ROWS, replace=False)


def learn(
    nets: Sequence[nn.Sequential],
    x: Float32,
    targets: Array,
    hidden: Sequence[int],
    weight: Array | None = None,
    encoding: Encoding | None = None,
) -> Novelty:
    """Learn novelty from the rows that networks have learned.

    Args:
        nets: the networks, after their training.
        x: standardized rows, (n_rows, n_features); missing values are 0.
        targets: float64 (n_rows, n_outputs) about their mean, which is :attr:`Novelty.centre`.
        hidden: widths of the networks' hidden layers.
        weight: (n_rows,), a row has a noise variance divided by its weight; None: 1.
        encoding: what networks see of rows; None: the rows.
    """
    widths, root = tuple(hidden), _root(weight)
    targets = targets * root
    scale = np.sqrt(_relevance(nets, x, encoding))
    rows = np.asarray(x * scale, dtype=np.float64)
    nothing = np.empty((len(rows), 0))
    chosen, factors = pivots(rows, widths, nothing, MOST_INDUCING, 0.0)
    weighted = factors * root
    values, vectors = _spectrum(weighted.T @ weighted)
    noise_ratio, amplitude = _likeliest(values, (weighted @ vectors).T @ targets, targets)
    # A variance that is small beside the noise's need not be explained: fewer rows may do.
    left = variances(rows, widths)[:, np.newaxis] - np.cumsum(factors**2, axis=1)
    enough = int(np.count_nonzero(left.max(axis=0) > SMALL * noise_ratio)) + 1
    chosen, factors, left = chosen[:enough], factors[:, :enough], left[:, :enough]
    weighted = weighted[:, :enough]
    gram = weighted.T @ weighted
    values, vectors = _spectrum(gram)
    own = (factors @ vectors) ** 2 @ (1.0 / (values + noise_ratio))
    others = 1.0 - own * np.ravel(root) ** 2  # what is not a row's own share in its fit
    held_out = np.maximum(left[:, -1], 0.0) + noise_ratio * own / np.maximum(others, 1e-12)
    return Novelty(
        hidden=widths,
        scale=scale,
        shift=np.zeros_like(scale),
        inducing=rows[chosen],
        cholesky=np.tril(factors[chosen]),
        gram=gram,
        noise_ratio=noise_ratio,
        level=float(np.quantile(held_out, LEVEL)),
        amplitude=amplitude,
        sums=weighted.T @ targets,
        centre=np.zeros(targets.shape[1]),
    )


def _root(weight: Array | None) -> Array:
    """What to multiply rows and targets by, so that squares are weighted: (rows or 1, 1)."""
    return np.ones((1, 1)) if weight is None else np.sqrt(weight)[:, np.newaxis]


def _relevance(nets: Sequence[nn.Sequential], x: Float32, encoding: Encoding | None) -> Array:
    """How the networks' means follow each column: squared slopes of mean 1, (n_features,)."""
    n_inputs = x.shape[1] + (0 if encoding is None else encoding.n_added)
    count = int(np.clip(_MOST_TANGENTS // n_inputs, 1, _MOST_JACOBIANS))
    rows = x[np.random.default_rng(0).permutation(len(x))[:count]]
    of_nets = []
    for net in nets:
        own = None if encoding is None else encoding.of_net(net, rows.shape[1])
        of_net = net.jacobian(rows if own is None else own.inputs(rows)).astype(np.float64)
        of_nets.append(of_net if own is None else own.pull_back(rows, of_net))
    slopes = np.mean(of_nets, axis=0)
    squares = np.mean(slopes**2, axis=(0, 1))
    mean = squares.mean()
    relevance = squares / mean if 0 < mean < np.inf else np.ones_like(squares)
    relevance = relevance + LEAST_RELEVANCE
    return np.asarray(relevance / relevance.mean())


def _spectrum(gram: Array) -> tuple[Array, Array]:
    """Eigenvalues, which are not negative, and eigenvectors."""
    values, vectors = np.linalg.eigh(gram)
    return np.maximum(values, 0.0), vectors


def _likeliest(values: Array, along: Array, targets: Array) -> tuple[float, Array]:
    """Noise ratio and amplitudes (n_outputs,) of the greatest likelihood of the targets.

    Their covariance is amplitude (F F^T + noise_ratio I); ``values`` are the eigenvalues of F^T F,
    and ``along`` (n_values, n_outputs) the products of targets and F along its eigenvectors.
    """
    n_rows = len(targets)
    squares = np.sum(targets**2, axis=0)
    varies = squares > 0
    if not varies.any():
        return 1.0, np.zeros_like(squares)
    best, found = -np.inf, (1.0, squares)
    for ratio in NOISE_RATIOS:
        explained = np.sum(along**2 / (values[:, np.newaxis] + ratio), axis=0)
        amplitude = np.maximum(squares - explained, 0.0) / (ratio * n_rows)
        amplitude = np.maximum(amplitude, np.finfo(np.float64).tiny)
        determinant = np.log(values + ratio).sum() + (n_rows - len(values)) * np.log(ratio)
        likelihood = -n_rows * np.log(amplitude[varies]).sum() - varies.sum() * determinant
        if likelihood > best:
            best, found = likelihood, (float(ratio), np.where(varies, amplitude, 0.0))
    return found
