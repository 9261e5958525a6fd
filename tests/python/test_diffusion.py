"""DiffusionModel: shapes, units, seeds, and samples against the distribution of the data."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
from helpers import Array, in_threads, same_bits, unchanged, with_given_parameters

import tagix as tx
from tagix import metrics, nn


def mixture(n_rows: int, seed: int = 0) -> Array:
    """Two Gaussian clusters in the plane, (n_rows, 2) float32."""
    generator = np.random.default_rng(seed)
    centre = np.array([[-2.0, 0.0], [2.0, 1.0]])[generator.integers(0, 2, n_rows)]
    return (centre + [0.5, 0.3] * generator.standard_normal((n_rows, 2))).astype(np.float32)


def small(seed: int | None = 0, **options: Any) -> tx.DiffusionModel:
    settings = {"hidden": (16, 16), "n_steps": 10, "prediction_type": "epsilon"} | options
    return tx.DiffusionModel(2, **settings, seed=seed)


def test_shapes_and_dtypes() -> None:
    model = small()
    history = model.fit(mixture(300), n_epochs=2, batch_size=64, progress=False)
    assert len(history.train_mse) == len(history.seconds) == 2
    assert history.noise_var == [1.0, 1.0]
    assert history.validation_mse == []
    prediction = model.predict(mixture(7), np.arange(7))
    assert isinstance(prediction, tx.Gaussian)
    samples = model.sample(5)
    assert samples.trajectory is None
    for array, shape in (
        (prediction.mean, (7, 2)),
        (prediction.var, (7, 2)),
        (samples.x, (5, 2)),
        (samples.var, (5, 2)),
        (model.sample(5, trajectory=True).trajectory, (10, 5, 2)),
    ):
        assert array is not None and array.shape == shape
        assert array.dtype == np.float32 and array.flags.c_contiguous
        assert np.isfinite(array).all()
    assert (samples.var > 0).all()
    assert (model.n_features, model.n_steps) == (2, 10)


def test_no_rows() -> None:
    model = with_given_parameters(small())
    samples = model.sample(0, trajectory=True)
    assert samples.x.shape == samples.var.shape == (0, 2)
    assert samples.trajectory is not None and samples.trajectory.shape == (10, 0, 2)
    assert model.predict(np.zeros((0, 2)), np.zeros(0, np.int64)).mean.shape == (0, 2)


@pytest.mark.parametrize("activation", [None, nn.ReLU("first_order"), nn.Tanh()])
def test_network_is_as_described(activation: nn.Layer | None) -> None:
    model = tx.DiffusionModel(3, hidden=(8, 16), time_features="scalar", activation=activation)
    layers = [repr(layer).split("(")[0] for layer in model.net.layers]
    name = "ReLU" if activation is None else type(activation).__name__
    assert layers == ["Linear", name, "Linear", name, "Linear"]
    assert "in_features=4, out_features=8" in repr(model.net[0])
    assert "in_features=16, out_features=3" in repr(model.net[4])
    if activation is None:
        assert repr(model.net[1]) == "ReLU(moments='exact')"


def test_no_hidden_layers_is_a_linear_model() -> None:
    model = tx.DiffusionModel(2, hidden=(), n_steps=10, seed=0)
    assert len(model.net) == 1
    model.fit(mixture(100), n_epochs=1, progress=False)
    assert np.isfinite(model.sample(10).x).all()


def test_alpha_bar_falls_from_one() -> None:
    for schedule in ("cosine", "linear"):
        for n_steps in (2, 10, 1000):
            alpha_bar = tx.DiffusionModel(1, (4,), n_steps, schedule).alpha_bar
            assert alpha_bar.shape == (n_steps,) and alpha_bar.dtype == np.float64
            assert alpha_bar[0] == 1 and (np.diff(alpha_bar) < 0).all() and alpha_bar[-1] > 0


@pytest.mark.parametrize("seed", [0, 3])
def test_equal_seeds_equal_bits(seed: int) -> None:
    def run(seed: int) -> tuple[dict[str, Array], Array, Array]:
        model = small(seed)
        model.fit(mixture(200), n_epochs=2, progress=False)
        return model.net.state_dict(), model.sample(20).x, model.sample(20).x

    state, first, second = run(seed)
    again = run(seed)
    other = run(seed + 1)
    assert same_bits(state, again[0]) and not same_bits(state, other[0])
    assert first.tobytes() == again[1].tobytes() and second.tobytes() == again[2].tobytes()
    assert not np.array_equal(first, second) and not np.array_equal(first, other[1])


def test_sample_seed() -> None:
    model = small()
    model.fit(mixture(200), n_epochs=1, progress=False)
    fixed = model.sample(20, seed=5)
    assert fixed.x.tobytes() == model.sample(20, seed=5).x.tobytes()
    assert not np.array_equal(fixed.x, model.sample(20, seed=6).x)
    # A call with a seed of its own does not count.
    one, other = with_given_parameters(small()), with_given_parameters(small())
    one.sample(3, seed=1)
    assert one.sample(3).x.tobytes() == other.sample(3).x.tobytes()


def test_rows_do_not_depend_on_how_many() -> None:
    """Row i has noise of its own, also beyond the 8192 rows that are worked on at a time."""
    model = with_given_parameters(small(n_steps=4))
    many = model.sample(8200, seed=2, trajectory=True)
    few = model.sample(3, seed=2, trajectory=True)
    np.testing.assert_allclose(few.x, many.x[:3], rtol=1e-5, atol=1e-6)
    assert many.trajectory is not None and few.trajectory is not None
    np.testing.assert_array_equal(few.trajectory[0], many.trajectory[0, :3])
    start = many.trajectory[0]
    assert np.unique(start).size > 0.99 * start.size
    np.testing.assert_array_equal(many.trajectory[-1], many.x)


def test_starting_noise_is_standard_normal() -> None:
    model = with_given_parameters(small(n_steps=2))
    trajectory = model.sample(20_000, trajectory=True).trajectory
    assert trajectory is not None
    z = trajectory[0].astype(np.float64).ravel()
    for power, expected, var in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - expected) < 5 * math.sqrt(var / z.size)
    a, b = trajectory[0].T
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(a.size)
    assert abs(np.corrcoef(a[:-1], a[1:])[0, 1]) < 5 / math.sqrt(a.size)


def test_each_step_follows_the_sampler() -> None:
    """x' = (x - c eps) / sqrt(alpha) + sigma n: the noise that is left over must be N(0, 1)."""
    model = small(standardize=False)
    model.fit(mixture(500), n_epochs=2, progress=False)
    samples = model.sample(2000, trajectory=True)
    chain, alpha_bar = samples.trajectory, model.alpha_bar
    assert chain is not None
    np.testing.assert_array_equal(chain[-1], samples.x)
    for position, t in enumerate(range(9, 0, -1)):
        x, after = chain[position].astype(np.float64), chain[position + 1].astype(np.float64)
        eps = model.predict(x, np.full(2000, t))
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        c = (1 - alpha) / math.sqrt(1 - alpha_bar[t])
        rest = after - (x - c * eps.mean) / math.sqrt(alpha)
        if t > 1:
            noise = rest / math.sqrt(1 - alpha)
            assert abs(noise.mean()) < 5 / math.sqrt(noise.size)
            assert abs(noise.var() - 1) < 5 * math.sqrt(2 / noise.size)
        else:
            np.testing.assert_allclose(rest, 0, atol=1e-5)
            np.testing.assert_allclose(samples.var, c**2 / alpha * eps.var, rtol=1e-4)


