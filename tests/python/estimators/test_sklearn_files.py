"""Estimators in files: they load in the state that they were saved in, and go on the same."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from helpers import OLD_FILES

import tagix as tx
from tagix import io
from tagix.sklearn import TagiClassifier, TagiDiffusion, TagiRegressor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 3)) * [1.0, 100.0, 0.01] + [0.0, 5.0, 0.0]
Y = 7.0 * X[:, 0] + 0.5 * RNG.standard_normal(120)
LABELS = np.array(["low", "middle", "high"])[np.digitize(Y, [-4, 4])]
NAMES = ("a", "b", "c")


def streamed(model: Any, targets: np.ndarray) -> Any:
    for row, target in zip(X[:50].tolist(), targets.tolist(), strict=False):
        model.learn_one(dict(zip(NAMES, row, strict=True)), target)
    return model


MODELS: dict[str, Any] = {
    "regressor": lambda: TagiRegressor((8,), max_epochs=3, random_state=0).fit(X, Y),
    "outputs": lambda: TagiRegressor(max_epochs=1, noise="homoscedastic", random_state=0).fit(
        X, np.c_[Y, -Y]
    ),
    "partial": lambda: TagiRegressor(n_estimators=1).partial_fit(X, Y),
    "stream": lambda: streamed(TagiRegressor(n_estimators=1, forgetting=tx.Forgetting()), Y),
    "streams": lambda: streamed(TagiRegressor(n_estimators=2), Y),
    "classifier": lambda: TagiClassifier(max_epochs=3, random_state=0).fit(X, LABELS),
    "remax": lambda: TagiClassifier(max_epochs=1, likelihood="remax").fit(X, LABELS == "low"),
    "tree": lambda: TagiClassifier(max_epochs=1, likelihood="hierarchical_softmax").fit(X, LABELS),
    "one class": lambda: TagiClassifier(max_epochs=1).fit(X, np.zeros(120, int)),
    "class stream": lambda: streamed(TagiClassifier(n_estimators=1), LABELS),
    "new classes": lambda: (
        TagiClassifier(max_epochs=1)
        .fit(X[LABELS != "low"], LABELS[LABELS != "low"])
        .partial_fit(X, LABELS)
    ),
    "given": lambda: TagiClassifier().partial_fit(X, LABELS, classes=["high", "low", "middle"]),
    "diffusion": lambda: TagiDiffusion((8,), n_epochs=1, random_state=0).fit(X),
    "conditional": lambda: TagiDiffusion((8,), n_epochs=1, conditional=True).fit(X, LABELS),
    "unfitted": lambda: TagiRegressor(hidden=(3, 4), max_epochs=7, random_state=5),
}


def outcome(model: Any) -> Any:
    if isinstance(model, TagiRegressor):
        return np.stack(model.predict(X, return_std=True))
    if isinstance(model, TagiClassifier):
        return model.predict_proba(X)
    return model.score_samples(X[:5])


def go_on(model: Any) -> None:
    """Learn a little more."""
    targets = LABELS if isinstance(model, TagiClassifier) else Y
    if isinstance(model, TagiRegressor) and np.ndim(model.predict(X)) == 2:
        targets = np.c_[Y, -Y]
    model.partial_fit(X[:40], targets[:40])


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("name", MODELS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    """The same predictions, the same attributes, and the same after more rows, to the bit."""
    model = MODELS[name]()
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = tx.load(path)
    assert type(loaded) is type(model)
    expected = model.get_params() | {"random_state": getattr(loaded, "random_state", None)}
    assert loaded.get_params() == expected
    if name == "unfitted":
        assert loaded.random_state == 5 and not hasattr(loaded, "nets_")
        return
    assert np.array_equal(outcome(loaded), outcome(model))
    for attribute in ("classes_", "feature_names_in_", "x_mean_", "x_scale_", "y_mean_"):
        expected = getattr(model, attribute, None)
        actual = getattr(loaded, attribute, None)
        assert (expected is None) == (actual is None)
        assert expected is None or expected.tolist() == actual.tolist()
    assert loaded.n_features_in_ == 3 and loaded.n_iter_ == model.n_iter_
    assert loaded.history_.train_mse == model.history_.train_mse
    if isinstance(model, TagiDiffusion):
        return
    for _ in range(2):
        assert loaded.prequential_log_ == model.prequential_log_
        go_on(model)
        go_on(loaded)
        assert np.array_equal(outcome(loaded), outcome(model))
    row = dict(zip(NAMES, X[0].tolist(), strict=True))
    assert np.array_equal(loaded.predict_one(row), model.predict_one(row))


def test_estimators_of_the_release_before() -> None:
    """What they predicted there; rules to stop that they had are gone, and they have no law."""
    X = np.arange(60.0).reshape(20, 3) % 7
    model = tx.load(OLD_FILES / "regressor_4.safetensors")
    moments = model.predict(X[:3], return_std=True)
    # Noise has been joined with a belief of it since.
    expected = [[-0.0288962, -5.3817598, 3.6597393], [6.3775265, 4.2611521, 8.4366353]]
    np.testing.assert_allclose(moments, expected, rtol=1e-3)
    # Of a Gaussian: the mean and 1.645 standard deviations.
    low, high = model.predict_interval(X[:2]).T
    np.testing.assert_allclose(
        [low, high], [[-10.518994, -12.390731], [10.461201, 1.6272115]], 1e-3
    )
    assert "tol" not in model.get_params() and model.n_iter_ == 4
    model.partial_fit(X, X[:, 0])
    labels = tx.load(OLD_FILES / "classifier_4.safetensors")
    expected = [[0.9025866, 0.0974134], [0.9975338, 0.0024662], [0.5083198, 0.4916802]]
    np.testing.assert_allclose(labels.predict_proba(X[:3]), expected, atol=1e-5)


def test_what_no_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = TagiRegressor(max_epochs=5, random_state=np.random.RandomState(0)).fit(X, Y)
    model.save(path)
    assert tx.load(path).random_state is None
    stream = TagiClassifier(n_estimators=1)
    stream.learn_one({"a": 1.0}, ("a", "tuple"))
    with pytest.raises(ValueError, match="which a file cannot hold"):
        stream.save(path)
    assert isinstance(tx.load(path), TagiRegressor)  # the old file


def to_file(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A description as JSON has it."""
    description, tensors = MODELS[name]()._to_file()
    return json.loads(json.dumps(description)), tensors


