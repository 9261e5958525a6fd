"""Layers on grids against the same formulas in float64, by torch.nn.functional."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
from grid_truth import Convolution, close, tensor, truth_of
from helpers import Array, on_every_device, same_bits
from torch.nn import functional as F

import tagix as tx
from tagix import nn

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

NOISE_VAR = 0.3


def shapes_at_random(n: int) -> list[tuple[nn.Layer, tuple[int, ...]]]:
    generator = np.random.default_rng(5)
    one_of = lambda *values: values[generator.integers(len(values))]  # noqa: E731
    cases = []
    while len(cases) < n:
        kind = one_of("Conv2d", "Conv2d", "Conv1d", "ConvTranspose2d")
        dimensions = 1 if kind == "Conv1d" else 2
        several = lambda *values: tuple(int(one_of(*values)) for _ in range(dimensions))  # noqa: E731, B023
        arguments: dict[str, Any] = {
            "kernel_size": several(1, 2, 3, 3, 5),
            "stride": several(1, 1, 2, 3),
            "padding": several(0, 1, 2),
            "dilation": several(1, 1, 2),
            "bias": bool(one_of(True, False)),
        }
        if kind == "ConvTranspose2d":
            arguments["output_padding"] = tuple(
                int(generator.integers(stride)) for stride in arguments["stride"]
            )
        elif generator.random() < 0.2:
            arguments["padding"], arguments["stride"] = "same", (1,) * dimensions
        grid = tuple(int(generator.integers(3, 12)) for _ in range(dimensions))
        channels = int(one_of(1, 2, 3, 7, 17)), int(one_of(1, 2, 5, 16, 33))
        layer = getattr(nn, kind)(*channels, **arguments)
        try:
            nn.Sequential(layer, input_shape=(channels[0], *grid))
        except ValueError:  # a window that does not fit
            continue
        cases.append((layer, (channels[0], *grid)))
    return cases


@on_every_device
def test_200_shapes_at_random(device: str) -> None:
    """Moments and one update of a layer alone, in batches of 1 to 5."""
    generator = np.random.default_rng(0)
    for layer, shape in shapes_at_random(200 if device == "cpu" else 20):
        net = nn.Sequential(layer, input_shape=shape, seed=3, device=device)
        truth = Convolution(layer, "0")
        truth.load(net.state_dict())
        rows = int(generator.integers(1, 6))
        x, x_var = generator.normal(size=(rows, *shape)), generator.random((rows, *shape))
        mean, var = truth.forward(tensor(x), tensor(x_var))
        got = net(x, x_var)
        close(got.mean, mean)
        close(got.var, var)
        close(net(x).var, truth.forward(tensor(x), torch.zeros_like(tensor(x)))[1])
        y = generator.normal(size=tuple(mean.shape))
        y[generator.random(y.shape) < 0.1] = np.nan
        spread = 1 + 0.01 * (rows - 1)
        total = var * spread + NOISE_VAR
        missing = torch.isnan(tensor(y))
        delta_mean = torch.where(missing, 0.0, (torch.nan_to_num(tensor(y)) - mean) / total)
        delta_var = torch.where(missing, 0.0, -1 / total)
        expected = truth.after(tensor(x), delta_mean, delta_var)
        net.update(x, y, NOISE_VAR, x_var)
        for key, array in net.state_dict().items():
            close(array, expected[key], 3e-5)


NETWORKS: dict[str, tuple[tuple[int, ...], Callable[[], list[nn.Layer]]]] = {
    "odd": (
        (2, 7, 5),
        lambda: [
            nn.Conv2d(2, 5, (3, 2), stride=(2, 1), padding=(1, 0)),
            nn.ReLU(moments="first_order"),
            nn.ConvTranspose2d(5, 3, 3, stride=2, padding=1),
            nn.ReLU(moments="first_order"),
            nn.Conv2d(3, 2, 3, padding="same", bias=False),
        ],
    ),
    "wide": (
        (3, 9, 9),
        lambda: [
            nn.Conv2d(3, 32, 5, padding=2, dilation=1),
            nn.ReLU(moments="first_order"),
            nn.Conv2d(32, 17, 3, stride=3, dilation=2),
        ],
    ),
    "norms": (
        (2, 8, 6),
        lambda: [
            nn.GroupNorm(1, 2),
            nn.Conv2d(2, 8, 3, padding=1),
            nn.GroupNorm(4, 8),
            nn.ReLU(moments="first_order"),
            nn.MaxPool2d(3, 2, 1),
            nn.RMSNorm((8, 4, 3)),
            nn.Conv2d(8, 6, 2),
            nn.LayerNorm((6, 3, 2), 1e-3),
            nn.Conv2d(6, 1, 1),
        ],
    ),
    "constant statistics": (
        (2, 5, 5),
        lambda: [
            nn.Conv2d(2, 6, 3),
            nn.GroupNorm(2, 6, statistics="constant"),
            nn.ReLU(moments="first_order"),
            nn.MaxPool2d(2, (1, 2)),
            nn.Conv2d(6, 2, 1),
        ],
    ),
    "sequence": (
        (4, 11),
        lambda: [nn.Conv1d(4, 8, 3, padding=1), nn.ReLU(moments="first_order"), nn.Conv1d(8, 2, 4)],
    ),
}


@on_every_device
@pytest.mark.parametrize("batch_size", [1, 6])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_of_20_updates(name: str, batch_size: int, device: str) -> None:
    shape, layers_of = NETWORKS[name]
    layers = layers_of()
    net = nn.Sequential(*layers, input_shape=shape, seed=1, device=device)
    truth = [truth_of(layer, str(i)) for i, layer in enumerate(layers)]
    for step in range(20):
        generator = np.random.default_rng([batch_size, step])
        x = generator.normal(size=(batch_size, *shape))
        state = net.state_dict()
        inputs, moments = [], (tensor(x), torch.zeros_like(tensor(x)))
        for each in truth:
            if isinstance(each, Convolution):
                each.load(state)
            inputs.append(moments)
            moments = tuple(moment.detach() for moment in each.forward(*moments))
        mean, var = moments
        y = generator.normal(size=tuple(mean.shape))
        total = var * (1 + 0.01 * (batch_size - 1)) + NOISE_VAR
        deltas = (tensor(y) - mean) / total, -1 / total
        expected = {}
        for each, given in reversed(list(zip(truth, inputs, strict=True))):
            if isinstance(each, Convolution):
                expected |= each.after(given[0], *deltas)
            deltas = each.below(*given, *deltas)
        prediction = net.update(x, y, NOISE_VAR)
        close(prediction.mean, mean)
        close(prediction.var, var)
        for key, array in net.state_dict().items():
            close(array, expected[key], 2e-5)


def test_moments_are_those_of_sampled_weights() -> None:
    """Over 4000 draws of weights and inputs, within 5 standard errors."""
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, stride=2), input_shape=(2, 5, 5), seed=0)
    generator = np.random.default_rng(0)
    x, x_var = generator.normal(size=(1, 2, 5, 5)), generator.random((1, 2, 5, 5))
    prediction, state, n = net(x, x_var), net.state_dict(), 4000

    def draw(name: str) -> Any:
        mean, var = (state[f"0.{name}.{moment}"] for moment in ("mean", "var"))
        return tensor(mean + np.sqrt(var) * generator.normal(size=(n, *mean.shape)))

    weights, biases = draw("weight"), draw("bias")
    inputs = tensor(x + np.sqrt(x_var) * generator.normal(size=(n, 2, 5, 5)))
    samples = np.stack(
        [F.conv2d(a, w, b, 2, 1) for a, w, b in zip(inputs, weights, biases, strict=True)]
    )
    standard_error = np.sqrt(prediction.var / n)
    assert (np.abs(samples.mean(axis=0) - prediction.mean) < 5 * standard_error).all()
    ratio = samples.var(axis=0).mean() / prediction.var.mean()
    assert abs(ratio - 1) < 0.03


SUMS: dict[str, tuple[nn.Layer, Callable[[Any], Any], float]] = {
    "pool": (nn.AvgPool2d(2), lambda x: F.avg_pool2d(x, 2), 1 / 4),
    "pool with padding": (
        nn.AvgPool2d((3, 2), (2, 1), (1, 0)),
        lambda x: F.avg_pool2d(x, (3, 2), (2, 1), (1, 0)),
        1 / 6,
    ),
    "whole": (nn.AdaptiveAvgPool2d(1), lambda x: F.adaptive_avg_pool2d(x, 1), 1 / 35),
    "upsample": (nn.Upsample(3), lambda x: F.interpolate(x, scale_factor=3), 1),
    "sides": (nn.ZeroPad2d((1, 0, 2, 3)), lambda x: F.pad(x, (1, 0, 2, 3)), 1),
    "border": (nn.ZeroPad2d(1), lambda x: F.pad(x, (1, 1, 1, 1)), 1),
}


@on_every_device
@pytest.mark.parametrize("name", SUMS)
def test_sums_over_positions(name: str, device: str) -> None:
    """Of w x, with one weight w for all positions, the variances are those of w^2 x_var."""
    layer, mean_of, weight = SUMS[name]
    generator = np.random.default_rng(0)
    x, x_var = generator.normal(size=(4, 3, 7, 5)), generator.random((4, 3, 7, 5))
    got = nn.Sequential(layer, input_shape=(3, 7, 5), device=device)(x, x_var)
    close(got.mean, mean_of(tensor(x)))
    close(got.var, weight * mean_of(tensor(x_var)))


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_bilinear_interpolation(factor: int) -> None:
    """Means as in PyTorch; variances by the squared weights, which unit inputs show."""
    net = nn.Sequential(nn.Upsample(factor, "bilinear"), input_shape=(1, 4, 3))
    units = np.eye(12).reshape(12, 1, 4, 3)
    weights = F.interpolate(tensor(units), scale_factor=factor, mode="bilinear")
    close(net(units).mean, weights, 1e-6)
    x_var = np.random.default_rng(0).random((1, 1, 4, 3))
    expected = (tensor(x_var).reshape(12, 1, 1, 1) * weights**2).sum(0, keepdim=True)
    close(net(np.zeros_like(x_var), x_var).var, expected, 1e-6)


class Block(nn.Module):
    """Every kind of table in a module of one's own."""

    def __init__(self) -> None:
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.pool, self.double = nn.AvgPool2d(2), nn.Upsample(2, "bilinear")
        self.act, self.last = nn.ReLU(), nn.Conv2d(8, 1, 1)

    def forward(self, x: Any) -> Any:
        stem = self.act(self.stem(x))
        around = self.up(self.act(self.down(stem)))
        return self.last(nn.concat([stem + around, self.double(self.pool(stem))]))


