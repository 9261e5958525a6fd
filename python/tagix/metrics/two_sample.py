"""How far apart two sets of points are, as samples of two distributions.

Two sets of one distribution do not score 0 (except mmd, on average): compare every score with the
score of held-out points in place of the samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_count, as_number
from tagix._optional import import_optional
from tagix.metrics._inputs import BLOCK, FloatArray, as_point_sets


def wasserstein(a: npt.ArrayLike, b: npt.ArrayLike, p: int = 1) -> float:
    """Exact Wasserstein distance of order p between two sets of points.

        W_p(a, b)^p = min over plans P of sum_ij P_ij |a_i - b_j|^p,
        P >= 0, rows of P sum to 1/n_a, columns to 1/n_b

    The distance is in the units of the points. It is computed by a linear program: 2000 against
    2000 points take less than a second, 8000 against 8000 some ten seconds and 3 GiB.

    Args:
        a: (n_a, n_features) points.
        b: (n_b, n_features) points.
        p: 1 or 2.

    Raises:
        ValueError: Shapes that do not match, numbers that are not finite, another p.
        TypeError: Not an array of numbers, or not an integer.
        ImportError: POT or scipy is not installed.
        RuntimeError: The linear program did not end.
    """
    order = as_count("p", p, least=1, most=2)
    points_a, points_b = as_point_sets(a=a, b=b)
    return float(_transport_cost(points_a, points_b, order) ** (1.0 / order))


def emd(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    n_points: int = 250,
    n_draws: int = 5,
    seed: int = 0,
) -> float:
    """Earth mover's distance between draws from two sets, each point of mass 1.

    That is n_points times W_1 between n_points of a and n_points of b, in the units of the points,
    averaged over n_draws draws. emd_draws gives the single draws, and documents arguments and
    errors.
    """
    return float(emd_draws(a, b, n_points=n_points, n_draws=n_draws, seed=seed).mean())


def emd_draws(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    n_points: int = 250,
    n_draws: int = 5,
    seed: int = 0,
) -> FloatArray:
    """The single draws whose mean is emd, (n_draws,) float64.

    Args:
        a: (n_a, n_features) points, n_a >= n_points.
        b: (n_b, n_features) points, n_b >= n_points.
        n_points: Points drawn from each set without replacement, anew for each draw.
        n_draws: Number of draws.
        seed: Of the draws.

    Raises:
        ValueError: Shapes that do not match, fewer than n_points rows, numbers that are not finite,
            n_points or n_draws below 1, a negative seed.
        TypeError: Not an array of numbers, or not an integer.
        ImportError: POT or scipy is not installed.
    """
    n_points = as_count("n_points", n_points, least=1)
    n_draws = as_count("n_draws", n_draws, least=1)
    seed = as_count("seed", seed, least=0)
    points_a, points_b = as_point_sets(a=a, b=b)
    for name, points in (("a", points_a), ("b", points_b)):
        if len(points) < n_points:
            raise ValueError(f"{name}: got {len(points)} rows, needed at least {n_points}")
    rng = np.random.default_rng(seed)
    draws = np.empty(n_draws)
    for draw in range(n_draws):
        draw_a = points_a[rng.choice(len(points_a), n_points, replace=False)]
        draw_b = points_b[rng.choice(len(points_b), n_points, replace=False)]
        draws[draw] = n_points * _transport_cost(draw_a, draw_b, 1)
    return draws


def nll_kernel(samples: npt.ArrayLike, real: npt.ArrayLike, *, tau: float = 0.1) -> float:
    """Negative logarithm of the mean density of samples under a kernel estimate of the real set.

        -log( 1/n_samples sum_i p(s_i) ),
        p(s) = 1/n_real sum_j (2 pi tau)^(-d/2) exp(-|s - x_j|^2 / (4 tau))

    tau is a temperature, in the units of the points squared. The kernel is a Gaussian of variance 2
    tau per coordinate with the normalisation of variance tau, so p integrates to 2^(d/2). The mean
    is inside the logarithm, so samples in the middle of the data score lower than the data. A good
    score is therefore not a low one, but the score of real points against real points.

    Args:
        samples: (n_samples, n_features) points to judge.
        real: (n_real, n_features) points.
        tau: Above 0.

    Raises:
        ValueError: Shapes that do not match, numbers that are not finite, tau not above 0.
        TypeError: Not an array of numbers, or not a number.
    """
    tau = _positive("tau", tau)
    points, references = as_point_sets(samples=samples, real=real)
    # Running log-sum-exp: samples far from all real points leave no sum of zero.
    log_sum = -np.inf
    for square in _square_distances(points, references):
        exponent = np.multiply(square, -0.25 / tau, out=square)
        largest = exponent.max()
        block_sum = np.exp(np.subtract(exponent, largest, out=exponent), out=exponent).sum()
        log_sum = np.logaddexp(log_sum, largest + np.log(block_sum))
    n_features = points.shape[1]
    log_mean = log_sum - np.log(len(points)) - np.log(len(references))
    return float(0.5 * n_features * np.log(2.0 * np.pi * tau) - log_mean)


def mmd(a: npt.ArrayLike, b: npt.ArrayLike, bandwidth: float | None = None) -> float:
    """Squared maximum mean discrepancy with a Gaussian kernel, by the unbiased estimate.

        MMD^2 = E k(a, a') + E k(b, b') - 2 E k(a, b),   k(x, y) = exp(-|x - y|^2 / (2 h^2)),

    each mean over pairs of different rows (Gretton et al. 2012, equation 3). For two sets of one
    distribution it is around 0, negative about as often as positive; it is at most 2.

    Args:
        a: (n_a, n_features) points, at least 2.
        b: (n_b, n_features) points, at least 2.
        bandwidth: h, in the units of the points. The default is the median distance between
            different points of both sets together, with at most 1000 evenly picked rows of each
            set. To compare scores of several sets, pass one fixed number.

    Raises:
        ValueError: Shapes that do not match, fewer than 2 rows, numbers that are not finite, a
            bandwidth not above 0, none given where the median distance is 0.
        TypeError: Not an array of numbers, or not a number.
    """
    if bandwidth is not None:
        bandwidth = _positive("bandwidth", bandwidth)
    points_a, points_b = as_point_sets(a=a, b=b)
    for name, points in (("a", points_a), ("b", points_b)):
        if len(points) < 2:
            raise ValueError(f"{name}: got 1 row, needed at least 2")
    if bandwidth is None:
        bandwidth = _median_distance(points_a, points_b)
    n_a, n_b = len(points_a), len(points_b)
    # A row with itself adds 1 to the sum of its set.
    within_a = (_kernel_sum(points_a, points_a, bandwidth) - n_a) / (n_a * (n_a - 1))
    within_b = (_kernel_sum(points_b, points_b, bandwidth) - n_b) / (n_b * (n_b - 1))
    between = _kernel_sum(points_a, points_b, bandwidth) / (n_a * n_b)
    return float(within_a + within_b - 2.0 * between)


def _transport_cost(a: FloatArray, b: FloatArray, p: int) -> float:
    """min over plans of the mean cost |a_i - b_j|^p, which is W_p^p."""
    transport = import_optional("ot", package="POT")
    distance = import_optional("scipy.spatial.distance")
    cost = distance.cdist(a, b, "euclidean" if p == 1 else "sqeuclidean")
    uniform_a, uniform_b = np.full(len(a), 1.0 / len(a)), np.full(len(b), 1.0 / len(b))
    least, log = transport.emd2(uniform_a, uniform_b, cost, numItermax=10**8, log=True)
    if log["warning"] is not None:
        raise RuntimeError(f"optimal transport: {log['warning']}")
    return float(least)


def _positive(name: str, value: float) -> float:
    number = as_number(name, value)
    if not 0.0 < number < np.inf:
        raise ValueError(f"{name}: got {number}, needed a finite number > 0")
    return number


def _square_distances(a: FloatArray, b: FloatArray) -> Iterator[FloatArray]:
    """|a_i - b_j|^2 in blocks of rows of a, each (rows, n_b), of at most about BLOCK numbers."""
    # Around a common centre |a|^2 + |b|^2 - 2 a.b loses no digits to a distant origin.
    centre = b.mean(axis=0)
    a, b = a - centre, b - centre
    square_b = (b**2).sum(axis=1)
    for rows in np.array_split(a, -(-len(a) * len(b) // BLOCK)):
        square = rows @ (-2.0 * b.T)
        square += square_b
        square += (rows**2).sum(axis=1, keepdims=True)
        yield np.maximum(square, 0.0, out=square)


def _kernel_sum(a: FloatArray, b: FloatArray, bandwidth: float) -> float:
    scale = -0.5 / bandwidth**2
    blocks = _square_distances(a, b)
    return float(sum(np.exp(scale * square).sum() for square in blocks))


def _median_distance(a: FloatArray, b: FloatArray) -> float:
    picked = [x[np.linspace(0, len(x) - 1, min(len(x), 1000)).astype(np.int64)] for x in (a, b)]
    points = np.concatenate(picked)
    # From differences, so that points that coincide have distance 0.
    square = sum(np.subtract.outer(column, column) ** 2 for column in points.T)
    median = np.median(np.sqrt(square)[np.triu_indices(len(points), 1)])
    if median == 0.0:
        raise ValueError("bandwidth: the median distance between points is 0, needed a number > 0")
    return float(median)
