"""nn.ClassEmbedding: values pass, classes have vectors that are learned, and nothing else is."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Array, on_every_device, relative_error, same_bits, state_error

import tagix as tx
from tagix import nn

N_VALUES, N_CLASSES, DIM = 3, 4, 2
NAN, INF = float("nan"), float("inf")
LAYER = nn.ClassEmbedding(N_VALUES, N_CLASSES, DIM)
RULES: dict[str, tx.UpdateRule] = {"information": tx.Information(), "capped": tx.Capped()}


def rows(n_rows: int, seed: int = 0) -> tuple[Array, Array]:
    """Inputs [values, one-hot class], the last a row without a class, and classes, -1 for none."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, N_CLASSES, n_rows)
    if n_rows > 1:
        labels[-1] = -1
    classes = np.vstack([np.eye(N_CLASSES), np.zeros(N_CLASSES)])[labels]
    values = generator.standard_normal((n_rows, N_VALUES))
    return np.hstack([values, classes]).astype(np.float32), labels


def targets(x: Array, labels: Array, seed: int = 0) -> Array:
    """Two targets that differ from class to class, with noise of standard deviation 0.3."""
    noise = 0.3 * np.random.default_rng(seed).standard_normal((len(x), 2))
    y = np.stack([np.sin(x[:, 0]) + labels, x[:, 1] * (labels - 1)], axis=1) + noise
    return y.astype(np.float32)


def network(rule: str = "information", **options: Any) -> nn.Sequential:
    layers = LAYER, nn.Linear(N_VALUES + DIM, 16), nn.ReLU(), nn.Linear(16, 2)
    return nn.Sequential(*layers, rule=RULES[rule], **{"seed": 0} | options)


def is_constant() -> Array:
    """Which weights (outputs, features) are not embeddings."""
    mask = np.ones((N_VALUES + DIM, N_VALUES + N_CLASSES), dtype=bool)
    mask[N_VALUES:, N_VALUES:] = False
    return mask


def assert_constants(weight_mean: Array, weight_var: Array) -> None:
    expected = np.zeros((N_VALUES + DIM, N_VALUES + N_CLASSES), dtype=np.float32)
    expected[:N_VALUES, :N_VALUES] = np.eye(N_VALUES)
    mask = is_constant()
    np.testing.assert_array_equal(weight_mean[mask], expected[mask])
    np.testing.assert_array_equal(weight_var[mask], 0)


def test_before_training() -> None:
    """Constants are as described; embeddings are N(0, gain^2), in means and in variances."""
    many, gain = 4000, 0.5
    state = nn.Sequential(nn.ClassEmbedding(2, many, 3, gain=gain), seed=0).state_dict()
    mean, var = state["0.weight.mean"], state["0.weight.var"]
    assert mean.shape == var.shape == (5, 2 + many)
    embedding = mean[2:, 2:].astype(np.float64)
    assert abs(embedding.mean()) < 5 * gain / np.sqrt(embedding.size)
    assert abs(embedding.var() / gain**2 - 1) < 5 * np.sqrt(2 / embedding.size)
    np.testing.assert_array_equal(var[2:, 2:], np.float32(gain**2))
    np.testing.assert_array_equal(mean[:2, :2], np.eye(2))
    assert not mean[:2, 2:].any() and not mean[2:, :2].any()
    assert not var[:2].any() and not var[:, :2].any()


