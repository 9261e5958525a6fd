"""Contenders of tables: scores against SciPy and by definition, laws of errors, peers, sets."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np
import pytest

# Scores.


def test_scores() -> None:
    pytest.importorskip("scipy")
    from tagix.bench.tabular.laws import Gaussian, score

    generator = np.random.default_rng(3)
    mean, std = generator.normal(5, 3, size=40), generator.uniform(0.3, 2, size=40)
    y = mean + 1.3 * std * generator.normal(size=40)
    got = score(y, Gaussian(mean, std**2))

    normal = [NormalDist(m, s) for m, s in zip(mean, std, strict=True)]
    assert got["rmse"] == pytest.approx(math.sqrt(sum((y - mean) ** 2) / 40), rel=1e-12)
    log_density = [math.log(each.pdf(value)) for each, value in zip(normal, y, strict=True)]
    assert got["nll"] == pytest.approx(-sum(log_density) / 40, rel=1e-9)
    inside = [
        each.inv_cdf(0.05) <= value <= each.inv_cdf(0.95)
        for each, value in zip(normal, y, strict=True)
    ]
    assert 0 < sum(inside) < 40
    assert got["coverage"] == sum(inside) / 40
    widths = [each.inv_cdf(0.95) - each.inv_cdf(0.05) for each in normal]
    assert got["interval_width"] == pytest.approx(sum(widths) / 40, rel=1e-9)
    levels = [level / 100 for level in range(1, 100)]
    below = [
        sum(value <= each.inv_cdf(level) for each, value in zip(normal, y, strict=True)) / 40
        for level in levels
    ]
    error = sum(abs(share - level) for share, level in zip(below, levels, strict=True)) / 99
    assert got["quantile_calibration_error"] == pytest.approx(error, rel=1e-9)

    crps = [
        crps_by_definition(each.cdf, m, s, value)
        for each, m, s, value in zip(normal, mean, std, y, strict=True)
    ]
    assert got["crps"] == pytest.approx(np.mean(crps), rel=5e-3)


def crps_by_definition(cdf: Callable[[float], float], mean: float, std: float, y: float) -> float:
    """The integral of (F(x) - 1{x >= y})^2, on a fine grid."""
    grid = np.linspace(mean - 12 * std, mean + 12 * std, 20_001)
    distribution = np.array([cdf(point) for point in grid[::100]])
    distribution = np.interp(grid, grid[::100], distribution)
    squares = (distribution - (grid >= y)) ** 2
    return float(np.sum(squares) * (grid[1] - grid[0]))


@pytest.mark.parametrize("freedom", [3.0, 20.0])
def test_scores_of_a_law_with_tails(freedom: float) -> None:
    """By SciPy, and the closed form of its CRPS (Jordan, Krüger and Lerch, 2019)."""
    stats, special = pytest.importorskip("scipy.stats"), pytest.importorskip("scipy.special")
    from tagix.bench.tabular.laws import (
        LEVELS,
        StudentT,
        calibration_error,
        levels_reached,
        score,
    )

    generator = np.random.default_rng(4)
    scale, mean = 0.7, generator.normal(5, 3, size=300)
    frozen = stats.t(freedom, mean, scale)
    y = frozen.rvs(random_state=5)
    y[:2] = 400.0, -400.0  # far out

    law = StudentT(mean, scale, freedom)
    np.testing.assert_allclose(law.var, frozen.var(), rtol=1e-12)
    np.testing.assert_allclose(law.log_density(y), frozen.logpdf(y), rtol=1e-12)
    expected = np.stack([frozen.ppf(level) for level in LEVELS], axis=1)
    np.testing.assert_allclose(law.quantiles(LEVELS), expected, rtol=1e-9)

    got = score(y, law)
    assert got["rmse"] == pytest.approx(math.sqrt(np.mean((y - mean) ** 2)), rel=1e-12)
    assert got["nll"] == pytest.approx(-frozen.logpdf(y).mean(), rel=1e-12)
    low, high = frozen.interval(0.9)
    assert got["coverage"] == np.mean((low < y) & (y < high))
    assert got["interval_width"] == pytest.approx(np.mean(high - low), rel=1e-9)
    z, t = (y - mean) / scale, stats.t(freedom)
    spread = 2 * np.sqrt(freedom) * special.beta(0.5, freedom - 0.5)
    spread /= (freedom - 1) * special.beta(0.5, freedom / 2) ** 2
    crps = z * (2 * t.cdf(z) - 1) + 2 * t.pdf(z) * (freedom + z**2) / (freedom - 1) - spread
    assert got["crps"] == pytest.approx(np.mean(scale * crps), rel=1e-3)
    # By its definition, E|Y - y| - E|Y - Y'|/2, with pairs drawn from the law.
    first, second = frozen.rvs((2, 4000, 300), random_state=6)
    drawn = np.abs(first[:, 2:] - y[2:]).mean(axis=0)
    drawn -= np.abs(first[:, 2:] - second[:, 2:]).mean(axis=0) / 2
    inner = score(y[2:], StudentT(mean[2:], scale, freedom))["crps"]
    assert inner == pytest.approx(drawn.mean(), rel=0.01)

    below = frozen.cdf(y)
    errors = [abs(np.mean(below <= level) - level) for level in LEVELS]
    assert got["quantile_calibration_error"] == pytest.approx(np.mean(errors), rel=1e-9)
    reached = levels_reached(y, law)
    np.testing.assert_array_equal(reached[:2], [1.0, 0.01])
    assert calibration_error(reached) == got["quantile_calibration_error"]


def test_scores_of_classes() -> None:
    from tagix.bench.tabular.laws import score_classes

    labels = np.array([0, 2, 1, 1])
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.6, 0.4, 0.0], [1.0, 0.0, 0.0]])
    got = score_classes(labels, p)
    assert got["accuracy"] == 0.5
    losses = [-math.log(0.5), -math.log(0.7), -math.log(0.4), -math.log(1e-6)]
    assert got["log_loss"] == pytest.approx(sum(losses) / 4, rel=1e-5)
    metrics = pytest.importorskip("sklearn.metrics")
    certain = metrics.log_loss(labels[:3], p[:3], labels=[0, 1, 2])
    assert score_classes(labels[:3], p[:3])["log_loss"] == pytest.approx(certain, rel=1e-5)


# The law of models that predict a number alone.


@pytest.mark.parametrize("freedom", [3.0, 8.0])
def test_student_t_of_errors(freedom: float) -> None:
    """What SciPy's own fit finds, and a likelihood no less."""
    stats = pytest.importorskip("scipy.stats")
    from tagix.bench.tabular.residuals import fit_student_t

    errors = stats.t(freedom, scale=250.0).rvs(2000, random_state=1)
    scale, found = fit_student_t(errors)
    of_scipy, _, scale_of_scipy = stats.t.fit(errors, floc=0)
    assert found == pytest.approx(of_scipy, rel=0.01)
    assert scale == pytest.approx(scale_of_scipy, rel=0.005)
    ours = stats.t(found, scale=scale).logpdf(errors).sum()
    assert ours >= stats.t(of_scipy, scale=scale_of_scipy).logpdf(errors).sum() - 1e-3


