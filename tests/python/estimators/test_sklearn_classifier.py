"""TagiClassifier on tables and with labels that appear as they come; its probabilities."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tagix as tx
from tagix.metrics import expected_calibration_error
from tagix.sklearn import TagiClassifier
from tagix.sklearn._encoding import Encoding
from tagix.sklearn._judges import LabelJudge

Array = np.ndarray
LIKELIHOODS = {
    "softmax": tx.Softmax,
    "hierarchical_softmax": tx.HierarchicalSoftmax,
    "remax": tx.Remax,
}
CENTRES = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])


def table(n_rows: int = 600, n_classes: int = 3, seed: int = 0) -> tuple[Array, Array, Array]:
    """Gaussians of standard deviation 0.8 in odd units, their numbers, and p(class | row)."""
    rng = np.random.default_rng(seed)
    centres = CENTRES[:n_classes]
    labels = rng.integers(n_classes, size=n_rows)
    z = centres[labels] + 0.8 * rng.standard_normal((n_rows, 2))
    scores = -0.5 * ((z[:, np.newaxis] - centres) ** 2).sum(axis=2) / 0.64
    truth = np.exp(scores - scores.max(axis=1, keepdims=True))
    return z * [100.0, 1e-3] + [5.0, 1.0], labels, truth / truth.sum(axis=1, keepdims=True)


def small(**arguments: Any) -> TagiClassifier:
    return TagiClassifier(**{"n_estimators": 2, "max_epochs": 40, "random_state": 0} | arguments)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_probabilities_are_those_of_the_law(likelihood: str, n_classes: int) -> None:
    X, labels, _ = table(1000, n_classes)
    model = small(likelihood=likelihood).fit(X, labels)
    X_test, labels_test, truth = table(2000, n_classes, seed=1)
    probabilities = model.predict_proba(X_test)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    # Remax is log-normal matching of rectified outputs.
    assert np.abs(probabilities - truth).mean() < (0.12 if likelihood == "remax" else 0.06)
    best = (truth.argmax(axis=1) == labels_test).mean()
    assert model.score(X_test, labels_test) > best - 0.03
    assert model.net_.likelihood == LIKELIHOODS[likelihood](n_classes)


@pytest.mark.parametrize("load", [load_iris, load_digits])
def test_as_good_as_logistic_regression(load: Any) -> None:
    X, y = load(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, test_size=0.3)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    expected = log_loss(y_test, linear.fit(X_train, y_train).predict_proba(X_test))
    model = TagiClassifier(random_state=0).fit(X_train, y_train)
    assert log_loss(y_test, model.predict_proba(X_test)) < expected + 0.05
    assert model.score(X_test, y_test) > 0.94


def test_probabilities_are_the_mean_of_the_networks() -> None:
    X, labels, _ = table()
    model = small(novelty=False).fit(X, labels)
    expected = np.mean(
        [
            net.predict_proba(model.network_inputs(X[:30], member=member)[0])
            for member, net in enumerate(model.nets_)
        ],
        axis=0,
    )
    np.testing.assert_allclose(model.predict_proba(X[:30]), expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X[:30])), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "names", [["b", "a", "c"], [30, -10, 20], [2.0, 0.0, 1.0], [True, False, True]]
)
def test_labels_of_any_kind(names: list[Any]) -> None:
    X, labels, _ = table(300)
    numbers = small(max_epochs=5).fit(X, labels).predict_proba(X) if len(set(names)) == 3 else None
    y = np.array(names)[labels]
    model = small(max_epochs=5).fit(X, y)
    assert model.classes_.tolist() == sorted(set(names)) and model.classes_.dtype == y.dtype
    assert set(model.predict(X)) <= set(names)
    assert model.score(X, y) > 0.6
    if numbers is not None:  # in another order of the tree's leaves, so only nearly
        order = np.argsort(names)
        assert np.abs(model.predict_proba(X) - numbers[:, order]).mean() < 0.1


def test_missing_and_uncertain_inputs() -> None:
    """Against the mean over 5 000 draws of what is not known."""
    X, labels, _ = table()
    model = small().fit(X, labels)
    rows, std = X[:6].copy(), np.zeros((6, 2))
    rows[:3, 1] = np.nan
    std[3:, 0] = 60.0
    rng = np.random.default_rng(0)
    for row, row_std, actual in zip(rows, std, model.predict_proba(rows, X_std=std), strict=True):
        cloud = np.repeat(row[np.newaxis], 5000, axis=0) + row_std * rng.standard_normal((5000, 2))
        missing = np.isnan(cloud)
        # The second column given the first, by linear regression.
        slope = np.cov(X.T)[0, 1] / np.var(X[:, 0], ddof=1)
        given = X[:, 1].mean() + slope * (row[0] - X[:, 0].mean())
        left = (X[:, 1] - slope * X[:, 0]).std()
        drawn = rng.normal(given, left, cloud.shape)
        expected = model.predict_proba(np.where(missing, drawn, cloud)).mean(axis=0)
        np.testing.assert_allclose(actual, expected, atol=0.08)
    holes = X.copy()
    holes[rng.random(X.shape) < 0.1] = np.nan
    assert small().fit(holes, labels).score(X, labels) > 0.7


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_classes_that_appear_later(likelihood: str) -> None:
    """Four classes one after the other: each is learned, and what was known of others is kept."""
    X, labels, _ = table(1200, 4)
    order = np.concatenate([np.flatnonzero(labels[:600] == k)[:20] for k in range(4)])
    order = np.concatenate([order, np.arange(600, 1200)])
    names = np.array(["w", "x", "y", "z"])[labels]
    model = small(likelihood=likelihood, batch_size=4)
    seen: list[str] = []
    for start in range(0, len(order), 20):
        rows = order[start : start + 20]
        model.partial_fit(X[rows], names[rows])
        seen = sorted({*seen, *names[rows]})
        assert model.classes_.tolist() == seen
        np.testing.assert_allclose(model.predict_proba(X[:20]).sum(axis=1), 1, rtol=1e-9)
    X_test, labels_test, truth = table(1000, 4, seed=1)
    best = (truth.argmax(axis=1) == labels_test).mean()
    assert model.score(X_test, np.array(list("wxyz"))[labels_test]) > best - 0.1
    assert model.prequential_log_.n_new_labels >= 4


@pytest.mark.filterwarnings("ignore:fit. rows left out")  # labels have nothing to do with X
@pytest.mark.parametrize("n_classes", [2, 3, 4, 5, 8, 13])
def test_a_new_class_takes_from_one_class_alone(n_classes: int) -> None:
    """In the tree it shares the leaf of one other; what the networks know of the rest stays."""
    X, _, _ = table(50)
    labels = np.arange(50) % n_classes
    model = small(n_estimators=1, max_epochs=3, likelihood="hierarchical_softmax").fit(X, labels)
    before = dict(zip(model.classes_.tolist(), model.predict_proba(X).T, strict=True))
    model._add_class(n_classes)
    model._name_classes()
    after = dict(zip(model.classes_.tolist(), model.predict_proba(X).T, strict=True))
    assert sorted(after) == list(range(n_classes + 1))
    changed = [k for k in before if not np.allclose(after[k], before[k], rtol=1e-4)]
    assert len(changed) == 1
    shared = changed[0]
    np.testing.assert_allclose(after[shared] + after[n_classes], before[shared], rtol=1e-4)


def test_one_class_so_far() -> None:
    X, _, _ = table(40)
    model = small(max_epochs=2).fit(X, ["only"] * 40)
    assert model.classes_.tolist() == ["only"] and set(model.predict(X)) == {"only"}
    assert np.array_equal(model.predict_proba(X), np.ones((40, 1)))
    model.partial_fit(X[:20], ["other"] * 20)
    assert model.classes_.tolist() == ["only", "other"]
    assert model.predict_proba(X).shape == (40, 2)


def test_given_classes_are_all_there_are() -> None:
    X, labels, _ = table(60)
    model = small().partial_fit(X[:10], labels[:10] % 2, classes=[2, 1, 0])
    assert model.classes_.tolist() == [0, 1, 2] and model.predict_proba(X).shape == (60, 3)
    model.partial_fit(X, labels, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"y: got labels \[7\], needed classes"):
        model.partial_fit(X[:1], [7])
    with pytest.raises(ValueError, match="classes: got"):
        model.partial_fit(X, labels, classes=[0, 1])
    with pytest.raises(ValueError, match="needed one of the classes"):
        small().partial_fit(X, labels, classes=[0, 1, 2]).learn_one({"a": 1.0, "b": 2.0}, 5)


def test_bad_input() -> None:
    X, labels, _ = table(30)
    with pytest.raises(ValueError, match="likelihood: got 'probit'"):
        small(likelihood="probit").fit(X, labels)
    with pytest.raises(ValueError, match="Unknown label type"):
        small().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="X_std: got shape"):
        small().fit(X, labels, X_std=X[:, :1])
    with pytest.raises(ValueError, match="expecting 2 features"):
        small(max_epochs=1).fit(X, labels).predict(X[:, :1])


def test_copies_and_searches() -> None:
    X, labels, _ = table(200)
    model = small(max_epochs=5).fit(X, labels)
    expected = model.predict_proba(X)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert np.array_equal(other.predict_proba(X), expected)
        assert np.array_equal(other.partial_fit(X, labels).classes_, model.classes_)
    assert np.array_equal(clone(model).fit(X, labels).predict_proba(X), expected)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), small(max_epochs=5)),
        {"tagiclassifier__likelihood": ["remax", "auto"]},
        cv=2,
        scoring="neg_log_loss",
    ).fit(X, labels)
    assert search.best_score_ > -1


def test_what_auto_is_stays() -> None:
    X, labels, _ = table(60)
    model = small(max_epochs=2).fit(X, labels)
    assert model.net_.likelihood == tx.Softmax(3)
    model.partial_fit(X[:1], [7])
    assert model.net_.likelihood == tx.Softmax(4)
    # Of networks from another release, whose "auto" was the tree.
    tree = small(max_epochs=2, likelihood="hierarchical_softmax").fit(X, labels)
    tree.likelihood = "auto"
    tree.partial_fit(X[:1], [7])
    assert tree.net_.likelihood == tx.HierarchicalSoftmax(4)
    assert tree.fit(X, labels).net_.likelihood == tx.Softmax(3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rare_classes_have_the_probability_of_their_rate() -> None:
    """2 % of the rows, without signal: means over seeds, against the constant rate."""
    means, excesses = [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((3000, 2))
        y = np.arange(3000) % 50 == 0
        p = TagiClassifier(random_state=seed).fit(X[:1000], y[:1000]).predict_proba(X[1000:])
        means.append(p[:, 1].mean())
        excesses.append(log_loss(y[1000:], p) - log_loss(y[1000:], np.full(2000, 0.02)))
    assert 0.016 < np.mean(means) < 0.025
    assert np.mean(excesses) < 0.01


@pytest.mark.parametrize("n_features", [8, 20])
def test_many_classes_are_as_good_as_logistic_regression(n_features: int) -> None:
    """100 Gaussians with 60 rows each."""
    rng = np.random.default_rng(n_features)
    centres = (8.0 / np.sqrt(n_features)) * rng.standard_normal((100, n_features))
    labels = np.arange(6000) % 100
    X = centres[labels] + rng.standard_normal((6000, n_features))
    X_test = centres[labels[:3000]] + rng.standard_normal((3000, n_features))
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(X, labels)
    model = TagiClassifier(n_estimators=1, random_state=0).fit(X, labels)
    assert model.score(X_test, labels[:3000]) > linear.score(X_test, labels[:3000]) - 0.01
    p = model.predict_proba(X_test)
    assert log_loss(labels[:3000], p) < log_loss(labels[:3000], linear.predict_proba(X_test)) + 0.05
    assert expected_calibration_error(labels[:3000], p) < 0.15


def rare(n_rows: int, share: float, seed: int) -> tuple[Array, Array]:
    """Two Gaussian classes in the plane, one of which has a ``share`` of the rows."""
    generator = np.random.default_rng(seed)
    labels = generator.random(n_rows) < share
    return generator.standard_normal((n_rows, 2)) + 1.5 * labels[:, np.newaxis], labels


@pytest.mark.parametrize("class_weight", ["balanced", {True: 9.0}])
def test_class_weights_are_those_of_other_shares(class_weight: Any) -> None:
    """A tenth of the rows become half of them: against Bayes's rule of the two Gaussians."""
    X, labels = rare(2000, 0.1, 0)
    model = TagiClassifier(n_estimators=2, max_epochs=20, random_state=0)
    plain = model.fit(X, labels).predict_proba(X)
    weighted = model.set_params(class_weight=class_weight).fit(X, labels).predict_proba(X)
    truth = 1.0 / (1.0 + np.exp(-1.5 * (X - 0.75).sum(axis=1)))
    assert np.abs(weighted[:, 1] - truth).mean() < 0.06 < np.abs(plain[:, 1] - truth).mean()
    np.testing.assert_allclose(weighted.sum(axis=1), 1.0, rtol=1e-12)
    odds = plain[:, 1] / plain[:, 0] * model.class_weight_[1] / model.class_weight_[0]
    np.testing.assert_allclose(weighted[:, 1] / weighted[:, 0], odds, rtol=1e-9)
    if class_weight == "balanced":
        np.testing.assert_allclose(model.class_weight_ * np.bincount(labels), [1000.0, 1000.0])
    assert (model.predict(X) == (weighted[:, 1] > 0.5)).all()
    model.partial_fit(X[:50], labels[:50])  # the weights stay
    assert model.class_weight_[1] > 4 * model.class_weight_[0]


