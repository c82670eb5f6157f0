"""Golden vectors: a JSON file with the cases, and beside it a file with their arrays, read by every language's tests.

An array stands in the JSON as {"dtype", "shape", "at"}: its little-endian values begin at that byte of the .bin file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.artifact import Manifest, Needs, Source, write_atomic
from edge.contract import Contract

GOLDEN = Path(__file__).resolve().parent.parent / "apps" / "shared" / "golden"
_ALIGNED = 8


class Arrays:
    """Collect arrays; equal ones are kept once."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._known: dict[tuple[str, tuple[int, ...], bytes], dict[str, Any]] = {}

    def add(self, array: NDArray[Any]) -> dict[str, Any]:
        """Return what stands for the array in the JSON."""
        values = np.ascontiguousarray(array)
        data = values.astype(values.dtype.newbyteorder("<")).tobytes()
        key = (values.dtype.name, values.shape, data)
        if key not in self._known:
            self._data += bytes(-len(self._data) % _ALIGNED)
            self._known[key] = {"dtype": values.dtype.name, "shape": list(values.shape), "at": len(self._data)}
            self._data += data
        return self._known[key]

    def content(self) -> bytes:
        """Return the .bin file."""
        return bytes(self._data)


def manifest_of(contract: Contract) -> Any:
    """Return a manifest's JSON that holds a contract, for readers that know manifests only."""
    manifest = Manifest(
        model="golden", task=contract.task, target="onnx-cpu", precision="fp32", files=(), steps=(),
        inputs=contract.inputs, outputs=contract.outputs, source=Source(sha256="0" * 64), needs=Needs(min_runtime="0"),
        preprocess=contract.preprocess, postprocess=contract.postprocess, labels=contract.labels,
    )  # fmt: skip
    return msgspec.to_builtins(manifest)


def lines(head: Mapping[str, Any], cases: list[dict[str, Any]]) -> bytes:
    """Return JSON with a line a case."""
    start = json.dumps({"schema": 1, **head}, ensure_ascii=False, separators=(",", ":"))[:-1]
    body = ",\n".join(json.dumps(case, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for case in cases)
    return f'{start},"cases":[\n{body}\n]}}\n'.encode()


def write(name: str, files: Mapping[str, bytes]) -> None:
    """Write a folder of golden vectors."""
    folder = GOLDEN / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        write_atomic(folder / file, content)
