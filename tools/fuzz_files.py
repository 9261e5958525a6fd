"""Loads damaged files: each is to be refused with a ValueError, or loaded and usable.

    python tools/fuzz_files.py --n 100000 --workers 2      (options: --help)

Small files of every kind are mutated: bits, lengths, pieces, the JSON of their headers and of their
descriptions, dtypes, shapes, tensors, versions; most with a checksum that fits what they hold, so
that it is not the checksum that refuses them. What is loaded is then used: it predicts, learns
and, now and then, is saved. Any other exception, an end of the process, more than --seconds or more
than --megabytes is a failure: the file is kept in --keep with what happened, and the exit status is
1. Each file follows from --seed and its number alone. tools/fuzz.sh runs this under the address and
undefined-behaviour sanitizers.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import json
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_runner import main

import tagix as tx
from tagix import nn, schedules
from tagix.io._safetensors import checksum

Entries = dict[str, Any]


class File:
    """A valid file in pieces that can be changed, and put together again."""

    def __init__(self, content: bytes) -> None:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        self.metadata: dict[str, str] = header.pop("__metadata__")
        data = content[8 + length :]
        self.tensors: dict[str, tuple[str, list[int], bytes]] = {
            name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
            for name, entry in header.items()
        }

    def copy(self) -> File:
        """Another one, to be changed."""
        other = File.__new__(File)
        other.metadata, other.tensors = dict(self.metadata), dict(self.tensors)
        return other

    def content(self, change: Callable[[Entries], object] = lambda entries: None) -> bytes:
        """The bytes, with the checksum that they should have; ``change`` edits the header last."""
        if "crc32" in self.metadata:
            with contextlib.suppress(KeyError, TypeError, ValueError):  # tensors, not all arrays
                self.metadata["crc32"] = checksum(self.metadata, self._arrays())
        entries: Entries = {"__metadata__": dict(self.metadata)}
        data = b""
        for name, (dtype, shape, values) in self.tensors.items():
            offsets = [len(data), len(data) + len(values)]
            entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
            data += values
        change(entries)
        header = json.dumps(entries).encode("utf-8", "surrogatepass")
        return len(header).to_bytes(8, "little") + header + data

    def _arrays(self) -> dict[str, Any]:
        dtypes = {"F32": np.float32, "F64": np.float64, "I64": np.int64}
        return {
            name: np.frombuffer(values, dtypes[dtype]).reshape(shape)
            for name, (dtype, shape, values) in self.tensors.items()
        }


class _Product(nn.Module):
    """A module of a user's own, of every operation that one can have."""

    def __init__(self) -> None:
        self.a, self.b, self.act = nn.Linear(3, 2), nn.Linear(3, 2), nn.LeakyReLU(0.1)
        self.embed, self.head = nn.ClassEmbedding(1, 2, 2), nn.Linear(5, 2)

    def forward(self, x: nn.Value) -> nn.Value:
        a = self.a(x)
        joined = nn.concat([(a + self.act(a)) * self.b(x), self.embed(x)])
        return self.head(joined)  # type: ignore[no-any-return]


