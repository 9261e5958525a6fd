"""Safetensors files as bytes: read without trust, and written whole or not at all.

A file is 8 bytes with the length of a header (little-endian), the header, an object of JSON with
dtype, shape and place of each tensor and with texts under "__metadata__", and the tensors, one
after the other without gaps (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import secrets
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagix.io._json import Record, parse_json, shown

MOST_HEADER = 2**23
"""Bytes of a header: 8 MiB, for tens of thousands of tensors, features or classes."""
_MOST_DIMENSIONS = 8
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LEFTOVER_SECONDS = 3600.0


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies, its place checked, counted from the end of the header."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int


class SafetensorsFile:
    """An open file: its metadata at once, its tensors when :meth:`read` is called.

    Raises ValueError for one that is too short for its header, or whose header is not JSON of
    the right form.
    """

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise ValueError(f"got {size} bytes, needed 8 for the length of the header")
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, MOST_HEADER):
            limit = "all that follow" if size - 8 < MOST_HEADER else "the most that is read"
            raise ValueError(
                f"got a header of {length} bytes, needed at most {min(size - 8, MOST_HEADER)}, "
                f"{limit}"
            )
        self._size = size - 8 - length
        self._start = 8 + length
        self.metadata, self._entries = _parse_header(file.read(length))
        self._check_size()

    def _check_size(self) -> None:
        """That the places of the tensors end where the file does, whatever their dtypes."""
        end = 0
        for name, entry in self._entries.items():
            offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
            if (
                not isinstance(offsets, list)
                or len(offsets) != 2
                or not all(type(offset) is int for offset in offsets)
                or not 0 <= offsets[0] <= offsets[1]
            ):
                raise ValueError(
                    f"{shown(name)}: got data_offsets {shown(offsets)}, needed [start, end]"
                )
            end = max(end, offsets[1])
        if end != self._size:
            raise ValueError(f"got {self._size} bytes of tensors, needed {end}")

    def read(self) -> dict[str, NDArray[Any]]:
        """All tensors, by name.

        Raises ValueError for dtypes other than F32, F64 and I64, for shapes that do not fit the
        place of their tensor, for gaps and overlaps, and where there is not enough memory.
        """
        tensors = {}
        for tensor in self._tensors():
            try:
                array = np.empty(tensor.shape, tensor.dtype)
            except MemoryError as error:
                raise ValueError(
                    f"{shown(tensor.name)}: got shape {tensor.shape}, for which there is not "
                    "enough memory"
                ) from error
            if array.size:
                self._file.seek(self._start + tensor.start)
                if self._file.readinto(_bytes(array)) != array.nbytes:
                    raise ValueError(f"{shown(tensor.name)}: the file became shorter meanwhile")
            tensors[tensor.name] = array
        return tensors

    def _tensors(self) -> Iterator[_Tensor]:
        """The tensors in the order of their places, each checked."""
        end = 0
        for name, entry in sorted(self._entries.items(), key=lambda item: item[1]["data_offsets"]):
            record = Record(entry, shown(name))
            start, stop = record.take("data_offsets")
            dtype = _DTYPES[record.text("dtype", _DTYPES)]
            shape = record.items("shape", most=_MOST_DIMENSIONS)
            record.done()
            if not all(type(extent) is int and 0 <= extent <= self._size for extent in shape):
                raise ValueError(f"{shown(name)}: got shape {shape}, which the file cannot hold")
            if start != end:
                raise ValueError(
                    f"{shown(name)}: got the place {start}, needed {end}, where the tensor before "
                    "ends"
                )
            n_bytes = math.prod(shape) * dtype.itemsize
            if stop - start != n_bytes:
                raise ValueError(
                    f"{shown(name)}: got {stop - start} bytes, needed {n_bytes} for the shape "
                    f"{shape}"
                )
            end = stop
            yield _Tensor(name, dtype, tuple(shape), start)


def _parse_header(header: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    """The metadata, and the entries of the tensors, of which nothing has been checked."""
    try:
        text = header.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"header: {error}") from None
    entries = parse_json(text, "header")
    if not isinstance(entries, dict):
        raise ValueError(f"header: got {shown(entries)}, needed an object")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise ValueError(f"__metadata__: got {shown(metadata)}, needed an object of strings")
    return metadata, entries


def _bytes(array: NDArray[Any]) -> memoryview:
    """The memory of a C-contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def checksum(metadata: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> str:
    """CRC-32, in hexadecimal, of version, description and tensors, those by the order of names.

    Of what the file says and not of how it is laid out: another program may write it anew.
    """
    crc = 0
    for key in ("version", "description"):
        crc = zlib.crc32(metadata[key].encode("utf-8", "surrogatepass") + b"\0", crc)
    for name in sorted(tensors):
        array = tensors[name]
        head = f"{name}\0{_NAMES[array.dtype]}\0{array.shape}\0"
        crc = zlib.crc32(head.encode("utf-8", "surrogatepass"), crc)
        crc = zlib.crc32(_bytes(np.ascontiguousarray(array)), crc)
    return f"{crc:08x}"


def write_safetensors(
    target: Path, metadata: dict[str, str], tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write a file in place of an old one, which stays whole until the new one is.

    The new one is written beside it, under the name that :func:`_leftovers` looks for, brought to
    the disk, and renamed; then the folder is brought to the disk, too. Its permissions are those
    of any new file. A symbolic link stays, and what it points to is replaced.

    Raises:
        OSError: if it cannot be written; an old one is then as it was.
        ValueError: for a header beyond the limits of reading.
    """
    from safetensors.numpy import save

    content = save({name: np.ascontiguousarray(tensors[name]) for name in tensors}, metadata)
    length = int.from_bytes(content[:8], "little")
    if length > MOST_HEADER:
        raise ValueError(f"got a description of {length} bytes, needed at most {MOST_HEADER}")
    _parse_header(content[8 : 8 + length])

    target = Path(os.path.realpath(target))
    _remove_leftovers(target)
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    _synchronise_folder(target.parent)


def _synchronise_folder(folder: Path) -> None:
    """Bring a rename to the disk where folders can be opened, and file systems take part in it."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # the new file is in place: there is nothing to undo
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_leftovers(target: Path) -> None:
    """Remove what processes that were killed while they saved have left beside the target.

    A younger one than an hour may belong to a process that is writing it, and stays.
    """
    name = re.compile(re.escape(target.name) + r"\.[0-9a-f]{16}\.tmp")
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if not name.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):  # another process may have been quicker
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _LEFTOVER_SECONDS:
                    os.unlink(entry.path)