def test_student_t_of_errors_has_bounds() -> None:
    stats = pytest.importorskip("scipy.stats")
    from tagix.bench.tabular.residuals import fit_student_t

    gaussian = stats.norm(scale=3.0).rvs(4000, random_state=2)
    scale, freedom = fit_student_t(gaussian)
    assert freedom > 20 and scale == pytest.approx(3.0, rel=0.05)
    cauchy = stats.cauchy.rvs(size=500, random_state=3)
    assert fit_student_t(cauchy)[1] == pytest.approx(2.1)
    with pytest.raises(ValueError, match="errors: got zeros alone"):
        fit_student_t(np.zeros(5))


class Mean:
    """Predicts the mean of the targets that it has learned, and notes what it learned."""

    learned: ClassVar[list[set[float]]] = []

    def fit(self, x: Any, y: Any) -> Mean:
        self.learned.append(set(x[:, 0]))
        self._mean = y.mean()
        return self

    def predict(self, x: Any) -> Any:
        assert not self.learned[-1] & set(x[:, 0]) or len(self.learned) == 6
        return np.full(len(x), self._mean)


def test_errors_are_those_of_rows_left_out() -> None:
    pytest.importorskip("scipy")
    from tagix.bench.tabular.residuals import WithStudentT, fit_student_t, out_of_fold_errors

    x = np.arange(53.0)[:, np.newaxis]
    y = np.random.default_rng(0).normal(7, 2, size=53)
    Mean.learned = []
    errors = out_of_fold_errors(Mean, x, y, seed=1)
    assert [len(rows) for rows in Mean.learned] == [42, 42, 42, 43, 43]
    left_out = [set(range(53)) - rows for rows in Mean.learned]
    assert set().union(*left_out) == set(range(53))
    for rows in left_out:
        others = [k for k in range(53) if k not in rows]
        for k in rows:
            assert errors[int(k)] == pytest.approx(y[int(k)] - y[others].mean())
    np.testing.assert_array_equal(out_of_fold_errors(Mean, x, y, seed=1), errors)
    assert not np.array_equal(out_of_fold_errors(Mean, x, y, seed=2), errors)

    Mean.learned = []
    law = WithStudentT(Mean, seed=1).fit(x, y).predict(x[:3])
    assert (law.scale, law.freedom) == fit_student_t(errors)
    np.testing.assert_allclose(law.mean, y.mean())


