"""A job that kills its process, in a module that a new process imports quickly."""

from __future__ import annotations

import os
from pathlib import Path

from tagix.bench.jobs import Job
from tagix.bench.store import Store


def run_or_die(job: Job, folder: Path) -> str | None:
    """As tagix.bench.runner runs a job, but for one of data "deadly"."""
    if job.data == "deadly":
        os._exit(1)
    Store(folder).save(job, {"checkpoints": []}, {})
    return None
