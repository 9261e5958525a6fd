"""Train a diffusion model on toy data, sample from it, measure the samples and draw figures."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tagix as tx
from tagix import metrics, nn, plotting
from tagix._arrays import as_count
from tagix._optional import import_optional
from tagix._training import FitCallback
from tagix.datasets import ToyData, load_toy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Preset:
    """A recipe for a diffusion model on toy data, on standardised coordinates.

    Attributes:
        n_steps: Diffusion steps.
        schedule: Of alpha_bar, "cosine" or "linear".
        hidden: Width of each hidden layer.
        relu_moments: "exact" or "first_order".
        prediction_type: What the network predicts, "v_prediction" or "epsilon".
        time_features: How the network sees the timestep, "cosine", "scalar" or "sinusoidal".
        rule: Parameter update, "information" or "capped".
        cap: Of the capped rule.
        noise_std: Standard deviation of the observed noise in the first epoch.
        noise_min_std: Lower bound of the decaying standard deviation.
        noise_decay: Factor on the standard deviation per epoch.
        batch_size: Rows per update.
        n_epochs: Passes over the train set.
    """

    n_steps: int = 40
    schedule: str = "cosine"
    hidden: tuple[int, ...] = (64, 64, 64, 64)
    relu_moments: Literal["exact", "first_order"] = "exact"
    prediction_type: Literal["v_prediction", "epsilon"] = "v_prediction"
    time_features: Literal["cosine", "scalar", "sinusoidal"] = "cosine"
    rule: Literal["information", "capped"] = "information"
    cap: float | None = None
    noise_std: float = 1.0
    noise_min_std: float | None = None
    noise_decay: float | None = None
    batch_size: int = 256
    n_epochs: int = 10


PRESETS: dict[str, Preset] = {
    "default": Preset(),
    # The settings of the first TAGI diffusion experiments.
    "seed": Preset(
        relu_moments="first_order",
        prediction_type="epsilon",
        time_features="scalar",
        rule="capped",
        cap=3.0,
        noise_std=2.0,
        noise_min_std=0.1,
        noise_decay=0.99,
        batch_size=2000,
        n_epochs=100,
    ),
}

# denoising_mse of metrics.KernelDenoiser on the default train and held-out sets, cosine schedule,
# 40 steps: no model can do better on these draws, but for luck.
STANDARD_N_TRAIN = 100_000
IDEAL_HELD_OUT_MSE: dict[str, float] = {"swiss_roll": 0.4096, "moons": 0.3682}


@dataclass(frozen=True)
class DiffusionReport:
    """What run_diffusion measured.

    Attributes:
        name: Toy data set.
        preset: Name in PRESETS.
        seed: Of the model; the data are the same for every seed.
        off_manifold: Share of samples off the manifold, see metrics.off_manifold_share.
        sliced_wasserstein: Between samples and held-out points, in standard deviations.
        held_out_mse: See metrics.denoising_mse.
        floor: The best possible values of the same three measures: of held-out points for
            off_manifold, of train points for sliced_wasserstein, and of the ideal denoiser for
            held_out_mse (known only for the standard size of the data).
        fit_seconds: Wall-clock time of training.
        sample_seconds: Wall-clock time of sampling, uncertainty included.
        train_mse: By epoch, error of the predictions made during training.
        predicted_var: By epoch, mean variance of those predictions.
        settings: The preset as run, and the sizes and the device of the job.
        figures: Paths by name: "samples", "sample_score", "training".
        report_path: Where this report is written as JSON.
    """

    name: str
    preset: str
    seed: int
    off_manifold: float
    sliced_wasserstein: float
    held_out_mse: float
    floor: dict[str, float | None]
    fit_seconds: float
    sample_seconds: float
    train_mse: tuple[float, ...]
    predicted_var: tuple[float, ...]
    settings: dict[str, Any]
    figures: dict[str, Path]
    report_path: Path

    def to_json(self) -> str:
        """The report as a JSON object."""
        return json.dumps(asdict(self), indent=2, default=str)


def build_model(
    preset: Preset, n_features: int = 2, seed: int | None = None, device: str = "cpu"
) -> tx.DiffusionModel:
    """An untrained DiffusionModel made from a preset, for data that are already standardised."""
    noise = tx.Homoscedastic(
        std=preset.noise_std,
        min_std=preset.noise_min_std or 0.0,
        decay=1.0 if preset.noise_decay is None else preset.noise_decay,
    )
    return tx.DiffusionModel(
        n_features,
        hidden=preset.hidden,
        n_steps=preset.n_steps,
        schedule=preset.schedule,
        prediction_type=preset.prediction_type,
        time_features=preset.time_features,
        activation=nn.ReLU(moments=preset.relu_moments),
        noise=noise,
        rule=tx.Information() if preset.rule == "information" else tx.Capped(cap=preset.cap),
        standardize=False,
        seed=seed,
        device=device,
    )


def run_diffusion(
    name: str,
    preset: str = "default",
    seed: int = 0,
    n_train: int = STANDARD_N_TRAIN,
    n_epochs: int | None = None,
    n_samples: int = 10_000,
    *,
    device: str = "cpu",
    output_dir: str | Path = "output",
    progress: bool = True,
    callback: FitCallback | None = None,
) -> DiffusionReport:
    """Train on a toy data set, sample, measure, and write three figures and a JSON report.

    Files are named <name>_<preset>_seed<seed>_*.png and .json; those of an earlier run with the
    same three are replaced.

    Args:
        name: A data set of tagix.datasets.load_toy in two dimensions, such as "swiss_roll".
        preset: Name in PRESETS.
        seed: Of the model's weights, training and samples.
        n_train: Train points.
        n_epochs: Passes over the train set, instead of the preset's.
        n_samples: Samples to draw and judge.
        device: Where it trains and samples, "cpu" or "cuda".
        output_dir: Folder for figures and report, made if needed.
        progress: Whether training shows a progress bar.
        callback: Called with the record of each epoch; True ends training. See
            tagix.Callback for more.

    Raises:
        ValueError: Unknown name or preset, data in three dimensions, a size below 1, a negative
            seed, or a device that is not there.
        TypeError: A size or seed that is not an integer.
        ImportError: A package of the extra "lab" is not installed; this is checked before training.
    """
    recipe = _recipe(preset, n_epochs)
    n_samples = as_count("n_samples", n_samples, least=1)
    import_optional("matplotlib.figure")
    import_optional("ot.sliced", package="POT")
    data = _data(name, n_train)
    model = build_model(recipe, data.train.shape[1], seed, device)
    start = time.perf_counter()
    history = model.fit(
        data.train,
        n_epochs=recipe.n_epochs,
        batch_size=recipe.batch_size,
        progress=progress,
        callback=callback,
    )
    fit_seconds = time.perf_counter() - start
    start = time.perf_counter()
    samples = model.sample(n_samples, uncertainty=True)
    sample_seconds = time.perf_counter() - start

    folder, stem = Path(output_dir), f"{name}_{preset}_seed{seed}"
    ideal_mse = IDEAL_HELD_OUT_MSE.get(name) if n_train == STANDARD_N_TRAIN else None
    title = f"{name.replace('_', ' ').capitalize()}, {preset} preset"
    figures = _figures(data, samples, history, ideal_mse, title)
    report = DiffusionReport(
        name=name,
        preset=preset,
        seed=seed,
        off_manifold=metrics.off_manifold_share(samples.x, data.train, data.off_manifold_radius),
        sliced_wasserstein=metrics.sliced_wasserstein(samples.x, data.held_out),
        held_out_mse=metrics.denoising_mse(model, data.held_out),
        floor=_floor(data, n_samples, ideal_mse),
        fit_seconds=fit_seconds,
        sample_seconds=sample_seconds,
        train_mse=tuple(float(value) for value in history.train_mse),
        predicted_var=tuple(float(value) for value in history.predicted_var),
        settings=asdict(recipe)
        | {"n_train": n_train, "n_samples": n_samples, "device": model.device},
        figures={
            key: plotting.save_figure(figure, folder / f"{stem}_{key}.png")
            for key, figure in figures.items()
        },
        report_path=folder / f"{stem}.json",
    )
    report.report_path.write_text(report.to_json() + "\n", encoding="utf-8")
    return report


def _recipe(preset: str, n_epochs: int | None) -> Preset:
    """The preset of a name, with another number of epochs if there is one."""
    if preset not in PRESETS:
        raise ValueError(f"preset: got {preset!r}, needed one of {', '.join(PRESETS)}")
    recipe = PRESETS[preset]
    if n_epochs is None:
        return recipe
    return replace(recipe, n_epochs=as_count("n_epochs", n_epochs, least=1))


def _data(name: str, n_train: int) -> ToyData:
    """A toy data set; ValueError unless it has two dimensions."""
    data = load_toy(name, n_train=n_train)
    if data.train.shape[1] != 2:
        raise ValueError(f"name: got {name!r}, needed data in two dimensions, which figures show")
    return data


def _figures(
    data: ToyData, samples: tx.Samples, history: tx.History, ideal_mse: float | None, title: str
) -> dict[str, Figure]:
    """The figures of a report by name."""
    assert samples.score is not None
    return {
        "samples": plotting.plot_data_and_samples(data.train, samples.x, title=title),
        "sample_score": plotting.plot_samples_by(
            samples.x,
            {"the larger the score, the less certain": samples.score},
            title=f"{title}: samples by score",
        ),
        "training": plotting.plot_training(
            history.train_mse, history.predicted_var, ideal_mse=ideal_mse, title=title
        ),
    }


def _floor(data: ToyData, n_samples: int, ideal_mse: float | None) -> dict[str, float | None]:
    """The measures of a report where nothing could do better."""
    return {
        "off_manifold": metrics.off_manifold_share(
            data.held_out, data.train, data.off_manifold_radius
        ),
        "sliced_wasserstein": metrics.sliced_wasserstein(data.train[:n_samples], data.held_out),
        "held_out_mse": ideal_mse,
    }
