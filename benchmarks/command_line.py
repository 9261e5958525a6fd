"""The commands of ``python -m benchmarks``: the options of each, and what it calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from benchmarks import (
    classes,
    convolutions,
    everyday,
    figures,
    gpu,
    gpu_chart,
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
from benchmarks.workloads import WORKLOADS, Workload, at_batch_size
from tagix import _core
from tagix.bench.choices import chosen, default_n_seeds
from tagix.bench.store import write_json
from tagix.bench.threads import set_threads

DOCS = Path(__file__).resolve().parents[1] / "docs"
PRECISIONS = ("float32", "mixed", "bfloat16")

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def make_parser(description: str) -> argparse.ArgumentParser:
    """The parser of all commands; what it returns has ``run``, to be called with itself."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (
        _add_cpu,
        _add_convolutions,
        _add_gpu,
        _add_quality,
        _add_uncertainty,
        _add_classes,
        _add_streams,
        _add_everyday,
        _add_merging,
        _add_novelty,
        _add_topologies,
    ):
        add(commands)
    return parser


def _add_cpu(commands: Commands) -> None:
    parser = commands.add_parser("cpu", help="speed beside PyTorch and cuTAGI")
    parser.add_argument("--quick", action="store_true", help="3 short rounds, PyTorch eager alone")
    _add_workloads(parser)
    parser.add_argument(
        "--batch-sizes", help="such as 8,128: W1 at these, in place of the workloads"
    )
    parser.add_argument(
        "--opponents", help=f"some of {','.join(OPPONENTS)}; default: all that import"
    )
    parser.add_argument("--precisions", help="of tagix; default: all that this processor has")
    parser.add_argument("--relu", default="exact", choices=["exact", "first_order"], help="moments")
    parser.add_argument(
        "--record",
        action="store_true",
        help="put the ratios to PyTorch eager into benchmarks/figures.json, for later runs",
    )
    _add_files(parser, "draw the ratios")
    _add_threads(parser)

    def run(arguments: argparse.Namespace) -> None:
        workloads = _workloads(parser, arguments)
        if arguments.record and (arguments.quick or arguments.batch_sizes is not None):
            parser.error("--record: got --quick or --batch-sizes, needed a whole run of workloads")
        if arguments.batch_sizes is not None:
            sizes = _sizes(parser, arguments.batch_sizes)
            workloads = [at_batch_size(WORKLOADS["W1"], size) for size in sizes]
        default = ["eager"] if arguments.quick else installed_opponents()
        opponents = _names(parser, "--opponents", arguments.opponents, list(OPPONENTS), default)
        known = [name for name in PRECISIONS if _core.has_precision(name)]
        precisions = _names(parser, "--precisions", arguments.precisions, known, known)
        results = speed.run(
            workloads, opponents, precisions, arguments.relu, arguments.threads, arguments.quick
        )
        if arguments.record:
            figures.record(speed.to_commit(results), arguments.relu, arguments.threads)
        if arguments.json:
            write_json(arguments.json, speed.document(results, arguments.relu, arguments.threads))
        if arguments.chart:
            speed.draw_chart(arguments.chart, results)

    parser.set_defaults(run=run)


def _add_gpu(commands: Commands) -> None:
    parser = commands.add_parser("gpu", help="speed on a GPU beside PyTorch")
    parser.add_argument("--quick", action="store_true", help="3 short rounds, fewer opponents")
    _add_workloads(parser)
    parser.add_argument(
        "--opponents",
        help=f"some of {','.join(gpu_opponents.OPPONENTS)}; default: all but max_autotune",
    )
    parser.add_argument("--precisions", default="float32", help="of tagix, such as float32,mixed")
    parser.add_argument(
        "--device",
        default="cuda",
        choices=["cuda", "cpu"],
        help="cpu shows that all this runs: times by the clock, and no graphs",
    )
    parser.add_argument(
        "--seconds-budget",
        type=float,
        default=300,
        help="once a workload's share of it is spent, no more opponents are set up",
    )
    _add_files(parser, "draw times and ratios")

    def run(arguments: argparse.Namespace) -> None:
        workloads = _workloads(parser, arguments)
        if (reason := gpu.why_not(arguments.device)) is not None:
            print(f"python -m benchmarks gpu: no CUDA device to measure: {reason}", file=sys.stderr)
            sys.exit(2)
        default = gpu_opponents.default_opponents(arguments.device, arguments.quick)
        known = list(gpu_opponents.OPPONENTS)
        measured = gpu.run(
            workloads,
            _names(parser, "--opponents", arguments.opponents, known, default),
            _names(parser, "--precisions", arguments.precisions, PRECISIONS, []),
            arguments.device,
            arguments.quick,
            arguments.seconds_budget,
        )
        if arguments.json:
            write_json(arguments.json, measured)
        if arguments.chart:
            gpu_chart.draw_chart(arguments.chart, measured)
        if failures := gpu.failures_of_tagix(measured):
            sys.exit("python -m benchmarks gpu: tagix does not run\n" + "\n".join(failures))

    parser.set_defaults(run=run)


def _add_quality(commands: Commands) -> None:
    parser = commands.add_parser("quality", help="the swiss roll beside back-propagation")
    parser.add_argument("--seeds", type=count, default=3)
    parser.add_argument("--epochs", type=count, default=10)
    _add_threads(parser)

    def run(arguments: argparse.Namespace) -> None:
        quality.run(arguments.threads, arguments.seeds, arguments.epochs)

    parser.set_defaults(run=run)