def entries(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where the entries of an object, and of the objects in it, are."""
    below = value if isinstance(value, dict) else {}
    return [here for key in below for here in [(*path, key), *entries(value[key], (*path, key))]]


# Arguments of layers, rules and the like, which may be left out.
HAVE_DEFAULTS = {"forgetting", "rule", "config", "activation", "noise"}


@pytest.mark.parametrize("name", ["regressor", "stream", "classifier", "conditional"])
def test_every_entry_is_checked(name: str) -> None:
    """Removed, or an object in its place: ValueError or TypeError; so for arrays."""
    cls = type(MODELS[name]())
    description, tensors = to_file(name)
    cls._from_file(description, tensors, "cpu")
    for path in entries(description):
        for removed in (True, False):
            changed = copy.deepcopy(description)
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            if removed:
                del inner[path[-1]]
            else:
                inner[path[-1]] = {"x": None}
            if removed and HAVE_DEFAULTS & {*path[:-1]}:
                continue
            with pytest.raises((ValueError, TypeError)):
                cls._from_file(changed, tensors, "cpu")
    for tensor in tensors:
        without = {key: array for key, array in tensors.items() if key != tensor}
        shorter = tensors | {tensor: tensors[tensor].ravel()[:-1]}
        for changed_tensors in (without, shorter):
            with pytest.raises((ValueError, TypeError)):
                cls._from_file(description, changed_tensors, "cpu")
    with pytest.raises(ValueError, match="needed no such array"):
        cls._from_file(description, tensors | {"more": np.zeros(1)}, "cpu")


def test_a_likelihood_that_there_is_not() -> None:
    description, tensors = to_file("classifier")
    description["parameters"]["likelihood"] = "autto"
    with pytest.raises(ValueError, match="likelihood: got 'autto', needed one of"):
        TagiClassifier._from_file(description, tensors, "cpu")


def test_networks_of_another_estimator() -> None:
    description, tensors = to_file("regressor")
    others, arrays = to_file("outputs")
    description["learned"]["networks"] = others["learned"]["networks"]
    mixed = {key: array for key, array in tensors.items() if not key.startswith("net")}
    mixed |= {key: array for key, array in arrays.items() if key.startswith("net")}
    mixed |= {key: arrays[key] for key in arrays if key.startswith("history")}
    with pytest.raises(ValueError, match="networks: got one"):
        TagiRegressor._from_file(description, mixed, "cpu")


def test_drifts_that_the_log_does_not_know() -> None:
    """Each would be an entry of the log: a damaged count must not fill the memory."""
    description, tensors = to_file("stream")
    description["learned"]["networks"][0]["model"]["network"]["drift"][3] = 2**31
    with pytest.raises(ValueError, match="drifts_in_fit: got 2147483648 drifts more"):
        TagiRegressor._from_file(description, tensors, "cpu")


@pytest.mark.parametrize(("name", "conditional"), [("diffusion", True), ("conditional", False)])
def test_classes_that_a_model_does_not_have(name: str, conditional: bool) -> None:
    description, tensors = to_file(name)
    description["parameters"]["conditional"] = conditional
    with pytest.raises(ValueError, match="do not fit `conditional`"):
        TagiDiffusion._from_file(description, tensors, "cpu")


def test_file_names_of_kinds(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    io.save_model(MODELS["classifier"](), path)
    assert isinstance(tx.load(path), TagiClassifier)
