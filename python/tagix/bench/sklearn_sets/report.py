"""The tables of the benchmark on scikit-learn's sets."""

from __future__ import annotations

from collections.abc import Sequence

from tagix.bench.markdown import markdown_table
from tagix.bench.results import Results
from tagix.bench.section import Section
from tagix.bench.sklearn_sets.sets import SETS
from tagix.bench.tabular.report import (
    ACCURACY,
    COVERAGE,
    CRPS,
    LOG_LOSS,
    NLL,
    RMSE,
    SECONDS,
    WIDTH,
    Column,
    Scores,
    Work,
    contenders_in_words,
    laws_in_words,
    score_table,
    scores_of,
    settings_of,
    settings_table,
    to_json,
)


def report(work: Work, results: Results) -> Section:
    """Tables of numbers and of classes; nothing is aimed at.

    Args:
        work: Jobs by method and set.
        results: What the jobs gave.
    """
    names = list(next(iter(work.values())))
    text = ["**Sets**, without any download:", _sets_table(names)]
    settings, scores = {}, {}
    for heading, of_classes, columns in (
        ("numbers", False, (RMSE, NLL, CRPS, COVERAGE, WIDTH, SECONDS)),
        ("classes", True, (ACCURACY, LOG_LOSS, SECONDS)),
    ):
        part = _part(work, of_classes)
        if not part:
            continue
        found = scores_of(part, results)
        text += [f"### {heading.capitalize()}", *_tables(part, found, columns)]
        settings[heading] = settings_of(part)
        scores[heading] = to_json(found)
    return Section(
        "tables",
        "Ten sets of scikit-learn",
        text,
        numbers={"scores": scores, "settings": settings},
    )


def _part(work: Work, of_classes: bool) -> Work:
    """The jobs of the sets with numbers or with classes, without what would be empty."""
    parts = {
        method: {
            name: jobs for name, jobs in of_method.items() if SETS[name].of_classes == of_classes
        }
        for method, of_method in work.items()
    }
    return {method: of_method for method, of_method in parts.items() if of_method}


def _tables(work: Work, scores: Scores, columns: Sequence[Column]) -> list[str]:
    text = []
    for column in columns:
        words = laws_in_words(list(work)) if column is NLL else ""
        text += [" ".join([column.text, words]).strip(), score_table(scores, column)]
    return [*text, contenders_in_words(work, "fold"), settings_table(work)]


def _sets_table(names: Sequence[str]) -> str:
    return markdown_table(["", "what it is"], [[name, SETS[name].text] for name in names], n_left=2)
