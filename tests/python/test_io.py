"""Files: what is saved comes back bit by bit, and a bad file says what is wrong with it."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Array, regression_data, rewrite_file, same_bits, with_given_parameters

import tagix as tx
from tagix import nn

safetensors = pytest.importorskip("safetensors", reason="a dependency of the package")

from safetensors.numpy import save_file  # noqa: E402

EVERY_LAYER = [
    nn.Linear(3, 8, init="xavier", gain_weight=0.7, gain_bias=0.3),
    nn.ReLU(),
    nn.Sequential(
        nn.Linear(8, 8, bias=False),
        nn.ReLU("first_order"),
        nn.Sequential(nn.LeakyReLU(0.1), nn.LeakyReLU(0.2, moments="first_order")),
    ),
    nn.Hardtanh(),
    nn.Sigmoid(),
    nn.Linear(8, 8, gain_weight=1 / 3),
    nn.Tanh("first_order"),
    nn.Softplus(),
    nn.SiLU(),
    nn.GELU("first_order"),
    nn.Linear(8, 4),
    nn.Identity(),
    nn.Exp("first_order"),
    nn.Linear(4, 2, gain_bias=1e-3),
]


def small(seed: int = 0) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), seed=seed)


@pytest.mark.parametrize(
    "rule",
    [tx.Information(), tx.Information(share=0.123456789, clip=0.7), tx.Capped(), tx.Capped(2.3)],
    ids=str,
)
def test_network_comes_back_bit_by_bit(rule: tx.UpdateRule, tmp_path: Path) -> None:
    net = nn.Sequential(*EVERY_LAYER, seed=2**62 + 1, rule=rule)
    x, y = regression_data(60)
    noise = tx.Homoscedastic(std=1, decay=0.5)
    net.fit(x, y, noise=noise, n_epochs=2, batch_size=16, progress=False)
    net.save(tmp_path / "net.safetensors")
    loaded = tx.load(tmp_path / "net.safetensors")
    assert isinstance(loaded, nn.Sequential)
    assert repr(loaded) == repr(net) and loaded.rule == rule
    assert (loaded.seed, loaded.epochs_trained) == (2**62 + 1, 2)
    assert same_bits(loaded.state_dict(), net.state_dict())
    for a, b in zip(loaded(x, x * x), net(x, x * x), strict=True):
        assert a.tobytes() == b.tobytes()
    for model in (net, loaded):
        model.update(x, y, noise)
        model.fit(x, y, noise=noise, n_epochs=1, batch_size=16, progress=False)
    assert same_bits(loaded.state_dict(), net.state_dict())


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("standardize", [False, True])
def test_diffusion_model_comes_back_bit_by_bit(
    fitted: bool, standardize: bool, tmp_path: Path
) -> None:
    data = 10 * regression_data(200)[0] + np.float32([1, 2, 3])
    model = tx.DiffusionModel(
        3,
        hidden=(8, 16),
        n_steps=12,
        schedule="linear",
        time_features="sinusoidal",
        activation=nn.LeakyReLU(0.3),
        noise=tx.Homoscedastic(std=[1.0, 0.9, 0.7], min_std=0.1, decay=0.9),
        rule=tx.Capped(cap=3),
        standardize=standardize,
        seed=9,
    )
    if fitted:
        model.fit(data, n_epochs=2, progress=False)
        model.sample(3)
    else:
        with_given_parameters(model)
    model.save(tmp_path / "model.safetensors")
    loaded = tx.load(tmp_path / "model.safetensors")
    assert isinstance(loaded, tx.DiffusionModel)
    assert repr(loaded) == repr(model) and repr(loaded.net) == repr(model.net)
    np.testing.assert_array_equal(loaded.alpha_bar, model.alpha_bar)
    x_t, t = data[:12] / 10, np.arange(12)
    assert loaded.predict(x_t, t).var.tobytes() == model.predict(x_t, t).var.tobytes()
    for _ in range(2):  # the number of calls so far comes along, too
        a, b = loaded.sample(5), model.sample(5)
        assert a.x.tobytes() == b.x.tobytes() and a.var.tobytes() == b.var.tobytes()
    histories = [m.fit(2 * data, n_epochs=1, progress=False) for m in (loaded, model)]
    assert histories[0].noise_var == histories[1].noise_var
    assert same_bits(loaded.net.state_dict(), model.net.state_dict())
    assert loaded.sample(5).x.tobytes() == model.sample(5).x.tobytes()


def test_file_holds_the_state_dict_for_any_reader(tmp_path: Path) -> None:
    net = small()
    net.save(tmp_path / "net.safetensors")
    from safetensors.numpy import load_file

    assert same_bits(dict(sorted(load_file(tmp_path / "net.safetensors").items())),
                     dict(sorted(net.state_dict().items())))  # fmt: skip


@pytest.mark.parametrize("convert", [str, Path])
def test_path_types(convert: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "a name with spaces.safetensors"
    small().save(convert(path))
    assert same_bits(tx.load(convert(path)).state_dict(), small().state_dict())  # type: ignore[union-attr]


def test_save_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small().save("net.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]
    tx.load("net.safetensors")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    small().save(tmp_path / "net.safetensors")
    modes = [
        stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "net.safetensors")
    ]
    assert modes[0] == modes[1]


def test_save_replaces(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    small(0).save(path)
    small(1).save(path)
    assert same_bits(tx.load(path).state_dict(), small(1).state_dict())  # type: ignore[union-attr]
    assert list(tmp_path.iterdir()) == [path]


def test_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.safetensors"
    small(0).save(path)
    before = path.read_bytes()

    def fail(source: Any, target: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        small(1).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_save_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        small().save(tmp_path / "nowhere" / "net.safetensors")


@pytest.mark.parametrize("nested", [False, True])
def test_custom_activation_is_refused(nested: bool, tmp_path: Path) -> None:
    layer: Any = nn.Activation(np.sin, np.cos)
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(layer) if nested else layer, seed=0)
    model = tx.DiffusionModel(2, hidden=(4,), activation=layer)
    for saved in (net, model):
        with pytest.raises(ValueError, match=r"nn\.Activation.*state_dict"):
            saved.save(tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        tx.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"not a model", b"\x00" * 100, b"\xff" * 100], ids=repr
)
def test_not_a_safetensors_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"path: .*file.*safetensors"):
        tx.load(path)


def test_folder(tmp_path: Path) -> None:
    with pytest.raises((ValueError, OSError), match=str(tmp_path)):
        tx.load(tmp_path)


@pytest.mark.parametrize("path", [None, 3, 1.5, ["net"]])
def test_path_of_a_wrong_type(path: Any) -> None:
    for call in (tx.load, small().save, tx.DiffusionModel(2, hidden=(4,)).save):
        with pytest.raises(TypeError, match=rf"^path: got {re.escape(repr(path))}, needed"):
            call(path)


def test_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    small().save(path)
    whole = path.read_bytes()
    for length in (4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"path: .*whole safetensors file"):
            tx.load(path)


Description = dict[str, Any]
Tensors = dict[str, Array]
Change = Callable[[Description, Tensors], object]


def layer(description: Description, index: int) -> dict[str, Any]:
    found: dict[str, Any] = description["network"]["layers"][index]
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, t: t.pop("2.weight.var"), r"missing \['2\.weight\.var'\]"),
        (lambda d, t: t.update(extra=np.zeros(2, np.float32)), r"unknown \['extra'\]"),
        (
            lambda d, t: t.update({"2.bias.mean": np.zeros(3, np.float32)}),
            r"2\.bias\.mean: got .*\(3,\), needed \(2,\)",
        ),
        (
            lambda d, t: t.update({"2.bias.var": -np.ones(2, np.float32)}),
            r"2\.bias\.var: .*negative",
        ),
        (lambda d, t: t.update({"2.bias.mean": np.float32([0, np.nan])}), r"2\.bias\.mean: .*NaN"),
        (
            lambda d, t: t.update({"2.bias.mean": np.zeros(2, np.complex64)}),
            r"2\.bias\.mean.*dtype: got 'C64'",
        ),
        (lambda d, t: d.update(kind="Forest"), "Forest"),
        (lambda d, t: d.pop("kind"), "kind"),
        (lambda d, t: d.pop("network"), "network"),
        (lambda d, t: d.update(network=[1]), ""),
        (lambda d, t: d["network"].update(layers=[]), "layers: got none"),
        (lambda d, t: d["network"].update(seed=-1), "seed: got -1"),
        (lambda d, t: d["network"].update(seed="x"), "seed: got 'x'"),
        (lambda d, t: d["network"].update(epochs_trained="many"), ""),
        (lambda d, t: d["network"].update(epochs_trained=-1), "epochs_trained"),
        (lambda d, t: d["network"]["rule"].update(type="Free"), "Free"),
        (lambda d, t: d["network"]["rule"].update(share=-1), "share: got -1"),
        (lambda d, t: layer(d, 1).update(type="Sequential"), ""),
        (lambda d, t: layer(d, 1).update(type="Layer"), ""),
        (lambda d, t: layer(d, 1).update(type="ArrayLike"), ""),
        (lambda d, t: layer(d, 1).update(type="Swish"), "Swish"),
        (lambda d, t: layer(d, 1).update(type=3), ""),
        (lambda d, t: layer(d, 1).update(moments="sampled"), "moments: got 'sampled'"),
        (lambda d, t: layer(d, 0).update(out_features=5), "got 5 features, needed 4"),
        (lambda d, t: layer(d, 0).update(colour="red"), ""),
        (lambda d, t: layer(d, 2).update(in_features="4"), ""),
    ],
)
def test_damaged_network(change: Change, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    small().save(path)
    rewrite_file(path, change)
    with pytest.raises(ValueError, match=rf"(?s)path: .*net\.safetensors.*{message}"):
        tx.load(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "pt"}, "format"),
        ({"version": "99"}, r"version is 99.*reads"),
        ({"version": "new"}, "new"),
        ({"description": "{"}, ""),
        ({"description": "[]"}, "not an object"),
    ],
)
def test_wrong_metadata(metadata: dict[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    small().save(path)
    rewrite_file(path, lambda d, t: None, metadata)
    with pytest.raises(ValueError, match=rf"(?s)path: .*net\.safetensors.*{message}"):
        tx.load(path)


def test_file_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"0.weight": np.zeros((2, 2), np.float32)}, path)
    with pytest.raises(ValueError, match=r"other\.safetensors.*format 'tagix'"):
        tx.load(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [({}, "format 'tagix'"), ({"format": "tagix", "version": "1", "description": "{}"}, "")],
    ids=["foreign", "tagix"],
)
def test_numbers_that_numpy_does_not_have(
    metadata: dict[str, str], message: str, tmp_path: Path
) -> None:
    """A file of bfloat16, as those of language models are, written by hand."""
    tensors = {"0.weight": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    header = json.dumps({"__metadata__": metadata, **tensors}).encode()
    path = tmp_path / "other.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x00\x3f\x80\x3f")
    with pytest.raises(ValueError, match=rf"^path: .*other\.safetensors.*{message}"):
        tx.load(path)


@pytest.mark.parametrize("older", [False, True])
def test_load_takes_no_seed_of_manual_seed(older: bool, tmp_path: Path) -> None:
    """Nor do the containers within; older files do not say what their seeds are."""
    path = tmp_path / "net.safetensors"
    inner = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), seed=7), seed=6)
    nn.Sequential(nn.Linear(3, 4), inner, nn.Linear(4, 2), seed=5).save(path)
    if older:
        rewrite_file(
            path,
            lambda d, t: (layer(d, 1).pop("seed"), layer(d, 1)["layers"][1].pop("seed")),
            {"version": "1"},
        )
    tx.manual_seed(3)
    expected = [nn.Sequential(nn.ReLU()).seed for _ in range(2)]
    tx.manual_seed(3)
    first = nn.Sequential(nn.ReLU()).seed
    loaded: Any = tx.load(path)
    assert [first, nn.Sequential(nn.ReLU()).seed] == expected
    assert (loaded.seed, loaded[1].seed, loaded[1][1].seed) == ((5,) * 3 if older else (5, 6, 7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, t: t.pop("standardization.scale"), "standardization.scale"),
        (
            lambda d, t: t.update({"standardization.scale": np.zeros(2, np.float32)}),
            "scale: got 0",
        ),
        (
            lambda d, t: t.update({"standardization.shift": np.zeros(3, np.float32)}),
            "standardization.shift: got 3",
        ),
        (
            lambda d, t: t.update({"standardization.shift": np.float32([0, np.nan])}),
            "shift: got nan",
        ),
        (lambda d, t: d["settings"].update(n_steps=1), "n_steps: got 1"),
        (lambda d, t: d["settings"].update(schedule="late"), "schedule: got 'late'"),
        (lambda d, t: d["settings"].update(hidden=[5]), "0.weight.mean"),
        (lambda d, t: d["settings"].update(width=5), ""),
        (lambda d, t: d["noise"].update(std=[0.0]), "std: got 0"),
        (lambda d, t: d.pop("fitted"), "fitted"),
        (lambda d, t: d.update(sample_calls="many"), "many"),
        (lambda d, t: d.update(activation={"type": "Sequential", "seed": 1, "layers": [
            {"type": "ReLU", "moments": "exact"}]}),
         "activation is a Sequential"),
    ],
)  # fmt: skip
def test_damaged_diffusion_model(change: Change, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tx.DiffusionModel(2, hidden=(4,), n_steps=4, seed=0).save(path)
    rewrite_file(path, change)
    with pytest.raises(ValueError, match=rf"(?s)path: .*model\.safetensors.*{message}"):
        tx.load(path)
