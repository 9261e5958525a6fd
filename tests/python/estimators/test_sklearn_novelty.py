"""What estimators know between and beyond their rows, beside processes and closed forms."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from helpers import OLD_FILES, rewrite_file
from sklearn.datasets import load_breast_cancer, load_digits, make_blobs, make_moons
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import train_test_split

import tagix as tx
from tagix import metrics
from tagix._rescaling import Units
from tagix.sklearn import TagiClassifier, TagiRegressor, _prior_kernel

Array = np.ndarray


def two_clusters() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    x = np.r_[rng.uniform(-2, -0.8, 100), rng.uniform(0.8, 2, 100)][:, None]
    return x, np.sin(2 * x[:, 0]) + 0.05 * rng.standard_normal(200)


@pytest.fixture(scope="module")
def clusters() -> TagiRegressor:
    return TagiRegressor(random_state=0).fit(*two_clusters())


def without(model: Any) -> Any:
    """The same networks, and nothing of novelty."""
    plain = copy.deepcopy(model)
    plain._novelty = None
    return plain


def epistemic_std(model: TagiRegressor, rows: Any) -> Array:
    """What :meth:`TagiRegressor.predict_var` says is not known."""
    return np.sqrt(model.predict_var(rows).epistemic)


def covariance(rows: Array, others: Array) -> Array:
    """Of a wide network's outputs with one hidden layer of 50, by the angle between its inputs."""
    n_features = rows.shape[1]
    a, b = (np.c_[each, np.full(len(each), 3.0)] / np.sqrt(n_features) for each in (rows, others))
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    angle = np.arccos(np.clip(a @ b.T / lengths, -1, 1))
    return lengths * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi) + 1 / 50