def images() -> tuple[Array, Array]:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(30, 2, 6, 8)).astype(np.float32)
    return x, (x[:, :1] * x[:, 1:]).astype(np.float32)


def module() -> nn.Network:
    return nn.Network(Block(), inputs=(2, 6, 8), noise=tx.Homoscedastic(0.5), seed=0)


def sequence_of_layers() -> nn.Sequential:
    layers = [nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.ZeroPad2d(1)]
    layers += [nn.ConvTranspose2d(4, 1, 3, stride=2, padding=(5, 6), output_padding=(1, 1))]
    return nn.Sequential(
        *layers,
        nn.ReLU(),
        nn.Upsample(2),
        input_shape=(2, 6, 8),
        noise=tx.Homoscedastic(0.5),
        seed=0,
    )


@pytest.mark.parametrize("network", [module, sequence_of_layers])
def test_networks_on_images_are_trained_copied_and_saved(network: Any, tmp_path: Any) -> None:
    net = network()
    x, y = images()
    if network is sequence_of_layers:
        y = net(x).mean + np.float32(0.1)
    history = net.fit(x, y, n_epochs=4, batch_size=8, progress=False)
    assert history.train_mse[-1] < history.train_mse[0]
    assert net(x).mean.shape == y.shape
    net.save(tmp_path / "net.safetensors")
    loaded = tx.load(tmp_path / "net.safetensors")
    assert same_bits(loaded.state_dict(), net.state_dict())
    np.testing.assert_array_equal(loaded(x).mean, net(x).mean)
    for each in (net, loaded):
        each.update(x[:7], y[:7])
    assert same_bits(loaded.state_dict(), net.state_dict())


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_bits_do_not_depend_on_threads(n_threads: int) -> None:
    x, y = images()
    expected = module()
    expected.fit(x, y, n_epochs=2, batch_size=8, progress=False)
    tx.set_num_threads(n_threads)
    net = module()
    net.fit(x, y, n_epochs=2, batch_size=8, progress=False)
    assert same_bits(net.state_dict(), expected.state_dict())


