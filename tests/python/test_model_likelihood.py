"""DiffusionModel.log_prob: a density in the data's units, by the model's own predictions exactly,
and near that of the data where the model is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import Array, on_every_device, relative_error

import tagix as tx
from tagix import likelihood, schedules

V_PREDICTION = {"prediction_type": "v_prediction", "time_features": "log_sigma"}

# Means and standard deviations of the columns, (class, column).
ONE = np.array([[0.0, 0.0]]), np.array([[1.0, 0.5]])
TWO = np.array([[-1.0, 0.0], [1.0, 0.5]]), np.array([[0.8, 0.6], [0.6, 0.9]])


class Mixture:
    """Gaussian classes of equal shares, stretched and moved."""

    def __init__(
        self, classes: tuple[Array, Array], shift: Any = (0.0, 0.0), scale: Any = (1.0, 1.0)
    ) -> None:
        self.means = classes[0] * scale + np.asarray(shift)
        self.stds = classes[1] * scale

    def rows(self, n_rows: int, seed: int) -> tuple[Array, Array]:
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, len(self.means), n_rows)
        noise = generator.standard_normal((n_rows, 2))
        return self.means[labels] + self.stds[labels] * noise, labels

    def log_probs(self, x: Array, blur: Array) -> Array:
        """ln p(x | class) of the classes blurred by noise of a size, (rows, classes)."""
        stds = np.sqrt(self.stds**2 + blur**2)
        z = (x[:, np.newaxis] - self.means) / stds
        return np.asarray(-0.5 * (z**2).sum(axis=2) - np.log(2 * np.pi * stds.prod(axis=1)))

    def grid(self, blur: Array, n_points: int = 41) -> tuple[Array, float]:
        """Points that cover it, 5 standard deviations to each side, and the area of each."""
        reach = 5 * np.sqrt(self.stds**2 + blur**2)
        low, high = (self.means - reach).min(axis=0), (self.means + reach).max(axis=0)
        axes = [np.linspace(a, b, n_points) for a, b in zip(low, high, strict=True)]
        points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
        return points, float(np.prod((high - low) / (n_points - 1)))


def trained(mixture: Mixture, **options: Any) -> tuple[tx.DiffusionModel, Array]:
    """A model, and the noise in the units of the data by which its density is blurred."""
    settings = {
        "hidden": (32, 32),
        "n_steps": 20,
        "n_classes": len(mixture.means),
        "prediction_type": "epsilon",
        "seed": 0,
    }
    model = tx.DiffusionModel(2, **(settings | options))
    model.fit(*mixture.rows(4000, seed=0), n_epochs=10, batch_size=64, progress=False)
    return model, schedules.sigma(model.alpha_bar[1:2]) * model.scale


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("options", [{}, V_PREDICTION, {"prediction_type": "sample"}], ids=str)
@pytest.mark.parametrize("classes", [ONE, TWO], ids=["one", "two"])
def test_it_is_a_density(
    classes: tuple[Array, Array], options: dict[str, Any], standardize: bool
) -> None:
    """Whatever the network has learned: it integrates to 1 over the units of the data."""
    moved = ((100.0, -3.0), (30.0, 0.1)) if standardize else ((0.1, 0.0), (1.0, 0.9))
    mixture = Mixture(classes, *moved)
    model, blur = trained(mixture, standardize=standardize, **options)
    points, area = mixture.grid(blur)
    for label in (None, len(classes[0]) - 1):
        density = np.exp(model.log_prob(points, label, n_steps=32))
        assert density.shape == (len(points),) and density.dtype == np.float64
        assert density.sum() * area == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("classes", "options", "worst", "worst_of_class"),
    [
        (ONE, V_PREDICTION, 0.1, 0.1),
        (ONE, {"prediction_type": "v_prediction"}, 0.1, 0.1),
        (ONE, {}, 0.5, 0.5),
        (TWO, V_PREDICTION, 0.35, 0.2),
        (TWO, {"prediction_type": "v_prediction"}, 0.35, 0.2),
        (TWO, {}, 0.7, 0.6),
    ],
    ids=str,
)
def test_it_is_near_that_of_the_data(
    classes: tuple[Array, Array], options: dict[str, Any], worst: float, worst_of_class: float
) -> None:
    """The mean absolute difference of ln p at 300 rows of the data, and of ln p given the class."""
    mixture = Mixture(classes, shift=(40.0, -7.0), scale=(9.0, 0.3))
    model, blur = trained(mixture, **options)
    x, labels = mixture.rows(300, seed=1)
    of_classes = mixture.log_probs(x, blur)
    expected = np.logaddexp.reduce(of_classes, axis=1) - np.log(len(mixture.means))
    assert np.abs(model.log_prob(x) - expected).mean() < worst
    difference = model.log_prob(x, labels) - of_classes[np.arange(300), labels]
    assert np.abs(difference).mean() < worst_of_class


def test_units() -> None:
    """Columns stretched by powers of 2: the same density but for ln |dx'/dx|."""
    scale, shift = np.array([128.0, 0.25]), np.array([512.0, -1.0])
    plain, _ = trained(Mixture(TWO))
    moved, _ = trained(Mixture(TWO, shift, scale))
    x, labels = Mixture(TWO).rows(100, seed=1)
    for given in (None, labels):
        difference = moved.log_prob(x * scale + shift, given) - plain.log_prob(x, given)
        np.testing.assert_allclose(difference, -np.log(scale).sum(), atol=0.02)


