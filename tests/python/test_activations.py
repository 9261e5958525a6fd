"""Moments of the activations, through the public network, against integrals to many digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from helpers import Array, unchanged

from tagix import nn

mpmath = pytest.importorskip("mpmath", reason="needs the dev extra")
mp: Any = mpmath.mp

Function: TypeAlias = Callable[[Array], Array]


def moments(layer: nn.Layer, mean: npt.ArrayLike, var: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """Mean, variance and Jacobian of an activation at pairs of input mean and variance.

    The Jacobian is what the layer multiplies the innovation of its output by.
    """
    x, x_var = (np.ascontiguousarray(values, np.float32)[:, None] for values in (mean, var))
    net = nn.Sequential(layer, seed=0)
    out_mean, out_var = net(x, x_var)
    y = out_mean + np.maximum(1, np.abs(out_mean))
    innovations = net._model.innovations(x, y, np.ones(1, np.float32), x_var)
    jacobian = innovations["input"][0] / innovations["output"][0]
    return out_mean[:, 0], out_var[:, 0], jacobian[:, 0]


def integrals(
    value: Function, derivative: Function, mean: float, var: float, kinks: tuple[float, ...] = ()
) -> tuple[float, float, float]:
    """E f(z), Var f(z) and E f'(z) for z ~ N(mean, var), in float64.

    Gauss-Legendre with 20 nodes in each of 80 panels of 0.35 standard deviations, which have edges
    at the kinks: of analytic pieces nothing is left of the error but rounding.
    """
    std = math.sqrt(var)
    edges = np.append(np.linspace(-14, 14, 81), [(kink - mean) / std for kink in kinks])
    edges = np.unique(np.clip(edges, -14, 14))
    node, weight = np.polynomial.legendre.leggauss(20)
    half, centre = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    u = centre + half * node
    density = half * weight * np.exp(-u * u / 2) / math.sqrt(2 * math.pi)
    z = mean + std * u
    first = float(np.sum(density * value(z)))
    second = float(np.sum(density * (value(z) - first) ** 2))
    return first, second, float(np.sum(density * derivative(z)))


def relu_moments(mean: float, var: float) -> tuple[float, float, float]:
    """The closed form in 60 digits, in which its cancellation does no harm."""
    with mpmath.workdps(60):
        m, v = mp.mpf(float(mean)), mp.mpf(float(var))
        s = mp.sqrt(v)
        density, probability = mp.npdf(m / s), mp.ncdf(m / s)
        first = m * probability + s * density
        second = (m * m + v) * probability + m * s * density
        return float(first), float(second - first**2), float(probability)


def test_relu_closed_form_is_the_integral() -> None:
    """The oracle of the next test, against the definition."""
    for mean, var in [(-6.0, 0.25), (-3.0, 1.0), (-0.5, 0.25), (0.0, 2.0), (1.5, 9.0)]:
        _, value, derivative, kinks = ACTIVATIONS["ReLU"]
        truth = integrals(value, derivative, mean, var, kinks)
        assert relu_moments(mean, var) == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize("std", [1e-3, 0.3, 1.0, 40.0])
def test_relu_is_exact_from_minus_to_plus_12_sd(std: float) -> None:
    ratio = np.concatenate([np.linspace(-12, 12, 241), [-1e-4, 1e-4]])
    var = np.full(ratio.size, std**2, np.float32)
    # The largest float32 mean that still lies within 12 sd.
    limit = np.nextafter(np.float32(12) * np.sqrt(var), np.float32(0))
    mean = np.clip((ratio * np.sqrt(var.astype(np.float64))).astype(np.float32), -limit, limit)
    truth = np.array([relu_moments(m, v) for m, v in zip(mean, var, strict=True)]).T
    # Tails may count as 0 beyond 8 standard deviations, where they are 6e-16.
    for name, unit, actual, expected in zip(
        ("mean", "var", "jacobian"),
        (std, std**2, 1),
        moments(nn.ReLU(), mean, var),
        truth,
        strict=True,
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-15 * unit, err_msg=name)


def normal_cdf(z: Array) -> Array:
    return 0.5 * np.vectorize(math.erfc)(-z / math.sqrt(2))


def normal_density(z: Array) -> Array:
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def sigmoid(z: Array) -> Array:
    return np.exp(-np.logaddexp(0, -z))


class Case(NamedTuple):
    layer: Callable[..., nn.Layer]
    value: Function
    derivative: Function
    kinks: tuple[float, ...] = ()


ACTIVATIONS = {
    "ReLU": Case(nn.ReLU, lambda z: np.maximum(z, 0), lambda z: 1.0 * (z > 0), (0.0,)),
    "LeakyReLU": Case(
        lambda **form: nn.LeakyReLU(0.25, **form),
        lambda z: np.where(z > 0, z, z / 4),
        lambda z: np.where(z > 0, 1, 0.25),
        (0.0,),
    ),
    "Hardtanh": Case(
        nn.Hardtanh, lambda z: np.clip(z, -1, 1), lambda z: 1.0 * (np.abs(z) < 1), (-1.0, 1.0)
    ),
    "Sigmoid": Case(nn.Sigmoid, sigmoid, lambda z: sigmoid(z) * sigmoid(-z)),
    "Tanh": Case(nn.Tanh, np.tanh, lambda z: 4 * sigmoid(2 * z) * sigmoid(-2 * z)),
    "Softplus": Case(nn.Softplus, lambda z: np.logaddexp(0, z), sigmoid),
    "SiLU": Case(nn.SiLU, lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * sigmoid(-z))),
    "GELU": Case(
        nn.GELU, lambda z: z * normal_cdf(z), lambda z: normal_cdf(z) + z * normal_density(z)
    ),
    "Exp": Case(nn.Exp, np.exp, np.exp),
}

POINTS = [
    (mean, std**2)
    for std in (0.05, 0.5, 1.0, 2.0)
    for mean in (-6.0, -2.5, -1.0, -0.25, 0.0, 0.5, 1.0, 3.0)
]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_exact_moments_are_the_integrals(name: str) -> None:
    layer, value, derivative, kinks = ACTIVATIONS[name]
    mean, var = np.array(POINTS, np.float32).T
    actual = np.array(moments(layer(), mean, var))
    truth = np.array(
        [integrals(value, derivative, m, v, kinks) for m, v in zip(mean, var, strict=True)]
    ).T
    for moment, a, t in zip(("mean", "var", "jacobian"), actual, truth, strict=True):
        if name in ("ReLU", "LeakyReLU", "Exp"):  # closed forms
            # Tails of the ReLU may count as 0 beyond 8 standard deviations.
            np.testing.assert_allclose(a, t, rtol=1e-5, atol=1e-15, err_msg=moment)
        else:  # relative to max(1, |value|); softplus as the quadrature promises
            bound = 1e-4 if name in ("Softplus", "Hardtanh") else 5e-6
            assert (np.abs(a - t) <= bound * np.maximum(1, np.abs(t))).all(), moment
    # An absolute bound says little about small variances: none may be off by more than 2 %.
    np.testing.assert_allclose(actual[1], truth[1], rtol=2e-2, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_first_order_moments_are_value_and_slope(name: str) -> None:
    layer, value, derivative, kinks = ACTIVATIONS[name]
    mean, var = np.array([point for point in POINTS if point[0] not in kinks], np.float32).T
    actual = moments(layer(moments="first_order"), mean, var)
    z = mean.astype(np.float64)
    for a, t in zip(actual, (value(z), derivative(z) ** 2 * var, derivative(z)), strict=True):
        np.testing.assert_allclose(a, t, rtol=1e-5, atol=1e-6 * float(np.abs(t).max()))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("form", ["exact", "first_order"])
def test_certain_input_gives_certain_output(name: str, form: str) -> None:
    """Without a variance, and with a variance of 0: f(x), with no variance left."""
    layer, value, *_ = ACTIVATIONS[name]
    x = np.array([[-6.5, -2.0, -0.3], [0.2, 1.7, 4.0]], np.float32)
    net = nn.Sequential(layer(moments=form), seed=0)
    for prediction in (net(x), net(x, np.zeros_like(x))):
        np.testing.assert_allclose(prediction.mean, value(x.astype(np.float64)), 1e-5, 1e-6)
        assert (prediction.var >= 0).all() and (prediction.var <= 1e-10).all()


def test_identity_passes_moments_on() -> None:
    mean, var = np.float32([-3.5, 0.0, 1e10]), np.float32([0.0, 2.5, 1e-10])
    for actual, expected in zip(moments(nn.Identity(), mean, var), (mean, var, 1.0), strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("size", [1, 5, 64, 20_000])
def test_activation_does_not_depend_on_position(size: int) -> None:
    """SIMD lanes, remainders and the slices of custom activations all give one answer."""
    at = np.arange(size) % 3
    mean, var = np.float32([-1.0, 0.25, 2.0])[at], np.float32([0.5, 1.0, 0.0])[at]
    for layer in (nn.ReLU(), nn.Tanh(), nn.GELU(), nn.Activation(np.sin, np.cos)):
        net = nn.Sequential(layer, seed=0)
        alone = net(np.float32([[-1.0, 0.25, 2.0]]), np.float32([[0.5, 1.0, 0.0]]))
        result = net(mean.reshape(1, -1), var.reshape(1, -1))
        np.testing.assert_allclose(result.mean[0], alone.mean[0, at], rtol=1e-6)
        np.testing.assert_allclose(result.var[0], alone.var[0, at], rtol=1e-5)


def test_custom_activation_matches_closed_form() -> None:
    """f = sin: E f = sin(m) e^(-v/2), E f' = cos(m) e^(-v/2), E f^2 = (1 - cos(2m) e^(-2v)) / 2."""
    mean, var = np.array([(m, v) for m in (-2.0, 0.3, 7.0) for v in (1e-4, 0.2, 1.0, 4.0)]).T
    actual = moments(nn.Activation(np.sin, np.cos), mean, var)
    first = np.sin(mean) * np.exp(-var / 2)
    second = (1 - np.cos(2 * mean) * np.exp(-2 * var)) / 2
    np.testing.assert_allclose(actual[0], first, atol=1e-4)
    np.testing.assert_allclose(actual[1], second - first**2, atol=1e-4)
    np.testing.assert_allclose(actual[2], np.cos(mean) * np.exp(-var / 2), atol=1e-4)


