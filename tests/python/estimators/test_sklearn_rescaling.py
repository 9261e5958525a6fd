"""A network in other units predicts the same; running moments are those of the table."""

from __future__ import annotations

import numpy as np
import pytest

import tagix as tx
from tagix import nn
from tagix._rescaling import Units, rescale
from tests.python.helpers import INFERRED, same_bits

RNG = np.random.default_rng(0)
N_FEATURES, N_OUTPUTS = 3, 2
X_OLD = Units(np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 1.0]))
X_NEW = Units(np.array([1.5, -2.1, 0.5]), np.array([3.0, 0.4, 1.0]))
Y_OLD = Units(np.array([10.0, -1.0]), np.array([4.0, 0.1]))
Y_NEW = Units(np.array([9.0, -1.1]), np.array([5.0, 0.3]))
NOISES = ["exp", "homoscedastic", None]


def network(noise: str | None, hidden: tuple[int, ...] = (16,)) -> nn.Sequential:
    """A trained network that is sure of its weights: little is left of what the prior gave."""
    layers: list[nn.Layer] = []
    features = N_FEATURES
    for width in hidden:
        layers += [nn.Linear(features, width), nn.ReLU()]
        features = width
    layers.append(nn.Linear(features, N_OUTPUTS))
    net = nn.Sequential(*layers, noise=INFERRED[noise] if noise else None, seed=0)
    x = RNG.standard_normal((200, N_FEATURES))
    y = np.stack([np.sin(x[:, 0]), x[:, 1]], axis=1) + 0.1 * RNG.standard_normal((200, N_OUTPUTS))
    known = None if noise else tx.Homoscedastic(0.1)
    net.fit(x, y, noise=known, n_epochs=3, batch_size=10, progress=False)
    state = net.state_dict()
    net.load_state_dict(
        {name: array * (1e-6 if name.endswith("var") else 1) for name, array in state.items()}
    )
    return net


def inputs(rows: np.ndarray, units: Units) -> np.ndarray:
    return ((rows - units.mean) / units.scale).astype(np.float32)


