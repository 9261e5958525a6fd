"""Estimators in files: what they are, what they have learned, and what a stream has counted.

A description is JSON, of which every entry is checked, and numbers that have to stay the same bits
are float64 arrays. The networks describe themselves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tagix import nn
from tagix._core import Forgetting
from tagix._table_format import TableFormat
from tagix._training import History
from tagix.sklearn._columns import ColumnEncoder
from tagix.sklearn._missing import Links, TableScaler
from tagix.sklearn._prequential import PrequentialLog
from tagix.sklearn._scaling import Moments, Scaler

if TYPE_CHECKING:
    from tagix.io import Record

Array = NDArray[np.float64]
Tensors = dict[str, NDArray[Any]]
# Epochs as rows of an array; what a History has of validation is one by itself, if there is any.
_OF_EPOCHS = [
    field.name
    for field in fields(History)
    if field.name != "stopped" and not field.name.startswith("validation")
]


def read_record(description: Any, name: str) -> Record:
    """A description whose entries are checked as they are taken."""
    from tagix.io import Record

    return Record(description, name)


class SavedEstimator:
    """An estimator that a file can hold.

    A derived class has ``_read_learned(learned, tensors, device)``, too, which takes over what
    :meth:`_to_file` says that was learned.
    """

    def _to_file(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What :func:`tagix.io.save_model` writes: a description for JSON, and arrays by name."""
        raise NotImplementedError

    @classmethod
    def _from_file(
        cls, description: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], device: str
    ) -> Any:
        """The estimator that :meth:`_to_file` described; ValueError or TypeError for no such."""
        return rebuild(cls, description, tensors, device)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters and all that was learned to a safetensors file.

        :func:`tagix.load` reads it back. An existing file is replaced when the new one is complete.

        Raises:
            TypeError: for anything but a path.
            OSError: if the file cannot be written; an existing file is then unchanged.
        """
        from tagix.io import save_model

        save_model(self, path)


def rebuild(
    cls: Any, description: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], device: str
) -> Any:
    """An estimator from its description; ``_read_learned`` reads what it has learned, if any."""
    record = read_record(description, cls.__name__)
    parameters = read_parameters(record.record("parameters"), cls().get_params(deep=False))
    estimator = cls(**parameters | {"device": device})
    arrays, learned = dict(tensors), record.take("learned")
    record.done()
    if learned is not None:
        estimator._read_learned(read_record(learned, "learned"), arrays, device)
    check_empty(arrays)
    return estimator


def describe_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """``get_params`` for JSON; a random generator becomes None, as a file holds none."""
    described: dict[str, Any] = {}
    for name, value in parameters.items():
        if name == "forgetting" and value is not None:
            described[name] = value.config
        elif name == "hidden" and value is not None and not isinstance(value, str):
            described[name] = [int(width) for width in value]
        elif name == "class_weight" and isinstance(value, Mapping):
            described[name] = describe_weights(value)
        elif isinstance(value, np.generic):
            described[name] = value.item()
        elif value is None or isinstance(value, (bool, int, float, str)):
            described[name] = value
        elif name == "random_state":
            described[name] = None
        else:
            raise ValueError(f"{name}: got {value!r}, which a file does not hold")
    return described


def read_parameters(record: Record, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the constructor: those that ``defaults`` has, of the kinds that it takes."""
    parameters: dict[str, Any] = {}
    for name, default in defaults.items():
        value = record.take(name)
        if name == "forgetting":
            parameters[name] = None if value is None else Forgetting(**_as_object(name, value))
        elif name == "class_weight" and isinstance(value, list):
            parameters[name] = read_weights(name, value)
        elif name == "hidden" and isinstance(value, list):
            if not all(type(width) is int for width in value):
                raise ValueError(f"hidden: got {value!r:.80}, needed integers")
            parameters[name] = tuple(value)
        else:
            kinds = {type(default)} | _MORE_KINDS.get(name, set())
            if type(value) not in kinds:
                raise ValueError(f"{name}: got {value!r:.80}, needed another kind of value")
            parameters[name] = value
    record.done()
    return parameters


_MORE_KINDS: dict[str, set[type]] = {
    "class_weight": {str},
    "n_jobs": {int},
    "batch_size": {int},
    "n_epochs": {int},
    "random_state": {int},
    "verbose": {bool},
}


def _as_object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name}: got {value!r:.80}, needed an object")
    return value


