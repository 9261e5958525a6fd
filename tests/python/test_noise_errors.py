"""Wrong noise and forgetting: what the error says, and that nothing has changed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import INFERRED, KNOWN, NoiseModel, needs_cuda, on_every_device, small, unchanged

import tagix as tx
from tagix import nn

NAN, INF = math.nan, math.inf
X = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
Y = np.linspace(0, 1, 10, dtype=np.float32).reshape(5, 2)

CALLS: dict[str, Callable[[nn.Sequential, Any], object]] = {
    "update": lambda net, noise: net.update(X, Y, noise),
    "fit": lambda net, noise: net.fit(X, Y, noise=noise, n_epochs=1, progress=False),
    "fit with validation": lambda net, noise: net.fit(
        X, Y, noise=noise, n_epochs=1, progress=False, validation=(X, Y)
    ),
}
on_every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
on_every_inferred = pytest.mark.parametrize("noise", INFERRED.values(), ids=INFERRED)


@on_every_device
@on_every_call
@pytest.mark.parametrize("told", [0.25, np.full_like(Y, 0.25), KNOWN, *INFERRED.values()], ids=str)
@on_every_inferred
def test_noise_where_the_network_infers_it(
    noise: NoiseModel, told: Any, call: Callable[[nn.Sequential, Any], object], device: str
) -> None:
    net = small(noise=noise, device=device)
    given = "an array of shape (5, 2)" if isinstance(told, np.ndarray) else repr(told)
    message = re.escape(f"noise: got {given}, needed none: the network infers {noise!r}")
    with unchanged(net), pytest.raises(ValueError, match=f"^{message}$"):
        call(net, told)


@on_every_device
@on_every_call
@pytest.mark.parametrize("known", [None, KNOWN], ids=["none", "known"])
@on_every_inferred
def test_noise_that_a_network_has_to_be_made_with(
    noise: NoiseModel,
    known: NoiseModel | None,
    call: Callable[[nn.Sequential, Any], object],
    device: str,
) -> None:
    net = small(noise=known, device=device)
    remedy = re.escape(f"nn.Sequential(..., noise=tagix.{noise!r})")
    with unchanged(net), pytest.raises(ValueError, match=rf"^noise: got .* {remedy}$"):
        call(net, noise)


@on_every_device
@on_every_call
def test_no_noise_where_the_network_knows_none(
    call: Callable[[nn.Sequential, Any], object], device: str
) -> None:
    net = small(device=device)
    message = r"^noise: got None, needed tagix\.Homoscedastic\(std\) or noise variances, .* without"
    with unchanged(net), pytest.raises(TypeError, match=message):
        call(net, None)


@needs_cuda
@on_every_inferred
def test_arrays_on_the_gpu_are_refused_alike(noise: NoiseModel) -> None:
    x, y, noise_var = (tx.cuda.Array(array) for array in (X, Y, np.full_like(Y, 0.25)))
    net, told = small(noise=noise, device="cuda"), small(device="cuda")
    with (
        unchanged(net),
        pytest.raises(ValueError, match=r"^noise: got an array of shape \(5, 2\), needed none"),
    ):
        net.update(x, y, noise_var)
    with (
        unchanged(net),
        pytest.raises(ValueError, match=r"^noise: got an array of shape \(5, 2\), needed none"),
    ):
        net.fit(x, y, noise=noise_var, n_epochs=1, progress=False)
    for call in (
        lambda given: told.update(x, y, given),
        lambda given: told.fit(x, y, noise=given, n_epochs=1, progress=False),
    ):
        with unchanged(told), pytest.raises(TypeError, match=r"^noise: got None"):
            call(None)
        with unchanged(told), pytest.raises(ValueError, match=r"^noise: got .*nn\.Sequential\("):
            call(noise)


@on_every_device
@on_every_inferred
def test_heads_have_no_targets(noise: NoiseModel, device: str) -> None:
    """A network of two targets takes two, though it has four outputs inside."""
    net = small(noise=noise, device=device)
    y = np.zeros((5, 4), np.float32)
    with unchanged(net), pytest.raises(ValueError, match=r"^y: got .*4"):
        net.update(X, y)
    with unchanged(net), pytest.raises(ValueError, match=r"^y: got .*4"):
        net.fit(X, y, n_epochs=1, progress=False)
    with unchanged(net), pytest.raises(ValueError, match=r"^validation y: got .*4"):
        net.fit(X, Y, n_epochs=1, progress=False, validation=(X, y))


@on_every_inferred
def test_states_with_and_without_a_head_do_not_fit(noise: NoiseModel) -> None:
    plain, net = small(), small(noise=noise)
    with unchanged(net), pytest.raises(ValueError, match=r"missing \['2\.noise_"):
        net.load_state_dict(plain.state_dict())
    with unchanged(plain), pytest.raises(ValueError, match=r"unknown \['2\.noise_"):
        plain.load_state_dict(net.state_dict())
    for value, message in ((NAN, "NaN"), (-1.0, "negative")):
        state = net.state_dict()
        state["2.noise_bias.var"][0] = value
        with unchanged(net), pytest.raises(ValueError, match=rf"^2\.noise_bias\.var: .*{message}"):
            net.load_state_dict(state)


@on_every_device
@pytest.mark.parametrize("last", [nn.ReLU(), nn.Identity(), nn.Sequential(nn.Tanh())], ids=str)
@on_every_inferred
def test_last_layer_is_no_linear(
    noise: NoiseModel, last: nn.Layer | nn.Sequential, device: str
) -> None:
    message = r"^noise: got a network that ends in (ReLU|Identity|Tanh), needed nn\.Linear"
    for layers in ([nn.Linear(3, 2), last], [nn.Sequential(nn.Linear(3, 2), last)]):
        with pytest.raises(ValueError, match=message):
            nn.Sequential(*layers, noise=noise, device=device)
        # Noise that is known needs none.
        net = nn.Sequential(*layers, noise=KNOWN, device=device)
        assert net(X).aleatoric.shape == (5, 2)


@pytest.mark.parametrize(
    "noise", [1.0, "exp", tx.Information(), [1.0, 2.0], tx.Homoscedastic, True]
)
def test_no_noise_model(noise: Any) -> None:
    message = r"^noise: got .*, needed tagix\.Homoscedastic\(\) or tagix\.Heteroscedastic\(\)$"
    with pytest.raises(TypeError, match=message):
        small(noise=noise)
    with pytest.raises(TypeError, match=message):
        tx.DiffusionModel(2, noise=noise)


@pytest.mark.parametrize("n_stds", [3, 4, 20])
@pytest.mark.parametrize("learn", [True, False])
def test_wrong_number_of_stds(n_stds: int, learn: bool) -> None:
    """A network of two targets takes one or two."""
    noise = tx.Homoscedastic(n_stds * [1.0], learn=learn)
    with pytest.raises(ValueError, match=rf"^noise: got {n_stds} standard deviations, needed 1 or"):
        small(noise=noise)


@on_every_device
def test_wrong_number_of_known_stds_in_a_call(device: str) -> None:
    net, noise = small(device=device), tx.Homoscedastic([1.0, 2.0, 3.0])
    calls: list[Callable[[], object]] = [
        lambda: net.update(X, Y, noise),
        lambda: net.fit(X, Y, noise=noise, n_epochs=1, progress=False),
    ]
    for call in calls:
        with (
            unchanged(net),
            pytest.raises(ValueError, match=r"^noise: got 3 standard deviations, needed 1 or"),
        ):
            call()


@pytest.mark.parametrize("n_stds", [1, 3, 4])
@pytest.mark.parametrize("learn", [False, True])
def test_wrong_number_of_stds_for_diffusion(n_stds: int, learn: bool) -> None:
    noise = tx.Homoscedastic(n_stds * [1.0], learn=learn)
    if n_stds == 1:
        assert tx.DiffusionModel(2, noise=noise).noise == noise
        return
    with pytest.raises(
        ValueError, match=rf"^noise: got {n_stds} standard deviations, needed 1 or 2"
    ):
        tx.DiffusionModel(2, noise=noise)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TypeError, r"std: got None, needed"),
        ({"std": None, "decay": 0.5}, TypeError, r"std: got None, needed"),
        ({"learn": 1}, TypeError, r"learn: got 1, needed True or False"),
        ({"learn": "yes"}, TypeError, r"learn: got 'yes', needed True or False"),
        ({"std": 1.0, "learn": None}, TypeError, r"learn: got None, needed True or False"),
        ({"learn": True, "min_std": 0.1}, ValueError, r"learn: got true with min_std 0\.1"),
        ({"learn": True, "decay": 0.5}, ValueError, r"learn: got true with .* decay 0\.5"),
    ],
)
def test_homoscedastic(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        tx.Homoscedastic(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"link": "square"}, ValueError, r"link: got 'square', needed 'exp' or 'softplus'"),
        ({"link": ""}, ValueError, r"link: got '', needed 'exp' or 'softplus'"),
        ({"link": None}, TypeError, r"link: got None, needed"),
        ({"link": 1.0}, TypeError, r"link: got 1\.0, needed"),
        ({"gain": 0.0}, ValueError, r"gain: got 0, needed"),
        ({"gain": -0.1}, ValueError, r"gain: got -0\.1, needed"),
        ({"gain": NAN}, ValueError, r"gain: got nan, needed"),
        ({"gain": INF}, ValueError, r"gain: got inf, needed"),
        ({"gain": 1e7}, ValueError, r"gain: got 1e\+07, needed"),
        ({"gain": "wide"}, TypeError, r"gain: got 'wide', needed a number"),
        ({"gain": None}, TypeError, r"gain: got None, needed a number"),
        ({"gain": [0.1]}, TypeError, r"gain: got \[0\.1\], needed a number"),
    ],
)
def test_heteroscedastic(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        tx.Heteroscedastic(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"process_noise": -1e-9}, ValueError, r"process_noise: got -1e-09, needed .*\[0, 1\]"),
        ({"process_noise": 1.1}, ValueError, r"process_noise: got 1\.1, needed"),
        ({"process_noise": NAN}, ValueError, r"process_noise: got nan, needed"),
        ({"process_noise": None}, TypeError, r"process_noise: got None, needed a number"),
        ({"process_noise": "a"}, TypeError, r"process_noise: got 'a', needed a number"),
        ({"drift_level": 0.0}, ValueError, r"drift_level: got 0, needed .*\(0, 1/2\), or None"),
        ({"drift_level": 0.5}, ValueError, r"drift_level: got 0\.5, needed"),
        ({"drift_level": -1e-6}, ValueError, r"drift_level: got -1e-06, needed"),
        ({"drift_level": NAN}, ValueError, r"drift_level: got nan, needed"),
        ({"drift_level": "a"}, TypeError, r"drift_level: got 'a', needed"),
        ({"window": 0.9}, ValueError, r"window: got 0\.9, needed"),
        ({"window": -3}, ValueError, r"window: got -3, needed"),
        ({"window": INF}, ValueError, r"window: got inf, needed"),
        ({"window": NAN}, ValueError, r"window: got nan, needed"),
        ({"window": None}, TypeError, r"window: got None, needed a number"),
        ({"inflation": -0.1}, ValueError, r"inflation: got -0\.1, needed"),
        ({"inflation": 1.5}, ValueError, r"inflation: got 1\.5, needed"),
        ({"inflation": NAN}, ValueError, r"inflation: got nan, needed"),
        ({"inflation": "a"}, TypeError, r"inflation: got 'a', needed a number"),
    ],
)
def test_forgetting(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        tx.Forgetting(**arguments)


@pytest.mark.parametrize("forgetting", [0.1, "on", True, tx.Forgetting, {"window": 3}])
def test_no_forgetting(forgetting: Any) -> None:
    with pytest.raises(TypeError, match=r"^forgetting: got .*, needed tagix\.Forgetting\(\)$"):
        small(forgetting=forgetting)


@pytest.mark.parametrize("epoch", [-1, 1.5, "1", None])
def test_epoch_of_a_schedule(epoch: Any) -> None:
    error = ValueError if epoch == -1 else TypeError
    with pytest.raises(error, match=f"^epoch: got {epoch!r}, needed"):
        KNOWN.var(epoch)


@on_every_device
@on_every_inferred
def test_failing_calls_leave_a_network_that_infers_noise(noise: NoiseModel, device: str) -> None:
    net = small(noise=noise, forgetting=tx.Forgetting(), device=device)
    net.update(X, Y)
    for call, message in (
        (lambda: net.update(X, np.full_like(Y, 3e38)), r".*overflow"),
        (lambda: net.update(np.full_like(X, 3e38), Y), r"x: .*overflow"),
        (lambda: net.update(X, np.full_like(Y, INF)), r"y: got"),
        (lambda: net.update(np.full_like(X, NAN), Y), r"x: got"),
        (lambda: net.update(X[:3], Y), r"y: got"),
        (lambda: net.update(X, Y, x_var=-X), r"x_var: got"),
        (lambda: net(np.full_like(X, INF)), r"x: got"),
    ):
        with unchanged(net), pytest.raises(ValueError, match=f"^{message}"):
            call()
        assert net.n_drifts == 0
    with unchanged(net), pytest.raises(ValueError, match="overflow"):
        y = np.tile(Y, (20, 1))
        y[-1] = 3e38
        net.fit(np.tile(X, (20, 1)), y, n_epochs=1, batch_size=10, shuffle=False, progress=False)


@pytest.mark.parametrize(
    "setting",
    [
        {"noise": tx.Heteroscedastic()},
        {"forgetting": tx.Forgetting()},
        {"likelihood": tx.Remax(2)},
    ],
)
def test_noise_and_forgetting_belong_to_the_outer_network(setting: dict[str, Any]) -> None:
    inner = nn.Sequential(nn.Linear(3, 2), **setting, seed=0)
    with pytest.raises(
        ValueError, match="layers: got a Sequential with noise, a likelihood or forgetting at pos"
    ):
        nn.Sequential(nn.Linear(4, 3), inner, seed=0)
