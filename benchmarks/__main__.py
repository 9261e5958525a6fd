"""``python -m benchmarks cpu``: tagix against PyTorch eager with Adam, in one process.

What counts is the ratio of the times, by rounds that alternate between the two; the seconds of a
shared machine mean little. Both run in fp32 on the same number of threads.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import tagix as tx
from benchmarks.timing import Spread, interleaved_seconds
from benchmarks.workloads import WORKLOADS, Workload, sgemm_call, tagix_call, torch_call


def main() -> None:
    """Parse the command line, measure each workload and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("device", choices=["cpu"])
    parser.add_argument("--quick", action="store_true", help="3 short rounds in place of 9")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="such as W1,W3")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    names = arguments.workloads.split(",")
    if unknown := sorted(set(names) - set(WORKLOADS)):
        parser.error(
            f"--workloads: got {','.join(unknown)}, expected some of {','.join(WORKLOADS)}"
        )
    if arguments.threads < 1:
        parser.error(f"--threads: got {arguments.threads}, expected at least 1")

    tx.set_num_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    n_rounds, block_seconds = (3, 0.1) if arguments.quick else (9, 0.4)
    print(f"fp32, {arguments.threads} thread(s), {n_rounds} rounds, PyTorch {torch.__version__}")
    print("ratio = time of tagix / time of PyTorch eager + Adam: median (least - greatest)\n")
    print(f"{'':42}{'ratio':>22}{'ms':>20}{'MFLOP':>16}{'GFLOP/s':>18}{'share':>7}")
    print(f"{'':64}{'tagix':>10}{'PyTorch':>10}{'tagix':>8}{'PyTorch':>8}", end="")
    print(f"{'tagix':>9}{'PyTorch':>9}{'tagix':>7}")
    results = [measure(WORKLOADS[name], n_rounds, block_seconds) for name in names]
    print("\nshare: of the rate of a 1024 x 1024 matrix product in PyTorch, in the same rounds")
    if arguments.json:
        machine = {"machine": platform.machine(), "platform": platform.platform()}
        settings = {
            "device": arguments.device,
            "precision": "fp32",
            "threads": arguments.threads,
            "rounds": n_rounds,
            "torch": torch.__version__,
        }
        document = {**machine, **settings, "results": results}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def measure(workload: Workload, n_rounds: int, block_seconds: float) -> dict[str, Any]:
    """Time one workload, print its line and return its numbers."""
    sgemm, sgemm_flops = sgemm_call()
    calls = {"tagix": tagix_call(workload), "torch": torch_call(workload), "sgemm": sgemm}
    seconds = interleaved_seconds(calls, n_rounds, block_seconds)
    pairs = zip(seconds["tagix"], seconds["torch"], strict=True)
    ratio = Spread.of([ours / theirs for ours, theirs in pairs])
    tagix_time, torch_time = Spread.of(seconds["tagix"]), Spread.of(seconds["torch"])
    sgemm_rate = sgemm_flops / Spread.of(seconds["sgemm"]).median / 1e9
    tagix_rate = workload.tagix_flops() / tagix_time.median / 1e9
    torch_rate = workload.torch_flops() / torch_time.median / 1e9
    spread = f"{ratio.median:.3g} ({ratio.min:.3g} - {ratio.max:.3g})"
    print(
        f"{workload.name:4}{workload.description:38}{spread:>22}"
        f"{tagix_time.median * 1e3:>10.4g}{torch_time.median * 1e3:>10.4g}"
        f"{_three_digits(workload.tagix_flops() / 1e6):>8}"
        f"{_three_digits(workload.torch_flops() / 1e6):>8}"
        f"{tagix_rate:>9.3g}{torch_rate:>9.3g}{tagix_rate / sgemm_rate:>7.0%}",
        flush=True,
    )
    return {
        **asdict(workload),
        "ratio": asdict(ratio),
        "tagix_seconds": asdict(tagix_time),
        "torch_seconds": asdict(torch_time),
        "tagix_flops": workload.tagix_flops(),
        "torch_flops": workload.torch_flops(),
        "tagix_gflops_per_second": tagix_rate,
        "torch_gflops_per_second": torch_rate,
        "sgemm_gflops_per_second": sgemm_rate,
    }


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
