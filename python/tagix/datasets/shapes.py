"""The shapes that toy data are drawn from, one function each.

Every function returns points, (n_samples, 2) or (n_samples, 3) float32 in the units of its formula,
and, with return_labels=True, (n_samples,) int64 labels from 0 on as well. Rows are in random order.
Noise is the standard deviation of an independent normal number added to each coordinate, in the
same units. The swiss roll, the moons and the circles are scikit-learn's and need it; the others are
drawn with numpy. Labels of these are independent draws, so classes have their shares on average.

All functions raise TypeError for an argument of another type; ValueError for n_samples below 1, a
seed outside [0, 2**32), or negative or infinite noise; and ImportError if scikit-learn is needed
but not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, cast, overload

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_count, as_flag, as_number
from tagix._optional import import_optional

FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.int64]
Labelled = tuple[FloatArray, LabelArray]


class LabelledShape(Protocol):
    """A function of this file with ``return_labels``; ``shape`` is noise and what else it takes."""

    @overload
    def __call__(
        self,
        n_samples: int = ...,
        *,
        seed: int = ...,
        return_labels: Literal[False] = ...,
        **shape: float,
    ) -> FloatArray: ...
    @overload
    def __call__(
        self, n_samples: int = ..., *, seed: int = ..., return_labels: Literal[True], **shape: float
    ) -> Labelled: ...


def _labelled(function: Callable[..., FloatArray | Labelled]) -> LabelledShape:
    """The function as it is, with the type of its result told by ``return_labels``."""
    return cast(LabelledShape, function)


def swiss_roll(n_samples: int = 100_000, *, noise: float = 0.5, seed: int = 0) -> FloatArray:
    """The swiss roll seen along its axis: scikit-learn's, coordinates 0 and 2.

        (u cos u, u sin u) + noise,   u uniform in [1.5 pi, 4.5 pi]

    Coordinates lie in about [-11, 15]. It has no classes.
    """
    n_samples, seed, noise = _checked(n_samples, seed, noise)
    sklearn_datasets = import_optional("sklearn.datasets", package="scikit-learn")
    points, _ = sklearn_datasets.make_swiss_roll(n_samples, noise=noise, random_state=seed)
    return np.ascontiguousarray(points[:, [0, 2]], dtype=np.float32)


@_labelled
def moons(
    n_samples: int = 100_000, *, noise: float = 0.05, seed: int = 0, return_labels: bool = False
) -> FloatArray | Labelled:
    """Two interleaved half circles: scikit-learn's.

        label 0: (cos u, sin u) + noise;   label 1: (1 - cos u, 1/2 - sin u) + noise

    u is spread evenly over [0, pi]. Each label has half of the points; of an odd number label 1 has
    one more. Coordinates lie in about [-1.2, 2.2].
    """
    n_samples, seed, noise = _checked(n_samples, seed, noise)
    sklearn_datasets = import_optional("sklearn.datasets", package="scikit-learn")
    points, labels = sklearn_datasets.make_moons(n_samples, noise=noise, random_state=seed)
    return _result(points, labels, return_labels)


@_labelled
def circles(
    n_samples: int = 100_000,
    *,
    noise: float = 0.04,
    factor: float = 0.7,
    seed: int = 0,
    return_labels: bool = False,
) -> FloatArray | Labelled:
    """Two circles around the origin: scikit-learn's.

        r (cos u, sin u) + noise,   label 0: r = 1;   label 1: r = factor, in [0, 1)

    u is spread evenly over a full turn. Each label has half of the points; of an odd number label 1
    has one more.
    """
    n_samples, seed, noise = _checked(n_samples, seed, noise)
    factor = as_number("factor", factor)
    if not 0.0 <= factor < 1.0:
        raise ValueError(f"factor: got {factor}, needed a number in [0, 1)")
    sklearn_datasets = import_optional("sklearn.datasets", package="scikit-learn")
    points, labels = sklearn_datasets.make_circles(
        n_samples, noise=noise, factor=factor, random_state=seed
    )
    return _result(points, labels, return_labels)


@_labelled
def blobs(
    n_samples: int = 100_000, *, seed: int = 0, return_labels: bool = False
) -> FloatArray | Labelled:
    """Three normal clouds in two unequal classes, one of them in two parts.

        label 0, four fifths of the points:    N([.3, .4], F)
        label 1, one fifth, of which a fifth:  N([.2, .3], 2 F + G), the rest N([.8, .8], F - G)
        F = .005 I,   G = .004 off the diagonal and 0 on it

    The second argument of N is the covariance matrix. The numbers of points are binomial. A part of
    label 1 lies within label 0, so no classifier can be perfect.
    """
    n_samples, seed, _ = _checked(n_samples, seed)
    rng = np.random.default_rng(seed)
    n_1 = rng.binomial(n_samples, 0.2)
    n_near = rng.binomial(n_1, 0.2)
    on_diagonal, off_diagonal = 0.005 * np.eye(2), 0.004 * (1.0 - np.eye(2))
    points = np.concatenate(
        [
            rng.multivariate_normal([0.3, 0.4], on_diagonal, n_samples - n_1),
            rng.multivariate_normal([0.2, 0.3], 2.0 * on_diagonal + off_diagonal, n_near),
            rng.multivariate_normal([0.8, 0.8], on_diagonal - off_diagonal, n_1 - n_near),
        ]
    )
    labels = np.repeat([0, 1], [n_samples - n_1, n_1])
    order = rng.permutation(n_samples)
    return _result(points[order], labels[order], return_labels)


@_labelled
def manycircles(
    n_samples: int = 100_000, *, noise: float = 0.25, seed: int = 0, return_labels: bool = False
) -> FloatArray | Labelled:
    """Eight normal clouds around the unit circle, which overlap.

    (cos(pi k/4), sin(pi k/4)) + noise,   label k = 0..7, equally likely
    """
    n_samples, seed, noise = _checked(n_samples, seed, noise)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 8, n_samples)
    return _result(
        _on_circle(np.pi / 4.0 * labels) + _normal(rng, n_samples, 2, noise), labels, return_labels
    )


@_labelled
def helix(
    n_samples: int = 100_000, *, noise: float = 0.05, seed: int = 0, return_labels: bool = False
) -> FloatArray | Labelled:
    """A double helix in space: two strands of two turns each, half a turn apart.

        (cos(u + pi k), sin(u + pi k), u/(2 pi) - 1) + noise,   label k = 0, 1, equally likely

    u is uniform in [0, 4 pi], so the axis of the helix is coordinate 2, in [-1, 1], the radius is 1
    and a turn rises by 1: the strands pass each other at a distance of 1/2. Points are
    (n_samples, 3).
    """
    n_samples, seed, noise = _checked(n_samples, seed, noise)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n_samples)
    u = rng.uniform(0.0, 4.0 * np.pi, n_samples)
    strand = np.column_stack([_on_circle(u + np.pi * labels), u / (2.0 * np.pi) - 1.0])
    return _result(strand + _normal(rng, n_samples, 3, noise), labels, return_labels)


@_labelled
def rings(
    n_samples: int = 100_000, *, noise: float = 0.02, seed: int = 0, return_labels: bool = False
) -> FloatArray | Labelled:
    """Four rings around the origin, each with the same expected number of points.

    (k + 1)/4 (cos u, sin u) + noise,   label k = 0..3, equally likely, u uniform in [0, 2 pi]
    """
    n_samples, seed, noise = _checked(n_samples, seed, noise)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n_samples)
    radius = (labels[:, np.newaxis] + 1.0) / 4.0
    ring = radius * _on_circle(rng.uniform(0.0, 2.0 * np.pi, n_samples))
    return _result(ring + _normal(rng, n_samples, 2, noise), labels, return_labels)


def checkerboard(n_samples: int = 100_000, *, seed: int = 0) -> FloatArray:
    """The eight dark squares of a board of 4 by 4, evenly filled, edges sharp.

        uniform over the (x, y) in [-2, 2)^2 for which floor(x) + floor(y) is even

    It has no classes: light squares are empty.
    """
    n_samples, seed, _ = _checked(n_samples, seed)
    rng = np.random.default_rng(seed)
    row = rng.integers(-2, 2, n_samples)
    column = 2 * rng.integers(-1, 1, n_samples) + row % 2
    corner = np.column_stack([column, row])
    points = corner + rng.random((n_samples, 2))
    # Rounding to float32 must not move a point across the edge of its square.
    edge = np.nextafter(corner + 1, corner, dtype=np.float32)
    inside: FloatArray = np.minimum(points.astype(np.float32), edge)
    return inside


@_labelled
def spirals(
    n_samples: int = 100_000, *, noise: float = 0.02, seed: int = 0, return_labels: bool = False
) -> FloatArray | Labelled:
    """Two arms that wind around each other from near the origin out to the unit circle.

        u/(3 pi) (cos(u + pi k), sin(u + pi k)) + noise,   label k = 0, 1, equally likely

    u^2 is uniform in [(pi/2)^2, (3 pi)^2], which spreads the points almost evenly along the arms.
    Neighbouring arms are 1/3 apart.
    """
    n_samples, seed, noise = _checked(n_samples, seed, noise)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n_samples)
    u = np.sqrt(rng.uniform((0.5 * np.pi) ** 2, (3.0 * np.pi) ** 2, n_samples))
    arm = u[:, np.newaxis] / (3.0 * np.pi) * _on_circle(u + np.pi * labels)
    return _result(arm + _normal(rng, n_samples, 2, noise), labels, return_labels)


def _checked(n_samples: int, seed: int, noise: float = 0.0) -> tuple[int, int, float]:
    noise = as_number("noise", noise)
    if not 0.0 <= noise < np.inf:
        raise ValueError(f"noise: got {noise}, needed a finite number >= 0")
    return (
        as_count("n_samples", n_samples, least=1),
        as_count("seed", seed, least=0, most=2**32 - 1),  # what scikit-learn takes
        noise,
    )


def _result(points: npt.NDArray[Any], labels: Any, return_labels: bool) -> FloatArray | Labelled:
    as_float = np.ascontiguousarray(points, dtype=np.float32)
    if not as_flag("return_labels", return_labels):
        return as_float
    return as_float, np.asarray(labels, dtype=np.int64)


def _on_circle(angle: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.column_stack([np.cos(angle), np.sin(angle)])


def _normal(
    rng: np.random.Generator, n_samples: int, n_features: int, std: float
) -> npt.NDArray[np.float64]:
    return std * rng.standard_normal((n_samples, n_features))
