"""tagix.bench: the arithmetic of reports, with truths worked out by hand, and documents."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

for package in ("typer", "rich", "matplotlib", "ot", "scipy", "sklearn", "torch"):
    pytest.importorskip(package, reason="needs the extras lab and torch")


from tagix.bench import TABLES, compare  # noqa: E402
from tagix.bench.compare import Summary, reaches_floor, verdict  # noqa: E402
from tagix.bench.document import check_document, replace_table, write_document  # noqa: E402
from tagix.bench.jobs import Job  # noqa: E402
from tagix.bench.markdown import markdown_table  # noqa: E402
from tagix.bench.recipes import Scale  # noqa: E402
from tagix.bench.results import Results  # noqa: E402
from tagix.bench.section import Cell, Comparison, show  # noqa: E402
from tagix.bench.store import Store  # noqa: E402
from tagix.bench.tables import timesteps, training_time  # noqa: E402


def test_summary() -> None:
    summary = Summary.of([1.0, 2.0, 6.0])
    assert summary is not None
    assert (summary.mean, summary.n) == (3.0, 3)
    assert summary.std == pytest.approx(math.sqrt(7.0))  # (4 + 1 + 9) / 2
    single = Summary((4.0,))
    assert (single.mean, single.std, single.n) == (4.0, 0.0, 1)
    assert Summary.of([]) is None
    assert (show(summary, 2), show(single, 1)) == ("3.00 ± 2.65", "4.0")


def spread(mean: float, std: float) -> Summary:
    """Three values with this mean and standard deviation."""
    return Summary((mean - std, mean, mean + std))


FLOOR = spread(10.0, 1.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "goal", "winner", "deviations"),
    [
        # sqrt(3^2 + 4^2) = 5
        ((12.0, 3.0), (17.0, 4.0), "lower", "tagix", 1.0),
        ((17.0, 3.0), (12.0, 4.0), "lower", "PyTorch", -1.0),
        # Below the floor is better still, where low is good; too low, where the floor is the goal.
        ((8.0, 3.0), (11.0, 4.0), "lower", "tagix", 0.6),
        # Ours miss by 5, 2 and 1, mean 8/3, sd sqrt(13/3); theirs by 3, 1 and 5, mean 3, sd 2.
        ((8.0, 3.0), (11.0, 4.0), "floor", "tagix", (1 / 3) / math.sqrt(13 / 3 + 4)),
        # On either side by 3, 0 and 3 is farther than by 1.5, 1 and 0.5, whose mean is not at 10.
        ((10.0, 3.0), (9.0, 0.5), "floor", "PyTorch", -1 / math.sqrt(3 + 0.25)),
        ((8.0, 1.0), (12.0, 1.0), "floor", "equal", 0.0),
        ((9.0, 0.3), (8.5, 0.4), "higher", "tagix", 1.0),
        ((9.0, 0.0), (8.5, 0.0), "higher", "tagix", None),
    ],
)
def test_verdict(
    ours: tuple[float, float],
    theirs: tuple[float, float],
    goal: compare.Goal,
    winner: str,
    deviations: float | None,
) -> None:
    judged = verdict(spread(*ours), spread(*theirs), FLOOR, goal)
    assert judged.winner == winner
    assert judged.deviations == (None if deviations is None else pytest.approx(deviations))


@pytest.mark.parametrize(
    ("value", "goal", "reaches"),
    [
        (12.0, "lower", True),
        (12.1, "lower", False),
        (1.0, "lower", True),
        (8.0, "higher", True),
        (7.9, "higher", False),
        (8.0, "floor", True),
        (7.9, "floor", False),
        (12.1, "floor", False),
    ],
)
def test_reaches_floor(value: float, goal: compare.Goal, reaches: bool) -> None:
    assert reaches_floor(spread(value, 5.0), FLOOR, goal) is reaches


def test_comparison_counts_and_table() -> None:
    def cell(name: str, ours: float | None, theirs: float) -> Cell:
        values = {"tagix 5": None if ours is None else spread(ours, 3.0)}
        return Cell((name,), FLOOR, values | {"PyTorch 5": spread(theirs, 4.0)})

    comparison = Comparison(
        "EMD",
        "lower",
        1,
        ("data",),
        [cell("a", 11.0, 16.0), cell("b", 12.5, 11.5), cell("c", None, 12.0)],
        [("tagix 5", "PyTorch 5")],
    )
    assert (comparison.n_at_floor("tagix 5"), comparison.n_at_floor("PyTorch 5")) == (1, 2)
    assert comparison.n_better("tagix 5", "PyTorch 5") == 1
    assert comparison.markdown().splitlines() == [
        "| data | EMD, real points | tagix 5 | PyTorch 5 | better |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| a | 10.0 ± 1.0 | 11.0 ± 3.0 | 16.0 ± 4.0 | tagix, 1.0 |",
        "| b | 10.0 ± 1.0 | 12.5 ± 3.0 | 11.5 ± 4.0 | PyTorch, 0.2 |",
        "| c | 10.0 ± 1.0 | failed | 12.0 ± 4.0 |  |",
    ]
    json.dumps(comparison.numbers())


def test_markdown_table() -> None:
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"


def made_up(jobs: list[Job], scores: dict[str, dict[int, tuple[float, float]]]) -> dict[str, Any]:
    """Results with (EMD, NLL) by method and epoch, spread by the seed."""
    results = {}
    for job in jobs:
        spread = 0.1 * (job.seed % 3 - 1)
        results[job.key()] = {
            "checkpoints": [
                {
                    "epoch": epoch,
                    "fit_seconds": 1.0,
                    "samplings": {"default": {"emd": emd + spread, "nll": nll + spread}},
                }
                for epoch, (emd, nll) in scores[job.method].items()
            ],
            "train_mse": [],
            "predicted_var": [],
        }
    return results


def test_timesteps_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scale = Scale(quick=True, n_seeds=3)
    scores = {
        "real": {0: (10.0, 1.0)},
        # Better at half the epochs by NLL, and worse by EMD; the other way round at all of them.
        "tagix": {10: (20.0, 1.03), 20: (10.1, 1.5)},
        "pytorch": {10: (50.0, 3.0), 20: (10.12, 0.9)},
    }
    results = Results(made_up(timesteps.jobs(scale), scores), Store(tmp_path))
    monkeypatch.setattr(Results, "arrays", lambda self, job: {})
    section = timesteps.report(results, scale)
    assert [(target.got, target.met) for target in section.targets] == [
        ("0 and 4 of 4", False),
        ("4 and 4 of 4", True),
        ("4 of 4", True),
        ("0 of 4", False),
    ]
    # Floor of seeds 0..3: spreads -.1, 0, .1, -.1, mean 9.975, deviation sqrt(.0275 / 3).
    row = next(line for line in section.text[1].splitlines() if line.startswith("| moons | 100 |"))
    assert row.split(" | ")[2:7] == [
        "10.0 ± 0.1",
        "20.0 ± 0.1",
        "10.1 ± 0.1",
        "50.0 ± 0.1",
        "10.1 ± 0.1",
    ]


def test_training_time_ratio(tmp_path: Path) -> None:
    scale = Scale(quick=True, n_seeds=2)
    results = {}
    for job in training_time.jobs(scale):
        # tagix: 2 s and 3 s on one thread, half on two; PyTorch 10 s and 12 s, the same on two.
        ours = (2.0 + job.seed) / job.n_threads
        seconds = ours if job.method == "tagix" else 10.0 + 2 * job.seed
        results[job.key()] = {
            "checkpoints": [
                {"epoch": 1, "fit_seconds": 0.5, "samplings": {"default": {"off_manifold": 0.3}}},
                {
                    "epoch": 2,
                    "fit_seconds": seconds,
                    "samplings": {"default": {"off_manifold": 0.06}},
                },
            ]
        }
    section = training_time.report(Results(results, Store(tmp_path)), scale)
    peer = "PyTorch, batch 256, Adam 0.003"
    assert [(target.got, target.met) for target in section.targets] == [
        (f"4.40 times (3.33 to 6.00) as fast as {peer}", True),
        (f"8.80 times (6.67 to 12.00) as fast as {peer}", True),
        (f"8.80 times (6.67 to 12.00) as fast as {peer}", True),
    ]
    # A seed that never gets there leaves no mean: here, the peer's second one on one thread.
    peer_jobs = [job for job in training_time.jobs(scale) if job.method == "pytorch"]
    results[peer_jobs[1].key()]["checkpoints"].pop()
    targets = training_time.report(Results(results, Store(tmp_path)), scale).targets
    assert (targets[0].got, targets[0].met) == ("PyTorch did not get there", True)
    assert (targets[1].met, targets[2].met) == (True, True)
    # And ours on both.
    for job in training_time.jobs(scale):
        if job.method == "tagix" and job.seed == 0:
            results[job.key()]["checkpoints"].pop()
    targets = training_time.report(Results(results, Store(tmp_path)), scale).targets
    assert {(each.got, each.met) for each in targets} == {("tagix did not get there", False)}


@pytest.mark.parametrize("name", list(TABLES))
@pytest.mark.parametrize("quick", [True, False])
def test_every_table_reports_without_results(name: str, quick: bool, tmp_path: Path) -> None:
    """All jobs failed: there is still a report, which meets no target and draws nothing."""
    scale = Scale(quick, n_seeds=2)
    jobs = TABLES[name].jobs(scale)
    seeds = {job.seed for job in jobs if job.method != "real"}
    assert seeds == {0, 1}
    assert {job.method for job in jobs} >= {"tagix", "pytorch"}
    section = TABLES[name].report(Results({}, Store(tmp_path)), scale)
    assert section.name == name
    for figure in section.figures:
        figure.draw(tmp_path / figure.name)
    assert list(tmp_path.iterdir()) == []
    assert f"tagix bench toy --table {name}" in section.markdown(
        f"tagix bench toy --table {name}", "figures"
    )


DOCUMENT = """# Title

<!-- table: one -->
old
<!-- end of table -->
between
<!-- table: two -->
<!-- end of table -->
end
"""


def test_document_keeps_everything_else(tmp_path: Path) -> None:
    path = tmp_path / "doc.md"
    path.write_text(DOCUMENT)
    write_document(path, {"one": r"| \1 \g<0> |", "two": "second\n"})
    expected = DOCUMENT.replace("\nold\n", "\n\n| \\1 \\g<0> |\n\n").replace(
        "two -->\n", "two -->\n\nsecond\n\n"
    )
    assert path.read_text() == expected
    write_document(path, {"one": r"| \1 \g<0> |", "two": "second\n"})
    assert path.read_text() == expected


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        "<!-- table: one -->\nno end",
        DOCUMENT + "<!-- table: one -->\nagain\n<!-- end of table -->\n",
    ],
)
def test_document_without_its_markers(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="document: needed '<!-- table: one -->' once"):
        replace_table(text, "one", "new")
    path = tmp_path / "doc.md"
    path.write_text(text)
    with pytest.raises(ValueError, match="document"):
        check_document(path, ["one"])