def test_parameters_have_the_shapes_of_pytorch() -> None:
    net = module()
    layers = {
        "stem": torch.nn.Conv2d(2, 4, 3),
        "down": torch.nn.Conv2d(4, 6, 3),
        "up": torch.nn.ConvTranspose2d(6, 4, 2),
        "last": torch.nn.Conv2d(8, 1, 1),
    }
    state = net.state_dict()
    for name, layer in layers.items():
        for key, value in layer.state_dict().items():
            assert state[f"{name}.{key}.mean"].shape == tuple(value.shape)
    views = dict(net.named_parameters())
    for name, view in views.items():
        np.testing.assert_array_equal(view.mean, state[f"{name}.mean"])
        np.testing.assert_array_equal(view.var, state[f"{name}.var"])
    views["up.weight"].mean[1, 2, 0, 1] = 7
    assert net.state_dict()["up.weight.mean"][1, 2, 0, 1] == 7
    net.load_state_dict(state)
    assert same_bits(net.state_dict(), state)


def test_missing_targets_and_variances_are_on_the_grid() -> None:
    """A target that is missing in one channel at one position is, and noise goes by its place."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1), input_shape=(1, 2, 3), seed=0)
    x = np.zeros((1, 1, 2, 3))
    y = np.full((1, 2, 2, 3), np.nan)
    y[0, 1, 0, 2] = 1.0
    noise_var = np.ones((1, 2, 2, 3))
    noise_var[0, 1, 0, 2] = 0.25
    before = net.state_dict()
    net.update(x, y, noise_var)
    after = net.state_dict()
    var = before["0.bias.var"][1]
    assert after["0.bias.var"][0] == before["0.bias.var"][0]
    np.testing.assert_allclose(after["0.bias.var"][1], var / (1 + var / (var + 0.25)), rtol=1e-5)


ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "channels": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), input_shape=(2, 8, 8)),
        ValueError,
        "layer 0: got 2 channels on a grid of 8 x 8, needed 3 channels on a grid of 2 dimensions",
    ),
    "no grid": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), input_shape=(3,)),
        ValueError,
        "layer 0: got 3 features, needed 3 channels on a grid",
    ),
    "kernel": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 9), input_shape=(3, 8, 8)),
        ValueError,
        "kernel: got 9 positions, needed at most 8 on a grid of 8 x 8",
    ),
    "count": (lambda: nn.Conv2d(0, 4, 3), ValueError, "in_channels: got 0, needed at least 1"),
    "type": (lambda: nn.Conv2d(1, 4, 3.0), TypeError, "kernel_size: got 3.0, needed an integer"),
    "extents": (
        lambda: nn.Conv2d(1, 4, (3, 3, 3)),
        ValueError,
        r"kernel_size: got \(3, 3, 3\), needed an integer, or 2 of them",
    ),
    "padding": (lambda: nn.Conv2d(1, 4, 3, padding="valid"), ValueError, "padding: got 'valid'"),
    "same": (
        lambda: nn.Conv2d(1, 4, 3, stride=2, padding="same"),
        ValueError,
        "padding: got 'same' with a stride of 2 x 2, needed a stride of 1",
    ),
    "output_padding": (
        lambda: nn.ConvTranspose2d(1, 4, 3, stride=2, output_padding=2),
        ValueError,
        "output_padding: got 2, needed at least 0 and less than the stride, 2",
    ),
    "pool": (
        lambda: nn.AvgPool2d(2, padding=2),
        ValueError,
        "padding: got 2, needed 0 to half of the kernel, 1",
    ),
    "mode": (lambda: nn.Upsample(2, "cubic"), ValueError, "mode: got 'cubic'"),
    "targets": (
        lambda: module().update(images()[0], images()[1].reshape(30, -1)),
        ValueError,
        r"y: got an array of shape \(30, 48\), needed \('rows', 1, 6, 8\)",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    call, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        call()


def test_covariance_of_drawn_networks() -> None:
    """The calibrated variance of a convolution's outputs is that of drawn weights."""
    layers = [nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)]
    net = nn.Sequential(*layers, input_shape=(1, 4, 4), seed=0)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(3, 1, 4, 4))
    net.fit(x, np.ones((3, 2)), noise=0.1, n_epochs=20, progress=False)
    draws = np.stack([net.draw(seed)(x).mean for seed in range(2000)])
    ratio = net(x, variance="calibrated").epistemic / draws.var(axis=0)
    assert ratio.min() > 0.9 and ratio.max() < 1.1


