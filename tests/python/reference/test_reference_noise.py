"""The noise that the float64 reference infers: against conditioning, integrals and cuTAGI."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import GOLDEN, Array, load_golden

pytest.importorskip("torch", reason="needs the torch extra")
pytest.importorskip("scipy")

import torch
from scipy import integrate, stats

from tagix import reference

LINKS: dict[str, Callable[[Any], Any]] = {"exp": np.exp, "softplus": lambda w: np.logaddexp(w, 0)}
EXPECTED = reference.Information(share=0.0)
OWN = reference.Capped(cap=1e-9)  # so small that nothing is clipped


def one_affine(
    noise: reference.Heteroscedastic | reference.Homoscedastic, rule: Any
) -> reference.Sequential:
    """Outputs that are their biases alone, for inputs of 0."""
    return reference.Sequential(reference.Linear(1, 1), rule=rule, noise=noise, seed=0)


def set_output(net: reference.Sequential, value: Array, head: Array) -> None:
    """Biases with the given (mean, var), each of shape (2,); weights are seen by inputs of 0."""
    state = net.state_dict()
    for name, (mean, var) in (("bias", value), ("noise_bias", head)):
        state[f"0.{name}.mean"], state[f"0.{name}.var"] = np.array([mean]), np.array([var])
    net.load_state_dict(state)


def output(net: reference.Sequential) -> dict[str, float]:
    return {key: float(value[0]) for key, value in net.state_dict().items() if "bias" in key}


def link_moments(link: str, head_mean: float, head_var: float) -> tuple[float, float, float]:
    """E f(w), Var f(w), Cov(w, f(w)) / Var w for w ~ N(head_mean, head_var), by integration."""
    std = math.sqrt(head_var)

    def expectation(g: Callable[[float, float], float]) -> float:
        def integrand(u: float) -> float:
            return g(u, float(LINKS[link](head_mean + std * u))) * stats.norm.pdf(u)

        return float(integrate.quad(integrand, -12, 12, epsabs=0, epsrel=1e-11, limit=400)[0])

    mean = expectation(lambda u, f: f)
    var = expectation(lambda u, f: (f - mean) ** 2)
    return mean, var, expectation(lambda u, f: u * (f - mean)) / std


def condition(
    mean: float, var: float, covariance: float, by_mean: float, by_var: float, to: tuple[float, ...]
) -> tuple[float, float]:
    """Moments of p once q ~ N(by_mean, by_var), Cov(p, q) = covariance, has the moments `to`."""
    gain = covariance / by_var
    return mean + gain * (to[0] - by_mean), var + gain**2 * (to[1] - by_var)


def agvi(
    link: str, value: tuple[float, float], head: tuple[float, float], y: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Posteriors of value and head after one target, as the paper goes: from y to e, e^2, s and w.

    Gaussian conditioning throughout, with e ~ N(0, E s) and e^2 of mean E s and variance
    3 Var s + 2 (E s)^2, of which s keeps the covariance Var s with e^2.
    """
    s_mean, s_var, slope = link_moments(link, *head)
    predicted, observed = (value[0], value[1] + s_mean), (y, 0.0)
    new_value = condition(*value, value[1], *predicted, observed)
    error = condition(0.0, s_mean, s_mean, *predicted, observed)
    square_prior = (s_mean, 3 * s_var + 2 * s_mean**2)
    square = (error[0] ** 2 + error[1], 2 * error[1] ** 2 + 4 * error[1] * error[0] ** 2)
    s = condition(s_mean, s_var, s_var, *square_prior, square)
    new_head = condition(*head, slope * head[1], s_mean, s_var, s)
    return new_value, new_head


def without_belief(link: Any = "exp") -> reference.Heteroscedastic:
    return reference.Heteroscedastic(link, belief_std=math.inf)


