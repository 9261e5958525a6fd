"""Device "cuda": whether it can be used here, and arrays in its memory.

Networks and diffusion models take ``device="cuda"``, and their ``to`` moves them.
"""

from __future__ import annotations

from tagix import _core
from tagix._core import CudaArray as Array

__all__ = ["Array", "architectures", "device_name", "is_available", "is_built", "why_not"]


def is_built() -> bool:
    """Whether this build of tagix has CUDA kernels, even if they cannot run here."""
    return _core.cuda_is_built()


def architectures() -> list[str]:
    """The GPU architectures that the kernels of this build were compiled for; empty without
    kernels.

    ``"sm_80"`` is machine code for compute capability 8.0; later GPUs of the same generation run
    it, too. ``"compute_80"`` is PTX: the driver compiles it for any later GPU when it first runs
    there, which takes some seconds, and keeps the result.
    """
    return _core.cuda_architectures()


def is_available() -> bool:
    """Whether device "cuda" can be used here and now."""
    return why_not() is None


def why_not() -> str | None:
    """Why device "cuda" cannot be used, in words; None if it can be used.

    The reason may be the build, the driver, or the GPU.
    """
    return _core.cuda_why_not()


def device_name() -> str:
    """The name of the GPU, as its driver gives it.

    Raises:
        RuntimeError: where device "cuda" cannot be used, with the reason.
    """
    reason = why_not()
    if reason is not None:
        raise RuntimeError(f"device 'cuda' cannot be used: {reason}")
    return _core.cuda_device_name()
