"""Tables of scores: a row for each contender, a column for each set."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tagix.bench.compare import Summary
from tagix.bench.results import Results
from tagix.bench.section import markdown_table
from tagix.bench.tabular.contenders import CONTENDERS, version_of
from tagix.bench.tabular.job import TableJob
from tagix.bench.tabular.laws import calibration_error

# By method and set.
Work = Mapping[str, Mapping[str, Sequence[TableJob]]]


@dataclass(frozen=True)
class SetScores:
    """What one contender scored on one set.

    Attributes:
        summaries: By score, over the splits.
        pooled_calibration_error: The quantile calibration error of the test rows of all splits
            together, which depends less on chance than that of single splits; None for classes.
        n_jobs: Splits that were to be run.
    """

    summaries: Mapping[str, Summary]
    pooled_calibration_error: float | None
    n_jobs: int

    @classmethod
    def of(cls, jobs: Sequence[TableJob], results: Results) -> SetScores | None:
        """The scores of those jobs that have results, or None if none has."""
        found = [(job, numbers) for job in jobs if (numbers := results.of(job)) is not None]
        if not found:
            return None
        names = [name for name in found[0][1] if name != "job"]
        levels = [results.arrays(job).get("level") for job, _ in found]
        reached = [each for each in levels if each is not None]
        return cls(
            {name: Summary(tuple(float(each[name]) for _, each in found)) for name in names},
            calibration_error(np.concatenate(reached)) if reached else None,
            len(jobs),
        )

    def __getitem__(self, score: str) -> Summary:
        return self.summaries[score]

    @property
    def is_complete(self) -> bool:
        """Whether every split has a result."""
        return self["n_train"].n == self.n_jobs

    def to_json(self) -> dict[str, Any]:
        """All scores with their standard errors."""
        numbers: dict[str, Any] = {
            name: {**asdict(summary), "standard_error": standard_error(summary)}
            for name, summary in self.summaries.items()
        }
        if self.pooled_calibration_error is not None:
            numbers["pooled_quantile_calibration_error"] = self.pooled_calibration_error
        return {**numbers, "n_jobs": self.n_jobs}


# By method and set; None where no split has a result.
Scores = Mapping[str, Mapping[str, SetScores | None]]


def scores_of(work: Work, results: Results) -> Scores:
    """What every contender scored on every set."""
    return {
        method: {name: SetScores.of(jobs, results) for name, jobs in of_method.items()}
        for method, of_method in work.items()
    }


def to_json(scores: Scores) -> dict[str, dict[str, dict[str, Any] | None]]:
    """All scores by method and set, as JSON can hold them."""
    return {
        method: {name: None if each is None else each.to_json() for name, each in of_method.items()}
        for method, of_method in scores.items()
    }


def standard_error(summary: Summary) -> float:
    """Of the mean over splits, std / sqrt(n), as the published figures have it."""
    return summary.std / math.sqrt(summary.n)


@dataclass(frozen=True)
class Column:
    """How a score is shown.

    Attributes:
        score: Its name among the numbers of a job.
        text: What stands above its table.
        best: "lower" or "higher", of which the best is bold; None: neither is good by itself.
        digits: After the decimal point; None: 3 below 1 and 2 from there on.
        with_error: Show the standard error of the mean.
    """

    score: str
    text: str
    best: str | None = None
    digits: int | None = None
    with_error: bool = True


RMSE = Column(
    "rmse",
    "**Root mean squared error** in the units of y, mean ± standard error over splits. Low is "
    "good; the lowest that was measured here is bold.",
    "lower",
)
NLL = Column(
    "nll",
    "**Negative log-likelihood** of a test target in the units of y, in nats, by the predicted "
    "law. Low is good.",
    "lower",
)
CRPS = Column(
    "crps",
    "**Continuous ranked probability score** in the units of y, by the predicted law. Low is good.",
    "lower",
)
COVERAGE = Column(
    "coverage",
    "**Coverage** of 90 % intervals.",
    digits=3,
    with_error=False,
)
WIDTH = Column("interval_width", "**Width** of 90 % intervals in the units of y.", with_error=False)
ACCURACY = Column("accuracy", "**Accuracy**. High is good.", "higher", 4)
LOG_LOSS = Column(
    "log_loss",
    "**Log loss** of a test label, in nats; probabilities count as at least 1e-6. Low is good.",
    "lower",
    4,
)
SECONDS = Column(
    "fit_cpu_seconds",
    "**Processor seconds of a fit**, one thread.",
    digits=2,
    with_error=False,
)


def score_table(
    scores: Scores,
    column: Column,
    beside: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """What every contender scored on every set.

    Args:
        scores: By method and set; all methods have the same sets.
        column: The score.
        beside: Further rows of published figures by set, by their headings.
    """
    names = list(next(iter(scores.values())))
    best = {name: _best(scores, name, column) for name in names}
    rows = [
        [
            CONTENDERS[method].label,
            *(_cell(of_set, column, method in best[name]) for name, of_set in of_method.items()),
        ]
        for method, of_method in scores.items()
    ]
    for heading, figures in (beside or {}).items():
        rows.append([heading, *(f"{figures[name]:g}" if name in figures else "" for name in names)])
    return markdown_table(["", *names], rows)


def pooled_calibration_table(scores: Scores) -> str:
    """Quantile calibration errors of the test rows of all splits together."""
    names = list(next(iter(scores.values())))
    rows = []
    for method, of_method in scores.items():
        errors = [each and each.pooled_calibration_error for each in of_method.values()]
        rows.append(
            [
                CONTENDERS[method].label,
                *("failed" if error is None else f"{error:.3f}" for error in errors),
            ]
        )
    return markdown_table(["", *names], rows)


def settings_table(work: Work) -> str:
    """Packages, versions, settings and laws of the contenders."""
    rows = []
    for method, of_method in work.items():
        contender = CONTENDERS[method]
        settings = next(iter(of_method.values()))[0].settings
        arguments = ", ".join(f"{name}={value!r}" for name, value in settings["arguments"].items())
        rows.append(
            [
                contender.label,
                f"{contender.package} {settings['version']}",
                arguments or "defaults",
            ]
        )
    return markdown_table(["", "package", "settings, the same for all sets"], rows, n_left=3)


def contenders_in_words(work: Work, split: str) -> str:
    """The number of splits, the seed, and the versions that all contenders share, in words.

    Args:
        work: Jobs by method and set.
        split: What the benchmark calls one of its splits, such as "fold".
    """
    n_jobs = {name: len(jobs) for name, jobs in next(iter(work.values())).items()}
    counts = sorted(set(n_jobs.values()))
    splits = f"each set has {counts[0]} {split}{'s' * (counts[0] > 1)}"
    if len(counts) > 1:
        splits = f"{split}s: " + ", ".join(f"{count} of {name}" for name, count in n_jobs.items())
    shared = ("numpy", "scipy", "scikit-learn")
    versions = ", ".join(f"{name} {version_of(name)}" for name in shared)
    return (
        f"**Contenders**, each on one thread, its seed the number of the {split} ({splits}; "
        f"Python {platform.python_version()}, {versions})."
    )


def laws_in_words(methods: Sequence[str]) -> str:
    """A text that names the contenders without a law of their own; empty if all have one."""
    without = [CONTENDERS[name].label for name in methods if not CONTENDERS[name].has_own_law]
    if not without:
        return ""
    return (
        f"{_and(without)} {'predicts' if len(without) == 1 else 'predict'} a number alone: the law "
        "about it is one Student's t, its scale and degrees of freedom fitted to the errors on "
        "train rows left out (five folds), so that a fit takes six trainings."
    )


def settings_of(work: Work) -> dict[str, Any]:
    """Settings and packages of the contenders, for JSON."""
    return {
        method: {
            "package": CONTENDERS[method].package,
            **next(iter(of_method.values()))[0].description()["settings"],
        }
        for method, of_method in work.items()
    }


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _best(scores: Scores, name: str, column: Column) -> list[str]:
    """The methods whose mean on a set is the best, of those that have a result for each split."""
    means = {
        method: each[column.score].mean
        for method, of_method in scores.items()
        if (each := of_method[name]) is not None and each.is_complete
    }
    if column.best is None or len(means) < 2:
        return []
    best = (min if column.best == "lower" else max)(means.values())
    return [method for method, mean in means.items() if mean == best]


def _cell(scores: SetScores | None, column: Column, is_best: bool) -> str:
    if scores is None:
        return "failed"
    summary = scores[column.score]
    digits = column.digits
    if digits is None:
        digits = 3 if abs(summary.mean) < 1 else 2
    mean = f"{summary.mean:.{digits}f}"
    text = f"**{mean}**" if is_best else mean
    if column.with_error:
        text += f" ± {standard_error(summary):.{digits}f}"
    return text if scores.is_complete else f"{text} ({summary.n} of {scores.n_jobs} splits)"