def test_custom_activation_first_order() -> None:
    mean, var = np.array([(m, v) for m in (-2.0, 0.3, 7.0) for v in (1e-4, 1.0, 4.0)]).T
    actual = moments(nn.Activation(np.sin, np.cos, moments="first_order"), mean, var)
    expected = (np.sin(mean), np.cos(mean) ** 2 * var, np.cos(mean))
    for a, t in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, t, rtol=1e-5, atol=1e-6)


def test_custom_activation_equals_built_in() -> None:
    """Beyond the small variances both work with one rule: little but rounding may differ."""
    mean, var = np.array([point for point in POINTS if point[1] > 1.5], np.float32).T
    custom = nn.Activation(lambda z: np.logaddexp(np.float32(0), z), lambda z: 1 / (1 + np.exp(-z)))
    for a, t in zip(moments(custom, mean, var), moments(nn.Softplus(), mean, var), strict=True):
        np.testing.assert_allclose(a, t, rtol=2e-6, atol=2e-6)


def test_custom_activation_gets_one_dimension_of_float32() -> None:
    seen = []

    def value(z: Array) -> Array:
        seen.append((z.ndim, z.dtype))
        return np.abs(z)

    net = nn.Sequential(nn.Activation(value, np.sign), seed=0)
    net(np.ones((4, 3)), np.ones((4, 3)))
    assert seen and set(seen) == {(1, np.dtype(np.float32))}


