"""Diffusion models with classes, schedules and targets of their own in files, pickles, draws and
on other devices; and files of older releases.
"""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Array, needs_cuda, rewrite_file, same_bits, with_given_parameters

import tagix as tx
from tagix import nn, samplers, schedules

safetensors = pytest.importorskip("safetensors", reason="a dependency of the package")

from safetensors.numpy import save_file  # noqa: E402

SETTINGS: dict[str, dict[str, Any]] = {
    "one_hot": {"n_classes": 3},
    "sinusoidal": {"n_classes": 3, "class_features": "sinusoidal", "prediction_type": "sample"},
    "embedding": {"n_classes": 3, "class_features": "embedding", "embedding_dim": 5},
    "embedding with noise": {
        "n_classes": 3,
        "class_features": "embedding",
        "noise": tx.Heteroscedastic(),
    },
    "cosine": {"schedule": schedules.Cosine(s=0.02), "prediction_type": "v_prediction"},
    "linear": {"schedule": schedules.Linear(0.01, beta_end=0.3)},
    "linear by name": {"schedule": "linear", "time_features": "sinusoidal"},
    "sigmoid": {"schedule": schedules.Sigmoid(start=-2.0, end=2.5, tau=0.9)},
    "edm": {
        "schedule": schedules.EDM(sigma_min=0.01, sigma_max=30.0, rho=5.0),
        "prediction_type": "v_prediction",
        "time_features": "log_sigma",
        "n_classes": 3,
    },
}
COPIES: dict[str, Callable[[tx.DiffusionModel, Path], Any]] = {
    "file": lambda model, folder: (
        model.save(folder / "model.safetensors"),
        tx.load(folder / "model.safetensors"),
    )[1],
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
}


def data(n_rows: int = 200) -> tuple[Array, Array]:
    """Rows in units of their own and classes of 3, the last one rare, some unknown."""
    generator = np.random.default_rng(0)
    labels = generator.choice([-1, 0, 1, 2], n_rows, p=[0.1, 0.4, 0.4, 0.1])
    x = generator.standard_normal((n_rows, 2)) + labels[:, np.newaxis]
    return (x * [20, 0.1] + [5, -1]).astype(np.float32), labels


def fitted(name: str, **options: Any) -> tx.DiffusionModel:
    model = tx.DiffusionModel(2, (8, 8), 8, seed=2, **(SETTINGS[name] | options))
    fit(model)
    model.sample(3)
    return model


def fit(model: tx.DiffusionModel) -> None:
    x, labels = data()
    model.fit(x, None if model.n_classes is None else labels, n_epochs=2, progress=False)


def assert_same(other: Any, model: tx.DiffusionModel) -> None:
    """Settings, predictions and samples, bit by bit; each draws a sample."""
    assert isinstance(other, tx.DiffusionModel)
    assert repr(other) == repr(model) and repr(other.net) == repr(model.net)
    assert other.schedule == model.schedule
    assert other.alpha_bar.tobytes() == model.alpha_bar.tobytes()
    assert (other.n_classes, other.prediction_type) == (model.n_classes, model.prediction_type)
    shares, expected = other.class_shares, model.class_shares
    assert (shares is None) is (expected is None) is (model.n_classes is None)
    if shares is not None and expected is not None:
        assert shares.tobytes() == expected.tobytes() and shares.min() < 0.2
    assert same_bits(other.net.state_dict(), model.net.state_dict())
    x, labels = data(20)
    label = None if model.n_classes is None else labels
    t = np.linspace(1, 7, 20)
    a, b = other.predict(x, t, label), model.predict(x, t, label)
    assert a.mean.tobytes() == b.mean.tobytes() and a.var.tobytes() == b.var.tobytes()
    options: dict[str, Any] = {} if label is None else {"label": label, "guidance": 2.0}
    for sampler in (None, samplers.Heun(3)):
        one, two = (each.sample(20, sampler=sampler, **options) for each in (other, model))
        assert one.x.tobytes() == two.x.tobytes() and one.var.tobytes() == two.var.tobytes()
    if label is not None:
        assert other.predict_proba(x).tobytes() == model.predict_proba(x).tobytes()
    assert other.log_prob(x, label, n_steps=4).tobytes() == (
        model.log_prob(x, label, n_steps=4).tobytes()
    )


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", SETTINGS)
def test_copies_are_the_same_and_go_on_so(name: str, how: str, tmp_path: Path) -> None:
    model = fitted(name)
    other = COPIES[how](model, tmp_path)
    assert_same(other, model)
    for each in (other, model):
        fit(each)
    assert_same(other, model)


