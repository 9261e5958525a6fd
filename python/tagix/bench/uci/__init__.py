"""The UCI regression benchmark: one configuration for all sets, published splits and figures.

A job is one split of a set (tagix.bench.uci.job); tagix.bench.tabular has the models and scores,
tagix.bench runs and keeps jobs.

Needs the extras "sklearn" and "lab"; peers "torch", or "peers".
"""

from tagix.bench.uci.suite import PEERS, run_uci

__all__ = ["PEERS", "run_uci"]
