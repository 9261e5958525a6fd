"""The network: initial parameters, seeds, bits, state, copies, views and threads."""

from __future__ import annotations

import copy
import math
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import Array, in_threads, regression_data, relative_error, same_bits, unchanged

import tagix as tx
from tagix import _core, nn

COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
}


def small(seed: int | None = 0, rule: tx.UpdateRule | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2), seed=seed, rule=rule)


def wide(seed: int = 0) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2), seed=seed
    )


@pytest.mark.parametrize(
    ("init", "gain_weight", "gain_bias", "weight_std", "bias_std"),
    [
        ("he", 1.0, 1.0, math.sqrt(1 / 200), math.sqrt(1 / 200)),
        ("xavier", 1.0, 1.0, math.sqrt(2 / 500), math.sqrt(2 / 500)),
        ("he", 0.5, 3.0, 0.5 * math.sqrt(1 / 200), 3 * math.sqrt(1 / 200)),
        ("xavier", 2.0, 0.1, 2 * math.sqrt(2 / 500), 0.1 * math.sqrt(2 / 500)),
    ],
)
def test_prior(
    init: str, gain_weight: float, gain_bias: float, weight_std: float, bias_std: float
) -> None:
    layer = nn.Linear(200, 300, init=init, gain_weight=gain_weight, gain_bias=gain_bias)
    state = nn.Sequential(layer, seed=1).state_dict()
    assert state["0.weight.mean"].shape == (300, 200) and state["0.bias.mean"].shape == (300,)
    for name, std in (("weight", weight_std), ("bias", bias_std)):
        mean = state[f"0.{name}.mean"].astype(np.float64).ravel()
        np.testing.assert_allclose(state[f"0.{name}.var"], std**2, rtol=1e-6)
        n, z = mean.size, mean / std
        # 5 standard deviations of the mean, the variance and the fourth moment of n normals.
        assert abs(z.mean()) < 5 / math.sqrt(n)
        assert abs((z**2).mean() - 1) < 5 * math.sqrt(2 / n)
        assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    weight = state["0.weight.mean"].astype(np.float64)
    for a, b in ((weight[:-1], weight[1:]), (weight[:, :-1], weight[:, 1:])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / math.sqrt(a.size)


def test_linear_without_bias() -> None:
    net = nn.Sequential(nn.Linear(3, 2, bias=False), seed=0)
    assert list(net.state_dict()) == ["0.weight.mean", "0.weight.var"]
    np.testing.assert_array_equal(net(np.zeros((1, 3))).mean, 0)
    np.testing.assert_array_equal(net(np.zeros((1, 3))).var, 0)


def test_equal_seeds_equal_bits() -> None:
    assert same_bits(small(7).state_dict(), small(7).state_dict())
    assert not same_bits(small(7).state_dict(), small(8).state_dict())
    large = 2**63 - 1
    assert small(large).seed == large
    assert same_bits(small(large).state_dict(), small(large).state_dict())


def test_parameters_of_layers_are_independent() -> None:
    net = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50), seed=0)
    state = net.state_dict()
    first, second = state["0.weight.mean"], state["1.weight.mean"]
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / math.sqrt(first.size)


def test_manual_seed_fixes_models_without_one() -> None:
    tx.manual_seed(11)
    first = [small(None).state_dict() for _ in range(2)]
    tx.manual_seed(11)
    second = [small(None).state_dict() for _ in range(2)]
    tx.manual_seed(12)
    third = small(None).state_dict()
    assert all(same_bits(a, b) for a, b in zip(first, second, strict=True))
    assert not same_bits(first[0], first[1])
    assert not same_bits(first[0], third)


def test_given_seed_does_not_count() -> None:
    tx.manual_seed(11)
    first = small(None).seed
    tx.manual_seed(11)
    small(5)
    assert small(None).seed == first


def test_nested_containers_name_parameters_by_path() -> None:
    def flat() -> list[nn.Layer]:
        return [nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)]

    layers = flat()
    inner = nn.Sequential(*layers[2:4])
    net = nn.Sequential(nn.Sequential(nn.Sequential(*layers[:2]), inner), layers[4], seed=3)
    names = [name for name, _ in net.named_parameters()]
    assert names == [
        "0.0.0.weight", "0.0.0.bias", "0.1.0.weight", "0.1.0.bias", "1.weight", "1.bias",
    ]  # fmt: skip
    same = nn.Sequential(*flat(), seed=3)
    assert [a.tobytes() for a in net.state_dict().values()] == [
        a.tobytes() for a in same.state_dict().values()
    ]
    x, y = regression_data(20)
    net.update(x, y, 0.1)
    same.update(x, y, 0.1)
    assert net(x).mean.tobytes() == same(x).mean.tobytes()
    # The inner container has parameters of its own, which the outer's training leaves alone.
    before = inner.state_dict()
    net.update(x, y, 0.1)
    assert same_bits(inner.state_dict(), before)


