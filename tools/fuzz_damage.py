"""Damage to files: bits, lengths, pieces, JSON, dtypes, shapes, tensors, versions."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

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
