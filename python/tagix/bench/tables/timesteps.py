"""Number of diffusion steps: the classroom data at 10 to 500 of them."""

from __future__ import annotations

from functools import partial

from tagix.bench import drawings
from tagix.bench.compare import Goal
from tagix.bench.jobs import Job, Sampling
from tagix.bench.recipes import N_SAMPLES, Scale, jobs_of_both, real_jobs
from tagix.bench.results import Results
from tagix.bench.section import Cell, Comparison, Figure, Section, Target

SAMPLING = Sampling(n_samples=N_SAMPLES, metrics=("emd", "nll"))
BATCH_SIZE = 64


def _grid(scale: Scale) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, int]]:
    """Data sets, numbers of steps, half the epochs and all of them."""
    if scale.quick:
        return ("moons", "blobs"), (10, 100), (10, 20)
    return ("moons", "circles", "blobs", "manycircles"), (10, 50, 100, 150, 200, 500), (50, 100)


def _jobs(scale: Scale, data: str, n_steps: int) -> dict[str, list[Job]]:
    """Trainings of one cell by method."""
    _, _, epochs = _grid(scale)
    settings = {
        "n_steps": n_steps,
        "batch_size": BATCH_SIZE,
        "checkpoints": epochs,
        "samplings": (SAMPLING,),
    }
    return jobs_of_both(scale, data, **settings)


def jobs(scale: Scale) -> list[Job]:
    """Both methods in every cell, and real points for every data set."""
    names, steps, _ = _grid(scale)
    cells = [_jobs(scale, data, n_steps) for data in names for n_steps in steps]
    return [job for cell in cells for group in cell.values() for job in group] + [
        job for data in names for job in real_jobs(scale, data, SAMPLING)
    ]


def report(results: Results, scale: Scale) -> Section:
    """EMD and NLL by data and number of steps, and the counts that the targets ask for."""
    _, _, (half, whole) = _grid(scale)
    emd = _compare(results, scale, "emd", "lower", 1)
    nll = _compare(results, scale, "nll", "floor", 3)
    return Section(
        "timesteps",
        "Number of diffusion steps",
        [
            f"The classroom data, batches of {BATCH_SIZE}, cosine schedule, targets epsilon, "
            f"{scale.n_seeds} seed(s); the number behind a method is that of its epochs. "
            "EMD: low is good. NLL: near to that of real points is good.",
            emd.markdown(),
            nll.markdown(),
        ],
        _targets(emd, nll, half, whole),
        [_samples(results, scale, method) for method in ("tagix", "PyTorch")],
        {"emd": emd.numbers(), "nll": nll.numbers()},
    )


def _compare(results: Results, scale: Scale, metric: str, goal: Goal, digits: int) -> Comparison:
    """A measure by data and number of steps, of both methods at both numbers of epochs."""
    names, steps, (half, whole) = _grid(scale)
    duels = [(f"tagix {epoch}", f"PyTorch {whole}") for epoch in (half, whole)]
    cells = []
    for data in names:
        floor = results.summary(real_jobs(scale, data, SAMPLING), metric)
        for n_steps in steps:
            groups = _jobs(scale, data, n_steps)
            values = {
                f"{method} {epoch}": results.summary(group, metric, epoch=epoch)
                for method, group in groups.items()
                for epoch in (half, whole)
            }
            cells.append(Cell((data, str(n_steps)), floor, values))
    return Comparison(metric.upper(), goal, digits, ("data", "T"), cells, duels)


def _targets(emd: Comparison, nll: Comparison, half: int, whole: int) -> list[Target]:
    """In how many cells tagix, after half of the epochs and after all, does as well as PyTorch."""
    ours_half, ours, theirs = f"tagix {half}", f"tagix {whole}", f"PyTorch {whole}"
    n_cells = len(emd.cells)
    at_floor = {name: emd.n_at_floor(name) for name in (ours_half, ours, theirs)}
    better = {name: nll.n_better(name, theirs) for name in (ours_half, ours)}
    return [
        Target(
            f"EMD within two standard deviations of real points in at least as many cells as "
            f"PyTorch at {whole} epochs, tagix at {half}",
            f"{at_floor[ours_half]} and {at_floor[theirs]} of {n_cells}",
            at_floor[ours_half] >= at_floor[theirs],
        ),
        Target(
            f"the same, tagix at {whole} epochs",
            f"{at_floor[ours]} and {at_floor[theirs]} of {n_cells}",
            at_floor[ours] >= at_floor[theirs],
        ),
        *(
            Target(
                f"NLL nearer to that of real points than PyTorch's at {whole} epochs in 70 % "
                f"of cells, {name} epochs",
                f"{n} of {n_cells}",
                n >= 0.7 * n_cells,
            )
            for name, n in better.items()
        ),
    ]


def _samples(results: Results, scale: Scale, method: str) -> Figure:
    """Samples of a method by data and number of steps."""
    names, steps, (_, whole) = _grid(scale)
    return Figure(
        f"timesteps_{method.lower()}.png",
        f"Samples of {method} after {whole} epochs",
        partial(
            drawings.draw_grid,
            {
                (data, f"T = {n_steps}"): drawings.samples(
                    results, _jobs(scale, data, n_steps)[method]
                )
                for data in names
                for n_steps in steps
            },
            {data: drawings.samples(results, real_jobs(scale, data, SAMPLING)) for data in names},
            f"{method}, {whole} epochs",
        ),
    )