def test_container_protocol() -> None:
    layers = [nn.Linear(3, 2), nn.ReLU()]
    net = nn.Sequential(*layers, seed=0)
    assert len(net) == 2 and net[0] is layers[0] and list(net) == layers
    assert net.layers == tuple(layers)


def test_one_layer_twice_has_two_sets_of_parameters() -> None:
    layer = nn.Linear(4, 4)
    net = nn.Sequential(layer, nn.ReLU(), layer, seed=0)
    state = net.state_dict()
    assert not np.array_equal(state["0.weight.mean"], state["2.weight.mean"])


def test_repr_builds_the_network_again() -> None:
    net = nn.Sequential(
        nn.Linear(3, 4, bias=False, init="xavier", gain_weight=0.5, gain_bias=2.0),
        nn.LeakyReLU(0.1),
        nn.Sequential(nn.ReLU("first_order"), nn.Identity()),
    )
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Linear(in_features=3, out_features=4, bias=False, init='xavier', "
        "gain_weight=0.5, gain_bias=2.0)\n"
        "  (1): LeakyReLU(negative_slope=0.1, moments='exact')\n"
        "  (2): Sequential(\n"
        "    (0): ReLU(moments='first_order')\n"
        "    (1): Identity()\n"
        "  )\n"
        ")"
    )
    for layer in (net[0], net[1], nn.GELU("first_order"), nn.Exp()):
        assert repr(eval(repr(layer), vars(nn))) == repr(layer)


@pytest.mark.parametrize(
    "value",
    [
        tx.Information(),
        tx.Information(share=0.25, clip=0.5),
        tx.Information(share=1e-7, clip=float(np.nextafter(0.5, 1))),
        tx.Capped(),
        tx.Capped(cap=3),
        tx.Homoscedastic(std=0.1, min_std=1e-3, decay=0.99),
        tx.Homoscedastic(std=[0.5, 2]),
    ],
    ids=repr,
)
def test_repr_of_rules_and_noise_builds_them_again(value: Any) -> None:
    again = eval(repr(value), vars(tx))
    assert again == value and repr(again) == repr(value)
    for make in COPIES.values():
        assert make(value) == value


def test_rules_compare_by_value() -> None:
    assert tx.Information() == tx.Information(share=0.01, clip=1 / 3)
    assert tx.Information() != tx.Information(share=0.02)
    assert tx.Information(share=0.01000001) != tx.Information(share=0.01)
    assert tx.Capped(3) == tx.Capped(cap=3.0) != tx.Capped()
    assert tx.Capped() != tx.Information() and tx.Capped() != "Capped(cap=None)"


def test_train_and_eval_set_a_flag() -> None:
    net = small()
    assert net.training
    assert net.eval() is net and not net.training
    assert net.train() is net and net.training
    assert not net.train(False).training


def test_gaussian_unpacks() -> None:
    prediction = small()(np.ones((4, 3)))
    mean, var = prediction
    assert mean is prediction.mean and var is prediction.var
    np.testing.assert_allclose(prediction.std**2, var, rtol=1e-6)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [7, 256, 1000])
def test_same_bits_at_any_number_of_threads(n_threads: int, batch_size: int) -> None:
    """Two runs of one program are equal bit by bit, and the threads change nothing either."""

    def run(threads: int) -> tuple[dict[str, Array], Array]:
        tx.set_num_threads(threads)
        assert tx.get_num_threads() == threads
        net = wide()
        x, y = regression_data(1000)
        net.fit(x, y, noise=0.25, n_epochs=2, batch_size=batch_size, progress=False)
        net.update(x, y, 0.25)
        return net.state_dict(), net(x).var

    state, var = run(n_threads)
    again, var_again = run(1)
    assert same_bits(state, again)
    assert var.tobytes() == var_again.tobytes()


def test_state_dict_round_trip() -> None:
    net, other = small(0), small(1)
    net.update(*regression_data(10), 0.1)
    state = net.state_dict()
    other.load_state_dict(state)
    assert same_bits(other.state_dict(), state)
    x, y = regression_data(10, seed=1)
    assert net(x).mean.tobytes() == other(x).mean.tobytes()
    net.update(x, y, 0.1)
    other.update(x, y, 0.1)
    assert same_bits(other.state_dict(), net.state_dict())


