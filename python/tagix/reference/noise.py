"""Observation noise that a network infers with its weights, in float64.

Each output has a value z ~ N(mean, S) and a head w ~ N(l, s); its target is y = z + e with
e ~ N(0, link(w)). The moments of the noise variance are those of the link,

    V = E link(w),   s_v = Var link(w),   J = Cov(w, link(w)) / s

Source: Deka, Nguyen & Goulet, Neurocomputing (2024): approximate Gaussian variance inference, AGVI.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from .activations import ActivationMoments, Exp, Softplus

Link = Literal["exp", "softplus"]


class Heteroscedastic:
    """Noise that depends on the input: the head is an affine map of the last hidden layer.

    With the link "exp" and a rule that takes the expected information, the network's Gaussian for w
    is multiplied by that of a belief that holds for any input, log v ~ N(0, tau^2):

        kappa = 1 / (1 + s / tau^2),   log v ~ N(kappa l, kappa s),   J = kappa V

    Args:
        link: From the head w to the noise variance: "exp", or "softplus", log(1 + exp(w)).
        gain: Factor on the prior mean drawn and the prior standard deviation of the head's weights
            and on the prior standard deviation of its bias, whose mean is 0.
        belief_std: tau; infinity for no belief.

    Raises:
        ValueError: For another link, or a gain or a tau that is not above 0, or no finite gain.
    """

    def __init__(self, link: Link = "exp", gain: float = 0.1, *, belief_std: float = 2.0) -> None:
        if link not in get_args(Link):
            raise ValueError(f"link: got {link!r}, needed one of {get_args(Link)}")
        if not 0 < gain < float("inf"):
            raise ValueError(f"gain: got {gain!r}, needed a finite number above 0")
        if not belief_std > 0:
            raise ValueError(f"belief_std: got {belief_std!r}, needed a number above 0")
        self.link, self.gain, self.belief_std = link, gain, belief_std

    def var_moments(
        self, head_mean: Tensor, head_var: Tensor, *, expected: bool = True
    ) -> ActivationMoments:
        """V, s_v and J, exact, for l and s of any one shape; ``expected`` is that of the rule."""
        if self.link == "softplus":
            return Softplus().forward(head_mean, head_var)
        if not expected:
            return Exp().forward(head_mean, head_var)
        kappa = 1 / (1 + head_var / self.belief_std**2)
        var = Exp().forward(kappa * head_mean, kappa * head_var)
        return ActivationMoments(var.mean, var.var, kappa * var.jacobian)


class Homoscedastic:
    """One unknown noise variance for each output: the head is a bias alone, the link "exp".

    Before the values are learned, targets seem noisier than they are. The head must be able to
    forget this, but its variance falls as 2 / (targets seen), so it would not move again. It is
    therefore treated as a slow random walk: its variance does not fall below min_var, so its mean
    remembers about 2 / min_var targets. With 200 targets an error of 5 % remains in the noise's
    standard deviation.

    Args:
        learn: True; a noise that is known is the noise_var of `Sequential.update`.
        prior_var: Variance of the bias before any data, its mean being 0.
        min_var: The lower bound of its variance.

    Raises:
        ValueError: Unless learn is True, prior_var is finite and above 0, and
            0 <= min_var <= prior_var.
    """

    def __init__(
        self, *, learn: Literal[True], prior_var: float = 1.0, min_var: float = 0.01
    ) -> None:
        if learn is not True:
            raise ValueError(f"learn: got {learn!r}, needed True")
        if not 0 < prior_var < float("inf"):
            raise ValueError(f"prior_var: got {prior_var!r}, needed a finite number above 0")
        if not 0 <= min_var <= prior_var:
            raise ValueError(f"min_var: got {min_var!r}, needed 0 <= min_var <= {prior_var!r}")
        self.prior_var, self.min_var = prior_var, min_var

    def var_moments(
        self, head_mean: Tensor, head_var: Tensor, *, expected: bool = True
    ) -> ActivationMoments:
        """V, s_v and J, exact, for l and s of any one shape."""
        return Exp().forward(head_mean, head_var)


class HeadInnovations(NamedTuple):
    """delta_mean and delta_var of the values and of the noise head, each (batch, outputs)."""

    value_mean: Tensor
    value_var: Tensor
    noise_mean: Tensor
    noise_var: Tensor


def observe(
    residual: Tensor,
    value_var: Tensor,
    noise: ActivationMoments,
    spread: float,
    *,
    expected: bool,
) -> HeadInnovations:
    """What targets say about the values and the noise head; r = y - mean is NaN where missing.

    With rho = s_v / V^2, j = J / V, g = V / (V + S), D = 2 + 3 rho spread and spread the rule's
    1 + k (B - 1),

        value   delta_mean = r / (V + S spread)
                delta_var  = -1 / (V + S spread)
        noise   delta_mean = j g (r^2 / (V + S) - 1) / D
                delta_var  = -j^2 g^2 / D                       expected
                             j^2 (q_v / V^2 - D) / D^2          not expected

    With a spread of 1, and not expected, it is AGVI: the error e has the posterior mean v_m = g r
    and variance v_v = g S, its square q_v = 2 v_v^2 + 4 v_v v_m^2, and delta_var may be positive.
    Its average over r ~ N(0, V + S) is the expected form as s -> 0, and in that form never is.
    """
    var, var_of_var, jacobian = noise
    rho, j, g = var_of_var / var**2, jacobian / var, var / (var + value_var)
    denominator = 2 + 3 * rho * spread
    innovation_var = var + value_var * spread
    surprise = residual**2 / (var + value_var) - 1
    if expected:
        noise_delta_var = -(j**2) * g**2 / denominator
    else:
        error_mean, error_var = g * residual, g * value_var
        square_var = 2 * error_var**2 + 4 * error_var * error_mean**2
        noise_delta_var = j**2 * (square_var / var**2 - denominator) / denominator**2
    missing = torch.isnan(residual)
    deltas = (
        residual / innovation_var,
        -1 / innovation_var,
        j * g * surprise / denominator,
        noise_delta_var,
    )
    return HeadInnovations(*(torch.where(missing, 0.0, delta) for delta in deltas))
