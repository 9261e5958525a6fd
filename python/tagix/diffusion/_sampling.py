"""How a diffusion model draws samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from tagix import _core, schedules
from tagix._arrays import as_count, as_flag
from tagix._classes import as_labels, guidance_weights
from tagix._seeds import check_seed
from tagix.diffusion._defaults import default_sampler
from tagix.diffusion._moderation import MOST_DRAWS, moderated
from tagix.diffusion._parts import Parts
from tagix.samplers import Sampler
from tagix.samples import Samples


def sample(
    model: Parts,
    n_samples: int,
    *,
    label: ArrayLike | None,
    guidance: float | None,
    guidance_convention: str,
    sampler: Sampler | None,
    trajectory: bool,
    seed: int | None,
    uncertainty: bool,
    ensemble: int | None,
) -> Samples:
    """:meth:`tagix.DiffusionModel.sample`, which calls it."""
    count = as_count("n_samples", n_samples, least=0)
    trajectory = as_flag("trajectory", trajectory)
    n_draws = 0 if ensemble is None else as_count("ensemble", ensemble, least=2)
    uncertainty = as_flag("uncertainty", uncertainty) or n_draws > 0
    weights = guidance_weights(guidance, guidance_convention)
    labels = None
    if label is not None:
        labels = as_labels("label", label, count, model.n_classes)
        if weights == (0.0, 1.0):  # as if there were none
            labels, weights = None, (1.0, 0.0)
    elif guidance is not None:
        raise ValueError("guidance: got a number without a label, needed a label to guide to")
    if sampler is None:
        sampler = default_sampler(model.n_features, uncertainty)
    plan = _core_plan(model, sampler)

    if seed is not None:
        seed = check_seed(seed)
    model._check_fitted("sample")

    def draw(seed: int) -> Samples:
        x, var, chain, epistemic, aleatoric, score, of_draws = model._process.sample(
            model.net._model,
            plan,
            count,
            seed,
            labels,
            weights,
            trajectory,
            uncertainty,
            n_draws,
        )
        if of_draws is not None:
            scale = np.asarray(model._process.scale, np.float32)
            few = n_draws <= MOST_DRAWS
            epistemic = moderated(of_draws, epistemic, n_draws, scale) if few else of_draws
        return model._units.restore_samples(x, var, chain, epistemic, aleatoric, score)

    return _with_next_seed(model, draw) if seed is None else draw(seed)


def _with_next_seed(model: Parts, draw: Callable[[int], Samples]) -> Samples:
    """Samples by the seed that follows from the model's and the number of calls without one."""
    with model._counting_samples:
        # Claimed before the GIL is given up, so that no other thread gets the same number.
        model._sample_calls += 1
        call = model._sample_calls
    try:
        return draw(_core.derive_seed(model.net.seed, call))
    except BaseException:
        with model._counting_samples:
            if model._sample_calls == call:  # a failed call does not count
                model._sample_calls -= 1
        raise


def _core_plan(model: Parts, sampler: Sampler) -> _core.SamplerPlan:
    """The stages of a sampler, and what the network sees of their timesteps."""
    if not isinstance(sampler, Sampler):
        raise TypeError(f"sampler: got {sampler!r}, needed one of tagix.samplers")
    alpha_bar = model.alpha_bar
    plan = sampler.plan(alpha_bar, model.prediction_type)
    features = schedules.time_features(model._settings["time_features"], plan.t, alpha_bar)
    last = schedules.sigma(schedules.alpha_bar_at(alpha_bar, plan.t[-1:]))
    return _core.SamplerPlan(
        np.ascontiguousarray(plan.table, dtype=np.float32),
        np.ascontiguousarray(features, dtype=np.float32),
        plan.ends_step.tolist(),
        float(last[0]) ** 2,
    )
