"""Layers and the networks that they make up.

A layer describes its shapes and priors; a :class:`Sequential` or a :class:`Network` owns the
parameters. Names follow torch.nn.
"""

from __future__ import annotations

from tagix._core import (
    GELU,
    Activation,
    AdaptiveAvgPool2d,
    AvgPool2d,
    ClassEmbedding,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Exp,
    Flatten,
    Gated,
    GroupNorm,
    Hardtanh,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    RMSNorm,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
    Upsample,
    ZeroPad2d,
)
from tagix._network_state import Likelihood as Likelihood
from tagix._network_state import NoiseModel as NoiseModel
from tagix.nn._base import Noise as Noise
from tagix.nn._summary import Flops, LayerSummary
from tagix.nn._traced import Traced
from tagix.nn._tracing import Value, concat
from tagix.nn.module import Module
from tagix.nn.network import Network
from tagix.nn.sequential import Sequential

__all__ = [
    "GELU",
    "Activation",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "ClassEmbedding",
    "Concat",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Exp",
    "Flatten",
    "Flops",
    "Gated",
    "GroupNorm",
    "Hardtanh",
    "Identity",
    "Layer",
    "LayerNorm",
    "LayerSummary",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "Module",
    "Network",
    "RMSNorm",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "Traced",
    "Upsample",
    "Value",
    "ZeroPad2d",
    "concat",
]
