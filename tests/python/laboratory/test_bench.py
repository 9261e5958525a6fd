"""tagix.bench: jobs, files, processes, the arithmetic of reports, documents and the command."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("typer", "rich", "matplotlib", "ot", "scipy", "sklearn", "torch"):
    pytest.importorskip(package, reason="needs the extras lab and torch")

from bench_jobs import run_or_die  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from tagix import cli, metrics  # noqa: E402
from tagix.bench import TABLES, compare, measures, models, run_toy  # noqa: E402
from tagix.bench.compare import Summary, reaches_floor, verdict  # noqa: E402
from tagix.bench.document import check_document, replace_table, write_document  # noqa: E402
from tagix.bench.jobs import Job, Sampling  # noqa: E402
from tagix.bench.markdown import markdown_table  # noqa: E402
from tagix.bench.problems import load_problem  # noqa: E402
from tagix.bench.recipes import Scale, pytorch_job, tagix_job  # noqa: E402
from tagix.bench.results import Results  # noqa: E402
from tagix.bench.runner import Workers, run_jobs  # noqa: E402
from tagix.bench.section import Cell, Comparison, show  # noqa: E402
from tagix.bench.store import Store, write_atomically  # noqa: E402
from tagix.bench.tables import timesteps, training_time  # noqa: E402

SMALL: dict[str, Any] = {
    "n_train": 400,
    "n_steps": 5,
    "hidden": (8,),
    "checkpoints": (1, 3),
    "samplings": (Sampling(n_samples=300, metrics=("emd", "nll"), n_stored=50, n_chains=7),),
}


# Jobs and their files.


def test_equal_descriptions_are_equal_jobs() -> None:
    job = tagix_job("moons", 3, **SMALL)
    assert job.key() == tagix_job("moons", 3, **SMALL).key()
    assert job.key().startswith("tagix_moons_T5_seed3_")
    assert json.loads(json.dumps(job.description())) == job.description()
    changed = [
        replace(job, seed=4),
        replace(job, n_steps=6),
        replace(job, checkpoints=(1, 2)),
        replace(job, samplings=(replace(job.samplings[0], guidance=2.0),)),
        replace(job, schedule="linear", schedule_arguments={"beta_end": 0.02}),
        replace(job, timed=True),
    ]
    assert len({each.key() for each in [job, *changed]}) == 7


def test_store_gives_back_what_it_got(tmp_path: Path) -> None:
    store, job = Store(tmp_path / "jobs"), tagix_job("moons", 0, **SMALL)
    assert store.load(job) is None
    samples = np.linspace(0, 1, 6, dtype=np.float32).reshape(3, 2)
    store.save(job, {"checkpoints": [{"epoch": 1}]}, {"default/0": samples})
    assert store.load(job) == {"job": job.description(), "checkpoints": [{"epoch": 1}]}
    np.testing.assert_array_equal(store.arrays(job)["default/0"], samples)
    assert {path.suffix for path in store.folder.iterdir()} == {".json", ".npz"}


@pytest.mark.parametrize("text", ["", '{"job": {', '{"job": {"method": "tagix"}}'])
def test_store_does_not_take_a_torn_or_foreign_file(text: str, tmp_path: Path) -> None:
    store, job = Store(tmp_path), tagix_job("moons", 0, **SMALL)
    (tmp_path / f"{job.key()}.json").write_text(text)
    assert store.load(job) is None


def test_atomic_write_keeps_the_old_file_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(file: Any) -> None:
        file.write(b"half")
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


# Running.


def test_real_points_are_measured_as_samples_would_be() -> None:
    sampling = Sampling(n_samples=300, metrics=("emd", "nll"), n_stored=20)
    job = Job("real", "moons", n_train=400, seed=5, checkpoints=(), samplings=(sampling,))
    result, arrays = measures.run(job)
    problem = load_problem(job)
    drawn = problem.draw_held_out(300, 5)
    # Held-out points, some of them again, and not the train points.
    rows = {tuple(row) for row in problem.held_out.tolist()}
    drawn_rows = {tuple(row) for row in drawn.tolist()}
    assert len(drawn) == 300 and drawn_rows <= rows and 150 < len(drawn_rows) < 300
    assert not drawn_rows & {tuple(row) for row in problem.train.tolist()}
    assert not np.array_equal(drawn, problem.draw_held_out(300, 6))
    np.testing.assert_array_equal(arrays["default"], drawn[:20])
    (checkpoint,) = result["checkpoints"]
    measured = checkpoint["samplings"]["default"]
    assert measured["emd"] == metrics.emd(drawn, problem.train, seed=5)
    assert measured["nll"] == metrics.nll_kernel(drawn, problem.train)


@pytest.mark.parametrize("make", [tagix_job, pytorch_job])
def test_job_trains_to_each_checkpoint(make: Any) -> None:
    job = make("moons", 1, **SMALL)
    result, arrays = measures.run(job)
    assert [each["epoch"] for each in result["checkpoints"]] == [1, 3]
    assert len(result["train_mse"]) == 3
    assert len(result["predicted_var"]) == (3 if make is tagix_job else 0)
    first, last = (each["fit_seconds"] for each in result["checkpoints"])
    assert 0 < first < last
    assert arrays["default"].shape == (50, 2)
    assert arrays["default/chains"].shape == (5, 7, 2)  # T states: noise, and t = 4, 3, 2, 1 -> 0
    # A chain ends with its sample.
    np.testing.assert_array_equal(arrays["default/chains"][-1], arrays["default"][:7])
    assert json.loads(json.dumps(result)) == result


def test_two_fits_are_one(tmp_path: Path) -> None:
    """Checkpoints on the way change nothing of what is learned."""
    job = tagix_job("moons", 1, **SMALL)
    whole = replace(job, checkpoints=(3,))
    assert measures.run(job)[0]["train_mse"] == measures.run(whole)[0]["train_mse"]


def test_both_methods_see_standardised_columns() -> None:
    job = tagix_job("moons", 0, **SMALL)
    problem = load_problem(job)
    peer = models.PyTorchModel(pytorch_job("moons", 0, **SMALL), problem)
    np.testing.assert_allclose(peer._data.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(peer._data.std(axis=0), 1, atol=1e-6)
    ours = models.TagixModel(job, problem)
    ours.fit(1)
    np.testing.assert_allclose(ours.model.shift, problem.train.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(ours.model.scale, problem.train.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(peer._in_units(peer._data), problem.train, atol=1e-6)


def test_training_ends_where_the_target_is_reached() -> None:
    job = replace(
        tagix_job("moons", 0, **SMALL), checkpoints=(1, 2, 3), until=("default", "emd", 1e9)
    )
    assert [each["epoch"] for each in measures.run(job)[0]["checkpoints"]] == [1]
    never = replace(job, until=("default", "emd", 0.0))
    assert [each["epoch"] for each in measures.run(never)[0]["checkpoints"]] == [1, 2, 3]
    late = replace(never, max_seconds=0.0)
    assert [each["epoch"] for each in measures.run(late)[0]["checkpoints"]] == [1]


def test_jobs_run_once_and_errors_are_reported(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good = [tagix_job("moons", 0, **SMALL), pytorch_job("moons", 0, **SMALL)]
    bad = replace(good[0], schedule="crooked")
    timed = replace(good[0], timed=True)
    with Workers(2) as workers:
        outcome = run_jobs([*good, good[0], bad, timed], store, workers, progress=False)
        assert outcome.n_run == 3
        assert set(outcome.results) == {job.key() for job in [*good, timed]}
        assert list(outcome.errors) == [bad.key()]
        assert "crooked" in outcome.errors[bad.key()] and "schedule" in outcome.errors[bad.key()]
        written = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

        # A second call runs nothing but what is missing: here, a job that was killed in writing.
        killed = tmp_path / f"{good[1].key()}.json"
        killed.unlink()
        again = run_jobs(good, store, workers, progress=False)
        assert (again.n_run, again.errors) == (1, {})
        after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        assert set(after) == set(written)
        changed = {name for name in written if after[name] != written[name]}
        assert changed == {killed.name, f"{good[1].key()}.npz"}
        # The same seed on the same data: the result is that of the first run.
        for key in ("train_mse", "job"):
            assert again.results[good[1].key()][key] == outcome.results[good[1].key()][key]

        fresh = run_jobs(good[:1], store, workers, fresh=True, progress=False)
        assert fresh.n_run == 1


def test_a_process_that_dies_takes_no_other_job_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tagix.bench import runner

    good = [tagix_job("moons", seed, **SMALL) for seed in range(3)]
    deadly = replace(good[0], data="deadly")
    monkeypatch.setattr(runner, "_run_job", run_or_die)
    with Workers(2) as workers:
        outcome = run_jobs([good[0], deadly, *good[1:]], Store(tmp_path), workers, progress=False)
    assert set(outcome.results) == {job.key() for job in good}
    assert list(outcome.errors) == [deadly.key()]
    assert "BrokenProcessPool" in outcome.errors[deadly.key()]


# Arithmetic of the report, with truths worked out by hand.


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


# Documents.

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


# The command.


@pytest.fixture
def tiny_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of timesteps with one cell of tiny models."""
    monkeypatch.setattr(timesteps, "_grid", lambda scale: (("moons",), (5,), (1, 2)))
    sampling = Sampling(n_samples=300, metrics=("emd", "nll"))
    monkeypatch.setattr(timesteps, "SAMPLING", sampling)