@pytest.mark.parametrize("options", [{}, V_PREDICTION, {"schedule": "sigmoid"}], ids=str)
def test_it_follows_the_model_s_own_flow(options: dict[str, Any]) -> None:
    """scipy's Runge-Kutta of order 8 on predict and its differences in x, none of the core's."""
    integrate = pytest.importorskip("scipy.integrate", reason="needs the lab extra")
    model, _ = trained(Mixture(TWO), **options)
    x = Mixture(TWO).rows(6, seed=1)[0]
    alpha_bar, d = model.alpha_bar, 2
    first, last = schedules.sigma(alpha_bar[[1, -1]])

    def eps(z: Array, log_sigma: float) -> Array:
        share = 1 / (1 + np.exp(2 * log_sigma))
        a, b = np.sqrt(share), np.sqrt(1 - share)
        t = schedules.timestep_of(alpha_bar, np.exp([log_sigma]))
        t = np.full(len(z), np.clip(t[0], 1, len(alpha_bar) - 1))
        prediction = model.predict(a * z, t, 1).mean.astype(np.float64)
        return prediction if options != V_PREDICTION else a * prediction + b * a * z

    def slope(log_sigma: float, state: Array) -> Array:
        z, sigma, h = state[: 6 * d].reshape(6, d), np.exp(log_sigma), 2e-3 * np.exp(log_sigma)
        h = max(h, 2e-3)
        divergence = sum(
            (eps(z + h * e, log_sigma)[:, i] - eps(z - h * e, log_sigma)[:, i]) / (2 * h)
            for i, e in enumerate(np.eye(d))
        )
        return np.concatenate([(sigma * eps(z, log_sigma)).ravel(), sigma * divergence])

    start = np.concatenate([((x - model.shift) / model.scale).ravel(), np.zeros(6)])
    found = integrate.solve_ivp(
        slope, np.log([first, last]), start, "DOP853", rtol=1e-4, atol=1e-5, max_step=0.1
    )
    z, divergence = found.y[: 6 * d, -1].reshape(6, d), found.y[6 * d :, -1]
    var = 1 + last**2
    expected = -0.5 * (z**2).sum(axis=1) / var - np.log(2 * np.pi * var) + divergence
    expected -= np.log(model.scale.astype(np.float64)).sum()
    np.testing.assert_allclose(model.log_prob(x, 1, n_steps=128), expected, atol=0.02)


@on_every_device
def test_labels_are_those_of_rows(device: str) -> None:
    model = trained(Mixture(TWO))[0].to(device)
    x, _ = Mixture(TWO).rows(6, seed=1)
    labels = np.array([0, 1, -1, 1, 0, -1])
    together = model.log_prob(x, labels, n_steps=8)
    for label in (-1, 0, 1):
        alike = model.log_prob(x, label, n_steps=8)
        np.testing.assert_allclose(together[labels == label], alike[labels == label], atol=1e-4)
    assert model.log_prob(x, -1).tobytes() == model.log_prob(x).tobytes()
    assert np.abs(model.log_prob(x, 0) - model.log_prob(x, 1)).min() > 1e-3


@on_every_device
def test_it_is_that_of_the_likelihood_module(device: str) -> None:
    model = trained(Mixture(TWO), time_features="scalar")[0].to(device)
    x, labels = Mixture(TWO).rows(20, seed=1)
    one_hot = np.eye(2)[labels]

    def function(x_t: Array, t: Array) -> tuple[Array, Array]:
        inputs = np.hstack([x_t, t[:, np.newaxis] / 20, one_hot])
        return model.predict(x_t, t, labels).mean, model.net.jacobian(inputs)[:, :, :2]

    z = (x - model.shift) / model.scale
    for n_steps in (8, 64):
        expected = likelihood.log_prob(function, z, model.alpha_bar, n_steps=n_steps)
        expected -= np.log(model.scale.astype(np.float64)).sum()
        actual = model.log_prob(x, labels, n_steps=n_steps)
        assert relative_error(actual, expected) < 1e-5
    np.testing.assert_array_equal(model.log_prob(x, labels), actual)  # 64 is the default


MODEL = tx.DiffusionModel(2, (4,), 4, n_classes=2, seed=0)
PLAIN = tx.DiffusionModel(2, (4,), 4, seed=0)
X = np.zeros((4, 2))
CASES: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "columns": (lambda: MODEL.log_prob(np.zeros((4, 3))), ValueError, "X: got shape (4, 3)"),
    "one dimension": (lambda: MODEL.log_prob(np.zeros(2)), ValueError, "X: got shape (2,)"),
    "NaN": (lambda: MODEL.log_prob(X * np.nan), ValueError, "X: got NaN or infinity"),
    "text": (lambda: MODEL.log_prob("rows"), TypeError, "X: got a str, needed"),
    "class 2": (lambda: MODEL.log_prob(X, 2), ValueError, "labels: got 2, needed classes in"),
    "labels of 3": (lambda: MODEL.log_prob(X, [0, 1, 0]), ValueError, "labels: got shape (3,)"),
    "label 1.0": (lambda: MODEL.log_prob(X, 1.0), TypeError, "labels: got an array of float64"),
    "no classes": (
        lambda: PLAIN.log_prob(X, 0),
        ValueError,
        "labels: got labels, needed none for a model without n_classes",
    ),
    "n_steps 0": (lambda: MODEL.log_prob(X, n_steps=0), ValueError, "n_steps: got 0, needed"),
    "n_steps 1.5": (lambda: MODEL.log_prob(X, n_steps=1.5), TypeError, "n_steps: got 1.5, needed"),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_wrong_calls(case: str) -> None:
    call, error, message = CASES[case]
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        call()
