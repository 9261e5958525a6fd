"""Files that say what is not so: each is a ValueError, before anything is made by what they say."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import OLD_FILES, rewrite_file, same_bits

import tagix as tx
from tagix import nn
from tagix.io._json import MOST_DEPTH
from tagix.io._networks import MOST_LAYERS

Header = dict[str, Any]


def small(seed: int = 0) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), seed=seed)


def pieces(content: bytes) -> tuple[Header, bytes]:
    """Header and tensors, by the format's documentation."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def whole(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def edited(path: Path, change: Callable[[Header], object]) -> None:
    """Change the header of a file, and nothing else."""
    header, data = pieces(path.read_bytes())
    change(header)
    path.write_bytes(whole(json.dumps(header).encode(), data))


def assert_refused(path: Path, message: str, most_bytes: int = 2**22) -> None:
    """A ValueError about the path, which took little memory to find."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"(?s)^path: .*{message}") as caught:
            tx.load(path)
        assert type(caught.value) is ValueError
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    small().save(tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got 0 bytes, needed 8"),
        (b"1234567", "got 7 bytes"),
        (b"\xff" * 8, "header of 18446744073709551615 bytes"),
        ((1).to_bytes(8, "little"), "header of 1 bytes, needed at most 0"),
        ((2**23 + 1).to_bytes(8, "little") + b" " * (2**23 + 1), "needed at most 8388608"),
        (whole(b"\xff\xfe{}"), "header: .*utf-8"),
        (whole(b"{"), "header: "),
        (whole(b"[]"), "header: got \\[\\], needed an object"),
        (whole(b"{}"), "format 'tagix'"),
        (whole(b'{"a":1,"a":2}'), "'a' twice"),
        (whole(b'{"a":' + b"9" * 5000 + b"}"), "integer 99999"),
        (whole(b'{"__metadata__":{"a":"\\ud800"}}'), "surrogates"),
        (whole(b'{"__metadata__":[]}'), "__metadata__: got \\[\\]"),
        (whole(b'{"__metadata__":{"format":4}}'), "needed an object of strings"),
        (whole(b"[" * 1_000_000), f"nested more than {MOST_DEPTH}"),
        (whole(b'{"a":' * 100_000), f"nested more than {MOST_DEPTH}"),
        (whole(b'{"__metadata__":"' + b"[" * 100 + b'"}'), "needed an object of strings"),
        (whole(b'{"a":5}'), "'a': got data_offsets None"),
        (whole(b'{"a":{"data_offsets":[0,-1]}}'), "'a': got data_offsets \\[0, -1\\]"),
        (whole(b'{"a":{"data_offsets":[0,true]}}'), "'a': got data_offsets \\[0, True\\]"),
        (whole(b'{"a":{"data_offsets":[0,1e3]}}'), "'a': got data_offsets"),
        (whole(b'{"a":{"data_offsets":[0,8]}}'), "got 0 bytes of tensors, needed 8"),
        (whole(b"{}", b"12"), "got 2 bytes of tensors, needed 0"),
    ],
)  # fmt: skip
def test_what_is_no_safetensors_file(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    # Reading takes as much memory as the header has, times what text takes in Python.
    assert_refused(tmp_path / "file", message, 2**20 + 6 * len(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["0.bias.mean"].update(dtype="BF16"), "dtype: got 'BF16'"),
        (lambda h: h["0.bias.mean"].update(dtype=["F32"]), "dtype: got \\['F32'\\]"),
        (lambda h: h["0.bias.mean"].update(dtype="F64"), "got 16 bytes, needed 32"),
        (lambda h: h["0.bias.mean"].update(shape=[5]), "got 16 bytes, needed 20"),
        (lambda h: h["0.bias.mean"].update(shape=[3]), "got 16 bytes, needed 12"),
        (lambda h: h["0.bias.mean"].update(shape=[2**62, 2**62]), "cannot hold"),
        (lambda h: h["0.bias.mean"].update(shape=[0, 2**63 - 1]), "cannot hold"),
        (lambda h: h["0.bias.mean"].update(shape=[-4]), "cannot hold"),
        (lambda h: h["0.bias.mean"].update(shape=[True] * 4), "cannot hold"),
        (lambda h: h["0.bias.mean"].update(shape=[4.0]), "cannot hold"),
        (lambda h: h["0.bias.mean"].update(shape=[1] * 9), "shape: got 9 items"),
        (lambda h: h["0.bias.mean"].update(shape="4"), "shape: got '4'"),
        (lambda h: h["0.bias.mean"].update(more=1), "got 'more', needed no such entry"),
        (lambda h: h["0.bias.mean"].pop("dtype"), "dtype is missing"),
        (lambda h: h.update({"0.bias.mean": h["2.weight.mean"]}), "got the place"),
        (lambda h: h.pop("0.bias.mean"), "got the place"),
        (lambda h: h.update(x={"dtype": "F32", "shape": [], "data_offsets": [0, 4]}), "the place"),
        (lambda h: h["__metadata__"].update(version="9"), "version is 9, .* up to 8"),
        (lambda h: h["__metadata__"].update(version="0"), "version is '0'"),
        (lambda h: h["__metadata__"].update(version="\u0664"), "version is"),
        (lambda h: h["__metadata__"].update(version="4" * 10_000), "version is '444"),
        (lambda h: h["__metadata__"].pop("version"), "version is missing"),
        (lambda h: h["__metadata__"].pop("description"), "description is missing"),
        (lambda h: h["__metadata__"].pop("crc32"), "crc32: got None"),
        (lambda h: h["__metadata__"].update(description="[" * 10_000), "nested more than"),
        (lambda h: h["__metadata__"].update(description="NaN"), "not an object"),
        (lambda h: h["__metadata__"].update(description='{"kind":[]}'), "kind is \\[\\]"),
        (lambda h: h["__metadata__"].update(description='{"kind":"Savable"}'), "kind is 'Savable'"),
    ],
)  # fmt: skip
def test_headers(change: Callable[[Header], object], message: str, path: Path) -> None:
    edited(path, change)
    assert_refused(path, message)


def layers(description: Any) -> Any:
    return description["network"]["layers"]


def linear(n_in: Any, n_out: Any) -> dict[str, Any]:
    return nn.Linear(1, 1).config | {"type": "Linear", "in_features": n_in, "out_features": n_out}


KNOWN = {"type": "Homoscedastic", "std": 1.0, "min_std": 0.0, "decay": 1.0, "learn": False}
RELU = {"type": "ReLU", "moments": "exact"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: layers(d).append(linear(10**9, 10**9)), "in_features: got 1000000000"),
        (lambda d: layers(d).append(linear(2, 10**6)), "out_features: got 1000000"),
        (lambda d: layers(d).append(linear(52, 52)), "layers of 2782 parameters"),
        (lambda d: layers(d).extend([linear(2, 2)] * 9), "layers of 80 parameters"),
        (lambda d: layers(d)[0].update(in_features=2**63 - 1), "in_features: got 9223372036"),
        (lambda d: layers(d)[0].update(in_features=2**64), "integer 18446744"),
        (lambda d: layers(d)[0].update(in_features=True), "in_features: got True"),
        (lambda d: layers(d)[0].update(gain_bias=float("nan")), "gain_bias: got nan"),
        (lambda d: layers(d)[0].update(gain_bias=[1]), "gain_bias"),
        (lambda d: layers(d)[0].pop("in_features"), "Linear"),
        (lambda d: layers(d)[0].pop("gain_bias"), "Linear: gain_bias is missing"),
        (lambda d: d["network"]["rule"].pop("clip"), "Information: clip is missing"),
        (lambda d: layers(d).extend([RELU] * MOST_LAYERS), "got 10003 items"),
        (
            lambda d: layers(d).extend(
                [{"type": "Sequential", "seed": 1, "layers": [RELU] * 5000}] * 2
            ),
            "more than 10000",
        ),
        (lambda d: layers(d).append({"type": "Sequential", "seed": 1}), "layers is missing"),
        (lambda d: layers(d).append({"type": "Sequential", "seed": -1, "layers": []}), "seed"),
        (lambda d: layers(d).append({"type": "Activation"}), "type: got 'Activation'"),
        (lambda d: layers(d).append({"type": ["Linear"]}), "type: got \\['Linear'\\]"),
        (lambda d: layers(d).append(7), "layer: got 7"),
        (lambda d: d.update(network=None), "network: got None"),
        (lambda d: d.update(x=1), "got 'x', needed no such entry"),
        (lambda d: d["network"].update(x=1), "got 'x', needed no such entry"),
        (lambda d: d["network"].pop("forgetting"), "forgetting is missing"),
        (lambda d: d["network"].update(layers={}), "layers: got {}"),
        (lambda d: d["network"].update(seed=2**63), "got the integer 9223372036854775808"),
        (lambda d: d["network"].update(seed=1.0), "seed: got 1.0"),
        (lambda d: d["network"].update(epochs_trained=2**53 + 1), "epochs_trained: got 9007199"),
        (lambda d: d["network"].update(epochs_trained=True), "epochs_trained: got True"),
        (lambda d: d["network"].update(training=1), "training: got 1"),
        (lambda d: d["network"].update(precision="float8"), "precision: got 'float8'"),
        (lambda d: d["network"].update(precision=None), "precision: got None"),
        (lambda d: d["network"].update(drift=[0, 0, 0]), "drift: got"),
        (lambda d: d["network"].update(drift=[0, 0, 0, 2**63 - 1]), "n_drifts: got 92233"),
        (lambda d: d["network"].update(drift=[float("nan"), 0, 0, 0]), "chi_square: got nan"),
        (lambda d: d["network"].update(drift=[0, -1.0, 0, 0]), "drift: got a sum of -1"),
        (lambda d: d["network"].update(rule={"type": "Capped", "cap": -1}), "cap: got -1"),
        (lambda d: d["network"].update(rule=[]), "rule: got \\[\\]"),
        (lambda d: d["network"].update(noise=KNOWN | {"std": [1.0] * 3}), "noise: got 3"),
        (lambda d: d["network"].update(noise={"type": "Homoscedastic", "std": 0}), "std: got 0"),
        (lambda d: d["network"].update(noise={"type": "Noise"}), "noise: type: got 'Noise'"),
        (
            lambda d: d["network"].update(forgetting={"type": "Forgetting", "window": -1}),
            "window: got -1",
        ),
    ],
)  # fmt: skip
def test_descriptions(change: Callable[[Any], object], message: str, path: Path) -> None:
    rewrite_file(path, lambda description, _: change(description))
    # Ten thousand layers of JSON are large by themselves.
    assert_refused(path, message, 2**24)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["settings"].update(n_features=10**9), "n_features: got 1000000000"),
        (lambda d: d["settings"].update(hidden=[10**9]), "hidden: got 1000000000"),
        (lambda d: d["settings"].update(hidden=[30] * 3), "parameters"),
        (lambda d: d["settings"].update(hidden=[1] * 20_000), "hidden: got 20000 items"),
        (lambda d: d["settings"].update(hidden=[True]), "hidden: got True"),
        (lambda d: d["settings"].update(hidden="4"), "hidden: got '4'"),
        (lambda d: d["settings"].update(n_steps=100_001), "n_steps: got 100001"),
        (lambda d: d["settings"].update(n_classes=16_384), "n_classes: got 16384"),
        (lambda d: d["settings"].update(n_classes=0), "n_classes: got 0"),
        (lambda d: d["settings"].update(n_classes=1, class_features="embedding",
                                        embedding_dim=10**9), "embedding_dim: got 1000000000"),
        (lambda d: d["settings"].update(time_features="sundial"), "time_features: got 'sundial'"),
        (lambda d: d["settings"].update(prediction_type="x"), "prediction_type: got 'x'"),
        (lambda d: d["settings"].update(standardize=0), "standardize: got 0"),
        (lambda d: d["settings"]["schedule"].update(name="late"), "schedule: got 'late'"),
        (lambda d: d["settings"]["schedule"].update(config={"s": -1}), "s: got -1"),
        (lambda d: d["settings"]["schedule"].update(config={"x": 1}), "config: got 'x'"),
        (lambda d: d["settings"].update(schedule={
            "name": "edm", "config": {"sigma_min": 1e-3, "sigma_max": 80.0, "rho": 1e-5}}),
         "n_steps: got 4"),
        (lambda d: d["settings"]["schedule"].update(config={}), "schedule: got \\[\\], needed"),
        (lambda d: d.update(noise=None), "noise: got None"),
        (lambda d: d.update(activation=linear(1, 1)),
         "activation: got Linear"),
        (lambda d: d.update(fitted="yes"), "fitted: got 'yes'"),
        (lambda d: d.update(class_shares=[1.0]), "class_shares: got shape"),
        (lambda d: d.update(sample_calls=-1), "sample_calls: got -1"),
        (lambda d: d["network"].update(layers=[]), "got 'layers', needed no such entry"),
    ],
)  # fmt: skip
def test_descriptions_of_diffusion(
    change: Callable[[Any], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    tx.DiffusionModel(2, hidden=(4,), n_steps=4, seed=0).save(path)
    rewrite_file(path, lambda description, _: change(description))
    assert_refused(path, message)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_parameters_of_another_dtype(dtype: Any, path: Path) -> None:
    rewrite_file(path, lambda _, t: t.update({"0.bias.mean": np.zeros(4, dtype)}))
    assert_refused(path, "'0.bias.mean': got .*64, needed float32")


def test_every_flipped_bit_is_found(path: Path) -> None:
    """In the header, too, but for what says nothing: the release that wrote the file."""
    content = path.read_bytes()
    release = content.index(b'"release"')
    for position in range(0, len(content), 3):
        if release <= position < release + 20:
            continue
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"^path: "):
            tx.load(path)


def test_a_version_that_lost_a_bit(path: Path) -> None:
    """5 may become 1, whose files had no checksum."""
    edited(path, lambda header: header["__metadata__"].update(version="1"))
    assert_refused(path, "crc32: got ")


def test_every_truncation_is_found(path: Path) -> None:
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"^path: .*not a whole safetensors file"):
            tx.load(path)


def test_checksum_by_its_definition(path: Path) -> None:
    header, data = pieces(path.read_bytes())
    metadata = header.pop("__metadata__")
    parts = [metadata["version"], metadata["description"]]
    content = b"".join(part.encode() + b"\0" for part in parts)
    for name in sorted(header):
        entry = header[name]
        content += f"{name}\0{entry['dtype']}\0{tuple(entry['shape'])}\0".encode()
        content += data[slice(*entry["data_offsets"])]
    assert metadata["crc32"] == f"{zlib.crc32(content):08x}"
    assert (metadata["format"], metadata["version"]) == ("tagix", "8")


def test_another_program_may_write_it_anew(path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata)
    assert same_bits(tx.load(path).state_dict(), small().state_dict())


@pytest.mark.parametrize("version", [1, 2, 3])
def test_old_networks(version: int) -> None:
    """Written by the code of their time, of which the state is known by heart."""
    path = OLD_FILES / f"network_{version}.safetensors"
    net = tx.load(path)
    header, data = pieces(path.read_bytes())
    assert header["__metadata__"]["version"] == str(version)
    state = net.state_dict()
    assert set(state) == set(header) - {"__metadata__"}
    for name, array in state.items():
        entry = header[name]
        assert array.tobytes() == data[slice(*entry["data_offsets"])]
        assert list(array.shape) == entry["shape"]
    noise = {1: None, 2: tx.Heteroscedastic(), 3: tx.Heteroscedastic("softplus")}[version]
    assert (net.seed, net.rule, net.noise, net.epochs_trained) == (5, tx.Capped(2.0), noise, 3)
    assert net.forgetting == (None if version == 1 else tx.Forgetting(window=20))
    weight = {1: 0.0, 2: 23.595755312003924, 3: 23.595755312003924}[version]
    assert net._model.drift[1] == weight
    assert net.precision == "float32" and net.training is True
    assert repr(net[1]) == repr(
        nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU("first_order"), seed=0)
    )
    assert net[1].seed == (5 if version == 1 else 7)
    assert repr(net[2]) == repr(nn.LeakyReLU(0.2))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_old_diffusion_models(version: int) -> None:
    model = tx.load(OLD_FILES / f"diffusion_{version}.safetensors")
    assert (model.n_features, model.n_steps, model.net.seed) == (3, 6, 8)
    assert model.noise == tx.Homoscedastic([1.0, 0.9, 0.8], min_std=0.1, decay=0.9)
    assert (model.net.epochs_trained, model._fitted, model._sample_calls) == (2, True, 1)
    np.testing.assert_allclose(model.shift, [0.45318484, 0.16403663, 1.35502255], rtol=1e-6)
    np.testing.assert_allclose(model.scale, [5.59947443, 4.59959936, 2.30893469], rtol=1e-6)
    edm = tx.schedules.EDM(sigma_max=20.0)
    assert model.schedule == (edm if version == 3 else tx.schedules.Linear())
    assert model.prediction_type == ("v_prediction" if version == 3 else "epsilon")
    assert model.n_classes == (2 if version == 3 else None)
    if version == 3:
        np.testing.assert_array_equal(model.class_shares, [0.5, 0.5])


def test_save_refuses_what_load_would(tmp_path: Path) -> None:
    many = nn.Sequential(nn.Linear(1, 1), *[nn.Identity()] * MOST_LAYERS, seed=0)
    with pytest.raises(ValueError, match=r"layers: got 10001"):
        many.save(tmp_path / "net")
    deep = nn.Sequential(nn.Linear(1, 1), seed=0)
    for _ in range(MOST_DEPTH):
        deep = nn.Sequential(deep, seed=0)
    with pytest.raises(ValueError, match=r"description: got JSON nested more than"):
        deep.save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_many_layers_come_back(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(1, 1), *[nn.Identity()] * (MOST_LAYERS - 1), seed=0)
    net.save(tmp_path / "net")
    assert len(tx.load(tmp_path / "net")) == MOST_LAYERS


def test_a_subclass_is_saved_as_what_it_derives_from(path: Path) -> None:
    class Sequential(nn.Sequential):
        pass

    class Mine(Sequential):
        pass

    Mine(nn.Linear(2, 2), seed=1).save(path)
    assert type(tx.load(path)) is nn.Sequential


needs_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


@needs_posix
@pytest.mark.parametrize("exists", [False, True])
def test_a_symbolic_link_stays(exists: bool, tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    target, link = tmp_path / "versions" / "1.safetensors", tmp_path / "latest"
    link.symlink_to(Path("versions") / "1.safetensors")
    if exists:
        small(0).save(target)
    small(1).save(link)
    assert link.is_symlink() and not target.is_symlink()
    for path in (link, target):
        assert same_bits(tx.load(path).state_dict(), small(1).state_dict())
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "1.safetensors",
        "latest",
        "versions",
    ]


@needs_posix
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"pipe.*needed a file"):
        tx.load(tmp_path / "pipe")


FULL = """
import resource, sys
import tagix as tx
from tagix import nn
net = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 2), seed=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    net.save(sys.argv[1])
except OSError as error:
    print(error.errno)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on file sizes stands for a full disk")
def test_full_disk_leaves_the_old_file(path: Path) -> None:
    before = path.read_bytes()
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], check=True, capture_output=True, text=True
    )
    assert ran.stdout.strip() == str(errno.EFBIG)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_the_folder_is_brought_to_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synchronised: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synchronised.append("file" if os.path.isfile(f"/proc/self/fd/{descriptor}") else "folder")
        real(descriptor)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to tell descriptors apart")
    monkeypatch.setattr(os, "fsync", fsync)
    small(1).save(path)
    assert synchronised == ["file", "folder"]


def test_old_temporary_files_are_removed_and_young_ones_stay(path: Path) -> None:
    names = {
        "net.safetensors.0123456789abcdef.tmp": 7200,  # of a process that was killed
        "net.safetensors.fedcba9876543210.tmp": 10,  # of one that may be writing
        "net.safetensors.notes.tmp": 7200,  # of somebody else
        "other.safetensors.0123456789abcdef.tmp": 7200,
    }
    for name, age in names.items():
        (path.parent / name).touch()
        os.utime(path.parent / name, (time.time() - age,) * 2)
    small(1).save(path)
    left = {file.name for file in path.parent.iterdir()}
    assert left == {path.name, *list(names)[1:]}
