"""How much the benchmark of uncertainty measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the defaults are those of the tables in docs/uncertainty.md."""

    n_train: int = 100_000
    n_held_out: int = 20_000
    n_samples: int = 10_000
    batch_sizes: tuple[int, ...] = (1, 20, 256, 2048, 8192, 20_000)
    noise_batch_size: int = 2048
    noise_epochs: int = 6
    # Epochs after which the variances of predictions, of samples, and of predictions are checked.
    epochs: tuple[int, int, int] = (5, 10, 20)
    n_draws: int = 2000
    # Held-out rows whose predictions are compared with those of draws.
    n_drawn_rows: int = 1000
    uci_epochs: tuple[int, int] = (5, 40)
    # Moves of Hamiltonian Monte Carlo, before and after its steps are adapted.
    n_moves: tuple[int, int] = (400, 800)
    n_chains: int = 150
    n_chain_samples: int = 150
    n_ensemble: int = 400
    # Calls of sample(ensemble=few), each beside one of so many networks.
    n_calls: int = 8
    n_many: int = 128
    n_toy_seeds: int = 10
    toy_epochs: int = 400
    n_rounds: int = 7
    round_seconds: float = 1.0


QUICK = Sizes(
    n_train=2000,
    n_held_out=500,
    n_samples=300,
    batch_sizes=(1, 256, 20_000),
    noise_batch_size=256,
    noise_epochs=1,
    epochs=(1, 2, 3),
    n_draws=10,
    n_drawn_rows=50,
    uci_epochs=(1, 2),
    n_moves=(2, 8),
    n_chains=4,
    n_chain_samples=10,
    n_ensemble=4,
    n_calls=1,
    n_many=17,
    n_toy_seeds=1,
    toy_epochs=5,
    n_rounds=2,
    round_seconds=0.01,
)