@on_every_device
@pytest.mark.parametrize("n_rows", [1, 8, 300])
def test_forward_pass_by_its_definition(n_rows: int, device: str) -> None:
    net = nn.Sequential(LAYER, seed=0, device=device)
    state = net.state_dict()
    embedding = {
        part: state[f"0.weight.{part}"][N_VALUES:, N_VALUES:].T.astype(np.float64)
        for part in ("mean", "var")
    }
    x, labels = rows(n_rows)
    known = (labels >= 0)[:, np.newaxis]
    mean, var = net(x)
    np.testing.assert_array_equal(mean[:, :N_VALUES], x[:, :N_VALUES])
    np.testing.assert_array_equal(var[:, :N_VALUES], 0)
    for actual, part in ((mean, "mean"), (var, "var")):
        expected = np.where(known, embedding[part][labels], 0)
        np.testing.assert_allclose(actual[:, N_VALUES:], expected, rtol=1e-6)
    # Uncertain values pass with their variances.
    x_var = np.zeros_like(x)
    x_var[:, :N_VALUES] = np.random.default_rng(1).uniform(0.1, 1, (n_rows, N_VALUES))
    np.testing.assert_allclose(net(x, x_var).var[:, :N_VALUES], x_var[:, :N_VALUES], rtol=1e-6)


def test_row_without_a_class_has_no_embedding() -> None:
    x = np.zeros((1, N_VALUES + N_CLASSES), dtype=np.float32)
    x[0, :N_VALUES] = [1, -2, 3]
    mean, var = nn.Sequential(LAYER, seed=0)(x)
    np.testing.assert_array_equal(mean, [[1, -2, 3, 0, 0]])
    np.testing.assert_array_equal(var, np.zeros((1, 5)))


@on_every_device
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch_size", [1, 8, 300])
def test_updates_are_those_of_the_reference(batch_size: int, rule: str, device: str) -> None:
    """A Linear of float64 with the same weights, those that are constant known exactly.

    20 updates where they are well posed, as test_parity has it, else each by itself.
    """
    pytest.importorskip("torch", reason="needs the torch extra")
    from tagix import reference

    expected = reference.Sequential(
        reference.Linear(N_VALUES + N_CLASSES, N_VALUES + DIM, bias=False),
        reference.Linear(N_VALUES + DIM, 16),
        reference.ReLU(),
        reference.Linear(16, 2),
        rule={"information": reference.Information(), "capped": reference.Capped()}[rule],
    )
    net = network(rule, device=device)
    start = net.state_dict()
    expected.load_state_dict(start)
    for step in range(20 if batch_size < 300 else 5):
        x, labels = rows(batch_size, seed=step)
        y = targets(x, labels, seed=step)
        before, truth = net.update(x, y, 0.25), expected.update(x, y, 0.25)
        assert relative_error(before.mean, truth.mean) < 1e-5
        assert relative_error(before.var, truth.var) < 1e-5
        if batch_size == 300:
            assert state_error(net.state_dict(), expected.state_dict()) < 1e-5
            expected.load_state_dict(net.state_dict())
    state = net.state_dict()
    assert state_error(state, expected.state_dict()) < 1e-5
    assert_constants(state["0.weight.mean"], state["0.weight.var"])
    learned = ~is_constant()
    if batch_size > 1:  # of single rows, some classes had none
        assert (state["0.weight.mean"] != start["0.weight.mean"])[learned].all()
    assert (state["0.weight.var"] != start["0.weight.var"])[learned].sum() >= DIM * N_CLASSES / 2


def test_embedding_of_observations_is_their_conjugate_posterior() -> None:
    """cuTAGI's rule, one row at a time, is Bayes' for an unknown that is seen with known noise.

        1 / var' = 1 / var + n / noise_var,   mean' = var' (mean / var + sum y / noise_var)

    A class that was not seen, and rows without a class, change nothing.
    """
    noise_var, n_rows = 0.4, 60
    net = nn.Sequential(nn.ClassEmbedding(1, 3, 2, gain=0.8), rule=tx.Capped(cap=0.01), seed=1)
    start = net.state_dict()
    generator = np.random.default_rng(0)
    labels = generator.choice([-1, 0, 2], n_rows)
    y = generator.normal([0.0, 1.0, -2.0], size=(n_rows, 3)).astype(np.float32)
    one_hot = np.vstack([np.eye(3), np.zeros(3)])[labels]
    x = np.hstack([np.ones((n_rows, 1)), one_hot]).astype(np.float32)
    for row in range(n_rows):
        net.update(x[row : row + 1], y[row : row + 1], noise_var)
    state = net.state_dict()
    for label in range(3):
        seen = y[labels == label, 1:].astype(np.float64)
        mean, var = (start[f"0.weight.{part}"][1:, 1 + label] for part in ("mean", "var"))
        precision = 1 / var + len(seen) / noise_var
        expected = (mean / var + seen.sum(axis=0) / noise_var) / precision
        actual = [state[f"0.weight.{part}"][1:, 1 + label] for part in ("mean", "var")]
        np.testing.assert_allclose(actual[0], expected, rtol=1e-4)
        np.testing.assert_allclose(actual[1], 1 / precision, rtol=1e-4)
    assert state["0.weight.mean"][:, 2].tobytes() == start["0.weight.mean"][:, 2].tobytes()


