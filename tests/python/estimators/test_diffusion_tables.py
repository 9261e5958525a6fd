"""Diffusion models on tables of usual size and on odd columns: samples against the data."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import with_given_parameters

import tagix as tx
from tagix import metrics

datasets = pytest.importorskip("sklearn.datasets", reason="needs the sklearn extra")

from tagix.diffusion import default_batch_size, default_epochs, default_hidden  # noqa: E402
from tagix.sklearn import TagiDiffusion  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """What batches of 64 are quickest with where others use the processors, too."""
    n_threads = tx.get_num_threads()
    tx.set_num_threads(1)
    yield
    tx.set_num_threads(n_threads)


def ratios(samples: Any, data: Any) -> Any:
    """Standard deviations of samples over those of the data, by column."""
    return np.asarray(samples, np.float64).std(axis=0) / data.std(axis=0)


def correlation_error(samples: Any, data: Any) -> float:
    return float(np.abs(np.corrcoef(np.asarray(samples).T) - np.corrcoef(data.T)).max())


def rows_of(n_rows: int, seed: int = 0) -> Any:
    """Two columns that go together, in usual units."""
    z = np.random.default_rng(seed).standard_normal((n_rows, 2))
    return z @ np.array([[1.0, 0.6], [0.0, 0.8]])


def test_iris_by_default() -> None:
    data = datasets.load_iris().data
    model = tx.DiffusionModel(n_features=4, seed=0)
    model.fit(data, progress=False)
    samples = model.sample(2000).x
    assert samples.dtype == np.float32
    assert (np.abs(ratios(samples, data) - 1) < 0.1).all()
    assert (np.abs(samples.mean(axis=0) - data.mean(axis=0)) < 0.15 * data.std(axis=0)).all()
    assert correlation_error(samples, data) < 0.08


@pytest.mark.parametrize(
    ("name", "n_epochs", "least", "most_error"),
    [("wine", 400, 0.8, 0.2), ("diabetes", 150, 0.8, 0.2), ("breast_cancer", 120, 0.6, 0.25)],
)
def test_tables(name: str, n_epochs: int, least: float, most_error: float) -> None:
    """Less than the budget; what four layers of 64 that predict the noise made 14 to 28."""
    data = getattr(datasets, f"load_{name}")().data
    model = TagiDiffusion(n_epochs=n_epochs, random_state=0).fit(data)
    samples = model.sample(3000, random_state=0)
    assert ratios(samples, data).min() > least and ratios(samples, data).max() < 1.25
    assert correlation_error(samples, data) < most_error


@pytest.mark.parametrize(
    ("name", "least"), [("wine", 0.85), ("diabetes", 0.9), ("breast_cancer", 0.76)]
)
def test_tables_by_default(name: str, least: float) -> None:
    """No column is far from .8 to 1.25 of its spread; DDPM makes .7 of one of breast cancer."""
    data = getattr(datasets, f"load_{name}")().data
    model = tx.DiffusionModel(data.shape[1], seed=0)
    model.fit(data, progress=False)
    samples = model.sample(8000, seed=0).x
    assert ratios(samples, data).min() > least and ratios(samples, data).max() < 1.15
    assert correlation_error(samples, data) < 0.15


def test_default_sampler() -> None:
    """Uncertainty needs steps of one prediction, and low dimensions have DDPM's noise."""
    ddpm, solver = tx.samplers.DDPM(), tx.samplers.DPMSolverMultistep(20)
    for n_features, by_default in ((3, ddpm), (4, solver)):
        model = tx.DiffusionModel(n_features, (8,), 10, seed=0)
        model.fit(np.random.default_rng(0).standard_normal((40, n_features)), n_epochs=1)
        plain = model.sample(5, seed=1).x
        assert plain.tobytes() == model.sample(5, seed=1, sampler=by_default).x.tobytes()
        expected = model.sample(5, seed=1, sampler=ddpm).x.tobytes()
        assert model.sample(5, seed=1, uncertainty=True).x.tobytes() == expected
        assert model.sample(5, seed=1, ensemble=2).x.tobytes() == expected


