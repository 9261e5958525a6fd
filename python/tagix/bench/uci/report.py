"""The tables of the UCI benchmark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tagix.bench.compare import Summary
from tagix.bench.results import Results
from tagix.bench.section import Section, Target, markdown_table
from tagix.bench.uci.job import Method, UciJob
from tagix.bench.uci.laws import calibration_error
from tagix.bench.uci.published import (
    COVERAGE,
    DEEP_ENSEMBLES,
    LEAST_BETTER_LOG_LIKELIHOODS,
    MOST_SECONDS,
    TAGI_V,
    Figures,
)

SCORES = (
    "rmse",
    "log_likelihood",
    "crps",
    "coverage",
    "interval_width",
    "quantile_calibration_error",
    "n_epochs",
    "fit_seconds",
)


@dataclass(frozen=True)
class SetScores:
    """What one method scored on one set.

    Attributes:
        summaries: By a name in SCORES, over the splits.
        pooled_calibration_error: The quantile calibration error of the test rows of all splits
            together, which has less of chance in it than that of single splits.
        n_jobs: Splits that were to be run.
    """

    summaries: Mapping[str, Summary]
    pooled_calibration_error: float
    n_jobs: int

    @classmethod
    def of(cls, jobs: Sequence[UciJob], results: Results) -> SetScores | None:
        """The scores of those jobs that have results, or None if none has."""
        done = [job for job in jobs if results.of(job) is not None]
        if not done:
            return None
        found = [results.of(job) or {} for job in done]
        levels = np.concatenate([results.arrays(job)["level"] for job in done])
        return cls(
            {name: Summary(tuple(float(each[name]) for each in found)) for name in SCORES},
            calibration_error(levels),
            len(jobs),
        )

    def __getitem__(self, score: str) -> Summary:
        return self.summaries[score]

    @property
    def is_complete(self) -> bool:
        """Whether every split has a result."""
        return self["rmse"].n == self.n_jobs


def standard_error(summary: Summary) -> float:
    """Of the mean over splits, std / sqrt(n), as the published figures have it."""
    return summary.std / math.sqrt(summary.n)


def reaches_rmse(ours: Summary, published: float) -> bool:
    """Whether the mean is no more than one of our standard errors above a published figure."""
    return ours.mean - standard_error(ours) <= published


def report(
    jobs: Mapping[Method, Mapping[str, Sequence[UciJob]]],
    results: Results,
    *,
    seconds: float | None,
    n_workers: int,
    quick: bool,
) -> Section:
    """Tables and targets.

    Args:
        jobs: By method and set.
        results: What the jobs gave.
        seconds: What our jobs took by the clock, None where some were there before.
        n_workers: Processes that they ran in.
        quick: Whether only some splits were run, so that no target can be judged.
    """
    scores = {
        method: {name: SetScores.of(each, results) for name, each in of_method.items()}
        for method, of_method in jobs.items()
    }
    ours, peer = scores["tagix"], scores.get("pytorch")
    text = [
        "**Root mean squared error**, in the units of y; mean ± standard error over splits "
        "(standard deviation). Low is good.",
        _accuracy_table(ours, peer, "rmse", lambda figures: figures.rmse),
        "**Log-likelihood** of a test target in the units of y, in nats, by the predicted law: "
        "Student's t of tagix, Gaussians of the others. High is good.",
        _accuracy_table(ours, peer, "log_likelihood", lambda figures: figures.log_likelihood),
        "**Calibration** and cost of tagix, by the same law. Coverage and width are those of 90 % "
        "intervals; the quantile calibration error is a mean over splits and, pooled, that of the "
        "test rows of all splits together; seconds are those of one fit on one thread.",
        _calibration_table(ours),
    ]
    if peer is not None:
        text += ["The same of the PyTorch peer:", _calibration_table(peer)]
    return Section(
        "uci",
        "Regression on UCI sets",
        text,
        targets=[] if quick else _targets(ours, seconds, n_workers),
        numbers={
            "seconds": seconds,
            "n_workers": n_workers,
            "scores": {
                method: {name: _numbers(each) for name, each in of_method.items()}
                for method, of_method in scores.items()
            },
            "settings": {
                method: next(iter(of_method.values()))[0].description()["settings"]
                for method, of_method in jobs.items()
            },
            "published": {
                "TAGI-V": {name: figures._asdict() for name, figures in TAGI_V.items()},
                "deep ensembles": {n: figures._asdict() for n, figures in DEEP_ENSEMBLES.items()},
            },
        },
    )


def _numbers(scores: SetScores | None) -> dict[str, Any] | None:
    if scores is None:
        return None
    of_scores = {
        name: {**asdict(summary), "standard_error": standard_error(summary)}
        for name, summary in scores.summaries.items()
    }
    pooled = scores.pooled_calibration_error
    return {**of_scores, "pooled_quantile_calibration_error": pooled, "n_jobs": scores.n_jobs}


def _with_error(scores: SetScores | None, name: str) -> str:
    if scores is None:
        return "failed"
    summary = scores[name]
    digits = 3 if abs(summary.mean) < 1 else 2
    return (
        f"{summary.mean:.{digits}f} ± {standard_error(summary):.{digits}f} "
        f"({summary.std:.{digits}f})"
    )


def _accuracy_table(
    ours: Mapping[str, SetScores | None],
    peer: Mapping[str, SetScores | None] | None,
    score: str,
    of: Callable[[Figures], float],
) -> str:
    header = ["", "tagix", "TAGI-V, tuned per set", "deep ensembles"]
    header += [] if peer is None else ["PyTorch peer"]
    rows = []
    for name, scores in ours.items():
        published = [
            f"{of(table[name]):g}" if name in table else "" for table in (TAGI_V, DEEP_ENSEMBLES)
        ]
        row = [name, _with_error(scores, score), *published]
        rows.append(row if peer is None else [*row, _with_error(peer.get(name), score)])
    return markdown_table(header, rows)


def _calibration_table(scores: Mapping[str, SetScores | None]) -> str:
    header = [
        "",
        "splits",
        "coverage",
        "calibration error",
        "pooled",
        "CRPS",
        "width",
        "epochs",
        "seconds",
    ]
    rows = []
    for name, each in scores.items():
        if each is None:
            rows.append([name, "failed", *[""] * (len(header) - 2)])
            continue
        rows.append(
            [
                name,
                str(each["rmse"].n),
                f"{each['coverage'].mean:.3f}",
                f"{each['quantile_calibration_error'].mean:.3f}",
                f"{each.pooled_calibration_error:.3f}",
                f"{each['crps'].mean:.3f}",
                f"{each['interval_width'].mean:.2f}",
                f"{each['n_epochs'].mean:.0f}",
                f"{each['fit_seconds'].mean:.2f}",
            ]
        )
    return markdown_table(header, rows)


def _targets(
    ours: Mapping[str, SetScores | None], seconds: float | None, n_workers: int
) -> list[Target]:
    """Judged where all sets with published figures were run."""
    if any(name not in ours for name in TAGI_V):
        return []
    complete = {
        name: scores for name in TAGI_V if (scores := ours[name]) is not None and scores.is_complete
    }
    n = len(TAGI_V)

    def count(is_met: Callable[[str, SetScores], bool]) -> int:
        return sum(is_met(name, scores) for name, scores in complete.items())

    def rmse_of(table: Mapping[str, Figures]) -> int:
        return count(lambda name, each: reaches_rmse(each["rmse"], table[name].rmse))

    def log_likelihood_of(table: Mapping[str, Figures]) -> int:
        return count(lambda name, each: each["log_likelihood"].mean > table[name].log_likelihood)

    low, high = COVERAGE
    rmse, better = rmse_of(TAGI_V), log_likelihood_of(TAGI_V)
    covered = count(lambda name, each: low <= each["coverage"].mean <= high)
    coverages = ", ".join(f"{each['coverage'].mean:.3f}" for each in complete.values())
    targets = [
        Target(
            f"RMSE at most one standard error above tuned TAGI-V on all {n} sets",
            f"{rmse} of {n} (deep ensembles: {rmse_of(DEEP_ENSEMBLES)})",
            rmse == n,
        ),
        Target(
            f"log-likelihood above tuned TAGI-V on {LEAST_BETTER_LOG_LIKELIHOODS} of {n} sets",
            f"{better} of {n} (deep ensembles: {log_likelihood_of(DEEP_ENSEMBLES)})",
            better >= LEAST_BETTER_LOG_LIKELIHOODS,
        ),
        Target(
            f"coverage of 90 % intervals {low}-{high} on all {n} sets",
            f"{covered} of {n}: {coverages}",
            covered == n,
        ),
    ]
    if seconds is not None:
        targets.append(
            Target(
                f"all splits in at most {MOST_SECONDS:.0f} s on 2 cores",
                f"{seconds:.0f} s in {n_workers} process{'es' * (n_workers > 1)}",
                seconds <= MOST_SECONDS,
            )
        )
    return targets
