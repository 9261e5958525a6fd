"""Device cuda where there may be none: what is said of it, and what is refused."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from device_models import small, small_diffusion
from helpers import REQUIRED_CUDA, regression_data, same_bits, unchanged

import tagix as tx
from tagix import _core, nn


class Elsewhere:
    """Says that it lies on a GPU; nobody is to ask for more."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, **options: Any) -> Any:
        raise AssertionError("asked for its memory")


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
