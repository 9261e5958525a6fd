"""Benchmarks: opponents do the work of tagix, no device is told in words, tables are written."""

from __future__ import annotations

import dataclasses
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
from benchmarks import drift, merging, topologies
from benchmarks.__main__ import main
from benchmarks.classes import neighbours_alike
from benchmarks.torch_tagi import TorchTagi, relu_moments
from benchmarks.uncertainty_table import NAME, Row, table_of
from tagix import nn, reference
from tagix.bench.document import begin_marker
from tagix.bench.markdown import markdown_row

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
    begin, end = begin_marker(NAME), "<!-- end of table -->"
    page.write_text(f"Above.\n\n{begin}\nold\n{end}\n\nBelow.\n")
    command = ["benchmarks", "uncertainty", "--quick", "--output", str(page)]
    monkeypatch.setattr(sys, "argv", command)
    main()
    text = page.read_text()
    assert text.startswith(f"Above.\n\n{begin}\n\n| target |")
    assert text.endswith(f"|\n\n{end}\n\nBelow.\n") and "old\n" not in text
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


def test_topologies_learn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "topologies", "--quick"])
    main()
    printed = capsys.readouterr().out
    lines = [line.split(" | ") for line in printed.splitlines() if line.startswith("| synthetic")]
    assert [line[1] for line in lines] == list(topologies.NETWORKS)
    data = topologies.synthetic()
    constant = np.sqrt(np.mean((data.y_test - data.y_train.mean()) ** 2))
    sizes = [int(line[2]) for line in lines]
    assert max(sizes) < 1.1 * min(sizes)
    for line in lines:
        assert 1 <= int(line[3]) <= 5
        assert 0.2 * 0.8 < float(line[4]) < 0.8 * constant  # 0.2 is the noise
        assert np.isfinite(float(line[6]))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "topologies"])
    with pytest.raises(SystemExit):
        main()
    assert "--data: got none" in capsys.readouterr().err


@pytest.mark.parametrize("name", topologies.NETWORKS)
def test_scores_of_topologies(name: str) -> None:
    make, data = topologies.NETWORKS[name], topologies.synthetic()
    # A change of units is one of the scores.
    first = topologies.score(make, data, 3, fixed=True)
    tens = dataclasses.replace(data, y_train=10 * data.y_train, y_test=10 * data.y_test)
    other = topologies.score(make, tens, 3, fixed=True)
    assert other[0] == pytest.approx(10 * first[0], rel=1e-3)
    assert other[1] == pytest.approx(first[1] + np.log(10), abs=1e-3)
    assert other[2:] == first[2:] and first[2] == 3
    # The number of epochs does not depend on test rows.
    n_epochs = topologies.best_epochs(make, data, 4)
    assert 1 <= n_epochs <= 4
    hidden = dataclasses.replace(data, x_test=0 * data.x_test, y_test=0 * data.y_test)
    assert topologies.best_epochs(make, hidden, 4) == n_epochs
    assert topologies.score(make, data, 4, fixed=False)[2] == n_epochs


def test_differences_of_topologies_are_paired() -> None:
    one, two = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.5, 3.8])
    epochs = np.full(3, 7.0)
    measured = {"plain": topologies.Measured(10, one, -one, epochs)} | {
        name: topologies.Measured(11, two, -two, epochs) for name in list(topologies.NETWORKS)[1:]
    }
    lines = topologies.table({"a": measured}).splitlines()
    assert lines[2] == "| a | plain | 10 | 7 | 2.000 ± 0.577 |  | -2.000 ± 0.577 |  |"
    cells = "2.600 ± 0.666 | +0.600 ± 0.100 | -2.600 ± 0.666 | -0.600 ± 0.100"
    assert lines[3] == f"| a | residual | 11 | 7 | {cells} |"
    line = topologies.summary({"a": measured, "b": measured}).splitlines()[2]
    assert line == "| residual | +30.0 ± 3.5 % | -0.600 ± 0.071 | 2 of 2 | 0 of 2 |"


def test_rows_of_a_table() -> None:
    row = Row("A share", [0.8, 0.9, 1.0], least=0.85, most=1.2)
    assert markdown_row(row.cells) == "| A share | 0.85 - 1.2 | 0.900 (0.800 - 1) | by the mean |"
    assert Row("A share", [0.9, 1.0], 0.85, 1.2).met == "yes"
    assert Row("A share", [0.8, 0.84], 0.85).met == "no"
    assert Row("A share", [float("nan")], 0.85).met == "no"
    rows = [
        Row("A cost", [2.5], most=3.0),
        Row("Beside", [0.04, 0.04], note="odd"),
        Row("Missing", [], least=1.0),
        Row("Proved", [], shown_by="a.py::test"),
    ]
    assert table_of(rows).splitlines()[2:] == [
        "| A cost | at most 3 | 2.500 | yes |",
        "| Beside (odd) |  | 0.0400 |  |",
        "| Missing | at least 1 | - |  |",
        "| Proved |  | `a.py::test` | by a test |",
    ]


def test_a_page_without_markers_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{begin_marker(NAME)} and no end")
    command = ["benchmarks", "uncertainty", "--quick", "--output", str(page)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(ValueError, match="document: needed '<!-- table: uncertainty -->' once"):
        main()
    assert page.read_text() == f"{begin_marker(NAME)} and no end"


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


# Streams that change.


def test_classes_of_the_stream_change_halfway() -> None:
    rows = drift.changing_classes(2000, 0)
    assert [row[0] for row in rows] == [row[0] for row in drift.changing_classes(2000, 0)]
    assert {label for _, label in rows} == {0, 1, 2}
    x = np.array([list(row.values()) for row, _ in rows])
    labels = np.array([label for _, label in rows])

    def shares_of_neighbours(begin: int, end: int, at: int) -> float:
        """How often the nearest of these rows has the label of the 100 rows from ``at`` on."""
        distance = ((x[at : at + 100, None] - x[None, begin:end]) ** 2).sum(axis=2)
        nearest = labels[begin:end][distance.argmin(axis=1)]
        return float(np.mean(nearest == labels[at : at + 100]))

    assert shares_of_neighbours(0, 900, 900) > 0.7
    assert shares_of_neighbours(0, 1000, 1000) < 0.3
    assert shares_of_neighbours(1000, 1900, 1900) > 0.7


def test_numbers_of_the_stream_are_friedmans() -> None:
    rows = drift.changing_numbers(4000, 1)
    x = np.array([list(row.values()) for row, _ in rows])
    y = np.array([target for _, target in rows])

    def noise(columns: list[int], part: slice) -> float:
        a, b, c, d, e = x[part][:, columns].T
        law = 10 * np.sin(np.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e
        return float(np.std(y[part] - law))

    first, second = [0, 1, 2, 3, 4], [2, 5, 3, 6, 1]
    for part in (slice(0, 2000), slice(3000, 4000)):
        assert noise(first, part) == pytest.approx(1.0, rel=0.1)
        assert noise(second, part) > 3
    assert noise(second, slice(2000, 3000)) == pytest.approx(1.0, rel=0.1)


class Constant:
    """Predicts 3, or half of the probability for class 1; River's methods."""

    def learn_one(self, x: object, y: object) -> None:
        self.learned = y

    def predict_one(self, x: object, return_std: bool = False) -> object:
        return (3.0, 2.0) if return_std else 3.0

    def predict_proba_one(self, x: object) -> dict[int, float]:
        return {0: 0.5, 1: 0.5}


def test_prequential_scores() -> None:
    stats = pytest.importorskip("scipy.stats")
    targets = np.random.default_rng(0).normal(3, 4, size=4000)
    rows = [({"x": 0.0}, target) for target in targets.tolist()]
    own = drift.prequential(drift.OfNumbers(Constant(), has_std=True), rows, [0.5])
    assert own.first == pytest.approx(np.mean((targets - 3) ** 2))
    assert own.second == pytest.approx(-stats.norm(3, 2).logpdf(targets).mean())
    after = targets[2000:2500]
    assert own.first_after == pytest.approx(np.mean((after - 3) ** 2))
    assert own.second_after == pytest.approx(-stats.norm(3, 2).logpdf(after).mean())
    # A variance of the last errors: nearly what knows it would have.
    of_errors = drift.prequential(drift.OfNumbers(Constant()), rows, [0.5])
    best = -stats.norm(3, 4).logpdf(targets).mean()
    assert best - 0.01 < of_errors.second < best + 0.02
    labels = [({"x": 0.0}, k % 3) for k in range(300)]
    scores = drift.prequential(drift.OfClasses(Constant()), labels, [0.5])
    expected = -(2 * np.log(0.5 / 1.001) + np.log(0.001 / 1.001)) / 3
    assert scores.second == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("with_river", [True, False])
def test_every_model_of_streams_runs(
    with_river: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    if with_river:
        pytest.importorskip("river")
    else:
        monkeypatch.setitem(sys.modules, "river", None)
    for names in (list(dict(drift.classifiers())), list(dict(drift.regressors()))):
        assert any(name.startswith("River") for name in names) == with_river
        assert names[0].startswith("tagix, forgetting=Forgetting(") and names[1] == "tagix"
    classes, numbers = drift.changing_classes(300, 0), drift.changing_numbers(300, 0)
    for _, make_classifier in drift.classifiers():
        scores = drift.prequential(make_classifier(), classes, [0.5])
        assert 0.3 < scores.first <= 1 and np.isfinite(scores.second)
    for _, make_regressor in drift.regressors():
        scores = drift.prequential(make_regressor(), numbers, [0.5])
        assert 1 < scores.first < 1000 and np.isfinite(scores.second)
    assert ("River is not installed" in capsys.readouterr().out) != with_river