# Means and variances of value and head, and the target.
CASES = [
    ((0.3, 0.2), (-1.0, 0.5), 1.1),
    ((0.0, 2.0), (0.4, 0.01), 5.0),
    ((-1.0, 0.01), (-4.0, 1.5), -0.8),
]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("value", "head", "y"), CASES)
def test_one_target_is_the_closed_form(link: Any, value: Any, head: Any, y: float) -> None:
    expected = agvi(link, value, head, y)
    net = one_affine(reference.Heteroscedastic(link), OWN)
    set_output(net, value, head)
    net.update([[0.0]], [[y]])
    after = output(net)
    for name, (mean, var) in zip(("bias", "noise_bias"), expected, strict=True):
        assert after[f"0.{name}.mean"] == pytest.approx(mean, rel=1e-9, abs=1e-12)
        assert after[f"0.{name}.var"] == pytest.approx(var, rel=1e-9)
    # The information rule's delta_mean is the same.
    net = one_affine(without_belief(link), EXPECTED)
    set_output(net, value, head)
    result = net.innovations([[0.0]], [[y]])
    changes = [(new[0] - old[0]) / old[1] for new, old in zip(expected, (value, head), strict=True)]
    np.testing.assert_allclose(result.output.mean[0], changes, rtol=1e-9)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("value", "head", "y"), CASES)
def test_prediction_by_integration(link: Any, value: Any, head: Any, y: float) -> None:
    net = one_affine(without_belief(link), EXPECTED)
    set_output(net, value, head)
    prediction = net([[0.0]])
    noise = link_moments(link, *head)[0]
    assert prediction.aleatoric[0, 0] == pytest.approx(noise, rel=1e-9)
    assert prediction.epistemic[0, 0] == pytest.approx(value[1], rel=1e-15)
    mean, var = prediction
    assert mean[0, 0] == value[0]
    assert var[0, 0] == pytest.approx(value[1] + noise, rel=1e-9)


def test_moments_of_the_noise_against_sampling() -> None:
    """The definition of the model: y = z + e, e ~ N(0, link(w)), z and w Gaussian."""
    rng, n = np.random.default_rng(0), 400_000
    for link, function in LINKS.items():
        value, head = (0.5, 0.3), (-0.2, 0.4)
        net = one_affine(without_belief(link), EXPECTED)  # type: ignore[arg-type]
        set_output(net, value, head)  # type: ignore[arg-type]
        w = head[0] + math.sqrt(head[1]) * rng.normal(size=n)
        noise_var = function(w)
        z = value[0] + math.sqrt(value[1]) * rng.normal(size=n)
        y = z + np.sqrt(noise_var) * rng.normal(size=n)
        prediction = net([[0.0]])
        for drawn, claimed in (
            (y, prediction.mean[0, 0]),
            (noise_var, prediction.aleatoric[0, 0]),
            ((y - y.mean()) ** 2, prediction.var[0, 0]),
        ):
            assert claimed == pytest.approx(drawn.mean(), abs=5 * drawn.std() / math.sqrt(n))
        noise = without_belief(link).var_moments(  # type: ignore[arg-type]
            *(torch.tensor([[moment]], dtype=torch.float64) for moment in head)
        )
        for drawn, claimed in (
            ((noise_var - noise_var.mean()) ** 2, noise.var),
            ((w - head[0]) * (noise_var - noise_var.mean()) / head[1], noise.jacobian),
        ):
            assert float(claimed) == pytest.approx(drawn.mean(), abs=5 * drawn.std() / math.sqrt(n))


@pytest.mark.parametrize("head", [(-0.2, 0.4), (3.0, 2.0), (-6.0, 1.0), (1.0, 5.0)])
def test_belief_joins_the_network(head: tuple[float, float]) -> None:
    """log v is a product of two densities, by integration; its link with w by a regression on w."""
    tau = 1.5
    grid = np.linspace(-25, 25, 200_001)
    density = stats.norm.pdf(grid, head[0], math.sqrt(head[1])) * stats.norm.pdf(grid, 0, tau)
    density /= density.sum()
    mean = density @ np.exp(grid)
    var = density @ (np.exp(grid) - mean) ** 2
    noise = reference.Heteroscedastic(belief_std=tau)
    moments = torch.tensor(head, dtype=torch.float64)
    got = noise.var_moments(moments[:1], moments[1:])
    assert float(got.mean) == pytest.approx(mean, rel=1e-9)
    assert float(got.var) == pytest.approx(var, rel=1e-7)
    # dV / d(mean of w), which is Cov(w, v) / Var w.
    up, down = (noise.var_moments(moments[:1] + step, moments[1:]).mean for step in (1e-6, -1e-6))
    assert float(got.jacobian) == pytest.approx(float(up - down) / 2e-6, rel=1e-7)
    own = noise.var_moments(moments[:1], moments[1:], expected=False)
    assert float(own.mean) == pytest.approx(math.exp(head[0] + head[1] / 2), rel=1e-12)


