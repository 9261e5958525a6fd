"""Wrong calls: the type of the error, that its message names the argument, what it got and what it
needed, and that nothing has changed.

Where pybind11 itself refuses a type, its message gives the signature and the arguments instead.
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
            (None, TypeError, "got a NoneType, needed"),
            ("low", TypeError, "got a str, needed"),
            (1j, TypeError, "got a complex, needed"),
            (tx.Homoscedastic(std=[1, 2, 3]), ValueError, "got 3 standard deviations, needed 1 or"),
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
        (ValueError, OverflowError, TypeError),
        "batch_size",
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
    "fit unknown option": (lambda net: net.fit(X, Y, noise=1.0, epochs=3), TypeError, "epochs"),
    "load_state_dict None": (lambda net: net.load_state_dict(None), TypeError, ""),
}


@pytest.mark.parametrize("case", CALLS)
def test_call(case: str) -> None:
    call, error, message = CALLS[case]
    net = network()
    with unchanged(net), pytest.raises(error, match=rf"(?s)^.*{message}"):
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


Make = Callable[[], object]
SIGNATURE = r"incompatible (constructor|function) arguments.*"

# Wrong constructions: id -> (what to make, error, message).
CONSTRUCTIONS: dict[str, tuple[Make, type[Exception] | tuple[type[Exception], ...], str]] = {
    # Layers.
    "Linear in 0": (lambda: nn.Linear(0, 1), ValueError, "in_features: got 0, needed at least 1"),
    "Linear out -1": (
        lambda: nn.Linear(1, -1),
        ValueError,
        "out_features: got -1, needed at least 1",
    ),
    "Linear in 2.5": (lambda: nn.Linear(2.5, 1), TypeError, f"{SIGNATURE}in_features"),
    "Linear in None": (lambda: nn.Linear(None, 1), TypeError, f"{SIGNATURE}in_features"),
    "Linear in text": (lambda: nn.Linear("3", 1), TypeError, f"{SIGNATURE}in_features"),
    **{
        f"Linear of {size} by {size}": (
            lambda n=size: nn.Sequential(nn.Linear(n, n)),
            ValueError,
            "(in|out)_features: got .*needed",
        )
        for size in (2**32, 2**40)  # weights that 64 bits cannot count: 2**64 would wrap to 0
    },
    "Linear bias": (lambda: nn.Linear(2, 1, bias="no"), TypeError, f"{SIGNATURE}bias"),
    "Linear init": (
        lambda: nn.Linear(2, 1, init="He"),
        ValueError,
        "init: got 'He', needed 'he' or 'xavier'",
    ),
    "Linear init None": (lambda: nn.Linear(2, 1, init=None), TypeError, f"{SIGNATURE}init"),
    "Linear init by position": (lambda: nn.Linear(2, 1, True, "he"), TypeError, SIGNATURE),
    **{
        f"Linear {name} {value!r}": (
            lambda n=name, v=value: nn.Linear(2, 1, **{n: v}),
            ValueError,
            f"{name}: got .*, needed",
        )
        for name in ("gain_weight", "gain_bias")
        for value in (0.0, -1.0, NAN, INF, 1e300, 1e-300)
    },
    "Linear gain text": (
        lambda: nn.Linear(2, 1, gain_weight="1"),
        TypeError,
        f"{SIGNATURE}gain_weight",
    ),
    **{
        f"{name} moments": (
            lambda n=name: getattr(nn, n)(moments="second"),
            ValueError,
            "moments: got 'second', needed 'exact' or 'first_order'",
        )
        for name in (
            "ReLU",
            "LeakyReLU",
            "Hardtanh",
            "Sigmoid",
            "Tanh",
            "Softplus",
            "SiLU",
            "GELU",
            "Exp",
        )
    },
    "ReLU moments None": (lambda: nn.ReLU(moments=None), TypeError, f"{SIGNATURE}moments"),
    "Identity moments": (lambda: nn.Identity("exact"), TypeError, SIGNATURE),
    **{
        f"LeakyReLU {value!r}": (
            lambda v=value: nn.LeakyReLU(v),
            ValueError,
            "negative_slope: got .*needed a finite number",
        )
        for value in (NAN, INF, 1e300)
    },
    "Activation value": (
        lambda: nn.Activation(1, np.cos),
        TypeError,
        "value: got .*int.*needed a function",
    ),
    "Activation derivative": (
        lambda: nn.Activation(np.sin, None),
        TypeError,
        "derivative: got .*NoneType.*needed a function",
    ),
    "Activation without derivative": (
        lambda: nn.Activation(np.sin),
        TypeError,
        f"{SIGNATURE}derivative",
    ),
    "Activation moments": (
        lambda: nn.Activation(np.sin, np.cos, "both"),
        ValueError,
        "moments: got 'both', needed",
    ),
    "Layer": (lambda: nn.Layer(), TypeError, ""),
    # Sequential.
    "Sequential empty": (
        lambda: nn.Sequential(),
        ValueError,
        "layers: got none, needed at least 1",
    ),
    "Sequential class": (
        lambda: nn.Sequential(nn.ReLU),
        TypeError,
        "layers: got .*ReLU.* at position 0",
    ),
    "Sequential list": (
        lambda: nn.Sequential([nn.ReLU()]),
        TypeError,
        "layers: got .*at position 0, needed",
    ),
    "Sequential None": (
        lambda: nn.Sequential(nn.ReLU(), None),
        TypeError,
        "layers: got None at position 1",
    ),
    "Sequential mismatch": (
        lambda: nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(3, 1)),
        ValueError,
        r"layer 2: Linear\(3, 1\): got an input of 2 features, needed 3",
    ),
    "Sequential nested mismatch": (
        lambda: nn.Sequential(
            nn.Sequential(nn.ReLU(), nn.Linear(1, 2)), nn.Sequential(nn.Linear(3, 1))
        ),
        ValueError,
        r"layer 1: layer 0: Linear\(3, 1\): got an input of 2 features, needed 3",
    ),
    **{
        f"{make.__name__} seed {value!r}": (
            lambda m=make, v=value: m(v),
            error,
            f"seed: got {re.escape(repr(value))}, needed an integer",
        )
        for make in (
            lambda v: nn.Sequential(nn.ReLU(), seed=v),
            lambda v: tx.DiffusionModel(2, seed=v),
            lambda v: tx.DiffusionModel(2, hidden=(4,)).sample(3, seed=v),
            tx.manual_seed,
        )
        for value, error in (
            (-1, ValueError),
            (2**63, ValueError),
            (1.5, TypeError),
            ("a", TypeError),
            (True, TypeError),
        )
    },
    "manual_seed None": (
        lambda: tx.manual_seed(None),
        TypeError,
        "seed: got None, needed an integer",
    ),
    "device cuda": (
        lambda: nn.Sequential(nn.ReLU(), device="cuda"),
        ValueError,
        "device: got 'cuda', needed 'cpu'",
    ),
    "device empty": (
        lambda: nn.Sequential(nn.ReLU(), device=""),
        ValueError,
        "device: got '', needed 'cpu'",
    ),
    "device None": (lambda: nn.Sequential(nn.ReLU(), device=None), TypeError, "device"),
    "device 0": (lambda: nn.Sequential(nn.ReLU(), device=0), TypeError, "device"),
    "rule text": (
        lambda: nn.Sequential(nn.ReLU(), rule="capped"),
        TypeError,
        "rule: got 'capped', needed",
    ),
    "rule not called": (
        lambda: nn.Sequential(nn.ReLU(), rule=tx.Capped),
        TypeError,
        "rule: got .*, needed",
    ),
    # Rules.
    **{
        f"Information {name} {value!r}": (
            lambda n=name, v=value: tx.Information(**{n: v}),
            ValueError,
            f"{name}: got .*, needed",
        )
        for name, values in (("share", (-0.1, NAN, INF)), ("clip", (0.0, -1.0, NAN)))
        for value in values
    },
    "Information share text": (lambda: tx.Information("0.1"), TypeError, f"{SIGNATURE}share"),
    "Information clip None": (lambda: tx.Information(clip=None), TypeError, f"{SIGNATURE}clip"),
    **{
        f"Capped {value!r}": (lambda v=value: tx.Capped(v), ValueError, "cap: got .*, needed")
        for value in (0.0, -1.0, NAN, INF)
    },
    "Capped text": (lambda: tx.Capped("3"), TypeError, f"{SIGNATURE}cap"),
    "UpdateRule": (lambda: tx.UpdateRule(), TypeError, ""),
    # Noise.
    **{
        f"std {value!r}": (
            lambda v=value: tx.Homoscedastic(std=v),
            ValueError,
            "std: got .*needed a finite number above 0",
        )
        for value in (0, -1.0, NAN, INF, 1e300, 1e-300, [1.0, 0.0])
    },
    "std empty": (lambda: tx.Homoscedastic(std=[]), ValueError, "std: got no value"),
    "std missing": (lambda: tx.Homoscedastic(), TypeError, "std"),
    **{
        f"std {value!r}": (
            lambda v=value: tx.Homoscedastic(std=v),
            (TypeError, ValueError),
            "std: got .*needed",
        )
        for value in ("a", "12", None, 1j, [[1.0, 2.0]], ["a"], [None], {"a": 1}, Unknown)
    },
    **{
        f"min_std {value!r}": (
            lambda v=value: tx.Homoscedastic(1, min_std=v),
            ValueError,
            "min_std: got .*, needed",
        )
        for value in (-1.0, NAN, INF)
    },
    **{
        f"decay {value!r}": (
            lambda v=value: tx.Homoscedastic(1, decay=v),
            ValueError,
            r"decay: got .*, needed a number in \(0, 1\]",
        )
        for value in (0.0, -1.0, 1.5, NAN, INF)
    },
    "min_std text": (lambda: tx.Homoscedastic(1, min_std="a"), TypeError, f"{SIGNATURE}min_std"),
    "decay None": (lambda: tx.Homoscedastic(1, decay=None), TypeError, f"{SIGNATURE}decay"),
    "var of epoch -1": (
        lambda: tx.Homoscedastic(1, decay=0.5).var(-1),
        ValueError,
        "epoch: got -1, needed",
    ),
    "var of epoch 1.5": (lambda: tx.Homoscedastic(1).var(1.5), TypeError, f"{SIGNATURE}epoch"),
    # Threads.
    "threads 0": (lambda: tx.set_num_threads(0), ValueError, "n: got 0.*at least 1"),
    "threads -1": (lambda: tx.set_num_threads(-1), ValueError, "n: got -1.*at least 1"),
    "threads 1.5": (lambda: tx.set_num_threads(1.5), TypeError, SIGNATURE),
    "threads None": (lambda: tx.set_num_threads(None), TypeError, SIGNATURE),
    # Diffusion.
    **{
        f"n_features {value!r}": (
            lambda v=value: tx.DiffusionModel(v),
            error,
            f"n_features: got {value!r}, needed",
        )
        for value, error in (
            (0, ValueError),
            (-1, ValueError),
            (2.0, TypeError),
            (True, TypeError),
            ("2", TypeError),
            (None, TypeError),
        )
    },
    **{
        f"n_steps {value!r}": (
            lambda v=value: tx.DiffusionModel(2, n_steps=v),
            error,
            f"n_steps: got {value!r}, needed",
        )
        for value, error in ((1, ValueError), (0, ValueError), (40.0, TypeError), (None, TypeError))
    },
    "hidden number": (
        lambda: tx.DiffusionModel(2, hidden=64),
        TypeError,
        "hidden: got 64, needed a sequence",
    ),
    "hidden text": (
        lambda: tx.DiffusionModel(2, hidden="64"),
        TypeError,
        "hidden: got '64', needed a sequence",
    ),
    "hidden None": (
        lambda: tx.DiffusionModel(2, hidden=None),
        TypeError,
        "hidden: got None, needed a sequence",
    ),
    "hidden 0": (
        lambda: tx.DiffusionModel(2, hidden=(8, 0)),
        ValueError,
        "hidden: got 0, needed at least 1",
    ),
    "hidden 8.0": (
        lambda: tx.DiffusionModel(2, hidden=(8.0,)),
        TypeError,
        "hidden: got 8.0, needed an integer",
    ),
    "schedule": (
        lambda: tx.DiffusionModel(2, schedule="quadratic"),
        ValueError,
        "schedule: got 'quadratic', needed 'cosine' or",
    ),
    "schedule None": (lambda: tx.DiffusionModel(2, schedule=None), TypeError, "schedule"),
    "time_features": (
        lambda: tx.DiffusionModel(2, time_features="fourier"),
        ValueError,
        "time_features: got 'fourier', needed",
    ),
    "activation text": (
        lambda: tx.DiffusionModel(2, activation="relu"),
        TypeError,
        "activation: got 'relu', needed",
    ),
    "activation class": (
        lambda: tx.DiffusionModel(2, activation=nn.ReLU),
        TypeError,
        "activation: got .*, needed",
    ),
    "activation Linear": (
        lambda: tx.DiffusionModel(2, hidden=(8,), activation=nn.Linear(8, 8)),
        (TypeError, ValueError),
        "activation: got .*Linear.*, needed",
    ),
    "noise number": (
        lambda: tx.DiffusionModel(2, noise=1.0),
        TypeError,
        "noise: got 1.0, needed tagix.Homoscedastic",
    ),
    "noise of 3 columns": (
        lambda: tx.DiffusionModel(2, noise=tx.Homoscedastic([1, 1, 1])),
        ValueError,
        "noise: got 3 .*needed 1 or 2",
    ),
    "rule of a model": (
        lambda: tx.DiffusionModel(2, rule="capped"),
        TypeError,
        "rule: got 'capped', needed",
    ),
    "device of a model": (
        lambda: tx.DiffusionModel(2, device="cuda"),
        ValueError,
        "device: got 'cuda', needed 'cpu'",
    ),
}


@pytest.mark.parametrize("case", CONSTRUCTIONS)
def test_construction(case: str) -> None:
    make, error, message = CONSTRUCTIONS[case]
    with pytest.raises(error, match=rf"(?s){message}"):
        make()


def test_threads_stay_after_a_wrong_number() -> None:
    tx.set_num_threads(2)
    with pytest.raises(ValueError, match="n: got 0"):
        tx.set_num_threads(0)
    assert tx.get_num_threads() == 2


DIFFUSION_CALLS: dict[str, tuple[Callable[[tx.DiffusionModel], object], type[Exception], str]] = {
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
    "predict NaN": (lambda model: model.predict(NAN * Y, [1] * 5), ValueError, "x_t: got nan"),
    "predict rows": (
        lambda model: model.predict(Y, [1] * 4),
        ValueError,
        "t: got 4 rows, needed 5",
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
    for each in (model, fresh):
        each.fit(100 * Y, n_epochs=1, progress=False)
    assert model.sample(3).x.tobytes() == fresh.sample(3).x.tobytes()
