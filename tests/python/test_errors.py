"""Wrong calls of networks and models: the type of the error, that its message names the argument,
what it got and what it needed, and that nothing has changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import same_bits, unchanged

import tagix as tx
from tagix import nn

# What these tests are about needs no more rows.
pytestmark = pytest.mark.filterwarnings("ignore:X. got . rows for . columns that vary:UserWarning")

X = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
Y = np.linspace(0, 1, 10, dtype=np.float32).reshape(5, 2)
NAN, INF = float("nan"), float("inf")


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), seed=0)


def with_value(values: np.ndarray[Any, Any], value: float) -> np.ndarray[Any, Any]:
    """A copy with one bad value, the last one."""
    values = values.copy()
    values.flat[-1] = value
    return values


class Unknown:
    """No array and no number."""


def gradient_tensor(*shape: int) -> Any:
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    return torch.ones(*shape, requires_grad=True)


# Matrices that no argument takes: id -> (value for n columns, error, message after the name).
BAD_MATRICES: dict[str, tuple[Callable[[int], Any], type[Exception], str]] = {
    "number": (lambda n: 1.0, ValueError, r"got an array of shape \(\), needed two dimensions"),
    "numpy scalar": (
        lambda n: np.float32(1),
        ValueError,
        r"got an array of shape \(\), needed two",
    ),
    "3-D": (
        lambda n: np.ones((1, 5, n)),
        ValueError,
        r"got an array of shape \(1, 5, \d\), needed",
    ),
    "ragged": (lambda n: [[1.0] * n, [1.0]], TypeError, "got a list, needed an array"),
    "None in list": (
        lambda n: [[None] * n],
        TypeError,
        "got a list, needed an array of real numbers",
    ),
    "string": (lambda n: "data", TypeError, "got a str, needed an array of real numbers"),
    "strings": (
        lambda n: [["1"] * n] * 5,
        TypeError,
        "got a list, needed an array of real numbers",
    ),
    "bytes": (lambda n: b"data", TypeError, "got a bytes, needed an array of real numbers"),
    "complex": (lambda n: np.ones((5, n)) + 0j, TypeError, "got an array of complex128, needed"),
    "objects": (lambda n: np.full((5, n), Unknown()), TypeError, "got an array of object, needed"),
    "dates": (lambda n: np.zeros((5, n), "M8[s]"), TypeError, r"got an array of datetime64\[s\]"),
    "class": (lambda n: Unknown, TypeError, "got a type, needed"),
    "dict": (lambda n: {"a": 1}, TypeError, "got a dict, needed"),
    "gradient": (lambda n: gradient_tensor(5, n), TypeError, "got a Tensor.*without gradients"),
}


def bad_matrix_cases() -> list[Any]:
    return [
        pytest.param(make, error, message, id=name)
        for name, (make, error, message) in BAD_MATRICES.items()
    ]


MATRIX_ARGUMENTS: dict[str, tuple[str, int, Callable[[nn.Sequential, Any], object]]] = {
    "predict x": ("x", 3, lambda net, bad: net(bad)),
    "predict x_var": ("x_var", 3, lambda net, bad: net(X, bad)),
    "update x": ("x", 3, lambda net, bad: net.update(bad, Y, 1.0)),
    "update y": ("y", 2, lambda net, bad: net.update(X, bad, 1.0)),
    "update x_var": ("x_var", 3, lambda net, bad: net.update(X, Y, 1.0, bad)),
    "fit x": ("x", 3, lambda net, bad: net.fit(bad, Y, noise=1.0, progress=False)),
    "fit y": ("y", 2, lambda net, bad: net.fit(X, bad, noise=1.0, progress=False)),
    "fit x_var": (
        "x_var",
        3,
        lambda net, bad: net.fit(X, Y, noise=1.0, x_var=bad, progress=False),
    ),
    "validation x": (
        "validation x",
        3,
        lambda net, bad: net.fit(X, Y, noise=1.0, validation=(bad, Y), progress=False),
    ),
    "validation y": (
        "validation y",
        2,
        lambda net, bad: net.fit(X, Y, noise=1.0, validation=(X, bad), progress=False),
    ),
}


@pytest.mark.parametrize("argument", MATRIX_ARGUMENTS)
@pytest.mark.parametrize(("make", "error", "message"), bad_matrix_cases())
def test_no_matrix(
    argument: str, make: Callable[[int], Any], error: type[Exception], message: str
) -> None:
    name, n_columns, call = MATRIX_ARGUMENTS[argument]
    net = network()
    bad = make(n_columns)
    with unchanged(net), pytest.raises(error, match=rf"(?s)^{name}: {message}"):
        call(net, bad)


@pytest.mark.parametrize("argument", [a for a in MATRIX_ARGUMENTS if "x_var" not in a])
@pytest.mark.parametrize("value", [None, [1.0, 2.0, 3.0, 4.0, 5.0]], ids=["None", "1-D"])
def test_no_matrix_where_one_is_required(argument: str, value: Any) -> None:
    name, _, call = MATRIX_ARGUMENTS[argument]
    net = network()
    error = TypeError if value is None else ValueError
    message = "got a NoneType, needed" if value is None else r"got an array of shape \(5,\), needed"
    with unchanged(net), pytest.raises(error, match=f"^{name}: {message}"):
        call(net, value)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (argument, value)
        for argument, (name, _, _) in MATRIX_ARGUMENTS.items()
        for value in (NAN, INF, -INF, 1e39)
        if not (name.endswith("y") and np.isnan(value))
    ],
)
def test_values_that_are_not_finite(argument: str, value: float) -> None:
    """Too large for float32 is infinite; NaN in targets is a missing observation, and no error."""
    name, n_columns, call = MATRIX_ARGUMENTS[argument]
    net = network()
    values = with_value(np.ones((5, n_columns)), value)
    shown = "nan" if np.isnan(value) else "-inf" if value < 0 else "inf"
    with unchanged(net), pytest.raises(ValueError, match=rf"^{name}: got {shown}.*needed finite"):
        call(net, values)


@pytest.mark.parametrize("argument", MATRIX_ARGUMENTS)
@pytest.mark.parametrize("change", [-1, 1])
def test_wrong_number_of_columns(argument: str, change: int) -> None:
    name, n_columns, call = MATRIX_ARGUMENTS[argument]
    net = network()
    needed = rf"^{name}: got {n_columns + change} (columns|features).*needed {n_columns}"
    with unchanged(net), pytest.raises(ValueError, match=needed):
        call(net, np.ones((5, n_columns + change)))


@pytest.mark.parametrize("argument", [a for a in MATRIX_ARGUMENTS if a != "predict x"])
@pytest.mark.parametrize("n_rows", [1, 4, 6])
def test_wrong_number_of_rows(argument: str, n_rows: int) -> None:
    _, n_columns, call = MATRIX_ARGUMENTS[argument]
    net = network()
    with unchanged(net), pytest.raises(ValueError, match=rf"^(x|y|x_var|validation).*{n_rows} .*"):
        call(net, np.ones((n_rows, n_columns)))


Call = Callable[[nn.Sequential], object]

CALLS: dict[str, tuple[Call, type[Exception], str]] = {
    # Inputs.
    "x_var negative": (
        lambda net: net(X, with_value(X * X, -1e-9)),
        ValueError,
        r"x_var: got -1e-09.*at least 0",
    ),
    "update x_var negative": (
        lambda net: net.update(X, Y, 1.0, with_value(X * X, -1)),
        ValueError,
        r"x_var: got -1.*at least 0",
    ),
    "update no rows": (
        lambda net: net.update(X[:0], Y[:0], 1.0),
        ValueError,
        "x: got 0 rows, needed at least 1",
    ),
    "fit no rows": (
        lambda net: net.fit(X[:0], Y[:0], noise=1.0),
        ValueError,
        "x: got 0 rows, needed at least 1",
    ),
    # Noise.
    **{
        f"{call} noise {value!r}": (
            (lambda net, v=value: net.update(X, Y, v))
            if call == "update"
            else (lambda net, v=value: net.fit(X, Y, noise=v, progress=False)),
            error,
            f"noise: {message}",
        )
        for call in ("update", "fit")
        for value, error, message in (
            (0.0, ValueError, "got 0.*above 0"),
            (-1.0, ValueError, "got -1.*above 0"),
            (NAN, ValueError, "got nan.*above 0"),
            (INF, ValueError, "got inf.*finite"),
            (1e-50, ValueError, "got 0.*above 0"),  # 0 in float32
            ([1.0, 0.0], ValueError, "got 0.*above 0"),
            ([1.0, 1.0, 1.0], ValueError, r"got .*\(3,\).*broadcasts to y, \(5, 2\)"),
            ([1.0] * 5, ValueError, r"got .*\(5,\).*broadcasts to y, \(5, 2\)"),
            ([[[1.0]]], ValueError, r"got .*\(1, 1, 1\).*broadcasts to y, \(5, 2\)"),
            ("low", TypeError, "got a str, needed"),
            (1j, TypeError, "got a complex, needed"),
        )
    },
    "update noise missing": (lambda net: net.update(X, Y), TypeError, "noise"),
    "fit noise missing": (lambda net: net.fit(X, Y), TypeError, "noise"),
    # Counts and options of fit.
    **{
        f"fit {name} {value!r}": (
            lambda net, n=name, v=value: net.fit(X, Y, **{"noise": 1.0, "progress": False, n: v}),
            error,
            f"{name}: got {re.escape(repr(value))}, needed",
        )
        for name in ("n_epochs", "batch_size")
        for value, error in (
            (0, ValueError),
            (-1, ValueError),
            (1.5, TypeError),
            (True, TypeError),
            ("8", TypeError),
            (None, TypeError),
            (2.0, TypeError),
        )
    },
    "fit huge batch_size": (
        lambda net: net.fit(X, Y, noise=1.0, batch_size=2**70),
        ValueError,
        "batch_size: got 1180591620717411303424, needed at most 9223372036854775807",
    ),
    "fit callback": (
        lambda net: net.fit(X, Y, noise=1.0, callback=3, progress=False),
        TypeError,
        "callback: got 3, needed",
    ),
    "fit validation": (
        lambda net: net.fit(X, Y, noise=1.0, validation=X),
        TypeError,
        "validation: got a ndarray, needed",
    ),
    "fit validation of three": (
        lambda net: net.fit(X, Y, noise=1.0, validation=(X, Y, Y)),
        TypeError,
        "validation: got a tuple, needed",
    ),
    "fit validation without rows": (
        lambda net: net.fit(X, Y, noise=1.0, validation=(X[:0], Y[:0])),
        ValueError,
        "validation x: got 0 rows, needed at least 1",
    ),
    "fit n_epochs of several": (
        lambda net: net.fit(X, Y, noise=1.0, n_epochs=np.array([1, 2])),
        TypeError,
        r"^n_epochs: got array\(\[1, 2\]\), needed an integer",
    ),
    **{
        f"fit {name} {value!r}": (
            lambda net, n=name, v=value: net.fit(X, Y, noise=1.0, **{n: v}),
            TypeError,
            f"^{name}: got {value!r}, needed True or False",
        )
        for name in ("shuffle", "progress")
        for value in ("no", None, 1)
    },
    **{
        f"fit validation with noise {noise!r}": (
            lambda net, v=noise: net.fit(X, Y, noise=v, validation=(X, Y), progress=False),
            ValueError,
            f"^noise: {message}",
        )
        for noise, message in (
            (-1.0, "got -1"),
            (tx.Homoscedastic(std=[1, 2, 3]), "got 3 standard deviations, needed 1 or"),
        )
    },
    "train text": (lambda net: net.train("yes"), TypeError, "mode: got 'yes', needed"),
    "fit unknown option": (lambda net: net.fit(X, Y, noise=1.0, epochs=3), TypeError, "epochs"),
    "load_state_dict None": (
        lambda net: net.load_state_dict(None),
        TypeError,
        "^state_dict: got a NoneType, needed a mapping",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_call(case: str) -> None:
    call, error, message = CALLS[case]
    net = network()
    with unchanged(net), pytest.raises(error, match=rf"(?s){message}"):
        call(net)


def test_output_of_one_column_takes_no_other_1d_shape() -> None:
    net = nn.Sequential(nn.Linear(3, 1), seed=0)
    with unchanged(net), pytest.raises(ValueError, match=r"y: got 4 rows, needed 5"):
        net.update(X, np.ones(4), 1.0)
    with unchanged(net), pytest.raises(ValueError, match=r"y: got an array of shape \(\), needed"):
        net.update(X, 1.0, 1.0)


def test_network_usable_after_every_error() -> None:
    """All the wrong calls above on one network, which then goes on like a fresh one."""
    net, fresh = network(), network()
    for call, error, _ in CALLS.values():
        with pytest.raises(error):
            call(net)
    net.update(X, Y, 1.0)
    fresh.update(X, Y, 1.0)
    assert same_bits(net.state_dict(), fresh.state_dict())


Errors = type[Exception] | tuple[type[Exception], ...]
DIFFUSION_CALLS: dict[str, tuple[Callable[[tx.DiffusionModel], object], Errors, str]] = {
    **{
        f"fit {name}": (
            lambda model, m=make: model.fit(m(2), progress=False),
            error,
            f"^X: {message}",
        )
        for name, (make, error, message) in BAD_MATRICES.items()
    },
    **{
        f"predict {name}": (
            lambda model, m=make: model.predict(m(2), [1] * 5),
            error,
            f"^x_t: {message}",
        )
        for name, (make, error, message) in BAD_MATRICES.items()
    },
    "fit columns": (
        lambda model: model.fit(X, progress=False),
        ValueError,
        "X: got 3 columns, needed 2",
    ),
    "predict columns": (
        lambda model: model.predict(X, [1] * 5),
        ValueError,
        "x_t: got 3 columns, needed 2",
    ),
    "predict NaN": (lambda model: model.predict(NAN * Y, [1] * 5), ValueError, "x_t: got NaN"),
    "predict rows": (
        lambda model: model.predict(Y, [1] * 4),
        ValueError,
        r"t: got shape \(4,\), needed \(5,\)",
    ),
    **{
        f"fit {name} {value!r}": (
            lambda model, n=name, v=value: model.fit(Y, progress=False, **{n: v}),
            error,
            f"{name}: got {value!r}, needed",
        )
        for name in ("n_epochs", "batch_size")
        for value, error in ((0, ValueError), (-3, ValueError), (1.5, TypeError), (True, TypeError))
    },
    **{
        f"fit huge {name}": (
            lambda model, n=name: model.fit(1000 * Y, progress=False, **{n: 2**70}),
            ValueError,
            f"^{name}: got {2**70}, needed at most {2**63 - 1}$",
        )
        for name in ("n_epochs", "batch_size")
    },
    "fit progress": (
        lambda model: model.fit(1000 * Y, progress="no"),
        TypeError,
        "^progress: got 'no', needed True or False",
    ),
    "sample trajectory": (
        lambda model: model.sample(3, trajectory="no"),
        TypeError,
        "^trajectory: got 'no', needed True or False",
    ),
    "sample more than memory": (
        lambda model: model.sample(2**60),
        (MemoryError, ValueError, RuntimeError),
        "",
    ),
    "fit callback": (
        lambda model: model.fit(Y, callback=3, progress=False),
        TypeError,
        "callback: got 3, needed",
    ),
    **{
        f"sample {value!r}": (
            lambda model, v=value: model.sample(v),
            error,
            f"n_samples: got {value!r}, needed",
        )
        for value, error in (
            (-1, ValueError),
            (1.5, TypeError),
            ("3", TypeError),
            (None, TypeError),
            (True, TypeError),
        )
    },
}


@pytest.mark.parametrize("case", DIFFUSION_CALLS)
def test_diffusion_call(case: str) -> None:
    """The model is as it was, down to the units and to the samples that come next."""
    call, error, message = DIFFUSION_CALLS[case]
    model, fresh = (tx.DiffusionModel(2, hidden=(4,), n_steps=4, seed=0) for _ in range(2))
    with unchanged(model.net), pytest.raises(error, match=f"(?s){message}"):
        call(model)
    np.testing.assert_array_equal(model.shift, 0)
    np.testing.assert_array_equal(model.scale, 1)
    for each in (model, fresh):
        each.fit(100 * Y, n_epochs=1, progress=False)
    assert model.sample(3).x.tobytes() == fresh.sample(3).x.tobytes()
