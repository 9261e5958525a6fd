"""Results of jobs as files, one pair per job; a job with existing files is not run again."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tagix.bench.jobs import BenchmarkJob

Array = npt.NDArray[np.floating[Any]]


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all: under another name first, then renamed.

    Raises whatever ``write`` raises, and OSError; an older file is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class Store:
    """Files of finished jobs in a folder: <key>.json with numbers, <key>.npz with arrays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(
        self, job: BenchmarkJob, result: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> None:
        """Write the results of a job. Numbers come last: if they exist, the arrays do, too."""
        named: dict[str, Any] = dict(arrays)
        write_atomically(
            self.folder / f"{job.key()}.npz", lambda file: np.savez_compressed(file, **named)
        )
        text = json.dumps({"job": job.description(), **result}, indent=1) + "\n"
        write_atomically(self.folder / f"{job.key()}.json", lambda file: file.write(text.encode()))

    def load(self, job: BenchmarkJob) -> dict[str, Any] | None:
        """The numbers of a finished job, or None if there are none that can be read."""
        try:
            text = (self.folder / f"{job.key()}.json").read_text(encoding="utf-8")
            result: dict[str, Any] = json.loads(text)
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return result if result.get("job") == job.description() else None

    def arrays(self, job: BenchmarkJob) -> dict[str, Array]:
        """The arrays of a finished job, by the names that its run gave them."""
        with np.load(self.folder / f"{job.key()}.npz") as archive:
            return {name: archive[name] for name in archive.files}