def describe_networks(
    nets: list[nn.Sequential], histories: list[History], tensors: Tensors
) -> list[dict[str, Any]]:
    """Descriptions; parameters and histories go into ``tensors``."""
    descriptions = []
    for number, (net, history) in enumerate(zip(nets, histories, strict=True)):
        description, parameters = net._to_file()
        put(tensors, f"net{number}", parameters)
        tensors[f"history{number}"] = history_array(history)
        if history.validation_mse:
            tensors[f"validation{number}"] = np.array(
                [history.validation_mse, history.validation_log_likelihood], dtype=np.float64
            )
        descriptions.append({"model": description, "stopped": history.stopped})
    return descriptions


def read_networks(
    descriptions: list[Any], tensors: Tensors, device: str
) -> tuple[list[nn.Sequential], list[History]]:
    """Networks and histories, whose arrays are taken out of ``tensors``."""
    if not descriptions:
        raise ValueError("networks: got none, needed at least one")
    nets, histories = [], []
    for number, description in enumerate(descriptions):
        record = read_record(description, f"networks: {number}")
        parameters = take(tensors, f"net{number}")
        nets.append(nn.Sequential._from_file(record.take("model"), parameters, device))
        history = read_history(tensors, f"history{number}", record.flag("stopped"))
        if f"validation{number}" in tensors:
            shape = (2, len(history.train_mse))
            validation = take_array(tensors, f"validation{number}", shape).tolist()
            history.validation_mse, history.validation_log_likelihood = validation
        histories.append(history)
        record.done()
    return nets, histories


def read_history(tensors: Tensors, name: str, stopped: bool) -> History:
    """The history in an array."""
    epochs = take_array(tensors, name, (len(_OF_EPOCHS), None))
    lists = dict(zip(_OF_EPOCHS, epochs.tolist(), strict=True))
    if not np.isfinite(epochs[_OF_EPOCHS.index("n_rows")]).all():
        raise ValueError(f"{name}: got NaN or infinity for numbers of rows")
    lists["n_rows"] = [int(count) for count in lists["n_rows"]]
    return History(**lists, stopped=stopped)


def history_array(history: History) -> Array:
    """The lists of a history, (lists, epochs)."""
    return np.array([getattr(history, name) for name in _OF_EPOCHS], dtype=np.float64)


def put_units(tensors: Tensors, name: str, scaler: Scaler, moments: Moments) -> None:
    """Units and moments as one array (6, columns)."""
    tensors[name] = np.array(
        [
            *(scaler.mean, scaler.scale, scaler.varies),
            *(moments.count, moments.mean, moments.squares),
        ],
        dtype=np.float64,
    )


def take_units(tensors: Tensors, name: str, n_columns: int) -> tuple[Scaler, Moments]:
    """What :func:`put_units` put."""
    mean, scale, varies, count, seen_mean, squares = take_array(tensors, name, (6, n_columns))
    rows = np.array([mean, scale, count, seen_mean, squares])
    if not (np.isfinite(rows).all() and (scale > 0).all() and (count >= 0).all()):
        raise ValueError(f"{name}: got NaN, infinity, or scales and counts that are not positive")
    if not ((varies == 0) | (varies == 1)).all() or (squares < 0).any():
        raise ValueError(f"{name}: got flags that are not 0 or 1, or negative squares")
    return Scaler(mean, scale, varies == 1), Moments(count, seen_mean, squares)


def put_links(tensors: Tensors, scaler: Scaler) -> list[int] | None:
    """What a TableScaler knows beyond units: arrays, and the columns that have indicators."""
    if not isinstance(scaler, TableScaler):
        return None
    if scaler.links is not None:
        links = scaler.links
        tensors["links"] = np.array([links.mean, links.scale])
        tensors["linked"] = np.array([links.correlation, links.n_pairs])
    columns: list[int] = scaler.indicators.tolist()
    return columns


def take_links(tensors: Tensors, scaler: Scaler, indicators: Any) -> Scaler:
    """The scaler with what :func:`put_links` put."""
    if indicators is None:
        return scaler
    n = len(scaler.mean)
    if (
        not isinstance(indicators, list)
        or not all(type(column) is int and 0 <= column < n for column in indicators)
        or len(set(indicators)) < len(indicators)
    ):
        raise ValueError(f"indicators: got {indicators!r:.80}, needed different columns of {n}")
    links = None
    if "links" in tensors:
        mean, scale = take_array(tensors, "links", (2, n))
        correlation, n_pairs = take_array(tensors, "linked", (2, n, n))
        for array in (mean, scale, correlation, n_pairs):
            if not np.isfinite(array).all():
                raise ValueError("links: got NaN or infinity")
        if (scale <= 0).any() or (n_pairs < 0).any():
            raise ValueError("links: got scales that are not positive, or negative counts")
        symmetric = np.abs(correlation - correlation.T).max() < 1e-6
        if not symmetric or np.linalg.eigvalsh(correlation)[0] <= 0:
            raise ValueError("links: got numbers that are not correlations")
        links = Links(mean, scale, correlation, n_pairs)
    columns = np.array(indicators, dtype=np.int64)
    return TableScaler(scaler.mean, scaler.scale, scaler.varies, links, columns)