def _add_uncertainty(commands: Commands) -> None:
    parser = commands.add_parser("uncertainty", help="the targets of docs/uncertainty.md")
    _add_document(parser, "uncertainty.md", uncertainty.run)


def _add_merging(commands: Commands) -> None:
    parser = commands.add_parser("merging", help="the tables of docs/merging.md")
    _add_document(parser, "merging.md", merging.run)


def _add_classes(commands: Commands) -> None:
    parser = commands.add_parser("classes", help="networks of classes beside softmax")
    parser.add_argument("--quick", action="store_true", help="small sizes, 1 seed")
    parser.add_argument("--seeds", type=count, help="default: 5, or 1 with --quick")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    _add_threads(parser)

    def run(arguments: argparse.Namespace) -> None:
        n_seeds = arguments.seeds or (1 if arguments.quick else 5)
        classes.run(arguments.threads, n_seeds, arguments.quick, arguments.json)

    parser.set_defaults(run=run)


def _add_convolutions(commands: Commands) -> None:
    parser = commands.add_parser("convolutions", help="speed on images beside PyTorch")
    parser.add_argument("--quick", action="store_true", help="one case, 2 short rounds")
    _add_threads(parser)

    def run(arguments: argparse.Namespace) -> None:
        convolutions.run(arguments.threads, arguments.quick)

    parser.set_defaults(run=run)


def _add_streams(commands: Commands) -> None:
    parser = commands.add_parser("streams", help="rows one at a time, beside River and others")
    parser.add_argument("--quick", action="store_true", help="few rows, 3 short rounds")
    _add_threads(parser)

    def run(arguments: argparse.Namespace) -> None:
        streams.run(arguments.threads, arguments.quick)

    parser.set_defaults(run=run)


def _add_everyday(commands: Commands) -> None:
    parser = commands.add_parser("everyday", help="random tables of everyday columns")
    parser.add_argument("--tables", type=count, default=200)
    _add_threads(parser)

    def run(arguments: argparse.Namespace) -> None:
        set_threads(arguments.threads, torch=False)
        sys.exit(0 if everyday.run(arguments.tables) else 1)

    parser.set_defaults(run=run)


def _add_novelty(commands: Commands) -> None:
    parser = commands.add_parser("novelty", help="between and beyond the data, beside HMC")
    parser.add_argument("--quick", action="store_true", help="one table, short chains")
    parser.add_argument("--uci", type=Path, help="the folder of UCI sets, to leave out parts of")
    _add_threads(parser)

    def run(arguments: argparse.Namespace) -> None:
        novelty.run(arguments.threads, arguments.quick, arguments.uci)

    parser.set_defaults(run=run)


def _add_topologies(commands: Commands) -> None:
    parser = commands.add_parser("topologies", help="residual and two-input networks, on UCI sets")
    parser.add_argument("--quick", action="store_true", help="a made-up set, 1 split, 5 epochs")
    parser.add_argument("--data", type=Path, help="the folder of UCI sets; needed without --quick")
    parser.add_argument("--splits", type=count, help="the first of each set; default: all")
    parser.add_argument("--epochs", type=count, help="at most; default: 160, or 5 with --quick")
    parser.add_argument(
        "--fixed",
        action="store_true",
        help="take all epochs, in place of the best number by cross-validation of train rows",
    )
    parser.add_argument(
        "--bias-gain",
        type=float,
        default=topologies.BIAS_GAIN,
        help="factor on the prior of the first layers' biases; default: %(default)s",
    )
    _add_threads(parser)

    def run(arguments: argparse.Namespace) -> None:
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

    parser.set_defaults(run=run)


# Options that several commands have.


def count(text: str) -> int:
    """The type of an option: an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {number}, needed at least 1")
    return number


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=count, default=1)


def _add_workloads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="such as W1,W3")


def _workloads(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> list[Workload]:
    names = _names(parser, "--workloads", arguments.workloads, list(WORKLOADS), [])
    return [WORKLOADS[name] for name in names]


def _add_files(parser: argparse.ArgumentParser, chart: str) -> None:
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--chart", type=Path, help=f"also {chart} to this image file")


def _add_document(
    parser: argparse.ArgumentParser,
    page: str,
    measure: Callable[[int, int, bool, Path | None], object],
) -> None:
    """The options of a command that writes tables into a page of docs/, and the command itself."""
    parser.add_argument("--quick", action="store_true", help="small sizes, 1 seed, no file")
    parser.add_argument("--seeds", type=count, help="default: 3, or 1 with --quick")
    parser.add_argument("--output", type=Path, help=f"put tables there; default: docs/{page}")
    _add_threads(parser)

    def run(arguments: argparse.Namespace) -> None:
        output = arguments.output
        if output is None and not arguments.quick:
            output = DOCS / page
        n_seeds = arguments.seeds or default_n_seeds(arguments.quick)
        measure(arguments.threads, n_seeds, arguments.quick, output)

    parser.set_defaults(run=run)


def _names(
    parser: argparse.ArgumentParser,
    option: str,
    text: str | None,
    known: Sequence[str],
    default: Sequence[str],
) -> list[str]:
    """Names with commas between, each a known one; the default where the option is not given."""
    if text is None:
        return list(default)
    try:
        return chosen(option, text.split(","), known)
    except ValueError as error:
        parser.error(str(error))


def _sizes(parser: argparse.ArgumentParser, text: str) -> list[int]:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        parser.error(f"--batch-sizes: got {text}, needed integers above 0")
    return sizes
