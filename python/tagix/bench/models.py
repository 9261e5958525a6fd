"""tagix and its PyTorch peer behind one interface, made as a job describes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

import tagix as tx
from tagix import nn, samplers, schedules
from tagix.bench.problems import Problem
from tagix.bench.timing import timed
from tagix.bench.training import Sampling, Training

Array = npt.NDArray[np.float32]

# What tagix observes the target of a denoising network with, by name.
NOISES: Mapping[str, Callable[..., Any]] = {
    "heteroscedastic": tx.Heteroscedastic,
    "homoscedastic": tx.Homoscedastic,
}
RULES: Mapping[str, Callable[..., Any]] = {"information": tx.Information, "capped": tx.Capped}


class Drawn(NamedTuple):
    """Samples, and what was asked for beside them.

    Attributes:
        x: (n, n_features).
        score: (n,), see tagix.diffusion.Samples.
        var: (n,), the trace of the epistemic covariance, in the units of x squared.
        chains: (states, n, n_features); a chain starts with the noise and ends with the sample.
    """

    x: Array
    score: Array | None = None
    var: Array | None = None
    chains: Array | None = None


class Model(Protocol):
    """What a job needs of a model."""

    train_mse: list[float]
    predicted_var: list[float]

    def fit(self, n_epochs: int) -> float:
        """Train on; returns the seconds by the clock that it took."""

    def sample(self, sampling: Sampling, label: int | None) -> Drawn:
        """Draw as a Sampling says, of one class if a label is given."""

    def predict_noise(self, x_t: Array, t: npt.NDArray[np.int64]) -> tuple[Array, Array | None]:
        """Mean, and variance of the target if the model learns one, each (n, n_features)."""

    @property
    def alpha_bar(self) -> npt.NDArray[np.float64]:
        """(n_steps,), 1 for clean data."""


def build(job: Training, problem: Problem) -> Model:
    """The untrained model of a job."""
    return TagixModel(job, problem) if job.method == "tagix" else PyTorchModel(job, problem)


def make_schedule(job: Training) -> schedules.Schedule:
    """The job's schedule."""
    return schedules.resolve(job.schedule, job.schedule_arguments)


def make_sampler(sampling: Sampling) -> samplers.Sampler:
    """The object of tagix.samplers that a Sampling names."""
    made: samplers.Sampler = getattr(samplers, str(sampling.sampler))(**sampling.sampler_arguments)
    return made


def _guidance(sampling: Sampling) -> dict[str, Any]:
    if sampling.guidance is None:
        return {}
    return {
        "guidance": sampling.guidance,
        "guidance_convention": sampling.guidance_convention,
    }


class TagixModel:
    """tagix.DiffusionModel."""

    def __init__(self, job: Training, problem: Problem) -> None:
        self._data, self._labels = problem.train, problem.train_labels
        self._job = job
        options: dict[str, Any] = {}
        if job.noise is not None:
            options["noise"] = NOISES[job.noise](**job.noise_arguments)
        if job.rule is not None:
            arguments = dict(job.rule)
            options["rule"] = RULES[arguments.pop("name")](**arguments)
        self.model = tx.DiffusionModel(
            problem.train.shape[1],
            hidden=job.hidden,
            n_steps=job.n_steps,
            schedule=make_schedule(job),
            prediction_type=job.prediction_type,
            time_features=job.time_features,
            n_classes=problem.n_classes if job.conditional else None,
            activation=nn.ReLU(moments=job.relu_moments),
            standardize=problem.standardize,
            seed=job.seed,
            **options,
        )
        self.train_mse: list[float] = []
        self.predicted_var: list[float] = []

    @property
    def alpha_bar(self) -> npt.NDArray[np.float64]:
        """(n_steps,), 1 for clean data."""
        return self.model.alpha_bar

    def fit(self, n_epochs: int) -> float:
        """Train on; returns the seconds by the clock that it took."""
        labels: dict[str, Any] = {}
        if self._job.conditional:
            labels = {"labels": self._labels, "p_uncond": self._job.p_uncond}
        history, seconds = timed(
            lambda: self.model.fit(
                self._data,
                n_epochs=n_epochs,
                batch_size=self._job.batch_size,
                progress=False,
                **labels,
            )
        )
        self.train_mse += history.train_mse
        self.predicted_var += history.predicted_var
        return seconds

    def sample(self, sampling: Sampling, label: int | None) -> Drawn:
        """Draw as a Sampling says, of one class if a label is given."""
        options: dict[str, Any] = _guidance(sampling)
        if sampling.sampler is not None:
            options["sampler"] = make_sampler(sampling)
        if label is not None:
            options["label"] = label
        drawn = self.model.sample(
            sampling.n_samples,
            trajectory=sampling.n_chains > 0,
            uncertainty=sampling.uncertainty,
            **options,
        )
        var = drawn.epistemic
        if var is not None:
            var = np.trace(var, axis1=1, axis2=2)
        return Drawn(drawn.x, drawn.score, var, drawn.trajectory)

    def predict_noise(self, x_t: Array, t: npt.NDArray[np.int64]) -> tuple[Array, Array | None]:
        """Mean, and variance of the target if the model learns one, each (n, n_features)."""
        predicted = self.model.predict(x_t, t)
        learns = self._job.noise == "heteroscedastic" or self._job.noise_arguments.get("learn")
        return predicted.mean, predicted.var if learns else None


