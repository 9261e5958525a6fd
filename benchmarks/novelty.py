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

from tagix import datasets
from tagix.bench.compare import Summary
from tagix.bench.markdown import markdown_table
from tagix.bench.threads import set_threads
from tagix.reference import hamiltonian
from tagix.sklearn import TagiClassifier, TagiRegressor

Array = NDArray[np.float64]

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
    n_warm, n_kept = (60, 60) if quick else (250, 400)
    chains = hamiltonian(problem.x, problem.y, problem.regions, n_warm, n_kept, gain_bias=3.0)
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
    lines = []
    for name, values in rows.items():
        sizes = {where: np.sqrt(np.mean(part**2)) for where, part in values.items()}
        cells = (f"{size:.3f} ({size / sizes['data']:.1f})" for size in sizes.values())
        lines.append([name, *cells])
    print(markdown_table(["std (and by that at the data)", *problem.regions], lines))


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
    head = ["laws", "region", "in 90 % intervals", "with novelty", "std", "with novelty", "error"]
    lines = [
        [*names, *(f"{mean:.2f}" for mean in np.mean(values, axis=0))]
        for names, values in rows.items()
    ]
    print(f"\n{markdown_table(head, lines, n_left=2)}")


def measure_uci(folder: Path) -> None:
    """Leave out the middle third, or the upper fifth, of one column after the other."""
    lines = []
    for name in UCI:
        x, y, _ = _all_rows(folder, name, 0)
        for low, high in ((1 / 3, 2 / 3), (0.8, 1.0)):
            scores = []
            for column in x.T:
                bounds = np.quantile(column, [low, high])
                left = (column > bounds[0]) & ((column < bounds[1]) | (high == 1.0))
                if 20 <= left.sum() <= len(x) - 40:
                    scores.append(_scores(x, y, left))
            means = np.mean(scores, axis=0)
            where = "middle third" if high < 1 else "upper fifth"
            lines.append([f"{name}, {where}", *(f"{mean:.2f}" for mean in means)])
    head = ["set, left out of each column", "log-likelihood", "with novelty", "coverage", ""]
    print(f"\n{markdown_table(head, lines)}")


def _all_rows(folder: Path, name: str, split: int) -> tuple[Array, Array, int]:
    """Train and test rows of a set, one after the other, their targets, and how many train."""
    data = datasets.load_uci(folder, name, split)
    y = np.r_[np.ravel(data.y_train), np.ravel(data.y_test)]
    return np.r_[data.x_train, data.x_test], y, len(data.x_train)


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
    lines = []
    for name in (*UCI, "wine-quality-red"):
        changes = []
        for number in range(n_splits):
            x, y, n_train = _all_rows(folder, name, number)
            without, with_it, inside, inside_with = _scores(x, y, np.arange(len(x)) >= n_train)
            changes.append([with_it - without, inside_with - inside])
        summaries = (Summary(each) for each in zip(*changes, strict=True))
        cells = (f"{each.mean:+.4f} ± {each.standard_error:.4f}" for each in summaries)
        lines.append([name, *cells])
    head = ["set, rows left out at random", "change of log-likelihood", "of coverage"]
    print(f"\n{markdown_table(head, lines)}")


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
    lines = []
    for name, model in models.items():
        model.fit(x, y)
        confidences = [
            model.predict_proba(radius * circle + x.mean(axis=0)).max(axis=1).mean()
            for radius in radii
        ]
        likelihood = np.log(model.predict_proba(others)[np.arange(2000), labels]).mean()
        cells = (f"{confidence:.2f}" for confidence in confidences)
        lines.append([name, *cells, f"{likelihood:.3f}"])
    head = ["radius", *(f"{radius:g}" for radius in radii), "among the rows"]
    print(f"\n{markdown_table(head, lines)}")


def run(n_threads: int, quick: bool, uci: Path | None) -> None:
    """Measure and print."""
    set_threads(n_threads, torch=False)
    for make in PROBLEMS[:1] if quick else PROBLEMS:
        measure(make, quick)
    measure_moons()
    measure_laws()
    if uci is not None:
        measure_random_splits(uci)
        measure_uci(uci)