# The peers.


def test_the_peer_learns_a_line_and_its_noise() -> None:
    pytest.importorskip("torch")
    from tagix.bench.tabular.deep_ensemble import DeepEnsemble

    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, size=(1200, 2)) * [100.0, 0.01] + [7.0, -3.0]
    noise_std = 2.0
    truth = 0.3 * x[:, 0] - 900 * x[:, 1]
    y = truth + noise_std * generator.normal(size=1200)
    settings: Mapping[str, Any] = {"n_networks": 2, "n_epochs": 30, "batch_size": 32}
    peer = DeepEnsemble(20, learning_rate=0.01, seed=1, **settings).fit(x[:1000], y[:1000])
    mean, var = peer.predict(x[1000:])
    assert mean.shape == var.shape == (200,)
    assert np.sqrt(np.mean((mean - truth[1000:]) ** 2)) < 0.4 * noise_std
    assert np.sqrt(np.median(var)) == pytest.approx(noise_std, rel=0.2)
    again = DeepEnsemble(20, learning_rate=0.01, seed=1, **settings).fit(x[:1000], y[:1000])
    np.testing.assert_array_equal(again.predict(x[1000:])[0], mean)


NUMBERS = [
    "tagix", "ngboost", "catboost", "catboost-rmse", "xgboost-distribution", "lightgbm", "torch",
    "gaussian-process", "mlp", "random-forest", "hist-gradient-boosting",
]  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_models_of_numbers(name: str) -> None:
    """Each is near a line, knows about how far targets are from it, and is repeatable.

    A variance taken for a standard deviation, or the other way round, would be off by 7 or more.
    """
    pytest.importorskip("scipy")
    from tagix.bench.tabular.contenders import CONTENDERS
    from tagix.bench.tabular.laws import score

    contender = CONTENDERS[name]
    pytest.importorskip(contender.module)
    assert contender.regressor is not None
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, size=(400, 2)) * [100.0, 0.01] + [7.0, -3.0]
    noise_std = 50.0
    y = 1e4 + 3 * x[:, 0] - 2e4 * x[:, 1] + noise_std * generator.normal(size=400)
    rows = [contender.regressor(1, contender.arguments) for _ in range(2)]
    laws = []
    for model in rows:
        model.fit(x[:300], y[:300])
        laws.append(model.predict(x[300:]))
    np.testing.assert_array_equal(laws[0].mean, laws[1].mean)
    assert laws[0].mean.shape == laws[0].var.shape == (100,)
    assert laws[0].mean.dtype == laws[0].var.dtype == np.float64
    got = score(y[300:], laws[0])
    assert got["rmse"] < 1.8 * noise_std  # y has a standard deviation of 210
    assert 0.3 < np.sqrt(np.median(laws[0].var)) / noise_std < 2
    assert 0.4 < got["coverage"] <= 1.0  # NGBoost's variances close too far on so few rows


