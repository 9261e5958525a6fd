"""Products and quotients of networks trained from one prior: merge shards, or forget a shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tagix._arrays import as_choice
from tagix.nn import Concat, Residual, Sequential

__all__ = ["forget", "merge"]

Parameters: TypeAlias = NDArray[np.float32]


def merge(
    posteriors: Sequence[Sequential], prior: Sequential, *, improper: str = "raise"
) -> Sequential:
    """Merge several networks, each trained on a shard of the data, into one network.

    p(w | all shards) is proportional to p(w) prod_i p(w | shard i) / p(w), which for independent
    Gaussians, parameter by parameter and in float64, is

        1/v = 1/v_0 + sum_i (1/v_i - 1/v_0),   m = m_0 + v sum_i (m_i - m_0)/v_i

    The result is exact where each posterior is exact; docs/merging.md says how much is lost where
    TAGI approximates. Constants (variance 0) stay as they are.

    Args:
        posteriors: one or more networks, trained from copies of ``prior`` on separate rows. A row
            that two of them have learned would count twice.
        prior: the network that all of them started from, in its state at that time, fresh or
            trained.
        improper: what to do if the product cannot be a posterior from this prior because variances
            exceed those of the prior. "raise" raises a ValueError where precisions are not
            positive; "prior" resets parameters that would be less certain than the prior.

    Returns:
        A new network with the layers, seed, rule, noise, likelihood, forgetting, device and
        precision of ``prior``. Its count of epochs is the largest of the posteriors, so that a
        noise schedule goes on, and its count of drifts includes theirs. Its test for drift starts
        in the state of the prior's test.

    Raises:
        ValueError: if there is no posterior, if the layers, noise, likelihood, seed or constants
            of one differ from the prior's, for parameters that are not finite, and for improper
            products.
        TypeError: for anything but a list of networks. For a :class:`tagix.DiffusionModel`, pass
            its ``net``.
    """
    if isinstance(posteriors, Sequential) or not isinstance(posteriors, Sequence):
        raise TypeError(f"posteriors: got a {type(posteriors).__name__}, needed a list of networks")
    if len(posteriors) == 0:
        raise ValueError("posteriors: got an empty list, needed at least one network")
    factors = [(f"posteriors[{i}]", each, 1) for i, each in enumerate(posteriors)]
    merged = _copy_with(prior, *_combine(factors, prior, improper))
    chi_square, weight, square_weight, before = merged._progress.drift
    n_drifts = before + sum(max(0, each.n_drifts - before) for each in posteriors)
    merged._progress = replace(
        merged._progress,
        epochs_trained=max(each.epochs_trained for each in posteriors),
        drift=(chi_square, weight, square_weight, n_drifts),
    )
    return merged


def forget(
    posterior: Sequential, shard: Sequential, prior: Sequential, *, improper: str = "raise"
) -> Sequential:
    """The network without what it has learned from a shard: posterior * prior / shard.

        1/v = 1/v_0 + (1/v_p - 1/v_0) - (1/v_s - 1/v_0)
        m = m_0 + v ((m_p - m_0)/v_p - (m_s - m_0)/v_s)

    This removes a shard that :func:`merge` added, up to the precision of float32. From a network
    that was trained on the shard's rows after others, it removes what the shard says by itself,
    which is not the same thing: docs/merging.md says how far to trust the result.

    Args:
        posterior: the network that has learned the shard and more.
        shard: a network trained on the shard alone, from a copy of ``prior``.
        prior: the network that both started from, in its state at that time.
        improper: as for :func:`merge`. Here it matters, because a shard may be surer of a parameter
            than the posterior.

    Returns:
        A new network that otherwise equals ``posterior``, including its counts of epochs and
        drifts.

    Raises:
        ValueError, TypeError: as :func:`merge`.
    """
    factors = [("posterior", posterior, 1), ("shard", shard, -1)]
    return _copy_with(posterior, *_combine(factors, prior, improper))


def _combine(
    factors: list[tuple[str, Sequential, int]], prior: Sequential, improper: str
) -> tuple[Parameters, Parameters]:
    """Means and variances of prior * prod (network / prior)^sign, of (name, network, sign)."""
    clips = as_choice("improper", improper, ("raise", "prior")) == "prior"
    culprit = factors[-1][0].partition("[")[0]  # "posteriors" or "shard"
    _check_is_network("prior", prior)
    prior_mean, prior_var = _parameters("prior", prior)
    learned = prior_var > 0
    precision = np.divide(1.0, prior_var, where=learned, out=np.ones_like(prior_var))
    prior_precision = precision.copy()
    shift = np.zeros_like(prior_mean)  # (mean - prior mean) * precision
    for name, network, sign in factors:
        mean, var = _checked(name, network, prior, prior_mean, prior_var)
        own_precision = np.divide(1.0, var, where=learned, out=np.ones_like(var))
        precision += sign * (own_precision - prior_precision)
        shift += sign * own_precision * (mean - prior_mean)
    if clips:
        back = precision < prior_precision
        precision = np.where(back, prior_precision, precision)
        shift = np.where(back, 0.0, shift)
    elif n_improper := int((precision <= 0).sum()):
        raise ValueError(
            f"{culprit}: got precisions that leave {n_improper} of {precision.size} parameters "
            "with a combined precision of 0 or less, needed one above 0: "
            "improper='prior' resets such parameters to the prior"
        )
    with np.errstate(over="ignore"):
        product_mean = (prior_mean + shift / precision).astype(np.float32)
        product_var = np.where(learned, 1.0 / precision, 0.0).astype(np.float32)
    if not (np.isfinite(product_mean) & np.isfinite(product_var)).all():
        raise ValueError(
            f"{culprit}: got parameters that overflow float32 when they are combined, needed "
            "precisions that do not nearly cancel: improper='prior' resets such parameters to "
            "the prior"
        )
    return product_mean, product_var


def _checked(
    name: str,
    network: Sequential,
    prior: Sequential,
    prior_mean: NDArray[np.float64],
    prior_var: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The parameters of a network that may have been trained from the prior, else an error."""
    _check_is_network(name, network)
    if not _same_layers(network, prior):
        raise ValueError(f"{name}: got\n{network!r}\nneeded the layers of the prior\n{prior!r}")
    for option in ("noise", "likelihood"):
        own, needed = getattr(network, option), getattr(prior, option)
        if own != needed:
            raise ValueError(f"{name}: got {option} {own!r}, needed the prior's, {needed!r}")
    if network.seed != prior.seed:
        raise ValueError(
            f"{name}: got seed {network.seed}, needed the prior's, {prior.seed}: another seed "
            "makes other initial means, and networks that start from different means do not combine"
        )
    mean, var = _parameters(name, network)
    constant = prior_var == 0
    if (mean != prior_mean)[constant].any():
        raise ValueError(
            f"{name}: got {int((mean != prior_mean)[constant].sum())} constants (parameters of "
            "variance 0 in the prior) of other values, needed the prior's"
        )
    if ((var == 0) != constant).any():
        raise ValueError(
            f"{name}: got {int(((var == 0) != constant).sum())} parameters with variance 0 in "
            "only one of network and prior, needed a network trained from the prior"
        )
    return mean, var


