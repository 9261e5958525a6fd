"""Whatever copies a network carries over all of its options, its progress and its parameters."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import regression_data, same_bits

import tagix as tx
from tagix import nn
from tagix._network_state import CLASSES, EXTRAS, OPTION_NAMES, Options, Progress

# Every option with a value that is not its default; a new one belongs here.
NUMBERS: dict[str, Any] = {
    "seed": 5,
    "device": "cpu",
    "rule": tx.Capped(2.5),
    "noise": tx.Homoscedastic(0.3, decay=0.5),
    "forgetting": tx.Forgetting(1e-3, window=5.0),
    "precision": "mixed",
}
LABELS = {
    "seed": 5,
    "likelihood": tx.Softmax(2),
    "forgetting": tx.Forgetting(1e-3, drift_level=None),
}
PROGRESS = Progress(epochs_trained=3, drift=(1.5, 2.5, 3.5, 4), training=False)

pytestmark = pytest.mark.filterwarnings("ignore:precision")  # that the processor may lack


def network(options: dict[str, Any]) -> nn.Sequential:
    """One with parameters that are not its prior's."""
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), **options)
    x, y = regression_data(20)
    net.update(x, y if net.likelihood is None else (y[:, 0] > 0).astype(int))
    net._progress = PROGRESS
    return net


def saved_and_loaded(net: nn.Sequential, folder: Path) -> nn.Sequential:
    """What a file makes of it."""
    net.save(folder / "net")
    loaded: nn.Sequential = tx.load(folder / "net")
    return loaded


COPIES: dict[str, Callable[[nn.Sequential, Path], nn.Sequential]] = {
    "copy": lambda net, folder: copy.copy(net),
    "deepcopy": lambda net, folder: copy.deepcopy(net),
    "pickle": lambda net, folder: pickle.loads(pickle.dumps(net)),
    "file": saved_and_loaded,
    "merge": lambda net, folder: tx.merge([net], net),
    "forget": lambda net, folder: tx.forget(net, net, net),
}


def test_every_option_is_here() -> None:
    assert {*NUMBERS, *LABELS} == set(OPTION_NAMES)
    options = Options(**NUMBERS)
    differ = {name for name in NUMBERS if getattr(options, name) != getattr(Options(), name)}
    assert differ == {*NUMBERS} - {"device"}
    assert set(EXTRAS) < set(CLASSES) < set(OPTION_NAMES)


@pytest.mark.parametrize("options", [NUMBERS, LABELS], ids=["numbers", "labels"])
@pytest.mark.parametrize("name", COPIES)
def test_copies_carry_all(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    net = network(options)
    other = COPIES[name](net, tmp_path)
    assert other is not net and other._model is not net._model
    assert other._options == net._options
    assert all(getattr(other._options, key) == value for key, value in options.items())
    assert other._progress == net._progress == PROGRESS
    assert same_bits(other.state_dict(), net.state_dict())


@pytest.mark.parametrize("options", [NUMBERS, LABELS], ids=["numbers", "labels"])
def test_a_grown_network_carries_all(options: dict[str, Any]) -> None:
    wider = pytest.importorskip("tagix.sklearn._growth", exc_type=ImportError).wider
    net = network(options)
    other = wider(net, more_inputs=1)
    assert other._options == net._options
    assert other._progress == PROGRESS
    assert (other.state_dict()["0.weight.mean"][:, :3] == net.state_dict()["0.weight.mean"]).all()


def test_a_network_that_was_not_used_has_made_no_progress() -> None:
    net = nn.Sequential(nn.Linear(1, 1), seed=0)
    assert net.eval()._progress == Progress(training=False)
    again = pickle.loads(pickle.dumps(net))
    assert again._made_model is net._made_model is None
    assert again._progress == net._progress
    again._progress = PROGRESS
    assert (again.epochs_trained, again.n_drifts, again.training) == (3, 4, False)


def test_a_pickle_without_an_option_has_its_default() -> None:
    net = network(NUMBERS)
    state = net.__getstate__()
    del state["forgetting"]
    again = nn.Sequential.__new__(nn.Sequential)
    again.__setstate__(state)
    assert again.forgetting is None and again.noise == net.noise
