"""The float64 reference against definitions: mpmath integrals, conditioning, Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the torch extra")
mpmath = pytest.importorskip("mpmath")

import torch  # noqa: E402

import tagix  # noqa: E402
from tagix import reference  # noqa: E402
from tagix.reference.activations import ElementwiseActivation  # noqa: E402

mp: Any = mpmath.mp


def moments(activation: ElementwiseActivation, mean: float, std: float) -> list[float]:
    at = (torch.tensor([[value]], dtype=torch.float64) for value in (mean, std**2))
    return [float(tensor) for tensor in activation.forward(*at)]


def integrals(
    value: Callable[[Any], Any], mean: float, std: float, kinks: tuple[float, ...] = ()
) -> list[float]:
    """E f, Var f and Cov(z, f) / v by integration of their definitions with 22 digits."""
    with mp.workdps(22):
        # The moments take std**2 in float64, and so must these.
        m, s = mp.mpf(mean), mp.sqrt(mp.mpf(std**2))
        radius = 16 + math.ceil(abs(mean) / std) if kinks else 16
        breaks = {(k - m) / s for k in kinks} | {mp.mpf(u) for u in range(-radius, radius + 1)}
        points = sorted(u for u in breaks if abs(u) <= radius)

        def expectation(g: Callable[[Any], Any]) -> Any:
            return mp.quad(lambda u: g(u) * mp.npdf(u), points)

        centre = expectation(lambda u: value(m + s * u))
        var = expectation(lambda u: (value(m + s * u) - centre) ** 2)
        slope = expectation(lambda u: u * (value(m + s * u) - centre)) / s
        return [float(centre), float(var), float(slope)]


def rectified(z: Any) -> Any:
    return z if z > 0 else mp.mpf(0)


def logistic(z: Any) -> Any:
    return 1 / (1 + mp.exp(-z))


DEFINITIONS: dict[
    str, tuple[ElementwiseActivation, Callable[[Any], Any], tuple[float, ...], float]
] = {
    "relu": (reference.ReLU(), rectified, (0.0,), 1e-11),
    "leaky_relu": (
        reference.LeakyReLU(0.1),
        lambda z: z if z > 0 else z * mp.mpf(0.1),
        (0.0,),
        1e-11,
    ),
    "hardtanh": (reference.Hardtanh(), lambda z: max(-1, min(1, z)), (-1.0, 1.0), 1e-9),
    "sigmoid": (reference.Sigmoid(), logistic, (), 1e-9),
    "tanh": (reference.Tanh(), mpmath.tanh, (), 1e-9),
    "softplus": (reference.Softplus(), lambda z: mp.log1p(mp.exp(z)), (), 1e-9),
    "silu": (reference.SiLU(), lambda z: z * logistic(z), (), 1e-9),
    "gelu": (reference.GELU(), lambda z: z * mp.ncdf(z), (), 1e-9),
    "exp": (reference.Exp(), mpmath.exp, (), 1e-11),
}


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize(("mean", "std"), [(0.3, 1.0), (-1.7, 0.4), (2.5, 3.0), (-4.0, 1.5)])
def test_exact_moments_are_the_integrals(name: str, mean: float, std: float) -> None:
    activation, value, kinks, rtol = DEFINITIONS[name]
    truth = integrals(value, mean, std, kinks)
    # Means and slopes that cross zero (tanh, SiLU, GELU) are held to the spread of the output.
    floor = rtol * math.sqrt(truth[1])
    actual = moments(activation, mean, std)
    assert actual[0] == pytest.approx(truth[0], rel=rtol, abs=floor)
    assert actual[1] == pytest.approx(truth[1], rel=rtol, abs=0)
    assert actual[2] == pytest.approx(truth[2], rel=rtol, abs=floor / std)


def rectified_with_many_digits(mean: float, var: float) -> list[float]:
    with mp.workdps(80):
        m, v = mp.mpf(mean), mp.mpf(var)
        s = mp.sqrt(v)
        probability, density = mp.ncdf(m / s), mp.npdf(m / s)
        centre = m * probability + s * density
        second = (m * m + v) * probability + m * s * density
        return [float(centre), float(second - centre**2), float(probability)]


@pytest.mark.parametrize("std", [1e-3, 1.0, 40.0])
def test_relu_keeps_relative_accuracy_in_both_tails(std: float) -> None:
    for alpha in [*np.linspace(-12, 12, 97), -35.0, 35.0, 1e4]:
        mean = float(alpha) * std
        truth = rectified_with_many_digits(mean, std**2)
        assert moments(reference.ReLU(), mean, std) == pytest.approx(truth, rel=1e-10, abs=0), alpha


def test_hardtanh_keeps_relative_accuracy_outside_its_limits() -> None:
    for mean in (7.0, -7.0, 1.2):
        truth = integrals(DEFINITIONS["hardtanh"][1], mean, 1.0, (-1.0, 1.0))
        actual = moments(reference.Hardtanh(), mean, 1.0)
        assert actual == pytest.approx(truth, rel=1e-11, abs=0)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_first_order_is_the_limit_of_exact(name: str) -> None:
    """As var -> 0, at a point without a kink, with errors of order var."""
    activation = DEFINITIONS[name][0]
    exact = moments(activation, 0.7, 1e-4)
    activation.moments = "first_order"
    try:
        assert moments(activation, 0.7, 1e-4) == pytest.approx(exact, rel=1e-7)
    finally:
        activation.moments = "exact"
    certain = moments(activation, 0.7, 0.0)
    assert (certain[0], certain[1], certain[2]) == pytest.approx((exact[0], 0.0, exact[2]), 1e-7)


def test_users_activation_has_the_moments_of_a_known_function() -> None:
    """sin: E sin z = exp(-v/2) sin m, E sin^2 z = (1 - exp(-2v) cos 2m) / 2."""
    activation = reference.Activation(torch.sin, torch.cos)
    m, v = 0.8, 2.25
    centre = math.exp(-v / 2) * math.sin(m)
    truth = [
        centre,
        (1 - math.exp(-2 * v) * math.cos(2 * m)) / 2 - centre**2,
        math.exp(-v / 2) * math.cos(m),
    ]
    assert moments(activation, m, 1.5) == pytest.approx(truth, rel=1e-12)


def random_state(net: reference.Sequential, rng: np.random.Generator) -> dict[str, Any]:
    state = {}
    for key, value in net.state_dict().items():
        draw = rng.normal(size=value.shape)
        state[key] = draw if key.endswith("mean") else 0.5 * draw**2 + 0.1
    return state


def test_linear_update_of_one_sample_is_gaussian_conditioning() -> None:
    """With a known input the theory is exact: condition the joint Gaussian of (W, b, y)."""
    rng = np.random.default_rng(3)
    # The cap so small that nothing is clipped, the rest of the rule is the innovation form.
    net = reference.Sequential(reference.Linear(3, 2), rule=reference.Capped(cap=1e-9))
    state = random_state(net, rng)
    net.load_state_dict(state)
    x, y, noise_var = rng.normal(size=(1, 3)), rng.normal(size=(1, 2)), 0.3
    prior_mean = np.concatenate([state["0.weight.mean"].ravel(), state["0.bias.mean"]])
    prior_cov = np.diag(np.concatenate([state["0.weight.var"].ravel(), state["0.bias.var"]]))
    design = np.hstack([np.kron(np.eye(2), x), np.eye(2)])
    output_cov = design @ prior_cov @ design.T
    gain = prior_cov @ design.T @ np.linalg.inv(output_cov + noise_var * np.eye(2))
    mean = prior_mean + gain @ (y[0] - design @ prior_mean)
    var = np.diag(prior_cov - gain @ design @ prior_cov)

    prediction = net.update(x, y, noise_var)
    np.testing.assert_allclose(prediction.mean[0], design @ prior_mean, rtol=1e-13)
    np.testing.assert_allclose(prediction.var[0], np.diag(output_cov), rtol=1e-13)
    after = net.state_dict()
    names = ("0.weight", "0.bias")
    actual_mean = np.concatenate([after[f"{n}.mean"].ravel() for n in names])
    actual_var = np.concatenate([after[f"{n}.var"].ravel() for n in names])
    np.testing.assert_allclose(actual_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(actual_var, var, rtol=1e-12)


def test_linear_with_uncertain_input_against_sampling() -> None:
    rng = np.random.default_rng(4)
    net = reference.Sequential(reference.Linear(3, 1))
    state = random_state(net, rng)
    net.load_state_dict(state)
    x, x_var = np.array([[0.5, -1.0, 2.0]]), np.array([[0.4, 1.2, 0.1]])
    n = 400_000
    weight, bias = (
        state[f"0.{k}.mean"].ravel()
        + np.sqrt(state[f"0.{k}.var"].ravel()) * rng.normal(size=(n, size))
        for k, size in (("weight", 3), ("bias", 1))
    )
    draws = (weight * (x + np.sqrt(x_var) * rng.normal(size=(n, 3)))).sum(1) + bias[:, 0]
    prediction = net(x, x_var)
    std = draws.std()
    assert prediction.mean[0, 0] == pytest.approx(draws.mean(), abs=5 * std / math.sqrt(n))
    # The products make the tails heavier than normal: the bound is 5 errors at kurtosis 5.
    assert prediction.var[0, 0] == pytest.approx(draws.var(), rel=10 / math.sqrt(n))


def test_input_innovation_carries_the_covariance_with_the_output() -> None:
    """Certain weights, one uncertain input: Cov(x, z) by integration."""
    net = reference.Sequential(reference.Linear(1, 3), reference.Tanh(), reference.Linear(3, 1))
    rng = np.random.default_rng(5)
    state = random_state(net, rng)
    state |= {key: np.zeros_like(value) for key, value in state.items() if key.endswith("var")}
    net.load_state_dict(state)
    m, v, noise_var, y = 0.4, 0.8, 0.5, 1.3
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    x = m + math.sqrt(v) * nodes[:, None]
    z = np.tanh(x @ state["0.weight.mean"].T + state["0.bias.mean"]) @ state["2.weight.mean"].T
    z = z[:, 0] + state["2.bias.mean"]
    mean_z = weights @ z
    covariance = weights @ ((x[:, 0] - m) * (z - mean_z))

    result = net.innovations([[m]], [[y]], noise_var, [[v]])
    assert result.prediction.mean[0, 0] == pytest.approx(mean_z, rel=1e-9)
    innovation_var = result.prediction.var[0, 0] + noise_var  # the network's own var_z
    delta_mean = (y - mean_z) / innovation_var
    assert v * result.input.mean[0, 0] == pytest.approx(covariance * delta_mean, rel=1e-9)


def test_information_rule_by_hand() -> None:
    """One bias with prior N(0, 1), observed B times as 0.5 with noise variance 1."""

    def posterior(batch_size: int, rule: reference.Information) -> tuple[float, float]:
        net = reference.Sequential(reference.Linear(1, 1), rule=rule)
        ones, zeros = np.ones((1, 1)), np.zeros((1, 1))
        net.load_state_dict(
            {
                "0.weight.mean": zeros,
                "0.weight.var": ones,
                "0.bias.mean": zeros[0],
                "0.bias.var": ones[0],
            }
        )
        net.update(np.zeros((batch_size, 1)), np.full((batch_size, 1), 0.5), 1.0)
        state = net.state_dict()
        assert state["0.weight.var"] == 1.0  # its input is 0: nothing is learnt
        return float(state["0.bias.mean"][0]), float(state["0.bias.var"][0])

    # S = 2, H = 1/2, G = 1/4: var = 1 / (3/2), mean = var / 4.
    assert posterior(1, reference.Information()) == pytest.approx((1 / 6, 2 / 3), rel=1e-14)
    # B = 101, k = 0.01: S = 1 (1 + 1) + 1 = 3, H = 101/3, var = 3/104, var G = 101/208 is clipped.
    assert posterior(101, reference.Information()) == pytest.approx((1 / 3, 3 / 104), rel=1e-14)
    free = posterior(101, reference.Information(clip=10.0))
    assert free == pytest.approx((101 / 208, 3 / 104), rel=1e-14)


def test_capped_rule_by_hand() -> None:
    def step(batch_size: int, var: float, g: float, h: float) -> tuple[float, float]:
        zero, v, information, precision = torch.tensor([0.0, var, g, h], dtype=torch.float64)
        mean, posterior = reference.Capped().step(zero, v, information, precision, batch_size)
        return float(mean), float(posterior)

    assert step(1, 0.25, 100.0, 0.0) == pytest.approx((5.0, 0.25))  # 0.5 / 0.1
    assert step(255, 0.25, 100.0, 1.0) == pytest.approx((0.25, 0.1875))  # 0.5 / 2
    assert step(256, 0.25, -100.0, 1.0) == pytest.approx((-1 / 6, 0.1875))  # 0.5 / 3
    assert step(255, 0.25, 0.0, 100.0) == pytest.approx((0.0, 1e-5))  # 0.25 - 0.25 is reset
    assert step(256, 0.25, 0.0, 100.0) == pytest.approx((0.0, 0.25 - 1 / 6))
    assert step(256, 0.04, 0.0, 100.0) == pytest.approx((0.0, 1e-5))  # 0.04 - 0.2 / 3 < 0


def test_missing_targets_leave_no_trace() -> None:
    """A row without targets changes nothing but the batch size; a missing output likewise."""
    rng = np.random.default_rng(6)

    def trained(x: Any, y: Any) -> dict[str, Any]:
        net = reference.Sequential(
            reference.Linear(2, 4),
            reference.Sequential(reference.ReLU(), reference.Linear(4, 2)),
            rule=reference.Information(share=0.0),
            seed=1,
        )
        net.update(x, y, 0.1)
        return dict(net.state_dict())

    x, y = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    y[:, 1] = np.nan
    padded = trained(np.vstack([x, [[9.0, 9.0]]]), np.vstack([y, [[np.nan, np.nan]]]))
    plain = trained(x, y)
    assert list(plain) == [
        f"{layer}.{kind}.{part}"
        for layer in ("0", "1.1")
        for kind in ("weight", "bias")
        for part in ("mean", "var")
    ]
    for key, value in plain.items():
        np.testing.assert_allclose(padded[key], value, rtol=1e-13)
    untouched = reference.Sequential(reference.Linear(2, 4), reference.Linear(4, 2), seed=1)
    prior = untouched.state_dict()
    np.testing.assert_array_equal(plain["1.1.weight.mean"][1], prior["1.weight.mean"][1])
    assert (plain["1.1.weight.mean"][0] != prior["1.weight.mean"][0]).any()


def test_initialisation_spreads_means_as_the_prior() -> None:
    for init, var in (("he", 4 / 400), ("xavier", 4 * 2 / 700)):
        layer = reference.Linear(400, 300, init=init, gain_weight=2.0)  # type: ignore[arg-type]
        state = reference.Sequential(layer, seed=0).state_dict()
        np.testing.assert_allclose(state["0.weight.var"], var, rtol=1e-14)
        assert state["0.weight.mean"].mean() == pytest.approx(0, abs=5 * math.sqrt(var / 120_000))
        assert state["0.weight.mean"].var() == pytest.approx(var, rel=5 * math.sqrt(2 / 120_000))


@pytest.mark.parametrize(
    ("argument", "x", "y", "noise_var"),
    [
        ("x", np.zeros((4, 3)), np.zeros((4, 1)), 1.0),
        ("x", np.zeros(2), np.zeros((4, 1)), 1.0),
        ("y", np.zeros((4, 2)), np.zeros((4, 2)), 1.0),
        ("noise_var", np.zeros((4, 2)), np.zeros((4, 1)), -1.0),
        ("noise_var", np.zeros((4, 2)), np.zeros((4, 1)), 0.0),
        ("noise_var", np.zeros((4, 2)), np.zeros((4, 1)), np.ones((3, 1))),
    ],
)
def test_errors_name_the_argument(argument: str, x: Any, y: Any, noise_var: Any) -> None:
    net = reference.Sequential(reference.Linear(2, 1), seed=0)
    before = net.state_dict()
    with pytest.raises(ValueError, match=rf"^{argument}: got"):
        net.update(x, y, noise_var)
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("share", [-0.1, 0.0, 0.5, 1.0, 2.0, math.inf, math.nan])
@pytest.mark.parametrize("clip", [0.0, 0.5, math.inf, math.nan])
def test_rules_take_what_the_core_takes(share: float, clip: float) -> None:
    def taken(make: Any) -> list[bool]:
        return [_works(lambda: make.Information(share, clip)), _works(lambda: make.Capped(share))]

    assert taken(reference) == taken(tagix)


def _works(make: Any) -> bool:
    try:
        make()
    except ValueError:
        return False
    return True
