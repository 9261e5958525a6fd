"""Noise schedules and what the network predicts, on the classroom data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tagix.bench import drawings
from tagix.bench.compare import Goal
from tagix.bench.jobs import Job, Sampling
from tagix.bench.recipes import N_SAMPLES, Scale, jobs_of_both, real_jobs
from tagix.bench.results import Results
from tagix.bench.section import Cell, Comparison, Figure, Section

SAMPLING = Sampling(n_samples=N_SAMPLES, metrics=("emd", "nll"))
BATCH_SIZE = 64
N_STEPS = 100
PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")
SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "cosine": {"schedule": "cosine"},
    "linear 0.1/T to 20/T": {"schedule": "linear"},
    "linear 1e-4 to 0.02": {
        "schedule": "linear",
        "schedule_arguments": {"beta_start": 1e-4, "beta_end": 0.02},
    },
    "sigmoid": {"schedule": "sigmoid"},
    "edm": {"schedule": "edm"},
}


def _grid(scale: Scale) -> tuple[tuple[str, ...], int]:
    """Data sets and epochs."""
    return (("moons",), 10) if scale.quick else (("moons", "manycircles"), 50)


def _jobs(scale: Scale, data: str, schedule: str, prediction_type: str) -> dict[str, list[Job]]:
    _, n_epochs = _grid(scale)
    settings = {
        "n_steps": N_STEPS,
        "batch_size": BATCH_SIZE,
        "checkpoints": (n_epochs,),
        "samplings": (SAMPLING,),
        "prediction_type": prediction_type,
        **SCHEDULES[schedule],
    }
    return jobs_of_both(scale, data, **settings)


def _cells(scale: Scale) -> list[tuple[str, str, str]]:
    names, _ = _grid(scale)
    return [
        (data, schedule, kind)
        for data in names
        for schedule in SCHEDULES
        for kind in PREDICTION_TYPES
    ]


def jobs(scale: Scale) -> list[Job]:
    """Both methods with every schedule and target, and real points for every data set."""
    names, _ = _grid(scale)
    groups = [group for cell in _cells(scale) for group in _jobs(scale, *cell).values()]
    floors = [job for data in names for job in real_jobs(scale, data, SAMPLING)]
    return [job for group in groups for job in group] + floors


def report(results: Results, scale: Scale) -> Section:
    """EMD and NLL by data, schedule and target."""
    names, n_epochs = _grid(scale)
    floors = {data: real_jobs(scale, data, SAMPLING) for data in names}

    def compare(metric: str, goal: Goal, digits: int) -> Comparison:
        cells = [
            Cell(
                cell,
                results.summary(floors[cell[0]], metric),
                {
                    method: results.summary(group, metric)
                    for method, group in _jobs(scale, *cell).items()
                },
            )
            for cell in _cells(scale)
        ]
        labels = ("data", "schedule", "target")
        return Comparison(metric.upper(), goal, digits, labels, cells, [("tagix", "PyTorch")])

    emd, nll = compare("emd", "lower", 1), compare("nll", "floor", 3)
    n_cells = len(emd.cells)
    return Section(
        "schedules",
        "Schedules and targets",
        [
            f"T = {N_STEPS}, batches of {BATCH_SIZE}, {n_epochs} epochs of both, "
            f"{scale.n_seeds} seed(s). Behind the better one stands by how many standard "
            "deviations. All are sampled by DDPM, for which the steps of edm at much noise are "
            "wide.",
            emd.markdown(),
            nll.markdown(),
            f"Of {n_cells} cells, EMD is within two standard deviations of real points in "
            f"{emd.n_at_floor('tagix')} (tagix) and {emd.n_at_floor('PyTorch')} (PyTorch); tagix "
            f"is better by EMD in {emd.n_better('tagix', 'PyTorch')}, by NLL in "
            f"{nll.n_better('tagix', 'PyTorch')}.",
        ],
        figures=[
            Figure(
                f"schedules_{data}.png",
                f"Samples of tagix by schedule and target: {data}",
                partial(
                    drawings.draw_grid,
                    {
                        (schedule, kind): drawings.samples(
                            results, _jobs(scale, data, schedule, kind)["tagix"]
                        )
                        for schedule in SCHEDULES
                        for kind in PREDICTION_TYPES
                    },
                    dict.fromkeys(SCHEDULES, drawings.samples(results, floors[data])),
                    f"tagix on {data}, {n_epochs} epochs",
                ),
            )
            for data in names
        ],
        numbers={"emd": emd.numbers(), "nll": nll.numbers()},
    )
