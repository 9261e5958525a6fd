"""Run a job: train, draw, measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tagix import metrics
from tagix.bench.models import Drawn, Model, build
from tagix.bench.problems import Problem, load_problem
from tagix.bench.timing import timed
from tagix.bench.training import Sampling, Training

Array = npt.NDArray[np.float32]
Result = dict[str, Any]

# What was drawn, by label; all of it by None if classes play no part.
Sets = Mapping[int | None, Drawn]

SHARE_KEPT = 0.9
_N_SLICED = 10_000


def emd(sets: Sets, problem: Problem, seed: int) -> Result:
    """metrics.emd of 250 samples against as many real points, mean of the classes."""

    def distance(samples: Array, real: Array) -> float:
        return metrics.emd(samples, real, seed=seed)

    return {"emd": _mean_of_classes(distance, sets, problem)}


def nll(sets: Sets, problem: Problem, seed: int) -> Result:
    """metrics.nll_kernel of the samples under the real points, mean of the classes."""
    return {"nll": _mean_of_classes(metrics.nll_kernel, sets, problem)}


def sliced_wasserstein(sets: Sets, problem: Problem, seed: int) -> Result:
    """metrics.sliced_wasserstein to the first 10 000 real points, mean of the classes."""

    def distance(samples: Array, real: Array) -> float:
        return metrics.sliced_wasserstein(samples, real[:_N_SLICED])

    return {"sliced_wasserstein": _mean_of_classes(distance, sets, problem)}


def off_manifold(sets: Sets, problem: Problem, seed: int) -> Result:
    """metrics.off_manifold_share, also of the samples that are left without the least certain."""
    assert problem.off_manifold_radius is not None
    drawn = _only(sets)
    result = {
        "off_manifold": metrics.off_manifold_share(
            drawn.x, problem.train, problem.off_manifold_radius
        )
    }
    if drawn.score is not None:
        kept = np.argsort(drawn.score)[: round(SHARE_KEPT * len(drawn.x))]
        result["off_manifold_kept"] = metrics.off_manifold_share(
            drawn.x[kept], problem.train, problem.off_manifold_radius
        )
    return result


def precision_recall(sets: Sets, problem: Problem, seed: int) -> Result:
    """metrics.precision_recall against the real points, means of the classes."""
    pairs = [
        metrics.precision_recall(drawn.x, problem.real(label)) for label, drawn in sets.items()
    ]
    precision, recall = np.mean([tuple(pair) for pair in pairs], axis=0)
    return {"precision": float(precision), "recall": float(recall)}


def accuracy(sets: Sets, problem: Problem, seed: int) -> Result:
    """metrics.knn_accuracy of the labels that were asked for, by 15 real neighbours."""
    assert problem.train_labels is not None
    points = np.concatenate([drawn.x for drawn in sets.values()])
    labels = np.concatenate(
        [np.full(len(drawn.x), -1 if label is None else label) for label, drawn in sets.items()]
    )
    return {
        "accuracy": float(metrics.knn_accuracy(points, labels, problem.train, problem.train_labels))
    }


MEASURES: Mapping[str, Callable[[Sets, Problem, int], Result]] = {
    "emd": emd,
    "nll": nll,
    "sliced_wasserstein": sliced_wasserstein,
    "off_manifold": off_manifold,
    "precision_recall": precision_recall,
    "accuracy": accuracy,
}


def run(job: Training) -> tuple[Result, dict[str, Array]]:
    """Train and measure what a job describes.

    Returns:
        Numbers, as JSON can hold them:
            checkpoints: for each, ``epoch``, ``fit_seconds`` so far (measuring left out),
                ``samplings`` (by name: ``seconds`` to draw and the measures) and, if asked for,
                ``denoising``;
            train_mse, predicted_var: by epoch; the latter is empty for the peer.
        Arrays of the last checkpoint: "<sampling>" or "<sampling>/<label>" (n_stored, n_features),
        "<...>/score" and "<...>/var" (n_stored,), "<...>/chains" (states, n_chains, n_features).

    Raises:
        ValueError: For a description that names what is not there, or numbers that overflow.
    """
    problem = load_problem(job)
    if job.method == "real":
        samplings, arrays = _measure_all(job, problem, None)
        return _result([{"epoch": 0, "fit_seconds": 0.0, "samplings": samplings}]), arrays
    model = build(job, problem)
    checkpoints: list[Result] = []
    arrays = {}
    epoch, fit_seconds = 0, 0.0
    for checkpoint in job.checkpoints:
        fit_seconds += model.fit(checkpoint - epoch)
        epoch = checkpoint
        samplings, arrays = _measure_all(job, problem, model)
        checkpoints.append({"epoch": epoch, "fit_seconds": fit_seconds, "samplings": samplings})
        if job.denoising:
            checkpoints[-1]["denoising"] = _denoising(model, problem)
        if job.until is not None:
            name, metric, value = job.until
            if samplings[name][metric] <= value:
                break
        if job.max_seconds is not None and fit_seconds > job.max_seconds:
            break
    return _result(checkpoints, model.train_mse, model.predicted_var), arrays


def _result(
    checkpoints: list[Result], train_mse: list[float] | None = None, var: list[float] | None = None
) -> Result:
    return {
        "checkpoints": checkpoints,
        "train_mse": [float(value) for value in train_mse or []],
        "predicted_var": [float(value) for value in var or []],
    }


def _measure_all(
    job: Training, problem: Problem, model: Model | None
) -> tuple[Result, dict[str, Array]]:
    results: Result = {}
    arrays: dict[str, Array] = {}
    for sampling in job.samplings:
        sets, seconds = timed(partial(_draw, job, problem, model, sampling))
        result: Result = {"seconds": seconds}
        for metric in sampling.metrics:
            result |= MEASURES[metric](sets, problem, job.seed)
        results[sampling.name] = result
        for label, drawn in sets.items():
            name = sampling.name if label is None else f"{sampling.name}/{label}"
            arrays[name] = drawn.x[: sampling.n_stored]
            for extra in ("score", "var"):
                if (values := getattr(drawn, extra)) is not None:
                    arrays[f"{name}/{extra}"] = values[: sampling.n_stored]
            if drawn.chains is not None:
                arrays[f"{name}/chains"] = drawn.chains[:, : sampling.n_chains]
    return results, arrays


def _draw(
    job: Training, problem: Problem, model: Model | None, sampling: Sampling
) -> dict[int | None, Drawn]:
    labels: list[int | None] = [None]
    if sampling.by_class:
        if problem.n_classes is None:
            raise ValueError(f"{job.data}: no classes, needed some for {sampling.name!r}")
        labels = list(range(problem.n_classes))
    if model is not None:
        return {label: model.sample(sampling, label) for label in labels}
    return {
        label: Drawn(problem.draw_held_out(sampling.n_samples, job.seed, label)) for label in labels
    }


def _denoising(model: Model, problem: Problem) -> Result:
    """Held-out error, and coverage where the model learns the variance of its target."""
    adapter = _Denoiser(model)
    result: Result = {"mse": metrics.denoising_mse(adapter, problem.held_out)}
    rng = np.random.default_rng(1)
    t = rng.integers(1, adapter.n_steps, size=len(problem.held_out))
    eps = rng.standard_normal(problem.held_out.shape)
    signal = adapter.alpha_bar[t, np.newaxis]
    x_t = np.sqrt(signal) * problem.held_out + np.sqrt(1.0 - signal) * eps
    mean, var = model.predict_noise(x_t.astype(np.float32), t)
    if var is not None:
        curve = metrics.coverage_curve(eps, mean, var, levels=[0.68, 0.95])
        result |= {"coverage_68": float(curve.observed[0]), "coverage_95": float(curve.observed[1])}
    return result


class _Denoiser:
    """A model as metrics.denoising_mse takes it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.alpha_bar = np.asarray(model.alpha_bar, dtype=np.float64)
        self.n_steps = len(self.alpha_bar)

    def predict(self, x_t: Array, t: npt.NDArray[np.int64]) -> tuple[Array, Array | None]:
        """Mean and variance of the predicted noise."""
        return self._model.predict_noise(x_t, t)


def _mean_of_classes(
    measure: Callable[[Array, Array], float], sets: Sets, problem: Problem
) -> float:
    return float(np.mean([measure(drawn.x, problem.real(label)) for label, drawn in sets.items()]))


def _only(sets: Sets) -> Drawn:
    (drawn,) = sets.values()
    return drawn