def valid_files(folder: Path) -> list[bytes]:
    """Small files of every kind and of every version, the same in each process."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 3)).astype(np.float32)
    y = x[:, :2] + 1
    labels = np.arange(8) % 2
    known = tx.Homoscedastic([0.5, 0.7], decay=0.9)
    activations: list[Any] = [
        nn.ReLU("first_order"),
        nn.LeakyReLU(0.1),
        nn.Hardtanh(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Softplus(),
        nn.SiLU(),
        nn.GELU(),
        nn.Identity(),
        nn.Exp(),
    ]
    nested = nn.Sequential(nn.Linear(4, 4, init="xavier"), nn.Sequential(nn.ReLU(), seed=2), seed=1)
    ends: list[dict[str, Any]] = [
        {"noise": known},
        {"noise": tx.Heteroscedastic(), "rule": tx.Capped(2.0)},
        {"noise": tx.Homoscedastic(learn=True), "precision": "mixed"},
        {"noise": known, "forgetting": tx.Forgetting(window=5)},
    ]
    models: list[Any] = [
        nn.Sequential(nn.Linear(3, 4), nested, nn.Linear(4, 2), seed=3, **options)
        for options in ends
    ]
    models.append(
        nn.Sequential(nn.Linear(3, 2), *activations, nn.Linear(2, 2), seed=4, noise=known)
    )
    models.append(
        nn.Sequential(nn.ClassEmbedding(1, 2, 2), nn.Linear(3, 2, bias=False), seed=5, noise=known)
    )
    joined = nn.Residual(nn.Concat(nn.Gated(3, 2), nn.Sequential(nn.Linear(3, 1), seed=1)))
    models.append(
        nn.Sequential(nn.Flatten(), joined, nn.Linear(3, 2), input_shape=(3,), seed=8, noise=known)
    )
    models.append(nn.Network(_Product(), (3,), seed=9, noise=tx.Heteroscedastic()))
    for model in models:
        model.fit(x, y, n_epochs=1, progress=False)
    kinds: list[dict[str, Any]] = [
        {"schedule": "linear", "prediction_type": "sample", "time_features": "scalar"},
        {"schedule": schedules.Sigmoid(), "n_classes": 2, "class_features": "sinusoidal"},
        {"schedule": schedules.EDM(), "time_features": "log_sigma", "n_classes": 2},
        {"n_classes": 2, "class_features": "embedding", "embedding_dim": 2},
        {"noise": tx.Heteroscedastic(), "prediction_type": "v_prediction", "hidden": ()},
    ]
    for options in kinds:
        made = tx.DiffusionModel(3, **{"hidden": (3,), "n_steps": 5, "seed": 6, **options})
        given = labels if made.n_classes else None
        made.fit(x, given, n_epochs=1, progress=False)
        models.append(made)
    contents = []
    for model in [*models, *_estimators(x, y[:, 0], labels)]:
        model.save(folder / "valid")
        contents.append((folder / "valid").read_bytes())
    stored = Path(__file__).parents[1] / "tests" / "python" / "old_files"
    return contents + [path.read_bytes() for path in sorted(stored.glob("*.safetensors"))]


def _estimators(x: Any, y: Any, labels: Any) -> list[Any]:
    """Fitted estimators of tagix.sklearn, where scikit-learn is there."""
    try:
        from tagix import sklearn
    except ImportError:
        return []
    few: dict[str, Any] = {"hidden": (3,), "max_epochs": 1, "n_estimators": 1, "random_state": 0}
    table = np.where(np.abs(x) < 0.1, np.nan, x)
    stream = sklearn.TagiRegressor(**few)
    stream.learn_one({"a": 1.0, "b": 2.0}, 3.0)
    return [
        *_estimators_of_columns(sklearn, few, y, labels),
        sklearn.TagiRegressor(**few).fit(x, y),
        sklearn.TagiRegressor(**few | {"n_estimators": 2}, forgetting=tx.Forgetting()).fit(
            table, y
        ),
        stream,
        sklearn.TagiClassifier(**few).fit(x, np.array(["no", "yes"])[labels]),
        sklearn.TagiClassifier(**few, likelihood="remax").partial_fit(x, labels, classes=[0, 1, 2]),
        sklearn.TagiDiffusion((3,), n_steps=4, n_epochs=1, random_state=0).fit(x),
        sklearn.TagiDiffusion((3,), conditional=True, n_steps=4, n_epochs=1, random_state=1).fit(
            x, labels
        ),
        sklearn.TagiRegressor(),
    ]


def _estimators_of_columns(sklearn: Any, few: dict[str, Any], y: Any, labels: Any) -> list[Any]:
    """Those fitted to a DataFrame of categories and times, where polars and narwhals are there."""
    try:
        import narwhals  # noqa: F401
        import polars
    except ImportError:
        return []
    times = [datetime.time(hour % 24) for hour in range(len(y))]
    table = polars.DataFrame({"place": np.array(["here", "there"])[labels], "at": times, "y": y})
    return [
        sklearn.TagiRegressor(**few).fit(table, y),
        sklearn.TagiDiffusion((3,), n_steps=4, n_epochs=1, random_state=0).fit(table),
    ]


# What takes the place of a value of JSON.
_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, -(2**63), 10**9,
    10**30, 0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, -1e300, float("nan"), float("inf"), -float("inf"),
    "", "0", "1", "x", "\x00", "\ud800", "é" * 40, "Linear", "ReLU", "Sequential", "Activation",
    "Layer", "Homoscedastic", "float64", "mixed", "bfloat16", "cuda", [], {}, [1], [[]], [None],
    [float("nan")], {"type": "ReLU"}, {"type": "Linear", "in_features": 9**9, "out_features": 9**9},
    {"type": "Sequential", "layers": [], "seed": 1}, "x" * 5000, list(range(300)),
]  # fmt: skip


def _slots(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value of JSON: (container, key or index)."""
    found: list[tuple[Any, Any]] = []
    queue = [value]
    while queue:
        container = queue.pop()
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], (dict, list)):
                queue.append(container[key])
    return found


