"""Samplers and their numbers of steps on one trained model of the swiss roll."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from tagix.bench import drawings
from tagix.bench.compare import Summary, Verdict, verdict
from tagix.bench.jobs import Job, Sampling
from tagix.bench.recipes import Scale, pytorch_job, real_jobs, tagix_job
from tagix.bench.results import Results
from tagix.bench.section import Figure, Section, Target, markdown_table, show

DATA = "swiss_roll"
N_STEPS = 40
BATCH_SIZE = 256
# The best of Adam's for this budget.
LEARNING_RATE = 3e-3
METRICS = ("off_manifold", "sliced_wasserstein")
BASE = "DDPM, all steps"
# By title: class, arguments, and how often the network is asked.
SAMPLERS: Mapping[str, tuple[str, Mapping[str, Any], int]] = {
    BASE: ("DDPM", {}, 39),
    "DDPM, all steps, fixed_small": ("DDPM", {"variance_type": "fixed_small"}, 39),
    "DDIM 5": ("DDIM", {"n_steps": 5}, 5),
    "DDIM 10": ("DDIM", {"n_steps": 10}, 10),
    "DDIM 20": ("DDIM", {"n_steps": 20}, 20),
    "Euler 10": ("Euler", {"n_steps": 10}, 10),
    "Euler 18": ("Euler", {"n_steps": 18}, 18),
    "Heun 9": ("Heun", {"n_steps": 9}, 17),
    "Heun 18": ("Heun", {"n_steps": 18}, 35),
    "DPM-Solver++ 10": ("DPMSolverMultistep", {"n_steps": 10}, 10),
    "DPM-Solver++ 18": ("DPMSolverMultistep", {"n_steps": 18}, 18),
}

SHOWN = (BASE, "DDIM 5", "DDIM 10", "Euler 10", "Heun 18", "DPM-Solver++ 10")


def _n_samples(scale: Scale) -> int:
    return 2000 if scale.quick else 10_000


def _samplings(scale: Scale, names: tuple[str, ...]) -> tuple[Sampling, ...]:
    return tuple(
        Sampling(
            title,
            _n_samples(scale),
            METRICS,
            sampler=name,
            sampler_arguments=arguments,
        )
        for title, (name, arguments, _) in SAMPLERS.items()
        if name in names
    )


def _floor(scale: Scale) -> list[Job]:
    sampling = Sampling("default", _n_samples(scale), METRICS)
    return real_jobs(scale, DATA, sampling, protocol="toy")


def _jobs(scale: Scale) -> dict[str, list[Job]]:
    settings: dict[str, Any] = {
        "protocol": "toy",
        "n_steps": N_STEPS,
        "batch_size": BATCH_SIZE,
        "checkpoints": (4 if scale.quick else 10,),
    }
    all_names = tuple(name for name, _, _ in SAMPLERS.values())
    return {
        # tagix.lab's default recipe.
        "tagix": [
            tagix_job(DATA, seed, noise=None, samplings=_samplings(scale, all_names), **settings)
            for seed in scale.seeds
        ],
        "PyTorch": [
            pytorch_job(
                DATA,
                seed,
                learning_rate=LEARNING_RATE,
                samplings=_samplings(scale, ("DDPM", "DDIM")),
                **settings,
            )
            for seed in scale.seeds
        ],
    }


def jobs(scale: Scale) -> list[Job]:
    """One model of each method and seed, each drawn from by every sampler, and real points."""
    return [job for group in _jobs(scale).values() for job in group] + _floor(scale)


def report(results: Results, scale: Scale) -> Section:
    """Share off the manifold, sliced Wasserstein distance and seconds by sampler."""
    groups = _jobs(scale)
    floors = {metric: results.summary(_floor(scale), metric) for metric in METRICS}
    found = {
        title: {
            (method, metric): results.summary(group, metric, title)
            for method, group in groups.items()
            for metric in (*METRICS, "seconds")
        }
        for title in SAMPLERS
    }

    def ratio(title: str, metric: str) -> float | None:
        value, base = found[title]["tagix", metric], found[BASE]["tagix", metric]
        return value.mean / base.mean if value and base and base.mean > 0 else None

    def judge(title: str, metric: str) -> Verdict | None:
        ours, theirs = (found[title][method, metric] for method in ("tagix", "PyTorch"))
        floor = floors[metric]
        return verdict(ours, theirs, floor, "lower") if ours and theirs and floor else None

    tables = []
    for metric, name in zip(METRICS, ("off the manifold", "sliced Wasserstein"), strict=True):
        rows = [["real points", "", show(floors[metric], 4), "", "", "", ""]]
        for title, (_, _, n_evaluations) in SAMPLERS.items():
            relative, judged = ratio(title, metric), judge(title, metric)
            theirs = found[title]["PyTorch", metric]
            rows.append(
                [
                    title,
                    str(n_evaluations),
                    show(found[title]["tagix", metric], 4),
                    "" if relative is None else f"{relative:.2f}",
                    show(found[title]["tagix", "seconds"], 2),
                    show(theirs, 4) if theirs else "",
                    str(judged or ""),
                ]
            )
        header = ["sampler", "network asked", f"{name}, tagix", f"ratio to {BASE}"]
        header += ["seconds", "PyTorch", "better"]
        tables.append(markdown_table(header, rows))
    ddim, heun = ratio("DDIM 10", "off_manifold"), ratio("Heun 18", "off_manifold")
    epochs = groups["tagix"][0].checkpoints[-1]
    return Section(
        "samplers",
        "Samplers",
        [
            f"The swiss roll, T = {N_STEPS}, one model a seed trained for {epochs} epochs in "
            f"batches of {BATCH_SIZE} (tagix by the default recipe, PyTorch by Adam at "
            f"{LEARNING_RATE:g}), {_n_samples(scale)} samples, {scale.n_seeds} seed(s). The peer "
            "has DDPM and DDIM.",
            *tables,
        ],
        [
            Target(
                f"DDIM with 10 steps: off the manifold at most 2 times as often as {BASE}",
                _shown(ddim),
                ddim is not None and ddim <= 2.0,
            ),
            Target(
                f"Heun with 18 steps: off the manifold no more often than {BASE}",
                _shown(heun),
                heun is not None and heun <= 1.0,
            ),
        ],
        [
            Figure(
                "samplers.png",
                "Samples of tagix by sampler",
                partial(
                    drawings.draw_panels,
                    {title: drawings.samples(results, groups["tagix"], title) for title in SHOWN},
                    drawings.samples(results, _floor(scale)),
                    "One model, many samplers",
                ),
            )
        ],
        {
            "floor": {name: _plain(value) for name, value in floors.items()},
            "samplers": {
                title: {
                    method: {
                        metric: _plain(values[method, metric]) for metric in (*METRICS, "seconds")
                    }
                    for method in groups
                }
                for title, values in found.items()
            },
        },
    )


def _shown(ratio: float | None) -> str:
    return "failed" if ratio is None else f"{ratio:.2f} times"


def _plain(value: Summary | None) -> dict[str, Any] | None:
    return None if value is None else asdict(value)
