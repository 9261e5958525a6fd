"""Which precisions each device has, and what a network does where its own is lacking."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import device_models
import numpy as np
import pytest
from device_models import small, small_diffusion
from helpers import needs_cuda, relative_error

import tagix as tx
from tagix import _core, nn


def test_precisions_of_devices() -> None:
    assert _core.has_precision("float32", "cuda") and _core.has_precision("float32", "cpu")
    assert _core.has_precision("mixed") is _core.has_precision("mixed", "cpu")
    with pytest.raises(ValueError, match="device: got 'gpu', needed 'cpu' or 'cuda'"):
        _core.has_precision("float32", "gpu")


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
    assert caught[0].filename == device_models.__file__  # where small calls it
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
