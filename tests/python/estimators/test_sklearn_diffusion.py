"""TagiDiffusion: samples and densities with the interface of scikit-learn's density estimators."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import tagix as tx
from tagix.sklearn import TagiDiffusion

MEAN, STD = np.array([100.0, -3.0]), np.array([20.0, 0.5])


def data(n_rows: int = 4000, seed: int = 0) -> np.ndarray:
    """A Gaussian in odd units."""
    return MEAN + STD * np.random.default_rng(seed).standard_normal((n_rows, 2))


@pytest.fixture(scope="module")
def fitted() -> TagiDiffusion:
    return TagiDiffusion((32, 32), n_epochs=40, random_state=0).fit(data())


def test_samples_have_the_moments_of_the_data(fitted: TagiDiffusion) -> None:
    samples = fitted.sample(4000, random_state=1)
    assert samples.shape == (4000, 2) and samples.dtype == np.float64
    np.testing.assert_allclose(samples.mean(axis=0), MEAN, atol=0.15 * STD.max())
    np.testing.assert_allclose(samples.std(axis=0), STD, rtol=0.15)
    assert np.array_equal(fitted.sample(5, random_state=1), fitted.sample(5, random_state=1))
    assert not np.array_equal(fitted.sample(5, random_state=1), fitted.sample(5, random_state=2))
    assert fitted.sample(sampler=tx.samplers.Heun(n_steps=5)).shape == (1, 2)


def test_log_densities(fitted: TagiDiffusion) -> None:
    rows = data(200, seed=1)
    truth = (-0.5 * ((rows - MEAN) / STD) ** 2 - np.log(STD * np.sqrt(2 * np.pi))).sum(axis=1)
    scores = fitted.score_samples(rows)
    assert scores.shape == (200,) and np.abs(scores - truth).mean() < 0.25
    assert fitted.score(rows) == pytest.approx(scores.mean())


def test_target_is_ignored_unless_conditional() -> None:
    rows = data(200)
    plain, with_y = (TagiDiffusion((8,), n_epochs=1, random_state=0) for _ in range(2))
    plain.fit(rows)
    with_y.fit(rows, np.arange(200.0))
    assert np.array_equal(plain.sample(3, random_state=0), with_y.sample(3, random_state=0))
    with pytest.raises(ValueError, match="not conditional"):
        plain.sample(3, y=0)


def test_classes() -> None:
    """Two clouds; a label draws its own, and samples without come in the shares of the table."""
    left, right = data(3000), data(1000, seed=1) + np.array([200.0, 0.0])
    labels = np.array(["left"] * 3000 + ["right"] * 1000)
    model = TagiDiffusion((32, 32), n_epochs=40, conditional=True, random_state=0)
    model.fit(np.vstack([left, right]), labels)
    samples, drawn = model.sample(2000, random_state=0)
    assert (drawn == "right").mean() == pytest.approx(0.25, abs=0.03)
    assert ((samples[:, 0] > 200) == (drawn == "right")).mean() > 0.97
    samples, drawn = model.sample(200, random_state=0, y="right")
    assert set(drawn) == {"right"} and (samples[:, 0] > 200).mean() > 0.97
    of_class = model.score_samples(right[:50], np.array(["right"] * 50))
    assert (of_class > model.score_samples(right[:50], np.array(["left"] * 50))).mean() > 0.95
    with pytest.raises(ValueError, match="needed labels"):
        model.sample(2, y="up")
    with pytest.raises(ValueError, match="y: got None"):
        TagiDiffusion(conditional=True).fit(left)


def test_copies_and_searches(fitted: TagiDiffusion) -> None:
    expected = fitted.sample(10, random_state=0)
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert np.array_equal(other.sample(10, random_state=0), expected)
    again = clone(fitted).fit(data())
    assert np.array_equal(again.sample(10, random_state=0), expected)
    assert again.n_iter_ == len(again.history_.train_mse) == 40
    search = GridSearchCV(TagiDiffusion((8,), random_state=0), {"n_epochs": [1, 10]}, cv=2).fit(
        data(600)
    )
    assert search.best_params_ == {"n_epochs": 10}


def test_bad_input() -> None:
    rows = data(20)
    with pytest.raises(ValueError, match="contains NaN"):
        TagiDiffusion().fit(np.where(rows == rows[0, 0], np.nan, rows))
    with pytest.raises(ValueError, match="n_epochs"):
        TagiDiffusion(n_epochs=0).fit(rows)
    with pytest.raises(ValueError, match="n_samples"):
        TagiDiffusion((4,), n_epochs=1).fit(rows).sample(0)
