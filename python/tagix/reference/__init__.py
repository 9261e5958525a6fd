"""The PyTorch reference: TAGI in float64, written for clarity, and the backprop diffusion peer.

It shares no code with the compiled core, so each can be tested against the other. Names are those
of `tagix.nn`, so a test can build the same network from either module. Needs the extra `torch`.
"""

from __future__ import annotations

from tagix._optional import import_optional

import_optional("torch", extra="torch")  # before the modules below, which need it

from .activations import (  # noqa: E402
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
from .chains import (  # noqa: E402
    correlated_covariance,
    fixed_covariance,
    prediction_covariance,
    published_var,
    redrawn_covariance,
)
from .diffusion import BackpropDiffusion  # noqa: E402
from .hamiltonian import HamiltonianDraws, hamiltonian  # noqa: E402
from .network import Gaussian, Innovations, Linear, Prediction, Sequential  # noqa: E402
from .noise import Heteroscedastic, Homoscedastic  # noqa: E402
from .rules import Capped, Information  # noqa: E402
from .schedule import schedule, time_features  # noqa: E402

__all__ = [
    "GELU",
    "Activation",
    "BackpropDiffusion",
    "Capped",
    "Exp",
    "Gaussian",
    "HamiltonianDraws",
    "Hardtanh",
    "Heteroscedastic",
    "Homoscedastic",
    "Identity",
    "Information",
    "Innovations",
    "LeakyReLU",
    "Linear",
    "Prediction",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "correlated_covariance",
    "fixed_covariance",
    "hamiltonian",
    "prediction_covariance",
    "published_var",
    "redrawn_covariance",
    "schedule",
    "time_features",
]