def _check_is_network(name: str, network: object) -> None:
    if not isinstance(network, Sequential):
        raise TypeError(
            f"{name}: got {network!r}, needed a network (of a diffusion model, its net)"
        )


def _same_layers(a: Any, b: Any) -> bool:
    """Whether two networks have equal layers, those of containers inside them included."""
    parts = [_parts_of(a), _parts_of(b)]
    if parts == [None, None]:
        return bool(a == b)
    return (
        None not in parts
        and len(parts[0]) == len(parts[1])
        and all(_same_layers(x, y) for x, y in zip(*parts, strict=True))
    )


def _parts_of(layer: Any) -> Any:
    """The class of a container and what it is made of; None for another layer."""
    if isinstance(layer, Sequential):
        return (Sequential, *layer.layers)
    if isinstance(layer, Residual):
        return (Residual, *layer.config.values())
    if isinstance(layer, Concat):
        return (Concat, *layer.branches)
    return None


def _parameters(name: str, network: Sequential) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and variances of all parameters, constants included, of one moment."""
    mean, var = network._model.get_parameters()
    if not (np.isfinite(mean) & np.isfinite(var) & (var >= 0)).all():
        raise ValueError(
            f"{name}: got means that are not finite, or variances that are not finite or below 0, "
            "needed finite means, and finite variances of at least 0"
        )
    return mean.astype(np.float64), var.astype(np.float64)


def _copy_with(network: Sequential, mean: Parameters, var: Parameters) -> Sequential:
    """A copy of a network with other parameters."""
    model = network._model.copy_to(network.device, network.precision)
    model.set_parameters(mean, var)
    return network._with_model(model)