class PyTorchModel:
    """tagix.reference.BackpropDiffusion, on data standardised as tagix does it."""

    def __init__(self, job: Training, problem: Problem) -> None:
        from tagix.reference import BackpropDiffusion

        self._job, self._labels = job, problem.train_labels
        n_features = problem.train.shape[1]
        self._shift, self._scale = np.zeros(n_features), np.ones(n_features)
        if problem.standardize:
            self._shift, self._scale = problem.train.mean(axis=0), problem.train.std(axis=0)
        self._data = ((problem.train - self._shift) / self._scale).astype(np.float32)
        assert job.learning_rate is not None
        self.model = BackpropDiffusion(
            n_features,
            hidden=job.hidden,
            n_steps=job.n_steps,
            schedule=make_schedule(job).alpha_bar(job.n_steps),
            prediction_type=job.prediction_type,  # type: ignore[arg-type]
            time_features=job.time_features,  # type: ignore[arg-type]
            n_classes=problem.n_classes if job.conditional else None,
            learning_rate=job.learning_rate,
            seed=job.seed,
        )
        self.train_mse: list[float] = []
        self.predicted_var: list[float] = []

    @property
    def alpha_bar(self) -> npt.NDArray[np.float64]:
        """(n_steps,), 1 for clean data."""
        return np.asarray(self.model.alpha_bar, dtype=np.float64)

    def fit(self, n_epochs: int) -> float:
        """Train on; returns the seconds by the clock that it took."""
        labels: dict[str, Any] = {}
        if self._job.conditional:
            labels = {"labels": self._labels, "p_uncond": self._job.p_uncond}
        losses, seconds = timed(
            lambda: self.model.fit(
                self._data, n_epochs=n_epochs, batch_size=self._job.batch_size, **labels
            )
        )
        self.train_mse += losses
        return seconds

    def sample(self, sampling: Sampling, label: int | None) -> Drawn:
        """Draw as a Sampling says, of one class if a label is given, by its own DDPM or DDIM.

        ValueError for another sampler.
        """
        options: dict[str, Any] = _guidance(sampling)
        if label is not None:
            options["label"] = label
        if sampling.sampler is not None:
            if sampling.sampler not in ("DDPM", "DDIM"):
                raise ValueError(f"sampler: got {sampling.sampler!r}, needed 'DDPM' or 'DDIM'")
            options |= {"sampler": sampling.sampler.lower(), **sampling.sampler_arguments}
        drawn = self.model.sample(sampling.n_samples, trajectory=sampling.n_chains > 0, **options)
        chains = None if drawn.trajectory is None else self._in_units(drawn.trajectory)
        return Drawn(self._in_units(drawn.x), chains=chains)

    def predict_noise(self, x_t: Array, t: npt.NDArray[np.int64]) -> tuple[Array, Array | None]:
        """Mean of the target, (n, n_features); the peer learns no variance."""
        return np.asarray(self.model.predict(x_t, t).mean), None

    def _in_units(self, x: npt.NDArray[Any]) -> Array:
        return (x * self._scale + self._shift).astype(np.float32)
