"""Models in safetensors files, architecture included; docs/files.md describes the format.

The content of a file is checked before anything is built or allocated from it; a bad file raises a
ValueError.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from tagix import _core
from tagix.io._json import Record, parse_json, shown
from tagix.io._safetensors import SafetensorsFile, checksum, write_safetensors
from tagix.io._versions import FORMAT_VERSION, upgrade

__all__ = ["FORMAT_VERSION", "Record", "load", "save_model"]

Tensors = Mapping[str, NDArray[Any]]

# The classes that files hold, and the module that describes and rebuilds instances of each,
# imported when one is saved or a file names it. Estimators describe themselves.
_KINDS = {
    "Sequential": "tagix.io._networks",
    "Network": "tagix.io._networks",
    "DiffusionModel": "tagix.io._diffusion",
    "TagiRegressor": "tagix.sklearn",
    "TagiClassifier": "tagix.sklearn",
    "TagiDiffusion": "tagix.sklearn",
}


class _Form(Protocol):
    """How instances of a class are written to files and rebuilt from them."""

    def to_file(self, model: Any) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """A description for JSON and arrays of float32, float64 or int64, by name."""

    def from_file(self, description: Mapping[str, Any], tensors: Tensors, device: str) -> Any:
        """Rebuild the instance; raises only ValueError and TypeError, whatever the arguments."""


class _OfEstimators:
    """The form of a class of ``tagix.sklearn``."""

    def __init__(self, cls: Any) -> None:
        self._cls = cls

    def to_file(self, model: Any) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """As _Form has it."""
        description, tensors = model._to_file()
        return description, tensors

    def from_file(self, description: Mapping[str, Any], tensors: Tensors, device: str) -> Any:
        """As _Form has it."""
        return self._cls._from_file(description, tensors, device)


def _form_of(kind: str) -> _Form:
    name = _KINDS[kind]
    module: Any = importlib.import_module(name)
    form: _Form = _OfEstimators(getattr(module, kind)) if name == "tagix.sklearn" else module
    return form


def load(path: str | os.PathLike[str], device: str = "cpu") -> Any:
    """Load a network, a diffusion model or an estimator that its ``save`` wrote.

    Args:
        path: the file.
        device: where to put the model, "cpu" or "cuda"; files do not record the device.

    Returns:
        An object of the class that was saved: :class:`tagix.nn.Sequential`,
        :class:`tagix.nn.Network`, :class:`tagix.DiffusionModel`, or an estimator of
        ``tagix.sklearn``. A :class:`tagix.nn.Module` that a user wrote comes back as a
        :class:`tagix.nn.Traced`, which computes the same function.

    Raises:
        TypeError: for anything but a path, and for a device that is not a string.
        FileNotFoundError: if there is no such file.
        ValueError: if the file was not written by tagix or is damaged, or if the device is not
            available; the message says what is wrong.
        OSError: if the file cannot be read.
        ImportError: for an estimator where scikit-learn is not installed.
    """
    _core.backend_name(device)  # raises for a device that is not there
    name = _as_path(path)
    if not name.exists():
        raise FileNotFoundError(f"path: got {str(name)!r}, needed a file that exists")
    if not name.is_file():
        raise ValueError(f"path: got {str(name)!r}, needed a file")
    with open(name, "rb") as opened:
        try:
            file = SafetensorsFile(opened)
        except ValueError as error:
            raise ValueError(
                f"path: {str(name)!r} is not a whole safetensors file ({error})"
            ) from error
        try:
            kind, description = _read_description(file.metadata)
            tensors = file.read()
            _check_checksum(file.metadata, tensors)
            return _form_of(kind).from_file(description, tensors, device)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"path: {str(name)!r} does not hold a model of tagix ({error})"
            ) from error


def save_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model, an instance of a class in ``_KINDS``, to a file.

    An existing file is replaced when the new one is complete.
    Where ``path`` is a symbolic link, the file that it points to is replaced. See
    :meth:`tagix.nn.Sequential.save`; ValueError for a description beyond the limits of reading. For
    an instance of a subclass, only the state of its class here is written.
    """
    target = _as_path(path)
    kind = _kind_of(model)
    description, tensors = _form_of(kind).to_file(model)
    metadata = {
        "format": "tagix",
        "version": str(FORMAT_VERSION),
        "release": _core.__version__,
        "description": json.dumps({"kind": kind, **description}),
    }
    parse_json(metadata["description"], "description")  # within the limits of reading
    metadata["crc32"] = checksum(metadata, tensors)
    write_safetensors(target, metadata, tensors)


def _kind_of(model: Any) -> str:
    """The name of its class; of a subclass, that of the class which load gives back."""
    names = [cls.__name__ for cls in type(model).__mro__ if cls.__module__.startswith("tagix.")]
    return next(name for name in names if name in _KINDS)


def _read_description(metadata: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The kind of the model, and its description as this version has it."""
    if metadata.get("format") != "tagix":
        raise ValueError("its metadata does not name the format 'tagix'")
    record = Record(metadata, "metadata")
    version_text = record.text("version")
    if not re.fullmatch("[1-9][0-9]{0,5}", version_text):
        raise ValueError(f"its format version is {shown(version_text)}, needed a number")
    version = int(version_text)
    if version > FORMAT_VERSION:
        raise ValueError(
            f"its format version is {version}, this release reads up to {FORMAT_VERSION}"
        )
    description = parse_json(record.text("description"), "description")
    if not isinstance(description, dict):
        raise ValueError("its description is not an object")
    description = upgrade(description, version)
    kind = description.pop("kind", None)
    if kind not in tuple(_KINDS):
        raise ValueError(f"its kind is {shown(kind)}, needed one of {sorted(_KINDS)}")
    return kind, description


def _check_checksum(metadata: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> None:
    """That it holds what was saved; files of versions before 4 do not tell.

    One that has a checksum is of a later version, whatever number is left of it.
    """
    stored = metadata.get("crc32")
    if stored is None and int(metadata["version"]) < 4:
        return
    found = checksum(metadata, tensors)
    if stored != found:
        raise ValueError(
            f"crc32: got {shown(stored)}, needed {found!r}: what it holds is not what was saved"
        )


def _as_path(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path)
    except TypeError as error:
        raise TypeError(f"path: got {path!r}, needed the path of a file") from error