def test_mixture_of_known_moments() -> None:
    """Two Gaussians in three dimensions, at shares .3 and .7."""
    generator = np.random.default_rng(0)
    right = generator.random(3000) < 0.7
    factor = np.array([[0.5, 0.3, 0.0], [0.0, 0.4, -0.2], [0.0, 0.0, 0.3]])
    centre = np.array([[-2.0, 0.0, 1.0], [1.0, 2.0, 0.0]])
    data = centre[right.astype(int)] + generator.standard_normal((3000, 3)) @ factor
    model = tx.DiffusionModel(3, seed=0)
    model.fit(data, n_epochs=100, progress=False)
    x = model.sample(4000).x.astype(np.float64)
    between = centre[1] - centre[0]
    covariance = factor.T @ factor + 0.21 * np.outer(between, between)
    np.testing.assert_allclose(x.mean(axis=0), [0.1, 1.4, 0.3], atol=0.15)
    np.testing.assert_allclose(np.cov(x.T), covariance, rtol=0.12, atol=0.06)
    assert (x[:, 0] + x[:, 1] > 0).mean() == pytest.approx(0.7, abs=0.05)


def test_defaults() -> None:
    rows = (1, 64, 150, 5000, 64_000, 10**6)
    assert [default_epochs(n) for n in rows] == [10_000, 10_000, 3334, 127, 10, 10]
    assert [default_batch_size(n) for n in (150, 19_999, 20_000, 10**6)] == [64, 64, 256, 256]
    assert default_hidden(2) == (64, 64, 64, 64) and default_hidden(4) == (128, 128)
    model = tx.DiffusionModel(2, (8,), 5, seed=0)
    assert model.prediction_type == "v_prediction"
    assert len(model.fit(rows_of(6400), progress=False).train_mse) == 100


@pytest.mark.parametrize("call", ["sample", "log_prob", "predict_proba"])
def test_a_model_that_has_not_been_fitted_refuses(call: str) -> None:
    def use(model: tx.DiffusionModel) -> object:
        return getattr(model, call)(2 if call == "sample" else np.zeros((2, 2)))

    model = tx.DiffusionModel(2, (8,), 5, n_classes=2, seed=0)
    with pytest.raises(RuntimeError, match=rf"^{call}: got a model that has not been fitted"):
        use(model)
    use(with_given_parameters(model))
    fitted = tx.DiffusionModel(2, (8,), 5, n_classes=2, seed=0)
    fitted.fit(rows_of(20), np.arange(20) % 2, n_epochs=1, progress=False)
    use(fitted)


def test_data_far_from_0_keep_their_spread(tmp_path: Path) -> None:
    """As the same data at 0, in float64: float32 has steps of 8 at 1e8."""
    data = rows_of(2000)
    far = data + np.array([1e8, 0.0])
    models = [tx.DiffusionModel(2, (32, 32), 20, seed=0) for _ in range(2)]
    for model, rows in zip(models, (data, far), strict=True):
        model.fit(rows, n_epochs=30, progress=False)
    near, there = models
    options: dict[str, Any] = {"seed": 1, "trajectory": True, "uncertainty": True}
    samples, expected = there.sample(1000, **options), near.sample(1000, **options)
    assert samples.x.dtype == there.shift.dtype == np.float64
    assert samples.trajectory is not None and samples.trajectory.dtype == np.float64
    np.testing.assert_array_equal(samples.trajectory[-1], samples.x)
    np.testing.assert_allclose(there.shift, far.mean(axis=0), rtol=0, atol=1e-6)
    np.testing.assert_allclose(ratios(samples.x, far), 1, atol=0.12)
    np.testing.assert_allclose(samples.x - [1e8, 0.0], expected.x, atol=0.1)
    np.testing.assert_allclose(there.log_prob(far[:50]), near.log_prob(data[:50]), atol=0.1)
    there.save(tmp_path / "model.safetensors")
    loaded = tx.load(tmp_path / "model.safetensors")
    assert loaded.sample(9, seed=1).x.tobytes() == there.sample(9, seed=1).x.tobytes()
    np.testing.assert_array_equal(loaded.shift, there.shift)
    estimator = TagiDiffusion((32, 32), n_epochs=20, random_state=0).fit(far)
    np.testing.assert_allclose(ratios(estimator.sample(1000, random_state=0), far), 1, atol=0.15)
    estimator.save(tmp_path / "estimator.safetensors")
    again = tx.load(tmp_path / "estimator.safetensors")
    assert np.array_equal(again.sample(5, random_state=0), estimator.sample(5, random_state=0))


