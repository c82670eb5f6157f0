"""What the two files of a TensorFlow.js graph model say, as plain records: nodes and the weights by name.

Format: tensorflow/tfjs, tfjs-converter; a GraphDef as JSON whose byte strings are base64, then a manifest of weights.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError

Array = NDArray[Any]
_DTYPES: Mapping[str, type[np.generic]] = {
    "float32": np.float32,
    "float16": np.float16,
    "int32": np.int32,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "bool": np.bool_,
}


class Malformed(Exception):
    """Carry what in a file contradicts itself."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the graph; `inputs` are tensor names, "name" or "name:output"."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def text(self, name: str, default: str = "") -> str:
        """Return an attribute that is a byte string."""
        found = self.attributes.get(name)
        return _text(found["s"]) if found and "s" in found else default

    def texts(self, name: str) -> tuple[str, ...]:
        """Return an attribute that is a list of byte strings."""
        return tuple(_text(item) for item in self._list(name, "s"))

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return an attribute that is a list of integers."""
        found = tuple(int(item) for item in self._list(name, "i"))
        return found or default

    def integer(self, name: str, default: int = 0) -> int:
        """Return an attribute that is an integer."""
        found = self.attributes.get(name, {})
        return int(found.get("i", default))

    def flag(self, name: str) -> bool:
        """Return an attribute that is true or false; false where it is left out."""
        return bool(self.attributes.get(name, {}).get("b", False))

    def shape(self) -> tuple[int, ...]:
        """Return the stated shape of a placeholder; unknown sizes are −1, and no stated shape is no axes."""
        sizes = self.attributes.get("shape", {}).get("shape", {}).get("dim", [])
        return tuple(int(size["size"]) for size in sizes)

    def _list(self, name: str, kind: str) -> list[Any]:
        found: list[Any] = self.attributes.get(name, {}).get("list", {}).get(kind, [])
        return found


@dataclass(frozen=True, slots=True)
class GraphModel:
    """The nodes by name, the weights by name as float32 or integers, and the outputs that the file states."""

    nodes: Mapping[str, Node]
    weights: Mapping[str, Array]
    outputs: tuple[str, ...]


def read_graph_model(topology: Path, weights: Path) -> GraphModel:
    """Read both files; raises InputError if one is missing, damaged or does not belong to the other."""
    try:
        stated = json.loads(topology.read_bytes())
        data = weights.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}; fetch the model again") from error
    except ValueError as error:
        raise InputError(f"{topology} is not JSON ({error}); fetch the model again") from error
    try:
        return _graph_model(stated, data)
    except Malformed as error:
        raise InputError(f"{topology} with {weights.name}: {error}; fetch both files again") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:  # a damaged file may hold anything
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{topology} is not a TensorFlow.js graph model ({reason}); fetch it again") from error


def _graph_model(stated: Any, data: bytes) -> GraphModel:
    if stated.get("format") != "graph-model":
        raise Malformed(f"format {stated.get('format')!r}, expected 'graph-model'")
    nodes = {
        node["name"]: Node(
            node["name"], node["op"], tuple(i for i in node.get("input", ()) if i[0] != "^"), node.get("attr", {})
        )
        for node in stated["modelTopology"]["node"]
    }
    outputs = (stated.get("signature") or {}).get("outputs", {})
    return GraphModel(nodes, _weights(stated["weightsManifest"], data), tuple(outputs))


def _weights(manifest: list[Any], data: bytes) -> dict[str, Array]:
    found: dict[str, Array] = {}
    start = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        stored = entry.get("quantization", {}).get("dtype", entry["dtype"])
        if stored not in _DTYPES:
            raise Malformed(f"weight {entry['name']} has type {stored}, expected one of {', '.join(_DTYPES)}")
        dtype = np.dtype(_DTYPES[stored]).newbyteorder("<")
        count = math.prod(entry["shape"])
        end = start + count * dtype.itemsize
        if min(entry["shape"], default=0) < 0 or end > len(data):
            raise Malformed(f"weight {entry['name']} of shape {entry['shape']} ends beyond the {len(data)} bytes")
        array = np.frombuffer(data, dtype, count, start).reshape(entry["shape"])
        found[entry["name"]] = _real(array, entry.get("quantization"))
        start = end
    if start != len(data):
        raise Malformed(f"{len(data)} bytes of weights, {start} of them described")
    return found


def _real(array: Array, quantization: Mapping[str, Any] | None) -> Array:
    """Return stored · scale + min where the file was quantised to integers; half precision as float32."""
    if quantization and "scale" in quantization:
        scale, low = np.float32(quantization["scale"]), np.float32(quantization["min"])
        return np.asarray(array.astype(np.float32) * scale + low)
    return array.astype(np.float32) if array.dtype.kind == "f" else array.astype(array.dtype.newbyteorder("="))


def _text(encoded: Any) -> str:
    if isinstance(encoded, list):  # some converters write the bytes themselves
        return bytes(encoded).decode()
    return base64.b64decode(encoded, validate=True).decode()