def _edit(value: Any, rng: random.Random) -> None:
    """Change one place of a value of JSON."""
    slots = _slots(value)
    if not slots:
        return
    container, key = rng.choice(slots)
    old = container[key]
    how = rng.randrange(8)
    if how == 0:
        del container[key]
    elif how == 1 and isinstance(container, dict):
        container[rng.choice(["x", "type", "seed", "layers", "\ud800"])] = container.pop(key)
    elif how == 2 and isinstance(container, list):
        container.extend(copy.deepcopy(old) for _ in range(rng.choice([1, 2, 50])))
    elif how == 3:
        other, place = rng.choice(slots)
        container[key] = copy.deepcopy(other[place])
    elif how in (4, 5) and isinstance(old, (int, float)) and not isinstance(old, bool):
        container[key] = rng.choice(
            [old + 1, old - 1, -old, old * 2, old * 1000, old * 10**9, old / 3, 10**40]
        )
    else:
        container[key] = copy.deepcopy(rng.choice(_VALUES))


def _edit_bytes(content: bytes, rng: random.Random) -> bytes:
    """A few changes of bytes, of the kind that text suffers from."""
    text = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(text) + 1)
        how = rng.randrange(5)
        if how == 0 and at < len(text):
            text[at] = rng.randrange(256)
        elif how == 1:
            del text[at : at + rng.choice([1, 2, 10, 100])]
        elif how == 2:
            text[at:at] = rng.choice(
                [b"[", b"]", b"{", b"}", b'"', b",", b":", b"\\", b"9", b"\xff"]
            )
        elif how == 3:
            text[at:at] = text[at : at + rng.choice([1, 10, 100])]
        else:
            digits = [i for i in range(len(text)) if 48 <= text[i] <= 57]
            if digits:
                text[rng.choice(digits)] = rng.choice(b"0123456789-.e")
    return bytes(text)


def _bits(whole: bytes, rng: random.Random) -> bytes:
    content = bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _truncated(whole: bytes, rng: random.Random) -> bytes:
    return whole[: rng.randrange(len(whole))]


def _extended(whole: bytes, rng: random.Random) -> bytes:
    return whole + rng.randbytes(rng.choice([1, 4, 8, 100, 5000]))


def _length(whole: bytes, rng: random.Random) -> bytes:
    length = int.from_bytes(whole[:8], "little")
    new = rng.choice([0, 1, 2, length - 1, length + 1, length + 8, len(whole), len(whole) - 8,
                      2**31, 2**32 + length, 2**63, 2**64 - 1, rng.getrandbits(64)])  # fmt: skip
    return struct.pack("<Q", new) + whole[8:]