def test_torch_functions_make_an_activation() -> None:
    torch = pytest.importorskip("torch", reason="needs the torch extra")

    def value(z: Array) -> Any:
        return torch.nn.functional.softplus(torch.from_numpy(z))

    def derivative(z: Array) -> Any:
        return torch.sigmoid(torch.from_numpy(z))

    mean, var = np.array(POINTS, np.float32).T
    actual = moments(nn.Activation(value, derivative), mean, var)
    truth = np.array(
        [integrals(*ACTIVATIONS["Softplus"][1:3], m, v) for m, v in zip(mean, var, strict=True)]
    ).T
    for a, t in zip(actual, truth, strict=True):
        assert (np.abs(a - t) <= 1e-4 * np.maximum(1, np.abs(t))).all()


class Broken:
    """A function of an array that works until it is told not to."""

    def __init__(self) -> None:
        self.result: Callable[[Array], Any] | None = None

    def __call__(self, z: Array) -> Any:
        return np.sin(z) if self.result is None else self.result(z)


def fail(z: Array) -> Any:
    raise LookupError("from the user's function")


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (fail, LookupError, "from the user's function"),
        (lambda z: z[:-1], ValueError, r"(?s)value.*needed the shape"),
        (lambda z: z[:, None], ValueError, r"(?s)value.*needed the shape"),
        (lambda z: 0.0, ValueError, r"(?s)value.*needed the shape"),
        (lambda z: "sine", TypeError, r"(?s)value.*needed an array"),
        (lambda z: [object()], TypeError, r"(?s)value.*needed an array"),
    ],
)
def test_failing_custom_activation_leaves_network_usable(
    result: Callable[[Array], Any], error: type[Exception], message: str
) -> None:
    function = Broken()
    net = nn.Sequential(nn.Linear(2, 3), nn.Activation(function, np.cos), nn.Linear(3, 1), seed=0)
    x, y = np.ones((5, 2)), np.ones((5, 1))
    expected = net(x)
    function.result = result
    with unchanged(net):
        with pytest.raises(error, match=message):
            net(x)
        with pytest.raises(error, match=message):
            net.update(x, y, 1.0)
        with pytest.raises(error, match=message):
            net.fit(x, y, noise=1.0, n_epochs=1, progress=False)
    function.result = None
    np.testing.assert_array_equal(net(x).mean, expected.mean)
    net.update(x, y, 1.0)
    assert (net(x).mean != expected.mean).any()