@pytest.mark.parametrize("n_estimators", [1, 2])
def test_class_weights_of_a_stream(n_estimators: int, tmp_path: Path) -> None:
    X, labels = rare(300, 0.3, 1)
    words = np.where(labels, "yes", "no").tolist()
    models = [
        TagiClassifier(n_estimators=n_estimators, class_weight=weights, random_state=0)
        for weights in (None, {"yes": 4.0, "other": 2.0})
    ]
    for x, word in zip(X.tolist(), words, strict=True):
        for model in models:
            model.learn_one(dict(zip("ab", x, strict=True)), word)
    plain, weighted = models
    assert weighted.prequential_log_ == plain.prequential_log_
    row = {"a": 0.3, "b": 0.9}
    p = plain.predict_proba_one(row)["yes"]
    expected = 4.0 * p / (4.0 * p + 1.0 - p)
    for each in (row, {"a": 0.3, "b": 0.9, "c": 1.0}):
        assert weighted.predict_proba_one(each)["yes"] == pytest.approx(expected, rel=1e-6)
    weighted.save(tmp_path / "model.safetensors")
    again = tx.load(tmp_path / "model.safetensors")
    assert again.get_params() == weighted.get_params()
    assert again.predict_proba_one(row)["yes"] == pytest.approx(expected, rel=1e-6)
    assert again.class_weight_.tolist() == [1.0, 4.0]


