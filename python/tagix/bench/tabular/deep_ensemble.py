"""A deep ensemble for regression, trained by Adam with PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tagix._optional import import_optional
from tagix.bench.tabular.laws import Gaussian

Array = npt.NDArray[np.float64]


class DeepEnsemble:
    """Networks of one hidden layer of ReLUs that give a mean and a variance, a mixture of them.

        loss = mean over rows of (ln v + (y - m)^2 / v) / 2,   v = softplus(w) + 1e-6
        mean = mean_i m_i,   var = mean_i v_i + var_i(m_i)

    (Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017, without adversarial examples.) X and y
    are standardized inside. All networks are trained at once, as one batched product.

    Args:
        n_hidden: Units of the hidden layer.
        n_networks: Networks in the mixture.
        n_epochs: Passes over the rows.
        batch_size: Rows of a step; each network has an order of its own.
        learning_rate: Of Adam.
        seed: Of weights and orders.
    """

    def __init__(
        self,
        n_hidden: int,
        *,
        n_networks: int,
        n_epochs: int,
        batch_size: int,
        learning_rate: float,
        seed: int,
    ) -> None:
        self.n_hidden, self.n_networks = n_hidden, n_networks
        self.n_epochs, self.batch_size = n_epochs, batch_size
        self.learning_rate, self.seed = learning_rate, seed

    def fit(self, x: Array, y: Array) -> DeepEnsemble:
        """Learn rows (n, n_features) and targets (n,)."""
        torch = import_optional("torch", extra="torch")
        generator = torch.Generator().manual_seed(self.seed)
        self._x_mean, self._x_scale = _mean_and_scale(x)
        self._y_mean, self._y_scale = _mean_and_scale(y)
        inputs = self._inputs(x)
        targets = torch.as_tensor(((y - self._y_mean) / self._y_scale).astype(np.float32))

        def uniform(*shape: int, n_inputs: int) -> Any:  # as torch.nn.Linear starts
            drawn = torch.rand(self.n_networks, *shape, generator=generator)
            return ((2 * drawn - 1) / n_inputs**0.5).requires_grad_()

        n_features, n_hidden = x.shape[1], self.n_hidden
        self._parameters = [
            uniform(n_features, n_hidden, n_inputs=n_features),
            uniform(1, n_hidden, n_inputs=n_features),
            uniform(n_hidden, 2, n_inputs=n_hidden),
            uniform(1, 2, n_inputs=n_hidden),
        ]
        optimizer = torch.optim.Adam(self._parameters, lr=self.learning_rate)
        for _ in range(self.n_epochs):
            orders = torch.rand(self.n_networks, len(inputs), generator=generator).argsort(dim=1)
            for rows in orders.split(self.batch_size, dim=1):
                mean, var = self._forward(inputs[rows])
                loss = (var.log() + (targets[rows] - mean) ** 2 / var).mean(dim=1).sum() / 2
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return self

    def predict(self, x: Array) -> Gaussian:
        """Gaussians with the moments of the mixture, in the units of y."""
        torch = import_optional("torch", extra="torch")
        with torch.no_grad():
            inputs = self._inputs(x).expand(self.n_networks, -1, -1)
            means, variances = (part.numpy().astype(float) for part in self._forward(inputs))
        var = variances.mean(axis=0) + means.var(axis=0)
        mean = means.mean(axis=0) * self._y_scale + self._y_mean
        return Gaussian(mean, var * self._y_scale**2)

    def _inputs(self, x: Array) -> Any:
        torch = import_optional("torch", extra="torch")
        return torch.as_tensor(((x - self._x_mean) / self._x_scale).astype(np.float32))

    def _forward(self, inputs: Any) -> tuple[Any, Any]:
        """Means and variances (networks, rows) of inputs (networks, rows, features)."""
        torch = import_optional("torch", extra="torch")
        weight, bias, weight_2, bias_2 = self._parameters
        hidden = torch.relu(torch.baddbmm(bias, inputs, weight))
        mean, raw = torch.baddbmm(bias_2, hidden, weight_2).unbind(dim=2)
        return mean, torch.nn.functional.softplus(raw) + 1e-6


def _mean_and_scale(values: Array) -> tuple[Any, Any]:
    """Mean and standard deviation of each column, 1 where that is 0."""
    scale = values.std(axis=0)
    return values.mean(axis=0), np.where(scale == 0, 1.0, scale)
