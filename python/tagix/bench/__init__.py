"""The tables of the toy-data benchmark, tagix beside a PyTorch peer: ``tagix bench toy``.

A table is a grid of jobs (tagix.bench.jobs), each one training with measurements of it. Jobs run
in parallel processes and are kept as files, so that an interrupted table goes on where it ended
(tagix.bench.runner, tagix.bench.store); tagix.bench.tables has the grids and what is made of them.

tagix.bench.uci and tagix.bench.sklearn_sets run and keep their jobs in the same way, ``tagix bench
uci`` and ``tagix bench tables``.

Needs the extras "lab" and "torch".
"""

from tagix.bench.report_files import TableRun
from tagix.bench.suite import TABLES, run_toy

__all__ = ["TABLES", "TableRun", "run_toy"]
