"""The networks of an estimator for tables, and how they are made."""

from __future__ import annotations

from typing import Any

from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tagix import _core, nn
from tagix._core import Forgetting
from tagix._training import History
from tagix.sklearn._encoding import Encoding
from tagix.sklearn._parameters import Parameters
from tagix.sklearn._recipe import RECIPE
from tagix.sklearn._table_training import NetworkMaker


class Networks(Parameters):
    """A few networks of the prior that differ by their seeds, and the histories of their training.

    A derived class says how many outputs they have, and what else its targets need.
    """

    nets_: list[nn.Sequential]
    histories_: list[History]
    _encoding: Encoding | None = None
    """What networks see of standardized rows of a table; None in streams: the rows."""

    def _n_outputs(self) -> int:
        """Outputs of a network."""
        raise NotImplementedError

    def _network_arguments(self) -> dict[str, Any]:
        """What a network is made with for its targets: noise or likelihood."""
        raise NotImplementedError

    @property
    def net_(self) -> nn.Sequential:
        """The first of the networks."""
        check_is_fitted(self)
        return self.nets_[0]

    @property
    def history_(self) -> History:
        """The results of each epoch of the last fit of the first network."""
        check_is_fitted(self)
        return self.histories_[0]

    @property
    def n_iter_(self) -> int:
        """Epochs of the last fit, of the network that took the most."""
        check_is_fitted(self)
        return max(len(history.train_mse) for history in self.histories_)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "nets_")

    def _make_all_networks(self, n_columns: int, *, for_table: bool) -> None:
        """Networks that have learned nothing, for rows of ``n_columns`` standardized columns."""
        self.nets_ = self._make_networks(n_columns, for_table)
        self.histories_ = [History() for _ in self.nets_]

    def _make_networks(self, n_features: int, for_table: bool) -> list[nn.Sequential]:
        self._check_parameters()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        n_nets = self.n_estimators
        if self.fast and for_table:
            n_nets = min(n_nets, RECIPE.fast_n_estimators)
        seeds = [_core.derive_seed(seed, member) for member in range(n_nets)]
        return self._networks_of_seeds(n_features, seeds, for_table)

    def _networks_of_seeds(
        self, n_features: int, seeds: list[int], for_table: bool
    ) -> list[nn.Sequential]:
        hidden = self._hidden_widths(for_table)
        share = RECIPE.share if for_table else RECIPE.stream_share
        nets = []
        for member, seed in enumerate(seeds):
            encoding = self._encoding and self._encoding.of_member(member)
            n_inputs = n_features + (encoding.n_added if encoding else 0)
            nets.append(self._make_network(n_inputs, hidden, seed, self.forgetting, share))
        return nets

    def _make_network(
        self,
        n_inputs: int,
        hidden: list[int],
        seed: int,
        forgetting: Forgetting | None,
        share: float,
        **others: Any,
    ) -> nn.Sequential:
        """A network of the prior; ``others`` go before :meth:`_network_arguments`."""
        return nn.Sequential(
            *RECIPE.layers(n_inputs, hidden, self._n_outputs()),
            seed=seed,
            device=self.device,
            precision=self.precision,
            forgetting=forgetting,
            rule=_core.Information(share=share),
            **self._network_arguments() | others,
        )

    def _network_maker(self, **others: Any) -> NetworkMaker:
        """What makes the networks of a table; ``others`` as for :meth:`_make_network`."""
        hidden = self._hidden_widths(for_table=True)
        return lambda n_inputs, seed: self._make_network(
            n_inputs, hidden, seed, None, RECIPE.share, **others
        )
