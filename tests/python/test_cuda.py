"""Device cuda: what holds without a GPU, and networks and diffusion models there and back."""

from __future__ import annotations

import copy
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import (
    REQUIRED_CUDA,
    Array,
    in_threads,
    needs_cuda,
    regression_data,
    relative_error,
    same_bits,
    state_error,
    unchanged,
    with_given_parameters,
)

import tagix as tx
from tagix import _core, nn

DEVICES = ("cpu", "cuda")
TOLERANCE = 1e-5  # of results that the CPU gives, too


def small(device: str = "cpu", **options: Any) -> nn.Sequential:
    layers = nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2)
    return nn.Sequential(*layers, **{"seed": 0, "device": device, **options})


def small_diffusion(device: str = "cpu", **options: Any) -> tx.DiffusionModel:
    settings = {"n_steps": 8, "seed": 0, "device": device, **options}
    return with_given_parameters(tx.DiffusionModel(2, (16,), **settings))


def slow(device: str) -> nn.Sequential:
    """Each batch takes 20 ms, so that an epoch of some batches reports more than once."""

    def value(z: Array) -> Array:
        time.sleep(0.02)
        return z

    layer = nn.Activation(value, np.ones_like, moments="first_order")
    return nn.Sequential(nn.Linear(3, 2), layer, seed=0, device=device)


def agree(one: tx.Gaussian, other: tx.Gaussian, tolerance: float = TOLERANCE) -> bool:
    return all(relative_error(a, b) <= tolerance for a, b in zip(one, other, strict=True))


class Elsewhere:
    """Says that it lies on a GPU; nobody is to ask for more."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, **options: Any) -> Any:
        raise AssertionError("asked for its memory")


# Where there may be no device.


def test_the_device_that_must_be_there_is_there() -> None:
    if not REQUIRED_CUDA:
        pytest.skip("TAGIX_REQUIRE_CUDA is not set")
    assert tx.cuda.why_not() is None
    if REQUIRED_CUDA != "1":
        assert REQUIRED_CUDA in tx.cuda.device_name()


def test_it_says_whether_there_is_a_device() -> None:
    reason = tx.cuda.why_not()
    assert tx.cuda.is_available() is (reason is None)
    assert tx.cuda.is_built() or not tx.cuda.is_available()
    if reason is None:
        assert tx.cuda.device_name()
        assert _core.backend_name("cuda") == f"cuda ({tx.cuda.device_name()}, float32)"
    else:
        assert reason
        with pytest.raises(RuntimeError, match=re.escape(f"cannot be used: {reason}")):
            tx.cuda.device_name()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_import_and_the_cpu_leave_the_driver_alone() -> None:
    program = """
import tagix as tx
from tagix import nn
tx.cuda.is_built()
net = nn.Sequential(nn.Linear(2, 1), seed=0).to("cpu")
net.fit([[0.0, 1.0]], [0.0], noise=0.1, n_epochs=1, progress=False)
model = tx.DiffusionModel(2, hidden=(4,), n_steps=4, seed=0).cpu()
model.fit([[i, i * i] for i in range(10)], n_epochs=1, progress=False)
model.sample(3)
assert "libcuda.so" not in open("/proc/self/maps").read()
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr


WANTS_CUDA: dict[str, Callable[[Path], object]] = {
    "Sequential": lambda path: small("cuda"),
    "DiffusionModel": lambda path: small_diffusion("cuda"),
    "to": lambda path: small().to("cuda"),
    "cuda": lambda path: small().cuda(),
    "to of a model": lambda path: small_diffusion().to("cuda"),
    "cuda of a model": lambda path: small_diffusion().cuda(),
    "load": lambda path: tx.load(path / "nowhere", device="cuda"),
    "Array": lambda path: tx.cuda.Array([1.0]),
}


@pytest.mark.skipif(tx.cuda.is_available(), reason="there is a device")
@pytest.mark.parametrize("call", WANTS_CUDA.values(), ids=WANTS_CUDA)
def test_without_a_device_the_error_says_why(
    call: Callable[[Path], object], tmp_path: Path
) -> None:
    reason = re.escape(str(tx.cuda.why_not()))
    with pytest.raises(ValueError, match=rf"^device: got 'cuda', (needed 'cpu': |but ){reason}$"):
        call(tmp_path)