def test_norms_train_by_the_derivatives_of_their_statistics() -> None:
    """The noise in digits is learned so, and hardly at all with the statistics as constants."""
    datasets = pytest.importorskip("sklearn.datasets", reason="needs the sklearn extra")
    images = datasets.load_digits().images[:, np.newaxis] / 8 - 1
    noise = np.random.default_rng(0).normal(size=images.shape)
    x, train, test = 0.7 * images + 0.714 * noise, slice(1500), slice(1500, None)

    def error(statistics: str) -> float:
        layers: list[nn.Layer] = [nn.Conv2d(1, 16, 3, padding=1)]
        for channels, gain in [(16, 1.0)] * 4 + [(1, 0.3)]:
            layers += [nn.GroupNorm(1, 16, statistics=statistics), nn.ReLU()]
            layers.append(nn.Conv2d(16, channels, 3, padding=1, gain_weight=gain))
        net = nn.Sequential(*layers, input_shape=(1, 8, 8), noise=tx.Homoscedastic(0.3), seed=0)
        net.fit(x[train], noise[train], n_epochs=2, batch_size=16, progress=False)
        return float(np.mean((net(x[test]).mean - noise[test]) ** 2))

    assert error("exact") < 0.3  # .23 of 1
    assert error("constant") > 0.8  # .95