def describe_labels(name: str, labels: list[Any]) -> list[Any]:
    """Labels, or names of features, for JSON; ValueError for what it does not hold."""
    for label in labels:
        if not isinstance(label, (bool, int, float, str)):
            raise ValueError(f"{name}: got {label!r}, which a file cannot hold")
    return labels


def read_labels(name: str, labels: list[Any]) -> list[Any]:
    """What :func:`describe_labels` described, all of them different."""
    if not all(isinstance(label, (bool, int, float, str)) for label in labels):
        raise ValueError(f"{name}: got {labels!r:.80}, needed numbers and strings")
    if len(set(labels)) != len(labels):
        raise ValueError(f"{name}: got {labels!r:.80}, needed different ones")
    return labels


def describe_weights(weights: Mapping[Any, float]) -> list[list[Any]]:
    """Pairs of a label and its weight for JSON, whose objects have no names but strings."""
    described = []
    for label, weight in weights.items():
        plain = label.item() if isinstance(label, np.generic) else label
        describe_labels("class_weight", [plain])
        described.append([plain, float(weight)])
    return described


def read_weights(name: str, pairs: Any) -> dict[Any, float]:
    """What :func:`describe_weights` described."""
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 for pair in pairs
    ):
        raise ValueError(f"{name}: got {pairs!r:.80}, needed pairs of a label and a weight")
    labels = read_labels(name, [label for label, _ in pairs])
    for _, weight in pairs:
        if type(weight) is not float or not 0.0 < weight < np.inf:
            raise ValueError(f"{name}: got a weight {weight!r:.80}, needed a number above 0")
    return dict(zip(labels, (weight for _, weight in pairs), strict=True))


def describe_columns(encoder: ColumnEncoder | None) -> list[dict[str, Any]] | None:
    """An encoder for JSON."""
    return None if encoder is None else encoder.to_description()


def read_columns(description: Any, n_columns: int) -> ColumnEncoder | None:
    """What :func:`describe_columns` described, of as many columns."""
    if description is None:
        return None
    if not isinstance(description, list) or len(description) != n_columns:
        raise ValueError(f"columns: got {description!r:.80}, needed {n_columns} of them")
    return ColumnEncoder.from_description(
        [read_record(column, f"columns: {place}") for place, column in enumerate(description)]
    )


def read_table_format(description: Any, names: list[Any] | None) -> TableFormat | None:
    """A table format from its description, for features of these names."""
    if description is None:
        return None
    record = read_record(description, "table_format")
    return TableFormat.from_description(record, names or [])


def describe_log(log: PrequentialLog) -> dict[str, Any]:
    """A log for JSON."""
    return asdict(log)


def read_log(record: Record, log: PrequentialLog) -> None:
    """Fill an empty log."""
    for field in fields(log):
        if field.name == "drifts":
            drifts = record.items("drifts")
            if not all(type(row) is int and row >= 0 for row in drifts):
                raise ValueError("drifts: got something other than a list of counts")
            log.drifts = drifts
        elif isinstance(getattr(log, field.name), int):
            setattr(log, field.name, record.count(field.name))
        else:
            setattr(log, field.name, record.number(field.name))
    record.done()


def put(tensors: Tensors, prefix: str, others: Mapping[str, NDArray[Any]]) -> None:
    """Add arrays with a prefix to their names."""
    tensors.update({f"{prefix}.{name}": array for name, array in others.items()})


def take(tensors: Tensors, prefix: str) -> Tensors:
    """Take out the arrays with a prefix, which they then have no more."""
    names = [name for name in tensors if name.startswith(f"{prefix}.")]
    return {name.removeprefix(f"{prefix}."): tensors.pop(name) for name in names}


def take_array(tensors: Tensors, name: str, shape: tuple[int | None, ...]) -> Array:
    """Take out a float64 array; None in ``shape`` is any length."""
    if name not in tensors:
        raise ValueError(f"{name}: got none, needed an array")
    array = tensors.pop(name)
    fits = array.ndim == len(shape) and all(
        needed in (None, length) for needed, length in zip(shape, array.shape, strict=False)
    )
    if array.dtype != np.float64 or not fits:
        raise ValueError(
            f"{name}: got {array.dtype} of shape {array.shape}, needed float64 of shape {shape}"
        )
    return np.array(array)


def check_empty(tensors: Tensors) -> None:
    """ValueError if there are arrays that nobody took."""
    if tensors:
        raise ValueError(f"got {next(iter(tensors))!r:.80}, needed no such array")
