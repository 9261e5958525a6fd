"""The likelihoods of classes as values, and what networks of classes refuse."""

from __future__ import annotations

import copy
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from class_likelihoods import classifier, clusters
from helpers import Array, needs_cuda, on_every_device, small, unchanged

import tagix as tx
from tagix import nn


def test_values() -> None:
    tree, remax = tx.HierarchicalSoftmax(10), tx.Remax(10, std=0.25)
    softmax = tx.Softmax(10)
    assert (softmax.n_classes, softmax.n_outputs, softmax.config) == (10, 10, {"n_classes": 10})
    assert repr(softmax) == "Softmax(n_classes=10)"
    assert (tree.n_classes, tree.n_outputs, tree.config) == (10, 9, {"n_classes": 10})
    assert (remax.n_classes, remax.n_outputs) == (10, 10)
    assert remax.config == {"n_classes": 10, "std": 0.25}
    assert repr(tree) == "HierarchicalSoftmax(n_classes=10)"
    assert repr(remax) == "Remax(n_classes=10, std=0.25)"
    one_vs_rest = tx.OneVsRest(10, link_std=0.5)
    assert (one_vs_rest.n_classes, one_vs_rest.n_outputs) == (10, 10)
    assert one_vs_rest.config == {"n_classes": 10, "std": 0.3, "link_std": 0.5, "sharpness": 2.0}
    assert repr(one_vs_rest) == "OneVsRest(n_classes=10, std=0.3, link_std=0.5, sharpness=2.0)"
    for value in (tree, remax, softmax, one_vs_rest):
        twin = type(value)(**value.config)
        assert twin == value and hash(twin) == hash(value)
        assert pickle.loads(pickle.dumps(value)) == value and copy.deepcopy(value) == value
        with pytest.raises(AttributeError):
            value.n_classes = 3
    assert len({tree, remax, tx.HierarchicalSoftmax(9), tx.Remax(10)}) == 4
    for n_classes in (2, 1000, 2**24):
        assert tx.Remax(n_classes).config["std"] == pytest.approx(0.1)
    assert classifier(tree).likelihood == tree and small().likelihood is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: tx.HierarchicalSoftmax(1), ValueError, "n_classes: got 1, needed 2 to 16777216"),
        (lambda: tx.Remax(2**24 + 1), ValueError, "n_classes: got 16777217"),
        (lambda: tx.HierarchicalSoftmax(3.5), TypeError, "n_classes: got 3.5"),
        (lambda: tx.HierarchicalSoftmax("3"), TypeError, "n_classes: got '3'"),
        (lambda: tx.Remax(3, std=0), ValueError, "std: got 0"),
        (lambda: tx.Remax(3, std=math.nan), ValueError, "std: got nan"),
        (lambda: tx.Remax(3, std="1"), TypeError, "std: got '1'"),
        (lambda: tx.OneVsRest(1), ValueError, "n_classes: got 1, needed 2 to 16777216"),
        (lambda: tx.OneVsRest(3, std=0), ValueError, "std: got 0, needed None or a number in"),
        (lambda: tx.OneVsRest(3, link_std=math.inf), ValueError, "link_std: got inf"),
        (lambda: tx.OneVsRest(3, sharpness=2000), ValueError, "sharpness: got 2000"),
        (lambda: tx.OneVsRest(3, sharpness="2"), TypeError, "sharpness: got '2'"),
        (
            lambda: nn.Sequential(nn.Linear(4, 5), likelihood=tx.HierarchicalSoftmax(5)),
            ValueError,
            "likelihood: got 5 outputs of the last layer, needed 4 for 5 classes",
        ),
        (
            lambda: nn.Sequential(nn.Linear(4, 4), likelihood=tx.Remax(5)),
            ValueError,
            "likelihood: got 4 outputs of the last layer, needed 5 for 5 classes",
        ),
        (lambda: nn.Sequential(nn.Linear(4, 4), likelihood=5), TypeError, "likelihood: got 5"),
        (
            lambda: classifier(tx.Remax(5), noise=tx.Homoscedastic(0.1)),
            ValueError,
            "noise: got Homoscedastic(",
        ),
        (
            lambda: classifier(tx.Remax(5), noise=tx.Heteroscedastic()),
            ValueError,
            "noise: got Heteroscedastic(",
        ),
        (
            lambda: classifier(tx.Remax(5), forgetting=tx.Forgetting()),
            ValueError,
            "forgetting: got a test for drift with classes",
        ),
        (lambda: nn.Sequential(classifier(tx.Remax(5))), ValueError, "layers: got a Sequential"),
    ],
)
def test_what_cannot_be_made(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        make()


X, LABELS = clusters(5)
BAD_LABELS: list[tuple[Any, type[Exception], str]] = [
    (np.array([0, 1, 2, 3, 5]), ValueError, "y: got 5, needed classes in [0, 5)"),
    (np.array([0, 1, -2, 3, 4]), ValueError, "y: got -2, needed classes in [0, 5)"),
    (LABELS.astype(float), TypeError, "y: got an array of float64, needed integers"),
    (np.eye(5)[LABELS], TypeError, "y: got an array of float64, needed integers"),
    (np.eye(5, dtype=int)[LABELS], ValueError, "y: got shape (5, 5)"),
    (LABELS[:4], ValueError, "y: got shape (4,), needed one integer, or (5,)"),
    (np.array(["a"] * 5), TypeError, "y: got "),
    (None, TypeError, "y: got "),
]


@on_every_device
@pytest.mark.parametrize(("labels", "error", "message"), BAD_LABELS)
def test_wrong_labels(labels: Any, error: type[Exception], message: str, device: str) -> None:
    net = classifier(tx.HierarchicalSoftmax(5), device=device)
    match = "^" + re.escape(message)
    with unchanged(net):
        with pytest.raises(error, match=match):
            net.update(X, labels)
        with pytest.raises(error, match=match):
            net.fit(X, labels, n_epochs=1, progress=False)
        with pytest.raises(error, match="^validation " + re.escape(message)):
            net.fit(X, LABELS, validation=(X, labels), n_epochs=1, progress=False)


@on_every_device
def test_noise_where_there_are_classes(device: str) -> None:
    net = classifier(tx.HierarchicalSoftmax(5), device=device)
    for noise in (0.1, np.full(5, 0.1), tx.Homoscedastic(0.1), tx.Heteroscedastic()):
        with unchanged(net):
            with pytest.raises(ValueError, match=r"^noise: got .* needed none: the network has"):
                net.update(X, LABELS, noise)
            with pytest.raises(ValueError, match=r"^noise: got .* needed none: the network has"):
                net.fit(X, LABELS, noise=noise, n_epochs=1, progress=False)


def test_numbers_have_no_probabilities() -> None:
    with pytest.raises(ValueError, match=r"^predict_proba: got a network without a likelihood"):
        small().predict_proba(np.zeros((2, 3)))


@on_every_device
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)),), "x: got 3 features, needed 4"),
        ((np.zeros(4),), "x: got "),
        ((np.full((2, 4), np.nan),), "x: got nan"),
        ((np.zeros((2, 4)), np.zeros((3, 4))), "x_var: got "),
        ((np.zeros((2, 4)), -np.ones((2, 4))), "x_var: got -1"),
    ],
)
def test_wrong_inputs(arguments: tuple[Array, ...], message: str, device: str) -> None:
    net = classifier(tx.Remax(5), device=device)
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        net.predict_proba(*arguments)