@pytest.mark.parametrize("hidden", [(), (50,), (20, 30)])
def test_kernel_is_the_covariance_of_random_networks(hidden: tuple[int, ...]) -> None:
    """Monte Carlo over networks of the recipe's prior: weights 1/fan_in, first biases 9/fan_in."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5, 3))
    gain, n_networks = 9.0 if hidden else 1.0, 8000
    values = np.broadcast_to(rows, (n_networks, 5, 3))
    for width in hidden:
        fan_in = values.shape[-1]
        weights = rng.standard_normal((n_networks, fan_in, width)) / np.sqrt(fan_in)
        bias = rng.standard_normal((n_networks, 1, width)) * np.sqrt(gain / fan_in)
        values, gain = np.maximum(values @ weights + bias, 0.0), 1.0
    # Over the weights of the last layer the mean is known.
    products = np.matmul(values, values.transpose(0, 2, 1)).mean(axis=0)
    total = (products + gain) / values.shape[-1]
    kernel = _prior_kernel.kernel(rows, rows, hidden)
    np.testing.assert_allclose(kernel, total, rtol=0.03, atol=0.01)
    np.testing.assert_allclose(
        np.diagonal(kernel), _prior_kernel.variances(rows, hidden), rtol=1e-12
    )


def test_variance_is_that_of_the_gaussian_process() -> None:
    """Of a process with that kernel, worked out with all rows; its level, one row left out each."""
    rng = np.random.default_rng(1)
    X = rng.uniform(-2, 2, (60, 2))
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(60)
    model = TagiRegressor((50,), max_epochs=5, random_state=0).fit(X, y)
    novelty = model._novelty
    queries = rng.uniform(-6, 6, (40, 2))
    seen, where = ((each - X.mean(0)) / X.std(0) * novelty.scale for each in (X, queries))

    def variance(rows: Array, queries: Array) -> Array:
        gram = covariance(rows, rows) + novelty.noise_ratio * np.eye(len(rows))
        across = covariance(rows, queries)
        prior = np.diagonal(covariance(queries, queries))
        return prior - np.sum(across * np.linalg.solve(gram, across), axis=0)

    x = ((queries - X.mean(0)) / X.std(0)).astype(np.float32)
    np.testing.assert_allclose(novelty.posterior(x)[0], variance(seen, where), rtol=0.02)
    keep = ~np.eye(60, dtype=bool)
    held_out = [variance(seen[rest], seen[~rest])[0] for rest in keep]
    assert novelty.level == pytest.approx(np.quantile(held_out, 0.95), rel=0.02)
    unknown = variance(seen, where)
    excess = novelty.amplitude * np.maximum(unknown - novelty.level, 0) ** 2 / unknown
    np.testing.assert_allclose(novelty.excess(x)[:, 0], excess, rtol=0.03, atol=1e-3 * excess.max())

    gram = covariance(seen, seen) + novelty.noise_ratio * np.eye(60)
    expected = y.mean() + covariance(where, seen) @ np.linalg.solve(gram, y - y.mean())
    np.testing.assert_allclose(novelty.posterior(x)[1][:, 0], expected, rtol=0.02, atol=0.02)
    shifted = novelty.excess(x, expected[:, None] + 0.5)[:, 0] - novelty.excess(x)[:, 0]
    share = np.maximum(1 - novelty.level / variance(seen, where), 0) ** 2
    np.testing.assert_allclose(shifted, 0.25 * share, rtol=0.1, atol=0.01)

    # Noise and amplitude: no other pair is likelier, by the density of all targets together.
    def log_density(amplitude: float, ratio: float) -> float:
        matrix = amplitude * (covariance(seen, seen) + ratio * np.eye(60))
        centred = y - y.mean()
        log_determinant = np.linalg.slogdet(matrix)[1]
        return -0.5 * (log_determinant + centred @ np.linalg.solve(matrix, centred))

    amplitude, ratio = float(novelty.amplitude[0]), novelty.noise_ratio
    best = log_density(amplitude, ratio)
    for factor in (0.5, 2.0):
        assert log_density(amplitude * factor, ratio) < best
        assert log_density(amplitude / factor, ratio * factor) < best


def test_two_clusters_beside_a_gaussian_process(clusters: TagiRegressor) -> None:
    """Where it is sure the estimator is as it was; in the gap and beyond as unsure as needed."""
    X, y = two_clusters()
    process = GaussianProcessRegressor(
        ConstantKernel() * RBF() + WhiteKernel(0.01), normalize_y=True, random_state=0
    ).fit(X, y)
    noise = process.kernel_.k2.noise_level * y.var()
    rng = np.random.default_rng(2)
    data = np.r_[rng.uniform(-1.9, -0.9, 50), rng.uniform(0.9, 1.9, 50)][:, None]
    gap = np.linspace(-0.3, 0.3, 7)[:, None]
    edge, outside = np.array([[-2.5], [2.5]]), np.array([[-4.0], [4.0]])
    stds = [epistemic_std(clusters, rows).mean() for rows in (data, gap, edge, outside)]
    reference = [
        np.sqrt(process.predict(rows, return_std=True)[1] ** 2 - noise).mean()
        for rows in (data, gap, edge, outside)
    ]
    assert stds[1] / stds[0] > 0.5 * reference[1] / reference[0]
    assert all(mine > theirs for mine, theirs in zip(stds[1:], reference[1:], strict=True))
    # And as unsure as it is wrong: a wave turns back where the mean goes straight on.
    far = np.r_[gap, np.linspace(-12, -2, 21)[:, None], np.linspace(2, 12, 21)[:, None]]
    mean, std = clusters.predict(far, return_std=True)
    error = np.abs(mean - np.sin(2 * far[:, 0]))
    plain = without(clusters).predict(far, return_std=True)[1]
    assert np.mean(error < 3 * std) > 0.8 and np.mean(error < 3 * plain) < 0.6
    np.testing.assert_allclose(
        clusters.predict(data, return_std=True)[1],
        without(clusters).predict(data, return_std=True)[1],
        rtol=0.01,
    )


def test_laws_drawn_at_random() -> None:
    """Errors in the gap of smooth laws and of such with kinks are of the size that is predicted."""
    rng = np.random.default_rng(12)
    gap = np.linspace(-0.6, 0.6, 13)[:, None]
    inside, before = [], []
    for number in range(8):
        if number % 2:
            frequencies, phases, sizes = rng.normal(size=(3, 40)) * [[1.2], [9.0], [0.2]]

            def law(x: Array, w: Array = frequencies, p: Array = phases, a: Array = sizes) -> Array:
                return np.sum(a * np.cos(x * w + p), axis=1)
        else:
            slopes, places = rng.normal(size=3), rng.uniform(-1, 1, 3)

            def law(x: Array, a: Array = slopes, c: Array = places, _: Any = None) -> Array:
                return np.sum(a * np.maximum(x - c, 0), axis=1)

        x = two_clusters()[0]
        model = TagiRegressor(random_state=0).fit(x, law(x) + 0.03 * rng.normal(size=200))
        error = np.abs(model.predict(gap) - law(gap))
        for each, shares in ((model, inside), (without(model), before)):
            shares.append(np.mean(error < 2 * each.predict(gap, return_std=True)[1]))
    assert np.mean(inside) > 0.75 > np.mean(before) + 0.1


def test_ring() -> None:
    """The middle of a ring, which lies within the range of each column, is unknown."""
    rng = np.random.default_rng(3)
    angle, radius = rng.uniform(0, 2 * np.pi, 300), 1 + 0.1 * rng.standard_normal(300)
    X = radius[:, None] * np.c_[np.cos(angle), np.sin(angle)]
    y = np.sin(2 * X[:, 0]) * np.cos(2 * X[:, 1]) + 0.1 * rng.standard_normal(300)
    model = TagiRegressor(random_state=0).fit(X[:200], y[:200])
    middle = rng.uniform(-0.2, 0.2, (20, 2))
    gain = epistemic_std(model, middle) / epistemic_std(without(model), middle)
    assert gain.min() > 1.2 and np.median(gain) > 1.5
    data = model.predict(X[200:], return_std=True)[1]
    plain = without(model).predict(X[200:], return_std=True)[1]
    assert np.mean(data > 1.05 * plain) < 0.15 and np.median(data / plain) == 1.0


@pytest.mark.parametrize("matters", [True, False])
def test_gaps_count_in_columns_that_matter(matters: bool) -> None:
    """Of eight columns one has a gap; where the law does not follow it, there is none to mind."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((900, 8))
    gap = np.abs(X[:, 0]) < 0.7
    y = np.sin(2 * X[:, 0 if matters else 1]) + 0.5 * X[:, 2] + 0.1 * rng.standard_normal(900)
    model = TagiRegressor(random_state=0).fit(X[~gap], y[~gap])
    gain = epistemic_std(model, X[gap]) / epistemic_std(without(model), X[gap])
    assert (np.median(gain) > 1.2) if matters else (np.median(gain) < 1.1)
    error = model.predict(X[gap]) - y[gap]
    law = np.sin(2 * X[gap, 0 if matters else 1]) + 0.5 * X[gap, 2]
    epistemic = model.predict_var(X[gap]).epistemic
    assert np.mean((model.predict(X[gap]) - law) ** 2 / epistemic) < 1.3
    assert np.mean(np.abs(error) < 1.645 * model.predict(X[gap], return_std=True)[1]) > 0.86