def test_command_end_to_end(tiny_table: None, tmp_path: Path) -> None:
    document = tmp_path / "docs" / "toy.md"
    document.parent.mkdir()
    document.write_text("before\n<!-- table: timesteps -->\n<!-- end of table -->\nafter\n")
    arguments = ["bench", "toy", "--table", "timesteps", "--quick", "--workers", "2", "--quiet"]
    arguments += ["--output", str(tmp_path / "out"), "--document", str(document)]
    result = CliRunner().invoke(cli.build_app(), arguments)
    assert result.exit_code == 0, result.output
    assert "6 of 6 jobs run, 0 failed" in result.output  # two methods and four floors
    report = json.loads((tmp_path / "out" / "timesteps.json").read_text())
    (cell,) = report["numbers"]["emd"]
    values = {name: each["mean"] for name, each in cell["values"].items()}
    assert set(values) == {"tagix 1", "tagix 2", "PyTorch 1", "PyTorch 2"}
    text = document.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert f"{values['tagix 2']:.1f}" in text and f"{cell['floor']['mean']:.1f}" in text
    assert "tagix bench toy --table timesteps --quick\n" in text
    for name in ("timesteps_tagix.png", "timesteps_pytorch.png"):
        assert f"(images/toy/{name})" in text
        image = document.parent / "images" / "toy" / name
        assert image.read_bytes().startswith(b"\x89PNG")
    # What is there is not run again.
    result = CliRunner().invoke(cli.build_app(), arguments)
    assert "0 of 6 jobs run, 0 failed" in result.output
    assert json.loads((tmp_path / "out" / "timesteps.json").read_text()) == report


