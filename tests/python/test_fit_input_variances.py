"""fit on inputs that are uncertain, by numbers and by classes."""

from __future__ import annotations

import numpy as np
import pytest
from class_likelihoods import Likelihood, classifier, clusters
from helpers import on_every_device, regression_data, small, state_error

import tagix as tx


@on_every_device
@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("head", [None, tx.HierarchicalSoftmax(5), tx.Remax(5)], ids=str)
def test_fit_on_uncertain_inputs_is_update_by_update(
    head: Likelihood | None, batch_size: int, device: str
) -> None:
    noise = tx.Heteroscedastic() if head is None else None
    make = (
        (lambda: small(noise=noise, device=device))
        if head is None
        else lambda: classifier(head, device=device)
    )
    x, y = regression_data(50) if head is None else clusters(50)
    x_var = np.random.default_rng(2).uniform(0, 0.4, x.shape).astype(np.float32)
    fitted, updated, exact = make(), make(), make()
    fitted.fit(x, y, x_var=x_var, n_epochs=1, batch_size=batch_size, shuffle=False, progress=False)
    for first in range(0, 50, batch_size):
        part = slice(first, first + batch_size)
        updated.update(x[part], y[part], x_var=x_var[part])
    assert state_error(fitted.state_dict(), updated.state_dict()) < 2e-5
    exact.fit(x, y, n_epochs=1, batch_size=batch_size, shuffle=False, progress=False)
    assert state_error(exact.state_dict(), updated.state_dict()) > 1e-3


def test_fit_shuffles_variances_with_their_rows() -> None:
    # A row of no certainty beside certain ones: it must say as little wherever it comes.
    x, y = regression_data(64)
    x_var = np.zeros_like(x)
    x_var[::2] = 4
    y[::2] += 20
    nets = [small(noise=tx.Homoscedastic(0.3)) for _ in range(2)]
    for net, permutation in zip(nets, (np.arange(64), np.arange(64)[::-1]), strict=True):
        net.fit(
            x[permutation],
            y[permutation],
            x_var=x_var[permutation],
            n_epochs=1,
            batch_size=64,
            progress=False,
        )
    assert state_error(nets[0].state_dict(), nets[1].state_dict()) < 1e-5
