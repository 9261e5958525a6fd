"""One more step after saving and loading is the same, bit by bit, as without, for all there is."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from helpers import INFERRED, KNOWN, regression_data, same_bits, with_given_parameters

import tagix as tx
from tagix import nn, schedules
from tagix._classes import ClassFeatures
from tagix.io._networks import count_parameters

# One of every class of layer, each in both forms of moments where it has two.
LAYERS: dict[str, list[Any]] = {
    "Linear": [nn.Linear(4, 4), nn.Linear(4, 4, bias=False, init="xavier", gain_weight=0.5)],
    "ClassEmbedding": [nn.ClassEmbedding(2, 2, 2, gain=0.5)],
    "Identity": [nn.Identity()],
    "LeakyReLU": [nn.LeakyReLU(0.3), nn.LeakyReLU(1 / 3, moments="first_order")],
    "Flatten": [nn.Flatten()],
    "GroupNorm": [nn.GroupNorm(2, 4), nn.GroupNorm(1, 4, 0.1, statistics="constant")],
    "LayerNorm": [nn.LayerNorm(4), nn.LayerNorm((4,), 1e-3, statistics="constant")],
    "RMSNorm": [nn.RMSNorm(4)],
    "Gated": [nn.Gated(4, 4)],
    "Residual": [
        nn.Residual(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 4), seed=1)),
        nn.Residual(nn.ReLU("first_order")),
        nn.Residual(nn.Linear(4, 4), shortcut=nn.Linear(4, 4, bias=False)),
    ],
    "Concat": [nn.Concat(nn.Linear(4, 1), nn.Sequential(nn.Linear(4, 3), nn.ReLU(), seed=2))],
    "Sequential": [
        nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 4), seed=2), seed=1)
    ],
} | {
    name: [getattr(nn, name)(), getattr(nn, name)("first_order")]
    for name in ("Exp", "GELU", "Hardtanh", "ReLU", "SiLU", "Sigmoid", "Softplus", "Tanh")
}
# Of every class that takes images, (2, 6, 8) here.
ON_GRIDS: dict[str, list[Any]] = {
    "Conv1d": [nn.Conv1d(2, 3, 3, stride=2)],
    "Conv2d": [
        nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False),
        nn.Conv2d(2, 1, 3, padding="same", gain_weight=0.5),
    ],
    "ConvTranspose2d": [nn.ConvTranspose2d(2, 3, 3, 2, 1, (1, 0), gain_bias=0.5)],
    "AvgPool2d": [nn.AvgPool2d(2), nn.AvgPool2d((3, 2), (1, 2), (1, 0))],
    "MaxPool2d": [nn.MaxPool2d(2), nn.MaxPool2d((3, 2), (1, 2), (1, 0))],
    "AdaptiveAvgPool2d": [nn.AdaptiveAvgPool2d(1)],
    "Upsample": [nn.Upsample(2), nn.Upsample(3, "bilinear")],
    "ZeroPad2d": [nn.ZeroPad2d(1), nn.ZeroPad2d((0, 1, 2, 3))],
}
NOISE: dict[str, Any] = {
    **INFERRED,
    "known": KNOWN,
    "decaying": tx.Homoscedastic(1.0, min_std=0.2, decay=0.7),
    "none": None,
}
RULES = [tx.Information(), tx.Information(0.3, float("inf")), tx.Capped(), tx.Capped(2.5)]
FORGETTING = [
    None,
    tx.Forgetting(),
    tx.Forgetting(1e-3, drift_level=0.01, window=5.0, inflation=0.5),
    tx.Forgetting(0.01, drift_level=None),
]


def assert_goes_on_alike(net: nn.Sequential, path: Path) -> None:
    """Saves and loads it, and takes steps with both."""
    x, y = regression_data(40)
    noise = KNOWN if net.noise is None else None
    net.fit(x[:32], y[:32], noise=noise, n_epochs=2, batch_size=8, progress=False)
    net.update(x[32:36], y[32:36], noise)
    net.save(path)
    loaded = tx.load(path)
    assert isinstance(loaded, nn.Sequential)
    assert repr(loaded) == repr(net)
    for name in ("seed", "rule", "noise", "forgetting", "precision", "training", "n_drifts"):
        assert getattr(loaded, name) == getattr(net, name), name
    assert loaded.epochs_trained == net.epochs_trained == 2
    assert loaded._model.drift == net._model.drift
    for a, b in zip(loaded(x, x * x), net(x, x * x), strict=True):
        assert a.tobytes() == b.tobytes()
    before = net.state_dict()
    for each in (net, loaded):
        each.update(x[36:37], 5 * y[36:37], noise)
        each.fit(x, y, noise=noise, n_epochs=1, batch_size=7, progress=False)
    assert same_bits(loaded.state_dict(), net.state_dict())
    assert not same_bits(net.state_dict(), before)
    assert loaded._model.drift == net._model.drift


def test_every_layer_is_here() -> None:
    others = {"Activation", "Flops", "Layer", "LayerSummary", "Module", "Network", "Traced"}
    assert set(LAYERS) | set(ON_GRIDS) == set(nn.__all__) - others - {"Value", "concat"}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, tmp_path: Path) -> None:
    for layer in LAYERS[name]:
        net = nn.Sequential(nn.Linear(3, 4), layer, nn.Linear(4, 2), seed=3)
        assert_goes_on_alike(net, tmp_path / "net")


@pytest.mark.parametrize("name", ON_GRIDS)
def test_layers_on_grids(name: str, tmp_path: Path) -> None:
    shape = (2, 9) if name == "Conv1d" else (2, 6, 8)
    x = np.random.default_rng(0).normal(size=(12, *shape))
    for layer in ON_GRIDS[name]:
        net = nn.Sequential(layer, nn.Flatten(), input_shape=shape, seed=3)
        n_parameters = sum(array.size for array in net.state_dict().values()) / 2
        assert count_parameters(layer) == n_parameters
        y = net(x).mean + 1
        net.update(x, y, 0.5)
        net.save(tmp_path / "net")
        loaded = tx.load(tmp_path / "net")
        assert repr(loaded) == repr(net)
        for each in (net, loaded):
            each.update(x[:5], y[:5], 0.5)
        assert same_bits(loaded.state_dict(), net.state_dict())
        for a, b in zip(loaded(x, x * x), net(x, x * x), strict=True):
            assert a.tobytes() == b.tobytes()
        assert pickle.loads(pickle.dumps(layer)) == layer


@pytest.mark.parametrize("name", LAYERS)
def test_parameters_are_counted_before_they_are_made(name: str) -> None:
    for layer in LAYERS[name]:
        state = nn.Sequential(layer, seed=0).state_dict()
        assert count_parameters(layer) == sum(array.size for array in state.values()) / 2


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("forgetting", FORGETTING, ids=str)
def test_noise_rules_and_forgetting(noise: str, forgetting: Any, tmp_path: Path) -> None:
    for rule in RULES:
        net = nn.Sequential(
            nn.Linear(3, 6),
            nn.ReLU(),
            nn.Linear(6, 2),
            seed=4,
            rule=rule,
            noise=NOISE[noise],
            forgetting=forgetting,
        )
        assert_goes_on_alike(net, tmp_path / "net")


def test_a_drift_that_was_found_stays_counted(tmp_path: Path) -> None:
    net = nn.Sequential(
        nn.Linear(1, 1), seed=0, noise=tx.Homoscedastic(0.1), forgetting=tx.Forgetting(window=10)
    )
    x = np.ones((1, 1), np.float32)
    for step in range(60):
        net.update(x, x if step < 50 else -20 * x)
    assert net.n_drifts >= 1
    net.save(tmp_path / "net")
    assert tx.load(tmp_path / "net").n_drifts == net.n_drifts


@pytest.mark.parametrize("precision", ["float32", "mixed", "bfloat16"])
def test_precision_and_mode(precision: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a processor without bfloat16
        net = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 2), seed=5,
                            precision=precision).eval()  # fmt: skip
        assert_goes_on_alike(net, tmp_path / "net")
        loaded = tx.load(tmp_path / "net")
    assert loaded._options.precision == precision and loaded.training is False


def assert_samples_alike(model: tx.DiffusionModel, path: Path) -> None:
    """As assert_goes_on_alike, of a diffusion model."""
    rows = 3 * regression_data(24)[0] + np.float32([1, 2, 3])
    labels = None if model.n_classes is None else np.arange(24) % (model.n_classes + 1) - 1
    model.fit(rows, labels, n_epochs=2, batch_size=10, progress=False)
    model.sample(2)
    model.save(path)
    loaded = tx.load(path)
    assert isinstance(loaded, tx.DiffusionModel)
    assert repr(loaded) == repr(model) and repr(loaded.net) == repr(model.net)
    assert loaded.alpha_bar.tobytes() == model.alpha_bar.tobytes()
    for name in ("shift", "scale", "class_shares"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))
    for each in (model, loaded):
        each.fit(rows[:9], None if labels is None else labels[:9], n_epochs=1, progress=False)
    assert same_bits(loaded.net.state_dict(), model.net.state_dict())
    label = None if labels is None else 0
    a, b = loaded.sample(4, label=label), model.sample(4, label=label)
    assert a.x.tobytes() == b.x.tobytes() and a.var.tobytes() == b.var.tobytes()


SCHEDULES = [
    "cosine",
    "linear",
    "sigmoid",
    "edm",
    schedules.Cosine(0.02),
    schedules.Linear(0.01, 0.5),
    schedules.Sigmoid(-2.0, 2.5, 0.9),
    schedules.EDM(0.01, 30.0, 5.0),
]


@pytest.mark.parametrize("prediction_type", get_args(schedules.PredictionType))
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_diffusion(prediction_type: str, schedule: Any, tmp_path: Path) -> None:
    for time_features in get_args(schedules.TimeFeatures):
        model = tx.DiffusionModel(
            3,
            (5,),
            6,
            schedule,
            prediction_type=prediction_type,
            time_features=time_features,
            seed=6,
        )
        assert_samples_alike(model, tmp_path / "model")


@pytest.mark.parametrize("class_features", get_args(ClassFeatures))
def test_diffusion_with_classes(class_features: str, tmp_path: Path) -> None:
    noises: list[Any] = [
        None,
        tx.Heteroscedastic(),
        tx.Homoscedastic(learn=True),
        tx.Homoscedastic([1, 0.9, 0.8], 0.1, 0.5),
    ]
    for noise, rule, standardize in itertools.product(noises, (None, tx.Capped()), (False, True)):
        model = tx.DiffusionModel(
            3,
            (4, 5),
            5,
            n_classes=3,
            class_features=class_features,
            embedding_dim=2,
            activation=nn.LeakyReLU(0.2),
            noise=noise,
            rule=rule,
            standardize=standardize,
            seed=7,
        )
        assert_samples_alike(model, tmp_path / "model")


def test_a_model_that_saw_nothing(tmp_path: Path) -> None:
    model = with_given_parameters(tx.DiffusionModel(2, (), 4, n_classes=2, seed=8))
    model.save(tmp_path / "model")
    loaded = tx.load(tmp_path / "model")
    assert loaded.class_shares is None and loaded._fitted is False
    assert loaded.sample(3).x.tobytes() == model.sample(3).x.tobytes()


STEP = """
import sys
import numpy as np
import tagix as tx
x = np.linspace(-1, 1, 48, dtype=np.float32).reshape(16, 3)
net, model = (tx.load(path) for path in sys.argv[1:3])
net.fit(x, x[:, :2], n_epochs=2, batch_size=3, progress=False)
model.fit(x, n_epochs=1, progress=False)
net.save(sys.argv[3])
model.save(sys.argv[4])
np.save(sys.argv[5], model.sample(3).x)
"""


def test_another_process_goes_on_alike(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), seed=1,
                        noise=tx.Heteroscedastic(), forgetting=tx.Forgetting())  # fmt: skip
    model = tx.DiffusionModel(3, (4,), 5, seed=2)
    x = np.linspace(-1, 1, 48, dtype=np.float32).reshape(16, 3)
    net.fit(x, x[:, :2] + 1, n_epochs=2, batch_size=3, progress=False)
    model.fit(x, n_epochs=1, progress=False)
    names = ["net", "model", "net_after", "model_after", "samples.npy"]
    paths = [str(tmp_path / name) for name in names]
    net.save(paths[0])
    model.save(paths[1])
    subprocess.run([sys.executable, "-c", STEP, *paths], check=True)
    net.fit(x, x[:, :2], n_epochs=2, batch_size=3, progress=False)
    model.fit(x, n_epochs=1, progress=False)
    assert same_bits(tx.load(paths[2]).state_dict(), net.state_dict())
    assert tx.load(paths[2])._model.drift == net._model.drift
    assert same_bits(tx.load(paths[3]).net.state_dict(), model.net.state_dict())
    np.testing.assert_array_equal(np.load(paths[4]), model.sample(3).x)