@pytest.mark.parametrize(
    ("device", "error", "message"),
    [
        ("gpu", ValueError, "device: got 'gpu', needed 'cpu' or 'cuda'"),
        ("cuda:0", ValueError, "device: got 'cuda:0', needed 'cpu' or 'cuda'"),
        ("CPU", ValueError, "device: got 'CPU', needed 'cpu' or 'cuda'"),
        (None, TypeError, "device: got None, needed a string"),
        (0, TypeError, "device: got 0, needed a string"),
    ],
)
def test_unknown_devices(device: Any, error: type[Exception], message: str, tmp_path: Path) -> None:
    net, model = small(), small_diffusion()
    before = net._model, model._process
    calls: list[Callable[[], object]] = [
        lambda: small(device),
        lambda: small_diffusion(device),
        lambda: net.to(device),
        lambda: model.to(device),
        lambda: tx.load(tmp_path / "nowhere", device=device),
        lambda: _core.backend_name(device),
    ]
    for call in calls:
        with pytest.raises(error, match=f"^{message}$"):
            call()
    assert (net.device, model.device, model.net.device) == ("cpu",) * 3
    assert (net._model, model._process) == before


def test_to_the_device_it_is_on_changes_nothing() -> None:
    net, model = small(), small_diffusion()
    inner = net._model, model._process
    assert net.to("cpu") is net.cpu() is net and model.to("cpu") is model.cpu() is model
    assert (net._model, model._process) == inner
    assert (net.device, model.device) == ("cpu", "cpu")


def test_precisions_of_devices() -> None:
    assert _core.has_precision("float32", "cuda") and _core.has_precision("float32", "cpu")
    assert _core.has_precision("mixed") is _core.has_precision("mixed", "cpu")
    with pytest.raises(ValueError, match="device: got 'gpu', needed 'cpu' or 'cuda'"):
        _core.has_precision("float32", "gpu")


@pytest.mark.parametrize("used", [False, True])
def test_a_pickle_of_a_device_that_is_not_there(
    used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, model = small().eval(), small_diffusion()
    x, y = regression_data(20)
    if used:
        net.fit(x, y, noise=0.25, n_epochs=1, progress=False)
    state = net.__getstate__()
    assert state["device"] == "cpu"
    for each in (net, model.net):  # as if they were on the GPU
        each._options = replace(each._options, device="cuda")
    pickled = {name: pickle.dumps(each) for name, each in (("net", net), ("model", model))}
    for each in (net, model.net):
        each._options = replace(each._options, device="cpu")
    monkeypatch.setattr(_core, "cuda_why_not", lambda: "the GPU is on holiday")
    message = r"^device: .*was on 'cuda' when.*the GPU is on holiday, so it is on 'cpu'$"
    with pytest.warns(RuntimeWarning, match=message):
        again: nn.Sequential = pickle.loads(pickled["net"])
    assert (again.device, again.training, again.epochs_trained) == ("cpu", False, int(used))
    assert same_bits(again.state_dict(), net.state_dict())
    with pytest.warns(RuntimeWarning, match=message):
        other: tx.DiffusionModel = pickle.loads(pickled["model"])
    assert other.device == other.net.device == "cpu"
    assert other.sample(3).x.tobytes() == model.sample(3).x.tobytes()


def test_arrays_on_a_gpu_are_refused_where_the_cpu_works() -> None:
    net, model, there = small(), small_diffusion(), Elsewhere()
    x, y = regression_data(4)
    calls: dict[str, list[Callable[[], object]]] = {
        "x": [
            lambda: net(there),
            lambda: net.update(there, y, 1.0),
            lambda: net.fit(there, y, noise=1.0),  # type: ignore[arg-type]
        ],
        "x_var": [
            lambda: net(x, there),
            lambda: net.update(x, y, 1.0, there),
        ],
        "y": [
            lambda: net.update(x, there, 1.0),
            lambda: net.fit(x, there, noise=1.0),  # type: ignore[arg-type]
        ],
        "noise": [
            lambda: net.update(x, y, there),
            lambda: net.fit(x, y, noise=there),  # type: ignore[arg-type]
        ],
        "validation x": [lambda: net.fit(x, y, noise=1.0, validation=(there, y))],  # type: ignore[arg-type]
        "validation y": [lambda: net.fit(x, y, noise=1.0, validation=(x, there))],  # type: ignore[arg-type]
        r"0\.weight\.mean": [
            lambda: net.load_state_dict({**net.state_dict(), "0.weight.mean": there})  # type: ignore[dict-item]
        ],
        "X": [lambda: model.fit(there)],  # type: ignore[arg-type]
        "x_t": [lambda: model.predict(there, [1])],  # type: ignore[arg-type]
    }
    for name, each in calls.items():
        for call in each:
            with (
                unchanged(net),
                pytest.raises(TypeError, match=f"^{name}: got an array on device cuda, needed"),
            ):
                call()
    with pytest.raises(TypeError, match=r"net\.to\('cuda'\)"):
        net(there)


# On the device.


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
def test_equal_seeds_give_equal_parameters_on_both() -> None:
    assert same_bits(small("cuda").state_dict(), small("cpu").state_dict())


LAYERS: dict[str, Callable[[], list[nn.Layer | nn.Sequential]]] = {
    "ReLU": lambda: [nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2)],
    "no bias": lambda: [nn.Linear(3, 8, bias=False), nn.LeakyReLU(0.2), nn.Linear(8, 2)],
    "quadrature": lambda: [nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2)],
    "first order": lambda: [nn.Linear(3, 8), nn.Sigmoid("first_order"), nn.Linear(8, 2)],
    "nested": lambda: [nn.Sequential(nn.Linear(3, 8), nn.SiLU()), nn.Linear(8, 2), nn.Softplus()],
    "user": lambda: [nn.Linear(3, 8), nn.Activation(np.sin, np.cos), nn.Linear(8, 2)],
    "user first order": lambda: [
        nn.Linear(3, 8),
        nn.Activation(np.sin, np.cos, moments="first_order"),
        nn.Linear(8, 2),
    ],
}


