"""How fit trains: networks side by side, rows to evaluate by, callbacks, and the bar."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

from sklearn.base import clone

import tagix as tx
from tagix import nn
from tagix.sklearn import TagiClassifier, TagiRegressor
from tagix.sklearn._side_by_side import SideBySide

Array = np.ndarray
ESTIMATORS: list[Any] = [TagiRegressor, TagiClassifier]


def table(n_rows: int, seed: int = 0, noise: float = 0.3) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((n_rows, 3))
    return X, 10.0 * (np.sin(2 * X[:, 0]) + X[:, 1] + noise * generator.standard_normal(n_rows))


def make(Estimator: Any, **arguments: Any) -> Any:
    settings = {"hidden": (8,), "n_estimators": 3, "max_epochs": 6, "random_state": 0}
    return Estimator(**settings | arguments)


def targets_of(Estimator: Any, y: Array) -> Array:
    return np.digitize(y, [-5.0, 5.0]) if Estimator is TagiClassifier else y


def parameters_of(model: Any) -> list[Array]:
    return [array for net in model.nets_ for array in net.state_dict().values()]


@pytest.mark.parametrize("n_rows", [10, 60])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_the_same_bits_for_any_number_of_threads(Estimator: Any, n_rows: int) -> None:
    X, y = table(n_rows)
    targets = targets_of(Estimator, y)
    one = make(Estimator).fit(X, targets)
    for n_jobs in (2, 3, -1):
        other = make(Estimator, n_jobs=n_jobs).fit(X, targets)
        for array, expected in zip(parameters_of(other), parameters_of(one), strict=True):
            assert np.array_equal(array, expected)
        assert other.n_iter_ == one.n_iter_
        for history, expected_history in zip(other.histories_, one.histories_, strict=True):
            assert history.train_mse == expected_history.train_mse
    assert clone(other).n_jobs == -1


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_networks_have_counted_their_epochs(Estimator: Any) -> None:
    """So that a later fit of one goes on with other orders of the rows."""
    X, y = table(60)
    model = make(Estimator, max_epochs=12).fit(X, targets_of(Estimator, y))
    epochs = [len(history.train_mse) for history in model.histories_]
    assert min(epochs) > 1 and [net.epochs_trained for net in model.nets_] == epochs


def test_jobs_run_at_the_same_time_and_keep_their_order() -> None:
    together = threading.Barrier(3, timeout=20)

    def job(number: int) -> int:
        together.wait()  # breaks unless three of them are here
        return number

    jobs = [lambda number=number: job(number) for number in range(6)]
    assert SideBySide(3).run(jobs) == list(range(6))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_job_that_fails_ends_the_others(error: type[BaseException]) -> None:
    side_by_side = SideBySide(2)
    n_threads = threading.active_count()

    def fail() -> None:
        raise error

    def go_on() -> None:
        for _ in range(2000):
            if side_by_side.is_ending:
                return
            threading.Event().wait(0.01)
        raise AssertionError("was not told")

    with pytest.raises(error):
        side_by_side.run([fail, go_on, go_on])
    assert threading.active_count() == n_threads


@pytest.mark.parametrize("n_jobs", [0, 1.5, "two", True])
def test_bad_numbers_of_jobs(n_jobs: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="n_jobs"):
        make(TagiRegressor, n_jobs=n_jobs).fit(*table(20))


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_a_callback_hears_of_the_networks_that_are_kept(Estimator: Any, n_jobs: Any) -> None:
    X, y = table(60)
    records: list[Any] = []
    model = make(Estimator, n_jobs=n_jobs)
    model.fit(X, targets_of(Estimator, y), callback=records.append)
    expected = sorted(mse for history in model.histories_ for mse in history.train_mse)
    assert sorted(record.mse for record in records) == expected
    plain = make(Estimator).fit(X, targets_of(Estimator, y))
    for array, other in zip(parameters_of(model), parameters_of(plain), strict=True):
        assert np.array_equal(array, other)
    stopped = make(Estimator, n_jobs=n_jobs, early_stopping=False)
    stopped.fit(X, targets_of(Estimator, y), callback=lambda record: record.epoch >= 1)
    assert [len(history.train_mse) for history in stopped.histories_] == [2, 2, 2]
    assert all(history.stopped for history in stopped.histories_)
    with pytest.raises(TypeError, match="callback"):
        model.fit(X, targets_of(Estimator, y), callback=3)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_callback_that_raises_leaves_the_estimator(n_jobs: Any) -> None:
    X, y = table(60)
    model = make(TagiRegressor, n_jobs=n_jobs).fit(X, y)
    before = model.predict(X)

    def fail(record: Any) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        model.fit(X, 2 * y, callback=fail)
    assert np.array_equal(model.predict(X), before)


class Follower(tx.Callback):
    """Ends the fit within its first epoch."""

    def on_rows(self, epoch: int, rows_done: int, n_rows: int) -> bool:
        return True


def test_a_callback_within_an_epoch() -> None:
    X, y = table(100_000)
    model = make(TagiRegressor, n_estimators=1, batch_size=1, early_stopping=False)
    model.fit(X, y, callback=Follower())
    assert len(model.history_.n_rows) == 1 and model.history_.n_rows[0] < 100_000


def test_rows_to_evaluate_by_stand_in_the_history() -> None:
    X, y = table(200)
    X_left, y_left = table(100, seed=1)
    model = make(TagiRegressor, early_stopping=False).fit(X, y, eval_set=(X_left, y_left))
    for member, (net, history) in enumerate(zip(model.nets_, model.histories_, strict=True)):
        assert len(history.validation_mse) == len(history.train_mse)
        x, _ = model.network_inputs(X_left, member=member)
        error = net(x).mean[:, 0] - (y_left - y.mean()) / y.std()
        assert history.validation_mse[-1] == pytest.approx(np.mean(error**2), rel=1e-4)
    # They are not learned.
    plain = make(TagiRegressor, early_stopping=False).fit(X, y)
    for array, other in zip(parameters_of(model), parameters_of(plain), strict=True):
        assert np.array_equal(array, other)


def test_rows_to_evaluate_by_choose_the_length() -> None:
    """Where the law of the table is noise, training is short; where it is not, long."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((150, 3))
    noise = generator.standard_normal(150)
    settings = {"hidden": (30,), "max_epochs": 60}
    short = make(TagiRegressor, **settings).fit(
        X, noise, eval_set=(generator.standard_normal((2000, 3)), generator.standard_normal(2000))
    )
    law = np.sin(3 * X[:, 0])
    X_left = generator.standard_normal((150, 3))
    long = make(TagiRegressor, **settings).fit(X, law, eval_set=(X_left, np.sin(3 * X_left[:, 0])))
    assert short.n_iter_ < long.n_iter_


