"""Networks with activations of one's own, of which the CPU fuses the rest."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from helpers import Array, on_every_device, regression_data, relative_error, same_bits, state_error

import tagix as tx
from tagix import _core, nn


class Counted:
    """A function that counts its calls and its points, and raises in one of the calls if asked."""

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self.function, self.calls, self.points = function, 0, 0
        self.failing_call = -1

    def __call__(self, z: Array) -> Array:
        self.calls, self.points = self.calls + 1, self.points + z.size
        if self.calls == self.failing_call:
            raise LookupError("midway")
        return self.function(z)


def rectify(z: Any) -> Any:
    """Of either library's arrays."""
    return (abs(z) + z) / 2


def is_positive(z: Any) -> Any:
    return 1.0 * (z > 0)


def layers(module: ModuleType, case: str, own: Callable[[str], Any]) -> list[Any]:
    """A network with activations of one's own, own(moments), in several places."""
    linear, relu = module.Linear, module.ReLU
    networks: dict[str, Callable[[], list[Any]]] = {
        "between": lambda: [
            *(linear(3, 64), relu(), linear(64, 64), own("exact"), linear(64, 64), relu()),
            linear(64, 2),
        ],
        "first": lambda: [own("first_order"), linear(3, 17), relu(), linear(17, 2)],
        "last": lambda: [linear(3, 16), relu(), linear(16, 2), own("exact")],
        "several": lambda: [
            *(own("exact"), linear(3, 20), own("exact"), own("first_order"), linear(20, 33)),
            *(relu(), linear(33, 18, False), own("first_order"), linear(18, 2)),
        ],
    }
    return networks[case]()


@pytest.mark.parametrize("uncertain", [False, True])
@pytest.mark.parametrize("batch_size", [9, 63, 64, 65, 1101])
@pytest.mark.parametrize("case", ["between", "first", "last", "several"])
def test_updates_are_those_of_the_float64_reference(
    case: str, batch_size: int, uncertain: bool
) -> None:
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    from core_quadrature import with_core_rule

    from tagix import reference

    def of_core(moments: str) -> Any:
        return nn.Activation(np.tanh, lambda z: np.cosh(z) ** -2.0, moments=moments)

    def of_reference(moments: Any) -> Any:
        layer = reference.Activation(torch.tanh, lambda z: torch.cosh(z) ** -2, moments)
        return with_core_rule(layer)

    net = nn.Sequential(*layers(nn, case, of_core), seed=1)
    expected = reference.Sequential(*layers(reference, case, of_reference))
    for step in range(3):
        expected.load_state_dict(net.state_dict())
        x, y = regression_data(batch_size, seed=step)
        y[1::3, 0] = np.nan
        x_var = np.full_like(x, 0.25) if uncertain else None
        for got, truth in zip(net(x, x_var), expected(x, x_var), strict=True):
            assert relative_error(got, truth) < 1e-5
        predicted, truth_before = net.update(x, y, 0.5, x_var), expected.update(x, y, 0.5, x_var)
        assert relative_error(predicted.mean, truth_before.mean) < 1e-5
        assert relative_error(predicted.var, truth_before.var) < 1e-5
        assert state_error(net.state_dict(), expected.state_dict()) < 1e-5


@pytest.mark.parametrize("precision", ["float32", "mixed", "bfloat16"])
@pytest.mark.parametrize("case", ["between", "first", "last", "several"])
def test_a_rectifier_of_ones_own_is_the_one_of_the_core(case: str, precision: Any) -> None:
    """To first order, as the rule that integrates has an error at a kink."""
    if precision != "float32" and not _core.has_precision(precision):
        pytest.skip(f"no {precision} here")

    def of_core(_: str) -> Any:
        return nn.Activation(rectify, is_positive, moments="first_order")

    def of_table(_: str) -> Any:
        return nn.ReLU(moments="first_order")

    own, table = (
        nn.Sequential(*layers(nn, case, make), seed=1, precision=precision)
        for make in (of_core, of_table)
    )
    tolerance = {"float32": 1e-5, "mixed": 4e-3, "bfloat16": 1e-2}[precision]
    x, y = regression_data(300)
    own.update(x, y, 0.5), table.update(x, y, 0.5)
    assert state_error(own.state_dict(), table.state_dict()) < tolerance
    for got, expected in zip(own(x), table(x), strict=True):
        assert relative_error(got, expected) < tolerance