def test_state_dict_holds_copies() -> None:
    net = small()
    state = net.state_dict()
    with unchanged(net):
        for array in state.values():
            array += 1
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in state.values())


Damage = Callable[[dict[str, Array]], object]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: state.pop("2.bias.var"), r"missing \['2\.bias\.var'\]"),
        (lambda state: state.update(extra=np.zeros(1)), r"unknown \['extra'\]"),
        (
            lambda state: state.update({"2.bias.mean": np.zeros(3)}),
            r"2\.bias\.mean: got .*\(3,\), needed \(2,\)",
        ),
        (
            lambda state: state.update({"2.weight.var": np.ones((16, 2))}),
            r"2\.weight\.var: got .*\(16, 2\), needed \(2, 16\)",
        ),
        (lambda state: state.update({"2.bias.var": np.array([1, -1e-9])}), r"2\.bias\.var: .*neg"),
        (lambda state: state.update({"2.bias.var": np.array([1, np.inf])}), r"2\.bias\.var: .*inf"),
        (
            lambda state: state.update({"2.bias.mean": np.array([1, np.nan])}),
            r"2\.bias\.mean: .*NaN",
        ),
        (lambda state: state.update({"2.bias.mean": np.array([1, 1e39])}), r"2\.bias\.mean: .*inf"),
    ],
)
def test_load_state_dict_is_all_or_nothing(damage: Damage, message: str) -> None:
    """The damage is in the last layer, so that all before it would have been taken over."""
    net, state = small(0), small(1).state_dict()
    damage(state)
    with unchanged(net), pytest.raises(ValueError, match=message):
        net.load_state_dict(state)


def test_load_state_dict_type_error_names_the_array() -> None:
    net, state = small(0), dict(small(1).state_dict())
    state["2.bias.var"] = "much"  # type: ignore[assignment]
    with unchanged(net), pytest.raises(TypeError, match=r"2\.bias\.var: got a str"):
        net.load_state_dict(state)


def test_named_parameters_are_views() -> None:
    net = small()
    parameters = dict(net.named_parameters())
    assert list(parameters) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    weight = parameters["0.weight"]
    weight.mean[:] = 0
    parameters["0.bias"].mean[:] = 0
    weight.var[3, 1] = 17.0
    assert (net.state_dict()["0.weight.mean"] == 0).all()
    assert net.state_dict()["0.weight.var"][3, 1] == 17.0
    x, y = regression_data(5)
    bias = parameters["2.bias"].mean.copy()
    net.update(x, y, 1.0)
    assert (parameters["2.bias"].mean != bias).all()  # the view shows the update
    np.testing.assert_array_equal(parameters["2.bias"].mean, net.state_dict()["2.bias.mean"])


def test_views_outlive_the_network() -> None:
    net = small()
    weight = dict(net.named_parameters())["0.weight"].mean
    expected = weight.copy()
    del net
    others = [wide(seed) for seed in range(20)]  # would use the memory if it were free
    assert len(others) == 20
    np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("rule", [tx.Information(0.25, 0.5), tx.Capped(2.5), tx.Capped()], ids=str)
def test_copies_go_on_with_the_same_bits(
    make: Callable[[nn.Sequential], nn.Sequential], rule: tx.UpdateRule
) -> None:
    layers = [
        nn.Linear(3, 8, init="xavier", gain_weight=0.7),
        nn.Sequential(nn.LeakyReLU(0.3), nn.Linear(8, 8, bias=False)),
        nn.Activation(np.sin, np.cos),
        nn.Linear(8, 2),
    ]
    net = nn.Sequential(*layers, seed=4, rule=rule).eval()
    x, y = regression_data(50)
    noise = tx.Homoscedastic(std=1, decay=0.5)
    net.fit(x, y, noise=noise, n_epochs=2, batch_size=20, progress=False)
    other = make(net)
    assert (other.rule, other.seed, other.training) == (rule, 4, False)
    assert (other.epochs_trained, repr(other)) == (2, repr(net))
    assert same_bits(other.state_dict(), net.state_dict())
    with unchanged(net):  # a copy shares nothing
        other.fit(x, y, noise=noise, n_epochs=1, batch_size=20, progress=False)
    net.fit(x, y, noise=noise, n_epochs=1, batch_size=20, progress=False)
    assert same_bits(other.state_dict(), net.state_dict())


def test_copy_of_an_unused_network() -> None:
    net = small(9)
    assert same_bits(copy.deepcopy(net).state_dict(), net.state_dict())


