"""Modules that tests of networks share."""

from __future__ import annotations

from typing import Any

from tagix import nn


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        self.a, self.b, self.act, self.head = (
            nn.Linear(3, 9), nn.Linear(2, 7), nn.ReLU(), nn.Linear(16, 2),
        )  # fmt: skip

    def forward(self, a: nn.Value, b: nn.Value) -> nn.Value:
        joined = nn.concat([self.act(self.a(a)), self.act(self.b(b))])
        return self.head(joined)  # type: ignore[no-any-return]


def two_input_network(**options: Any) -> nn.Network:
    return nn.Network(TwoInputs(), inputs={"a": (3,), "b": (2,)}, seed=2, **options)


class Twice(nn.Module):
    def __init__(self) -> None:
        self.shared, self.act = nn.Linear(4, 4), nn.Tanh()

    def forward(self, x: nn.Value) -> nn.Value:
        return self.shared(self.act(self.shared(x)))  # type: ignore[no-any-return]


class Repeated(nn.Module):
    """A hidden layer that is used three times."""

    def __init__(self) -> None:
        self.first, self.shared, self.last = nn.Linear(3, 32), nn.Linear(32, 32), nn.Linear(32, 2)
        self.act = nn.Tanh()

    def forward(self, x: nn.Value) -> nn.Value:
        hidden = self.act(self.first(x))
        for _ in range(3):
            hidden = self.act(self.shared(hidden))
        return self.last(hidden)  # type: ignore[no-any-return]
