"""UCI sets: the loader, the report's arithmetic, the benchmark."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tagix
from tagix.datasets import UCI_SETS, load_uci

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "uci"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data/uci")


def write_set(folder: Path, name: str, n_rows: int = 60, n_splits: int = 2) -> np.ndarray[Any, Any]:
    """A made-up set: y = 3 x_0 - x_2 + noise stands between the features x_0, x_1 and x_2."""
    generator = np.random.default_rng(len(name))
    x = generator.normal(size=(n_rows, 3))
    y = 3 * x[:, 0] - x[:, 2] + 0.1 * generator.normal(size=n_rows)
    data = np.column_stack([x[:, :2], y, x[:, 2]])
    (folder / name).mkdir(parents=True)

    def write(file: str, text: str) -> None:
        (folder / name / file).write_text(text)

    # As the published files: tabs or spaces, blanks at the ends of lines, empty lines at the end.
    lines = [
        (" \t " if row % 2 else "  ").join(repr(float(value)) for value in values)
        for row, values in enumerate(data)
    ]
    write("data.txt", " \n".join(lines) + "\n\n")
    write("index_features.txt", "0\n1\n3\n")
    write("index_target.txt", "2\n")
    for split in range(n_splits):
        order = generator.permutation(n_rows)
        write(f"index_train_{split}.txt", "\n".join(map(str, order[6:])) + "\n")
        write(f"index_test_{split}.txt", "\n".join(f"{row:.18e}" for row in order[:6]) + "\n")
    return data


# The loader.


def test_sets_and_their_protocols() -> None:
    assert list(UCI_SETS) == [
        "bostonHousing",
        "concrete",
        "energy",
        "kin8nm",
        "naval-propulsion-plant",
        "power-plant",
        "protein-tertiary-structure",
        "wine-quality-red",
        "yacht",
    ]
    for name, protocol in UCI_SETS.items():
        expected = (5, 100) if name == "protein-tertiary-structure" else (20, 50)
        assert (protocol.n_splits, protocol.n_hidden) == expected


@pytest.mark.parametrize("below", ["", "data"])
def test_load(tmp_path: Path, below: str) -> None:
    data = write_set(tmp_path, "yacht")
    if below:
        inner = tmp_path / "inner"
        (tmp_path / "yacht").rename(inner)
        (tmp_path / "yacht").mkdir()
        inner.rename(tmp_path / "yacht" / below)
    loaded = load_uci(tmp_path, "yacht", 1)
    folder = tmp_path / "yacht" / below
    train = [int(line) for line in (folder / "index_train_1.txt").read_text().split()]
    test = [int(float(line)) for line in (folder / "index_test_1.txt").read_text().split()]
    assert (len(train), len(test)) == (54, 6)
    np.testing.assert_array_equal(loaded.x_train, data[train][:, [0, 1, 3]])
    np.testing.assert_array_equal(loaded.y_train, data[train, 2])
    np.testing.assert_array_equal(loaded.x_test, data[test][:, [0, 1, 3]])
    np.testing.assert_array_equal(loaded.y_test, data[test, 2])
    assert loaded.x_train.dtype == loaded.y_test.dtype == np.float64
    assert (loaded.name, loaded.split, loaded.target_index) == ("yacht", 1, 2)
    assert loaded.feature_indices.tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("data.txt", lambda text: text.replace(".", "a", 1), "could not convert"),
        ("data.txt", lambda text: text.split("\n", 1)[0][:-20] + "\n" + text, "columns changed"),
        ("data.txt", lambda text: "nan 1 2 3\n" + text, "NaN or infinity"),
        ("data.txt", lambda text: "", "empty file"),
        ("data.txt", lambda text: "# a comment\n" + text, "could not convert"),
        ("index_features.txt", lambda text: "0\n4\n", "integers from 0 to 3"),
        ("index_features.txt", lambda text: "0\n-1\n", "integers from 0 to 3"),
        ("index_features.txt", lambda text: "0\n1.5\n", "integers from 0 to 3"),
        ("index_features.txt", lambda text: "0\nnan\n", "integers from 0 to 3"),
        ("index_features.txt", lambda text: "0\n0\n", "an index twice"),
        ("index_target.txt", lambda text: "1\n", "column 1, which is a feature"),
        ("index_target.txt", lambda text: "1\n2\n", "got 2 columns"),
        ("index_train_0.txt", lambda text: text + "60\n", "integers from 0 to 59"),
        ("index_train_0.txt", lambda text: "\n\n", "empty file"),
        ("index_test_0.txt", lambda text: "\n".join(map(str, range(60))), "in the train set"),
        ("index_test_0.txt", lambda text: "1 2\n3\n", "columns changed"),
    ],
)
def test_damaged_files(
    tmp_path: Path, file: str, damage: Callable[[str], str], message: str
) -> None:
    write_set(tmp_path, "energy")
    path = tmp_path / "energy" / file
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=message) as caught:
        load_uci(tmp_path, "energy")
    assert file in str(caught.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    write_set(tmp_path, "energy")
    with pytest.raises(ValueError, match="name: got 'iris', needed one of bostonHousing"):
        load_uci(tmp_path, "iris")
    for split in (-1, 20):
        with pytest.raises(ValueError, match="split"):
            load_uci(tmp_path, "energy", split)
    with pytest.raises(ValueError, match="split"):
        load_uci(tmp_path, "protein-tertiary-structure", 5)
    with pytest.raises(TypeError, match="split"):
        load_uci(tmp_path, "energy", 0.5)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"data\.txt"):
        load_uci(tmp_path, "concrete")
    with pytest.raises(FileNotFoundError, match=r"index_train_2\.txt"):
        load_uci(tmp_path, "energy", 2)


@needs_shared
@pytest.mark.parametrize(
    ("name", "n_rows", "n_features"),
    [
        ("bostonHousing", 506, 13),
        ("concrete", 1030, 8),
        ("energy", 768, 8),
        ("wine-quality-red", 1599, 11),
        ("yacht", 308, 6),
    ],
)
def test_stored_sets(name: str, n_rows: int, n_features: int) -> None:
    """Every split is a partition of all rows, nine parts of ten to train on."""
    whole = None
    for split in range(20):
        data = load_uci(SHARED, name, split)
        assert data.x_train.shape == (len(data.y_train), n_features)
        assert data.x_test.shape == (len(data.y_test), n_features)
        assert len(data.y_train) == round(0.9 * n_rows)
        rows = np.column_stack(
            [
                np.concatenate([data.x_train, data.x_test]),
                np.concatenate([data.y_train, data.y_test]),
            ]
        )
        assert len(rows) == n_rows
        rows = rows[np.lexsort(rows.T)]
        whole = rows if whole is None else whole
        np.testing.assert_array_equal(rows, whole)
    if name == "bostonHousing":  # the mean price that everyone knows, in thousands
        assert whole is not None and whole[:, -1].mean() == pytest.approx(22.5328, abs=1e-4)


# The report.


def made_up_section(
    tmp_path: Path,
    ours: Mapping[str, float],
    peers: Mapping[str, Mapping[str, float]] | None = None,
    failed: int = 0,
) -> Any:
    """The report of all five sets, four splits each, whose scores are 0.1 off these or less.

    RMSE and negative log-likelihood are relative to the goals of each set. So many splits of ours
    on yacht have failed.
    """
    from tagix.bench.results import Results
    from tagix.bench.store import Store
    from tagix.bench.uci.job import UciJob
    from tagix.bench.uci.published import GOALS
    from tagix.bench.uci.report import report

    store, results = Store(tmp_path), {}
    work: dict[str, dict[str, list[UciJob]]] = {}
    for method, of_method in {"tagix": ours, **(peers or {})}.items():
        settings = {"version": "1.2", "arguments": {"rounds": 7}}
        work[method] = {n: [UciJob(method, n, k, settings, "") for k in range(4)] for n in GOALS}
        for name, goal in GOALS.items():
            for job in work[method][name]:
                off = 0.1 if job.split % 2 else -0.1
                if method == "tagix" and name == "yacht" and job.split < failed:
                    continue
                numbers = {
                    "rmse": goal.rmse + of_method["rmse"] + off,
                    "nll": goal.nll + of_method["nll"] + off,
                    "crps": of_method["crps"] + off,
                    "coverage": of_method["coverage"],
                    "fit_cpu_seconds": of_method["seconds"],
                    "interval_width": 1.0,
                    "n_train": 900,
                }
                store.save(job, numbers, {"level": np.full(9, 0.5)})
                loaded = store.load(job)
                assert loaded is not None
                results[job.key()] = loaded
    return report(work, Results(results, store), quick=False)


GOOD = {"rmse": -0.001, "nll": -0.001, "crps": 1.0, "coverage": 0.9, "seconds": 1.9}


@pytest.mark.parametrize(
    ("changed", "unmet"),
    [
        ({}, []),
        ({"rmse": 0.001}, ["RMSE"]),
        ({"nll": 0.001}, ["negative"]),
        ({"coverage": 0.87}, ["coverage"]),
        ({"coverage": 0.97}, ["coverage"]),
        ({"seconds": 2.1}, ["a fit"]),
    ],
)
def test_targets(tmp_path: Path, changed: Mapping[str, float], unmet: list[str]) -> None:
    pytest.importorskip("scipy")
    section = made_up_section(tmp_path, GOOD | changed)
    assert len(section.targets) == 4  # two are about peers
    assert [each.text.split()[0] for each in section.targets if not each.met] == [
        text.split()[0] for text in unmet
    ]
    rmse = 2.85 + (GOOD | changed)["rmse"]
    boston = section.numbers["scores"]["tagix"]["bostonHousing"]
    assert boston["rmse"]["mean"] == pytest.approx(rmse)
    assert boston["rmse"]["std"] == pytest.approx(math.sqrt(0.04 / 3))
    assert boston["rmse"]["standard_error"] == pytest.approx(math.sqrt(0.04 / 3) / 2)
    # All targets are at the median: what is at or below a level is none, or all from 0.5 on.
    levels = np.arange(1, 100) / 100
    expected = np.abs((levels >= 0.5) - levels).mean()
    assert boston["pooled_quantile_calibration_error"] == pytest.approx(expected, abs=1e-12)
    lines = section.markdown("command", "figures").splitlines()
    assert lines[lines.index(next(line for line in lines if "bostonHousing" in line)) + 2] == (
        f"| tagix | {rmse:.2f} ± 0.06 "
        + "".join(
            f"| {goal + (GOOD | changed)['rmse']:.{3 if goal < 1 else 2}f} ± {error} "
            for goal, error in ((4.2, "0.06"), (0.33, "0.058"), (0.63, "0.058"), (0.35, "0.058"))
        )
        + "|"
    )
    assert "| published, other splits: TabPFN v2 |  | 3.86 | 0.42 |  | 0.42 |" in lines
    assert "| published, other splits: TabPFN v2 |  | 2.21 | 0.15 |  | -0.73 |" in lines


def test_what_has_failed_is_not_met(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    section = made_up_section(tmp_path, GOOD, failed=1)
    assert [target.met for target in section.targets] == [False] * 4
    assert all(target.got.startswith("4 of 5") for target in section.targets)
    assert "(3 of 4 splits)" in section.markdown("command", "figures")
    gone = made_up_section(tmp_path / "gone", GOOD, failed=4)
    assert "| failed |" in gone.markdown("command", "figures")


def test_peers_with_a_law_of_their_own_decide(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    worse, better = GOOD | {"nll": 0.0, "crps": 1.1}, GOOD | {"nll": -1.0, "crps": 0.5}
    section = made_up_section(tmp_path, GOOD, {"ngboost": worse, "lightgbm": better})
    by_text = {target.text: target for target in section.targets}
    (crps,) = (target for text, target in by_text.items() if text.startswith("CRPS"))
    assert crps.met and crps.got == "NGBoost 5; with a law of errors left out: LightGBM 0"
    (nll,) = (
        each for text, each in by_text.items() if text.startswith("negative") and "law" in text
    )
    assert nll.met and nll.got == crps.got
    markdown = section.markdown("command", "figures")
    assert "LightGBM predicts a number alone" in markdown
    assert "| LightGBM | lightgbm 1.2 | rounds=7 |" in markdown
    assert "**0.500** ± 0.058" in markdown and "| 1.00 ± 0.06 |" in markdown  # the best is bold
    beaten = made_up_section(tmp_path / "beaten", GOOD, {"ngboost": better})
    unmet = [target.text.split()[0] for target in beaten.targets if not target.met]
    assert unmet == ["CRPS", "negative"]


# The benchmark.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two made-up sets; the second has a damaged split."""
    for package in ("scipy", "sklearn", "tqdm"):
        pytest.importorskip(package, reason="needs the extras sklearn and lab")
    write_set(tmp_path / "uci", "energy")
    write_set(tmp_path / "uci", "yacht")
    (tmp_path / "uci" / "yacht" / "index_test_1.txt").write_text("1000\n")
    return tmp_path / "uci"