@needs_cuda
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_updates_are_those_of_the_cpu(
    layers: Callable[[], list[nn.Layer | nn.Sequential]],
) -> None:
    nets = [nn.Sequential(*layers(), seed=0, device=device) for device in DEVICES]
    x, y = regression_data(60)
    y[::7, 1] = np.nan
    generator = np.random.default_rng(1)
    noise = generator.uniform(0.1, 0.5, y.shape)
    x_var = generator.uniform(0, 0.1, x.shape)
    for first, last in ((0, 1), (1, 5), (5, 30), (30, 60)):
        rows = slice(first, last)
        before = [net.update(x[rows], y[rows], noise[rows], x_var[rows]) for net in nets]
        assert agree(before[1], before[0])
    assert state_error(nets[1].state_dict(), nets[0].state_dict()) <= TOLERANCE
    assert agree(nets[1](x, x_var), nets[0](x, x_var))


@needs_cuda
@pytest.mark.parametrize("rule", [tx.Information(), tx.Capped()], ids=str)
@pytest.mark.parametrize("noise_kind", ["model", "outputs", "targets"])
def test_fit_is_that_of_the_cpu(rule: tx.UpdateRule, noise_kind: str) -> None:
    x, y = regression_data(90)
    y[::5, 0] = np.nan
    noise: Any = {
        "model": tx.Homoscedastic(std=[0.5, 0.6], decay=0.8),
        "outputs": np.array([0.25, 0.3]),
        "targets": np.random.default_rng(0).uniform(0.2, 0.4, y.shape),
    }[noise_kind]
    nets = [small(device, rule=rule) for device in DEVICES]
    options: dict[str, Any] = {"n_epochs": 3, "batch_size": 32, "validation": (x[:30], y[:30])}
    histories = [net.fit(x, y, noise=noise, **options, progress=False) for net in nets]
    assert state_error(nets[1].state_dict(), nets[0].state_dict()) <= TOLERANCE
    assert [net.epochs_trained for net in nets] == [3, 3]
    one, other = histories
    assert one.n_rows == other.n_rows == [90] * 3
    for name in (
        "train_mse",
        "predicted_var",
        "train_log_likelihood",
        "validation_mse",
        "validation_log_likelihood",
    ):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=TOLERANCE)
    np.testing.assert_array_equal(other.noise_var, one.noise_var)


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
def test_two_runs_give_the_same_bits() -> None:
    x, y = regression_data(70)
    states, samples = [], []
    for _ in range(2):
        net = small("cuda")
        net.fit(x, y, noise=0.25, n_epochs=2, batch_size=32, progress=False)
        net.update(x[:9], y[:9], 0.25)
        states.append(net.state_dict())
        model = small_diffusion("cuda")
        model.fit(x[:, :2], n_epochs=2, batch_size=32, progress=False)
        samples.append(model.sample(10))
    assert same_bits(*states)
    assert samples[0].x.tobytes() == samples[1].x.tobytes()
    assert samples[0].var.tobytes() == samples[1].var.tobytes()


