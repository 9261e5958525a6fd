"""What is not known between and beyond the rows of a fit: estimators beside HMC and processes.

The references are Hamiltonian Monte Carlo on one network of the recipe's prior with 50 hidden
units, whose noise is inferred, and scikit-learn's Gaussian process with a squared-exponential
kernel of fitted lengths. Errors are those of the estimator's mean, against the law of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_moons
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

import tagix as tx
from tagix import datasets
from tagix.sklearn import TagiClassifier, TagiRegressor

Array = NDArray[np.float64]

WIDTH = 50
GAIN_BIAS = 3.0
N_CHAINS = 4
UCI = ("bostonHousing", "concrete", "energy", "yacht")


class Problem(NamedTuple):
    """A table of a known law, and rows to predict, "data" among them."""

    x: Array
    y: Array
    law: Callable[[Array], Array]
    regions: dict[str, Array]


def two_clusters() -> Problem:
    """sin 2x between -2 and -.8 and between .8 and 2, 200 rows."""
    rng = np.random.default_rng(0)

    def law(x: Array) -> Array:
        return np.sin(2 * x[:, 0])

    x = np.r_[rng.uniform(-2, -0.8, 100), rng.uniform(0.8, 2, 100)][:, None]
    y = law(x) + 0.05 * rng.standard_normal(200)
    data = np.r_[rng.uniform(-2, -0.8, 50), rng.uniform(0.8, 2, 50)][:, None]
    regions = {
        "gap": np.linspace(-0.3, 0.3, 21)[:, None],
        "edge": np.array([[-2.5], [2.5]]),
        "outside": np.array([[-4.0], [4.0]]),
        "far": np.array([[-20.0], [20.0]]),
    }
    return Problem(x, y, law, {"data": data} | regions)


def sine() -> Problem:
    """sin 2x between -3 and 3, 100 rows."""
    rng = np.random.default_rng(1)

    def law(x: Array) -> Array:
        return np.sin(2 * x[:, 0])

    x = rng.uniform(-3, 3, 100)[:, None]
    y = law(x) + 0.2 * rng.standard_normal(100)
    regions = {
        "data": rng.uniform(-3, 3, 100)[:, None],
        "edge": np.array([[-3.5], [3.5]]),
        "outside": np.array([[-6.0], [6.0]]),
        "far": np.array([[-30.0], [30.0]]),
    }
    return Problem(x, y, law, regions)


def ring() -> Problem:
    """sin(2a) cos(2b) about a circle of radius 1, 200 rows."""
    rng = np.random.default_rng(2)

    def law(x: Array) -> Array:
        return np.sin(2 * x[:, 0]) * np.cos(2 * x[:, 1])

    def rows(n: int) -> Array:
        angle, radius = rng.uniform(0, 2 * np.pi, n), 1 + 0.1 * rng.standard_normal(n)
        return np.asarray(radius[:, None] * np.c_[np.cos(angle), np.sin(angle)])

    x = rows(200)
    y = law(x) + 0.1 * rng.standard_normal(200)
    angle = rng.uniform(0, 2 * np.pi, 40)
    circle = np.c_[np.cos(angle), np.sin(angle)]
    regions = {
        "data": rows(100),
        "gap": circle * rng.uniform(0, 0.3, 40)[:, None],
        "edge": 1.6 * circle,
        "outside": 3 * circle,
        "far": 15 * circle,
    }
    return Problem(x, y, law, regions)


def corner() -> Problem:
    """sin(2 w.x) + ab/2 in 8 dimensions, 400 rows, none of which has both a and b above .3."""
    rng = np.random.default_rng(3)
    weights = rng.standard_normal(8) / np.sqrt(8)

    def law(x: Array) -> Array:
        return np.asarray(np.sin(2 * x @ weights) + 0.5 * x[:, 0] * x[:, 1])

    x = rng.standard_normal((1500, 8))
    hole = (x[:, 0] > 0.3) & (x[:, 1] > 0.3)
    train, held_out = x[~hole][:400], x[~hole][600:800]
    y = law(train) + 0.2 * rng.standard_normal(400)
    regions = {"data": held_out, "gap": x[hole][:100]}
    regions |= {"outside": 3 * held_out[:100], "far": 15 * held_out[:100]}
    return Problem(train, y, law, regions)


PROBLEMS = (two_clusters, sine, ring, corner)


class Chains(NamedTuple):
    """Draws of functions: mean and standard deviation of each region, and how chains agree."""

    std: dict[str, Array]
    noise_std: float
    r_hat: float


def hmc(problem: Problem, n_warm: int, n_kept: int, seed: int = 0) -> Chains:
    """Hamiltonian Monte Carlo in all weights, each in units of its prior's standard deviation.

    Chains run side by side. Their steps, 60 to 160 a move, are adapted to an acceptance of .8 while
    they warm up (Hoffman & Gelman, JMLR 2014).
    """
    rng = np.random.default_rng(seed)
    shift, scale = problem.x.mean(axis=0), problem.x.std(axis=0)
    x, unit = (problem.x - shift) / scale, problem.y.std()
    y = (problem.y - problem.y.mean()) / unit
    n_rows, n_features = x.shape
    n_weights = WIDTH * n_features
    spread = np.r_[
        np.full(n_weights, 1 / np.sqrt(n_features)),
        np.full(WIDTH, GAIN_BIAS / np.sqrt(n_features)),
        np.full(WIDTH + 1, 1 / np.sqrt(WIDTH)),
        1.0,
    ]
    centre = np.r_[np.zeros(len(spread) - 1), np.log(0.2)]  # the last one is log noise std

    def parts(theta: Array) -> tuple[Array, Array, Array, Array, Array]:
        real = centre + theta * spread
        cuts = np.cumsum([n_weights, WIDTH, WIDTH, 1])
        weights, bias, above, offset, log_std = np.split(real, cuts, axis=1)
        weights = weights.reshape(-1, WIDTH, n_features)
        return weights, bias, above, offset, log_std

    def hidden(rows: Array, weights: Array, bias: Array) -> Array:
        return np.asarray(np.matmul(rows, weights.transpose(0, 2, 1)) + bias[:, None])

    def log_density(theta: Array) -> tuple[Array, Array]:
        weights, bias, above, offset, log_std = parts(theta)
        below = hidden(x, weights, bias)
        active = np.maximum(below, 0)
        error = y - np.matmul(active, above[..., None])[..., 0] - offset
        precision, squares = np.exp(-2 * log_std), np.sum(error**2, axis=1, keepdims=True)
        value = -0.5 * squares * precision - n_rows * log_std
        pull = error * precision
        to_above = np.matmul(pull[:, None], active)[:, 0]
        to_below = pull[..., None] * above[:, None] * (below > 0)
        to_weights = np.matmul(to_below.transpose(0, 2, 1), x).reshape(len(theta), -1)
        gradient = np.hstack(
            [
                *(to_weights, to_below.sum(axis=1), to_above, pull.sum(axis=1, keepdims=True)),
                squares * precision - n_rows,
            ]
        )
        return value[:, 0] - 0.5 * np.sum(theta**2, axis=1), gradient * spread - theta

    theta = rng.standard_normal((N_CHAINS, len(spread)))
    value, gradient = log_density(theta)
    step, drift, averaged = np.full(N_CHAINS, 0.003), np.zeros(N_CHAINS), np.log(0.003)
    draws = []
    for move in range(n_warm + n_kept):
        momentum = rng.standard_normal(theta.shape)
        start = value - 0.5 * np.sum(momentum**2, axis=1)
        size = (step * rng.uniform(0.8, 1.2))[:, None]
        there, slope, end = theta, gradient, value
        with np.errstate(over="ignore", invalid="ignore"):  # a step too long is not taken
            for _ in range(20 if move < 50 else int(rng.integers(60, 160))):
                momentum = momentum + 0.5 * size * slope
                there = there + size * momentum
                end, slope = log_density(there)
                momentum = momentum + 0.5 * size * slope
            ratio = np.nan_to_num(end - 0.5 * np.sum(momentum**2, axis=1) - start, nan=-np.inf)
        chance = np.exp(np.minimum(ratio, 0))
        taken = rng.uniform(size=N_CHAINS) < chance
        theta, gradient = (
            np.where(taken[:, None], new, old) for new, old in ((there, theta), (slope, gradient))
        )
        value = np.where(taken, end, value)
        if move < n_warm:
            count = move + 1.0
            drift = drift + (0.8 - chance - drift) / (count + 10)
            log_step = np.log(0.03) - 20 * np.sqrt(count) * drift
            averaged = averaged + count**-0.75 * (log_step - averaged)
            step = np.exp(log_step if count < n_warm else averaged)
        elif move % 4 == 0:
            draws.append(theta)

    std, r_hats = {}, []
    for name, rows in problem.regions.items():
        functions = []
        for draw in draws:
            weights, bias, above, offset, _ = parts(draw)
            active = np.maximum(hidden((rows - shift) / scale, weights, bias), 0)
            functions.append(np.matmul(active, above[..., None])[..., 0] + offset)
        values = unit * np.array(functions)  # draws, chains, rows
        std[name] = values.reshape(-1, len(rows)).std(axis=0)
        within = values.var(axis=0, ddof=1).mean(axis=0)
        between = values.mean(axis=0).var(axis=0, ddof=1)
        r_hats.append(np.median(np.sqrt(1 - 1 / len(values) + between / within)))
    noise = np.exp(np.mean([parts(draw)[-1] for draw in draws])) * unit
    return Chains(std, float(noise), float(max(r_hats)))


def gaussian_process(problem: Problem) -> dict[str, Array]:
    """Standard deviations of the function, the noise left out."""
    kernel = ConstantKernel(1.0) * RBF(np.ones(problem.x.shape[1])) + WhiteKernel(0.1)
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    process.fit(problem.x, problem.y)
    noise = process.kernel_.k2.noise_level * problem.y.var()
    return {
        name: np.sqrt(np.maximum(process.predict(rows, return_std=True)[1] ** 2 - noise, 0))
        for name, rows in problem.regions.items()
    }


def epistemic(model: TagiRegressor, problem: Problem) -> dict[str, Array]:
    """Standard deviations of what the estimator does not know."""
    return {
        name: np.sqrt(model._predict(rows, None).epistemic)
        for name, rows in problem.regions.items()
    }


def measure(make: Callable[[], Problem], quick: bool) -> None:
    """Print a table for one problem."""
    problem = make()
    chains = hmc(problem, *((60, 60) if quick else (250, 400)))
    fits = {
        f"tagix, {size} networks, novelty={novelty}": TagiRegressor(
            n_estimators=size, novelty=novelty, random_state=0
        ).fit(problem.x, problem.y)
        for size, novelty in ((1, False), (5, False), (5, True))
    }
    rows = {"HMC": chains.std, "Gaussian process": gaussian_process(problem)}
    rows |= {name: epistemic(model, problem) for name, model in fits.items()}
    model = fits["tagix, 5 networks, novelty=True"]
    rows["error of the mean of 5 networks"] = {
        name: model.predict(where) - problem.law(where) for name, where in problem.regions.items()
    }
    print(f"\n{make.__doc__} HMC: R-hat {chains.r_hat:.3f}, noise {chains.noise_std:.3f}.\n")
    print("| std (and by that at the data) |", " | ".join(problem.regions), "|")
    print("| --- |", " | ".join("---:" for _ in problem.regions), "|")
    for name, values in rows.items():
        sizes = {where: np.sqrt(np.mean(part**2)) for where, part in values.items()}
        cells = (f"{size:.3f} ({size / sizes['data']:.1f})" for size in sizes.values())
        print(f"| {name} |", " | ".join(cells), "|")


def laws(rng: np.random.Generator) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """Functions of one variable, drawn at random."""
    for _ in range(8):
        yield "waves", partial(_wave, rng.normal(), rng.uniform(1, 3), rng.uniform(0, 6))
    for _ in range(6):
        parts = 1.2 * rng.normal(size=40), rng.uniform(0, 6.3, 40), rng.normal(size=40)
        yield "draws of a process", partial(_draw, *parts)
    for _ in range(6):
        yield "kinks", partial(_kinks, rng.normal(size=3), rng.uniform(-1, 1, 3))
    for slope in rng.normal(size=5):
        yield "straight lines", partial(np.multiply, slope)


def _wave(slope: float, length: float, phase: float, x: Array) -> Array:
    return np.asarray(np.sin(length * x + phase) + 0.3 * slope * x)


def _draw(frequencies: Array, phases: Array, sizes: Array, x: Array) -> Array:
    waves = np.cos(np.multiply.outer(x, frequencies) + phases)
    return np.asarray(waves @ sizes / np.sqrt(20))


def _kinks(slopes: Array, places: Array, x: Array) -> Array:
    return np.asarray(np.maximum(np.subtract.outer(x, places), 0) @ slopes)


def measure_laws() -> None:
    """Errors beside what is predicted of them, for laws that two clusters show in part."""
    rng = np.random.default_rng(0)
    regions = {
        "gap": np.linspace(-0.6, 0.6, 25),
        "edge": np.r_[np.linspace(-2.6, -2.1, 6), np.linspace(2.1, 2.6, 6)],
        "outside": np.r_[np.linspace(-5, -3, 6), np.linspace(3, 5, 6)],
    }
    rows: dict[tuple[str, str], list[list[float]]] = {}
    for kind, law in laws(rng):
        x = np.r_[rng.uniform(-2, -0.8, 100), rng.uniform(0.8, 2, 100)]
        y = law(x)
        y = y + (0.05 * y.std() + 1e-3) * rng.normal(size=200)
        models = [
            TagiRegressor(novelty=novelty, random_state=0).fit(x[:, None], y)
            for novelty in (False, True)
        ]
        for region, places in regions.items():
            error = np.abs(models[0].predict(places[:, None]) - law(places))
            stds = [model.predict(places[:, None], return_std=True)[1] for model in models]
            inside = [float(np.mean(error < 1.645 * std)) for std in stds]
            sizes = [float(np.sqrt(np.mean(each**2))) for each in (*stds, error)]
            rows.setdefault((kind, region), []).append(inside + sizes)
    print("\n| laws | region | in 90 % intervals | with novelty | std | with novelty | error |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for names, values in rows.items():
        print("|", " | ".join([*names, *(f"{mean:.2f}" for mean in np.mean(values, axis=0))]), "|")


def measure_uci(folder: Path) -> None:
    """Leave out the middle third, or the upper fifth, of one column after the other."""
    print("\n| set, left out of each column | log-likelihood | with novelty | coverage |  |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in UCI:
        split = datasets.load_uci(folder, name, 0)
        x = np.r_[split.x_train, split.x_test]
        y = np.r_[np.ravel(split.y_train), np.ravel(split.y_test)]
        for low, high in ((1 / 3, 2 / 3), (0.8, 1.0)):
            scores = []
            for column in x.T:
                bounds = np.quantile(column, [low, high])
                left = (column > bounds[0]) & ((column < bounds[1]) | (high == 1.0))
                if 20 <= left.sum() <= len(x) - 40:
                    scores.append(_scores(x, y, left))
            means = np.mean(scores, axis=0)
            where = "middle third" if high < 1 else "upper fifth"
            cells = " | ".join(f"{mean:.2f}" for mean in means)
            print(f"| {name}, {where} | {cells} |")


def _scores(x: Array, y: Array, left: NDArray[np.bool_]) -> list[float]:
    """Log-likelihoods without and with novelty, and shares in 90 % intervals."""
    likelihoods, shares = [], []
    for novelty in (False, True):
        model = TagiRegressor(novelty=novelty, random_state=0).fit(x[~left], y[~left])
        low, high = model.predict_interval(x[left], level=0.9).T
        likelihoods.append(float(model.log_prob(x[left], y[left]).mean()))
        shares.append(float(np.mean((low <= y[left]) & (y[left] <= high))))
    return [*likelihoods, *shares]


def measure_random_splits(folder: Path, n_splits: int = 10) -> None:
    """What novelty does to rows like those of the fit, with standard errors over splits."""
    print("\n| set, rows left out at random | change of log-likelihood | of coverage |")
    print("| --- | ---: | ---: |")
    for name in (*UCI, "wine-quality-red"):
        changes = []
        for number in range(n_splits):
            split = datasets.load_uci(folder, name, number)
            x = np.r_[split.x_train, split.x_test]
            y = np.r_[np.ravel(split.y_train), np.ravel(split.y_test)]
            without, with_it, inside, inside_with = _scores(
                x, y, np.arange(len(x)) >= len(split.x_train)
            )
            changes.append([with_it - without, inside_with - inside])
        mean, error = np.mean(changes, axis=0), np.std(changes, axis=0) / np.sqrt(n_splits - 1)
        print(f"| {name} | {mean[0]:+.4f} +- {error[0]:.4f} | {mean[1]:+.4f} +- {error[1]:.4f} |")


def measure_moons() -> None:
    """Mean confidence on circles about two moons, and the log-likelihood of rows like theirs."""
    x, y = make_moons(400, noise=0.1, random_state=0)
    others, labels = make_moons(2000, noise=0.1, random_state=1)
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    models = {
        "Gaussian process": GaussianProcessClassifier(RBF(), random_state=0),
        "novelty=False": TagiClassifier(novelty=False, random_state=0),
        "the default": TagiClassifier(random_state=0),
    }
    radii = (2.0, 3.0, 10.0, 100.0, 1e6)
    print("\n| radius |", " | ".join(f"{radius:g}" for radius in radii), "| among the rows |")
    print("| --- |", " | ".join("---:" for _ in (*radii, 0)), "|")
    for name, model in models.items():
        model.fit(x, y)
        confidences = [
            model.predict_proba(radius * circle + x.mean(axis=0)).max(axis=1).mean()
            for radius in radii
        ]
        likelihood = np.log(model.predict_proba(others)[np.arange(2000), labels]).mean()
        cells = " | ".join(f"{confidence:.2f}" for confidence in confidences)
        print(f"| {name} | {cells} | {likelihood:.3f} |")


def run(n_threads: int, quick: bool, uci: Path | None) -> None:
    """Measure and print."""
    tx.set_num_threads(n_threads)
    for make in PROBLEMS[:1] if quick else PROBLEMS:
        measure(make, quick)
    measure_moons()
    measure_laws()
    if uci is not None:
        measure_random_splits(uci)
        measure_uci(uci)