def test_many_columns_and_few_rows() -> None:
    """Every row of 13 columns is far from every other, and none the less known as they are."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((1300, 13)) @ rng.standard_normal((13, 13))
    y = X[:, 0] + np.sin(X[:, 1]) + 0.5 * rng.standard_normal(1300)
    model = TagiRegressor(random_state=0).fit(X[:300], y[:300])
    mean, std = model.predict(X[300:], return_std=True)
    plain = without(model).predict(X[300:], return_std=True)[1]
    assert np.mean(std > 1.05 * plain) < 0.15
    assert 0.85 < metrics.coverage(y[300:], mean, std**2, level=0.9) < 0.97
    score, before = (-metrics.nll_gaussian(y[300:], mean, each**2) for each in (std, plain))
    assert score > before - 0.01
    assert model.predict(8 * X[:5], return_std=True)[1].min() > 2 * np.median(std)


def test_moons_far_away() -> None:
    """Confidence falls to one half, and among the rows nothing is lost."""
    X, labels = make_moons(1200, noise=0.2, random_state=1)
    model = TagiClassifier(random_state=0).fit(X[:400], labels[:400])
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    circle = np.c_[np.cos(angle), np.sin(angle)]
    share = labels[:400].mean()
    for radius, most in ((10, 0.06), (100, 0.03), (1e6, 0.01)):
        far = model.predict_proba(X.mean(axis=0) + radius * circle)
        np.testing.assert_allclose(far[:, 1], share, atol=most)
    plain = without(model)
    assert plain.predict_proba(1e6 * circle).max() > 0.9
    ours, theirs = model.predict_proba(X[400:]), plain.predict_proba(X[400:])
    np.testing.assert_allclose(ours.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))
    right = np.arange(800), labels[400:]
    assert np.log(ours[right]).mean() > np.log(theirs[right]).mean() - 0.002


def test_blobs_beside_a_gaussian_process_classifier() -> None:
    """Between two blobs and to their sides, along the boundary and across it."""
    X, labels = make_blobs(200, centers=[[-3, 0], [3, 0]], cluster_std=0.7, random_state=0)
    process = GaussianProcessClassifier(ConstantKernel() * RBF(), random_state=0).fit(X, labels)
    model = TagiClassifier(random_state=0).fit(X, labels)
    away = np.array([[0, 0], [0, 8], [0, -8], [1e6, 0], [-1e6, 1e6], [3, 1e6]], float)
    ours, theirs = model.predict_proba(away), process.predict_proba(away)
    np.testing.assert_allclose(ours[:3], theirs[:3], atol=0.3)
    np.testing.assert_allclose(ours[3:], theirs[3:], atol=0.1)
    assert model.predict_proba(X).max(axis=1).min() > 0.9


@pytest.mark.parametrize("load", [load_digits, load_breast_cancer])
def test_held_out_classes(load: Any) -> None:
    """Log loss no worse than without by more than noise, and hardly an answer that differs."""
    X, labels = load(return_X_y=True)
    train, test, learned, held_out = train_test_split(X, labels, test_size=0.4, random_state=0)
    model = TagiClassifier(max_epochs=20, random_state=0).fit(train, learned)
    ours, theirs = model.predict_proba(test), without(model).predict_proba(test)
    right = np.arange(len(test)), held_out
    assert np.log(ours[right]).mean() > np.log(theirs[right]).mean() - 0.01
    correct = [np.mean(each.argmax(axis=1) == held_out) for each in (ours, theirs)]
    assert correct[0] >= correct[1] - 0.005


def test_rare_classes_keep_their_share() -> None:
    """Probabilities of novel rows go to the shares of the classes, not to equal ones."""
    rng = np.random.default_rng(6)
    X = rng.standard_normal((2000, 3))
    labels = np.where(X[:, 0] + 0.5 * rng.standard_normal(2000) > 2.2, "rare", "usual")
    share = np.mean(labels == "rare")
    model = TagiClassifier(random_state=0).fit(X[:1000], labels[:1000])
    far = model.predict_proba(1e5 * X[:20])[:, 0]
    np.testing.assert_allclose(far, np.mean(labels[:1000] == "rare"), atol=0.06)
    means = [each.predict_proba(X[1000:])[:, 0].mean() for each in (model, without(model))]
    assert abs(means[0] - means[1]) < 0.1 * share


def test_rows_of_partial_fit_become_known(clusters: TagiRegressor) -> None:
    rng = np.random.default_rng(7)
    model = copy.deepcopy(clusters)
    x = rng.uniform(-0.8, 0.8, 60)[:, None]
    gap, beyond = np.linspace(-0.4, 0.4, 5)[:, None], np.array([[-5.0], [5.0]])
    before = model._novelty
    model.partial_fit(x, np.sin(2 * x[:, 0]) + 0.05 * rng.standard_normal(60))
    assert before is not model._novelty
    rows = [model._x_scaler.inputs(each)[0] for each in (gap, beyond)]
    old = [clusters._x_scaler.inputs(each)[0] for each in (gap, beyond)]
    assert before.excess(old[0]).min() > 1e-3
    assert model._novelty.excess(rows[0]).max() < 0.02 * before.excess(old[0]).max()
    np.testing.assert_allclose(model._novelty.excess(rows[1]), before.excess(old[1]), rtol=0.05)


def test_new_units_do_not_change_it(clusters: TagiRegressor) -> None:
    """The same rows in units of another mean and scale."""
    queries = np.array([[0.0], [3.0], [-4.0], [10.0]])
    old, new = (Units(np.array([m]), np.array([s])) for m, s in ((0.0, 1.0), (0.4, 2.5)))
    model = clusters._novelty
    assert model is not None
    after = model.in_units(old, new).excess(((queries - 0.4) / 2.5).astype(np.float32))
    np.testing.assert_allclose(after, model.excess(queries.astype(np.float32)), rtol=1e-4)
    assert not np.allclose(after, model.excess(((queries - 0.4) / 2.5).astype(np.float32)))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_single_rows_end_it(clusters: TagiRegressor) -> None:
    x, y = two_clusters()
    for n_estimators in (1, 2):
        model = TagiRegressor(n_estimators=n_estimators, max_epochs=3, random_state=0).fit(x, y)
        one = model.predict_one({"a": 6.0}, return_std=True)
        np.testing.assert_allclose(one, np.ravel(model.predict([[6.0]], return_std=True)))
        model.learn_one({"a": 1.0}, 0.9)
        assert model._novelty is None
        one = model.predict_one({"a": 6.0}, return_std=True)
        np.testing.assert_allclose(
            one, np.ravel(model.predict([[6.0]], return_std=True)), rtol=1e-5
        )
        assert TagiRegressor().partial_fit(x, y)._novelty is None


def test_functions_that_are_drawn_spread_as_much(clusters: TagiRegressor) -> None:
    rows = np.array([[-9.0], [-3.0], [0.0], [0.05], [1.4], [4.0]])
    samples = clusters.sample_y(rows, 3000, random_state=0)
    std = clusters.predict(rows, return_std=True)[1]
    np.testing.assert_allclose(samples.std(axis=1), std, rtol=0.1)
    joint = np.corrcoef(samples)
    assert joint[2, 3] > 0.8 and abs(joint[0, 5]) < 0.6


def test_off_by_a_parameter(clusters: TagiRegressor) -> None:
    plain = TagiRegressor(novelty=False, random_state=0).fit(*two_clusters())
    rows = np.linspace(-5, 5, 30)[:, None]
    for mine, theirs in zip(
        plain.predict(rows, return_std=True),
        without(clusters).predict(rows, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(plain.predict(rows), clusters.predict(rows))
    with pytest.raises(TypeError, match="novelty: got 'yes'"):
        TagiRegressor(novelty="yes").fit(*two_clusters())


def test_missing_and_uncertain_inputs() -> None:
    """A missing value is not novel; what is told of an uncertain row stays finite."""
    rng = np.random.default_rng(8)
    X = rng.standard_normal((400, 3))
    y = X[:, 0] + np.sin(2 * X[:, 1]) + 0.1 * rng.standard_normal(400)
    X[rng.random(X.shape) < 0.2] = np.nan
    model = TagiRegressor(random_state=0).fit(X[:300], y[:300])
    std, plain = (each.predict(X[300:], return_std=True)[1] for each in (model, without(model)))
    assert np.isfinite(std).all() and np.mean(std > 1.05 * plain) < 0.2
    nothing = np.full((1, 3), np.nan)
    np.testing.assert_allclose(
        model.predict(nothing, return_std=True), without(model).predict(nothing, return_std=True)
    )
    far = model.predict([[np.nan, 50.0, 0.0]], return_std=True, X_std=[[0.0, 10.0, 1.0]])[1]
    assert np.isfinite(far).all() and far[0] > 3


@pytest.mark.parametrize("n_rows", [2, 3, 10])
def test_few_rows(n_rows: int) -> None:
    rng = np.random.default_rng(9)
    X = rng.standard_normal((n_rows, 2))
    model = TagiRegressor(noise="homoscedastic", random_state=0).fit(X, X[:, 0])
    excess = model._novelty.excess(rng.standard_normal((5, 2)).astype(np.float32))
    assert np.isfinite(excess).all() and (excess >= 0).all()


@pytest.mark.parametrize("scale", [1e-20, 1e15])
def test_units(clusters: TagiRegressor, scale: float) -> None:
    """In any units of inputs and targets."""
    X, y = two_clusters()
    model = TagiRegressor(random_state=0).fit(X * scale, y / scale)
    rows = np.linspace(-8, 8, 40)[:, None]
    np.testing.assert_allclose(
        model.predict(rows * scale, return_std=True)[1] * scale,
        clusters.predict(rows, return_std=True)[1],
        rtol=1e-3,
    )


def test_several_outputs_and_deeper_networks() -> None:
    """Each output has a scale of its own: a rough one is less sure in the gap than a smooth one."""
    x = two_clusters()[0]
    rng = np.random.default_rng(10)
    y = np.c_[100 * np.sin(8 * x[:, 0]), x[:, 0]] + [1.0, 0.01] * rng.standard_normal((200, 2))
    for hidden in ((), (20,), (15, 10)):
        model = TagiRegressor(hidden, max_epochs=20, random_state=0).fit(x, y)
        excess = model._novelty.excess(model._x_scaler.inputs(np.array([[0.0], [40.0]]))[0])
        assert excess.shape == (2, 2) and excess[1].min() > 0
        relative = np.sqrt(excess[1]) / [100.0, 1.0]
        assert relative[0] > (1.5 if hidden else 0.5) * relative[1]


def test_constant_targets_have_none() -> None:
    X = np.random.default_rng(11).standard_normal((50, 2))
    model = TagiRegressor(noise="homoscedastic", max_epochs=5).fit(X, np.full(50, 3.0))
    excess = model.predict(1e3 * X, return_std=True)[1] - model.predict(X, return_std=True)[1]
    np.testing.assert_allclose(excess, 0, atol=1e-9)
    one = TagiClassifier(max_epochs=5).fit(X, np.zeros(50, int))
    np.testing.assert_array_equal(one.predict_proba(1e6 * X), 1.0)


def test_pickles_and_files(clusters: TagiRegressor, tmp_path: Path) -> None:
    rows = np.linspace(-5, 5, 30)[:, None]
    expected = clusters.predict(rows, return_std=True)[1]
    copied = pickle.loads(pickle.dumps(clusters))
    np.testing.assert_array_equal(copied.predict(rows, return_std=True)[1], expected)
    path = tmp_path / "model.safetensors"
    clusters.save(path)
    np.testing.assert_array_equal(tx.load(path).predict(rows, return_std=True)[1], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, t: d["learned"]["novelty"].update(noise_ratio=0), "noise_ratio 0"),
        (lambda d, t: d["learned"]["novelty"].update(level=-1.0), "level -1"),
        (lambda d, t: d["learned"]["novelty"].update(x=1), "no such entry"),
        (lambda d, t: d["learned"].pop("novelty"), "novelty is missing"),
        (lambda d, t: t.pop("novelty.gram"), "novelty.gram: got none"),
        (lambda d, t: t["novelty.gram"].__setitem__((0, 0), np.nan), "NaN or infinity"),
        (lambda d, t: t["novelty.amplitude"].__setitem__(0, -1.0), "negative amplitude"),
        (lambda d, t: t["novelty.cholesky"].__setitem__((0, 0), 1e-9), "cholesky"),
        (lambda d, t: t["novelty.cholesky"].__setitem__((0, 1), 1.0), "cholesky"),
        (lambda d, t: t["novelty.inducing"].__setitem__((0, 0), 99.0), "cholesky"),
        (lambda d, t: t.update({"novelty.scale": np.ones(2)}), "novelty.scale: got"),
    ],
)
def test_wrong_files(change: Any, message: str, clusters: TagiRegressor, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    clusters.save(path)

    def changed(description: Any, tensors: Any) -> None:
        for name in [name for name in tensors if name.startswith("novelty.")]:
            tensors[name] = np.array(tensors[name])
        change(description, tensors)

    rewrite_file(path, changed)
    with pytest.raises(ValueError, match=message):
        tx.load(path)


def test_files_of_version_4() -> None:
    """Written by the release before; what it predicted then."""
    regressor = tx.load(OLD_FILES / "plain_regressor_4.safetensors")
    rows = [[0.5, -0.5], [2.0, -1.5]]
    mean, std = regressor.predict(rows, return_std=True)
    np.testing.assert_allclose(mean, [0.06266393, 3.88594088], rtol=1e-5)
    np.testing.assert_allclose(std, [0.96692334, 1.79206429], rtol=1e-3)
    classifier = tx.load(OLD_FILES / "plain_classifier_4.safetensors")
    np.testing.assert_allclose(
        classifier.predict_proba(rows)[:, 0], [0.97802096, 0.99772557], rtol=1e-5
    )
    assert regressor.novelty and classifier.novelty
    X = np.random.default_rng(0).standard_normal((40, 2))
    assert regressor.fit(X, X[:, 0])._novelty is not None