@pytest.mark.parametrize("how", COPIES)
def test_copies_of_a_model_without_fit(how: str, tmp_path: Path) -> None:
    model = with_given_parameters(tx.DiffusionModel(2, (8,), 8, n_classes=3, seed=0))
    other = COPIES[how](model, tmp_path)
    assert other.class_shares is None
    assert other.sample(5, label=1).x.tobytes() == model.sample(5, label=1).x.tobytes()


@pytest.mark.parametrize("name", SETTINGS)
def test_drawn_model_keeps_the_settings(name: str) -> None:
    model = fitted(name)
    drawn = model.draw(5)
    assert repr(drawn) == repr(model)
    assert drawn.alpha_bar.tobytes() == model.alpha_bar.tobytes()
    np.testing.assert_array_equal([drawn.shift, drawn.scale], [model.shift, model.scale])
    if model.n_classes is not None:
        np.testing.assert_array_equal(drawn.class_shares, model.class_shares)
    state, label = drawn.net.state_dict(), None if model.n_classes is None else 1
    assert not any(value.any() for key, value in state.items() if key.endswith("weight.var"))
    x = data(20)[0]
    assert np.isfinite(drawn.log_prob(x, n_steps=4)).all()
    assert np.isfinite(drawn.sample(5, label=label).x).all()


@needs_cuda
@pytest.mark.parametrize("name", SETTINGS)
def test_devices_there_and_back(name: str, tmp_path: Path) -> None:
    model, other = fitted(name), fitted(name)
    x, labels = data(20)
    label = None if model.n_classes is None else labels
    other.to("cuda")
    assert repr(other) == repr(model) and other.schedule == model.schedule
    np.testing.assert_array_equal(other.class_shares, model.class_shares)
    a, b = (each.predict(x / 20, np.linspace(1, 7, 20), label) for each in (other, model))
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-5, atol=1e-5)
    one, two = (each.sample(20, label=label, seed=1).x / model.scale for each in (other, model))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)
    other.save(tmp_path / "model.safetensors")
    on_gpu: Any = tx.load(tmp_path / "model.safetensors", device="cuda")
    drawn = on_gpu.sample(20, label=label, seed=1).x
    assert drawn.tobytes() == other.sample(20, label=label, seed=1).x.tobytes()
    assert_same(other.cpu(), model)


def test_training_on_a_gpu_is_that_on_the_cpu() -> None:
    if not tx.cuda.is_available():
        pytest.skip(str(tx.cuda.why_not()))
    for name in ("one_hot", "sinusoidal", "embedding", "edm"):
        states = [fitted(name, device=device).net.state_dict() for device in ("cpu", "cuda")]
        for key in states[0]:
            np.testing.assert_allclose(states[1][key], states[0][key], rtol=1e-3, atol=1e-4)


# Files of older releases.