def test_benchmark(folder: Path, tmp_path: Path) -> None:
    from scipy import stats

    from tagix.bench.uci import run_uci
    from tagix.sklearn import TagiRegressor

    document = tmp_path / "page.md"
    document.write_text("before\n<!-- table: uci -->\nformer text\n<!-- end of table -->\nafter\n")
    output = tmp_path / "output"
    options: dict[str, Any] = {"n_workers": 1, "output_dir": output, "progress": False}
    run = run_uci(folder, quick=True, document=document, **options)
    assert (run.n_jobs, run.n_run, len(run.errors)) == (3, 3, 1)
    assert "integers from 0 to 59" in run.errors[0] and "index_test_1.txt" in run.errors[0]
    assert run.section.targets == []  # two splits judge nothing

    written = json.loads((output / "uci.json").read_text())
    settings = written["numbers"]["settings"]["tagix"]
    assert settings["version"] == tagix.__version__ and settings["arguments"] == {}
    scores = written["numbers"]["scores"]["tagix"]
    assert scores["energy"]["rmse"]["values"] == pytest.approx(
        run.section.numbers["scores"]["tagix"]["energy"]["rmse"]["values"]
    )
    assert len(scores["yacht"]["rmse"]["values"]) == 1
    for split in range(2):
        data = load_uci(folder, "energy", split)
        model = TagiRegressor(random_state=split).fit(data.x_train, data.y_train)
        mean, std = model.predict(data.x_test, return_std=True)
        low, high = model.predict_interval(data.x_test, level=0.9).T
        assert model._law is not None
        freedom = model._law.freedom[0]
        law = stats.t(freedom, mean, std * np.sqrt((freedom - 2) / freedom))
        expected = {
            "rmse": math.sqrt(((data.y_test - mean) ** 2).mean()),
            "nll": -law.logpdf(data.y_test).mean(),
            "coverage": np.mean((low <= data.y_test) & (data.y_test <= high)),
            "interval_width": np.mean(high - low),
        }
        got = {name: scores["energy"][name]["values"][split] for name in expected}
        assert got == pytest.approx(expected, rel=1e-9)

    page = document.read_text()
    assert page.startswith("before\n") and page.endswith("after\n") and "former text" not in page
    assert "tagix bench uci --data path/to/uci --quick" in page and "| energy | " in page
    assert "| energy | " in run.path.read_text()

    # What is there is not trained again; a file that was repaired is.
    write_set(tmp_path / "other", "yacht")
    repaired = (tmp_path / "other" / "yacht" / "index_test_1.txt").read_text()
    (folder / "yacht" / "index_test_1.txt").write_text(repaired)
    again = run_uci(folder, quick=True, **options)
    assert (again.n_jobs, again.n_run, again.errors) == (4, 1, ())
    one = run_uci(folder, ["yacht"], quick=True, **options)
    assert (one.n_jobs, one.n_run) == (2, 0)
    assert "--dataset yacht --quick" in one.path.read_text()


