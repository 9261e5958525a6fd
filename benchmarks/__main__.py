"""Benchmarks of tagix, in one process with their opponents.

``python -m benchmarks cpu``: speed of a training step and of a prediction.
``python -m benchmarks gpu``: the same on a GPU, a whole training, and sampling.
``python -m benchmarks quality``: a diffusion model beside one trained by back-propagation.
``python -m benchmarks uncertainty``: how far variances can be trusted; the table of
docs/uncertainty.md.
``python -m benchmarks classes``: networks of classes beside softmax and Adam; the tables of
docs/classification.md.
``python -m benchmarks streams``: rows learned one at a time, as dicts, and streams that change,
beside River's models.
``python -m benchmarks everyday``: the regressor on random tables of counters, flags, sentinels...
``python -m benchmarks merging``: networks merged from shards; the tables of docs/merging.md.
``python -m benchmarks novelty``: what is not known between and beyond the rows of a fit, beside
Hamiltonian Monte Carlo and Gaussian processes.
``python -m benchmarks topologies``: residual and two-input networks beside a plain one, on UCI
sets; the table of docs/how-to/networks.md.

What counts is the ratio of the times, by rounds that alternate between the contenders; the seconds
of a shared machine mean little.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import (
    classes,
    everyday,
    gpu,
    gpu_opponents,
    merging,
    novelty,
    quality,
    speed,
    streams,
    topologies,
    uncertainty,
)
from benchmarks.opponents import OPPONENTS, installed_opponents
from benchmarks.workloads import WORKLOADS, at_batch_size
from tagix import _core


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    cpu = commands.add_parser("cpu", help="speed beside PyTorch and cuTAGI")
    cpu.add_argument("--quick", action="store_true", help="3 short rounds, PyTorch eager alone")
    cpu.add_argument("--workloads", default=",".join(WORKLOADS), help="such as W1,W3")
    cpu.add_argument("--batch-sizes", help="such as 8,128: W1 at these, in place of the workloads")
    cpu.add_argument("--opponents", help=f"some of {','.join(OPPONENTS)}; default: all that import")
    cpu.add_argument("--precisions", help="of tagix; default: all that this processor has")
    cpu.add_argument("--relu", default="exact", choices=["exact", "first_order"], help="moments")
    cpu.add_argument("--json", type=Path, help="also write the results to this file")
    cpu.add_argument("--chart", type=Path, help="also draw the ratios to this image file")
    card = commands.add_parser("gpu", help="speed on a GPU beside PyTorch")
    card.add_argument("--quick", action="store_true", help="3 short rounds, fewer opponents")
    card.add_argument("--workloads", default=",".join(WORKLOADS), help="such as W1,W3")
    card.add_argument(
        "--opponents",
        help=f"some of {','.join(gpu_opponents.OPPONENTS)}; default: all but max_autotune",
    )
    card.add_argument("--precisions", default="float32", help="of tagix, such as float32,mixed")
    card.add_argument(
        "--device",
        default="cuda",
        choices=["cuda", "cpu"],
        help="cpu shows that all this runs: times by the clock, and no graphs",
    )
    card.add_argument(
        "--seconds-budget",
        type=float,
        default=300,
        help="once a workload's share of it is spent, no more opponents are set up",
    )
    card.add_argument("--json", type=Path, help="also write the results to this file")
    card.add_argument("--chart", type=Path, help="also draw times and ratios to this image file")
    toy = commands.add_parser("quality", help="the swiss roll beside back-propagation")
    toy.add_argument("--seeds", type=int, default=3)
    toy.add_argument("--epochs", type=int, default=10)
    trust = commands.add_parser("uncertainty", help="the targets of docs/uncertainty.md")
    trust.add_argument("--quick", action="store_true", help="small sizes, 1 seed, no file")
    trust.add_argument("--seeds", type=int, help="default: 3, or 1 with --quick")
    trust.add_argument(
        "--output", type=Path, help="write the table there; default: docs/uncertainty.md"
    )
    of_classes = commands.add_parser("classes", help="networks of classes beside softmax")
    of_classes.add_argument("--quick", action="store_true", help="small sizes, 1 seed")
    of_classes.add_argument("--seeds", type=int, help="default: 5, or 1 with --quick")
    of_classes.add_argument("--json", type=Path, help="also write the results to this file")
    rows = commands.add_parser("streams", help="rows one at a time, beside River and others")
    rows.add_argument("--quick", action="store_true", help="few rows, 3 short rounds")
    tables = commands.add_parser("everyday", help="random tables of everyday columns")
    tables.add_argument("--tables", type=int, default=200)
    shards = commands.add_parser("merging", help="the tables of docs/merging.md")
    shards.add_argument("--quick", action="store_true", help="small sizes, 1 seed, no file")
    shards.add_argument("--seeds", type=int, help="default: 3, or 1 with --quick")
    shards.add_argument(
        "--output", type=Path, help="put the tables there; default: docs/merging.md"
    )
    between = commands.add_parser("novelty", help="between and beyond the data, beside HMC")
    between.add_argument("--quick", action="store_true", help="one table, short chains")
    between.add_argument("--uci", type=Path, help="the folder of UCI sets, to leave out parts of")
    shapes = commands.add_parser("topologies", help="residual and two-input networks, on UCI sets")
    shapes.add_argument("--quick", action="store_true", help="a made-up set, 1 split, 5 epochs")
    shapes.add_argument("--data", type=Path, help="the folder of UCI sets; needed without --quick")
    shapes.add_argument("--splits", type=int, help="the first of each set; default: all")
    shapes.add_argument("--epochs", type=int, help="at most; default: 160, or 5 with --quick")
    shapes.add_argument(
        "--fixed",
        action="store_true",
        help="take all epochs, in place of the best number by cross-validation of train rows",
    )
    shapes.add_argument(
        "--bias-gain",
        type=float,
        default=topologies.BIAS_GAIN,
        help="factor on the prior of the first layers' biases; default: %(default)s",
    )
    for command in (cpu, toy, trust, of_classes, rows, tables, shards, between, shapes):
        command.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    for name in ("threads", "seeds", "epochs", "tables", "splits"):
        value = getattr(arguments, name, None)
        if value is not None and value < 1:
            parser.error(f"--{name}: got {value}, needed at least 1")
    if arguments.command == "quality":
        quality.run(arguments.threads, arguments.seeds, arguments.epochs)
        return
    if arguments.command == "streams":
        streams.run(arguments.threads, arguments.quick)
        return
    if arguments.command == "novelty":
        novelty.run(arguments.threads, arguments.quick, arguments.uci)
        return
    if arguments.command == "topologies":
        if not arguments.quick and arguments.data is None:
            parser.error("--data: got none, needed the folder of UCI sets, or --quick")
        topologies.run(
            arguments.threads,
            arguments.quick,
            arguments.data,
            arguments.splits,
            arguments.epochs,
            arguments.fixed,
            arguments.bias_gain,
        )
        return
    if arguments.command == "everyday":
        _core.set_num_threads(arguments.threads)
        sys.exit(0 if everyday.run(arguments.tables) else 1)
    if arguments.command in ("uncertainty", "merging"):
        output = arguments.output
        if output is None and not arguments.quick:
            document = f"{arguments.command}.md"
            output = Path(__file__).resolve().parents[1] / "docs" / document
        n_seeds = arguments.seeds or (1 if arguments.quick else 3)
        run = uncertainty.run if arguments.command == "uncertainty" else merging.run
        run(arguments.threads, n_seeds, arguments.quick, output)
        return

    if arguments.command == "classes":
        n_seeds = arguments.seeds or (1 if arguments.quick else 5)
        classes.run(arguments.threads, n_seeds, arguments.quick, arguments.json)
        return

    def chosen(option: str, text: str, known: list[str]) -> list[str]:
        names = text.split(",")
        if unknown := sorted(set(names) - set(known)):
            parser.error(f"{option}: got {','.join(unknown)}, needed some of {','.join(known)}")
        return names

    names = chosen("--workloads", arguments.workloads, list(WORKLOADS))
    workloads = [WORKLOADS[name] for name in names]
    if arguments.command == "gpu":
        if (reason := gpu.why_not(arguments.device)) is not None:
            print(f"python -m benchmarks gpu: no CUDA device to measure: {reason}", file=sys.stderr)
            sys.exit(2)
        opponents = gpu_opponents.default_opponents(arguments.device, arguments.quick)
        if arguments.opponents is not None:
            opponents = chosen("--opponents", arguments.opponents, list(gpu_opponents.OPPONENTS))
        measured = gpu.run(
            workloads,
            opponents,
            chosen("--precisions", arguments.precisions, ["float32", "mixed", "bfloat16"]),
            arguments.device,
            arguments.quick,
            arguments.seconds_budget,
        )
        if arguments.json:
            gpu.write_json(arguments.json, measured)
        if arguments.chart:
            gpu.draw_chart(arguments.chart, measured)
        if failures := gpu.failures_of_tagix(measured):
            sys.exit("python -m benchmarks gpu: tagix does not run\n" + "\n".join(failures))
        return
    if arguments.opponents is not None:
        opponents = chosen("--opponents", arguments.opponents, list(OPPONENTS))
    else:
        opponents = ["eager"] if arguments.quick else installed_opponents()
    if arguments.batch_sizes is not None:
        try:
            sizes = [int(size) for size in arguments.batch_sizes.split(",")]
        except ValueError:
            sizes = [0]
        if min(sizes) < 1:
            parser.error(f"--batch-sizes: got {arguments.batch_sizes}, needed integers above 0")
        workloads = [at_batch_size(WORKLOADS["W1"], size) for size in sizes]
    known = [name for name in ("float32", "mixed", "bfloat16") if _core.has_precision(name)]
    if arguments.precisions is not None:
        precisions = chosen("--precisions", arguments.precisions, known)
    else:
        precisions = known
    results = speed.run(
        workloads, opponents, precisions, arguments.relu, arguments.threads, arguments.quick
    )
    if arguments.json:
        speed.write_json(arguments.json, results, arguments.relu, arguments.threads)
    if arguments.chart:
        speed.draw_chart(arguments.chart, results)


if __name__ == "__main__":
    main()
