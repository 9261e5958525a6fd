"""Bayesian neural networks by tractable approximate Gaussian inference (TAGI).

Every weight and hidden unit is a Gaussian. A forward pass propagates means and variances in closed
form, and an observation updates all of them in closed form. There are no gradients, no sampling and
no learning rate, and every prediction comes with its variance.

    >>> import tagix as tx
    >>> from tagix import nn
    >>> net = nn.Sequential(nn.Linear(1, 50), nn.ReLU(), nn.Linear(50, 1), seed=0)
    >>> history = net.fit(x, y, noise=tx.Homoscedastic(std=0.1), n_epochs=20)
    >>> mean, var = net(x)

The library prints nothing. It logs to the logger "tagix" of the standard module: the end of a fit
and drift at INFO, epochs and the instruction set in use at DEBUG.
"""

import logging

from tagix import cuda, nn, samplers, schedules
from tagix._core import (
    Capped,
    Forgetting,
    Heteroscedastic,
    HierarchicalSoftmax,
    Homoscedastic,
    Information,
    OneVsRest,
    Remax,
    Softmax,
    UpdateRule,
    __version__,
    get_num_threads,
    set_num_threads,
)
from tagix._seeds import manual_seed
from tagix._training import Callback, EpochRecord, History
from tagix.diffusion import DiffusionModel
from tagix.gaussian import Gaussian, Prediction
from tagix.io import load
from tagix.merging import forget, merge
from tagix.samples import Samples

__all__ = [
    "Callback",
    "Capped",
    "DiffusionModel",
    "EpochRecord",
    "Forgetting",
    "Gaussian",
    "Heteroscedastic",
    "HierarchicalSoftmax",
    "History",
    "Homoscedastic",
    "Information",
    "OneVsRest",
    "Prediction",
    "Remax",
    "Samples",
    "Softmax",
    "UpdateRule",
    "__version__",
    "cuda",
    "forget",
    "get_num_threads",
    "load",
    "manual_seed",
    "merge",
    "nn",
    "samplers",
    "schedules",
    "set_num_threads",
]

logging.getLogger("tagix").addHandler(logging.NullHandler())
