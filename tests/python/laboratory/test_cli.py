"""The command line and the job behind it, on a small scale."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

for package in ("typer", "rich", "matplotlib", "ot", "scipy", "sklearn"):
    pytest.importorskip(package, reason="needs the lab extra")

from helpers import needs_cuda  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

import tagix as tx  # noqa: E402
from tagix import cli, lab  # noqa: E402

SMALL = ["--n-train", "2000", "--n-samples", "500", "--epochs", "2"]


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(cli.build_app(), list(arguments))


@pytest.mark.parametrize("data", ["swiss-roll", "moons", "checkerboard"])
def test_diffusion_writes_figures_and_report(data: str, tmp_path: Path) -> None:
    result = invoke("diffusion", data, *SMALL, "--output", str(tmp_path / "new"))
    assert result.exit_code == 0, result.output
    name = data.replace("-", "_")
    stem = f"{name}_default_seed0"
    files = {path.name: path for path in (tmp_path / "new").iterdir()}
    figures = {f"{stem}_{key}.png" for key in ("samples", "sample_score", "training")}
    assert set(files) == figures | {f"{stem}.json"}
    for figure in figures:
        assert files[figure].read_bytes().startswith(b"\x89PNG")
    report = json.loads(files[f"{stem}.json"].read_text())
    for path in files.values():
        assert str(path) in result.output.replace("\n", "")
    for key in ("off_manifold", "sliced_wasserstein", "held_out_mse"):
        assert f"{report[key]:.4f}" in result.output
    for key in ("off_manifold", "sliced_wasserstein"):
        assert f"{report['floor'][key]:.4f}" in result.output
    # The radius of the manifold is the 99.9 % quantile of the held-out points by definition.
    assert report["floor"]["off_manifold"] == pytest.approx(0.001, abs=1e-4)
    assert report["floor"]["held_out_mse"] is None  # known for the standard size alone
    # A model that predicts no noise at all has error 1, the ideal one about 0.4.
    assert 0.3 < report["held_out_mse"] < 0.9
    assert 0.0 <= report["off_manifold"] <= 1.0
    assert report["sliced_wasserstein"] > 0.0
    assert len(report["train_mse"]) == len(report["predicted_var"]) == 2
    assert report["train_mse"][1] < report["train_mse"][0]
    assert report["fit_seconds"] > 0 and report["sample_seconds"] > 0


@pytest.mark.skipif(tx.cuda.is_available(), reason="device cuda is there")
def test_a_device_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    result = invoke("diffusion", "moons", *SMALL, "--device", "cuda", "--output", str(tmp_path))
    assert result.exit_code == 2
    words = " ".join(result.output.replace("│", " ").split())
    assert "--device" in words and str(tx.cuda.why_not()) in words
    assert not list(tmp_path.iterdir())


@needs_cuda
def test_diffusion_on_the_gpu_is_that_on_the_cpu(tmp_path: Path) -> None:
    sizes = ["--n-train", "300", "--n-samples", "20", "--epochs", "2"]
    reports = []
    for device in ("cuda", "cpu"):
        folder = tmp_path / device
        result = invoke("diffusion", "moons", *sizes, "--device", device, "--output", str(folder))
        assert result.exit_code == 0, result.output
        reports.append(json.loads((folder / "moons_default_seed0.json").read_text()))
        assert reports[-1]["settings"]["device"] == device
    for key in ("held_out_mse", "sliced_wasserstein", "train_mse", "predicted_var"):
        assert reports[0][key] == pytest.approx(reports[1][key], rel=1e-3)


def test_default_preset_is_the_recipe() -> None:
    # The recipe: cosine schedule, 40 steps, exact ReLU, noise variance 1, batch 256, 10 epochs.
    preset = lab.PRESETS["default"]
    assert (preset.n_steps, preset.schedule, preset.time_features) == (40, "cosine", "cosine")
    assert (preset.hidden, preset.relu_moments) == ((64, 64, 64, 64), "exact")
    assert preset.prediction_type == "v_prediction"
    assert (preset.rule, preset.noise_std) == ("information", 1.0)
    assert preset.noise_decay is None and preset.noise_min_std is None
    assert (preset.batch_size, preset.n_epochs) == (256, 10)


def test_seed_preset_is_the_historical_settings(tmp_path: Path) -> None:
    result = invoke("diffusion", "moons", "--preset", "seed", *SMALL, "--output", str(tmp_path))
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "moons_seed_seed0.json").read_text())["settings"]
    expected = {
        "n_steps": 40,
        "schedule": "cosine",
        "hidden": [64, 64, 64, 64],
        "relu_moments": "first_order",
        "prediction_type": "epsilon",
        "time_features": "scalar",
        "rule": "capped",
        "cap": 3.0,
        "noise_std": 2.0,
        "noise_min_std": 0.1,
        "noise_decay": 0.99,
        "batch_size": 2000,
        "n_epochs": 2,
        "n_train": 2000,
        "n_samples": 500,
        "device": "cpu",
    }
    assert settings == expected
    assert lab.PRESETS["seed"].n_epochs == 100


def test_same_seed_same_numbers(tmp_path: Path) -> None:
    def numbers(folder: str, seed: int) -> list[float]:
        report = lab.run_diffusion(
            "moons", "default", seed, 1000, 1, 300, output_dir=tmp_path / folder, progress=False
        )
        return [report.off_manifold, report.sliced_wasserstein, report.held_out_mse]

    first = numbers("a", 4)
    assert first == numbers("b", 4)
    assert first != numbers("c", 5)


def test_quiet_prints_paths_alone(tmp_path: Path) -> None:
    result = invoke("diffusion", "moons", *SMALL, "--quiet", "--output", str(tmp_path))
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert len(lines) == 4 and all(Path(line).is_file() for line in lines)


def test_callback_ends_training(tmp_path: Path) -> None:
    records = []

    def stop_after_two(record: Any) -> bool:
        records.append(record)
        return len(records) == 2

    report = lab.run_diffusion(
        "moons",
        n_train=500,
        n_epochs=9,
        n_samples=50,
        output_dir=tmp_path,
        progress=False,
        callback=stop_after_two,
    )
    assert len(records) == len(report.train_mse) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["diffusion", "helix"],
        ["diffusion", "moons", "--preset", "best"],
        ["diffusion", "moons", "--epochs", "0"],
        ["diffusion", "moons", "--seed", "-1"],
        ["diffusion", "moons", "--n-samples", "0"],
    ],
)
def test_wrong_arguments_end_with_usage(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Usage" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "torus"}, "name: got 'torus'"),
        ({"name": "helix"}, "name: got 'helix', needed data in two dimensions"),
        ({"name": "moons", "preset": "best"}, "preset: got 'best'"),
        ({"name": "moons", "n_epochs": 0}, "n_epochs: got 0"),
        ({"name": "moons", "n_samples": 0}, "n_samples: got 0"),
    ],
)
def test_run_diffusion_refuses(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        lab.run_diffusion(**arguments, output_dir=tmp_path / "unused")
    assert not (tmp_path / "unused").exists()


def test_version() -> None:
    for argument in ("version", "--version"):
        result = invoke(argument)
        assert (result.exit_code, result.output) == (0, tx.__version__ + "\n")


def test_version_is_that_of_the_installed_distribution() -> None:
    try:
        assert version("tagix") == tx.__version__
    except PackageNotFoundError:
        pytest.skip("tagix is importable but not installed")


def run_main_without(package: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    # None in sys.modules makes Python raise ModuleNotFoundError, as for a package not installed.
    program = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = {['tagix', *arguments]!r}\n"
        "from tagix.cli import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("package", "distribution", "extra"),
    [
        ("typer", "typer", "cli"),
        ("sklearn", "scikit-learn", "lab"),
        ("matplotlib", "matplotlib", "lab"),
        ("ot", "POT", "lab"),
    ],
)
def test_missing_extra_is_one_line_and_exit_code_2(
    package: str, distribution: str, extra: str, tmp_path: Path
) -> None:
    result = run_main_without(
        package, ["diffusion", "moons", *SMALL, "--output", str(tmp_path / "unused")]
    )
    assert result.returncode == 2
    assert (
        result.stderr == f'tagix: {distribution} is not installed: pip install "tagix[{extra}]"\n'
    )
    assert result.stdout == "" and not (tmp_path / "unused").exists()


UCI = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "uci"


@pytest.mark.skipif(not UCI.is_dir(), reason="needs the shared data sets")
def test_bench_uci_scores_splits(tmp_path: Path) -> None:
    arguments = ["--dataset", "yacht", "--quick", "--workers", "1", "--quiet"]
    result = invoke("bench", "uci", "--data", str(UCI), *arguments, "--output", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "2 of 2 jobs run, 0 failed" in result.output.replace("\n", " ")
    assert "| yacht |" in (tmp_path / "uci.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["uci", "tables"])
def test_bench_names_unknown_peers(command: str, tmp_path: Path) -> None:
    (tmp_path / "yacht").mkdir()
    data = ["--data", str(tmp_path)] if command == "uci" else []
    unused = ["--output", str(tmp_path / "unused")]
    result = invoke("bench", command, *data, "--peer", "ngboost,oracle", *unused)
    assert result.exit_code == 2 and "Usage" in result.output
    assert "peers: got 'oracle'" in " ".join(result.output.split())
    assert not (tmp_path / "unused").exists()


def test_bench_names_peers_that_are_not_installed(tmp_path: Path) -> None:
    """Only where one is not, such as in the environment of the test command."""
    from importlib.util import find_spec

    if find_spec("ngboost") is not None:
        pytest.skip("ngboost is installed")
    unused = ["--output", str(tmp_path / "unused")]
    result = invoke("bench", "tables", "--peer", "ngboost", *unused)
    assert isinstance(result.exception, ImportError)
    assert "ngboost is not installed" in str(result.exception)
    assert not (tmp_path / "unused").exists()


def test_bench_tables_scores_folds(tmp_path: Path) -> None:
    arguments = ["--dataset", "iris", "--quick", "--peer", "none", "--workers", "1", "--quiet"]
    result = invoke("bench", "tables", *arguments, "--output", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "1 of 1 jobs run, 0 failed" in result.output.replace("\n", " ")
    assert "| iris |" in (tmp_path / "tables.md").read_text(encoding="utf-8")


def test_bench_uci_names_a_folder_without_sets(tmp_path: Path) -> None:
    result = invoke("bench", "uci", "--data", str(tmp_path), "--output", str(tmp_path / "unused"))
    assert result.exit_code == 2 and "Usage" in result.output
    assert not (tmp_path / "unused").exists()
