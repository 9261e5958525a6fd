"""Predicted laws of targets: intervals, quantiles, densities, scores and samples."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tagix._arrays import as_count, as_flag, as_number
from tagix.sklearn import _ensemble
from tagix.sklearn._law import crps, distribution, log_density
from tagix.sklearn._regressor_moments import RegressorMoments

Array = NDArray[np.float64]


class RegressorLaws(RegressorMoments):
    """A regressor that predicts whole laws: Student's t about its moments, or ranks of errors."""

    def predict_interval(
        self,
        X: Any,
        level: float = 0.9,
        X_std: ArrayLike | None = None,
        *,
        conformal: bool = False,
    ) -> Array:
        """Central intervals that hold a target with probability ``level``.

        Args:
            X, X_std: as for :meth:`predict`.
            level: between 0 and 1.
            conformal: take the ends not from Student's t, but from the ranks of the errors on
                held-out rows of :meth:`fit`, in units of the predicted standard deviations. Such
                intervals hold about a share ``level`` of new rows like those of the fit, whatever
                the law, even a skewed one. They hold a little more, because the errors are those of
                fewer networks, which had seen fewer rows. They are infinite if there were too few
                rows for ``level``.

        Returns:
            float64 (n_rows, 2), lower and upper bounds; (n_rows, n_outputs, 2) for several outputs.

        Raises:
            ValueError: unless 0 < level < 1, and with ``conformal`` if :meth:`fit` had no held-out
                rows: in a stream that was never fitted, without ``early_stopping``, or with fewer
                than 15 rows.
            NotFittedError, TypeError: as :meth:`predict`.
        """
        share = as_number("level", level)
        if not 0.0 < share < 1.0:
            raise ValueError(f"level: got {level!r}, needed a number between 0 and 1")
        if as_flag("conformal", conformal):
            return self._conformal_interval(X, share, X_std)
        return self.predict_quantiles(X, (0.5 - 0.5 * share, 0.5 + 0.5 * share), X_std)

    def predict_quantiles(
        self, X: Any, quantiles: ArrayLike, X_std: ArrayLike | None = None
    ) -> Array:
        """Quantiles of the targets' predicted laws.

        Args:
            X, X_std: as for :meth:`predict`.
            quantiles: probabilities strictly between 0 and 1: (n_quantiles,) or one number.

        Returns:
            float64 (n_rows, n_quantiles); (n_rows, n_outputs, n_quantiles) for several outputs.
        """
        levels = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
        if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
            raise ValueError(f"quantiles: got {quantiles!r}, needed numbers between 0 and 1")
        prediction = self._predict(X, X_std)
        mean, std = prediction.mean[..., np.newaxis], np.sqrt(prediction.var)[..., np.newaxis]
        if self._law is None:
            reach = np.array([NormalDist().inv_cdf(level) for level in levels])
        else:
            reach = self._law.quantiles(levels)  # (outputs, levels)
            reach = reach[0] if self._y_is_vector else reach
        return np.asarray(mean + std * reach)

    def log_prob(self, X: Any, y: Any, X_std: ArrayLike | None = None) -> Array:
        """Log densities of targets under the predicted laws.

        The laws are those of :meth:`predict_interval` and :meth:`predict_quantiles`. The mean over
        rows that were not learned is the log-likelihood by which models are compared, in the units
        of y.

        Args:
            X, X_std: as for :meth:`predict`.
            y: targets, (n_rows,), or (n_rows, n_outputs) after a fit to such y.

        Returns:
            float64 natural logarithms, (n_rows,), or (n_rows, n_outputs) for such y, each output
            by itself.

        Raises:
            NotFittedError: before anything has been learned.
            ValueError, TypeError: for a table unlike that of :meth:`fit`, another number of
                outputs, and targets that are not finite numbers.
        """
        targets, expected = self._expected(X, y, X_std)
        return self._by_row(log_density(self._law, targets, expected.mean, expected.var))

    def cdf(self, X: Any, y: Any, X_std: ArrayLike | None = None) -> Array:
        """Probabilities of targets below y, under the predicted laws.

        If the laws are right, the probabilities of rows that were not learned are uniform between 0
        and 1. Args, Returns (but probabilities), Raises: as :meth:`log_prob`.
        """
        reached, _ = self._reached(X, y, X_std)
        return self._by_row(distribution(self._law, reached))

    def crps(self, X: Any, y: Any, X_std: ArrayLike | None = None) -> Array:
        """Continuous ranked probability scores of targets, in the units of y; lower is better.

        The score is the integral over t of (F(t) - [y <= t])^2, with F the predicted distribution
        function; for a law without spread it is the absolute error. Args, Returns, Raises: as
        :meth:`log_prob`.
        """
        reached, std = self._reached(X, y, X_std)
        return self._by_row(std * crps(self._law, reached))

    def sample_y(
        self,
        X: Any,
        n_samples: int = 1,
        random_state: Any = 0,
        X_std: ArrayLike | None = None,
    ) -> Array:
        """Draw targets from the predictive distribution, jointly for all rows.

        For each sample one network is chosen and its weights are drawn from its posterior
        (:meth:`tagix.nn.Sequential.draw`). This gives a function, so the values at all rows belong
        together. Missing and uncertain inputs are drawn, too, and each row has its own noise, with
        the tails of the law.

        Args:
            X, X_std: as for :meth:`predict`.
            n_samples: number of samples.
            random_state: an int, a numpy RandomState or None.

        Returns:
            float64 (n_rows, n_samples), or (n_rows, n_outputs, n_samples) for several outputs.
        """
        count = as_count("n_samples", n_samples, least=1)
        generator = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
        check_is_fitted(self)
        x, x_var = self._inputs_to_predict(X, X_std)
        samples = np.empty((count, len(x), self._n_outputs()))
        mixture = _ensemble.predict(self.nets_, x, x_var, self._encoding)
        moments = self._in_units(mixture)
        varies, scale = self._y_scaler.varies, self._y_scaler.scale
        tiny = np.finfo(np.float64).tiny
        # What the law makes of standard deviations, those of functions and those of noise; of
        # what never varied there is neither.
        learned = np.where(varies, moments.epistemic, 0.0), np.where(varies, moments.aleatoric, 0.0)
        of_function = np.sqrt(learned[0] / np.maximum(mixture.epistemic, tiny)) / scale
        of_noise = np.sqrt(learned[1] / np.maximum(mixture.aleatoric, tiny)) / scale
        for sample in samples:
            inputs = x
            if x_var is not None:
                noise = generator.standard_normal(x.shape)
                inputs = (x + np.sqrt(x_var) * noise).astype(np.float32)
            member = self.nets_[generator.integers(len(self.nets_))]
            function = _ensemble.predict(
                [member.draw(int(generator.integers(2**62)))], inputs, None, self._encoding
            )
            if self._residuals is None:
                noise = generator.standard_normal(function.mean.shape)
            else:
                noise = self._residuals.draw(generator, len(x))
            if self._law is not None:
                noise *= self._law.tails(generator, len(x))
            sample[:] = mixture.mean + of_function * (function.mean - mixture.mean)
            sample += of_noise * np.sqrt(function.aleatoric) * noise
        if not varies.all():  # what rows have in common is then all there is
            samples[..., ~varies] = generator.standard_normal((count, 1, int((~varies).sum())))
        samples = samples * np.where(varies, scale, self._constant_std()) + self._y_scaler.mean
        if self._novelty is not None:
            samples += self._novelty.draw(x, moments.mean, count, generator)
        return np.asarray(np.moveaxis(samples[..., 0] if self._y_is_vector else samples, 0, -1))

    def _conformal_interval(self, X: Any, level: float, X_std: Any) -> Array:
        """Intervals by ranks of errors, as :meth:`predict_interval` gives them."""
        check_is_fitted(self)
        if self._residuals is None:
            raise ValueError(
                "conformal: got True, needed a fit that left rows out: of 15 rows or more, with "
                "early_stopping"
            )
        ends = self._residuals.interval(level)  # (outputs, 2)
        if self._y_is_vector:
            ends = ends[0]
        prediction = self._predict(X, X_std)
        mean, std = prediction.mean[..., np.newaxis], np.sqrt(prediction.var)[..., np.newaxis]
        interval = np.asarray(mean + std * ends)
        varies = self._y_scaler.varies
        if not varies.all():  # a constant's errors were all 0, which says nothing of the next
            of_law = self.predict_quantiles(X, (0.5 - 0.5 * level, 0.5 + 0.5 * level), X_std)
            interval[:, ~varies] = of_law[:, ~varies]
        return interval
