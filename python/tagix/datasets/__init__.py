"""Toy data in the plane and in space, and regression sets of the UCI repository.

One function draws each shape: swiss_roll, moons, circles, blobs, manycircles, helix, rings,
checkerboard, spirals. load_toy draws one, split and standardised; load_classroom draws the data of
the classroom benchmark, split and scaled to [-1, 1]. All take a seed, and points are float32.
load_uci reads a regression set with its published splits from a folder.

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
from tagix.datasets.uci import UCI_SETS, UciData, UciSet, load_uci

__all__ = [
    "CLASSROOM_ARGUMENTS",
    "TOY_CLASSES",
    "TOY_GENERATORS",
    "UCI_SETS",
    "ClassroomData",
    "ToyData",
    "UciData",
    "UciSet",
    "blobs",
    "checkerboard",
    "circles",
    "helix",
    "load_classroom",
    "load_toy",
    "load_uci",
    "manycircles",
    "moons",
    "rings",
    "spirals",
    "swiss_roll",
]