def test_constant_and_duplicated_columns(tmp_path: Path) -> None:
    """A constant is exact, even one that float32 does not hold, until it varies."""
    varying = rows_of(500)
    data = np.column_stack([varying, np.full(500, 0.1), varying[:, 0], np.full(500, 3.0)])
    model = tx.DiffusionModel(5, (64,), 20, seed=0)
    model.fit(data, n_epochs=150, progress=False)
    samples = model.sample(500, uncertainty=True)
    assert (samples.x[:, 2] == 0.1).all() and (samples.x[:, 4] == 3.0).all()
    assert (samples.var[:, 4] == 0).all() and (samples.var[:, 0] > 0).all()
    assert samples.epistemic is not None and not samples.epistemic[:, 4].any()
    assert np.corrcoef(samples.x[:, 0], samples.x[:, 3])[0, 1] > 0.96
    model.save(tmp_path / "model.safetensors")
    again = tx.load(tmp_path / "model.safetensors").sample(3).x
    assert again.tobytes() == model.sample(3).x.tobytes()
    data[0, 4] = 4.0
    model.fit(data, n_epochs=1, progress=False)
    assert (model.sample(50).x[:, 2] == 0.1).all() and np.ptp(model.sample(50).x[:, 4]) > 0


def test_a_constant_that_float32_holds_leaves_float32() -> None:
    model = tx.DiffusionModel(3, (8,), 5, seed=0)
    model.fit(np.column_stack([rows_of(50), np.full(50, 3)]), n_epochs=1, progress=False)
    assert model.sample(5).x.dtype == model.shift.dtype == np.float32
    assert (model.sample(5).x[:, 2] == 3).all() and model.shift[2] == 3


def test_one_row_comes_back_and_few_rows_warn() -> None:
    row = np.array([[5.1, 3.5, -1e9]])
    model = tx.DiffusionModel(3, (8,), 5, seed=0)
    model.fit(row, n_epochs=2, progress=False)
    np.testing.assert_array_equal(model.sample(3).x, np.repeat(row, 3, axis=0))
    two = np.array([[0.0, 1.0, 2.0], [4.0, -1.0, 2.0]])
    model = tx.DiffusionModel(3, (32,), 20, seed=0)
    with pytest.warns(UserWarning, match="^X: got 2 rows for 2 columns that vary; below 10 rows"):
        model.fit(two, n_epochs=3000, progress=False)
    x = model.sample(200).x
    nearest = np.abs(x[:, np.newaxis] - two).max(axis=2).min(axis=1)
    assert np.median(nearest) < 0.8 and (x[:, 2] == 2).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(two, n_epochs=1, progress=False)  # of a first fit alone


def test_bad_columns_are_named() -> None:
    data = rows_of(50)
    data[3, 1] = np.nan
    model = tx.DiffusionModel(2, (8,), 5, seed=0)
    with pytest.raises(ValueError, match=r"^X: got NaN, infinity or .* in column 1, needed"):
        model.fit(data, progress=False)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(data, columns=["age", "bmi"])
    message = re.escape("Input X contains NaN, which TagiDiffusion does not take, in column bmi (1")
    with pytest.raises(ValueError, match=message):
        TagiDiffusion().fit(frame)


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_failed_fit_leaves_the_estimator(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.array(["a", "b"] * 25)
    model = TagiDiffusion((8,), conditional=True, n_epochs=2, random_state=0)
    model.fit(rows_of(50), labels)
    before, expected = dict(vars(model)), model.sample(5, random_state=0)

    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(tx.DiffusionModel, "fit", fail)
        with pytest.raises(error):
            model.fit(np.column_stack([rows_of(60)] * 2), np.arange(60) % 3)
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(np.full((60, 3), np.nan), np.arange(60) % 3)
    assert vars(model) == before
    actual = model.sample(5, random_state=0)
    assert np.array_equal(actual[0], expected[0]) and np.array_equal(actual[1], expected[1])


def test_denoising_mse_is_that_of_the_noise_whatever_is_predicted() -> None:
    """A linear model of N(0, 1): the noise left open is alpha_bar, on the mean over t."""
    model = tx.DiffusionModel(2, (), 10, standardize=False, time_features="scalar", seed=0)
    state = {key: np.zeros_like(value) for key, value in model.net.state_dict().items()}
    model.net.load_state_dict(state)  # v = a eps - b x_0 has mean 0 given x_t, whose variance is 1
    data = np.random.default_rng(0).standard_normal((20_000, 2))
    error = metrics.denoising_mse(model, data)
    assert error == pytest.approx(model.alpha_bar[1:].mean(), rel=0.03)