@pytest.mark.parametrize("most_rows", [20, 1000])
def test_gaussian_process_is_that_of_scikit_learn(most_rows: int) -> None:
    """Of a line it knows the noise, and away from rows it is unsure."""
    pytest.importorskip("sklearn")
    from tagix.bench.tabular.regressors import GaussianProcess

    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, size=(200, 1))
    y = 50 * x[:, 0] + 3 * generator.normal(size=200)
    model = GaussianProcess(0, {"most_rows": most_rows}).fit(x, y)
    law = model.predict(np.array([[0.0], [40.0]]))
    assert np.sqrt(law.var[0]) == pytest.approx(3.0, rel=0.4)
    assert law.var[1] > 20 * law.var[0]
    assert len(model._model[-1].X_train_) == min(most_rows, 200)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "name",
    ["tagix", "ngboost", "catboost", "gaussian-process", "mlp", "random-forest",
     "hist-gradient-boosting"],
)  # fmt: skip
def test_models_of_classes(name: str, n_classes: int) -> None:
    pytest.importorskip("scipy")
    from tagix.bench.tabular.contenders import CONTENDERS
    from tagix.bench.tabular.laws import score_classes

    contender = CONTENDERS[name]
    pytest.importorskip(contender.module)
    assert contender.classifier is not None
    generator = np.random.default_rng(1)
    labels = generator.integers(n_classes, size=240)
    x = generator.normal(size=(240, 3)) + 3.0 * np.eye(3)[labels]
    model = contender.classifier(1, contender.class_arguments)
    model.fit(x[:160], labels[:160])
    p = model.predict(x[160:])
    assert p.shape == (80, n_classes) and p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-5)
    got = score_classes(labels[160:], p)
    assert got["accuracy"] > 0.85 and got["log_loss"] < 0.5


def test_a_tenth_stops_boosting() -> None:
    from tagix.bench.tabular.regressors import a_tenth_left_out

    for n_rows, n_left_out in ((4, 1), (95, 10), (300, 30)):
        learned, left_out = a_tenth_left_out(n_rows, 3)
        assert len(left_out) == n_left_out
        assert sorted([*learned, *left_out]) == list(range(n_rows))
    assert a_tenth_left_out(300, 3)[1].tolist() != a_tenth_left_out(300, 4)[1].tolist()


def test_choosing_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    from tagix._optional import MissingExtraError
    from tagix.bench.tabular import contenders

    there = {"torch": "2.0", "lightgbm": "4.0"}
    monkeypatch.setattr(contenders, "version_of", there.get)
    known = ("lightgbm", "ngboost", "torch")
    assert contenders.chosen_peers(["all"], known) == ["lightgbm", "torch"]
    assert contenders.chosen_peers(["none"], known) == []
    assert contenders.chosen_peers(["torch", " lightgbm", "torch"], known) == ["lightgbm", "torch"]
    for names in (["iris"], ["all", "torch"], [""], ["catboost"]):
        with pytest.raises(
            ValueError, match=r"peers: got .*, needed all, none, or some of lightgbm"
        ):
            contenders.chosen_peers(names, known)
    with pytest.raises(MissingExtraError) as caught:
        contenders.chosen_peers(["torch", "ngboost"], known)
    message = "peers: got 'ngboost', and ngboost is not installed: pip install \"tagix[peers]\""
    assert str(caught.value) == message


def test_the_extra_has_every_package_of_peers() -> None:
    tomllib = pytest.importorskip("tomllib")
    from tagix.bench.tabular.contenders import CONTENDERS

    project = Path(__file__).resolve().parents[3] / "pyproject.toml"
    extras = tomllib.loads(project.read_text())["project"]["optional-dependencies"]
    for contender in CONTENDERS.values():
        if contender.extra is not None:
            needed = [line.partition(">=")[0] for line in extras[contender.extra]]
            assert contender.package in needed


# The sets of scikit-learn.