@on_every_device
@pytest.mark.parametrize("n_rows", [9, 64, 300, 1101])
def test_a_function_is_called_once_for_a_batch(device: str, n_rows: int) -> None:
    value, derivative = Counted(rectify), Counted(is_positive)
    own = nn.Activation(value, derivative, moments="first_order")
    net = nn.Sequential(
        *(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 10), own, nn.Linear(10, 2)),
        seed=0,
        device=device,
    )
    x, y = regression_data(n_rows)
    calls: list[Callable[[], object]] = [lambda: net(x), lambda: net.update(x, y, 0.5)]
    for i, call in enumerate(calls, start=1):
        call()
        for function in (value, derivative):
            assert (function.calls, function.points) == (i, i * 10 * n_rows)


@on_every_device
def test_a_function_that_raises_midway_changes_nothing(device: str) -> None:
    """In a batch, after another function has been called, and in a fit, after other batches."""
    first, second = Counted(np.tanh), Counted(np.tanh)

    def network(below: Callable[[Array], Array], above: Callable[[Array], Array]) -> nn.Sequential:
        own = [
            nn.Activation(f, lambda z: np.cosh(z) ** -2.0, "first_order") for f in (below, above)
        ]
        return nn.Sequential(
            *(nn.Linear(3, 9), own[0], nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 9), own[1]),
            nn.Linear(9, 2),
            seed=0,
            device=device,
        )

    net, other = network(first, second), network(np.tanh, np.tanh)
    x, y = regression_data(400)
    before = {key: value.copy() for key, value in net.state_dict().items()}
    for function in (first, second):
        for n_calls, call in (
            (1, lambda: net.update(x, y, 0.5)),
            (1, lambda: net(x)),
            (3, lambda: net.fit(x, y, noise=0.5, n_epochs=1, batch_size=100, progress=False)),
        ):
            function.failing_call = function.calls + n_calls
            with pytest.raises(LookupError, match="midway"):
                call()
            assert same_bits(net.state_dict(), before)
    for each in (net, other):
        each.update(x, y, 0.5)
    assert same_bits(net.state_dict(), other.state_dict())


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    def updated(n_threads: int) -> dict[str, Array]:
        tx.set_num_threads(n_threads)  # conftest.py puts it back
        net = nn.Sequential(
            *layers(nn, "several", lambda moments: nn.Activation(np.sin, np.cos, moments)), seed=2
        )
        for n_rows in (65, 1101, 3000):
            net.update(*regression_data(n_rows), 0.5)
        return dict(net.state_dict())

    expected = updated(1)
    for n_threads in (2, 5):
        assert same_bits(updated(n_threads), expected)


def test_a_function_may_use_another_network() -> None:
    """On the same thread, between two of the phases of the network that calls it."""
    inner = nn.Sequential(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 1), seed=3)

    def value(z: Array) -> Array:
        return inner(z[:, None]).mean[:, 0]

    def table(z: Array) -> Array:
        """The same values, found before the network that is tested runs."""
        return known.pop(0)

    def network(function: Callable[[Array], Array]) -> nn.Sequential:
        own = nn.Activation(function, np.ones_like, moments="first_order")
        return nn.Sequential(
            *(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 5), own, nn.Linear(5, 2)), seed=4
        )

    known: list[Array] = []

    def recorded(z: Array) -> Array:
        known.append(value(z))
        return known[-1]

    x, y = regression_data(200)
    nested, flat = network(recorded), network(table)
    nested.update(x, y, 0.5)
    flat.update(x, y, 0.5)
    assert not known and same_bits(nested.state_dict(), flat.state_dict())