def test_benchmark_with_peers(folder: Path, tmp_path: Path) -> None:
    from tagix.bench.tabular.contenders import CONTENDERS
    from tagix.bench.uci import PEERS, run_uci

    options: dict[str, Any] = {"quick": True, "n_workers": 1, "progress": False}
    run = run_uci(folder, ["energy"], peers=["all"], output_dir=tmp_path, **options)
    installed = [name for name in PEERS if CONTENDERS[name].version is not None]
    assert run.errors == () and run.n_jobs == 2 * (1 + len(installed))
    scores = run.section.numbers["scores"]
    assert list(scores) == ["tagix", *installed]
    page = run.path.read_text()
    for method in scores:  # the noise has 0.1, y has about 3
        assert scores[method]["energy"]["rmse"]["mean"] < 3
        contender = CONTENDERS[method]
        assert f"| {contender.label} | {contender.package} {contender.version} |" in page
        seconds = scores[method]["energy"]["fit_cpu_seconds"]["values"]
        assert all(0 < each < 120 for each in seconds)
    if installed:
        assert f"--peer {','.join(installed)}" in page


def test_errors_of_the_benchmark(folder: Path, tmp_path: Path) -> None:
    from tagix.bench.uci import run_uci

    for arguments, message in (
        ((folder, ["iris"]), "datasets: got 'iris'"),
        ((folder, ["concrete"]), "datasets: got 'concrete', which is not in"),
        ((folder, []), "datasets: got none"),
        ((tmp_path / "nowhere",), "path: got"),
    ):
        with pytest.raises(ValueError, match=message):
            run_uci(*arguments, output_dir=tmp_path / "output")
    with pytest.raises(ValueError, match="peers: got 'iris', needed all, none, or some of ngboost"):
        run_uci(folder, peers=["ngboost", "iris"], output_dir=tmp_path / "output")
    with pytest.raises(ValueError, match="n_workers"):
        run_uci(folder, n_workers=0, output_dir=tmp_path / "output")
    page = tmp_path / "page.md"
    page.write_text("no markers")
    with pytest.raises(ValueError, match="document"):
        run_uci(folder, document=page, output_dir=tmp_path / "output")
    assert not (tmp_path / "output").exists()
