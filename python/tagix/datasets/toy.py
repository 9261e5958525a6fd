"""Toy problems: a shape drawn twice, for training and for evaluation, standardised alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tagix._arrays import as_count
from tagix.datasets.shapes import (
    FloatArray,
    LabelArray,
    blobs,
    checkerboard,
    circles,
    helix,
    manycircles,
    moons,
    rings,
    spirals,
    swiss_roll,
)
from tagix.metrics import off_manifold_radius

TOY_GENERATORS: dict[str, Callable[..., Any]] = {
    "swiss_roll": swiss_roll,
    "moons": moons,
    "circles": circles,
    "blobs": blobs,
    "manycircles": manycircles,
    "helix": helix,
    "rings": rings,
    "checkerboard": checkerboard,
    "spirals": spirals,
}

# Of the generators that take return_labels.
TOY_CLASSES: dict[str, int] = {
    "moons": 2,
    "circles": 2,
    "blobs": 2,
    "manycircles": 8,
    "helix": 2,
    "rings": 4,
    "spirals": 2,
}


@dataclass(frozen=True)
class ToyData:
    """A toy problem, split and standardised.

    Attributes:
        name: Key in TOY_GENERATORS.
        train: (n_train, n_features) float32, mean 0 and standard deviation 1 over all its numbers;
            3 features for the helix, else 2.
        held_out: (n_held_out, n_features) float32 from another seed, on the train set's scale.
        off_manifold_radius: 99.9 % quantile of the distance from a held-out point to the nearest
            train point, on the same scale; points farther out count as off the manifold.
        train_labels: (n_train,) int64 in [0, n_classes), or None where there are no classes.
        held_out_labels: (n_held_out,) int64, likewise.
        n_classes: Number of classes, or None.
    """

    name: str
    train: FloatArray
    held_out: FloatArray
    off_manifold_radius: float
    train_labels: LabelArray | None = None
    held_out_labels: LabelArray | None = None
    n_classes: int | None = None


def load_toy(name: str, n_train: int = 100_000, n_held_out: int = 20_000, seed: int = 0) -> ToyData:
    """Draw a train and a held-out set and standardise both by the train set.

    One mean and one standard deviation over all axes keep the shape of the data. The sets come from
    generator seeds 2 seed + 1 and 2 seed + 2, so different values of seed share no generator seed.
    The figures quoted for these problems use seed 0 and the default sizes: radius 0.0358 for the
    swiss roll, 0.0364 for the moons.

    Args:
        name: "swiss_roll", "moons", "circles", "blobs", "manycircles", "helix", "rings",
            "checkerboard" or "spirals", drawn with their default arguments.
        n_train: Train points.
        n_held_out: Held-out points.
        seed: Of the problem.

    Raises:
        ValueError: Unknown name, a size below 1 or a seed that is negative or above 2**31 - 2.
        TypeError: A size or seed that is not an integer.
        ImportError: scikit-learn or scipy is not installed.
    """
    if name not in TOY_GENERATORS:
        raise ValueError(f"name: got {name!r}, needed one of {', '.join(TOY_GENERATORS)}")
    n_train = as_count("n_train", n_train, least=1)
    n_held_out = as_count("n_held_out", n_held_out, least=1)
    seed = as_count("seed", seed, least=0, most=2**31 - 2)  # 2 seed + 2 must be one of scikit-learn
    drawn_train, train_labels = draw(name, n_train, 2 * seed + 1)
    drawn_held_out, held_out_labels = draw(name, n_held_out, 2 * seed + 2)
    raw_train, raw_held_out = drawn_train.astype(np.float64), drawn_held_out.astype(np.float64)
    mean, std = raw_train.mean(), raw_train.std()
    train = ((raw_train - mean) / std).astype(np.float32)
    held_out = ((raw_held_out - mean) / std).astype(np.float32)
    return ToyData(
        name,
        train,
        held_out,
        off_manifold_radius(train, held_out),
        train_labels,
        held_out_labels,
        TOY_CLASSES.get(name),
    )


def draw(
    name: str, n_samples: int, seed: int, **arguments: float
) -> tuple[FloatArray, LabelArray | None]:
    """Points of a shape, by its key in TOY_GENERATORS, and their labels, if it has classes."""
    generate = TOY_GENERATORS[name]
    if name not in TOY_CLASSES:
        return generate(n_samples, seed=seed, **arguments), None
    points, labels = generate(n_samples, seed=seed, return_labels=True, **arguments)
    return points, labels