def test_linear_layer_moments_are_those_of_sampled_weights() -> None:
    """E and Var of W x + b with Gaussian W, b and x, all independent: Monte Carlo in numpy."""
    net = nn.Sequential(nn.Linear(4, 3), seed=2)
    x = np.float32([[1.0, -2.0, 0.5, 0.0]])
    x_var = np.float32([[0.5, 0.1, 2.0, 1.0]])
    state = {key: value.astype(np.float64) for key, value in net.state_dict().items()}
    generator, n = np.random.default_rng(0), 400_000

    def draw(mean: Array, var: Array) -> Array:
        return mean + np.sqrt(var) * generator.standard_normal((n, *mean.shape))

    weight = draw(state["0.weight.mean"], state["0.weight.var"])
    bias = draw(state["0.bias.mean"], state["0.bias.var"])
    z = np.einsum("noi,ni->no", weight, draw(x[0], x_var[0])) + bias
    mean, var = net(x, x_var)
    std = z.std(axis=0)
    assert (np.abs(mean[0] - z.mean(axis=0)) < 5 * std / math.sqrt(n)).all()
    kurtosis = ((z - z.mean(axis=0)) ** 4).mean(axis=0) / std**4
    assert (np.abs(var[0] / std**2 - 1) < 5 * np.sqrt((kurtosis - 1) / n)).all()


def test_one_hidden_layer_moments_are_those_of_sampled_weights() -> None:
    """Exact but for the approximation of TAGI: hidden units count as independent Gaussians.

    With inputs known exactly the units of the first hidden layer are independent Gaussians given
    the weights' prior, and the exact-moment ReLU makes mean and variance of the output exact.
    """
    net = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 1), seed=2)
    x = np.float32([[1.0, -0.5, 0.25]])
    state = {key: value.astype(np.float64) for key, value in net.state_dict().items()}
    generator, n = np.random.default_rng(0), 400_000

    def draw(name: str) -> Array:
        mean, var = state[f"{name}.mean"], state[f"{name}.var"]
        return mean + np.sqrt(var) * generator.standard_normal((n, *mean.shape))

    hidden = np.maximum(draw("0.weight") @ x[0] + draw("0.bias"), 0)
    z = (draw("2.weight")[:, 0] * hidden).sum(axis=1) + draw("2.bias")[:, 0]
    mean, var = net(x)
    kurtosis = ((z - z.mean()) ** 4).mean() / z.var() ** 2
    assert abs(mean[0, 0] - z.mean()) < 5 * z.std() / math.sqrt(n)
    assert abs(var[0, 0] / z.var() - 1) < 5 * math.sqrt((kurtosis - 1) / n)


def test_x_var_of_zero_is_no_x_var() -> None:
    net, (x, y) = wide(), regression_data(30)
    assert relative_error(net(x, np.zeros_like(x)).var, net(x).var) < 1e-6
    other = copy.deepcopy(net)
    net.update(x, y, 0.1)
    other.update(x, y, 0.1, x_var=np.zeros_like(x))
    for key, value in net.state_dict().items():
        assert relative_error(other.state_dict()[key], value) < 1e-5


def test_update_returns_the_prediction_before() -> None:
    net, (x, y) = wide(), regression_data(30)
    expected = net(x)
    prediction = net.update(x, y, 0.1)
    assert prediction.mean.tobytes() == expected.mean.tobytes()
    assert prediction.var.tobytes() == expected.var.tobytes()
    assert (net(x).var < expected.var).all()


