"""Estimators for tables in files: what they have learned as a description and arrays, and back."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from tagix import nn
from tagix.sklearn import _files
from tagix.sklearn._encoding import Encoding, n_inputs
from tagix.sklearn._files import SavedEstimator
from tagix.sklearn._novelty import Novelty
from tagix.sklearn._streams import Streams

# What networks in a file may have found beyond what its log says: in one that was saved, nothing.
MOST_UNNOTED_DRIFTS = 1000


class TabularFiles(SavedEstimator, Streams):
    """An estimator whose file has parameters, networks, units, names and counters.

    A derived class adds what it knows of targets.
    """

    def _describe_targets(self, tensors: _files.Tensors) -> dict[str, Any]:
        """What a file says of targets; their arrays go into ``tensors``."""
        raise NotImplementedError

    def _read_targets(self, learned: Any, tensors: _files.Tensors) -> None:
        """Take what :meth:`_describe_targets` said out of a record; makes an empty log."""
        raise NotImplementedError

    def _n_novelty_outputs(self) -> int:
        """Columns of what :class:`Novelty` says of a row."""
        raise NotImplementedError

    def _to_file(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        parameters = _files.describe_parameters(self.get_params(deep=False))
        tensors: dict[str, NDArray[Any]] = {}
        if not self.__sklearn_is_fitted__():
            return {"parameters": parameters, "learned": None}, tensors
        self._take_in_stream()
        keys = self._feature_keys
        learned = {
            "n_features": self.n_features_in_,
            "feature_keys": None if keys is None else _files.describe_labels("features", keys),
            "columns": _files.describe_columns(self._encoder),
            "table_format": self._table_format and self._table_format.to_description(),
            "has_feature_names": hasattr(self, "feature_names_in_"),
            "n_rows": self._n_rows,
            "settled": self._settled,
            "drifts_in_fit": self._drifts_in_fit,
            "weight_unit": self._weight_unit,
            "log": _files.describe_log(self._log),
            "networks": _files.describe_networks(self.nets_, self.histories_, tensors),
            "novelty": None if self._novelty is None else self._novelty.describe(tensors),
            **self._describe_targets(tensors),
        }
        _files.put_units(tensors, "x", self._x_scaler, self._x_moments)
        learned["indicators"] = _files.put_links(tensors, self._x_scaler)
        encoding = self._encoding
        learned["encoding"] = None if encoding is None else encoding.describe(tensors)
        return {"parameters": parameters, "learned": learned}, tensors

    def _read_learned(self, learned: Any, tensors: _files.Tensors, device: str) -> None:
        self.nets_, self.histories_ = _files.read_networks(
            learned.items("networks"), tensors, device
        )
        n_features = learned.count("n_features", least=1)
        self._read_inputs(learned, tensors, n_features)
        self._read_names(learned, n_features)
        self._read_counters(learned)
        self._read_targets(learned, tensors)
        _files.read_log(learned.record("log"), self._log)
        novelty = learned.take("novelty")
        learned.done()
        unnoted = self._n_drifts() - self._log.n_drifts
        if unnoted > MOST_UNNOTED_DRIFTS:  # each will be an entry of the log
            raise ValueError(f"drifts_in_fit: got {unnoted} drifts more than the log has")
        n_columns = len(self._x_scaler.mean) + self._n_indicators()
        self._check_networks(n_columns)
        if novelty is not None:
            record = _files.read_record(novelty, "novelty")
            widths = _widths(self.nets_[0])
            self._novelty = Novelty.read(
                record, tensors, widths, n_columns, self._n_novelty_outputs()
            )

    def _read_inputs(self, learned: Any, tensors: _files.Tensors, n_features: int) -> None:
        """What becomes of X: columns, units, what links them, and what networks see."""
        self._encoder = _files.read_columns(learned.take("columns"), n_features)
        n_columns = n_features if self._encoder is None else self._encoder.n_inputs
        scaler, self._x_moments = _files.take_units(tensors, "x", n_columns)
        self._x_scaler = _files.take_links(tensors, scaler, learned.take("indicators"))
        n_columns += self._n_indicators()
        encoding = learned.take("encoding")
        self._encoding = None
        if encoding is not None:
            self._encoding = Encoding.read(_files.read_record(encoding, "encoding"), tensors)
            if self._encoding.n_columns > n_columns:
                raise ValueError(
                    f"encoding: got {self._encoding.n_columns} columns, needed at most {n_columns}"
                )
            if (self._encoding.encoded < self._n_indicators()).any():
                raise ValueError("encoding: got a score of an indicator, needed those of columns")

    def _read_names(self, learned: Any, n_features: int) -> None:
        """Names of features, and the format of the table that they come from."""
        self.n_features_in_ = n_features
        keys, has_names = learned.take("feature_keys"), learned.flag("has_feature_names")
        self._feature_keys = None
        if keys is not None:
            if not isinstance(keys, list) or len(keys) != n_features:
                raise ValueError(f"feature_keys: got {keys!r:.80}, needed {n_features} names")
            self._name_features(_files.read_labels("feature_keys", keys))
        if hasattr(self, "feature_names_in_") and not has_names:
            del self.feature_names_in_
        self._table_format = _files.read_table_format(learned.take("table_format"), keys)

    def _read_counters(self, learned: Any) -> None:
        """What a stream has counted, and the unit of its weights."""
        self._n_rows, self._settled = learned.count("n_rows"), learned.flag("settled")
        self._drifts_in_fit = learned.count("drifts_in_fit")
        self._weight_unit = learned.number("weight_unit")
        if self._weight_unit <= 0:
            raise ValueError(f"weight_unit: got {self._weight_unit}, needed a number above 0")

    def _check_networks(self, n_columns: int) -> None:
        """ValueError for networks that do not fit so many columns, indicators included."""
        n_outputs, arguments = self._n_outputs(), self._network_arguments()
        for member, net in enumerate(self.nets_):
            encoding = self._encoding and self._encoding.of_member(member)
            wanted = n_columns + (encoding.n_added if encoding else 0), n_outputs
            if (n_inputs(net), _n_outputs(net)) != wanted:
                raise ValueError(
                    f"networks: got one of {n_inputs(net)} inputs and {_n_outputs(net)} "
                    f"outputs, needed {wanted[0]} and {wanted[1]}"
                )
            if any(getattr(net, name) != value for name, value in arguments.items()):
                raise ValueError(f"networks: got one of other {', '.join(arguments)}")


def _n_outputs(net: nn.Sequential) -> int:
    """Outputs of a network that ends with a Linear; ValueError for another one."""
    layer = net.layers[-1]
    if not isinstance(layer, nn.Linear):
        raise ValueError(f"networks: got {layer!r} last, needed a Linear")
    return int(layer.config["out_features"])


def _widths(net: nn.Sequential) -> list[int]:
    """Widths of its hidden layers."""
    linear = [layer for layer in net.layers if isinstance(layer, nn.Linear)]
    return [layer.config["out_features"] for layer in linear[:-1]]
