"""What benchmarks of speed share: failures in words, ratios of times, and how they are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tagix.bench.timing import Spread

Ratios = dict[str, dict[str, Spread]]
"""Time of tagix / time of an opponent, by opponent and by precision of tagix."""


def in_a_line(error: Exception) -> str:
    """What went wrong, without its second line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def ratios_of(
    seconds: Mapping[str, Sequence[float]], opponents: Iterable[str], precisions: Iterable[str]
) -> Ratios:
    """The ratios of seconds by contender and round; the precisions are the contenders of tagix."""
    ours = list(precisions)
    return {
        name: {each: Spread.of_ratios(seconds[each], seconds[name]) for each in ours}
        for name in opponents
    }


def ratio_cells(ratios: Iterable[Spread]) -> str:
    """Ratios side by side, in columns of the same width."""
    return "  ".join(f"{ratio.text():24}" for ratio in ratios)


def numbers_of(times: Mapping[str, Spread], ratios: Ratios) -> dict[str, Any]:
    """Times and ratios as JSON can hold them."""
    return {
        "seconds": {name: asdict(spread) for name, spread in times.items()},
        "ratio": {
            name: {precision: asdict(spread) for precision, spread in by_precision.items()}
            for name, by_precision in ratios.items()
        },
    }


def draw_bars(
    axes: Any,
    spreads: Sequence[Mapping[str, float]],
    positions: Sequence[float],
    unit: float = 1.0,
    **style: Any,
) -> None:
    """Medians of spreads, times a unit, with bars from least to greatest."""
    axes.errorbar(
        [unit * spread["median"] for spread in spreads],
        positions,
        xerr=[
            [unit * (spread["median"] - spread["min"]) for spread in spreads],
            [unit * (spread["max"] - spread["median"]) for spread in spreads],
        ],
        **style,
    )
