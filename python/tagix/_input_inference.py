"""The posterior of a network's inputs that give wanted outputs, by iterated linearization.

With x ~ N(m_0, V_0), V_0 diagonal, and y | x ~ N(mean(x), S(x)), where S is the network's
covariance plus noise variances, and r = y - mean(x),

    L(x)   = (x - m_0)' V_0^-1 (x - m_0) / 2 + r' S^-1 r / 2 + ln|S| / 2
    g_k    = (V_0^-1 (x - m_0))_k - J_k' S^-1 r + tr(S^-1 S_k) / 2 - r' S^-1 S_k S^-1 r / 2
    H_kl   = (V_0^-1)_kl + J_k' S^-1 J_l + tr(S^-1 S_k S^-1 S_l) / 2
    x'     = x - t H^-1 g,   t = 1, 1/2, 1/4, ... until L falls as it should

with J_k = d mean / d x_k and S_k = d S / d x_k: Fisher's scoring for a Gaussian whose mean and
covariance both follow x. With S_k = 0 it is Gauss-Newton, the iterated extended Kalman filter (Bell
& Cathey, IEEE Trans. Automatic Control, 1993). Where this search ends, H is replaced by the
curvature of L, and the search goes on. The curvature comes from differences of g over one standard
deviation of the posterior N(x, H^-1) to either side, along its own axes. At a turning point of an
output J is 0, and only the curvature tells how wide the posterior is. A network of ReLUs bends in
steps; such a wide difference averages over them.

All of it works on u = V_0^-1/2 (x - m_0), in which features of variance 0 simply stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagix import _core
from tagix._arrays import as_array, as_count, as_float32, as_number, refuse_gpu
from tagix.gaussian import Prediction

Array: TypeAlias = NDArray[np.float64]

_ARMIJO = 1e-4  # the share of the expected fall of L that a step has to bring
_MOST_HALVINGS = 12
# Differences of covariances are taken over so many posterior standard deviations: enough for
# float32 (errors of 1e-5), little enough for what bends (errors of the square).
_COVARIANCE_STEP = 0.02
_MOST_NUMBERS = 2**24  # in an array of intermediate results
_MOST_WIDTHS = 8  # that are tried until a curvature is measured over the width that it gives


class _Network(Protocol):
    """What the search needs of a network of one input."""

    @property
    def likelihood(self) -> object: ...

    @property
    def _model(self) -> _core.Model: ...

    def __call__(self, x: NDArray[np.float32], /) -> Prediction: ...

    def jacobian(self, x: NDArray[np.float32], /) -> Any: ...

    def covariance(self, x: NDArray[np.float32], /) -> NDArray[np.float32]: ...

    def _noise_var(
        self, noise: Any, shape: tuple[int, ...], matrix_shape: tuple[int, ...]
    ) -> NDArray[np.float32] | None: ...


@dataclass(frozen=True, eq=False)
class InputPosterior:
    """Gaussians of inputs, with a full covariance for each row; all arrays are float64."""

    mean: NDArray[np.float64]
    """The most probable inputs near the start, (rows, features)."""
    covariance: NDArray[np.float64]
    """Their covariances, (rows, features, features)."""
    log_evidence: NDArray[np.float64]
    """ln p(y) by Laplace's method, (rows,): the contribution of this mode. If several starts end at
    different modes, ``exp(log_evidence)`` are the weights of these modes.
    """
    converged: NDArray[np.bool_]
    """Whether the search ended at a maximum of the density, (rows,): the next step would be shorter
    than the tolerance, and all curvatures are negative.
    """
    n_iterations: NDArray[np.int64]
    """Steps taken, (rows,)."""

    @property
    def var(self) -> NDArray[np.float64]:
        """The variance of each input, (rows, features)."""
        return np.array(np.diagonal(self.covariance, axis1=1, axis2=2))

    @property
    def std(self) -> NDArray[np.float64]:
        """The standard deviation of each input, in its unit, (rows, features)."""
        return np.sqrt(self.var)


@dataclass
class _Expansion:
    """L and what the next step needs of it, at some u: by row."""

    value: Array
    gradient: Array
    hessian: Array


@dataclass
class _Problem:
    """Moments of the outputs for float32 inputs of some rows, and what is wanted."""

    moments: Callable[[NDArray[np.float32], NDArray[Any]], tuple[Array, Array]]
    jacobian: Callable[[NDArray[np.float32]], Array]
    y: Array
    prior_mean: Array
    prior_std: Array

    # All of it by u, in units of the prior's standard deviations from its mean.

    def inputs(self, u: Array, rows: NDArray[Any]) -> NDArray[np.float32]:
        x: Array = self.prior_mean[rows] + self.prior_std[rows] * u
        return x.astype(np.float32, order="C")

    def residual(
        self, x: NDArray[np.float32], rows: NDArray[Any]
    ) -> tuple[Array, Array, NDArray[np.bool_]]:
        """r, S, and which outputs are wanted; of the others r is 0 and S that of nothing else."""
        mean, covariance = self.moments(x, rows)
        observed = ~np.isnan(self.y[rows])
        residual = np.where(observed, self.y[rows] - mean, 0.0)
        both = observed[:, :, None] & observed[:, None, :]
        return residual, np.where(both, covariance, np.eye(mean.shape[1])), observed

    def value(self, u: Array, rows: NDArray[Any]) -> Array:
        """L, for some rows."""
        residual, covariance, _ = self.residual(self.inputs(u, rows), rows)
        return _negative_log(u, residual, covariance)

    def expand(self, u: Array, rows: NDArray[Any], width: Array) -> _Expansion:
        """L with its gradient and Fisher's information by u, for some rows.

        ``width``: standard deviations of u's posterior, as far as they are known; at most 1.
        """
        x = self.inputs(u, rows)
        residual, covariance, observed = self.residual(x, rows)
        scale = self.prior_std[rows]
        jacobian = self.jacobian(x) * observed[:, :, None] * scale[:, None, :]
        precision = np.linalg.inv(covariance)
        weighted = np.einsum("bij,bj->bi", precision, residual)
        hessian = np.eye(u.shape[1]) + np.einsum(
            "bik,bij,bjl->bkl", jacobian, precision, jacobian, optimize=True
        )
        gradient = u - np.einsum("bik,bi->bk", jacobian, weighted)

        width = np.minimum(width, _widths(hessian)) * scale
        step = np.where(scale > 0, np.maximum(_COVARIANCE_STEP * width, 1e-5 * np.abs(x)), 0.0)
        slopes = self.covariance_slopes(x, step, rows) * scale[:, :, None, None]
        slopes *= (observed[:, :, None] & observed[:, None, :])[:, None]
        whitened = precision[:, None] @ slopes  # S^-1 S_k, (rows, features, outputs, outputs)
        gradient += 0.5 * np.trace(whitened, axis1=2, axis2=3)
        gradient -= 0.5 * np.einsum("bi,bkij,bj->bk", weighted, slopes, weighted, optimize=True)
        hessian += 0.5 * np.einsum("bkij,blji->bkl", whitened, whitened, optimize=True)
        return _Expansion(_negative_log(u, residual, covariance), gradient, hessian)

    def curvature(self, u: Array, rows: NDArray[Any], width: Array, steps: Array) -> Array:
        """Second derivatives of L by central differences of its gradient, in units of ``steps``.

        Of steps d_k, columns of (rows, features, features): d_j' H d_k.
        """
        n_features = u.shape[1]
        shifts = steps.transpose(0, 2, 1)
        each = np.repeat(rows, n_features)
        widths = np.repeat(width, n_features, axis=0)
        above, below = (
            self.expand((u[:, None, :] + sign * shifts).reshape(-1, n_features), each, widths)
            for sign in (1, -1)
        )
        differences = (above.gradient - below.gradient).reshape(shifts.shape)
        products = 0.5 * np.einsum("bij,bki->bjk", steps, differences)
        return np.asarray(0.5 * (products + products.transpose(0, 2, 1)))

    def covariance_slopes(self, x: NDArray[np.float32], step: Array, rows: NDArray[Any]) -> Array:
        """d S / d x_k by central differences, (rows, features, outputs, outputs)."""
        n_rows, n_features = x.shape
        shifts = (step[:, :, None] * np.eye(n_features)).astype(np.float32)
        above, below = x[:, None, :] + shifts, x[:, None, :] - shifts
        each = np.repeat(rows, n_features)
        difference = (
            self.moments(above.reshape(-1, n_features), each)[1]
            - self.moments(below.reshape(-1, n_features), each)[1]
        )
        distance = np.einsum("bkk->bk", above.astype(np.float64) - below)  # what float32 made of it
        distance = np.where(distance > 0, distance, 1.0)
        slopes = difference.reshape(n_rows, n_features, *difference.shape[1:])
        return np.asarray(slopes / distance[:, :, None, None])


def infer_inputs(
    net: _Network,
    y: ArrayLike,
    prior: tuple[ArrayLike, ArrayLike],
    noise: _core.Homoscedastic | ArrayLike | None,
    start: ArrayLike | None,
    n_iterations: int,
    tolerance: float,
) -> InputPosterior:
    """See :meth:`tagix.nn.Sequential.infer_inputs`."""
    if net.likelihood is not None:
        raise ValueError(
            f"infer_inputs: got a network with likelihood={net.likelihood!r}, needed one whose "
            "targets are its outputs with noise"
        )
    n_iterations = as_count("n_iterations", n_iterations, least=1)
    tolerance = as_number("tolerance", tolerance)
    if not tolerance > 0:
        raise ValueError(f"tolerance: got {tolerance}, needed a number above 0")
    prior_mean, prior_var = _as_prior(prior)
    n_features = prior_mean.shape[-1]
    try:
        n_outputs = net._model.out_features(n_features)
    except ValueError as error:
        raise ValueError(
            f"prior: got means and variances of {n_features} features, but of inputs: {error}"
        ) from error
    wanted, shape = _as_wanted(y, n_outputs)
    n_rows = len(wanted)
    prior_mean, prior_var, first = (
        _by_row(name, value, n_rows, n_features)
        for name, value in (
            ("prior", prior_mean),
            ("prior", prior_var),
            ("start", prior_mean if start is None else _as_finite("start", start)),
        )
    )
    told = net._noise_var(noise, shape, wanted.shape)
    noise_var = None if told is None else _as_noise_var(told, wanted.shape)

    def moments(x: NDArray[np.float32], rows: NDArray[Any]) -> tuple[Array, Array]:
        prediction = net(x)
        covariance = net.covariance(x).astype(np.float64)
        own = prediction.aleatoric.astype(np.float64) if noise_var is None else noise_var[rows]
        diagonal = np.arange(n_outputs)
        covariance[:, diagonal, diagonal] += own
        return prediction.mean.astype(np.float64), covariance

    problem = _Problem(
        moments,
        lambda x: net.jacobian(x).astype(np.float64),
        wanted,
        prior_mean,
        np.sqrt(prior_var),
    )
    std = problem.prior_std
    u = np.where(std > 0, (first - prior_mean) / np.where(std > 0, std, 1.0), 0.0)
    return _minimize(problem, u, n_iterations, tolerance)


def _minimize(problem: _Problem, u: Array, n_iterations: int, tolerance: float) -> InputPosterior:
    """Steps from u, each row by itself, until they are shorter than the tolerance."""
    n_rows, n_features = u.shape
    value, direction, decrement = np.zeros(n_rows), np.zeros_like(u), np.zeros(n_rows)
    hessian, width = np.zeros((n_rows, n_features, n_features)), np.ones_like(u)
    is_newton, is_maximum = np.zeros(n_rows, bool), np.zeros(n_rows, bool)
    steps_taken = np.zeros(n_rows, np.int64)

    def look_around(rows: NDArray[Any]) -> None:
        """L and the next step of some rows, by the curvature where it is Newton's turn."""
        expansion = problem.expand(u[rows], rows, width[rows])
        value[rows], hessian[rows] = expansion.value, expansion.hessian
        newton = is_newton[rows]
        if newton.any():
            which = rows[newton]
            curved, is_maximum[which] = _curvature(
                problem, u[which], which, width[which], hessian[which]
            )
            hessian[which] = curved
        width[rows] = np.minimum(width[rows], _widths(hessian[rows]))
        step = -np.linalg.solve(hessian[rows], expansion.gradient[:, :, None])[:, :, 0]
        direction[rows] = step
        # g' H^-1 g is the squared length of the step in posterior standard deviations.
        decrement[rows] = -np.einsum("bk,bk->b", expansion.gradient, step)

    # Differences of gradients, which are themselves of differences, take 4 d^2 predictions a row.
    n_outputs = problem.y.shape[1]
    numbers_per_row = 4 * n_features**2 * (n_features + n_outputs) * n_outputs
    chunk = max(1, _MOST_NUMBERS // numbers_per_row)
    for first in range(0, n_rows, chunk):
        active = np.arange(first, min(first + chunk, n_rows))
        while active.size:
            look_around(active)
            wanting = active[decrement[active] > tolerance**2]
            wanting = wanting[steps_taken[wanting] < n_iterations]
            moved = _line_search(problem, u, value, direction, decrement, wanting)
            steps_taken[moved] += 1
            # What does not move is Newton's turn, and what has had it is done.
            stays = active[~np.isin(active, moved) & ~is_newton[active]]
            is_newton[stays] = True
            active = np.sort(np.concatenate([moved, stays]))
    covariance = np.linalg.inv(hessian)
    scale = problem.prior_std
    n_wanted = (~np.isnan(problem.y)).sum(axis=1)
    log_evidence = -value - 0.5 * n_wanted * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(hessian)[1]
    return InputPosterior(
        mean=problem.prior_mean + scale * u,
        covariance=scale[:, :, None] * covariance * scale[:, None, :],
        log_evidence=log_evidence,
        converged=(decrement <= tolerance**2) & is_maximum,
        n_iterations=steps_taken,
    )


def _curvature(
    problem: _Problem, u: Array, rows: NDArray[Any], width: Array, fisher: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """The curvature of L, or Fisher's information where it is not positive; and where it is.

    It is measured over the posterior's width, which follows from it: they are found in turns. No
    direction counts as wider than the prior, and where L falls on the way that far, as between two
    modes, less of the way has to do.
    """
    hessian, positive = fisher.copy(), np.zeros(len(rows), bool)
    root = np.linalg.cholesky(fisher)
    reach = np.ones(len(rows))
    todo = np.arange(len(rows))
    for _ in range(_MOST_WIDTHS):
        inverse = np.linalg.inv(root[todo])
        steps = reach[todo, None, None] * inverse.transpose(0, 2, 1)
        curved = problem.curvature(u[todo], rows[todo], width[todo], steps)
        curved /= reach[todo, None, None] ** 2
        is_maximum = np.linalg.eigvalsh(curved)[:, 0] > 0
        values, vectors = np.linalg.eigh(root[todo] @ curved @ root[todo].transpose(0, 2, 1))
        found = (vectors * np.maximum(values, 1.0)[:, None, :]) @ vectors.transpose(0, 2, 1)
        change = np.linalg.eigvalsh(inverse @ found @ inverse.transpose(0, 2, 1))
        settled = (reach[todo] < 1) | ((change[:, 0] > 0.9) & (change[:, -1] < 1.1))
        good, bad = todo[is_maximum], todo[~is_maximum]
        hessian[good], positive[good] = found[is_maximum], True
        root[good] = np.linalg.cholesky(hessian[good])
        reach[bad] *= 0.25
        todo = todo[~np.where(is_maximum, settled, positive[todo])]
        if todo.size == 0:
            break
    return hessian, positive


def _widths(hessian: Array) -> Array:
    """Standard deviations by the inverse of each matrix, (rows, features)."""
    return np.sqrt(np.diagonal(np.linalg.inv(hessian), axis1=1, axis2=2))


def _line_search(
    problem: _Problem,
    u: Array,
    value: Array,
    direction: Array,
    decrement: Array,
    active: NDArray[Any],
) -> NDArray[Any]:
    """Move the active rows of u downhill, in place; gives the rows that have moved."""
    moved: list[NDArray[Any]] = []
    length = 1.0
    for _ in range(_MOST_HALVINGS):
        if active.size == 0:
            break
        candidate = u[active] + length * direction[active]
        fall = value[active] - problem.value(candidate, active)
        good = fall >= _ARMIJO * length * decrement[active]  # false for NaN, too
        u[active[good]] = candidate[good]
        moved.append(active[good])
        active = active[~good]
        length *= 0.5
    return np.concatenate(moved) if moved else active


def _negative_log(u: Array, residual: Array, covariance: Array) -> Array:
    """u'u / 2 + r' S^-1 r / 2 + ln|S| / 2, by row; infinite where S is not a covariance."""
    sign, log_determinant = np.linalg.slogdet(covariance)
    solved = np.linalg.solve(covariance, residual[:, :, None])[:, :, 0]
    value = 0.5 * ((u * u).sum(axis=1) + np.einsum("bi,bi->b", residual, solved) + log_determinant)
    return np.where(sign > 0, value, np.inf)


def _as_prior(prior: Any) -> tuple[Array, Array]:
    """Mean and variance in float64, each of one or two dimensions, of as many features."""
    if not isinstance(prior, tuple) or len(prior) != 2:
        raise TypeError(
            f"prior: got a {type(prior).__name__}, needed a tagix.Gaussian or (mean, var)"
        )
    refuse_gpu("infer_inputs", prior=prior[0])
    mean, var = (_as_finite("prior", part) for part in prior)
    if mean.ndim not in (1, 2) or var.ndim not in (1, 2) or mean.shape[-1] != var.shape[-1]:
        raise ValueError(
            f"prior: got means of shape {mean.shape} and variances of shape {var.shape}, needed "
            "(rows, features) or (features,), of both"
        )
    if (var < 0).any():
        raise ValueError("prior: got negative variances, needed 0 (a known feature) or more")
    return mean, var


def _as_finite(name: str, value: Any) -> Array:
    array = np.asarray(as_array(name, value), dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: got NaN or infinity, needed finite numbers")
    return array


def _as_wanted(y: Any, n_outputs: int) -> tuple[Array, tuple[int, ...]]:
    """Wanted outputs in float64, (rows, outputs), and their shape as given."""
    refuse_gpu("infer_inputs", y=y)
    array = as_float32("y", y)
    shape = array.shape
    if array.ndim == 1 and n_outputs == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.shape[1] != n_outputs:
        raise ValueError(f"y: got an array of shape {shape}, needed (rows, {n_outputs})")
    if np.isinf(array).any():
        raise ValueError("y: got infinity, needed numbers, or NaN for outputs that may be anything")
    return array.astype(np.float64), shape


def _by_row(name: str, value: Array, n_rows: int, n_features: int) -> Array:
    try:
        return np.array(np.broadcast_to(value, (n_rows, n_features)))
    except ValueError as error:
        raise ValueError(
            f"{name}: got shape {value.shape}, needed ({n_rows}, {n_features}) or ({n_features},)"
        ) from error


def _as_noise_var(told: NDArray[np.float32], shape: tuple[int, ...]) -> Array:
    if not (np.isfinite(told) & (told > 0)).all():
        raise ValueError("noise: got variances that are not positive, needed finite ones above 0")
    try:
        return np.array(np.broadcast_to(told, shape), dtype=np.float64)
    except ValueError as error:
        raise ValueError(
            f"noise: got {told.size} variances, needed 1 or {shape[1]}, one for each output"
        ) from error