def test_failing_derivative_is_named() -> None:
    net = nn.Sequential(nn.Activation(np.sin, lambda z: z[:1]), seed=0)
    with pytest.raises(ValueError, match=r"derivative: .*needed the shape"):
        net(np.ones((2, 2)), np.ones((2, 2)))


def log(z: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log(z)


def reciprocal(z: Array) -> Array:
    return np.where(z > 0, 1 / np.maximum(z, 1e-3), np.inf)


@pytest.mark.parametrize("form", ["exact", "first_order"])
@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ((log, np.cos), r"value: the function log of nn\.Activation returned nan at -"),
        ((np.sin, log), r"derivative: the function log of nn\.Activation returned nan at -"),
        ((np.sin, reciprocal), r"derivative: .*reciprocal.* returned inf at -"),
    ],
)
def test_function_that_gives_nan_or_infinity_is_named(
    form: str, functions: tuple[Any, Any], message: str
) -> None:
    """In predictions and in updates, which must not write NaN into the parameters."""
    layer = nn.Activation(*functions, moments=form)
    net = nn.Sequential(nn.Linear(1, 4), layer, nn.Linear(4, 1), seed=0)
    x, y = np.linspace(-1, 1, 6)[:, None], np.ones((6, 1))
    calls: list[Callable[[], object]] = [
        lambda: net(x),
        lambda: net.update(x, y, 1.0),
        lambda: net.fit(x, y, noise=1.0, n_epochs=1, progress=False),
    ]
    for call in calls:
        with unchanged(net), pytest.raises(ValueError, match=f"^{message}.*needed finite numbers"):
            call()


def test_overflow_before_a_function_is_not_its_fault() -> None:
    net = nn.Sequential(nn.Linear(1, 4), nn.Activation(np.abs, np.sign), nn.Linear(4, 1), seed=0)
    with unchanged(net), pytest.raises(ValueError, match=r"^x: the prediction overflows"):
        net.update(np.full((3, 1), 3e38), np.ones((3, 1)), 1.0)


@pytest.mark.parametrize("form", ["exact", "first_order"])
def test_functions_may_work_in_place(form: str) -> None:
    """What one does to its argument must not reach the other, nor the network."""

    def derivative(z: Array) -> Array:
        np.cosh(z, out=z)
        np.power(z, -2, out=z)
        return z

    x, y = np.linspace(-2, 2, 12).reshape(6, 2), np.ones((6, 1))
    nets = [
        nn.Sequential(nn.Linear(2, 4), nn.Activation(*pair, moments=form), nn.Linear(4, 1), seed=0)
        for pair in (
            (lambda z: np.tanh(z, out=z), derivative),
            (np.tanh, lambda z: np.cosh(z) ** -2),
        )
    ]
    for net in nets:
        net.update(x, y, 0.1)
    for key, value in nets[1].state_dict().items():
        np.testing.assert_allclose(nets[0].state_dict()[key], value, rtol=1e-6, atol=1e-7)