@needs_cuda
def test_no_rows() -> None:
    assert small("cuda")(np.zeros((0, 3))).mean.shape == (0, 2)


@needs_cuda
def test_a_network_without_parameters() -> None:
    x, y = regression_data(10)
    net, expected = (nn.Sequential(nn.Tanh(), seed=0, device=device) for device in ("cuda", "cpu"))
    assert agree(net(x, x * x), expected(x, x * x))
    assert agree(net.update(x[:, :2], y, 0.25, y * y), expected.update(x[:, :2], y, 0.25, y * y))
    net.fit(x[:, :2], y, noise=0.25, n_epochs=1, progress=False)
    assert net.state_dict() == {} and agree(net.to("cpu")(x, x * x), expected(x, x * x))


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


def without_bfloat16_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretends that the GPU has float32 alone, as those before compute capability 8.0."""
    has = _core.has_precision
    monkeypatch.setattr(
        _core,
        "has_precision",
        lambda precision, device="cpu": (
            has(precision, device) and (device == "cpu" or precision == "float32")
        ),
    )


@needs_cuda
@pytest.mark.parametrize("precision", ["mixed", "bfloat16"])
def test_reduced_precision_is_close_to_float32(precision: str) -> None:
    if not _core.has_precision(precision, "cuda"):
        pytest.skip(f"{tx.cuda.device_name()} lacks {precision}")
    layers = nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)
    x = np.random.default_rng(3).uniform(-1, 1, (64, 64)).astype(np.float32)
    exact = nn.Sequential(*layers, seed=1, device="cuda")(x)
    net = nn.Sequential(*layers, seed=1, device="cuda", precision=precision)
    assert net.precision == precision
    rounded = net(x)
    assert 0 < relative_error(rounded.var, exact.var) < 1e-2
    assert relative_error(rounded.mean, exact.mean) < (2e-3 if precision == "mixed" else 2e-2)


@needs_cuda
def test_a_precision_that_only_the_cpu_has(monkeypatch: pytest.MonkeyPatch) -> None:
    without_bfloat16_on_cuda(monkeypatch)
    message = (
        r"^precision: got 'mixed', but the GPU has no products of bfloat16, "
        "so float32 runs instead$"
    )
    with pytest.warns(RuntimeWarning, match=message) as caught:
        net = small("cuda", precision="mixed")
    assert caught[0].filename == __file__
    assert net.precision == "float32"
    assert net.__getstate__()["precision"] == "mixed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a processor without bfloat16
        net.cpu()
        expected = small(precision="mixed").precision
    assert net.precision == expected == ("mixed" if _core.has_precision("mixed") else "float32")
    moves: list[Callable[[], object]] = [lambda: net.to("cuda"), lambda: net.cuda()]
    for move in moves:
        with pytest.warns(RuntimeWarning, match=message) as caught:
            move()
        assert caught[0].filename == __file__ and net.precision == "float32"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net.cpu()


@needs_cuda
def test_a_move_that_fails_leaves_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning about a precision as an error stands for any."""
    without_bfloat16_on_cuda(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net, model = small(precision="mixed"), small_diffusion(precision="mixed")
    inner = net._model, model.net._model, model._process
    precision = net.precision
    for each in (net, model):
        with pytest.raises(RuntimeWarning, match="precision"):
            each.to("cuda")
    assert (net.device, model.device, net.precision) == ("cpu", "cpu", precision)
    assert (net._model, model.net._model, model._process) == inner


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
@pytest.mark.parametrize("standardize", [False, True])
def test_diffusion_is_that_of_the_cpu(standardize: bool) -> None:
    data = regression_data(80)[0][:, :2] * np.array([3, 0.5]) + np.array([1, -2])
    models = [small_diffusion(device, standardize=standardize) for device in DEVICES]
    histories = [model.fit(data, n_epochs=3, batch_size=32, progress=False) for model in models]
    np.testing.assert_allclose(histories[1].train_mse, histories[0].train_mse, rtol=TOLERANCE)
    np.testing.assert_array_equal(models[1].shift, models[0].shift)
    assert state_error(models[1].net.state_dict(), models[0].net.state_dict()) <= TOLERANCE
    for trajectory in (False, True):
        one, other = (model.sample(9, trajectory=trajectory) for model in models)
        assert relative_error(other.x, one.x) <= 1e-4
        assert relative_error(other.var, one.var) <= 1e-4
        if trajectory:
            assert one.trajectory is not None and other.trajectory is not None
            assert relative_error(other.trajectory, one.trajectory) <= 1e-4
            np.testing.assert_allclose(other.trajectory[0], one.trajectory[0], rtol=1e-5)
    t = np.arange(8)
    assert agree(models[1].predict(data[:8], t), models[0].predict(data[:8], t))


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


@needs_cuda
def test_networks_in_threads_at_once() -> None:
    x, y = regression_data(40)
    n_threads = 4

    def train(seed: int) -> nn.Sequential:
        net = small("cuda", seed=seed)
        net.fit(x, y, noise=0.25, n_epochs=2, batch_size=16, progress=False)
        for first in range(0, 40, 10):
            net.update(x[first : first + 10], y[first : first + 10], 0.25)
        return net

    expected = [train(seed).state_dict() for seed in range(n_threads)]
    nets: dict[int, nn.Sequential] = {}

    def work(seed: int) -> None:
        nets[seed] = train(seed)

    in_threads([lambda seed=seed: work(seed) for seed in range(n_threads)])  # type: ignore[misc]
    for seed in range(n_threads):
        assert same_bits(nets[seed].state_dict(), expected[seed])


@needs_cuda
def test_one_network_in_threads_at_once() -> None:
    """Predictions beside updates are those of whole states: before all, after all or in between."""
    net, replayed = small("cuda"), small("cuda")
    x, y = regression_data(24)
    whole = [replayed(x).mean.tobytes()]
    for _ in range(5):
        replayed.update(x, y, 0.25)
        whole.append(replayed(x).mean.tobytes())
    seen: list[bytes] = []

    def predict() -> None:
        seen.extend(net(x).mean.tobytes() for _ in range(10))

    def update() -> None:
        for _ in range(5):
            net.update(x, y, 0.25)

    in_threads([predict, predict, update])
    assert len(seen) == 20 and set(seen) <= set(whole)
    assert net(x).mean.tobytes() == whole[-1]


@needs_cuda
def test_models_are_made_and_dropped_in_threads() -> None:
    """Memory that one thread has given back serves another."""
    x, y = regression_data(16)
    expected = small()
    expected.update(x, y, 0.25)

    def work() -> None:
        for _ in range(5):
            net = small().to("cuda")
            net.update(x, y, 0.25)
            assert state_error(net.state_dict(), expected.state_dict()) <= TOLERANCE

    in_threads([work] * 3)


@needs_cuda
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.full((6, 3), np.nan)}, "^x: got .*finite"),
        ({"x": np.zeros((6, 4))}, "^x: got 4 features, needed 3"),
        ({"x": np.full((6, 3), 1e30)}, "^x: the prediction.* overflow"),
        ({"x_var": -np.ones((6, 3))}, "^x_var: got -1"),
        ({"y": np.full((6, 2), np.inf)}, "^y: got inf"),
        ({"y": np.zeros((6, 3))}, "^y: got 3 columns"),
        ({"y": np.full((6, 2), 3e38), "noise": 1e-8}, "^y: the innovations overflow"),
        ({"noise": 0.0}, "^noise: got 0"),
    ],
)
def test_errors_leave_the_network(change: dict[str, Any], message: str) -> None:
    x, y = regression_data(6)
    arguments = {"x": x, "y": y, "noise": 0.25, **change}
    net = small("cuda")
    with unchanged(net), pytest.raises(ValueError, match=message):
        net.update(**arguments)
    if "x_var" not in change:
        with unchanged(net), pytest.raises(ValueError, match=r"^(x|y|noise): "):
            net.fit(**arguments, n_epochs=2, batch_size=2, progress=False)


