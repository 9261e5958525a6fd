"""Classes of rows: how a diffusion network sees them, and guidance towards a class."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tagix._arrays import as_array, as_choice, as_number

ClassFeatures = Literal["one_hot", "sinusoidal", "embedding"]
GuidanceConvention = Literal["scale", "weight"]
UNKNOWN = -1
"""The label of a row whose class is not known, or does not matter."""
MOST_CLASSES = 2**14
"""What a model can have: the table of one-hot classes is then 1 GiB."""


def n_class_features(kind: str, n_classes: int) -> int:
    """The number of columns of :func:`feature_table`, without making the table."""
    return 8 if kind == "sinusoidal" and n_classes > 0 else n_classes


@lru_cache(maxsize=4)
def feature_table(kind: str, n_classes: int) -> NDArray[np.float32]:
    """What is appended to the network's input for each class k, and, last, for none: zeros.

        one_hot, embedding  1 at k                                      n_classes features
        sinusoidal          sin(k w_i), cos(k w_i) in turn,             8 features
                            w_i = 10000^(-i/3), i < 4  (Vaswani et al., NeurIPS 2017)

    Returns a read-only float32 array (n_classes + 1, features), or (1, 0) for n_classes = 0.
    """
    if kind == "sinusoidal" and n_classes > 0:
        angles = np.arange(n_classes)[:, np.newaxis] * 10_000.0 ** (-np.arange(4) / 3)
        features = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(n_classes, 8)
        table = np.vstack([features, np.zeros((1, 8))]).astype(np.float32)
    else:
        table = np.eye(n_classes + 1, n_classes, dtype=np.float32)
    table.flags.writeable = False
    return table


def as_labels(name: str, value: Any, n_rows: int, n_classes: int | None) -> NDArray[np.int64]:
    """Labels of rows, each in [0, n_classes), or -1 for no label, as int64 (n_rows,).

    One integer stands for all rows. Raises ValueError for other shapes and classes, and for a model
    without classes; TypeError for anything but an array of integers.
    """
    if n_classes is None:
        raise ValueError(f"{name}: got labels, needed none for a model without n_classes")
    array = as_array(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: got an array of {array.dtype}, needed integers")
    if array.shape not in ((), (n_rows,)):
        raise ValueError(f"{name}: got shape {array.shape}, needed one integer, or ({n_rows},)")
    if array.size and (array.min() < UNKNOWN or array.max() >= n_classes):
        wrong = array.min() if array.min() < UNKNOWN else array.max()
        raise ValueError(f"{name}: got {wrong}, needed classes in [0, {n_classes}), or -1 for none")
    # Copied where it is not aligned, too, as the core reads it where it lies.
    return np.require(np.broadcast_to(array, (n_rows,)), np.int64, ["C", "A"])


def as_class_shares(name: str, value: Any, n_classes: int) -> NDArray[np.float64]:
    """The relative frequency of each class, float64 (n_classes,), in any unit.

    Raises ValueError for other shapes, NaN, infinity, negative numbers and zeros alone; TypeError
    for anything but an array of numbers.
    """
    shares = np.array(as_array(name, value), np.float64)
    if shares.shape != (n_classes,):
        raise ValueError(f"{name}: got shape {shares.shape}, needed ({n_classes},)")
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.any()):
        raise ValueError(
            f"{name}: got {shares.tolist()}, needed finite numbers of at least 0, one of them above"
        )
    return shares


def guidance_weights(guidance: float | None, convention: str) -> tuple[float, float]:
    """The weights of the predictions with label and without, F_c and F_u, that guidance combines.

        scale   F_u + w (F_c - F_u)    w = 1 is without guidance  (Saharia et al., NeurIPS 2022)
        weight  (1 + w) F_c - w F_u    w = 0 is without guidance  (Ho & Salimans, 2022)

    Raises ValueError for another convention or a number that is not finite, TypeError for anything
    but a number.
    """
    as_choice("guidance_convention", convention, get_args(GuidanceConvention))
    if guidance is None:
        return 1.0, 0.0
    w = as_number("guidance", guidance)
    if not np.isfinite(w):
        raise ValueError(f"guidance: got {w}, needed a finite number, or None")
    return (w, 1.0 - w) if convention == "scale" else (1.0 + w, -w)
