"""Toy data in the plane and in space, with class labels where the shape has classes.

One function draws each shape: swiss_roll, moons, circles, blobs, manycircles, helix, rings,
checkerboard, spirals. load_toy draws one, split and standardised; load_classroom draws the data of
the classroom benchmark, split and scaled to [-1, 1]. All take a seed, and points are float32.

    >>> data = load_toy("moons")
    >>> data.train.shape, data.n_classes
    ((100000, 2), 2)
"""

from tagix.datasets.classroom import CLASSROOM_ARGUMENTS, ClassroomData, load_classroom
from tagix.datasets.shapes import (
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
from tagix.datasets.toy import TOY_CLASSES, TOY_GENERATORS, ToyData, load_toy

__all__ = [
    "CLASSROOM_ARGUMENTS",
    "TOY_CLASSES",
    "TOY_GENERATORS",
    "ClassroomData",
    "ToyData",
    "blobs",
    "checkerboard",
    "circles",
    "helix",
    "load_classroom",
    "load_toy",
    "manycircles",
    "moons",
    "rings",
    "spirals",
    "swiss_roll",
]