@needs_cuda
def test_errors_of_user_activations_leave_the_network() -> None:
    layers = nn.Linear(3, 4), nn.Activation(np.log, np.reciprocal), nn.Linear(4, 2)
    net = nn.Sequential(*layers, seed=0, device="cuda")
    x, y = regression_data(10)
    with (
        unchanged(net),
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match=r"^value: the function log of nn\.Activation returned"),
    ):
        net.update(x, y, 0.25)


@needs_cuda
def test_overflow_midway_undoes_the_fit() -> None:
    x, y = regression_data(40)
    x[-1] = 3e38
    net = small("cuda")
    with unchanged(net), pytest.raises(ValueError, match="overflow"):
        net.fit(x, y, noise=0.25, n_epochs=2, batch_size=8, shuffle=False, progress=False)
    data = x[:, :2]
    model = small_diffusion("cuda", standardize=False)
    with unchanged(model.net), pytest.raises(ValueError, match="overflow"):
        model.fit(data, n_epochs=2, batch_size=8, progress=False)


@needs_cuda
def test_callbacks() -> None:
    x, y = regression_data(40)
    net, expected = small("cuda"), small("cuda")
    records: list[tx.EpochRecord] = []

    def stop(record: tx.EpochRecord) -> bool:
        records.append(record)
        return record.epoch == 1

    history = net.fit(x, y, noise=0.25, n_epochs=5, batch_size=16, progress=False, callback=stop)
    assert history.stopped and len(records) == 2 and net.epochs_trained == 2
    expected.fit(x, y, noise=0.25, n_epochs=2, batch_size=16, progress=False)
    assert same_bits(net.state_dict(), expected.state_dict())

    def fail(record: tx.EpochRecord) -> bool:
        raise LookupError("of a callback")

    with unchanged(net), pytest.raises(LookupError, match="of a callback"):
        net.fit(x, y, noise=0.25, n_epochs=5, progress=False, callback=fail)

    def interrupt(record: tx.EpochRecord) -> bool:
        raise KeyboardInterrupt

    before = net.state_dict()
    with pytest.raises(KeyboardInterrupt):
        net.fit(x, y, noise=0.25, n_epochs=5, progress=False, callback=interrupt)
    assert net.epochs_trained == 3 and not same_bits(net.state_dict(), before)