def older_file(path: Path, version: int, schedule: str) -> tx.DiffusionModel:
    """A file as releases wrote it that had no classes, and the model that it holds."""
    model = tx.DiffusionModel(
        2, (8,), 40, schedule, prediction_type="epsilon", time_features="scalar", seed=7
    )
    model.fit(data()[0], n_epochs=2, progress=False)
    network: dict[str, Any] = {
        "layers": [
            {"type": "Linear", "in_features": 3, "out_features": 8, "bias": True, "init": "he",
             "gain_weight": 1.0, "gain_bias": 1.0},
            {"type": "ReLU", "moments": "exact"},
            {"type": "Linear", "in_features": 8, "out_features": 2, "bias": True, "init": "he",
             "gain_weight": 1.0, "gain_bias": 1.0},
        ],
        "seed": 7,
        "rule": {"type": "Information", "share": 0.01, "clip": 1 / 3},
        "epochs_trained": 2,
    }  # fmt: skip
    noise: dict[str, Any] = {"type": "Homoscedastic", "std": 1.0, "min_std": 0.0, "decay": 1.0}
    if version == 2:
        network |= {"noise": None, "forgetting": None, "precision": "float32"}
        network["drift"] = [0.0, 0.0, 0.0, 0]
        noise["learn"] = False
    description = {
        "kind": "DiffusionModel",
        "network": network,
        "settings": {
            "n_features": 2,
            "hidden": [8],
            "n_steps": 40,
            "schedule": schedule,
            "time_features": "scalar",
            "standardize": True,
        },
        "activation": {"type": "ReLU", "moments": "exact"},
        "noise": noise,
        "fitted": True,
        "sample_calls": 3,
    }
    tensors = model.net.state_dict() | {
        "standardization.shift": model.shift,
        "standardization.scale": model.scale,
    }
    metadata = {"format": "tagix", "version": str(version), "description": json.dumps(description)}
    save_file(tensors, path, metadata=metadata)
    return model


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_older_file(schedule: str, version: int, tmp_path: Path) -> None:
    """It is a model of the noise, without classes, on the schedule as that release had it."""
    path = tmp_path / "model.safetensors"
    model = older_file(path, version, schedule)
    loaded: Any = tx.load(path)
    steps = np.arange(40)
    if schedule == "cosine":
        f = np.cos((steps / 40 + 0.008) / 1.008 * np.pi / 2) ** 2
        expected = f / f[0]
    else:
        betas = np.concatenate([[0], np.linspace(0.1 / 40, 20 / 40, 39)])
        expected = np.cumprod(1 - betas)
    np.testing.assert_allclose(loaded.alpha_bar, expected, rtol=1e-12)
    assert loaded.prediction_type == "epsilon"
    assert loaded.n_classes is None and loaded.class_shares is None
    assert repr(loaded) == repr(model)
    x = data(20)[0] / 20
    assert loaded.predict(x, steps[:20]).var.tobytes() == model.predict(x, steps[:20]).var.tobytes()
    for _ in range(3):  # as its three samples
        model.sample(4)
    assert loaded.sample(4).x.tobytes() == model.sample(4).x.tobytes()
    # And is saved as a file of this release.
    loaded.save(path)
    again: Any = tx.load(path)
    assert again.sample(4).x.tobytes() == model.sample(4).x.tobytes()


def test_file_says_what_is_new(tmp_path: Path) -> None:
    """What other programs read: the schedule with its arguments, the target, the classes."""
    path = tmp_path / "model.safetensors"
    fitted("edm").save(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["version"] == "8"
    description = json.loads(metadata["description"])
    assert description["settings"]["schedule"] == {
        "name": "edm",
        "config": {"sigma_min": 0.01, "sigma_max": 30.0, "rho": 5.0},
    }
    assert description["settings"]["prediction_type"] == "v_prediction"
    assert description["settings"]["n_classes"] == 3
    assert sum(description["class_shares"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, t: d["settings"]["schedule"].update(name="late"), "schedule: got 'late'"),
        (lambda d, t: d["settings"]["schedule"]["config"].update(sigma_min=-1), "sigma_min"),
        (lambda d, t: d["settings"]["schedule"]["config"].update(speed=1), "speed"),
        (lambda d, t: d["settings"]["schedule"].pop("config"), "config"),
        (lambda d, t: d["settings"].update(schedule=3), ""),
        (lambda d, t: d["settings"].update(prediction_type="noise"), "prediction_type: got 'noise"),
        (lambda d, t: d["settings"].update(n_classes=4), "0.weight.mean"),
        (lambda d, t: d["settings"].update(n_classes=-1), "n_classes: got -1"),
        (lambda d, t: d["settings"].update(class_features="words"), "class_features: got 'words'"),
        (lambda d, t: d.update(class_shares=[0.5, 0.5]), "class_shares: got shape"),
        (
            lambda d, t: d.update(class_shares=[1, -1, 1]),
            r"class_shares: got \[1.0, -1.0",
        ),
        (lambda d, t: d.update(class_shares="many"), "class_shares"),
    ],
)
def test_damaged_file(
    change: Callable[[dict[str, Any], dict[str, Array]], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    fitted("edm").save(path)
    rewrite_file(path, change)
    with pytest.raises(ValueError, match=rf"(?s)path: .*model\.safetensors.*{message}"):
        tx.load(path)


def test_custom_activation_of_a_model_with_classes_is_refused(tmp_path: Path) -> None:
    model = tx.DiffusionModel(2, (4,), activation=nn.Activation(np.sin, np.cos), n_classes=2)
    with pytest.raises(ValueError, match=r"nn\.Activation.*state_dict"):
        model.save(tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []
