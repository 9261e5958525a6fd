"""Benchmarks: opponents do the work of tagix, no device is told in words, tables are written."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the torch extra")

import torch
from helpers import relative_error

import tagix as tx
from benchmarks import merging
from benchmarks.__main__ import main
from benchmarks.classes import neighbours_alike
from benchmarks.torch_tagi import TorchTagi, relu_moments
from benchmarks.uncertainty_table import BEGIN, END, Row, write_table
from tagix import nn, reference

ROOT = Path(__file__).resolve().parents[3]


def test_torch_tagi_is_tagix() -> None:
    """The same moments and the same update, to what float32 and three steps leave."""
    net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    peer = TorchTagi((3, 16, 16, 2), "cpu")
    state = net.state_dict()
    for i, (mean, var) in enumerate(zip(peer.mean, peer.var, strict=True)):
        for part in ("weight", "bias"):
            getattr(mean, part).copy_(torch.from_numpy(state[f"{2 * i}.{part}.mean"]))
            getattr(var, part).copy_(torch.from_numpy(state[f"{2 * i}.{part}.var"]))
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.standard_normal((40, 3), dtype=np.float32)
        y = rng.standard_normal((40, 2), dtype=np.float32)
        for actual, expected in zip(peer.predict(torch.from_numpy(x)), net(x), strict=True):
            assert relative_error(actual.numpy(), expected) < 1e-4
        net.update(x, y, noise=tx.Homoscedastic(std=0.5))
        peer.update(torch.from_numpy(x), torch.from_numpy(y), 0.25)
    state = net.state_dict()
    for i, (mean, var) in enumerate(zip(peer.mean, peer.var, strict=True)):
        for part in ("weight", "bias"):
            for moment, layer in (("mean", mean), ("var", var)):
                expected = state[f"{2 * i}.{part}.{moment}"]
                assert relative_error(getattr(layer, part).numpy(), expected) < 1e-4


@pytest.mark.parametrize("sd", [0.1, 1.0, 10.0])
def test_torch_relu_moments(sd: float) -> None:
    alpha = torch.linspace(-6, 6, 49)
    mean, var = alpha * sd, torch.full_like(alpha, sd * sd)
    exact = reference.ReLU().forward(mean.double()[:, None], var.double()[:, None])
    for actual, expected in zip(relu_moments(mean, var), exact, strict=True):
        np.testing.assert_allclose(actual, expected[:, 0], rtol=1e-3, atol=1e-6 * sd * sd)


def test_without_a_device_it_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tx, "cuda", SimpleNamespace(why_not=lambda: "no driver"), raising=False)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "gpu"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no CUDA device to measure: no driver" in capsys.readouterr().err


def test_gpu_check_lists_its_stages() -> None:
    command = [str(ROOT / "tools" / "gpu_check.sh"), "--list"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for stage in ("ctest", "pytest", "memcheck", "racecheck", "initcheck", "benchmark"):
        assert f"\n{stage}" in output


def test_uncertainty_writes_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("sklearn", "scipy"):
        pytest.importorskip(package, reason="needs the lab extra")
    page = tmp_path / "page.md"
    page.write_text(f"Above.\n\n{BEGIN}\nold\n{END}\n\nBelow.\n")
    command = ["benchmarks", "uncertainty", "--quick", "--output", str(page)]
    monkeypatch.setattr(sys, "argv", command)
    main()
    text = page.read_text()
    assert text.startswith(f"Above.\n\n{BEGIN}\n\n| target |")
    assert text.endswith(f"|\n\n{END}\n\nBelow.\n") and "old\n" not in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.count("|") == 5 for line in lines) and len(lines) > 25
    printed = capsys.readouterr().out
    for part in ("AUROC of off-manifold", "Coverage of 95", "plain sampling", "weight draws"):
        assert any(part in line for line in lines)
        assert part in printed


def test_merging_writes_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    names = [*merging.TABLES, "merging-seeds", "merging-forget"]
    blocks = [f"<!-- table: {name} -->\n<!-- end of table -->\n" for name in names]
    page.write_text("\n".join(["Above.", *blocks[:-1]]))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "merging", "--quick", "--output", str(page)])
    with pytest.raises(ValueError, match="merging-forget"):
        main()
    page.write_text("\n".join(["Above.", *blocks]))
    main()
    text = page.read_text()
    assert text.startswith("Above.\n") and text.count("<!-- end of table -->") == 5
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert {line[0] for line in rows} >= {"| fresh", "| trained", "| 2", "| 4"}
    # What was merged is forgotten to float32, what was trained is not.
    after = {tuple(row[:3]): row[4] for row in rows if len(row) == 6 and row[2] != "the shard"}
    assert after["| fresh", "apart", "merged with the others"] == "0.000"
    assert after["| fresh", "apart", "after the others"] != "0.000"
    assert "merging-coverage" in capsys.readouterr().out


def test_what_merging_is_compared_to() -> None:
    rows = merging.make_rows(40, 0)
    for split in ("alike", "apart"):
        shards = merging.make_shards(rows, 4, split, 0)
        assert np.sort(np.concatenate([x[:, 0] for x, _ in shards])).tolist() == sorted(
            rows[0][:, 0].tolist()
        )
        ends = [(x[:, 0].min(), x[:, 0].max()) for x, _ in shards]
        apart = all(a[1] <= b[0] for a, b in pairwise(ends))
        assert apart == (split == "apart")
    nets = [merging.make_net(seed) for seed in range(3)]
    state = merging.mean_of_means(nets).state_dict()
    for key, value in state.items():
        expected = sum(net.state_dict()[key].astype(np.float64) for net in nets) / 3
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)
    # Of a mixture: the mean of variances, and the variance of means.
    truth = rows[1][:, 0].astype(np.float64)
    means = np.array([net(rows[0]).mean[:, 0] for net in nets], np.float64)
    variances = np.array([net(rows[0]).var[:, 0] for net in nets], np.float64)
    mean, var = means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)
    density = -0.5 * (np.log(2 * np.pi * var) + (truth - mean) ** 2 / var)
    rmse, log_likelihood, share = merging.of_mixture(nets, rows)
    assert rmse == pytest.approx(np.sqrt(np.mean((truth - mean) ** 2)), rel=1e-5)
    assert log_likelihood == pytest.approx(density.mean(), rel=1e-4)
    assert share == np.mean(np.abs(truth - mean) <= 1.6448536 * np.sqrt(var))


def test_rows_of_a_table() -> None:
    row = Row("A share", [0.8, 0.9, 1.0], least=0.85, most=1.2)
    assert row.line == "| A share | 0.85 - 1.2 | 0.900 (0.800 - 1) | by the mean |"
    assert Row("A share", [0.9, 1.0], 0.85, 1.2).met == "yes"
    assert Row("A share", [0.8, 0.84], 0.85).met == "no"
    assert Row("A share", [float("nan")], 0.85).met == "no"
    assert Row("A cost", [2.5], most=3.0).line == "| A cost | at most 3 | 2.500 | yes |"
    assert Row("Beside", [0.04, 0.04], note="odd").line == "| Beside (odd) |  | 0.0400 |  |"
    assert Row("Missing", [], least=1.0).line == "| Missing | at least 1 | - |  |"
    assert (
        Row("Proved", [], shown_by="a.py::test").line == "| Proved |  | `a.py::test` | by a test |"
    )


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN} and no end")
    with pytest.raises(ValueError, match=r"page\.md: got no lines"):
        write_table(page, [])
    assert page.read_text() == f"{BEGIN} and no end"


@pytest.mark.parametrize("n_classes", [2, 3, 5, 8, 11])
def test_neighbours_alike_are_leaves_in_order(n_classes: int) -> None:
    """Classes on a line follow the leaves of the tree from left to right, or from right to left."""
    places = np.random.default_rng(n_classes).permutation(n_classes)
    labels = np.tile(np.arange(n_classes), 3)
    x = np.stack([places[labels], 0 * labels], axis=1).astype(np.float32)
    numbers = neighbours_alike(x, labels, n_classes)
    assert sorted(numbers) == list(range(n_classes))
    # The path of number k is in the bits of n_classes + k, below the first.
    leaves = sorted(range(n_classes), key=lambda k: bin(n_classes + k)[3:])
    walked = [int(places[list(numbers).index(leaf)]) for leaf in leaves]
    assert walked in (sorted(walked), sorted(walked, reverse=True))
