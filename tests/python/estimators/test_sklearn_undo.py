"""A call of an estimator that fails, or is interrupted, leaves it exactly as it was."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the sklearn extra")

import tagix as tx
from tagix import nn
from tagix.sklearn import TagiClassifier, TagiDiffusion, TagiRegressor
from tagix.sklearn._undo import all_or_nothing

pytestmark = [
    # Rows of a table have no names, those of a stream have.
    pytest.mark.filterwarnings("ignore:X does not have valid feature names"),
    # Tables are small, and fits short.
    pytest.mark.filterwarnings("ignore:fit. rows left out were predicted no better"),
]

Array = np.ndarray
NAMES = ("temperature", "pressure", "day")
FORGETTING = tx.Forgetting(process_noise=1e-3, drift_level=None)
ESTIMATORS: list[Any] = [TagiRegressor, TagiClassifier]


def table(n_rows: int, seed: int = 0) -> tuple[Array, Array]:
    X = np.random.default_rng(seed).standard_normal((n_rows, 3))
    noise = np.random.default_rng(seed + 100).standard_normal(n_rows)
    return X * [30.0, 1e5, 2.0] + [15.0, 1e6, 0.0], 10.0 * np.sin(2.0 * X[:, 0]) + noise


def targets_of(Estimator: type, y: Array) -> Array:
    return np.digitize(y, [-4.0, 4.0]) if Estimator is TagiClassifier else y


def row(values: Array) -> dict[str, float]:
    return dict(zip(NAMES, values.tolist(), strict=True))


def make(Estimator: type, **arguments: Any) -> Any:
    settings = {"hidden": (6,), "n_estimators": 2, "max_epochs": 3, "random_state": 0}
    return Estimator(**settings | arguments)


def unfitted(Estimator: type) -> Any:
    return make(Estimator)


def fitted(Estimator: type) -> Any:
    X, y = table(40)
    return make(Estimator, forgetting=FORGETTING).fit(X, targets_of(Estimator, y))


def begun(Estimator: type) -> Any:
    """A stream of two networks that has learned 20 rows, so that units are settled."""
    return learned(make(Estimator), 20)


def learned(model: Any, n_rows: int) -> Any:
    X, y = table(n_rows)
    for x, target in zip(X, targets_of(type(model), y).tolist(), strict=True):
        model.learn_one(row(x), target)
    return model


def in_the_core(Estimator: type) -> Any:
    """A stream whose rows the core learns."""
    model = learned(make(Estimator, n_estimators=1), 40)
    assert model._stream is not None
    return model


def everything(model: Any) -> dict[str, Any]:
    """All attributes as bytes, and which objects the networks are."""
    state = dict(model.__getstate__())
    nets = state.pop("nets_", [])
    described: dict[str, Any] = {name: pickle.dumps(value) for name, value in state.items()}
    for number, net in enumerate(nets):
        arrays = {name: array.tobytes() for name, array in net.state_dict().items()}
        counts = (net.epochs_trained, net._model.drift)
        described[f"net {number}"] = (id(net), arrays, counts)
    return described


@contextmanager
def nothing_changes(model: Any, error: type[BaseException]) -> Iterator[None]:
    before = everything(model)
    with pytest.raises(error):
        yield
    assert everything(model) == before


def raising(method: Any, at_call: int, error: BaseException) -> Callable[..., Any]:
    """A method that does its work, and at one of its calls raises then."""
    calls = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        result = method(*args, **kwargs)
        if calls == at_call:
            raise error
        return result

    return call


@pytest.mark.parametrize("state", [unfitted, fitted, begun, in_the_core])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_bad_tables(Estimator: type, state: Callable[[type], Any]) -> None:
    model = state(Estimator)
    X, y = table(30, seed=1)
    targets = targets_of(Estimator, y)
    infinite, huge = X.copy(), X.copy()
    infinite[20, 1], huge[20, 1] = np.inf, 1e200
    missing = y.copy()
    missing[20] = np.nan
    for learn in (model.fit, model.partial_fit):
        for bad in (infinite, huge, X[0], X[:, :0], [["a", "b", "c"]] * 30):
            with nothing_changes(model, ValueError):
                learn(bad, targets)
        for bad in (missing, targets[:-1]):
            with nothing_changes(model, ValueError):
                learn(X, bad)
        for std in (-np.ones_like(X), np.ones(3)):
            with nothing_changes(model, ValueError):
                learn(X, targets, X_std=std)
        with nothing_changes(model, TypeError):
            learn()
    if state is not unfitted:
        with nothing_changes(model, ValueError):
            model.partial_fit(X[:, :2], targets)


@pytest.mark.parametrize("state", [unfitted, fitted, begun])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_bad_parameters(Estimator: type, state: Callable[[type], Any]) -> None:
    model = state(Estimator)
    X, y = table(30, seed=1)
    targets = targets_of(Estimator, y)
    good = model.get_params()
    for bad in (
        {"hidden": (0,)},
        {"hidden": "wide"},
        {"n_estimators": 0},
        {"batch_size": 0},
        {"max_epochs": 0},
        {"precision": "float8"},
        {"device": "abacus"},
        {"forgetting": 3.0},
        {"random_state": "lucky"},
    ):
        model.set_params(**bad)
        with nothing_changes(model, (ValueError, TypeError)):  # type: ignore[arg-type]
            model.fit(X, targets)
        model.set_params(**good)
    for bad in ({"batch_size": 0}, {"hidden": (0,)}):
        model.set_params(**bad)
        with nothing_changes(model, ValueError):
            model.partial_fit(X, targets)
        model.set_params(**good)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no more")])
@pytest.mark.parametrize("state", [unfitted, fitted, begun, in_the_core])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_interrupted_in_the_middle(
    Estimator: type,
    state: Callable[[type], Any],
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, twin = (state(Estimator).set_params(batch_size=4) for _ in range(2))
    X, y = table(48, seed=1)
    targets = targets_of(Estimator, y)
    for at_call in (1, 2, 5):
        with monkeypatch.context() as patch:
            patch.setattr(nn.Sequential, "fit", raising(nn.Sequential.fit, at_call, error))
            with nothing_changes(model, type(error)):
                model.fit(X[:, :2], targets > 0)
    for at_call in (1, 2, 3, 6):
        with monkeypatch.context() as patch:
            patch.setattr(nn.Sequential, "update", raising(nn.Sequential.update, at_call, error))
            with nothing_changes(model, type(error)):
                model.partial_fit(X, targets)
    # It goes on as if nothing had happened.
    twin.set_params(batch_size=4)
    assert (
        everything(model.partial_fit(X, targets)).keys()
        == everything(twin).keys() | everything(model).keys()
    )
    twin.partial_fit(X, targets)
    for net, other in zip(model.nets_, twin.nets_, strict=True):
        for name, array in net.state_dict().items():
            assert np.array_equal(array, other.state_dict()[name])
    assert model.prequential_log_ == twin.prequential_log_


@pytest.mark.parametrize("state", [unfitted, begun, in_the_core])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_rows_of_a_stream(
    Estimator: type, state: Callable[[type], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = state(Estimator)
    X, y = table(3, seed=2)
    target, good = targets_of(Estimator, y).tolist()[0], row(X[0])
    for bad, error in (
        (good | {"day": float("inf")}, ValueError),
        (good | {"day": "monday"}, TypeError),
        (good | {"moon": float("-inf")}, ValueError),
        (list(good), TypeError),
        ({}, ValueError) if state is unfitted else ([], TypeError),
        (good | {"day": 1e300, "sun": 1.0}, ValueError),
    ):
        with nothing_changes(model, error):
            model.learn_one(bad, target)
    for bad_target in (float("nan"), float("inf"), None)[
        :: 2 if Estimator is TagiClassifier else 1
    ]:
        with nothing_changes(model, (ValueError, TypeError)):  # type: ignore[arg-type]
            model.learn_one(good, bad_target)
    monkeypatch.setattr(
        nn.Sequential, "update", raising(nn.Sequential.update, 1, KeyboardInterrupt())
    )
    with nothing_changes(model, KeyboardInterrupt):
        model.learn_one(good | {"moon": 1.0}, 7 if Estimator is TagiClassifier else target)


@pytest.mark.parametrize("at_call", [1, 2])
@pytest.mark.parametrize("n_estimators", [1, 2])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_interrupted_while_units_change(
    Estimator: type, n_estimators: int, at_call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 64 brings new units: with one network the core learns it, and calls back."""
    model = learned(make(Estimator, n_estimators=n_estimators), 63)
    twin = learned(make(Estimator, n_estimators=n_estimators), 64)
    X, y = table(64)
    last = row(X[-1]), targets_of(Estimator, y).tolist()[-1]
    with monkeypatch.context() as patch:
        # What the networks take over new units by.
        load = raising(
            nn.Sequential.load_state_dict, min(at_call, n_estimators), KeyboardInterrupt()
        )
        patch.setattr(nn.Sequential, "load_state_dict", load)
        with nothing_changes(model, KeyboardInterrupt):
            model.learn_one(*last)
    model.learn_one(*last)
    np.testing.assert_allclose(model.x_mean_, twin.x_mean_, rtol=1e-12)
    for name, array in model.net_.state_dict().items():
        np.testing.assert_allclose(array, twin.net_.state_dict()[name], rtol=1e-3, atol=1e-6)


