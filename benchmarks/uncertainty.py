"""How far the variances can be trusted: each target of docs/uncertainty.md, measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

import tagix as tx
from benchmarks.prediction_variances import measure_networks, measure_posterior
from benchmarks.progress import Progress
from benchmarks.uncertainty_sizes import QUICK, Sizes
from benchmarks.uncertainty_table import NAME, Row, Rows, table_of
from tagix import metrics, nn, reference
from tagix.bench.document import check_document, write_document
from tagix.bench.threads import set_threads
from tagix.bench.timing import interleaved_processor_seconds
from tagix.datasets import ToyData, load_toy

Array = npt.NDArray[np.float64]

TOY_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "toy"
GAINS = (0.1, 1.0)
N_TIME_GROUPS = 8


TESTED = (
    Row(
        "One target of the float64 reference equals AGVI's closed form to 1e-9",
        [],
        shown_by="test_reference_noise.py::test_one_target_is_the_closed_form",
    ),
    Row(
        "Learned noise of the library equals the float64 reference, one row and batches",
        [],
        shown_by="test_noise_parity.py",
    ),
    Row(
        "Golden heteroscedastic files of cuTAGI, reference and library",
        [],
        shown_by="test_reference_noise.py::test_golden, test_noise_golden.py",
    ),
)


def run(n_threads: int, n_seeds: int, quick: bool, output: Path | None) -> list[Row]:
    """Measure every target, print the table, and put it into a file if there is one.

    Args:
        n_threads: Of tagix and of PyTorch.
        n_seeds: Models of each kind.
        quick: Small sizes: it shows that all this runs, and no more.
        output: A Markdown file with the table's markers; None for none.

    Raises:
        ValueError: The file has no markers; found before anything is measured.
        OSError: It cannot be read or written.
    """
    sizes = QUICK if quick else Sizes()
    if output is not None:
        check_document(output, [NAME])
    set_threads(n_threads, torch=True)
    progress = Progress()
    data = load_toy("swiss_roll", sizes.n_train, sizes.n_held_out)
    rows = Rows()
    for seed in range(n_seeds):

        def done(part: str, seed: int = seed) -> None:
            progress.done(f"seed {seed}: {part}")

        for gain in GAINS:
            _measure_stability(rows, data, sizes, seed, gain)
            _measure_noise(rows, data, sizes, seed, gain)
            done(f"heteroscedastic noise, gain {gain:g}")
        _measure_first_order(rows, data, sizes, seed)
        done("first-order ReLU")
        model = _measure_prediction_var(rows, data, sizes, seed)
        done("exact ReLU")
        _measure_chains(rows, model, sizes, seed)
        done("chains")
        _measure_off_manifold(rows, model, data, sizes, seed)
        done("off-manifold samples")
        _measure_cost(rows, model, data, sizes, seed)
        done("cost")
        measure_networks(rows, data, sizes, seed)
        done("other networks")
    measure_posterior(rows, sizes)
    _measure_toy(rows, sizes)
    found = [*rows.table(), *TESTED]
    table = table_of(found)
    print(f"\n{table}")
    if output is not None:
        write_document(output, {NAME: table})
        print(f"\n{output}")
    return found


def _noisy(
    model: tx.DiffusionModel, data: ToyData, seed: int
) -> tuple[Array, npt.NDArray[np.int64], Array]:
    """Held-out points x_t with their timesteps and noise."""
    generator = np.random.default_rng(seed)
    t = generator.integers(1, model.n_steps, len(data.held_out))
    noise = generator.standard_normal(data.held_out.shape)
    signal = model.alpha_bar[t][:, np.newaxis]
    return np.sqrt(signal) * data.held_out + np.sqrt(1 - signal) * noise, t, noise


def _heteroscedastic(seed: int, gain: float) -> tx.DiffusionModel:
    noise = tx.Heteroscedastic(gain=gain)
    return tx.DiffusionModel(
        2, prediction_type="epsilon", noise=noise, standardize=False, seed=seed
    )


def _measure_stability(rows: Rows, data: ToyData, sizes: Sizes, seed: int, gain: float) -> None:
    """Whether training and predictions stay finite; row by row on few rows, for the time."""
    n_rows = {1: 5000, 20: 20_000}
    for batch_size in sizes.batch_sizes:
        model = _heteroscedastic(seed, gain)
        train = data.train[: n_rows.get(batch_size, len(data.train))]
        n_epochs = sizes.noise_epochs if len(train) == len(data.train) else 1
        finite = True
        try:
            history = model.fit(train, n_epochs=n_epochs, batch_size=batch_size, progress=False)
        except ValueError:  # predictions or updates overflow
            finite = False
        else:
            x_t, t, _ = _noisy(model, data, seed)
            mean, var = model.predict(x_t, t)
            finite = bool(np.isfinite(history.noise_var + history.train_mse).all())
            finite &= bool(np.isfinite(mean).all() and np.isfinite(var).all() and (var > 0).all())
        rows.add(
            "Heteroscedastic noise: share of runs that stay finite, batch "
            f"{', '.join(f'{size}' for size in sizes.batch_sizes)}, gain 0.1 and 1",
            float(finite),
            least=1.0,
            note="6 epochs of all data; batch 1 and 20: one of 5000 and 20 000 rows",
        )


def _measure_noise(rows: Rows, data: ToyData, sizes: Sizes, seed: int, gain: float) -> None:
    model = _heteroscedastic(seed, gain)
    model.fit(
        data.train, n_epochs=sizes.noise_epochs, batch_size=sizes.noise_batch_size, progress=False
    )
    x_t, t, noise = _noisy(model, data, seed)
    prediction = model.predict(x_t, t)
    ratios = [
        float(prediction.var[group].mean() / np.mean((noise - prediction.mean)[group] ** 2))
        for group in _time_groups(t, model.n_steps)
    ]
    about = f"batch {sizes.noise_batch_size}, {sizes.noise_epochs} epochs, gain {gain:g}"
    rows.add(
        f"Noise by timestep: predicted / actual residual variance in {N_TIME_GROUPS} groups of t, "
        + about,
        ratios,
        0.85,
        1.2,
    )
    for level, low, high in ((0.68, 0.66, 0.69), (0.95, 0.95, 0.965)):
        covered = metrics.coverage(noise, prediction.mean, prediction.var, level=level)
        rows.add(
            f"Coverage of {100 * level:.0f} % intervals of the noise, {about}", covered, low, high
        )


def _time_groups(t: npt.NDArray[np.int64], n_steps: int) -> Iterator[npt.NDArray[np.bool_]]:
    """Masks of the timesteps 1 .. n_steps - 1, cut into equal parts."""
    for part in np.array_split(np.arange(1, n_steps), N_TIME_GROUPS):
        yield (t >= part[0]) & (t <= part[-1])


def _model(seed: int, moments: Literal["exact", "first_order"]) -> tx.DiffusionModel:
    return tx.DiffusionModel(
        2,
        prediction_type="epsilon",
        activation=nn.ReLU(moments=moments),
        standardize=False,
        seed=seed,
    )


def _drawn_var(
    model: tx.DiffusionModel, data: ToyData, n_draws: int, n_rows: int, seed: int
) -> tuple[Array, npt.NDArray[np.int64], Array]:
    """Held-out x_t, their timesteps, and the variances of predictions by weight draws."""
    x_t, t, _ = _noisy(model, data, seed)
    # All rows of t = 1 and 2, of which there are few, and some of the others.
    chosen = np.flatnonzero((t < 3) | (np.arange(len(t)) < n_rows))
    x_t, t = x_t[chosen], t[chosen]
    drawn = np.stack([model.draw(draw).predict(x_t, t).mean for draw in range(n_draws)])
    return x_t, t, np.asarray(drawn.var(axis=0, ddof=1, dtype=np.float64))


def _measure_first_order(rows: Rows, data: ToyData, sizes: Sizes, seed: int) -> None:
    model, n_epochs = _model(seed, "first_order"), 0
    for epochs in (sizes.epochs[0], sizes.epochs[2]):
        model.fit(data.train, n_epochs=epochs - n_epochs, batch_size=256, progress=False)
        n_epochs = epochs
        x_t, t, drawn_var = _drawn_var(model, data, sizes.n_draws, sizes.n_drawn_rows, seed)
        some = slice(sizes.n_drawn_rows)
        ratio = (model.predict(x_t, t).var / drawn_var)[some]
        rows.add(_prediction_target("first-order ReLU", sizes, epochs), float(np.median(ratio)))


def _prediction_target(moments: str, sizes: Sizes, epochs: int) -> str:
    return (
        f"Variance of a prediction, {moments} / that of {sizes.n_draws} weight draws, "
        f"{epochs} epochs"
    )


def _measure_prediction_var(
    rows: Rows, data: ToyData, sizes: Sizes, seed: int
) -> tx.DiffusionModel:
    """Checks after the first and the last number of epochs; returns the model after the second."""
    first, second, last = sizes.epochs
    model = _model(seed, "exact")

    def measure(epochs: int) -> None:
        x_t, t, drawn_var = _drawn_var(model, data, sizes.n_draws, sizes.n_drawn_rows, seed)
        exact = model.predict(x_t, t).var / drawn_var
        features = reference.time_features("cosine", t, model.n_steps)
        covariance = model.net.covariance(np.hstack([x_t, features]))
        total = np.diagonal(covariance, axis1=1, axis2=2) / drawn_var
        early, some = t < 3, slice(sizes.n_drawn_rows)
        for name, ratio, bounds in (
            ("exact-moment ReLU", exact[some], (0.7, 1.2)),
            ("exact-moment ReLU, t = 1 and 2", exact[early], (None, None)),
            ("net.covariance", total[some], (0.95, 1.05)),
            ("net.covariance, t = 1 and 2", total[early], (0.95, 1.05)),
        ):
            rows.add(_prediction_target(name, sizes, epochs), float(np.median(ratio)), *bounds)

    model.fit(data.train, n_epochs=first, batch_size=256, progress=False)
    measure(first)
    model.fit(data.train, n_epochs=second - first, batch_size=256, progress=False)
    state = model.net.state_dict()
    model.fit(data.train, n_epochs=last - second, batch_size=256, progress=False)
    measure(last)
    model.net.load_state_dict(state)
    return model


def _trace(covariance: npt.ArrayLike) -> Array:
    return np.asarray(np.trace(covariance, axis1=1, axis2=2), dtype=np.float64)


def _measure_chains(rows: Rows, model: tx.DiffusionModel, sizes: Sizes, seed: int) -> None:
    """Covariances of samples against chains of drawn networks: medians over samples.

    Once more with all variances of parameters a hundredth, where what is exact to first order must
    be exact; the model is then as it was.
    """
    state = model.net.state_dict()
    for scale in (1.0, 0.01):
        model.net.load_state_dict(
            {
                key: value * np.float32(scale) if key.endswith("var") else value
                for key, value in state.items()
            }
        )
        for target, ratio, least, most in _chain_ratios(model, sizes, seed):
            if scale == 1.0:
                rows.add(target, ratio, least, most)
            elif "/ `fixed`" not in target:
                rows.add(f"With variances x {scale:g}: {target}", ratio)
    model.net.load_state_dict(state)
    _measure_few_draws(rows, model, sizes, seed)


def _measure_few_draws(rows: Rows, model: tx.DiffusionModel, sizes: Sizes, seed: int) -> None:
    """Ensembles of few networks; a mean of calls, as all samples of a call err in one direction."""
    many = f"sample(ensemble={sizes.n_many})"
    for few in (4, 8, 16):
        medians = []
        for call in range(sizes.n_calls):
            ratios = [
                _trace(np.asarray(samples.epistemic))
                for samples in (
                    model.sample(sizes.n_chain_samples, seed=100 * seed + call, ensemble=n_draws)
                    for n_draws in (few, sizes.n_many)
                )
            ]
            medians.append(float(np.median(ratios[0] / ratios[1])))
        least, most = (0.9, 1.1) if few == 16 else (None, None)
        rows.add(
            f"sample(ensemble={few}) / {many}",
            float(np.mean(medians)),
            least,
            most,
            note=f"means of {sizes.n_calls} calls",
        )


def _chain_ratios(
    model: tx.DiffusionModel, sizes: Sizes, seed: int
) -> Iterator[tuple[str, float, float | None, float | None]]:
    """Target, median over samples of a ratio of traces, and its bounds."""
    ours = model.sample(sizes.n_chain_samples, seed=seed, trajectory=True, uncertainty=True)
    chosen = model.sample(sizes.n_chain_samples, seed=seed, ensemble=sizes.n_ensemble)
    chains = ours.trajectory
    assert chains is not None and ours.epistemic is not None and chosen.epistemic is not None
    indep, ensemble = _trace(ours.epistemic), _trace(chosen.epistemic)
    by_outputs, by_weights = (
        _trace(reference.redrawn_covariance(model, chains, sizes.n_chains, seed, redraw=redraw))
        for redraw in ("outputs", "weights")
    )
    fixed = _trace(reference.fixed_covariance(model, chains))
    by_ensemble = f"sample(ensemble={sizes.n_ensemble})"
    afresh = "chains that draw {} afresh in each step"
    for target, ratio, least, most in (
        (f"samples.epistemic / {afresh.format('outputs')}", indep / by_outputs, 0.9, 1.1),
        (f"samples.epistemic / {afresh.format('weights')}", indep / by_weights, 0.95, 1.05),
        (f"`fixed` recursion (float64) / {by_ensemble}", fixed / ensemble, 0.84, 1.1),
        ("samples.epistemic / `fixed` recursion", indep / fixed, None, None),
        (f"samples.epistemic / {by_ensemble}", indep / ensemble, None, None),
    ):
        yield target, float(np.median(ratio)), least, most


def _measure_off_manifold(
    rows: Rows, model: tx.DiffusionModel, data: ToyData, sizes: Sizes, seed: int
) -> None:
    samples = model.sample(sizes.n_samples, seed=seed, trajectory=True, uncertainty=True)
    drawn = model.sample(sizes.n_samples, seed=seed, ensemble=16)
    assert samples.trajectory is not None and samples.epistemic is not None
    assert samples.score is not None and drawn.epistemic is not None
    distance, _ = cKDTree(data.train).query(samples.x)
    off = distance > data.off_manifold_radius

    def auroc(uncertainty: Array) -> float:
        if off.all() or not off.any():
            return math.nan
        return metrics.ood_auroc(uncertainty[~off], uncertainty[off])

    name = "AUROC of off-manifold samples,"
    rows.add(f"{name} samples.score", auroc(samples.score.astype(np.float64)), 0.93)
    rows.add(f"{name} trace of samples.epistemic", auroc(_trace(samples.epistemic)))
    rows.add(f"{name} trace of sample(ensemble=16)", auroc(_trace(drawn.epistemic)))
    published = reference.published_var(model, samples.trajectory).sum(axis=1)
    rows.add(f"{name} old recursion", auroc(published), note=".51-.56 in earlier work")
    kept = samples.keep(0.9)
    before = float(off.mean())
    after = metrics.off_manifold_share(kept.x, data.train, data.off_manifold_radius)
    rows.add("Share off the manifold", before)
    rows.add("Share off the manifold after samples.keep(0.9)", after)
    rows.add("Share off before / after samples.keep(0.9)", before / max(after, 1e-9), 4.0)


def _measure_cost(
    rows: Rows, model: tx.DiffusionModel, data: ToyData, sizes: Sizes, seed: int
) -> None:
    """Ratios of the least processor time over rounds, which other work changes little."""
    x_t, t, _ = _noisy(model, data, seed)
    inputs = np.hstack([x_t, reference.time_features("cosine", t, model.n_steps)])
    inputs = inputs[: sizes.n_samples].astype(np.float32)
    one_output = nn.Sequential(
        *(layer for n in (7, 64, 64, 64) for layer in (nn.Linear(n, 64), nn.ReLU())),
        nn.Linear(64, 1),
        seed=seed,
    )
    n_samples = sizes.n_samples // 5

    def cost(call: Callable[[], object], plain: Callable[[], object]) -> float:
        calls = {"call": call, "plain": plain}
        seconds = interleaved_processor_seconds(calls, sizes.n_rounds, sizes.round_seconds)
        return min(seconds["call"]) / min(seconds["plain"])

    def sample(**options: Any) -> Callable[[], object]:
        return lambda: model.sample(n_samples, seed=0, **options)

    def predict(net: nn.Sequential, **options: Any) -> Callable[[], object]:
        return lambda: net(inputs, **options)

    about = "Cost of {}, in plain {}"
    for net, outputs, most in ((one_output, "1 output", 2.0), (model.net, "2 outputs", 3.0)):
        rows.add(
            about.format(f'net(x, variance="calibrated"), {outputs}', "predictions"),
            cost(predict(net, variance="calibrated"), predict(net)),
            most=most,
        )
    drawn = model.net.draw(0)
    rows.add(
        about.format("the prediction of a drawn network", "predictions"),
        cost(predict(drawn), predict(model.net)),
    )
    for text, options, limit in (
        ("sample(uncertainty=True)", {"uncertainty": True}, 3.0),
        ("sample(ensemble=32)", {"ensemble": 32}, 12.0),
    ):
        rows.add(about.format(text, "samplings"), cost(sample(**options), sample()), most=limit)


def _measure_toy(rows: Rows, sizes: Sizes) -> None:
    """The heteroscedastic regression of the shared data, in original units."""
    about = f"Toy heteroscedastic regression, {sizes.n_toy_seeds} seeds:"
    likelihood, interval = f"{about} log-likelihood per test point", f"{about} coverage of 90 %"
    if not TOY_DATA.is_dir():
        for target in (likelihood, interval):
            rows.add(target, [], note="not measured: no shared data here")
        return
    x, y, x_test, y_test = (
        np.loadtxt(TOY_DATA / f"{axis}_{part}_noise.csv", skiprows=1)
        for part in ("train", "test")
        for axis in ("x", "y")
    )

    def standardized(x: Array) -> Array:
        return np.asarray(((x - x_mean) / x_std)[:, np.newaxis])

    x_mean, x_std, y_mean, y_std = x.mean(), x.std(), y.mean(), y.std()
    for seed in range(sizes.n_toy_seeds):
        net = nn.Sequential(
            *(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)),
            noise=tx.Heteroscedastic(gain=1.0),
            seed=seed,
        )
        net.fit(
            *(standardized(x), (y - y_mean) / y_std),
            n_epochs=sizes.toy_epochs,
            batch_size=32,
            progress=False,
        )
        mean, var = (moment[:, 0].astype(np.float64) for moment in net(standardized(x_test)))
        units = y_mean + y_std * mean, y_std**2 * var
        rows.add(likelihood, -metrics.nll_gaussian(y_test, *units), 1.08)
        rows.add(interval, metrics.coverage(y_test, *units, level=0.9), 0.87, 0.93)
