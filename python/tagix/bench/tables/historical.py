"""The first TAGI experiments on the swiss roll, with the updates of this library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from tagix.bench import drawings
from tagix.bench.compare import Summary
from tagix.bench.jobs import Job, Sampling
from tagix.bench.markdown import markdown_table
from tagix.bench.recipes import LEARNING_RATE, Scale, pytorch_job, real_jobs, tagix_job
from tagix.bench.results import Results
from tagix.bench.section import Figure, Section, show
from tagix.lab import IDEAL_HELD_OUT_MSE

DATA = "swiss_roll"
N_STEPS = 40
METRICS = ("off_manifold", "sliced_wasserstein", "emd")

# As in the first experiments: the standard deviation of the observed noise and its decay.
_DECAYING = {
    "noise": "homoscedastic",
    "noise_arguments": {"std": 2.0, "min_std": 0.1, "decay": 0.99},
}
_LEARNED = {"noise": "heteroscedastic"}
# By title: settings, batch size, and epochs in full and in quick runs.
EXPERIMENTS: Mapping[str, tuple[Mapping[str, Any], int, int, int]] = {
    "homoscedastic": (_DECAYING, 2000, 100, 4),
    "homoscedastic, with the variance of each sample": (_DECAYING, 2000, 100, 4),
    "heteroscedastic, batch 20": (_LEARNED, 20, 10, 1),
    "heteroscedastic, batch 1": (_LEARNED, 1, 3, 1),
    "heteroscedastic, batch 5": (_LEARNED, 5, 5, 1),
    "heteroscedastic, batch 2048": (_LEARNED, 2048, 20, 4),
    "default recipe, batch 256": ({"noise": None}, 256, 10, 2),
}
WITH_VARIANCE = "homoscedastic, with the variance of each sample"
SHOWN = "heteroscedastic, batch 2048"
PEER = "PyTorch, batch 2048"
COLUMNS = {
    "off_manifold": "off the manifold",
    "off_manifold_kept": "the same of the 90 % most certain",
    "sliced_wasserstein": "sliced Wasserstein",
    "emd": "EMD",
}


def _settings(scale: Scale, uncertainty: bool = False) -> dict[str, Any]:
    sampling = Sampling(
        n_samples=2000 if scale.quick else 10_000,
        metrics=METRICS,
        uncertainty=uncertainty,
        n_stored=2000,
        n_chains=0 if uncertainty else 1000,
    )
    return {
        "protocol": "toy",
        "n_train": 20_000 if scale.quick else None,
        "n_steps": N_STEPS,
        "samplings": (sampling,),
        "denoising": True,
    }


def _groups(scale: Scale) -> dict[str, list[Job]]:
    groups = {}
    for title, (recipe, batch_size, n_epochs, n_quick) in EXPERIMENTS.items():
        settings = {
            **_settings(scale, title == WITH_VARIANCE),
            **recipe,
            "batch_size": batch_size,
            "checkpoints": (n_quick if scale.quick else n_epochs,),
        }
        groups[title] = [tagix_job(DATA, seed, **settings) for seed in scale.seeds]
    published = {
        **_settings(scale),
        "batch_size": 2048,
        "checkpoints": (10 if scale.quick else 100,),
    }
    groups[PEER] = [pytorch_job(DATA, seed, **published) for seed in scale.seeds]
    return groups


def _floor(scale: Scale) -> list[Job]:
    settings = _settings(scale)
    sampling = Sampling(n_samples=settings["samplings"][0].n_samples, metrics=METRICS)
    return real_jobs(scale, DATA, sampling, protocol="toy", n_train=settings["n_train"])


def jobs(scale: Scale) -> list[Job]:
    """Every experiment and seed, the peer and real points."""
    return [job for group in _groups(scale).values() for job in group] + _floor(scale)


def report(results: Results, scale: Scale) -> Section:
    """Quality of samples, held-out error, coverage and seconds by experiment, and figures."""
    groups = _groups(scale)
    found = {title: _measured(results, group) for title, group in groups.items()}
    floors = {metric: results.summary(_floor(scale), metric) for metric in COLUMNS}
    epochs = {title: group[0].checkpoints[-1] for title, group in groups.items()}
    return Section(
        "historical",
        "The first TAGI experiments",
        [
            f"The swiss roll, T = {N_STEPS}, {scale.n_seeds} seed(s). homoscedastic: noise of "
            "standard deviation 2, which decays by 0.99 an epoch down to 0.1, batches of 2000; its "
            "variances of samples are the epistemic ones. heteroscedastic: noise that the network "
            f"infers. PyTorch: Adam at {LEARNING_RATE:g}, as published. Coverage is that of the "
            "noise in held-out points, where the network infers a variance for it. Beside real "
            "points stand the error of the best possible denoiser and the nominal coverage. Epochs "
            "are those of the experiments, fewer in small batches. Seconds are "
            "those of training on one thread, beside other jobs.",
            _table(found, floors, epochs, scale.quick),
        ],
        figures=_figures(results, scale),
        numbers={
            title: {name: asdict(value) for name, value in values.items() if value is not None}
            for title, values in {"real points": floors, **found}.items()
        },
    )


def _measured(results: Results, group: list[Job]) -> dict[str, Summary | None]:
    """What was measured of the models of one experiment, in the order of the table."""
    return {
        **{metric: results.summary(group, metric) for metric in COLUMNS},
        "held_out_mse": results.denoising(group, "mse"),
        "coverage_68": results.denoising(group, "coverage_68"),
        "coverage_95": results.denoising(group, "coverage_95"),
        "seconds": results.fit_seconds(group),
    }


def _table(
    found: Mapping[str, Mapping[str, Summary | None]],
    floors: Mapping[str, Summary | None],
    epochs: Mapping[str, int],
    quick: bool,
) -> str:
    """Real points, and the experiments by title with their epochs."""
    digits = {"emd": 1, "seconds": 1}
    real_row = [_optional(floors[each], digits.get(each, 4)) for each in COLUMNS]
    # Of the best possible denoiser, which is known for the full train set.
    ideal = "" if quick else f"{IDEAL_HELD_OUT_MSE[DATA]:.4f}"
    rows = [["real points", "", *real_row, ideal, "0.6800", "0.9500", ""]]
    for title, values in found.items():
        shown = [_optional(value, digits.get(name, 4)) for name, value in values.items()]
        rows.append([title, str(epochs[title]), *shown])
    header = ["", "epochs", *COLUMNS.values(), "held-out MSE"]
    header += ["in the 68 % interval", "in the 95 % interval", "seconds"]
    return markdown_table(header, rows)


def _figures(results: Results, scale: Scale) -> list[Figure]:
    """Samples and training of the experiments, variances of one, chains of another."""
    groups = _groups(scale)
    # The experiment with variances is the first one once more.
    different = {title: group for title, group in groups.items() if title != WITH_VARIANCE}
    real = drawings.samples(results, _floor(scale))
    draw_chains = partial(
        drawings.draw_chains, results.arrays(groups[SHOWN][0]), "default", real, SHOWN
    )
    return [
        Figure(
            "historical_samples.png",
            "Samples of every experiment",
            partial(
                drawings.draw_panels,
                {title: drawings.samples(results, group) for title, group in different.items()},
                real,
                "Samples",
            ),
        ),
        Figure(
            "historical_variance.png",
            "Samples by their variance",
            partial(
                drawings.draw_uncertainty,
                results.arrays(groups[WITH_VARIANCE][0]),
                "default",
                WITH_VARIANCE,
            ),
        ),
        Figure(
            "historical_training.png",
            "Error and predicted variance by epoch",
            partial(
                drawings.draw_runs,
                {title: results.of(group[0]) for title, group in different.items()},
                "Training",
            ),
        ),
        Figure(
            "historical_paths.png",
            f"Single points on their way from noise to sample: {SHOWN}",
            draw_chains,
        ),
        Figure("historical_denoising.gif", f"Denoising: {SHOWN}", draw_chains),
    ]


def _optional(value: Summary | None, digits: int) -> str:
    """As show, with nothing for what a method does not have."""
    return "" if value is None else show(value, digits)
