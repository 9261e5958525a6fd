"""Covariances of few draws, moderated by a closed form.

Of K draws the trace s^2 of a covariance has about d = K - 1 degrees of freedom, whatever the number
of columns: a chain moves along one direction more than along the others. Over the rows, log s^2
follows a line in log c, with c the trace of the closed form, and spreads about it: by trigamma(d/2)
for the draws being few, and by more where the closed form is wrong. With s0^2 on that line and d0
degrees of freedom of this prior from the spread (Smyth, Statistical Applications in Genetics and
Molecular Biology 3, 2004; the line is that of limma's fitFDist):

    e_i = log s_i^2 - digamma(d/2) + log(d/2)  ~  a + b log c_i
    trigamma(d0/2) = Var(e - a - b log c) - trigamma(d/2)
    s0_i^2 = exp(a + b log c_i + digamma(d0/2) - log(d0/2))

    covariance = (d0 s0^2 C / c + d S) / (d0 + d)

where S is the covariance of the draws and C that of the closed form.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

MOST_DRAWS = 16
"""The covariance of more draws is left as it is: that of 32 would hardly change."""

LEAST_ROWS = 10
"""Fewer rows say too little about the line and the spread about it."""


def moderated(
    of_draws: Array, closed_form: Array, n_draws: int, scale: NDArray[np.float32]
) -> Array:
    """The covariances of rows from those of draws and those of the closed form.

    Args:
        of_draws: (n, n_features, n_features), divisor n_draws - 1.
        closed_form: same shape.
        n_draws: K, at least 2.
        scale: (n_features,), in whose units columns count alike.

    Returns:
        Covariances of the same shape; ``of_draws`` itself for fewer than 10 rows that vary.
    """
    units = np.outer(scale, scale).astype(np.float64)
    drawn, closed = of_draws / units, closed_form / units
    drawn_trace = np.trace(drawn, axis1=1, axis2=2)
    closed_trace = np.trace(closed, axis1=1, axis2=2)
    varies = (drawn_trace > 0) & (closed_trace > 0)
    if varies.sum() < LEAST_ROWS:
        return of_draws
    freedom = n_draws - 1.0
    centred = np.log(drawn_trace[varies]) - digamma(freedom / 2) + math.log(freedom / 2)
    line = np.column_stack([np.ones(len(centred)), np.log(closed_trace[varies])])
    fitted = line @ np.linalg.lstsq(line, centred, rcond=None)[0]
    spread = float(((centred - fitted) ** 2).sum()) / (len(centred) - 2) - trigamma(freedom / 2)
    # Where the draws spread no more than few draws do, the line is all there is to know.
    share, log_prior = 1.0, fitted
    if spread > 0:
        prior_freedom = 2 * inverse_trigamma(spread)
        share = prior_freedom / (prior_freedom + freedom)
        log_prior = fitted + digamma(prior_freedom / 2) - math.log(prior_freedom / 2)
    by_closed_form = (np.exp(log_prior) / closed_trace[varies])[:, None, None] * closed[varies]
    result: Array = of_draws.copy()
    result[varies] = (share * by_closed_form + (1 - share) * drawn[varies]) * units
    return result


def digamma(x: float) -> float:
    """The derivative of log Gamma(x), x > 0, to 1e-12: its asymptotic series from 10 on."""
    below = 0.0
    while x < 10:
        below += 1 / x
        x += 1
    y = 1 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y / 132))))
    return math.log(x) - 0.5 / x - series - below


def trigamma(x: float) -> float:
    """The second derivative of log Gamma(x), x > 0, to 1e-12 of it."""
    below = 0.0
    while x < 10:
        below += 1 / (x * x)
        x += 1
    y = 1 / (x * x)
    series = y * (1 / 6 - y * (1 / 30 - y * (1 / 42 - y * (1 / 30 - y * 5 / 66))))
    return (1 + series) / x + 0.5 * y + below


def inverse_trigamma(value: float) -> float:
    """The x > 0 at which trigamma is ``value`` > 0, by bisection; 1/x < trigamma < 1/x + 1/x^2."""
    low, high = 1 / value, 0.5 / value + math.sqrt(0.25 / value**2 + 1 / value)
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if trigamma(middle) > value else (low, middle)
    return 0.5 * (low + high)