def test_units_of_standardised_data() -> None:
    """Data times 100 plus a shift: the same model inside, samples in the new units."""
    scale, shift = np.float32([128, 2]), np.float32([4096, -64])
    plain, scaled = small(), small()
    data = mixture(1024)
    plain.fit(data, n_epochs=1, progress=False)
    scaled.fit(data * scale + shift, n_epochs=1, progress=False)
    a, b = plain.sample(50, trajectory=True), scaled.sample(50, trajectory=True)
    assert a.trajectory is not None and b.trajectory is not None
    spread = data.std(axis=0) * scale
    assert (np.abs(b.x - (a.x * scale + shift)) < 2e-2 * spread).all()
    assert (np.abs(b.trajectory - (a.trajectory * scale + shift)) < 2e-2 * spread).all()
    np.testing.assert_allclose(b.var, a.var * scale**2, rtol=2e-2)
    # The chain starts from noise with the mean and the spread of the data.
    start = scaled.sample(20_000, trajectory=True).trajectory
    assert start is not None
    np.testing.assert_allclose(start[0].std(axis=0), spread, rtol=0.03)
    assert (
        np.abs(start[0].mean(axis=0) - (data * scale + shift).mean(axis=0)) < 0.05 * spread
    ).all()


def test_units_are_those_of_the_first_fit() -> None:
    model = small()
    data = mixture(300)
    model.fit(10 * data, n_epochs=1, progress=False)
    shift, scale = model.shift, model.scale
    np.testing.assert_allclose(shift, (10 * data).mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(scale, (10 * data).std(axis=0), rtol=1e-4)
    model.fit(data, n_epochs=1, progress=False)
    np.testing.assert_array_equal([model.shift, model.scale], [shift, scale])
    model.shift[:] = 7  # a copy
    np.testing.assert_array_equal(model.shift, shift)
    with pytest.raises(AttributeError):
        model.scale = scale  # type: ignore[misc]


def test_without_standardising_units_are_those_of_the_data() -> None:
    model = small(standardize=False)
    model.fit(10 * mixture(300), n_epochs=1, progress=False)
    np.testing.assert_array_equal([model.shift, model.scale], [[0, 0], [1, 1]])


def test_constant_column() -> None:
    data = mixture(300)
    data[:, 1] = 3.0
    model = small()
    model.fit(data, n_epochs=1, progress=False)
    assert model.scale[1] == 1
    assert np.isfinite(model.sample(10).x).all()


def test_predict_takes_standardised_rows_at_their_own_timesteps() -> None:
    model = small()
    x_t = mixture(30)
    t = np.arange(30) % 10
    together = model.predict(x_t, t)
    for row in range(30):
        alone = model.predict(x_t[row : row + 1], t[row : row + 1])
        np.testing.assert_allclose(together.mean[row], alone.mean[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(together.var[row], alone.var[0], rtol=1e-4)
    for integer in (np.int32, np.uint8, np.int16):
        assert model.predict(x_t, t.astype(integer)).mean.tobytes() == together.mean.tobytes()
    assert model.predict(x_t, t.tolist()).mean.tobytes() == together.mean.tobytes()


def test_training_error_starts_at_that_of_no_prediction_and_falls() -> None:
    model = small(hidden=(64, 64))
    history = model.fit(mixture(4000), n_epochs=8, batch_size=128, progress=False)
    assert history.train_mse[-1] < 0.75 * history.train_mse[0]
    assert history.train_mse[-1] < 0.6  # predicting 0 gives 1
    # History is about predictions before each update: a fresh test must agree.
    data, generator = mixture(4000, seed=1), np.random.default_rng(0)
    shift, scale = model.shift, model.scale
    t = generator.integers(1, 10, 4000)
    eps = generator.standard_normal(data.shape)
    alpha_bar = model.alpha_bar[t][:, None]
    x_t = np.sqrt(alpha_bar) * (data - shift) / scale + np.sqrt(1 - alpha_bar) * eps
    mse = np.mean((model.predict(x_t, t).mean - eps) ** 2)
    assert mse == pytest.approx(history.train_mse[-1], rel=0.1)


def test_samples_have_the_moments_and_the_clusters_of_the_data() -> None:
    data = mixture(20_000)
    model = tx.DiffusionModel(2, hidden=(64, 64, 64), n_steps=40, seed=0)
    model.fit(data, n_epochs=12, batch_size=256, progress=False)
    x = model.sample(4000).x.astype(np.float64)
    # Mean 0, 0.5 and covariance [[4.25, 1], [1, .34]], up to training and Monte Carlo error.
    np.testing.assert_allclose(x.mean(axis=0), [0, 0.5], atol=0.2)
    np.testing.assert_allclose(np.cov(x.T), [[4.25, 1], [1, 0.34]], rtol=0.15)
    right = x[:, 0] > 0
    assert abs(right.mean() - 0.5) < 0.08
    for centre, cluster in (([-2, 0], x[~right]), ([2, 1], x[right])):
        np.testing.assert_allclose(np.median(cluster, axis=0), centre, atol=0.2)
        spread = np.quantile(cluster, 0.84, axis=0) - np.quantile(cluster, 0.16, axis=0)
        np.testing.assert_allclose(spread / 2, [0.5, 0.3], rtol=0.25)


def test_fit_goes_on_from_where_it_ended() -> None:
    """Two fits of one epoch are one fit of two: noise, order and schedule go by the model."""
    noise = tx.Homoscedastic(std=2, min_std=0.1, decay=0.5)
    data = mixture(200)
    once, twice = small(noise=noise), small(noise=noise)
    history = once.fit(data, n_epochs=2, progress=False)
    first = twice.fit(data, n_epochs=1, progress=False)
    second = twice.fit(data, n_epochs=1, progress=False)
    assert same_bits(once.net.state_dict(), twice.net.state_dict())
    assert history.noise_var == first.noise_var + second.noise_var == [4.0, 1.0]
    assert history.train_mse == first.train_mse + second.train_mse


def test_epochs_have_noise_of_their_own() -> None:
    """With parameters that are certain nothing is learned, and only the draws differ."""
    model = small()
    state = model.net.state_dict()
    model.net.load_state_dict({k: 0 * v if k.endswith("var") else v for k, v in state.items()})
    mse = model.fit(mixture(500), n_epochs=3, progress=False).train_mse
    assert len(set(mse)) == 3
    assert np.ptp(mse) < 0.5 * np.mean(mse)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_any_batch_size(batch_size: int) -> None:
    model = small()
    history = model.fit(mixture(100), n_epochs=1, batch_size=batch_size, progress=False)
    assert math.isfinite(history.train_mse[0]) and np.isfinite(model.sample(10).x).all()


def test_callback_ends_training() -> None:
    model = small()
    records: list[tx.EpochRecord] = []

    def stop(record: tx.EpochRecord) -> bool:
        records.append(record)
        return len(records) == 2

    history = model.fit(mixture(100), n_epochs=9, progress=False, callback=stop)
    assert len(history.train_mse) == model.net.epochs_trained == len(records) == 2
    assert [record.n_rows for record in records] == [100, 100]


def test_threads_change_nothing() -> None:
    def run(n_threads: int) -> tuple[dict[str, Array], Array]:
        tx.set_num_threads(n_threads)
        model = small()
        model.fit(mixture(2000), n_epochs=1, batch_size=500, progress=False)
        return model.net.state_dict(), model.sample(1000).x

    (state, x), (state_2, x_2) = run(1), run(2)
    assert same_bits(state, state_2) and x.tobytes() == x_2.tobytes()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (np.zeros((10, 3)), ValueError),
        (np.zeros(10), ValueError),
        (np.zeros((0, 2)), ValueError),
        (np.full((10, 2), np.nan), ValueError),
        (np.full((10, 2), np.inf), ValueError),
        ("rows", TypeError),
    ],
)
def test_failed_fit_leaves_the_model(data: Any, error: type[Exception]) -> None:
    """Also its units: the next fit is the first."""
    model, expected = small(), small()
    with unchanged(model.net), pytest.raises(error, match=r"^X: "):
        model.fit(data, progress=False)
    good = 10 * mixture(100)
    model.fit(good, n_epochs=1, progress=False)
    expected.fit(good, n_epochs=1, progress=False)
    np.testing.assert_array_equal(model.scale, expected.scale)
    assert model.sample(5).x.tobytes() == expected.sample(5).x.tobytes()


def test_noise_for_each_column() -> None:
    model = small(noise=tx.Homoscedastic(std=[1.0, 2.0]))
    assert model.fit(mixture(50), n_epochs=1, progress=False).noise_var == [2.5]
    with pytest.raises(ValueError, match=r"noise: .*3.*2"):
        small(noise=tx.Homoscedastic(std=[1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("t", "error", "message"),
    [
        ([0, 10], ValueError, r"t: got 10 at position 1, needed .*\[1, 9\], or 0"),
        ([-1, 0], ValueError, r"t: got -1 at position 0"),
        ([9.5, 1.0], ValueError, r"t: got 9.5 at position 0"),
        ([1.0, 0.5], ValueError, r"t: got 0.5 at position 1"),
        ([1.0, float("nan")], ValueError, r"t: got nan at position 1"),
        ([True, False], TypeError, r"t: got .*bool"),
        ([0], ValueError, r"t: got shape \(1,\), needed \(2,\)"),
        ([[0], [1]], ValueError, r"t: got shape \(2, 1\)"),
        (0, ValueError, r"t: got shape \(\)"),
        (None, TypeError, r"t: got a NoneType"),
        (np.array([0, 2**63], np.uint64), ValueError, r"t: got "),
    ],
)
def test_timesteps_are_checked(t: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small().predict(np.zeros((2, 2)), t)


def test_repr_shows_the_settings() -> None:
    text = repr(small(noise=tx.Homoscedastic(std=2), rule=tx.Capped(cap=3)))
    for part in (
        "n_features=2",
        "hidden=[16, 16]",
        "n_steps=10",
        "schedule=Cosine(s=0.008)",
        "prediction_type='epsilon'",
        "Homoscedastic(std=2.0",
        "Capped(cap=3.0)",
    ):
        assert part in text


def test_samples_drawn_at_a_time_differ() -> None:
    """Calls in several threads get what as many calls in a row get, in some order."""
    model, serial = with_given_parameters(small()), with_given_parameters(small())
    expected = {serial.sample(3000).x.tobytes() for _ in range(4)}
    drawn: list[bytes] = []
    start = threading.Barrier(4)

    def sample() -> None:
        start.wait()
        drawn.append(model.sample(3000).x.tobytes())

    in_threads([sample] * 4)
    assert len(expected) == 4 and set(drawn) == expected
    assert model.sample(5).x.tobytes() == serial.sample(5).x.tobytes()


class FailsLater:
    """An activation's function that works for some calls."""

    def __init__(self, n_calls: int) -> None:
        self.left = n_calls

    def __call__(self, z: Array) -> Array:
        self.left -= 1
        if self.left == 0:
            raise LookupError("from the user's function")
        return z


def test_fit_that_fails_midway_leaves_the_model() -> None:
    """Parameters, epochs and units: the next fit is the first."""
    function = FailsLater(8)
    model = small(activation=nn.Activation(function, np.ones_like, "first_order"))
    with unchanged(model.net), pytest.raises(LookupError, match="user's function"):
        model.fit(1000 + mixture(100), n_epochs=3, batch_size=50, progress=False)
    assert function.left == 0
    np.testing.assert_array_equal([model.shift, model.scale], [[0, 0], [1, 1]])
    data = 10 * mixture(100)
    model.fit(data, n_epochs=1, progress=False)
    np.testing.assert_allclose(model.scale, data.std(axis=0), rtol=1e-4)
    with unchanged(model.net), pytest.raises(LookupError, match="from the callback"):
        model.fit(data, n_epochs=2, progress=False, callback=FailingCallback())
    np.testing.assert_allclose(model.scale, data.std(axis=0), rtol=1e-4)


class FailingCallback(tx.Callback):
    def __call__(self, record: tx.EpochRecord) -> None:
        raise LookupError("from the callback")


def test_interrupted_fit_keeps_its_units() -> None:
    def interrupt(record: tx.EpochRecord) -> None:
        raise KeyboardInterrupt

    model, data = small(), 10 * mixture(100)
    with pytest.raises(KeyboardInterrupt):
        model.fit(data, n_epochs=3, progress=False, callback=interrupt)
    assert model.net.epochs_trained == 1
    np.testing.assert_allclose(model.scale, data.std(axis=0), rtol=1e-4)


@pytest.mark.parametrize("standardize", [False, True])
def test_denoising_mse_takes_data_in_their_own_units(standardize: bool) -> None:
    """As the error of a model without units on data that are standardised by hand."""

    class Plain:
        n_steps, alpha_bar, predict = 10, small().alpha_bar, None

    data = mixture(3000) * (np.float32([300, 0.2]) if standardize else 1) + 5 * standardize
    model = small(standardize=standardize, hidden=(32, 32))
    history = model.fit(data, n_epochs=5, batch_size=64, progress=False)
    plain = Plain()
    plain.predict = model.predict  # type: ignore[assignment]
    by_hand = (data.astype(np.float64) - model.shift) / model.scale
    error = metrics.denoising_mse(model, data)
    assert error == metrics.denoising_mse(plain, by_hand)  # type: ignore[arg-type]
    assert error == pytest.approx(history.train_mse[-1], rel=0.1)
