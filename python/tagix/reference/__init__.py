"""The PyTorch reference: TAGI in float64, written for clarity, and the backprop diffusion peer.

It shares no code with the compiled core, so that each can be held to the other. Names equal those
of `tagix.nn`: a test can build the same network from either module. Needs the extra `torch`.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        "tagix.reference needs PyTorch, which is not installed: pip install 'tagix[torch]'"
    ) from error

from .activations import (
    GELU,
    Activation,
    Exp,
    Hardtanh,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from .diffusion import BackpropDiffusion
from .network import Gaussian, Innovations, Linear, Sequential
from .rules import Capped, Information
from .schedule import schedule, time_features

__all__ = [
    "GELU",
    "Activation",
    "BackpropDiffusion",
    "Capped",
    "Exp",
    "Gaussian",
    "Hardtanh",
    "Identity",
    "Information",
    "Innovations",
    "LeakyReLU",
    "Linear",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "schedule",
    "time_features",
]