def test_bad_class_weights() -> None:
    X, labels = rare(40, 0.5, 0)
    for bad in ({True: 0.0}, {True: -1.0}, {False: float("nan")}, {1: float("inf")}, "even"):
        with pytest.raises(ValueError, match="class_weight"):
            TagiClassifier(class_weight=bad).fit(X, labels)
    for bad in ({True: "much"}, 3.0, [1.0, 2.0]):
        with pytest.raises(TypeError, match="class_weight"):
            TagiClassifier(class_weight=bad).fit(X, labels)
    stream = TagiClassifier(class_weight="balanced")
    with pytest.raises(ValueError, match="takes a fit to a whole table"):
        stream.partial_fit(X, labels)
    with pytest.raises(ValueError, match="takes a fit to a whole table"):
        stream.learn_one({"a": 1.0}, "yes")


def test_no_plateau_ends_a_fit() -> None:
    """A checkerboard of 9 cells, which a network that has hardly begun takes for noise."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 3, (1600, 2))
    labels = np.floor(X).sum(axis=1).astype(int) % 2
    model = TagiClassifier(random_state=0).fit(X[:800], labels[:800])
    assert model.score(X[800:], labels[800:]) > 0.95


def test_rows_left_out_hold_their_share_of_each_class() -> None:
    """And the only row of a class counts for nothing, since no network left out has learned it."""
    labels = np.array([0] * 50 + [1] * 10 + [2])
    x = np.zeros((len(labels), 1), np.float32)
    judge = LabelJudge(x, None, labels, 2, Encoding.of(x, np.zeros(x.shape, bool)))
    fold = judge.folds(5, seed=0)
    counts = [np.bincount(labels[fold == k], minlength=3) for k in range(5)]
    assert [count[0] for count in counts] == [10] * 5 and [count[1] for count in counts] == [2] * 5
    rows = np.arange(len(labels))
    likely = np.where(labels == 2, 1e-9, 0.8)[np.newaxis]
    verdict = judge.judge(likely, rows, fold)
    assert verdict.loss == pytest.approx(-np.log(0.8))
    # A constant knows the shares among the other parts: 40 and 8 of 48 or 49.
    others = np.array([np.sum(fold != k) for k in fold])
    shares = np.where(labels == 0, 40, 8) / others
    assert verdict.constant_loss == pytest.approx(-np.log(shares[labels < 2]).mean())


@pytest.mark.parametrize("by", ["deepcopy", "pickle"])
def test_copies_of_one_class_learn_a_second_one(by: str) -> None:
    """What stands for the second class until it comes is still that in the copy."""
    X = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    model = small(max_epochs=2).partial_fit(X, ["a", "a", "a"])
    copied = copy.deepcopy(model) if by == "deepcopy" else pickle.loads(pickle.dumps(model))
    copied.partial_fit(X[:1], ["b"])
    assert copied.classes_.tolist() == ["a", "b"]
    assert model.classes_.tolist() == ["a"]
    np.testing.assert_allclose(copied.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