@pytest.mark.parametrize("value_var", [0.01, 0.5, 4.0])
@pytest.mark.parametrize("link", LINKS)
def test_expected_information_is_the_average(link: Any, value_var: float) -> None:
    """Of AGVI's own over targets drawn from the prediction, as the head becomes certain."""
    head = (-0.7, 1e-10)
    nets = [one_affine(without_belief(link), rule) for rule in (EXPECTED, OWN)]
    for net in nets:
        set_output(net, (0.0, value_var), head)  # type: ignore[arg-type]
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)  # exact: delta_var is quadratic in r
    weights /= weights.sum()
    targets = nodes * math.sqrt(float(nets[0]([[0.0]]).var[0, 0]))
    expected, own = (
        net.innovations(np.zeros((20, 1)), targets[:, np.newaxis]).output.var[:, 1] for net in nets
    )
    assert np.ptp(own) > np.ptp(expected) == 0
    assert own.min() < 0 < own.max()
    assert weights @ own == pytest.approx(expected[0], rel=1e-6)


def test_spread_counts_what_a_batch_shares() -> None:
    """B copies of a target with share k: by hand, S = 1, V = e, rho = e - 1 for l = 1/2, s = 1."""
    net = one_affine(without_belief(), reference.Information(share=0.5, clip=1e9))
    set_output(net, (0.0, 1.0), (0.5, 1.0))  # type: ignore[arg-type]
    result = net.innovations(np.zeros((3, 1)), np.full((3, 1), 2.0))
    v = math.e
    innovation_var, denominator, g = v + 2, 2 + 3 * (v - 1) * 2, v / (v + 1)
    np.testing.assert_allclose(result.output.mean[:, 0], 2 / innovation_var, rtol=1e-14)
    np.testing.assert_allclose(result.output.var[:, 0], -1 / innovation_var, rtol=1e-14)
    surprise = g * (4 / (v + 1) - 1) / denominator
    np.testing.assert_allclose(result.output.mean[:, 1], surprise, rtol=1e-13)
    np.testing.assert_allclose(result.output.var[:, 1], -(g**2) / denominator, rtol=1e-13)
    net.update(np.zeros((3, 1)), np.full((3, 1), 2.0))
    var = 1 / (1 + 3 * g**2 / denominator)
    after = output(net)
    assert after["0.noise_bias.var"] == pytest.approx(var, rel=1e-13)
    assert after["0.noise_bias.mean"] == pytest.approx(0.5 + var * 3 * surprise, rel=1e-13)


def test_score_is_the_slope_of_the_likelihood() -> None:
    """With certain weights, delta_mean = d log N(y; mean, V) / dw: (r^2 / V - 1) / 2."""
    net = one_affine(without_belief(), EXPECTED)
    set_output(net, (0.2, 0.0), (-0.6, 0.0))  # type: ignore[arg-type]
    result = net.innovations([[0.0]], [[1.5]]).output.mean[0]
    step = 1e-6
    up, down = (stats.norm.logpdf(1.5, 0.2, math.exp((-0.6 + d) / 2)) for d in (step, -step))
    assert result[1] == pytest.approx((up - down) / (2 * step), rel=1e-8)


