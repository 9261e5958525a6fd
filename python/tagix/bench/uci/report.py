"""The tables of the UCI benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter

from tagix.bench.results import Results
from tagix.bench.section import Section, Target
from tagix.bench.tabular.contenders import CONTENDERS
from tagix.bench.tabular.report import (
    COVERAGE,
    CRPS,
    NLL,
    RMSE,
    SECONDS,
    WIDTH,
    Scores,
    SetScores,
    Work,
    contenders_in_words,
    laws_in_words,
    pooled_calibration_table,
    score_table,
    scores_of,
    settings_of,
    settings_table,
    to_json,
)
from tagix.bench.uci.published import (
    GOALS,
    LEAST_COVERAGE,
    LEAST_SETS_AHEAD,
    MOST_COVERAGE,
    MOST_ROWS,
    MOST_SECONDS,
    PUBLISHED,
    Figures,
)


def report(work: Work, results: Results, *, quick: bool) -> Section:
    """Tables and targets.

    Args:
        work: Jobs by method and set; "tagix" is among the methods.
        results: What the jobs gave.
        quick: Whether only some splits were run, so that no target can be judged.
    """
    scores = scores_of(work, results)

    def published(of: Callable[[Figures], float]) -> dict[str, dict[str, float]]:
        return {
            heading: {name: of(figures) for name, figures in of_sets.items()}
            for heading, of_sets in PUBLISHED.items()
        }

    text = [
        RMSE.text,
        score_table(scores, RMSE, published(attrgetter("rmse"))),
        " ".join([NLL.text, laws_in_words(list(work))]).strip(),
        score_table(scores, NLL, published(attrgetter("nll"))),
    ]
    for column in (CRPS, COVERAGE, WIDTH):
        text += [column.text, score_table(scores, column)]
    text += [
        "**Quantile calibration error** of the test rows of all splits together: how far the share "
        "of targets at or below a quantile is from its level, a mean over 99 levels.",
        pooled_calibration_table(scores),
        SECONDS.text,
        score_table(scores, SECONDS),
        contenders_in_words(work, "split"),
        settings_table(work),
    ]
    return Section(
        "uci",
        "Regression on UCI sets",
        text,
        targets=[] if quick else _targets(scores),
        numbers={
            "scores": to_json(scores),
            "settings": settings_of(work),
            "published": {
                heading: {name: figures._asdict() for name, figures in of_sets.items()}
                for heading, of_sets in PUBLISHED.items()
            },
        },
    )


def _targets(scores: Scores) -> list[Target]:
    """Judged where all sets with goals were run; what has no result for each split is not met."""
    ours = scores["tagix"]
    if any(name not in ours for name in GOALS):
        return []
    complete = {
        name: each for name in GOALS if (each := ours[name]) is not None and each.is_complete
    }
    peers = [method for method in scores if method != "tagix"]
    return [
        _goal("RMSE", "rmse", complete),
        _goal("negative log-likelihood", "nll", complete),
        *([_ahead("CRPS", "crps", complete, scores, peers)] if peers else []),
        *([_ahead("negative log-likelihood", "nll", complete, scores, peers)] if peers else []),
        _coverage(complete),
        _seconds(complete),
    ]


def _goal(text: str, score: str, ours: Mapping[str, SetScores]) -> Target:
    met = [name for name, each in ours.items() if each[score].mean <= getattr(GOALS[name], score)]
    most = "/".join(f"{getattr(figures, score):g}" for figures in GOALS.values())
    return Target(
        f"{text} at most {most} on {', '.join(GOALS)}",
        f"{len(met)} of {len(GOALS)}: {_means(ours, score)}",
        len(met) == len(GOALS),
    )


def _ahead(
    text: str, score: str, ours: Mapping[str, SetScores], scores: Scores, peers: list[str]
) -> Target:
    """Judged by the peers with a law of their own; the others are counted beside them."""

    def n_ahead(peer: str) -> int:
        others = ((each, scores[peer][name]) for name, each in ours.items())
        return sum(
            each[score].mean < other[score].mean
            for each, other in others
            if other is not None and other.is_complete
        )

    def in_words(names: list[str]) -> str:
        return ", ".join(f"{CONTENDERS[name].label} {ahead[name]}" for name in names)

    ahead = {peer: n_ahead(peer) for peer in peers}
    with_law = [peer for peer in peers if CONTENDERS[peer].has_own_law]
    without = [peer for peer in peers if not CONTENDERS[peer].has_own_law]
    got = in_words(with_law)
    if without:
        got += f"{'; ' * bool(got)}with a law of errors left out: {in_words(without)}"
    return Target(
        f"{text} lower than that of each peer with a law of its own on {LEAST_SETS_AHEAD} of "
        f"{len(GOALS)} sets",
        got,
        all(ahead[peer] >= LEAST_SETS_AHEAD for peer in with_law),
    )


def _coverage(ours: Mapping[str, SetScores]) -> Target:
    met = sum(LEAST_COVERAGE <= each["coverage"].mean <= MOST_COVERAGE for each in ours.values())
    return Target(
        f"coverage of 90 % intervals {LEAST_COVERAGE}-{MOST_COVERAGE} on all {len(GOALS)} sets",
        f"{met} of {len(GOALS)}: {_means(ours, 'coverage')}",
        met == len(GOALS),
    )


def _seconds(ours: Mapping[str, SetScores]) -> Target:
    met = sum(each["fit_cpu_seconds"].mean <= MOST_SECONDS for each in ours.values())
    return Target(
        f"a fit, of up to {MOST_ROWS} rows, in at most {MOST_SECONDS:g} s of one processor on all "
        f"{len(GOALS)} sets",
        f"{met} of {len(GOALS)}: {_means(ours, 'fit_cpu_seconds')}",
        met == len(GOALS),
    )


def _means(scores: Mapping[str, SetScores], score: str) -> str:
    return ", ".join(f"{each[score].mean:.3f}" for each in scores.values())
