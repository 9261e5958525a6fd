"""Examples run, in small, and say and draw what they claim to.

If the environment variable TAGIX_GALLERY names a folder, their figures are left there for the
documentation (tools/site_hooks.py).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

for package in ("matplotlib", "sklearn", "scipy", "ot"):
    pytest.importorskip(package, reason="needs the lab extra")

FOLDER = Path(__file__).resolve().parents[3] / "examples"
SMALL: dict[str, dict[str, Any]] = {
    "regression_1d": {},
    "table_regression": {},
    "diffusion_swiss_roll": {},
    "heteroscedastic_1d": {"n_rows": 1000, "n_epochs": 50},
    "diffusion_noise_by_timestep": {"n_train": 4000, "n_epochs": 2},
    "diffusion_uncertainty": {
        "n_train": 4000,
        "n_epochs": 3,
        "n_samples": 300,
        "n_chains": 4,
    },
    "diffusion_classes": {"n_epochs": 8, "n_samples": 600, "grid": 20},
    "streaming_drift": {"n_after": 1000},
    "classification": {},
    "merge_shards": {},
    "inverse_design": {},
    "gaps": {},
}
FIGURES = {
    "regression_1d": ["regression_1d"],
    "table_regression": ["table_regression"],
    "heteroscedastic_1d": ["heteroscedastic_1d"],
    "diffusion_noise_by_timestep": ["diffusion_noise_by_timestep"],
    "diffusion_uncertainty": ["diffusion_uncertainty_samples", "diffusion_uncertainty_filtering"],
    "diffusion_classes": ["diffusion_classes_guidance", "diffusion_classes_density"],
    "streaming_drift": ["streaming_drift"],
    "classification": ["classification"],
    "merge_shards": ["merge_shards"],
    "inverse_design": ["inverse_design"],
    "gaps": ["gaps_curve", "gaps_moons"],
}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keep(name: str, figures: Path) -> None:
    """Leave the figures of an example for the documentation, if it asks for them."""
    if gallery := os.environ.get("TAGIX_GALLERY"):
        folder = Path(gallery) / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in figures.glob("*.png"):
            shutil.copy(path, folder)


@pytest.fixture
def output(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """What the example of that name prints; its figures are all there."""
    name = request.param
    if name == "diffusion_uncertainty":
        pytest.importorskip("torch", reason="needs the torch extra")
    monkeypatch.chdir(tmp_path)
    load(name).main(**SMALL[name])
    for figure in FIGURES[name]:
        path = tmp_path / "output" / f"{figure}.png"
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
    keep(name, tmp_path / "output")
    return str(capsys.readouterr().out)


def numbers(line: str) -> list[float]:
    """The numbers of a line that stand by themselves."""
    return [
        float(word) for word in re.findall(r"(?<![\w=.-])[+-]?\d+\.?\d*(?:e-?\d+)?(?![\w-])", line)
    ]


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("output", [name], indirect=True)


def test_every_example_is_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(SMALL)


@of("regression_1d")
def test_regression(output: str) -> None:
    assert output == "output/regression_1d.png\n"


@of("table_regression")
def test_table(output: str) -> None:
    rows = {line.split()[0]: numbers(line) for line in output.splitlines()[:4]}
    assert rows["rows"] == [331, 111]
    # A Gaussian that knows no measurement has -5.76.
    assert rows["R2"][-1] > 0.15 and -5.76 < rows["log"][-1] < -5.0
    assert 0.8 < rows["coverage"][0] < 0.98


@of("gaps")
def test_gaps(output: str) -> None:
    lines = output.splitlines()
    (at_data, in_gap), plain = (numbers(line) for line in (lines[0], lines[1]))
    assert in_gap > 6 * at_data and plain[1] < 0.6 * in_gap
    confidences = [numbers(line)[-1] for line in lines[3:9]]
    assert confidences[1] < 0.6 and confidences[2] < 0.55 and min(confidences[3:]) > 0.8


@of("heteroscedastic_1d")
def test_heteroscedastic(output: str) -> None:
    lines = output.splitlines()
    assert 0.8 < numbers(lines[1])[-1] < 0.97  # coverage of 90 %
    for line in lines[2:4]:
        _, inferred, truth = numbers(line.replace(":", " ").replace(",", " "))
        assert inferred == pytest.approx(truth, rel=0.3)


@of("diffusion_noise_by_timestep")
def test_noise_by_timestep(output: str) -> None:
    rows = [numbers(line) for line in output.splitlines()[1:9]]
    for predicted, actual, ratio in rows:
        assert ratio == pytest.approx(predicted / actual, rel=0.05)
    # The later, the less the noise is hidden.
    assert rows[0][1] > rows[-1][1]


@of("diffusion_uncertainty")
def test_uncertain_samples(output: str) -> None:
    lines = output.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["score", "epistemic", "old"]
    for line, n_numbers in zip(lines[1:4], (1, 2, 2), strict=True):
        auroc, *ratio = numbers(line)
        assert 0 <= auroc <= 1 and len(ratio) == n_numbers - 1 and all(r > 0 for r in ratio)
    off, kept = (float(share) for share in re.findall(r"\d\.\d{4}", lines[4]))
    assert 0 < off <= 1 and 0 <= kept <= 1


@of("diffusion_classes")
def test_classes(output: str) -> None:
    lines = output.splitlines()
    weights, accuracies, recalls = zip(*(numbers(line) for line in lines[1:5]), strict=True)
    assert weights == (0.5, 1, 2, 4)
    # Sharper towards the class, and less varied.
    assert sorted(accuracies) == list(accuracies) and accuracies[-1] > 0.98
    assert recalls[-1] < recalls[1]
    accuracy, _, neighbours = numbers(lines[6])
    assert accuracy == pytest.approx(neighbours, abs=0.05)
    assert 0.5 < numbers(lines[8])[-1] < 1.5


@of("classification")
def test_classification(output: str) -> None:
    (accuracy, likely, error), best = (numbers(line) for line in output.splitlines()[1:3])
    assert best[0] - 0.02 < accuracy < best[0] + 0.005
    assert best[1] - 0.05 < likely < best[1] + 0.005
    assert error < 0.02 and best[2] < 0.02


@of("streaming_drift")
def test_drift(output: str) -> None:
    rows = {line.split()[0]: numbers(line) for line in output.splitlines()[1:6]}
    before, _, at_once, later, drifts = rows["no"]
    assert before < later < at_once and drifts == 0
    tested = rows["process_noise=0"]
    assert tested[-1] >= 1 and tested[2] < at_once


@of("merge_shards")
def test_merge(output: str) -> None:
    lines = output.splitlines()
    rmse = [float(line.partition("RMSE ")[2].partition(",")[0]) for line in lines[:6]]
    prior, *sites, merged, without = rmse
    assert 0.09 < merged < min(prior, *sites)  # the noise is 0.1
    assert merged < without


@of("inverse_design")
def test_inverse_design(output: str) -> None:
    *modes, shares, _ = output.splitlines()[1:]
    weights, truth = zip(*(numbers(line.partition("weight")[2]) for line in modes), strict=True)
    assert len(modes) >= 2 and sum(weights) == pytest.approx(1, abs=0.02)
    for weight, y in zip(weights, truth, strict=True):
        assert weight < 0.1 or y == pytest.approx(1.5, abs=0.2)
    assert sum(numbers(shares.replace("%", ""))) > 95


def test_swiss_roll_runs_the_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    module = load("diffusion_swiss_roll")
    full = module.run_diffusion

    def small(name: str, **arguments: Any) -> Any:
        arguments["output_dir"] = tmp_path
        return full(name, n_train=1000, n_epochs=1, n_samples=100, progress=False, **arguments)

    monkeypatch.setattr(module, "run_diffusion", small)
    module.main()
    lines = capsys.readouterr().out.splitlines()
    assert all(numbers(line)[0] >= 0 for line in lines[:4])
    assert all(Path(line).is_file() for line in lines[4:]) and len(lines) == 7
    keep("diffusion_swiss_roll", tmp_path)
