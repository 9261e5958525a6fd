"""Wrong constructions and wrong calls of functions: the type of the error, and that its message
names the argument, what it got and what it needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tagix as tx
from tagix import nn

NAN, INF = float("nan"), float("inf")


class Unknown:
    """No array and no number."""


Make = Callable[[], object]

# Wrong constructions: id -> (what to make, error, message).
CONSTRUCTIONS: dict[str, tuple[Make, type[Exception] | tuple[type[Exception], ...], str]] = {
    # Layers.
    "Linear in 0": (lambda: nn.Linear(0, 1), ValueError, "in_features: got 0, needed at least 1"),
    "Linear out -1": (
        lambda: nn.Linear(1, -1),
        ValueError,
        "out_features: got -1, needed at least 1",
    ),
    "Linear in 2.5": (
        lambda: nn.Linear(2.5, 1),
        TypeError,
        "in_features: got 2.5, needed an integer",
    ),
    "Linear in None": (lambda: nn.Linear(None, 1), TypeError, "in_features: got None, needed"),
    "Linear in text": (lambda: nn.Linear("3", 1), TypeError, "in_features: got '3', needed an int"),
    **{
        f"Linear of {size} by {size}": (
            lambda n=size: nn.Sequential(nn.Linear(n, n)),
            ValueError,
            "(in|out)_features: got .*needed",
        )
        for size in (2**32, 2**40)  # weights that 64 bits cannot count: 2**64 would wrap to 0
    },
    "Linear bias": (
        lambda: nn.Linear(2, 1, bias="no"),
        TypeError,
        "bias: got 'no', needed True or",
    ),
    "Linear init": (
        lambda: nn.Linear(2, 1, init="He"),
        ValueError,
        "init: got 'He', needed 'he' or 'xavier'",
    ),
    "Linear init None": (
        lambda: nn.Linear(2, 1, init=None),
        TypeError,
        "init: got None, needed 'he' or",
    ),
    "Linear init by position": (
        lambda: nn.Linear(2, 1, True, "he"),
        TypeError,
        r"^Linear: got \(2, 1, True, 'he'\), needed \(in_features, out_features, bias=True, \*, "
        r"init='he', gain_weight=1.0, gain_bias=1.0\)$",
    ),
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
        "gain_weight: got '1', needed a number",
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
    "ReLU moments None": (
        lambda: nn.ReLU(moments=None),
        TypeError,
        "moments: got None, needed 'ex",
    ),
    "Identity moments": (
        lambda: nn.Identity("exact"),
        TypeError,
        r"^Identity: got \('exact'\), needed \(\)$",
    ),
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
        "value: got 1, needed a function",
    ),
    "Activation derivative": (
        lambda: nn.Activation(np.sin, None),
        TypeError,
        "derivative: got None, needed a function",
    ),
    "Activation without derivative": (
        lambda: nn.Activation(np.sin),
        TypeError,
        r"^Activation: got \(<ufunc 'sin'>\), needed \(value, derivative, moments='exact'\)$",
    ),
    "Activation moments": (
        lambda: nn.Activation(np.sin, np.cos, "both"),
        ValueError,
        "moments: got 'both', needed",
    ),
    "Layer": (lambda: nn.Layer(), TypeError, ""),
    "Linear in True": (lambda: nn.Linear(True, 1), TypeError, "in_features: got True, needed"),
    "Linear in several": (
        lambda: nn.Linear(np.array([1, 2]), 1),
        TypeError,
        r"in_features: got array\(\[1, 2\]\), needed an integer",
    ),
    "Linear in huge": (
        lambda: nn.Linear(2**70, 1),
        ValueError,
        "in_features: got 1180591620717411303424, needed an integer of 64 bits",
    ),
    "Linear without out": (
        lambda: nn.Linear(3),
        TypeError,
        r"^Linear: got \(3\), needed \(in_features, out_features, ",
    ),
    "Linear with units": (
        lambda: nn.Linear(3, out_features=4, units=5),
        TypeError,
        r"^Linear: got \(3, out_features=4, units=5\), needed \(in_features, out_features, ",
    ),
    "Linear gain huge": (
        lambda: nn.Linear(2, 1, gain_bias=10**400),
        ValueError,
        "gain_bias: got .*, needed a finite number",
    ),
    "LeakyReLU text": (
        lambda: nn.LeakyReLU("0.1"),
        TypeError,
        "negative_slope: got '0.1', needed a number",
    ),
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
        "^layer 2: got 2 features, needed 3",
    ),
    "Sequential nested mismatch": (
        lambda: nn.Sequential(
            nn.Sequential(nn.ReLU(), nn.Linear(1, 2)), nn.Sequential(nn.Linear(3, 1))
        ),
        ValueError,
        r"^layer 1\.0: got 2 features, needed 3",
    ),
    **{
        f"{make.__name__} seed {value!r}": (
            lambda m=make, v=value: m(v),
            error,
            f"seed: got {re.escape(repr(value))}, needed",
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
    "device gpu": (
        lambda: nn.Sequential(nn.ReLU(), device="gpu"),
        ValueError,
        "device: got 'gpu', needed 'cpu' or 'cuda'",
    ),
    "device with a number": (
        lambda: nn.Sequential(nn.ReLU(), device="cuda:0"),
        ValueError,
        "device: got 'cuda:0', needed 'cpu' or 'cuda'",
    ),
    "device empty": (
        lambda: nn.Sequential(nn.ReLU(), device=""),
        ValueError,
        "device: got '', needed 'cpu' or 'cuda'",
    ),
    "device None": (
        lambda: nn.Sequential(nn.ReLU(), device=None),
        TypeError,
        "device: got None, needed a string",
    ),
    "device 0": (
        lambda: nn.Sequential(nn.ReLU(), device=0),
        TypeError,
        "device: got 0, needed a string",
    ),
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
    "Information share text": (
        lambda: tx.Information("0.1"),
        TypeError,
        "share: got '0.1', needed",
    ),
    "Information clip None": (
        lambda: tx.Information(clip=None),
        TypeError,
        "clip: got None, needed",
    ),
    **{
        f"Capped {value!r}": (lambda v=value: tx.Capped(v), ValueError, "cap: got .*, needed")
        for value in (0.0, -1.0, NAN, INF)
    },
    "Capped text": (lambda: tx.Capped("3"), TypeError, "cap: got '3', needed a number"),
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
    "min_std text": (
        lambda: tx.Homoscedastic(1, min_std="a"),
        TypeError,
        "min_std: got 'a', needed",
    ),
    "decay None": (lambda: tx.Homoscedastic(1, decay=None), TypeError, "decay: got None, needed"),
    # Threads.
    "threads 0": (lambda: tx.set_num_threads(0), ValueError, "n: got 0.*at least 1"),
    "threads -1": (lambda: tx.set_num_threads(-1), ValueError, "n: got -1.*at least 1"),
    "threads 1.5": (lambda: tx.set_num_threads(1.5), TypeError, "n: got 1.5, needed an integer"),
    "threads None": (lambda: tx.set_num_threads(None), TypeError, "n: got None, needed an integer"),
    "threads huge": (
        lambda: tx.set_num_threads(2**32 + 1),
        ValueError,
        "n: got 4294967297, needed at most",
    ),
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
        "schedule: got 'quadratic', needed one of 'cosine', 'linear', 'sigmoid', 'edm'",
    ),
    "schedule 3": (
        lambda: tx.DiffusionModel(2, schedule=3),
        TypeError,
        "^schedule: got 3, needed one of 'cosine', 'linear', 'sigmoid', 'edm', or ",
    ),
    "time_features 3": (
        lambda: tx.DiffusionModel(2, time_features=3),
        TypeError,
        "^time_features: got 3, needed one of 'cosine', 'scalar', 'sinusoidal', 'log_sigma'$",
    ),
    "standardize text": (
        lambda: tx.DiffusionModel(2, standardize="no"),
        TypeError,
        "standardize: got 'no', needed True or False",
    ),
    "device of a model 0": (
        lambda: tx.DiffusionModel(2, device=0),
        TypeError,
        "device: got 0, needed a string",
    ),
    "n_features huge": (
        lambda: tx.DiffusionModel(2**63),
        ValueError,
        "n_features: got 9223372036854775808, needed at most",
    ),
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
    "rule of a model": (
        lambda: tx.DiffusionModel(2, rule="capped"),
        TypeError,
        "rule: got 'capped', needed",
    ),
    "device of a model": (
        lambda: tx.DiffusionModel(2, device="gpu"),
        ValueError,
        "device: got 'gpu', needed 'cpu' or 'cuda'",
    ),
}


@pytest.mark.parametrize("case", CONSTRUCTIONS)
def test_construction(case: str) -> None:
    make, error, message = CONSTRUCTIONS[case]
    with pytest.raises(error, match=rf"(?s){message}") as raised:
        make()
    assert "incompatible" not in str(raised.value)  # pybind11's message with C++ signatures


def test_subclass_of_a_layer_names_its_arguments() -> None:
    class Half(nn.Linear):
        def __init__(self, in_features: int) -> None:
            super().__init__(in_features, in_features // 2)

    assert Half(4).config["out_features"] == 2
    with pytest.raises(TypeError, match=r"in_features: got 4\.0, needed an integer"):
        Half(4.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.True_, np.False_, True, False])
def test_bools_of_numpy_are_bools(value: Any) -> None:
    assert nn.Linear(2, 1, bias=value).config["bias"] is bool(value)


def test_threads_stay_after_a_wrong_number() -> None:
    tx.set_num_threads(2)
    with pytest.raises(ValueError, match="n: got 0"):
        tx.set_num_threads(0)
    assert tx.get_num_threads() == 2
