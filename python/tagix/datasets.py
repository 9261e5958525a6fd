"""Two-dimensional toy data: the swiss roll and the two moons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_count
from tagix._optional import import_optional
from tagix.metrics import off_manifold_radius

FloatArray = npt.NDArray[np.float32]


def swiss_roll(n_samples: int = 100_000, *, seed: int = 0) -> FloatArray:
    """The swiss roll seen along its axis: scikit-learn's, noise 0.5, coordinates 0 and 2.

    Returns a (n_samples, 2) float32 array in the generator's own units, about [-11, 15].
    Raises ImportError without scikit-learn, TypeError for what is no integer, ValueError for
    n_samples below 1 or a seed outside [0, 2**32).
    """
    n_samples, seed = _checked(n_samples, seed)
    sklearn_datasets = import_optional("sklearn.datasets", package="scikit-learn")
    points, _ = sklearn_datasets.make_swiss_roll(n_samples, noise=0.5, random_state=seed)
    return np.ascontiguousarray(points[:, [0, 2]], dtype=np.float32)


def moons(n_samples: int = 100_000, *, seed: int = 0) -> FloatArray:
    """Two interleaved half circles: scikit-learn's moons, noise 0.05.

    Returns a (n_samples, 2) float32 array in the generator's own units, about [-1.2, 2.2].
    Raises ImportError without scikit-learn, TypeError for what is no integer, ValueError for
    n_samples below 1 or a seed outside [0, 2**32).
    """
    n_samples, seed = _checked(n_samples, seed)
    sklearn_datasets = import_optional("sklearn.datasets", package="scikit-learn")
    points, _ = sklearn_datasets.make_moons(n_samples, noise=0.05, random_state=seed)
    return np.ascontiguousarray(points, dtype=np.float32)


def _checked(n_samples: int, seed: int) -> tuple[int, int]:
    return (
        as_count("n_samples", n_samples, least=1),
        as_count("seed", seed, least=0, most=2**32 - 1),  # what scikit-learn takes
    )


TOY_GENERATORS: dict[str, Callable[..., FloatArray]] = {"swiss_roll": swiss_roll, "moons": moons}


@dataclass(frozen=True)
class ToyData:
    """A toy problem, split and standardised.

    Attributes:
        name: Key in TOY_GENERATORS.
        train: (n_train, 2) float32, mean 0 and standard deviation 1 over all its numbers.
        held_out: (n_held_out, 2) float32 from another seed, on the train set's scale.
        off_manifold_radius: 99.9 % quantile of the distance from a held-out point to the nearest
            train point, on the same scale; what lies farther out counts as off the manifold.
    """

    name: str
    train: FloatArray
    held_out: FloatArray
    off_manifold_radius: float


def load_toy(name: str, n_train: int = 100_000, n_held_out: int = 20_000, seed: int = 0) -> ToyData:
    """Draw a train and a held-out set and standardise both by the train set.

    One mean and one standard deviation over both axes keep the shape of the data. The sets come
    from generator seeds 2 seed + 1 and 2 seed + 2, so no two values of seed share one. The figures
    quoted for these problems use seed 0 and the default sizes: radius 0.0358 for the swiss roll,
    0.0364 for the moons.

    Raises:
        ValueError: Unknown name, a size below 1 or a seed that is negative or above 2**31 - 2.
        TypeError: A size or seed that is no integer.
        ImportError: scikit-learn or scipy is not installed.
    """
    if name not in TOY_GENERATORS:
        raise ValueError(f"name: got {name!r}, needed one of {', '.join(TOY_GENERATORS)}")
    n_train = as_count("n_train", n_train, least=1)
    n_held_out = as_count("n_held_out", n_held_out, least=1)
    seed = as_count("seed", seed, least=0, most=2**31 - 2)  # 2 seed + 2 must be one of scikit-learn
    generate = TOY_GENERATORS[name]
    raw_train = generate(n_train, seed=2 * seed + 1).astype(np.float64)
    raw_held_out = generate(n_held_out, seed=2 * seed + 2).astype(np.float64)
    mean, std = raw_train.mean(), raw_train.std()
    train = ((raw_train - mean) / std).astype(np.float32)
    held_out = ((raw_held_out - mean) / std).astype(np.float32)
    return ToyData(name, train, held_out, off_manifold_radius(train, held_out))