def test_labels_to_evaluate_by() -> None:
    X, y = table(200)
    X_left, y_left = table(60, seed=1)
    words = np.array(["low", "mid", "high"])
    labels, labels_left = (words[np.digitize(each, [-5.0, 5.0])] for each in (y, y_left))
    model = make(TagiClassifier, n_estimators=1, novelty=False).fit(
        X, labels, eval_set=(X_left, labels_left)
    )
    probability = model.predict_proba(X_left)
    of_label = probability[np.arange(60), np.searchsorted(model.classes_, labels_left)]
    expected = np.log(of_label).mean()
    assert model.history_.validation_log_likelihood[-1] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="eval_set: y: got labels"):
        model.fit(X, labels, eval_set=(X_left, np.full(60, "other")))


def test_bad_rows_to_evaluate_by() -> None:
    X, y = table(40)
    model = make(TagiRegressor, max_epochs=1)
    for bad in ((X[:, :2], y), (X, y[:-1]), (X, np.full(40, np.nan)), (X, np.c_[y, y])):
        with pytest.raises(ValueError, match="eval_set: "):
            model.fit(X, y, eval_set=bad)
    for wrong in (X, (X, y, y), 3):
        with pytest.raises(TypeError, match="eval_set: "):
            model.fit(X, y, eval_set=wrong)
    assert not hasattr(model, "nets_")


def test_files_keep_the_evaluation(tmp_path: Path) -> None:
    X, y = table(60)
    model = make(TagiRegressor, n_jobs=2).fit(X, y, eval_set=table(30, seed=1))
    model.save(tmp_path / "model.safetensors")
    again = tx.load(tmp_path / "model.safetensors")
    assert again.n_jobs == 2
    for history, other in zip(model.histories_, again.histories_, strict=True):
        assert vars(history) == vars(other)


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_one_bar_with_a_name(Estimator: Any, n_jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tqdm = pytest.importorskip("tqdm.auto")
    bars = []

    class Bar:
        """What is asked of tqdm's."""

        def __init__(self, desc: str, total: int, **_: Any) -> None:
            self.descriptions, self.total, self.n, self.is_closed = [desc], total, 0, False
            bars.append(self)

        def set_description(self, description: str) -> None:
            self.descriptions.append(description)

        def update(self) -> None:
            assert not self.is_closed
            self.n += 1

        def close(self) -> None:
            self.is_closed = True

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    X, y = table(60)
    model = make(Estimator, n_jobs=n_jobs, verbose=1).fit(X, targets_of(Estimator, y))
    (bar,) = bars
    name = Estimator.__name__
    expected = [name, f"{name}: choosing the length", f"{name}: learning all rows"]
    assert list(dict.fromkeys(bar.descriptions)) == expected
    assert bar.is_closed and sum(len(h.train_mse) for h in model.histories_) < bar.n <= bar.total
    monkeypatch.setattr(nn.Sequential, "fit", None)
    with pytest.raises(TypeError):
        make(Estimator, verbose=1).fit(X, targets_of(Estimator, y))
    assert bars[1].is_closed
    assert len(bars) == 2
