"""The network of PyTorch that opponents train: linear layers with ReLU between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch


def torch_network(sizes: Sequence[int], seed: int = 0, device: str = "cpu") -> torch.nn.Sequential:
    """Layers of these widths, input and output included, float32, as PyTorch initializes them."""
    torch.manual_seed(seed)
    layers: list[torch.nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1]).to(device)