@pytest.mark.parametrize(
    "noise", [reference.Heteroscedastic(), reference.Homoscedastic(learn=True)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_innovations_of_parameters_are_those_of_an_affine_map(noise: Any, bias: bool) -> None:
    """Value and head are outputs of one map: against sums over samples and outputs, in numpy."""
    rng = np.random.default_rng(1)
    net = reference.Sequential(
        reference.Linear(3, 5),
        reference.ReLU(),
        reference.Sequential(reference.Linear(5, 2, bias)),
        noise=noise,
        seed=2,
    )
    has_weight, has_bias = isinstance(noise, reference.Heteroscedastic), bias
    names = ["2.0.weight"]
    names += ["2.0.noise_weight"] * has_weight + ["2.0.bias"] * has_bias
    names += ["2.0.noise_bias"] * (has_bias or not has_weight)
    assert list(net.innovations(np.zeros((1, 3)), np.zeros((1, 2))).parameters)[2:] == names
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    y[1, 0] = np.nan
    state = net.state_dict()
    result = net.innovations(x, y)
    np.testing.assert_array_equal(result.output.mean[1, [0, 2]], 0)
    np.testing.assert_array_equal(result.output.var[1, [0, 2]], 0)
    assert (result.output.mean[1, [1, 3]] != 0).all()
    start = {key: value for key, value in state.items() if key.startswith("0")}
    body = reference.Sequential(*net.layers[:2])
    body.load_state_dict(start)
    hidden = body(x).mean
    weight = np.zeros((4, 5))
    weight[:2] = state["2.0.weight.mean"]
    if has_weight:
        weight[2:] = state["2.0.noise_weight.mean"]
    outputs = {"2.0.weight": [0, 1], "2.0.noise_weight": [2, 3]}
    outputs |= {"2.0.bias": [0, 1], "2.0.noise_bias": [2, 3]}
    for name in names:
        information, precision = result.parameters[name]
        a = hidden if name.endswith("weight") else np.ones((4, 1))
        g = np.einsum("bo,bi->oi", result.output.mean[:, outputs[name]], a)
        h = -np.einsum("bo,bi->oi", result.output.var[:, outputs[name]], a**2)
        np.testing.assert_allclose(information, g.reshape(information.shape), rtol=1e-12)
        np.testing.assert_allclose(precision, h.reshape(precision.shape), rtol=1e-12)
    # Down to the first layer: through both sets of rows, by the Jacobian of its activation.
    first = reference.Sequential(net.layers[0])
    first.load_state_dict(start)
    jacobian = stats.norm.cdf(first(x).mean / np.sqrt(first(x).var))
    below = jacobian * (result.output.mean @ weight)
    np.testing.assert_allclose(result.parameters["0.bias"][0], below.sum(0), rtol=1e-12)


def test_prior_of_the_head() -> None:
    noise = reference.Heteroscedastic(gain=0.2)
    state = reference.Sequential(reference.Linear(400, 300), noise=noise, seed=0).state_dict()
    var = 0.04 / 400
    n = 120_000
    for key in ("0.noise_weight.var", "0.noise_bias.var"):
        np.testing.assert_allclose(state[key], var, rtol=1e-14)
    weight = state["0.noise_weight.mean"]
    assert weight.shape == (300, 400)
    assert weight.mean() == pytest.approx(0, abs=5 * math.sqrt(var / n))
    assert weight.var() == pytest.approx(var, rel=5 * math.sqrt(2 / n))
    assert abs(np.corrcoef(weight.ravel(), state["0.weight.mean"].ravel())[0, 1]) < 5 / math.sqrt(n)
    np.testing.assert_array_equal(state["0.noise_bias.mean"], np.zeros(300))
    known = reference.Sequential(
        reference.Linear(4, 3), noise=reference.Homoscedastic(learn=True, prior_var=0.5), seed=0
    )
    state = known.state_dict()
    np.testing.assert_array_equal(state["0.noise_bias.mean"], np.zeros(3))
    np.testing.assert_allclose(state["0.noise_bias.var"], np.full(3, 0.5), rtol=1e-15)
    aleatoric = known(np.arange(8.0).reshape(2, 4)).aleatoric
    np.testing.assert_allclose(aleatoric, np.full((2, 3), math.exp(0.25)), rtol=1e-14)


@pytest.mark.parametrize("gain", [0.1, 1.0])
@pytest.mark.parametrize("batch_size", [1, 20, 256, 2048, 20_000])
def test_stable_at_any_batch_size(batch_size: int, gain: float) -> None:
    """Targets of about 1 with noise of 0.1 or 1: a few batches leave nothing out of proportion."""
    rng = np.random.default_rng(batch_size)
    noise = reference.Heteroscedastic(gain=gain)
    net = reference.Sequential(
        reference.Linear(2, 16), reference.ReLU(), reference.Linear(16, 2), noise=noise, seed=1
    )
    grid = rng.uniform(-2, 2, size=(500, 2))
    largest = max(1.0, net(grid).aleatoric.max())
    for _ in range(8):
        x = rng.uniform(-2, 2, size=(batch_size, 2))
        std = np.where(x > 0, 1.0, 0.1)
        before = net.update(x, np.sin(x) + std * rng.normal(size=x.shape))
        for part in (before.mean, before.var, before.aleatoric):
            assert np.isfinite(part).all()
    after = net(grid)
    assert np.abs(after.mean).max() < 10
    assert after.aleatoric.min() > 1e-3
    assert after.aleatoric.max() < 3 * largest
    state = net.state_dict()
    assert all(np.isfinite(value).all() for value in state.values())
    assert all((value > 0).all() for key, value in state.items() if key.endswith("var"))


def test_learned_noise_never_grows_too_sure() -> None:
    """By hand: 1000 targets of 0 with V = 1 as seen by l = -0.01, s = 0.02, and a value known."""
    noise = reference.Homoscedastic(learn=True, prior_var=0.02, min_var=0.005)
    rule = reference.Information(share=0.0, clip=1e9)
    net = reference.Sequential(reference.Linear(1, 1), rule=rule, noise=noise, seed=0)
    set_output(net, (0.0, 0.0), (-0.01, 0.02))  # type: ignore[arg-type]
    denominator = 2 + 3 * math.expm1(0.02)
    for n, bounded in ((10, False), (1000, True)):
        set_output(net, (0.0, 0.0), (-0.01, 0.02))  # type: ignore[arg-type]
        net.update(np.zeros((n, 1)), np.zeros((n, 1)))
        var = 1 / (1 / 0.02 + n / denominator)
        after = output(net)
        assert (var < 0.005) == bounded
        assert after["0.noise_bias.var"] == pytest.approx(max(var, 0.005), rel=1e-12)
        # The mean moves by the variance before the bound.
        expected = -0.01 - var * n / denominator
        assert after["0.noise_bias.mean"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("std", [0.1, 1.0])
@pytest.mark.parametrize("batch_size", [32, 256])
def test_learned_noise_is_the_noise_of_the_data(std: float, batch_size: int) -> None:
    """Two outputs, one with noise of standard deviation std and one of 3 std."""
    rng = np.random.default_rng(7)
    x = rng.uniform(-2, 2, size=(4000, 1))
    y = np.hstack([np.sin(x), np.cos(x)]) + std * np.array([1.0, 3.0]) * rng.normal(size=(4000, 2))
    net = reference.Sequential(
        reference.Linear(1, 32),
        reference.ReLU(),
        reference.Linear(32, 2),
        noise=reference.Homoscedastic(learn=True),
        seed=3,
    )
    for _ in range(2 if batch_size < 256 else 10):
        for rows in np.array_split(rng.permutation(4000), 4000 // batch_size):
            net.update(x[rows], y[rows])
    found = np.sqrt(net(x).aleatoric)
    assert np.ptp(found, axis=0).max() == 0
    np.testing.assert_allclose(found[0], [std, 3 * std], rtol=0.1)


needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden data in {GOLDEN}")


@needs_golden
@pytest.mark.parametrize("name", ["heteros_evenexp_b9", "heteros_evenexp_nan_b9"])
def test_golden(name: str) -> None:
    golden = load_golden(name)

    def rows(prefix: str, parameter: str) -> tuple[Array, Array]:
        """Mean and variance; cuTAGI's outputs alternate: value, head, value, head, ..."""
        letter = "w" if parameter.endswith("weight") else "b"
        stored = (golden[f"s0/{prefix}{part}_{letter}"] for part in ("mu", "var"))
        first = int("noise" in parameter)
        mean, var = (
            (array.reshape(6, 4) if letter == "w" else array)[first::2].astype(np.float64)
            for array in stored
        )
        return mean, var

    noise = reference.Heteroscedastic()
    net = reference.Sequential(reference.Linear(4, 3), rule=reference.Capped(), noise=noise)
    parameters = ["0.weight", "0.noise_weight", "0.bias", "0.noise_bias"]
    state = {}
    for parameter in parameters:
        state[f"{parameter}.mean"], state[f"{parameter}.var"] = rows("before/L0/", parameter)
    net.load_state_dict(state)

    x, y, x_var = (golden[f"s0/{key}"] for key in ("mu_x", "y", "var_x"))
    assert np.isnan(y).any() == ("nan" in name)
    result = net.innovations(x, y, x_var=x_var)
    prediction = result.prediction
    tolerance: dict[str, float] = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(prediction.mean, golden["s0/mu_out"][:, ::2], **tolerance)
    np.testing.assert_allclose(prediction.epistemic, golden["s0/var_out"][:, ::2], **tolerance)
    np.testing.assert_allclose(prediction.aleatoric, golden["s0/mu_out"][:, 1::2], **tolerance)
    outputs = [0, 2, 4, 1, 3, 5]
    for delta, part in zip(result.output, ("mu", "var"), strict=True):
        expected = golden[f"s0/delta_{part}_out"][:, outputs]
        np.testing.assert_allclose(delta, expected, **tolerance)
    summed: dict[str, float] = {"rtol": 2e-3, "atol": 1e-5}
    for delta, part in zip(result.input, ("mu", "var"), strict=True):
        np.testing.assert_allclose(delta, golden[f"s0/delta_{part}_in"], **summed)
    updated = net.update(x, y, x_var=x_var)
    np.testing.assert_array_equal(updated.var, prediction.var)
    after = net.state_dict()
    for parameter in parameters:
        var = state[f"{parameter}.var"]
        information, precision = result.parameters[parameter]
        delta_mean, delta_var = rows("L0/delta_", parameter)
        np.testing.assert_allclose(var * information, delta_mean, **summed)
        np.testing.assert_allclose(-(var**2) * precision, delta_var, **summed)
        new_mean, new_var = rows("after/L0/", parameter)
        np.testing.assert_allclose(after[f"{parameter}.mean"], new_mean, **summed)
        np.testing.assert_allclose(after[f"{parameter}.var"], new_var, **summed)


@pytest.mark.parametrize(
    "make",
    [
        lambda: reference.Heteroscedastic(link="square"),  # type: ignore[arg-type]
        lambda: reference.Heteroscedastic(gain=0.0),
        lambda: reference.Heteroscedastic(gain=math.inf),
        lambda: reference.Heteroscedastic(belief_std=0.0),
        lambda: reference.Homoscedastic(learn=False),  # type: ignore[arg-type]
        lambda: reference.Homoscedastic(learn=True, prior_var=-1.0),
        lambda: reference.Homoscedastic(learn=True, min_var=-0.1),
        lambda: reference.Homoscedastic(learn=True, prior_var=0.5, min_var=0.6),
        lambda: reference.Sequential(reference.ReLU(), noise=reference.Heteroscedastic()),
        lambda: reference.Sequential(noise=reference.Heteroscedastic()),
        lambda: reference.Sequential(
            reference.Sequential(reference.Linear(1, 1), noise=reference.Heteroscedastic()),
        ),
    ],
)
def test_noise_that_cannot_be(make: Callable[[], Any]) -> None:
    with pytest.raises(
        ValueError, match=r"^(link|gain|belief_std|learn|prior_var|min_var|noise): got"
    ):
        make()


def test_noise_var_is_given_or_inferred() -> None:
    x, y = np.zeros((2, 1)), np.ones((2, 1))
    inferring = reference.Sequential(reference.Linear(1, 1), noise=reference.Heteroscedastic())
    told = reference.Sequential(reference.Linear(1, 1))
    for net, noise_var in ((inferring, 1.0), (told, None)):
        before = net.state_dict()
        with pytest.raises(ValueError, match=r"^noise_var: got"):
            net.update(x, y, noise_var)
        for key, value in net.state_dict().items():
            np.testing.assert_array_equal(value, before[key])
    with pytest.raises(ValueError, match=r"^y: got"):
        inferring.update(x, np.ones((2, 2)))
    prediction = told(x)
    np.testing.assert_array_equal(prediction.var, prediction.epistemic)
    np.testing.assert_array_equal(prediction.aleatoric, np.zeros((2, 1)))