def test_training_learns_what_classes_differ_in() -> None:
    """y = c_label, told by the class alone; a class never seen stays at its prior."""
    level = np.array([-1.5, 0.0, 2.0])
    labels = np.random.default_rng(0).integers(0, 3, 600)
    x = np.zeros((600, 1 + 4), dtype=np.float32)
    x[np.arange(600), 1 + labels] = 1
    net = nn.Sequential(
        nn.ClassEmbedding(1, 4, 3), nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1), seed=0
    )
    before = net.state_dict()
    net.fit(x, level[labels], noise=0.1, n_epochs=5, batch_size=16, progress=False)
    np.testing.assert_allclose(net(x).mean[:, 0], level[labels], atol=0.15)
    state = net.state_dict()
    for part in ("mean", "var"):
        name = f"0.weight.{part}"
        np.testing.assert_array_equal(state[name][1:, 4], before[name][1:, 4])
        assert (state[name][1:, 1:4] != before[name][1:, 1:4]).all()
    assert (state["0.weight.var"][1:, 1:4] < 1).all()


COPIES: dict[str, Callable[[nn.Sequential, Path], Any]] = {
    "pickle": lambda net, folder: pickle.loads(pickle.dumps(net)),
    "deepcopy": lambda net, folder: copy.deepcopy(net),
    "file": lambda net, folder: (
        net.save(folder / "net.safetensors"),
        tx.load(folder / "net.safetensors"),
    )[1],
}


@pytest.mark.parametrize("how", COPIES)
def test_copies_go_on_bit_by_bit(how: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="a dependency of the package")
    net = network()
    x, labels = rows(64)
    y = targets(x, labels)
    net.fit(x, y, noise=0.25, n_epochs=2, batch_size=16, progress=False)
    other = COPIES[how](net, tmp_path)
    assert repr(other) == repr(net)
    assert same_bits(other.state_dict(), net.state_dict())
    for each in (net, other):
        each.fit(x, y, noise=0.25, n_epochs=1, batch_size=16, progress=False)
    assert same_bits(other.state_dict(), net.state_dict())
    assert_constants(other.state_dict()["0.weight.mean"], other.state_dict()["0.weight.var"])


def test_drawn_network_keeps_the_constants() -> None:
    drawn = network().draw(3).state_dict()
    assert_constants(drawn["0.weight.mean"], drawn["0.weight.var"])
    assert not drawn["0.weight.var"].any()
    learned = ~is_constant()
    assert (drawn["0.weight.mean"] != network().state_dict()["0.weight.mean"])[learned].all()


@pytest.mark.parametrize("gain", [1.0, 0.25])
def test_layer_is_a_value(gain: float) -> None:
    layer = nn.ClassEmbedding(3, 4, 2, gain=gain)
    text = f"ClassEmbedding(n_values=3, n_classes=4, embedding_dim=2, gain={gain})"
    assert repr(layer) == text
    assert layer.config == {"n_values": 3, "n_classes": 4, "embedding_dim": 2, "gain": gain}
    for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer), copy.copy(layer)):
        assert repr(other) == text
    assert layer.in_features == 7


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"^layer 1: got 3 features, needed 7"):
        nn.Sequential(nn.Linear(3, 3), LAYER)
    with pytest.raises(ValueError, match=r"^layer 1: got 5 features, needed 7"):
        nn.Sequential(LAYER, nn.Linear(7, 1))
    with pytest.raises(ValueError, match=r"^x: "):
        network()(np.zeros((2, N_VALUES)))


