"""Networks and diffusion models that go to device cuda and back, in copies and files, too."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_models import DEVICES, TOLERANCE, agree, small, small_diffusion
from helpers import needs_cuda, regression_data, relative_error, same_bits, state_error, unchanged

import tagix as tx
from tagix import nn


@needs_cuda
@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("rule", [tx.Information(0.25, 0.5), tx.Capped(2.5)], ids=str)
def test_there_and_back_keeps_everything(used: bool, rule: tx.UpdateRule) -> None:
    x, y = regression_data(40)
    net = small(rule=rule, seed=7).eval()
    if used:
        net.fit(x, y, noise=0.25, n_epochs=2, batch_size=16, progress=False)
    state, expected = net.state_dict(), net(x)
    assert net.to("cuda") is net and net.device == "cuda"
    assert (net.rule, net.seed, net.training) == (rule, 7, False)
    assert net.epochs_trained == 2 * used
    assert same_bits(net.state_dict(), state)
    assert agree(net(x), expected)
    inner = net._model
    assert net.to("cuda") is net.cuda() is net and net._model is inner
    assert net.cpu() is net and net.device == "cpu"
    assert (net.rule, net.seed, net.training) == (rule, 7, False)
    assert net.epochs_trained == 2 * used
    assert same_bits(net.state_dict(), state)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(net(x), expected, strict=True))


@needs_cuda
def test_parameters_that_no_file_would_take_move_all_the_same() -> None:
    net = small()
    next(iter(net.named_parameters()))[1].mean[0, 0] = np.nan
    state = net.state_dict()
    assert same_bits(net.to("cuda").state_dict(), state)
    assert same_bits(net.to("cpu").state_dict(), state)


@needs_cuda
def test_training_goes_on_across_devices() -> None:
    """Order of rows and noise schedule go by epochs of the network, wherever it was."""
    x, y = regression_data(50)
    options: dict[str, Any] = {"noise": tx.Homoscedastic(1, decay=0.5), "batch_size": 16}
    stays, moves = small(), small()
    stays.fit(x, y, **options, n_epochs=4, progress=False)
    for device in ("cuda", "cpu", "cuda", "cpu"):
        moves.to(device).fit(x, y, **options, n_epochs=1, progress=False)
    assert state_error(moves.state_dict(), stays.state_dict()) <= TOLERANCE


@needs_cuda
def test_state_dict_round_trip() -> None:
    net, other = small("cuda"), small("cuda", seed=1)
    other.load_state_dict(net.state_dict())
    assert same_bits(other.state_dict(), net.state_dict())
    x, _ = regression_data(10)
    assert other(x).mean.tobytes() == net(x).mean.tobytes()
    with unchanged(net), pytest.raises(ValueError, match=r"4\.bias\.var: .*negative"):
        net.load_state_dict({**net.state_dict(), "4.bias.var": [-1.0, 1.0]})


@needs_cuda
def test_named_parameters_are_copies_that_cannot_be_written_to() -> None:
    net = small("cuda")
    state = net.state_dict()
    for name, parameter in net.named_parameters():
        assert parameter.mean.tobytes() == state[f"{name}.mean"].tobytes()
        assert parameter.var.tobytes() == state[f"{name}.var"].tobytes()
        assert parameter.mean.shape == state[f"{name}.mean"].shape
        for array in parameter:
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
    net.cpu()
    next(iter(net.named_parameters()))[1].mean[...] = 0
    assert (net.state_dict()["0.weight.mean"] == 0).all()


@needs_cuda
def test_views_from_before_a_move_stay_as_they_were() -> None:
    net = small()
    weight = next(iter(net.named_parameters()))[1].mean
    before = weight.copy()
    x, y = regression_data(10)
    net.to("cuda").update(x, y, 0.25)
    np.testing.assert_array_equal(weight, before)
    assert not np.array_equal(net.state_dict()["0.weight.mean"], before)


COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda each: pickle.loads(pickle.dumps(each)),
    "deepcopy": copy.deepcopy,
}


@needs_cuda
@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
def test_copies_stay_on_the_device(make: Callable[[Any], Any]) -> None:
    x, y = regression_data(30)
    net, model = small("cuda"), small_diffusion("cuda")
    net.fit(x, y, noise=0.25, n_epochs=1, progress=False)
    model.fit(x[:, :2], n_epochs=1, progress=False)
    model.sample(2)
    other, sampler = make(net), make(model)
    assert other.device == sampler.device == sampler.net.device == "cuda"
    assert same_bits(other.state_dict(), net.state_dict())
    with unchanged(net):
        other.update(x, y, 0.25)
    net.update(x, y, 0.25)
    assert same_bits(other.state_dict(), net.state_dict())
    assert sampler.sample(5).x.tobytes() == model.sample(5).x.tobytes()
    assert make(small("cuda")).device == "cuda"  # never used


@needs_cuda
@pytest.mark.parametrize("saved_on", DEVICES)
@pytest.mark.parametrize("loaded_on", DEVICES)
def test_files_know_no_device(saved_on: str, loaded_on: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="a dependency of the package")
    x, y = regression_data(30)
    net, model = small(saved_on), small_diffusion(saved_on)
    net.fit(x, y, noise=0.25, n_epochs=1, progress=False)
    model.fit(10 * x[:, :2], n_epochs=1, progress=False)
    model.sample(2)
    net.save(tmp_path / "net")
    model.save(tmp_path / "model")
    loaded, sampler = (tx.load(tmp_path / name, device=loaded_on) for name in ("net", "model"))
    assert isinstance(loaded, nn.Sequential) and isinstance(sampler, tx.DiffusionModel)
    assert loaded.device == sampler.device == loaded_on
    assert loaded.epochs_trained == 1
    assert same_bits(loaded.state_dict(), net.state_dict())
    assert agree(loaded(x), net(x))
    np.testing.assert_array_equal(sampler.scale, model.scale)
    one, other = sampler.sample(5), model.sample(5)
    assert relative_error(one.x, other.x) <= 1e-4 and relative_error(one.var, other.var) <= 1e-4
    default = tx.load(tmp_path / "net")
    assert isinstance(default, nn.Sequential) and default.device == "cpu"


@needs_cuda
def test_a_diffusion_model_there_and_back_keeps_everything() -> None:
    data = 10 * regression_data(40)[0][:, :2]
    stays, moves = small_diffusion(), small_diffusion()
    for model in (stays, moves):
        model.fit(data, n_epochs=1, progress=False)
        model.sample(3)
    assert moves.to("cuda") is moves and moves.device == moves.net.device == "cuda"
    np.testing.assert_array_equal(moves.scale, stays.scale)
    np.testing.assert_array_equal(moves.shift, stays.shift)
    assert relative_error(moves.sample(5).x, stays.sample(5).x) <= 1e-4  # the count came along
    assert moves.cuda() is moves and moves.cpu() is moves and moves.device == "cpu"
    assert same_bits(moves.net.state_dict(), stays.net.state_dict())
    assert moves.sample(5).x.tobytes() == stays.sample(5).x.tobytes()


@needs_cuda
def test_a_diffusion_model_follows_its_network() -> None:
    data = 10 * regression_data(40)[0][:, :2]
    model, expected = small_diffusion(), small_diffusion()
    for each in (model, expected):
        each.fit(data, n_epochs=1, progress=False)
    model.net.to("cuda")
    assert model.device == "cuda"
    np.testing.assert_array_equal(model.scale, expected.scale)
    assert relative_error(model.sample(5).x, expected.sample(5).x) <= 1e-4
    model.fit(data, n_epochs=1, progress=False)
    model.net.to("cpu")
    expected.fit(data, n_epochs=1, progress=False)
    assert relative_error(model.sample(5).x, expected.sample(5).x) <= 1e-4