def test_folds_of_ten_sets() -> None:
    pytest.importorskip("sklearn")
    from tagix.bench.sklearn_sets import SETS
    from tagix.bench.sklearn_sets.sets import load_fold

    assert len(SETS) == 10
    assert sum(each.of_classes for each in SETS.values()) == 5
    for name, one_of in SETS.items():
        x, y = one_of.load()
        assert x.dtype == np.float64 and y.dtype == (np.int64 if one_of.of_classes else np.float64)
        if one_of.of_classes:
            assert sorted(set(y)) == list(range(y.max() + 1))
        folds = [load_fold(name, fold) for fold in range(5)]
        whole = np.column_stack([x, y])
        whole = whole[np.lexsort(whole.T)]
        tested = np.vstack([np.column_stack([fold.x_test, fold.y_test]) for fold in folds])
        np.testing.assert_array_equal(tested[np.lexsort(tested.T)], whole)
        for fold in folds:
            rows = np.vstack(
                [
                    np.column_stack([fold.x_train, fold.y_train]),
                    np.column_stack([fold.x_test, fold.y_test]),
                ]
            )
            np.testing.assert_array_equal(rows[np.lexsort(rows.T)], whole)
            if one_of.of_classes:
                for label in set(y):
                    share = np.mean(fold.y_test == label)
                    assert share == pytest.approx(np.mean(y == label), abs=0.04)
    np.testing.assert_array_equal(load_fold("moons", 2).x_test, load_fold("moons", 2).x_test)
    with pytest.raises(ValueError, match="name: got 'boston', needed one of diabetes"):
        load_fold("boston", 0)
    with pytest.raises(ValueError, match="fold: got 5"):
        load_fold("iris", 5)


def test_benchmark_on_sets_of_sklearn(tmp_path: Path) -> None:
    for package in ("scipy", "sklearn", "tqdm"):
        pytest.importorskip(package, reason="needs the extras sklearn and lab")
    from sklearn.ensemble import RandomForestClassifier

    from tagix.bench.sklearn_sets import run_tables
    from tagix.bench.sklearn_sets.sets import load_fold

    document = tmp_path / "page.md"
    document.write_text(
        "before\n<!-- table: tables -->\nformer text\n<!-- end of table -->\nafter\n"
    )
    options: dict[str, Any] = {
        "quick": True,
        "peers": ["random-forest"],
        "n_workers": 1,
        "output_dir": tmp_path / "output",
        "progress": False,
    }
    run = run_tables(["iris", "sparse-linear"], document=document, **options)
    assert (run.n_jobs, run.n_run, run.errors) == (4, 4, ())
    written = json.loads((tmp_path / "output" / "tables.json").read_text())
    scores: Mapping[str, Any] = written["numbers"]["scores"]
    fold = load_fold("iris", 0)
    forest = RandomForestClassifier(random_state=0).fit(fold.x_train, fold.y_train)
    of_iris = scores["classes"]["random-forest"]["iris"]
    assert of_iris["accuracy"]["values"] == [forest.score(fold.x_test, fold.y_test)]
    for method in ("tagix", "random-forest"):
        assert scores["numbers"][method]["sparse-linear"]["rmse"]["mean"] < 3
        assert scores["classes"][method]["iris"]["accuracy"]["mean"] > 0.9
    page = document.read_text()
    assert page.startswith("before\n") and page.endswith("after\n") and "former text" not in page
    command = "tagix bench tables --dataset sparse-linear --dataset iris --quick"
    assert f"{command} --peer random-forest\n" in page
    assert "random forest predicts a number alone" in page

    again = run_tables(["iris"], **{**options, "peers": ["none"]})
    assert (again.n_jobs, again.n_run) == (1, 0)
    assert "### Numbers" not in again.path.read_text()
    assert "--quick --peer none\n" in again.path.read_text()
    if importlib.util.find_spec("catboost") is not None:  # a model of numbers, no job for iris
        of_numbers = run_tables(["iris"], **{**options, "peers": ["catboost-rmse"]})
        assert (of_numbers.n_jobs, of_numbers.n_run, of_numbers.errors) == (1, 0, ())
        assert "CatBoost" not in of_numbers.path.read_text()
    for arguments, message in (
        ({"datasets": ["boston"]}, "datasets: got 'boston', needed some of diabetes"),
        ({"datasets": []}, "datasets: got none"),
        ({"peers": ["torch"]}, "peers: got 'torch'"),
    ):
        with pytest.raises(ValueError, match=message):
            run_tables(**{**options, **arguments})