@on_every_device
def test_wrong_input_variances_in_fit(device: str) -> None:
    net = classifier(tx.Remax(5), device=device)
    for x_var, message in (
        (np.zeros((4, 4)), "x_var: got "),
        (np.zeros((5, 3)), "x_var: got "),
        (np.full((5, 4), -1.0), "x_var: got -1"),
        (np.full((5, 4), np.inf), "x_var: got inf"),
    ):
        with unchanged(net), pytest.raises(ValueError, match="^" + message):
            net.fit(X, LABELS, x_var=x_var, n_epochs=1, progress=False)


@needs_cuda
def test_what_has_to_be_on_the_cpu() -> None:
    net = classifier(tx.HierarchicalSoftmax(5), device="cuda")
    on_gpu, labels = tx.cuda.Array(X), tx.cuda.Array(LABELS.astype(np.float32))
    with unchanged(net):
        with pytest.raises(TypeError, match=r"^x: "):
            net.predict_proba(on_gpu)
        for x in (X, on_gpu):
            with pytest.raises(TypeError, match=r"^y: "):
                net.update(x, labels)
            with pytest.raises(TypeError, match=r"^y: "):
                net.fit(x, labels, n_epochs=1, progress=False)
            with pytest.raises(TypeError, match=r"^x_var: "):
                net.fit(x, LABELS, x_var=on_gpu, n_epochs=1, progress=False)