@pytest.mark.parametrize("nested", [False, True])
def test_forgetting_is_refused(nested: bool) -> None:
    layer: Any = nn.Sequential(LAYER) if nested else LAYER
    with pytest.raises(ValueError, match=r"^forgetting: got .*ClassEmbedding.*needed"):
        nn.Sequential(layer, nn.Linear(5, 1), forgetting=tx.Forgetting())


@pytest.mark.parametrize(
    "noise", [tx.Heteroscedastic(), tx.Homoscedastic(learn=True)], ids=lambda n: type(n).__name__
)
def test_noise_head_on_it_is_refused(noise: tx.Heteroscedastic | tx.Homoscedastic) -> None:
    message = r"^noise: got a network that ends in ClassEmbedding, needed nn\.Linear"
    with pytest.raises(ValueError, match=message):
        nn.Sequential(LAYER, noise=noise)
    # Known noise and noise inferred at a Linear do not concern it.
    x, labels = rows(50)
    nn.Sequential(LAYER, noise=tx.Homoscedastic(0.5)).update(x, np.zeros((50, 5)))
    net = network(noise=noise)
    net.fit(x, targets(x, labels), n_epochs=1, progress=False)
    assert_constants(net.state_dict()["0.weight.mean"], net.state_dict()["0.weight.var"])


NEEDED = re.escape("needed (n_values, n_classes, embedding_dim, *, gain=1.0)")
CONSTRUCTIONS: dict[str, tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    **{
        f"{name} {value!r}": (
            tuple(value if name == each else 3 for each in LAYER.config if each != "gain"),
            {},
            error,
            f"^{name}: got {re.escape(repr(value))}, needed",
        )
        for name in ("n_values", "n_classes", "embedding_dim")
        for value, error in (
            (0, ValueError),
            (-1, ValueError),
            (2.0, TypeError),
            (True, TypeError),
            ("2", TypeError),
            (None, TypeError),
            (2**70, ValueError),
        )
    },
    **{
        f"gain {value!r}": ((3, 4, 2), {"gain": value}, ValueError, "^gain: got .*, needed")
        for value in (0.0, -1.0, NAN, INF, 1e300, 1e-300)
    },
    "gain text": ((3, 4, 2), {"gain": "1"}, TypeError, "^gain: got '1', needed a number"),
    "gain None": ((3, 4, 2), {"gain": None}, TypeError, "^gain: got None, needed a number"),
    "two": ((3, 4), {}, TypeError, rf"^ClassEmbedding: got \(3, 4\), {NEEDED}$"),
    "gain by position": (
        (3, 4, 2, 1.0),
        {},
        TypeError,
        rf"^ClassEmbedding: got \(3, 4, 2, 1.0\), {NEEDED}$",
    ),
    "unknown": (
        (3, 4, 2),
        {"width": 5},
        TypeError,
        rf"^ClassEmbedding: got \(3, 4, 2, width=5\), {NEEDED}$",
    ),
    "too many values": (
        (2**62, 2**62, 2**62),
        {},
        ValueError,
        "^n_values: got 4611686018427387904, needed 1 to 16777216$",
    ),
    "too many weights": (
        (3000, 3000, 3000),
        {},
        ValueError,
        "^n_values, n_classes, embedding_dim: got 3000, 3000 and 3000, needed at most .* weights$",
    ),
}


@pytest.mark.parametrize("case", CONSTRUCTIONS)
def test_construction(case: str) -> None:
    positional, named, error, message = CONSTRUCTIONS[case]
    with pytest.raises(error, match=message) as raised:
        nn.ClassEmbedding(*positional, **named)
    assert "incompatible" not in str(raised.value)  # pybind11's message with C++ signatures
