"""The UCI regression benchmark: one configuration for all sets, published splits and figures.

A job is one split (tagix.bench.uci.job); tagix.bench runs and keeps jobs.

Needs the extras "sklearn" and "lab", and "torch" for the PyTorch peer.
"""

from tagix.bench.uci.suite import run_uci

__all__ = ["run_uci"]