@pytest.mark.parametrize("noise", NOISES)
def test_targets_in_new_units(noise: str | None) -> None:
    net = network(noise)
    x = RNG.standard_normal((40, N_FEATURES)).astype(np.float32)
    before = net(x)
    expected_mean = (before.mean * Y_OLD.scale + Y_OLD.mean - Y_NEW.mean) / Y_NEW.scale
    expected_var, noise_var = (
        part * (Y_OLD.scale / Y_NEW.scale) ** 2 for part in (before.epistemic, before.aleatoric)
    )
    rescale(net, targets=(Y_OLD, Y_NEW))
    after = net(x)
    np.testing.assert_allclose(after.mean, expected_mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(after.epistemic, expected_var, rtol=1e-5)
    np.testing.assert_allclose(after.aleatoric, noise_var, rtol=1e-5)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("hidden", [(16,), ()])
def test_inputs_in_new_units_at_their_new_mean(noise: str | None, hidden: tuple[int, ...]) -> None:
    """There variances are exact, too; a network of one layer has its noise head on the inputs."""
    net = network(noise, hidden)
    rows = X_NEW.mean[np.newaxis]
    before = net(inputs(rows, X_OLD))
    rescale(net, inputs=(X_OLD, X_NEW))
    after = net(inputs(rows, X_NEW))
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new, old, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(after.aleatoric, before.aleatoric, rtol=1e-5)


def test_preactivations_of_all_inputs_keep_their_means() -> None:
    """Of the first layer, in float64, at any input; variances do on average about the new mean."""
    net = network("exp")
    old = {name: array.astype(np.float64) for name, array in net.state_dict().items()}
    rows = X_NEW.mean + X_NEW.scale * RNG.standard_normal((500, N_FEATURES))
    mirrored = np.concatenate([rows, 2 * X_NEW.mean - rows])  # of mean X_NEW.mean, exactly
    rescale(net, inputs=(X_OLD, X_NEW))
    new = {name: array.astype(np.float64) for name, array in net.state_dict().items()}

    def moments(state: dict[str, np.ndarray], units: Units) -> tuple[np.ndarray, np.ndarray]:
        x = (mirrored - units.mean) / units.scale
        mean = x @ state["0.weight.mean"].T + state["0.bias.mean"]
        return mean, x**2 @ state["0.weight.var"].T + state["0.bias.var"]

    mean_old, var_old = moments(old, X_OLD)
    mean_new, var_new = moments(new, X_NEW)
    np.testing.assert_allclose(mean_new, mean_old, atol=1e-5)
    np.testing.assert_allclose(var_new.mean(axis=0), var_old.mean(axis=0), rtol=1e-5)
    assert np.abs(var_new / var_old - 1).max() > 1e-3  # not row by row: the covariance is lost


def test_what_was_not_learned_is_not_blown_up() -> None:
    """Of weights of the prior, a thousandfold scale makes 1.5 times the variance, not a million."""
    net = nn.Sequential(
        nn.Linear(N_FEATURES, 16, gain_bias=3.0), nn.ReLU(), nn.Linear(16, 1), seed=0
    )
    before = {name: array.astype(np.float64) for name, array in net.state_dict().items()}
    rescale(net, inputs=(X_OLD, Units(X_NEW.mean, 1000 * X_OLD.scale)))
    after = net.state_dict()
    np.testing.assert_allclose(after["0.weight.var"], 1.5 / N_FEATURES, rtol=1e-5)
    expected = np.sqrt(1.5) * before["0.weight.mean"]
    np.testing.assert_allclose(after["0.weight.mean"], expected, rtol=1e-5)
    shift = (X_NEW.mean - X_OLD.mean) / X_OLD.scale
    var = np.minimum(1.5 * 9 / N_FEATURES, before["0.bias.var"] + (shift**2).sum() / N_FEATURES)
    np.testing.assert_allclose(after["0.bias.var"], var, rtol=1e-5)
    mean = before["0.bias.mean"] + before["0.weight.mean"] @ shift
    np.testing.assert_allclose(after["0.bias.mean"], mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ratio", [0.2, 1.0, 1.5, 7.0])
def test_what_was_learned_is_re_expressed_however_far(ratio: float) -> None:
    """As long as that leaves variances of the prior's order: here down to a hundredth of it."""
    net = nn.Sequential(nn.Linear(N_FEATURES, 16), nn.ReLU(), nn.Linear(16, 1), seed=0)
    state = net.state_dict()
    prior = 1.0 / N_FEATURES
    share = np.geomspace(0.01, 1.0, 48).reshape(16, 3)
    state["0.weight.var"] = (prior * share).astype(np.float32)
    net.load_state_dict(state)
    rescale(net, inputs=(X_OLD, Units(X_OLD.mean, ratio * X_OLD.scale)))
    after = net.state_dict()
    whole = ratio**2 * share < 1.5
    assert whole.any() and (whole.all() or ratio > 1.2)
    for name, factor in (("mean", ratio), ("var", ratio**2)):
        got, expected = after[f"0.weight.{name}"], factor * state[f"0.weight.{name}"]
        np.testing.assert_allclose(got[whole], expected[whole], rtol=1e-5)
    np.testing.assert_allclose(after["0.weight.var"][~whole], 1.5 * prior, rtol=1e-5)
    # A weight keeps its ratio of mean to standard deviation.
    np.testing.assert_allclose(
        after["0.weight.mean"] / np.sqrt(after["0.weight.var"]),
        state["0.weight.mean"] / np.sqrt(state["0.weight.var"]),
        rtol=1e-5,
    )


def test_both_at_once_are_one_after_the_other() -> None:
    together, separate = network("exp"), network("exp")
    separate.load_state_dict(together.state_dict())
    rescale(together, inputs=(X_OLD, X_NEW), targets=(Y_OLD, Y_NEW))
    rescale(separate, inputs=(X_OLD, X_NEW))
    rescale(separate, targets=(Y_OLD, Y_NEW))
    assert same_bits(together.state_dict(), separate.state_dict())


@pytest.mark.parametrize(
    ("net", "units", "match"),
    [
        (nn.Sequential(nn.ReLU(), nn.Linear(3, 2), seed=0), (X_OLD, X_NEW), "first layer"),
        (nn.Sequential(nn.Linear(3, 2, bias=False), seed=0), (X_OLD, X_NEW), "with a bias"),
        (nn.Sequential(nn.Linear(3, 2), seed=0), (Y_OLD, Y_NEW), r"needed \(3,\)"),
        (
            nn.Sequential(nn.Linear(3, 2), seed=0),
            (X_OLD, Units(X_NEW.mean, np.array([1.0, 0.0, 1.0]))),
            "not positive",
        ),
    ],
)
def test_what_cannot_be_rescaled(
    net: nn.Sequential, units: tuple[Units, Units], match: str
) -> None:
    before = net.state_dict()
    with pytest.raises(ValueError, match=match):
        rescale(net, inputs=units)
    assert same_bits(net.state_dict(), before)


def test_softplus_noise_is_refused() -> None:
    net = nn.Sequential(nn.Linear(3, 2), noise=tx.Heteroscedastic("softplus"), seed=0)
    with pytest.raises(ValueError, match="needed one with the link 'exp'"):
        rescale(net, targets=(Y_OLD, Y_NEW))
