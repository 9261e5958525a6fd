"""Networks and diffusion models that know or infer noise, in files, pickles and on other devices.

A copy is one if what follows is the same bits: predictions, and one more update and fit.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from helpers import (
    Array,
    NoiseModel,
    needs_cuda,
    on_every_device,
    regression_data,
    relative_error,
    rewrite_file,
    same_bits,
    small,
    state_error,
)

import tagix as tx
from tagix import nn

Model = TypeVar("Model", nn.Sequential, tx.DiffusionModel)
PARTS = ("mean", "var", "epistemic", "aleatoric")

NOISES: dict[str, NoiseModel | None] = {
    "none": None,
    "known": tx.Homoscedastic([0.9, 1.2], min_std=0.3, decay=0.75),
    "exp": tx.Heteroscedastic(gain=0.3),
    "softplus": tx.Heteroscedastic("softplus", gain=1.5),
    "homoscedastic": tx.Homoscedastic([0.5, 2.0], learn=True),
}
FORGETTING = {
    "nothing": None,
    "default": tx.Forgetting(),
    "walk": tx.Forgetting(0.02, drift_level=None),
    "all": tx.Forgetting(0.003, 1e-9, 30.5, 0.25),
}


def through_file(model: Model, folder: Path) -> Model:
    model.save(folder / "model.safetensors")
    loaded = tx.load(folder / "model.safetensors", device=model.device)
    assert type(loaded) is type(model)
    return loaded


def through_other_device(model: Model, folder: Path) -> Model:
    home = model.device
    other = copy.deepcopy(model)
    return other.to("cpu" if home == "cuda" else "cuda").to(home)


COPIES: dict[str, Callable[[Any, Path], Any]] = {
    "file": through_file,
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
}
on_every_copy = pytest.mark.parametrize(
    "way",
    [
        *COPIES.values(),
        pytest.param(through_other_device, marks=needs_cuda),
    ],
    ids=[*COPIES, "device and back"],
)
on_every_noise = pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)


def train(net: nn.Sequential, seed: int) -> tuple[tx.Prediction, tx.History]:
    x, y = regression_data(60, seed)
    noise = 0.5 if net.noise is None else None
    prediction = net.update(x[:7], y[:7], noise)
    return prediction, net.fit(x, y, noise=noise, n_epochs=2, batch_size=16, progress=False)


@on_every_copy
@on_every_device
@pytest.mark.parametrize("forgetting", FORGETTING.values(), ids=FORGETTING)
@on_every_noise
def test_copy_of_a_network_goes_on_alike(
    noise: NoiseModel | None,
    forgetting: tx.Forgetting | None,
    device: str,
    way: Callable[[nn.Sequential, Path], nn.Sequential],
    tmp_path: Path,
) -> None:
    net = small(noise=noise, forgetting=forgetting, device=device, rule=tx.Information(clip=0.4))
    train(net, seed=0)
    other = way(net, tmp_path)
    assert (other.noise, other.forgetting) == (noise, forgetting)
    assert other.rule == net.rule and other.device == device
    assert other.epochs_trained == net.epochs_trained == 2
    assert same_bits(other.state_dict(), net.state_dict())
    x, _ = regression_data(20, seed=5)
    drifts = net.n_drifts, other.n_drifts
    for _ in range(2):
        for part in PARTS:
            actual, expected = (getattr(each(x, 0.1 * x * x), part) for each in (other, net))
            assert actual.tobytes() == expected.tobytes()
        results = [train(each, seed=1) for each in (net, other)]
        assert results[0][0].var.tobytes() == results[1][0].var.tobytes()
        for name in ("train_mse", "noise_var", "surprise", "train_log_likelihood"):
            assert getattr(results[0][1], name) == getattr(results[1][1], name)
        assert same_bits(other.state_dict(), net.state_dict())
    # The test for drift begins anew in a copy: what follows is the same as long as it finds none.
    assert (net.n_drifts, other.n_drifts) == drifts


@needs_cuda
@pytest.mark.parametrize("forgetting", FORGETTING.values(), ids=FORGETTING)
@on_every_noise
def test_other_device_goes_on_nearly_alike(
    noise: NoiseModel | None, forgetting: tx.Forgetting | None
) -> None:
    net = small(noise=noise, forgetting=forgetting)
    train(net, seed=0)
    other = copy.deepcopy(net).cuda()
    assert other.device == "cuda" and same_bits(other.state_dict(), net.state_dict())
    x, y = regression_data(20, seed=5)
    for part in PARTS:
        actual, expected = (getattr(each(x), part) for each in (other, net))
        if expected.any() or actual.any():
            assert relative_error(actual, expected) < 1e-5
    for each in (net, other):
        each.update(x, y, 0.5 if noise is None else None)
    assert state_error(other.state_dict(), net.state_dict()) < 1e-5


@needs_cuda
def test_test_for_drift_moves_with_the_network() -> None:
    """`to` keeps the sums and the count, and so the next update finds what it would have found."""
    forgetting = tx.Forgetting(0, drift_level=1e-3, window=1e12, inflation=0)
    staying, moving = (small(noise=tx.Homoscedastic(1.0), forgetting=forgetting) for _ in range(2))
    for net in (staying, moving):
        state = net.state_dict()
        net.load_state_dict({key: np.zeros_like(value) for key, value in state.items()})
    x = np.zeros((1, 3), np.float32)
    counts = []
    for y in ([4.0, 0.0], [0.0, 1.0], [2.9, 2.9], [6.0, 6.0], [3.0, 1.0]):
        for net in (staying, moving):
            net.update(x, [y])
        assert moving.to("cuda" if moving.device == "cpu" else "cpu").n_drifts == staying.n_drifts
        counts.append(staying.n_drifts)
    assert 0 < counts[-1] < len(counts)


@on_every_device
@on_every_noise
def test_drawn_network_has_no_epistemic_variance(noise: NoiseModel | None, device: str) -> None:
    """Its heads are drawn, too: a noise variance is the link of a number then."""
    net = small(noise=noise, forgetting=tx.Forgetting(), device=device)
    train(net, seed=0)
    x, _ = regression_data(20)
    drawn = net.draw(3)
    assert drawn.noise == noise and drawn.forgetting == net.forgetting
    assert drawn.epochs_trained == 2 and drawn.device == device
    prediction = drawn(x)
    np.testing.assert_array_equal(prediction.epistemic, np.zeros((20, 2)))
    np.testing.assert_array_equal(prediction.var, prediction.aleatoric)
    state = drawn.state_dict()
    if noise is None or (isinstance(noise, tx.Homoscedastic) and not noise.learn):
        assert net(x).aleatoric.tobytes() == prediction.aleatoric.tobytes()
        return
    hidden = np.maximum(x.astype(np.float64) @ state["0.weight.mean"].T + state["0.bias.mean"], 0)
    w = state["2.noise_bias.mean"].astype(np.float64)
    if "2.noise_weight.mean" in state:
        w = w + hidden @ state["2.noise_weight.mean"].T.astype(np.float64)
    softplus = noise == NOISES["softplus"]
    expected = np.broadcast_to(np.logaddexp(w, 0) if softplus else np.exp(w), (20, 2))
    np.testing.assert_allclose(prediction.aleatoric, expected, rtol=1e-5)


@on_every_device
@pytest.mark.parametrize("learned", ["exp", "softplus", "homoscedastic"])
def test_drawn_heads_are_spread_as_believed(learned: str, device: str) -> None:
    """The mean noise variance of 2000 draws is the one predicted, within 5 standard errors."""
    net = nn.Sequential(nn.Linear(3, 2), noise=NOISES[learned], seed=0, device=device)
    x, y = regression_data(40)
    net.update(x, y)
    draws = np.array([net.draw(seed)(x[:3]).aleatoric for seed in range(2000)], np.float64)
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - net(x[:3]).aleatoric) < 5 * error).all()


@pytest.mark.parametrize("older", [True, False])
def test_files_without_noise_and_forgetting(older: bool, tmp_path: Path) -> None:
    """As earlier releases wrote them."""
    net = small()
    path = tmp_path / "net.safetensors"
    net.save(path)

    def remove(description: dict[str, Any], tensors: dict[str, Array]) -> None:
        for key in ("noise", "forgetting"):
            assert description["network"].pop(key) is None
        if older:
            description["network"].pop("precision")

    rewrite_file(path, remove, {"version": "1"})
    loaded = tx.load(path)
    assert isinstance(loaded, nn.Sequential)
    assert loaded.noise is loaded.forgetting is None
    assert same_bits(loaded.state_dict(), net.state_dict())
    x, y = regression_data(5)
    for each in (net, loaded):
        each.update(x, y, 0.5)
    assert same_bits(loaded.state_dict(), net.state_dict())


def test_older_files_of_noise_models_that_could_not_learn(tmp_path: Path) -> None:
    """Their noise has no "learn", and their networks have neither noise nor forgetting."""
    model = diffusion("known")
    model.fit(regression_data(100)[0][:, :2], n_epochs=2, progress=False)
    path = tmp_path / "model.safetensors"
    model.save(path)

    def remove(description: dict[str, Any], tensors: dict[str, Array]) -> None:
        assert description["noise"].pop("learn") is False
        for key in ("noise", "forgetting"):
            description["network"].pop(key, None)

    rewrite_file(path, remove, {"version": "1"})
    loaded = tx.load(path)
    assert isinstance(loaded, tx.DiffusionModel) and loaded.noise == model.noise
    assert repr(loaded) == repr(model)
    assert same_bits(loaded.net.state_dict(), model.net.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["network"].update(noise={"type": "Linear"}), "noise: type: got 'Linear'"),
        (lambda d: d["network"]["noise"].update(link="square"), "link: got 'square'"),
        (lambda d: d["network"]["noise"].update(size=3), "size"),
        (lambda d: d["network"].update(noise=None), r"unknown \['2\.noise"),
        (lambda d: d["network"].update(forgetting={"type": "Capped"}), "forgetting: type: got"),
        (lambda d: d["network"]["forgetting"].update(window=0), "window: got 0"),
    ],
)
def test_damaged_noise(change: Callable[[Any], object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    small(noise=tx.Heteroscedastic(), forgetting=tx.Forgetting()).save(path)
    rewrite_file(path, lambda description, tensors: change(description))
    with pytest.raises(ValueError, match=rf"does not hold a model of tagix .*{message}"):
        tx.load(path)


def diffusion(noise: str, **options: Any) -> tx.DiffusionModel:
    settings: dict[str, Any] = {"hidden": (16, 16), "n_steps": 10, "seed": 0} | options
    return tx.DiffusionModel(2, noise=NOISES[noise], **settings)


@on_every_copy
@on_every_device
@pytest.mark.parametrize("noise", NOISES)
def test_copy_of_a_diffusion_model_goes_on_alike(
    noise: str,
    device: str,
    way: Callable[[tx.DiffusionModel, Path], tx.DiffusionModel],
    tmp_path: Path,
) -> None:
    data = 5 * regression_data(150)[0][:, :2]
    model = diffusion(noise, device=device)
    model.fit(data, n_epochs=2, batch_size=64, progress=False)
    model.sample(3)
    other = way(model, tmp_path)
    assert other.noise == model.noise and other.net.noise == model.net.noise
    assert repr(other) == repr(model)
    x_t, t = data[:10] / 5, np.arange(10)
    for _ in range(2):
        for part in PARTS:
            predictions = [getattr(each.predict(x_t, t), part) for each in (other, model)]
            assert predictions[0].tobytes() == predictions[1].tobytes()
        a, b = (each.sample(6, uncertainty=True) for each in (other, model))
        assert a.epistemic is not None and b.epistemic is not None
        assert a.x.tobytes() == b.x.tobytes()
        assert a.epistemic.tobytes() == b.epistemic.tobytes()
        histories = [
            each.fit(data, n_epochs=1, batch_size=64, progress=False) for each in (other, model)
        ]
        assert histories[0].noise_var == histories[1].noise_var
        assert same_bits(other.net.state_dict(), model.net.state_dict())
