"""UCI sets: the loader, scores against float64 numpy, the report's arithmetic, the benchmark."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tagix.datasets import UCI_SETS, load_uci

Array = npt.NDArray[np.float64]

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


# Scores.


def test_scores() -> None:
    pytest.importorskip("scipy")
    from tagix.bench.uci.laws import Gaussian, score

    generator = np.random.default_rng(3)
    mean, std = generator.normal(5, 3, size=40), generator.uniform(0.3, 2, size=40)
    y = mean + 1.3 * std * generator.normal(size=40)
    got = score(y, Gaussian(mean, std**2))

    normal = [NormalDist(m, s) for m, s in zip(mean, std, strict=True)]
    assert got["rmse"] == pytest.approx(math.sqrt(sum((y - mean) ** 2) / 40), rel=1e-12)
    log_density = [math.log(each.pdf(value)) for each, value in zip(normal, y, strict=True)]
    assert got["log_likelihood"] == pytest.approx(sum(log_density) / 40, rel=1e-9)
    inside = [
        each.inv_cdf(0.05) <= value <= each.inv_cdf(0.95)
        for each, value in zip(normal, y, strict=True)
    ]
    assert 0 < sum(inside) < 40
    assert got["coverage"] == sum(inside) / 40
    widths = [each.inv_cdf(0.95) - each.inv_cdf(0.05) for each in normal]
    assert got["interval_width"] == pytest.approx(sum(widths) / 40, rel=1e-9)
    levels = [level / 100 for level in range(1, 100)]
    below = [
        sum(value <= each.inv_cdf(level) for each, value in zip(normal, y, strict=True)) / 40
        for level in levels
    ]
    error = sum(abs(share - level) for share, level in zip(below, levels, strict=True)) / 99
    assert got["quantile_calibration_error"] == pytest.approx(error, rel=1e-9)

    crps = [
        crps_by_definition(each.cdf, m, s, value)
        for each, m, s, value in zip(normal, mean, std, y, strict=True)
    ]
    assert got["crps"] == pytest.approx(np.mean(crps), rel=5e-3)


def crps_by_definition(cdf: Callable[[float], float], mean: float, std: float, y: float) -> float:
    """The integral of (F(x) - 1{x >= y})^2, on a fine grid."""
    grid = np.linspace(mean - 12 * std, mean + 12 * std, 20_001)
    distribution = np.array([cdf(point) for point in grid[::100]])
    distribution = np.interp(grid, grid[::100], distribution)
    squares = (distribution - (grid >= y)) ** 2
    return float(np.sum(squares) * (grid[1] - grid[0]))


@pytest.mark.parametrize("freedom", [3.0, 20.0])
def test_scores_of_a_law_with_tails(freedom: float) -> None:
    """By SciPy, and the closed form of its CRPS (Jordan, Krüger and Lerch, 2019)."""
    stats, special = pytest.importorskip("scipy.stats"), pytest.importorskip("scipy.special")
    from tagix.bench.uci.laws import LEVELS, calibration_error, levels_reached, score

    generator = np.random.default_rng(4)
    scale = generator.uniform(0.3, 2, size=300)
    frozen = stats.t(freedom, generator.normal(5, 3, size=300), scale)
    y = frozen.rvs(random_state=5)
    y[:2] = 400.0, -400.0  # far out

    class Tailed:
        mean, var = frozen.mean(), frozen.var()

        def log_density(self, y: Array) -> Array:
            return np.asarray(frozen.logpdf(y))

        def quantiles(self, levels: Any) -> Array:
            return np.stack([frozen.ppf(level) for level in np.asarray(levels)], axis=1)

    got = score(y, Tailed())
    assert got["log_likelihood"] == pytest.approx(frozen.logpdf(y).mean(), rel=1e-12)
    low, high = frozen.interval(0.9)
    assert got["coverage"] == np.mean((low < y) & (y < high))
    assert got["interval_width"] == pytest.approx(np.mean(high - low), rel=1e-9)
    z, t = (y - frozen.mean()) / scale, stats.t(freedom)
    spread = 2 * np.sqrt(freedom) * special.beta(0.5, freedom - 0.5)
    spread /= (freedom - 1) * special.beta(0.5, freedom / 2) ** 2
    crps = z * (2 * t.cdf(z) - 1) + 2 * t.pdf(z) * (freedom + z**2) / (freedom - 1) - spread
    assert got["crps"] == pytest.approx(np.mean(scale * crps), rel=1e-3)

    below = frozen.cdf(y)
    errors = [abs(np.mean(below <= level) - level) for level in LEVELS]
    assert got["quantile_calibration_error"] == pytest.approx(np.mean(errors), rel=1e-9)
    reached = levels_reached(y, Tailed())
    np.testing.assert_array_equal(reached[:2], [1.0, 0.01])
    assert calibration_error(reached) == got["quantile_calibration_error"]


# The report.


def made_up_section(tmp_path: Path, rmse: float, log_likelihood: float, coverage: float) -> Any:
    """The report of all five sets whose splits score these numbers and 0.1 more or less."""
    from tagix.bench.results import Results
    from tagix.bench.store import Store
    from tagix.bench.uci.job import UciJob
    from tagix.bench.uci.published import TAGI_V
    from tagix.bench.uci.report import report

    store, results, jobs = Store(tmp_path), {}, {}
    for name, figures in TAGI_V.items():
        jobs[name] = [UciJob("tagix", name, split, "", 50, {}) for split in range(4)]
        for job in jobs[name]:
            off = 0.1 if job.split % 2 else -0.1
            numbers = {
                "rmse": figures.rmse + rmse + off,
                "log_likelihood": figures.log_likelihood + log_likelihood + off,
                "coverage": coverage,
                **dict.fromkeys(
                    ("crps", "interval_width", "quantile_calibration_error", "n_epochs"), 1.0
                ),
                "fit_seconds": 0.5,
            }
            store.save(job, numbers, {"level": np.full(9, 0.5)})
            results[job.key()] = store.load(job)
    loaded = {key: value for key, value in results.items() if value is not None}
    assert len(loaded) == 20
    return report({"tagix": jobs}, Results(loaded, store), seconds=100.0, n_workers=2, quick=False)


# The standard error is sqrt(4 0.01 / 3) / sqrt(4) = 0.0577.
@pytest.mark.parametrize(
    ("rmse", "log_likelihood", "coverage", "met"),
    [
        (0.057, 0.001, 0.86, [True, True, True, True]),
        (0.059, 0.001, 0.86, [False, True, True, True]),
        (-1.0, -0.001, 0.96, [True, False, False, True]),
    ],
)
def test_targets(
    tmp_path: Path, rmse: float, log_likelihood: float, coverage: float, met: list[bool]
) -> None:
    pytest.importorskip("scipy")
    section = made_up_section(tmp_path, rmse, log_likelihood, coverage)
    assert [target.met for target in section.targets] == met
    boston = section.numbers["scores"]["tagix"]["bostonHousing"]
    assert boston["rmse"]["mean"] == pytest.approx(3.12 + rmse)
    assert boston["rmse"]["std"] == pytest.approx(math.sqrt(0.04 / 3))
    assert boston["rmse"]["standard_error"] == pytest.approx(math.sqrt(0.04 / 3) / 2)
    # All targets are at the median: what is at or below a level is none, or all from 0.5 on.
    levels = np.arange(1, 100) / 100
    expected = np.abs((levels >= 0.5) - levels).mean()
    assert boston["pooled_quantile_calibration_error"] == pytest.approx(expected, abs=1e-12)
    markdown = section.markdown("command", "figures")
    row = f"| bostonHousing | {3.12 + rmse:.2f} ± 0.06 (0.12) | 3.12 | 3.28 |"
    assert row in markdown


# The peer.


def test_the_peer_learns_a_line_and_its_noise() -> None:
    pytest.importorskip("torch")
    from tagix.bench.uci.peer import DeepEnsemble

    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, size=(1200, 2)) * [100.0, 0.01] + [7.0, -3.0]
    noise_std = 2.0
    truth = 0.3 * x[:, 0] - 900 * x[:, 1]
    y = truth + noise_std * generator.normal(size=1200)
    settings: Mapping[str, Any] = {"n_networks": 2, "n_epochs": 30, "batch_size": 32}
    peer = DeepEnsemble(20, learning_rate=0.01, seed=1, **settings).fit(x[:1000], y[:1000])
    mean, var = peer.predict(x[1000:])
    assert mean.shape == var.shape == (200,)
    assert np.sqrt(np.mean((mean - truth[1000:]) ** 2)) < 0.4 * noise_std
    assert np.sqrt(np.median(var)) == pytest.approx(noise_std, rel=0.2)
    again = DeepEnsemble(20, learning_rate=0.01, seed=1, **settings).fit(x[:1000], y[:1000])
    np.testing.assert_array_equal(again.predict(x[1000:])[0], mean)


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
    document.write_text("before\n<!-- table: uci -->\nold\n<!-- end of table -->\nafter\n")
    output = tmp_path / "output"
    options: dict[str, Any] = {"n_workers": 1, "output_dir": output, "progress": False}
    run = run_uci(folder, quick=True, document=document, **options)
    assert (run.n_jobs, run.n_run, len(run.errors)) == (3, 3, 1)
    assert "integers from 0 to 59" in run.errors[0] and "index_test_1.txt" in run.errors[0]
    assert run.section.targets == []  # two splits judge nothing

    written = json.loads((output / "uci.json").read_text())
    scores = written["numbers"]["scores"]["tagix"]
    assert scores["energy"]["rmse"]["values"] == pytest.approx(
        run.section.numbers["scores"]["tagix"]["energy"]["rmse"]["values"]
    )
    assert len(scores["yacht"]["rmse"]["values"]) == 1
    for split in range(2):
        data = load_uci(folder, "energy", split)
        model = TagiRegressor((50,), random_state=split).fit(data.x_train, data.y_train)
        mean, std = model.predict(data.x_test, return_std=True)
        low, high = model.predict_interval(data.x_test, level=0.9).T
        assert model._law is not None
        freedom = model._law.freedom[0]
        law = stats.t(freedom, mean, std * np.sqrt((freedom - 2) / freedom))
        expected = {
            "rmse": math.sqrt(((data.y_test - mean) ** 2).mean()),
            "log_likelihood": law.logpdf(data.y_test).mean(),
            "coverage": np.mean((low <= data.y_test) & (data.y_test <= high)),
            "interval_width": np.mean(high - low),
        }
        got = {name: scores["energy"][name]["values"][split] for name in expected}
        assert got == pytest.approx(expected, rel=1e-9)

    page = document.read_text()
    assert page.startswith("before\n") and page.endswith("after\n") and "old" not in page
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
    assert one.section.numbers["seconds"] is None
    assert "--dataset yacht --quick" in one.path.read_text()


def test_benchmark_with_the_peer(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tagix.bench.uci import run_uci

    run = run_uci(
        folder, ["energy"], quick=True, peer=True, n_workers=1, output_dir=tmp_path, progress=False
    )
    assert (run.n_jobs, run.n_run, run.errors) == (4, 4, ())
    scores = run.section.numbers["scores"]
    for method in ("tagix", "pytorch"):  # the noise has 0.1, y has about 3
        assert scores[method]["energy"]["rmse"]["mean"] < 1.5
    assert "PyTorch peer" in run.path.read_text()


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
    with pytest.raises(ValueError, match="n_workers"):
        run_uci(folder, n_workers=0, output_dir=tmp_path / "output")
    page = tmp_path / "page.md"
    page.write_text("no markers")
    with pytest.raises(ValueError, match="document"):
        run_uci(folder, document=page, output_dir=tmp_path / "output")
    assert not (tmp_path / "output").exists()
