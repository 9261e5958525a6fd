"""Samplers and their numbers of steps on one trained model of the swiss roll."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from tagix.bench import drawings
from tagix.bench.compare import Summary, Verdict, verdict
from tagix.bench.jobs import Job, Sampling
from tagix.bench.markdown import markdown_table
from tagix.bench.recipes import Scale, pytorch_job, real_jobs, tagix_job
from tagix.bench.results import Results
from tagix.bench.section import Figure, Section, Target, show

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


class _Found:
    """What was measured of samples, by sampler, method and metric; "seconds" is a metric here."""

    def __init__(self, results: Results, scale: Scale) -> None:
        self.floors = {metric: results.summary(_floor(scale), metric) for metric in METRICS}
        self._found = {
            title: {
                method: {
                    metric: results.summary(group, metric, title)
                    for metric in (*METRICS, "seconds")
                }
                for method, group in _jobs(scale).items()
            }
            for title in SAMPLERS
        }

    def of(self, title: str, method: str, metric: str) -> Summary | None:
        """A measure of the samples of one method, None where there is none."""
        return self._found[title][method][metric]

    def ratio(self, title: str, metric: str) -> float | None:
        """A measure of tagix divided by that of the base sampler."""
        value, base = (self.of(each, "tagix", metric) for each in (title, BASE))
        return value.mean / base.mean if value and base and base.mean > 0 else None

    def judge(self, title: str, metric: str) -> Verdict | None:
        """Which method is nearer to real points."""
        ours, theirs = (self.of(title, method, metric) for method in ("tagix", "PyTorch"))
        floor = self.floors[metric]
        return verdict(ours, theirs, floor, "lower") if ours and theirs and floor else None

    def table(self, metric: str, name: str) -> str:
        """A measure by sampler, under this name."""
        rows = [["real points", "", show(self.floors[metric], 4), "", "", "", ""]]
        for title, (_, _, n_evaluations) in SAMPLERS.items():
            relative, judged = self.ratio(title, metric), self.judge(title, metric)
            theirs = self.of(title, "PyTorch", metric)
            rows.append(
                [
                    title,
                    str(n_evaluations),
                    show(self.of(title, "tagix", metric), 4),
                    "" if relative is None else f"{relative:.2f}",
                    show(self.of(title, "tagix", "seconds"), 2),
                    show(theirs, 4) if theirs else "",
                    str(judged or ""),
                ]
            )
        header = ["sampler", "network asked", f"{name}, tagix", f"ratio to {BASE}"]
        header += ["seconds", "PyTorch", "better"]
        return markdown_table(header, rows)

    def numbers(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {
            "floor": {name: _plain(value) for name, value in self.floors.items()},
            "samplers": {
                title: {
                    method: {metric: _plain(value) for metric, value in of_method.items()}
                    for method, of_method in of_title.items()
                }
                for title, of_title in self._found.items()
            },
        }


def report(results: Results, scale: Scale) -> Section:
    """Share off the manifold, sliced Wasserstein distance and seconds by sampler."""
    found, ours = _Found(results, scale), _jobs(scale)["tagix"]
    ddim, heun = (found.ratio(title, "off_manifold") for title in ("DDIM 10", "Heun 18"))
    epochs = ours[0].checkpoints[-1]
    return Section(
        "samplers",
        "Samplers",
        [
            f"The swiss roll, T = {N_STEPS}, one model a seed trained for {epochs} epochs in "
            f"batches of {BATCH_SIZE} (tagix by the default recipe, PyTorch by Adam at "
            f"{LEARNING_RATE:g}), {_n_samples(scale)} samples, {scale.n_seeds} seed(s). The peer "
            "has DDPM and DDIM.",
            found.table("off_manifold", "off the manifold"),
            found.table("sliced_wasserstein", "sliced Wasserstein"),
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
                    {title: drawings.samples(results, ours, title) for title in SHOWN},
                    drawings.samples(results, _floor(scale)),
                    "One model, many samplers",
                ),
            )
        ],
        found.numbers(),
    )


def _shown(ratio: float | None) -> str:
    return "failed" if ratio is None else f"{ratio:.2f} times"


def _plain(value: Summary | None) -> dict[str, Any] | None:
    return None if value is None else asdict(value)