def test_command_refuses(tmp_path: Path) -> None:
    document = tmp_path / "doc.md"
    document.write_text("no markers")
    for arguments in (
        ["--table", "epochs"],
        ["--seeds", "0"],
        ["--table", "timesteps", "--document", str(document)],
    ):
        result = CliRunner().invoke(cli.build_app(), ["bench", "toy", *arguments])
        assert result.exit_code == 2, result.output
    with pytest.raises(ValueError, match="tables: got 'epochs'"):
        run_toy(["epochs"], output_dir=tmp_path / "unused")
    with pytest.raises(ValueError, match="n_seeds: got 0"):
        run_toy(n_seeds=0, output_dir=tmp_path / "unused")
    assert not (tmp_path / "unused").exists()
    assert document.read_text() == "no markers"


def test_command_reports_failed_jobs(
    tiny_table: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        timesteps,
        "jobs",
        lambda scale: [tagix_job("moons", 0, **SMALL | {"schedule": "crooked"})],
    )
    arguments = ["bench", "toy", "--table", "timesteps", "--quick", "--quiet"]
    result = CliRunner().invoke(cli.build_app(), [*arguments, "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "0 of 0 jobs run, 1 failed" in result.output
    assert "crooked" in result.output + result.stderr
    assert (tmp_path / "out" / "timesteps.md").exists()