def _header_text(whole: bytes, rng: random.Random) -> bytes:
    length = int.from_bytes(whole[:8], "little")
    header = _edit_bytes(whole[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + whole[8 + length :]


def _nested(whole: bytes, rng: random.Random) -> bytes:
    """A header, or a description, of brackets, as deep as the size of files allows, or long."""
    count = rng.choice([10, 70, 1000, 30_000, 300_000])
    unit = rng.choice(["[", '{"a":', "[1,", '"', "9", "[[],", "1,", "{},", '"a",'])
    text = (
        rng.choice(["", "["]) + unit * count + rng.choice(["", "]", "]" * count, "1" + "}" * count])
    )
    if rng.random() < 0.5:
        header = text.encode()
    else:
        metadata = {"format": "tagix", "version": "3", "description": text}
        header = json.dumps({"__metadata__": metadata}).encode()
    return len(header).to_bytes(8, "little") + header


_RAW: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bits": _bits,
    "truncated": _truncated,
    "extended": _extended,
    "length": _length,
    "header text": _header_text,
}


def _numbers(file: File, rng: random.Random, _: list[File]) -> bytes:
    """NaN, negative variances and the like, or bits of the numbers."""
    if not file.tensors:  # of an estimator that has learned nothing
        return _description(file, rng, [])
    name = rng.choice(list(file.tensors))
    dtype, shape, values = file.tensors[name]
    changed = bytearray(values)
    if changed and rng.random() < 0.5:
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif changed:
        width = 4 if dtype == "F32" else 8
        at = width * rng.randrange(len(changed) // width)
        number = rng.choice([float("nan"), float("inf"), -1.0, -0.0, 0.0, 1e-45, 3e38, -3e38])
        changed[at : at + width] = struct.pack("<f" if width == 4 else "<d", number)
    file.tensors[name] = dtype, shape, bytes(changed)
    return file.content()


def _tensors(file: File, rng: random.Random, others: list[File]) -> bytes:
    """Tensors lost, added, exchanged, renamed, of another dtype or another shape."""
    for _repeat in range(rng.choice([1, 1, 2])):
        if not file.tensors:
            break
        name = rng.choice(list(file.tensors))
        dtype, shape, values = file.tensors[name]
        how = rng.randrange(7)
        if how == 0:
            del file.tensors[name]
        elif how == 1:
            new = rng.choice(
                ["", "x", "__metadata__", name.upper(), "0.weight.mean", "\ud800", "x" * 999]
            )
            file.tensors[new] = file.tensors.pop(name)
        elif how == 2:
            other = rng.choice(others)
            file.tensors |= {
                each: other.tensors[each] for each in rng.sample(list(other.tensors), 1)
            }
        elif how == 3:
            again = rng.choice(list(file.tensors))
            file.tensors[name], file.tensors[again] = file.tensors[again], file.tensors[name]
        elif how == 4:
            other_dtype = rng.choice(["F64", "I64", "F32", "F16", "BF16", "BOOL", "U8", "C64", ""])
            file.tensors[name] = other_dtype, shape, values
        elif how == 5:
            size = len(values) // 4
            shapes: list[list[int]] = [
                [size],
                [1, size],
                [size, 1],
                [],
                [0],
                [*shape, 1],
                shape[::-1],
            ]
            file.tensors[name] = dtype, rng.choice(shapes), values
        else:
            n_numbers = rng.choice([0, 1, 3, 100, 20_000])
            file.tensors[name] = "F32", [n_numbers], bytes(4 * n_numbers)
    return file.content()


def _header(file: File, rng: random.Random, _: list[File]) -> bytes:
    """Dtypes, shapes and places that do not fit, and metadata that are not text."""
    huge = [
        -1,
        0,
        1,
        2**20,
        2**31,
        2**32,
        2**40,
        2**62,
        2**63,
        2**64,
        10**30,
        1.5,
        None,
        "3",
        [1],
        True,
    ]

    def change(entries: Entries) -> None:
        for _ in range(rng.choice([1, 1, 2, 3])):
            name = rng.choice(list(entries) or [""])
            if not isinstance(entries.get(name), dict) or rng.random() < 0.3:
                _edit(entries, rng)
                continue
            entry = entries[name]
            key = rng.choice(list(entry) or ["shape"])
            if isinstance(entry.get(key), list) and entry[key]:
                entry[key][rng.randrange(len(entry[key]))] = copy.deepcopy(rng.choice(huge))
                if rng.random() < 0.3:
                    entry[key] = entry[key] * rng.choice([2, 20])
            else:
                entry[key] = copy.deepcopy(rng.choice([*_VALUES, *huge]))

    return file.content(change)


def _description(file: File, rng: random.Random, _: list[File]) -> bytes:
    """One to three places of the description changed."""
    description = json.loads(file.metadata["description"])
    for _repeat in range(rng.choice([1, 1, 1, 2, 3])):
        _edit(description, rng)
    file.metadata["description"] = json.dumps(description)
    return file.content()


def _description_text(file: File, rng: random.Random, _: list[File]) -> bytes:
    text = _edit_bytes(file.metadata["description"].encode(), rng)
    file.metadata["description"] = text.decode("utf-8", "replace")
    return file.content()


def _transplant(file: File, rng: random.Random, others: list[File]) -> bytes:
    """The description of another file, or one of its parts."""
    other = json.loads(rng.choice(others).metadata["description"])
    if rng.random() < 0.3:
        description = other
    else:
        description = json.loads(file.metadata["description"])
        container, key = rng.choice(_slots(description))
        donor, place = rng.choice(_slots(other))
        container[key] = copy.deepcopy(donor[place])
    file.metadata["description"] = json.dumps(description)
    return file.content()


def _metadata(file: File, rng: random.Random, _: list[File]) -> bytes:
    """Another version, format or release, or one that is not text."""
    key = rng.choice([*file.metadata, "version", "version", "crc32", "x"])
    texts = [
        "",
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "-1",
        "1e3",
        "٤",
        "9" * 5000,
        "tagix",
        "deadbeef",
        "é",
    ]

    def change(entries: Entries) -> None:
        if rng.random() < 0.2:
            entries["__metadata__"].pop(key, None)
        else:
            entries["__metadata__"][key] = rng.choice([*texts, None, 4, []])

    if key == "version" and rng.random() < 0.5:
        file.metadata["version"] = rng.choice(texts)
        return file.content()
    return file.content(change)


_STRUCTURED: dict[str, Callable[[File, random.Random, list[File]], bytes]] = {
    "numbers": _numbers,
    "tensors": _tensors,
    "header": _header,
    "description": _description,
    "description text": _description_text,
    "transplant": _transplant,
    "metadata": _metadata,
}
_KINDS = [*_RAW, *_STRUCTURED, "spliced", *["description"] * 5, *["header"] * 2, "tensors"]


class Mutator:
    """Damaged files by number."""

    def __init__(self, contents: list[bytes], seed: int) -> None:
        self._contents = contents
        self._files = [File(content) for content in contents]
        self._seed = seed

    def make(self, number: int) -> tuple[str, bytes]:
        """The kind of the damage, and the file."""
        rng = random.Random(f"{self._seed}/{number}")
        if rng.random() < 1e-3:
            return "nested", _nested(b"", rng)
        kind = rng.choice(_KINDS)
        which = rng.randrange(len(self._contents))
        whole = self._contents[which]
        if kind == "spliced":
            other = rng.choice(self._contents)
            return kind, whole[: rng.randrange(len(whole))] + other[rng.randrange(len(other)) :]
        if kind in _RAW:
            return kind, _RAW[kind](whole, rng)
        try:
            return kind, _STRUCTURED[kind](self._files[which].copy(), rng, self._files)
        except (ValueError, RecursionError):  # a value that JSON does not have
            return "bits", _bits(whole, rng)


def use(model: Any, again: Path | None) -> None:
    """Predict with a model and teach it, as far as it lets one; save it where ``again`` says."""
    if isinstance(model, nn.Network):
        x: Any
        shapes = model._inputs.shapes or {"x": (model._model.in_features or 3,)}
        arrays = {name: np.ones((2, *shape), np.float32) for name, shape in shapes.items()}
        for array in arrays.values():
            array[1] = -0.5
        x = arrays if isinstance(model.inputs, dict) else arrays["x"]
        mean, _ = model(x)
        model.update(x, mean * 0, None if model.noise is not None else tx.Homoscedastic(1.0))
    elif isinstance(model, tx.DiffusionModel):
        x = np.ones((2, model.n_features), np.float32)
        model.predict(x, np.array([0, 1]))
        labels = None if model.n_classes is None else np.array([0, -1])
        model.fit(x, labels, n_epochs=1, progress=False)
    else:
        _use_estimator(model)
    if again is not None:
        model.save(again)


def _use_estimator(model: Any) -> None:
    """Predict with an estimator and teach it, a row and a table."""
    if not model.__sklearn_is_fitted__():
        return
    x = np.ones((2, model.n_features_in_))
    x[1] = -0.5
    takes_arrays = model._encoder is None
    if type(model).__name__ == "TagiDiffusion":
        model.sample(2)
        if takes_arrays:
            model.score_samples(x)
        return
    if not takes_arrays:
        model.learn_one({}, model.predict_one({}))
        return
    y = model.predict(x)
    model.partial_fit(x, y)
    if np.ndim(y) == 1:
        names = getattr(model, "feature_names_in_", range(model.n_features_in_))
        row = dict(zip(names, x[0].tolist(), strict=True))
        model.learn_one(row, y.tolist()[0])
        model.predict_one(row)


def try_file(path: Path, again: Path | None = None) -> str:
    """What became of a file, "refused" or "loaded"; raises what it should not have."""
    try:
        model = tx.load(path)
    except ValueError as error:
        if type(error) is not ValueError or not str(error).startswith("path: "):
            raise RuntimeError("no plain ValueError about the path") from error
        return "refused"
    try:
        use(model, again)
    except (ValueError, TypeError):  # arguments of estimators are checked when they are used
        return "loaded, but of no use"
    return "loaded"


class Files:
    """Files to be tried; see fuzz_runner."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._mutator = Mutator(valid_files(folder), seed)
        self._latest: tuple[int, str, bytes] = (-1, "", b"")

    def _make(self, number: int) -> tuple[str, bytes]:
        if self._latest[0] != number:
            self._latest = (number, *self._mutator.make(number))
        return self._latest[1:]

    def kind(self, number: int) -> str:
        """How it was damaged."""
        return self._make(number)[0]

    def content(self, number: int) -> bytes:
        """The file."""
        return self._make(number)[1]

    def run(self, number: int) -> str:
        """Load it, and use what was loaded."""
        path = self._folder / "file"
        path.write_bytes(self.content(number))
        return try_file(path, self._folder / "again" if number % 50 == 0 else None)


if __name__ == "__main__":
    sys.exit(main(Files, __doc__ or ""))