@needs_cuda
@pytest.mark.parametrize("progress", [False, True])
def test_progress_within_an_epoch(progress: bool, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = regression_data(40)
    calls: list[int] = []

    class Stop(tx.Callback):
        def on_rows(self, epoch: int, rows_done: int, n_rows: int) -> bool:
            calls.append(rows_done)
            return len(calls) == 3

    net = slow("cuda")
    history = net.fit(
        x, y, noise=0.25, n_epochs=5, batch_size=2, progress=progress, callback=Stop()
    )
    assert calls == sorted(calls) and all(0 < rows < 40 for rows in calls) and len(calls) == 3
    assert history.stopped and history.n_rows == [calls[-1]] and net.epochs_trained == 0
    assert ("row" in capsys.readouterr().err) is progress


@needs_cuda
@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="needs signals")
def test_keyboard_interrupt_ends_the_epoch() -> None:
    net = small("cuda")
    x, y = regression_data(200_000)
    before = net.state_dict()
    timer = threading.Timer(0.5, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        net.fit(x, y, noise=0.25, n_epochs=1000, batch_size=10, progress=False)
    timer.join()
    after = net.state_dict()
    assert all(np.isfinite(value).all() for value in after.values())
    assert not same_bits(after, before)
    net.update(x[:10], y[:10], 0.25)


@needs_cuda
def test_interrupted_sampling_leaves_the_model() -> None:
    model = small_diffusion("cuda", n_steps=1000)
    timer = threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(1000):
            model.sample(100)
    timer.join()
    assert model.sample(3, seed=1).x.tobytes() == model.sample(3, seed=1).x.tobytes()
