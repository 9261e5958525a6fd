"""Kills processes while they save, and loads what they leave: the last good file, whole.

    python tools/kill_save.py --kills 200

A process saves two networks to one path in turn, without end, until SIGKILL ends it at a random
moment. The file must then load, and be one of the two networks bit by bit. What a killed process
leaves beside it must be no more than one temporary file, which the next save removes once it is an
hour old. The exit status is 1 if anything of this is not so. POSIX only.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import tagix as tx
from tagix import nn


def network(seed: int, width: int) -> nn.Sequential:
    """One of the two networks: other parameters, and another count."""
    net = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 8), seed=seed)
    net._model.epochs_trained = seed
    return net


def same(a: nn.Sequential, b: nn.Sequential) -> bool:
    """Whether they are the same bit by bit."""
    states = a.state_dict(), b.state_dict()
    return (
        repr(a) == repr(b)
        and a.epochs_trained == b.epochs_trained
        and all(states[0][name].tobytes() == states[1][name].tobytes() for name in states[1])
    )


def kill_while_saving(nets: list[nn.Sequential], path: Path, seconds: float) -> None:
    """Fork a process that saves the networks in turn, and kill it after some time."""
    process = os.fork()
    if process == 0:
        try:
            while True:
                for net in nets:
                    net.save(path)
        finally:
            os._exit(3)  # an exception; the parent sees that no signal ended it
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError("a save raised an exception")


def run(kills: int, folder: Path, *, width: int = 2000, seed: int = 0) -> Counter[str]:
    """Kill so many processes; counts of what was found. Raises RuntimeError for a lost file."""
    path, rng = folder / "net.safetensors", random.Random(seed)
    nets = [network(which, width) for which in (1, 2)]
    nets[0].save(path)
    begun = time.perf_counter()
    nets[0].save(path)
    save_seconds = time.perf_counter() - begun
    counts: Counter[str] = Counter()
    for kill in range(kills):
        before = set(folder.iterdir())
        kill_while_saving(nets, path, rng.uniform(0, 6 * save_seconds))
        left = set(folder.iterdir()) - before
        if len(left) > 1 or any(not file.name.endswith(".tmp") for file in left):
            raise RuntimeError(f"kill {kill}: got {sorted(left)}, needed at most a temporary file")
        loaded = tx.load(path)
        found = [which for which in (0, 1) if same(loaded, nets[which])]
        if not found:
            raise RuntimeError(f"kill {kill}: {path} is neither of the two networks")
        counts[f"left network {found[0] + 1}"] += 1
        counts["left a temporary file"] += len(left)
    leftovers = [file for file in folder.iterdir() if file != path]
    for file in leftovers:
        os.utime(file, (time.time() - 7200,) * 2)
    nets[0].save(path)
    if list(folder.iterdir()) != [path] or not same(tx.load(path), nets[0]):
        raise RuntimeError("a save did not remove old temporary files")
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description="Kills processes while they save.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=2000, help="of the networks' hidden layer")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            counts = run(args.kills, Path(folder), width=args.width, seed=args.seed)
        except (RuntimeError, ValueError, OSError) as error:
            print(f"failure: {error}")
            return 1
    print(f"{args.kills} kills, the file loaded after each:", dict(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
