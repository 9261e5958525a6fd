"""How good samples and predictions of noise are.

Distances are in the units of the arrays given; compare models on standardised data. Errors of noise
predictions have no unit.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tagix._arrays import as_array, as_count, as_number, as_points
from tagix._forms import levels_at
from tagix._optional import import_optional
from tagix.metrics._inputs import FloatArray, as_point_sets


class NoisePredictor(Protocol):
    """What denoising_mse needs of a model; DiffusionModel has it.

    A model whose x_0 is standardised data also has ``shift`` and ``scale``, each (n_features,):
    x_0 = (data - shift) / scale. Without them x_0 is the data.
    """

    @property
    def n_steps(self) -> int: ...

    @property
    def alpha_bar(self) -> npt.NDArray[np.floating[Any]]: ...

    def predict(self, x_t: npt.NDArray[np.float32], t: npt.NDArray[np.int64]) -> Any: ...


def off_manifold_radius(
    train: npt.ArrayLike, held_out: npt.ArrayLike, quantile: float = 0.999
) -> float:
    """The quantile, over held-out points, of the distance to the nearest train point.

    Args:
        train: (n_train, n_features) points.
        held_out: (n_held_out, n_features) points of the same distribution, not in train.
        quantile: Share of held-out points within the radius, in (0, 1]; interpolated linearly.

    Raises:
        ValueError: Shapes that do not match, numbers that are not finite, quantile out of range.
        TypeError: Not an array of numbers, or not a number.
        ImportError: scipy is not installed.
    """
    quantile = as_number("quantile", quantile)
    if not 0.0 < quantile <= 1.0:
        raise ValueError(f"quantile: got {quantile}, needed a number in (0, 1]")
    queries, references = as_point_sets(held_out=held_out, train=train)
    return float(np.quantile(_nearest_distance(queries, references), quantile))


def off_manifold_share(samples: npt.ArrayLike, train: npt.ArrayLike, radius: float) -> float:
    """Share of samples farther than radius from every train point, in [0, 1].

    Args:
        samples: (n_samples, n_features) points to judge.
        train: (n_train, n_features) points that stand for the manifold.
        radius: Largest distance that counts as on it, see off_manifold_radius.

    Raises:
        ValueError: Shapes that do not match, numbers that are not finite, a negative radius.
        TypeError: Not an array of numbers, or not a number.
        ImportError: scipy is not installed.
    """
    radius = as_number("radius", radius)
    if not radius >= 0.0:
        raise ValueError(f"radius: got {radius}, needed a number >= 0")
    queries, references = as_point_sets(samples=samples, train=train)
    return float(np.mean(_nearest_distance(queries, references) > radius))


def sliced_wasserstein(
    a: npt.ArrayLike, b: npt.ArrayLike, n_projections: int = 200, seed: int = 0
) -> float:
    """Sliced 2-Wasserstein distance between two sets of points.

        SW2(a, b)^2 = mean over random unit vectors u of W2(a u, b u)^2

    W2 in one dimension is exact, by sorting. Two sets from one distribution do not give 0: 10 000
    standardised swiss roll points against 20 000 give about 0.02.

    Args:
        a: (n_a, n_features) points.
        b: (n_b, n_features) points; n_b may differ from n_a.
        n_projections: Number of directions u.
        seed: Of the directions, so that equal seeds compare along equal directions.

    Raises:
        ValueError: Shapes that do not match, numbers that are not finite, n_projections below 1, a
            seed outside [0, 2**32).
        TypeError: Not an array of numbers, or not an integer.
        ImportError: POT is not installed.
    """
    n_projections = as_count("n_projections", n_projections, least=1)
    seed = as_count("seed", seed, least=0, most=2**32 - 1)  # what POT takes
    points_a, points_b = as_point_sets(a=a, b=b)
    sliced = import_optional("ot.sliced", package="POT")
    distance = sliced.sliced_wasserstein_distance(
        points_a, points_b, n_projections=n_projections, seed=seed
    )
    return float(distance)


def denoising_mse(model: NoisePredictor, held_out: npt.ArrayLike, seed: int = 0) -> float:
    """Mean squared error of the predicted noise on 20 000 fixed draws of (x_t, t, eps).

        x_t = sqrt(alpha_bar[t]) x_0 + sqrt(1 - alpha_bar[t]) eps,   t uniform over 1 .. n_steps - 1

    t starts at 1, as in training and in sampling: at t = 0 the data are clean. Row i of held_out,
    standardised as by the model, is x_0 of draw i; with fewer than 20 000 rows they repeat. On the
    toy data another seed changes the result by about 0.005, equally for every good model. So
    compare models, and the ideal model (KernelDenoiser), on one seed.

    Args:
        model: Its alpha_bar has shape (n_steps,), its predict takes x_t of shape (20000,
            n_features), float32, and integer t of shape (20000,), and returns the mean and variance
            of the noise, or of the target named by its prediction_type, if it has one. Its shift
            and scale, if it has them, turn data into x_0.
        held_out: (n_held_out, n_features) points in the units of the data that the model was
            fitted to.
        seed: Of t and eps. Equal seeds give equal draws, whatever the model.

    Raises:
        ValueError: Shapes that do not match, numbers that are not finite, a negative seed.
        TypeError: Not an array of numbers, or not an integer.
    """
    seed = as_count("seed", seed, least=0)
    n_draws = 20_000
    points = as_points("held_out", held_out, n_features=getattr(model, "n_features", None))
    points = (points - getattr(model, "shift", 0.0)) / getattr(model, "scale", 1.0)
    alpha_bar = np.asarray(model.alpha_bar, dtype=np.float64)
    if model.n_steps < 2 or alpha_bar.shape != (model.n_steps,):
        raise ValueError(
            f"model: got n_steps {model.n_steps} and alpha_bar of shape {alpha_bar.shape}, "
            "needed at least 2 steps and one alpha_bar a step"
        )
    x_0 = points[np.arange(n_draws) % len(points)]
    rng = np.random.default_rng(seed)
    t = rng.integers(1, model.n_steps, size=n_draws)
    eps = rng.standard_normal(x_0.shape)
    signal = alpha_bar[t][:, np.newaxis]
    x_t = np.sqrt(signal) * x_0 + np.sqrt(1.0 - signal) * eps
    predicted, _ = model.predict(x_t.astype(np.float32), t)
    predicted = np.asarray(predicted, dtype=np.float64)
    if predicted.shape != eps.shape:
        raise ValueError(f"model: predict gave shape {predicted.shape}, needed {eps.shape}")
    kind = getattr(model, "prediction_type", "epsilon")
    if kind != "epsilon":
        levels = levels_at(np.arange(1, model.n_steps), alpha_bar, kind)
        forms = np.array([(each.eps.x, each.eps.prediction) for each in levels])[t - 1]
        predicted = forms[:, :1] * x_t + forms[:, 1:] * predicted
    return float(np.mean((predicted - eps) ** 2))


class KernelDenoiser:
    """The best possible noise prediction, where x_0 is one of the train points.

        w_i    = softmax_i(-|x_t - sqrt(alpha_bar) train_i|^2 / (2 (1 - alpha_bar)))
        E x_0  = sum_i w_i train_i,   Var x_0 = sum_i w_i train_i^2 - (E x_0)^2
        E eps  = (x_t - sqrt(alpha_bar) E x_0) / sqrt(1 - alpha_bar)
        Var eps = alpha_bar / (1 - alpha_bar) Var x_0

    Passed to denoising_mse in place of a model, it gives the error that no model can avoid. 20 000
    predictions from 100 000 train points take some 15 seconds on one core.

    Args:
        train: (n_train, n_features) points.
        alpha_bar: (n_steps,) numbers in [0, 1); the first, for clean data, may be 1.

    Raises:
        ValueError: Another shape of train, NaN or infinity.
        TypeError: Not an array of numbers.
    """

    def __init__(self, train: npt.ArrayLike, alpha_bar: npt.ArrayLike) -> None:
        self._train = as_points("train", train)
        self.alpha_bar = np.asarray(as_array("alpha_bar", alpha_bar), dtype=np.float64)
        self.n_steps = len(self.alpha_bar)

    def predict(
        self, x_t: npt.ArrayLike, t: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean and variance of the noise, each (batch, n_features), at timesteps t >= 1."""
        points, steps = as_points("x_t", x_t), as_array("t", t)
        if steps.shape != (len(points),) or steps.min() < 1 or steps.max() >= self.n_steps:
            raise ValueError(f"t: got {steps}, needed one timestep in [1, {self.n_steps}) a row")
        half_square = 0.5 * (self._train**2).sum(axis=1)
        moments = np.hstack([np.ones((len(self._train), 1)), self._train, self._train**2])
        mean, var = np.empty_like(points), np.empty_like(points)
        n_features = points.shape[1]
        for rows in np.array_split(np.arange(len(points)), -(-len(points) // 100)):
            signal = self.alpha_bar[steps[rows]][:, np.newaxis]
            logits = np.sqrt(signal) * (points[rows] @ self._train.T) - signal * half_square
            logits /= 1.0 - signal
            logits -= logits.max(axis=1, keepdims=True)
            sums = np.exp(logits, out=logits) @ moments
            first, second = np.split(sums[:, 1:] / sums[:, :1], [n_features], axis=1)
            mean[rows] = (points[rows] - np.sqrt(signal) * first) / np.sqrt(1.0 - signal)
            var[rows] = signal / (1.0 - signal) * np.maximum(second - first**2, 0.0)
        return mean, var


def _nearest_distance(queries: FloatArray, references: FloatArray) -> FloatArray:
    spatial = import_optional("scipy.spatial")
    distance, _ = spatial.cKDTree(references).query(queries)
    return np.asarray(distance, dtype=np.float64)
