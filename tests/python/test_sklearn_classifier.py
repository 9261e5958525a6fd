"""TagiClassifier on tables and with labels that appear as they come; its probabilities."""

from __future__ import annotations

import copy
import pickle
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
from tagix.sklearn import TagiClassifier
from tagix.sklearn._judges import LabelJudge

Array = np.ndarray
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


@pytest.mark.parametrize("likelihood", ["hierarchical_softmax", "remax"])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_probabilities_are_those_of_the_law(likelihood: str, n_classes: int) -> None:
    X, labels, _ = table(1000, n_classes)
    model = small(likelihood=likelihood).fit(X, labels)
    X_test, labels_test, truth = table(2000, n_classes, seed=1)
    probabilities = model.predict_proba(X_test)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    # Remax says less: its shares are sharp where it is sure, and it has no other way to doubt.
    near = 0.06 if likelihood == "hierarchical_softmax" else 0.12
    assert np.abs(probabilities - truth).mean() < near
    best = (truth.argmax(axis=1) == labels_test).mean()
    assert model.score(X_test, labels_test) > best - 0.03
    head = tx.HierarchicalSoftmax if likelihood == "hierarchical_softmax" else tx.Remax
    assert model.net_.likelihood == head(n_classes)


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
    model = small().fit(X, labels)
    x = ((X[:30] - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    expected = np.mean([net.predict_proba(x) for net in model.nets_], axis=0)
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
        drawn = rng.normal(X.mean(axis=0), X.std(axis=0), cloud.shape)
        expected = model.predict_proba(np.where(missing, drawn, cloud)).mean(axis=0)
        np.testing.assert_allclose(actual, expected, atol=0.06)
    holes = X.copy()
    holes[rng.random(X.shape) < 0.1] = np.nan
    assert small().fit(holes, labels).score(X, labels) > 0.7


@pytest.mark.parametrize("likelihood", ["hierarchical_softmax", "remax"])
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
    model = small(n_estimators=1, max_epochs=3).fit(X, labels)
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


@pytest.mark.parametrize(("n_classes", "head"), [(32, tx.HierarchicalSoftmax), (33, tx.Remax)])
def test_many_classes_get_an_output_each(n_classes: int, head: type) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(8 * n_classes) % n_classes
    X = generator.standard_normal((n_classes, 6))[labels] + 0.1 * generator.standard_normal(
        (len(labels), 6)
    )
    few = np.arange(len(labels)) % n_classes < 3
    model = small(n_estimators=1, max_epochs=2).fit(X[few], labels[few])
    assert isinstance(model.net_.likelihood, tx.HierarchicalSoftmax)
    model.fit(X, labels)  # a fit anew forgets what the last one chose
    assert isinstance(model.net_.likelihood, head)
    model.partial_fit(X[:1], [n_classes])  # which a label more does not change
    assert isinstance(model.net_.likelihood, head)
    assert len(model.classes_) == n_classes + 1


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
    judge = LabelJudge(x, None, labels)
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
