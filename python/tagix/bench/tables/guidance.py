"""Classifier-free guidance: how accuracy is traded for variety."""

from __future__ import annotations

from functools import partial
from typing import Any

from tagix.bench import drawings
from tagix.bench.compare import Goal
from tagix.bench.jobs import Job, Sampling
from tagix.bench.recipes import Scale, jobs_of_both, real_jobs
from tagix.bench.results import Results
from tagix.bench.section import Cell, Comparison, Figure, Section, Target

WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
CONVENTIONS = ("scale", "weight")
METRICS = ("accuracy", "emd", "nll", "precision_recall")
N_STEPS = 100
BATCH_SIZE = 64
# Must be at least this accurate at weight 1.
ACCURACY_TARGET = 0.99
TARGET_DATA = ("moons", "circles", "blobs")


def _grid(scale: Scale) -> tuple[dict[str, dict[str, Any]], int]:
    """Data sets with their protocols, and epochs."""
    classroom: dict[str, dict[str, Any]] = {name: {} for name in TARGET_DATA}
    if scale.quick:
        return {"moons": {}, "blobs": {}}, 15
    return classroom | {"helix": {}, "spirals": {"protocol": "toy", "n_train": 8000}}, 50


def _sampling(name: str, **settings: Any) -> Sampling:
    return Sampling(name, 1000, METRICS, by_class=True, n_stored=500, **settings)


def _name(convention: str, weight: float) -> str:
    return f"{convention} {weight:g}"


PLAIN = "plain"
SAMPLINGS = (
    _sampling(PLAIN),
    *(
        _sampling(_name(convention, weight), guidance=weight, guidance_convention=convention)
        for convention in CONVENTIONS
        for weight in WEIGHTS
    ),
)


def _jobs(scale: Scale, data: str) -> dict[str, list[Job]]:
    protocols, n_epochs = _grid(scale)
    settings: dict[str, Any] = {
        "n_steps": N_STEPS,
        "batch_size": BATCH_SIZE,
        "checkpoints": (n_epochs,),
        "conditional": True,
        "samplings": SAMPLINGS,
        **protocols[data],
    }
    return jobs_of_both(scale, data, **settings)


def _floor(scale: Scale, data: str) -> list[Job]:
    return real_jobs(scale, data, _sampling(PLAIN), **_grid(scale)[0][data])


def jobs(scale: Scale) -> list[Job]:
    """A conditional model of each method, data set and seed, and real points of each class."""
    names, _ = _grid(scale)
    groups = [group for data in names for group in _jobs(scale, data).values()]
    floors = [job for data in names for job in _floor(scale, data)]
    return [job for group in groups for job in group] + floors


def report(results: Results, scale: Scale) -> Section:
    """Accuracy, EMD, NLL, precision and recall by weight, and the trade-off drawn."""
    _, n_epochs = _grid(scale)
    tables = {
        "accuracy": _compare(results, scale, "accuracy", "higher", 4),
        "emd": _compare(results, scale, "emd", "lower", 1),
        "nll": _compare(results, scale, "nll", "floor", 3),
        "precision": _compare(results, scale, "precision", "higher", 3),
        "recall": _compare(results, scale, "recall", "higher", 3),
    }
    return Section(
        "guidance",
        "Guidance",
        [
            f"T = {N_STEPS}, batches of {BATCH_SIZE}, {n_epochs} epochs, a fifth of the labels "
            f"left out, {scale.n_seeds} seed(s); 1000 samples of each class. plain: conditional "
            "without guidance; scale w: F_u + w (F_c - F_u); weight w: (1 + w) F_c - w F_u. "
            "EMD and NLL are means over classes, each against its real points; accuracy is that of "
            "15 real neighbours. Where classes overlap, as in blobs, real points themselves miss "
            "it, and only guidance beyond plain conditional samples can exceed them. Precision and "
            "recall are in guidance.json.",
            *(tables[name].markdown() for name in ("accuracy", "emd", "nll")),
        ],
        _targets(results, scale),
        [*_trade_offs(results, scale), _samples_by_weight(results, scale)],
        {name: table.numbers() for name, table in tables.items()},
    )


def _compare(results: Results, scale: Scale, metric: str, goal: Goal, digits: int) -> Comparison:
    """A measure by data and guidance."""
    cells = [
        Cell(
            (data, sampling.name),
            results.summary(_floor(scale, data), metric, PLAIN),
            {
                method: results.summary(group, metric, sampling.name)
                for method, group in _jobs(scale, data).items()
            },
        )
        for data in _grid(scale)[0]
        for sampling in SAMPLINGS
    ]
    return Comparison(
        metric.upper() if metric in ("emd", "nll") else metric,
        goal,
        digits,
        ("data", "guidance"),
        cells,
        [("tagix", "PyTorch")],
    )


def _targets(results: Results, scale: Scale) -> list[Target]:
    """The accuracy of tagix at weight 1, by data and convention."""
    targets = []
    for data in (name for name in TARGET_DATA if name in _grid(scale)[0]):
        floor = results.summary(_floor(scale, data), "accuracy", PLAIN)
        for convention in CONVENTIONS:
            group = _jobs(scale, data)["tagix"]
            got = results.summary(group, "accuracy", _name(convention, 1.0))
            targets.append(
                Target(
                    f"{data}: accuracy at least {ACCURACY_TARGET} at {convention} 1",
                    ("failed" if got is None else f"{got.mean:.4f}")
                    + (f" (real points {floor.mean:.4f})" if floor else ""),
                    got is not None and got.mean >= ACCURACY_TARGET,
                )
            )
    return targets


def _trade_offs(results: Results, scale: Scale) -> list[Figure]:
    """Accuracy and EMD by weight, a figure for each data set."""

    def accuracy_and_emd(jobs: list[Job], sampling: str) -> tuple[float, float] | None:
        accuracy, emd = (results.summary(jobs, each, sampling) for each in ("accuracy", "emd"))
        return (accuracy.mean, emd.mean) if accuracy and emd else None

    def curve(data: str, method: str, convention: str) -> list[tuple[float, float, float]]:
        """(weight, accuracy, EMD) by weight."""
        group = _jobs(scale, data)[method]
        points = ((w, accuracy_and_emd(group, _name(convention, w))) for w in WEIGHTS)
        return [(weight, *point) for weight, point in points if point is not None]

    return [
        Figure(
            f"guidance_{data}.png",
            f"Accuracy and EMD by guidance: {data}",
            partial(
                drawings.draw_trade_off,
                {
                    f"{method}, {convention}": curve(data, method, convention)
                    for method in ("tagix", "PyTorch")
                    for convention in CONVENTIONS
                },
                accuracy_and_emd(_floor(scale, data), PLAIN),
                data,
            ),
        )
        for data in _grid(scale)[0]
    ]


def _samples_by_weight(results: Results, scale: Scale) -> Figure:
    """Samples of tagix by data set and weight."""
    names = _grid(scale)[0]
    return Figure(
        "guidance_samples.png",
        "Samples of tagix by weight of guidance, convention scale",
        partial(
            drawings.draw_grid,
            {
                (data, _name("scale", weight)): drawings.samples(
                    results, _jobs(scale, data)["tagix"], _name("scale", weight)
                )
                for data in names
                for weight in WEIGHTS
            },
            {data: drawings.samples(results, _floor(scale, data), PLAIN) for data in names},
            "tagix, both classes",
        ),
    )