def test_a_drift_that_was_found_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found and noted in the first batches of a call, of which a later one is interrupted."""
    X, y = table(60)
    forgetting = tx.Forgetting(drift_level=1e-3, window=10.0)
    model, twin = (
        make(TagiRegressor, batch_size=4, forgetting=forgetting).fit(X, y) for _ in range(2)
    )
    changed = y + 100.0
    assert min(twin.partial_fit(X, changed).prequential_log_.drifts) <= 60 + 20
    with monkeypatch.context() as patch:
        update = raising(nn.Sequential.update, 2 * 10, KeyboardInterrupt())
        patch.setattr(nn.Sequential, "update", update)
        with nothing_changes(model, KeyboardInterrupt):
            model.partial_fit(X, changed)
    assert model.prequential_log_.n_drifts == 0
    assert model.partial_fit(X, changed).prequential_log_ == twin.prequential_log_


def test_epochs_of_a_network_go_back() -> None:
    """Of one that is trained where it is, as no method does now."""

    class Trainer:
        def __init__(self) -> None:
            self.nets_ = [nn.Sequential(nn.Linear(3, 1), forgetting=tx.Forgetting(), seed=0)]

        @all_or_nothing
        def train(self) -> None:
            X, y = table(40)
            scaled = (X - X.mean(axis=0)) / X.std(axis=0)
            net = self.nets_[0]
            net.fit(scaled, y[:, np.newaxis], noise=1.0, n_epochs=3, progress=False)
            assert net.epochs_trained == 3
            raise KeyboardInterrupt

    trainer = Trainer()
    net = trainer.nets_[0]
    before = {name: array.tobytes() for name, array in net.state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert trainer.nets_[0] is net and net.epochs_trained == 0 and net._model.drift == (0, 0, 0, 0)
    assert {name: array.tobytes() for name, array in net.state_dict().items()} == before


def test_labels_and_names() -> None:
    X, y = table(40)
    model = make(TagiClassifier).partial_fit(X, targets_of(TagiClassifier, y), classes=[0, 1, 2])
    with nothing_changes(model, ValueError):
        model.partial_fit(X, np.arange(40) % 4)
    with nothing_changes(model, ValueError):
        model.partial_fit(X, y > 0, classes=[0, 1])
    with nothing_changes(model, ValueError):
        model.fit(X, y)  # targets that are not classes
    pandas = pytest.importorskip("pandas")
    named = make(TagiRegressor).fit(pandas.DataFrame(X, columns=list(NAMES)), y)
    with nothing_changes(named, ValueError):
        named.partial_fit(pandas.DataFrame(X, columns=["x", *NAMES[1:]]), y)


def test_a_random_generator_goes_back() -> None:
    X, y = table(40)
    models = [make(TagiRegressor, random_state=np.random.RandomState(3)) for _ in range(2)]
    with pytest.raises(ValueError, match="NaN"):
        models[0].fit(X, np.where(y > y.min(), y, np.nan))
    models[0].set_params(hidden=(2**40,))
    with pytest.raises((ValueError, MemoryError)):
        models[0].fit(X, y)
    models[0].set_params(hidden=(6,))
    means = [model.fit(X, y).predict(X) for model in models]
    assert np.array_equal(*means)


def test_densities(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = table(40)
    model = TagiDiffusion((8,), n_epochs=1, random_state=0)
    for fit in (lambda: None, lambda: model.fit(X)):
        fit()
        before = {name: pickle.dumps(value) for name, value in vars(model).items()}
        with monkeypatch.context() as patch:
            patch.setattr(
                tx.DiffusionModel, "fit", raising(tx.DiffusionModel.fit, 1, KeyboardInterrupt())
            )
            with pytest.raises(KeyboardInterrupt):
                model.fit(X[:, :2])
        model.set_params(conditional=True)
        with pytest.raises(ValueError, match=r"classes|continuous"):
            model.fit(X[:, :1], y)
        model.set_params(conditional=False)
        assert {name: pickle.dumps(value) for name, value in vars(model).items()} == before
