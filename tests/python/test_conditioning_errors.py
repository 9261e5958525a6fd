"""What a model conditioned on classes refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conditioned_diffusion import small, two_classes
from helpers import unchanged

import tagix as tx

X, LABELS = two_classes(10)
CONDITIONED, PLAIN = small(), small(n_classes=None)
NAN, INF = float("nan"), float("inf")
NEEDS_CLASSES = "needed classes in [0, 2), or -1 for none"
WITHOUT_CLASSES = "got labels, needed none for a model without n_classes"
Case = tuple[Callable[[], object], type[Exception], str]


def label_cases(name: str, call: Callable[[Any], object]) -> dict[str, Case]:
    """Wrong labels of 10 rows: id -> (call, error, message)."""
    wrong: list[tuple[Any, type[Exception], str]] = [
        (LABELS + 1, ValueError, f"got 2, {NEEDS_CLASSES}"),
        (LABELS - 2, ValueError, f"got -2, {NEEDS_CLASSES}"),
        (2, ValueError, f"got 2, {NEEDS_CLASSES}"),
        (np.uint64([2**63] * 10), ValueError, "got 9223372036854775808, needed classes"),
        (LABELS[:9], ValueError, "got shape (9,), needed one integer, or (10,)"),
        (LABELS[:, np.newaxis], ValueError, "got shape (10, 1), needed one integer, or (10,)"),
        (LABELS.astype(float), TypeError, "got an array of float64, needed integers"),
        (LABELS.astype(bool), TypeError, "got an array of bool, needed integers"),
        ("one", TypeError, "got a str, needed"),
    ]
    return {
        f"{name} {value!r}": (lambda v=value: call(v), error, f"{name}: {message}")
        for value, error, message in wrong
    }


def named(call: Callable[..., object], name: str, value: Any) -> Callable[[], object]:
    return lambda: call(**{name: value})


def fit(**options: Any) -> object:
    return CONDITIONED.fit(X, **{"labels": LABELS, "n_epochs": 1, "progress": False} | options)


def sample(**options: Any) -> object:
    return CONDITIONED.sample(10, seed=0, **options)


def proba(**options: Any) -> object:
    return CONDITIONED.predict_proba(X, **options)


def model_of(**options: Any) -> object:
    return tx.DiffusionModel(2, (4,), 4, **options)


CASES: dict[str, Case] = {
    **label_cases("labels", lambda value: fit(labels=value)),
    **{
        f"predict {key}": case
        for key, case in label_cases(
            "labels", lambda value: CONDITIONED.predict(X, np.arange(10), value)
        ).items()
    },
    **label_cases("label", lambda value: sample(label=value)),
    "fit without labels": (
        lambda: fit(labels=None),
        ValueError,
        "labels: got none, needed the class of each row, -1 where it is unknown",
    ),
    "fit of a model without classes": (
        lambda: PLAIN.fit(X, LABELS, progress=False),
        ValueError,
        f"labels: {WITHOUT_CLASSES}",
    ),
    "predict of a model without classes": (
        lambda: PLAIN.predict(X, np.arange(10), -1),
        ValueError,
        f"labels: {WITHOUT_CLASSES}",
    ),
    "sample of a model without classes": (
        lambda: PLAIN.sample(3, label=0),
        ValueError,
        f"label: {WITHOUT_CLASSES}",
    ),
    "predict_proba of a model without classes": (
        lambda: PLAIN.predict_proba(X),
        ValueError,
        "n_classes: got a model without classes, needed",
    ),
    **{
        f"p_uncond {value!r}": (
            named(fit, "p_uncond", value),
            error,
            f"p_uncond: got {value!r}, needed a number",
        )
        for value, error in (
            (-0.1, ValueError),
            (1.1, ValueError),
            (NAN, ValueError),
            ("a", TypeError),
            (None, TypeError),
        )
    },
    **{
        f"guidance {value!r}": (
            lambda v=value: sample(label=0, guidance=v),
            error,
            f"guidance: got {value!r}, needed a",
        )
        for value, error in ((NAN, ValueError), (INF, ValueError), ("a", TypeError))
    },
    "guidance without a label": (
        lambda: sample(guidance=2.0),
        ValueError,
        "guidance: got a number without a label, needed a label to guide to",
    ),
    **{
        f"guidance_convention {value!r}": (
            lambda v=value: sample(label=0, guidance=2.0, guidance_convention=v),
            error,
            f"guidance_convention: got {value!r}, needed one of 'scale', 'weight'",
        )
        for value, error in (("Scale", ValueError), (None, TypeError), (1, TypeError))
    },
    **{
        f"class_shares {value!r}": (
            named(proba, "class_shares", value),
            error,
            "class_shares: got ",
        )
        for value, error in (
            ([1, 1, 1], ValueError),
            (1, ValueError),
            ([1, -1], ValueError),
            ([0, 0], ValueError),
            ([1, NAN], ValueError),
            ([1, INF], ValueError),
            ("a", TypeError),
        )
    },
    **{
        f"n_draws {value!r}": (
            named(proba, "n_draws", value),
            error,
            f"n_draws: got {value!r}, needed",
        )
        for value, error in ((0, ValueError), (1.5, TypeError), (None, TypeError))
    },
    **{
        f"seed {value!r}": (named(proba, "seed", value), error, f"seed: got {value!r}, needed")
        for value, error in ((-1, ValueError), (2**63, ValueError), (None, TypeError))
    },
    **{
        f"predict_proba of {name}": (lambda v=value: CONDITIONED.predict_proba(v), error, "X: got ")
        for name, value, error in (
            ("three columns", np.zeros((4, 3)), ValueError),
            ("one dimension", np.zeros(2), ValueError),
            ("NaN", np.full((4, 2), NAN), ValueError),
            ("text", "rows", TypeError),
        )
    },
    **{
        f"model with {name} {value!r}": (
            named(model_of, name, value),
            error,
            f"{name}: got {value!r}, needed",
        )
        for name, value, error in (
            ("prediction_type", "noise", ValueError),
            ("prediction_type", 3, TypeError),
            ("n_classes", 0, ValueError),
            ("n_classes", 2**40, ValueError),
            ("n_classes", 2.0, TypeError),
            ("n_classes", True, TypeError),
            ("class_features", "onehot", ValueError),
            ("class_features", None, TypeError),
            ("embedding_dim", 0, ValueError),
            ("embedding_dim", "8", TypeError),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_wrong_calls(case: str) -> None:
    call, error, message = CASES[case]
    before = CONDITIONED.class_shares
    with unchanged(CONDITIONED.net), pytest.raises(error, match=f"^{re.escape(message)}"):
        call()
    assert CONDITIONED.class_shares is before is None
