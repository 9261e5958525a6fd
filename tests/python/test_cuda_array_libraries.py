"""Arrays of other libraries, CuPy and PyTorch, that go in and come out."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest
from dlpack import OnlyDLPack, X, Y, network
from helpers import needs_cuda, same_bits

import tagix as tx

pytestmark = needs_cuda


def test_arrays_of_a_library_come_out_as_they_went_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for CuPy, and a class that somebody has derived from its array."""

    class ndarray(OnlyDLPack):
        __module__ = "cupy._core.core"

    class Mine(ndarray):
        __module__ = "tests"

    library: Any = types.ModuleType("cupy")
    library.from_dlpack = ndarray
    monkeypatch.setitem(sys.modules, "cupy", library)
    net, expected = network(), network()
    for kind in (ndarray, Mine):
        mean, var = net(kind(tx.cuda.Array(X)))
        assert type(mean) is type(var) is ndarray
        np.testing.assert_array_equal(mean._array.numpy(), expected(X).mean)
        before = net.update(kind(tx.cuda.Array(X)), Y, 0.25)
        assert type(before.mean) is ndarray
        expected.update(X, Y, 0.25)
    mean = net(ndarray(tx.cuda.Array(X)), ndarray(tx.cuda.Array(X * X))).mean
    np.testing.assert_array_equal(mean._array.numpy(), expected(X, X * X).mean)  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, "cupy")
    assert isinstance(net(ndarray(tx.cuda.Array(X))).mean, tx.cuda.Array)


def test_torch_tensors_on_the_cpu_come_out_as_numpy_arrays() -> None:
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    net, expected = network(), network()
    assert net(torch.as_tensor(X)).mean.tobytes() == expected(X).mean.tobytes()
    net.update(torch.as_tensor(X), torch.as_tensor(Y), 0.25)
    expected.update(X, Y, 0.25)
    assert same_bits(net.state_dict(), expected.state_dict())
    net.update(tx.cuda.Array(X), torch.as_tensor(Y), torch.as_tensor(Y * Y + 1))
    expected.update(X, Y, Y * Y + 1)
    assert same_bits(net.state_dict(), expected.state_dict())


def test_torch_tensors_on_the_gpu_come_out_as_such() -> None:
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch has no GPU")
    net, expected = network(), network()
    x, y = torch.as_tensor(X, device="cuda"), torch.as_tensor(Y, device="cuda")
    for stream in (torch.cuda.current_stream(), torch.cuda.Stream()):
        with torch.cuda.stream(stream):
            for _ in range(20):  # memory is used again while the stream is at work
                doubled = 2 * (x + torch.zeros((6, 3), device="cuda"))
                mean: Any
                mean, var = net(doubled / 2)
                assert mean.is_cuda and mean.dtype == torch.float32 and mean.shape == (6, 2)
                total = mean + torch.sqrt(var)
                del mean, var
            reference = expected(X)
            np.testing.assert_array_equal(
                total.cpu().numpy(), reference.mean + np.sqrt(reference.var)
            )
            before = net.update(x, y, 0.25)
            assert torch.equal(before.std, torch.sqrt(before.var))
            expected.update(X, Y, 0.25)
            assert same_bits(net.state_dict(), expected.state_dict())
    with pytest.raises(TypeError, match=r"x: got an array of float64 on the GPU"):
        net(x.double())
    with pytest.raises(ValueError, match="C-contiguous"):
        net(torch.cat([x, x], dim=1)[:, :3])
    with pytest.raises(TypeError, match="without gradients"):
        net(x.requires_grad_())
