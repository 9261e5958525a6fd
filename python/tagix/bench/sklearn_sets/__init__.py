"""Ten sets of scikit-learn, five folds each: tagix with its defaults beside other models.

A job is one fold of a set (tagix.bench.sklearn_sets.job); tagix.bench.tabular has the models and
scores, tagix.bench runs and keeps jobs.

Needs the extras "sklearn" and "lab"; of the peers some "peers".
"""

from tagix.bench.sklearn_sets.sets import SETS
from tagix.bench.sklearn_sets.suite import PEERS, run_tables

__all__ = ["PEERS", "SETS", "run_tables"]