def test_batch_sizes_may_come_in_any_order() -> None:
    """Buffers are reused from call to call: a larger or smaller batch must leave no trace."""
    net, (x, _) = wide(), regression_data(700)
    expected = net(x)
    for size in (1, 700, 3, 64, 699, 2):
        prediction = net(x[:size])
        np.testing.assert_allclose(prediction.mean, expected.mean[:size], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(prediction.var, expected.var[:size], rtol=1e-5)


def test_all_targets_missing_changes_nothing() -> None:
    for rule in (tx.Information(), tx.Capped()):
        net, (x, y) = small(rule=rule), regression_data(10)
        with unchanged(net):
            net.update(x, np.full_like(y, np.nan), 0.1)


def test_missing_output_leaves_its_weights() -> None:
    net, (x, y) = small(), regression_data(10)
    y[:, 1] = np.nan
    before = net.state_dict()
    net.update(x, y, 0.1)
    after = net.state_dict()
    for key in ("2.weight.mean", "2.weight.var", "2.bias.mean", "2.bias.var"):
        np.testing.assert_array_equal(after[key][1], before[key][1])
        assert (after[key][0] != before[key][0]).any()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_concurrent_predictions_equal_serial_ones(n_threads: int) -> None:
    """Three threads predict with one network while a fourth updates another."""
    tx.set_num_threads(n_threads)
    net, other = wide(0), wide(1)
    batches = [regression_data(size, seed=size)[0] for size in (1, 50, 400)]
    expected = [net(x) for x in batches]
    training = regression_data(200)

    def predict(index: int) -> None:
        for _ in range(30):
            prediction = net(batches[index])
            assert prediction.mean.tobytes() == expected[index].mean.tobytes()
            assert prediction.var.tobytes() == expected[index].var.tobytes()

    def update() -> None:
        for _ in range(30):
            other.update(*training, 0.1)

    with unchanged(net):
        in_threads([lambda i=i: predict(i) for i in range(3)] + [update])
    serial = wide(1)
    for _ in range(30):
        serial.update(*training, 0.1)
    assert same_bits(other.state_dict(), serial.state_dict())


def test_predictions_during_updates_of_one_network_are_whole() -> None:
    """Each prediction must be one that the network gave between two updates, never a mixture."""
    net, serial = wide(0), wide(0)
    x, y = regression_data(64)
    possible = {serial(x).mean.tobytes()}
    for _ in range(25):
        serial.update(x, y, 0.1)
        possible.add(serial(x).mean.tobytes())
    seen: list[bytes] = []

    def update() -> None:
        for _ in range(25):
            net.update(x, y, 0.1)

    def predict() -> None:
        for _ in range(60):
            seen.append(net(x).mean.tobytes())

    in_threads([update, predict, predict])
    assert set(seen) <= possible
    assert same_bits(net.state_dict(), serial.state_dict())


def test_custom_activations_in_threads() -> None:
    """Their functions need the GIL, which updates give up: none may wait for another forever."""
    net = nn.Sequential(nn.Linear(3, 8), nn.Activation(np.sin, np.cos), nn.Linear(8, 2), seed=0)
    x, y = regression_data(100)

    def work() -> None:
        for _ in range(20):
            net.update(x, y, 0.1)
            net(x)
            net.state_dict()

    in_threads([work, work, work])


def test_fit_leaves_the_gil_to_others() -> None:
    """While one thread fits, this one can run Python."""
    net = wide()
    x, y = regression_data(20_000)
    done = threading.Event()

    def is_long_enough(record: tx.EpochRecord) -> bool:
        return time.perf_counter() - start > 0.3

    def fit() -> None:
        net.fit(
            x,
            y,
            noise=0.1,
            n_epochs=1000,
            batch_size=500,
            progress=False,
            callback=is_long_enough,
        )
        done.set()

    thread = threading.Thread(target=fit)
    start, ticks = time.perf_counter(), 0
    thread.start()
    while not done.is_set():
        time.sleep(0.001)
        ticks += 1
    seconds = time.perf_counter() - start
    thread.join(timeout=60)
    # With the GIL held there were some 20 ticks a second: an epoch looks for signals that often.
    assert ticks > 60 * seconds


def test_first_use_in_two_threads_makes_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the update of one thread would go to a network that is then thrown away."""
    make, made = _core.Model, []

    def slow(*arguments: Any) -> _core.Model:
        time.sleep(0.05)  # gives the GIL to the other thread
        made.append(make(*arguments))
        return made[-1]

    monkeypatch.setattr(_core, "Model", slow)
    net, (x, y) = small(), regression_data(10)
    in_threads([lambda: net.update(x, y, 0.1)] * 2)
    assert len(made) == 1
    monkeypatch.undo()
    serial = small()
    for _ in range(2):
        serial.update(x, y, 0.1)
    assert same_bits(net.state_dict(), serial.state_dict())


def test_state_during_updates_is_whole() -> None:
    """Each state_dict must be one that the network had between two updates, never a mixture."""

    def large() -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(3, 400), nn.ReLU(), nn.Linear(400, 400), nn.Linear(400, 2), seed=0
        )

    def fingerprint(net: nn.Sequential) -> int:
        return hash(b"".join(value.tobytes() for value in net.state_dict().values()))

    net, serial = large(), large()
    x, y = regression_data(4)
    possible = {fingerprint(serial)}
    for _ in range(60):
        serial.update(x, y, 0.1)
        possible.add(fingerprint(serial))
    seen: list[int] = []
    done = threading.Event()

    def update() -> None:
        for _ in range(60):
            net.update(x, y, 0.1)
        done.set()

    def read() -> None:
        while not done.is_set():
            seen.append(fingerprint(net))

    in_threads([update, read])
    assert set(seen) <= possible
    assert same_bits(net.state_dict(), serial.state_dict())
