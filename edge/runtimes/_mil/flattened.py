"""The payload of ExecuTorch's Core ML delegate: a folder in one blob.

The files' bytes come first, then a table in JSON, written backwards so that it can be found from the end:
{"nodes": [{"name", "kind": 0 file | 1 folder, "dataRegion": {"offset", "size"}, "children": {name: index}}]}, the last
node being the folder itself. The folder holds metadata.json ({"inputNames", "outputNames", "identifier"}) and
model.mlpackage.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from edge.errors import InputError, Unexecutable
from edge.runtimes._mil.package import Package, read_package

_MAX_TABLE = 1 << 20  # bytes; a package has about ten entries of a hundred
_AGAIN = "deploy it again with `edge deploy`"


@dataclass(frozen=True, slots=True)
class Flattened:
    """A delegate's model, and the order in which ExecuTorch hands over inputs and takes outputs."""

    package: Package
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_flattened(data: bytes, name: str) -> Flattened:
    """Read a delegate's payload; raises InputError if it is damaged, Unexecutable if it holds no ML program."""
    try:
        files = _files(data)
        metadata = json.loads(files["metadata.json"])
        inputs, outputs = tuple(metadata["inputNames"]), tuple(metadata["outputNames"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise InputError(
            f"{name}: the Core ML delegate's folder is damaged ({type(error).__name__}: {error}); {_AGAIN}"
        ) from None
    if not any(path.startswith("model.mlpackage/") for path in files):
        raise Unexecutable(name, ["its delegate holds a compiled Core ML model, which only Apple's systems read"])
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        package = read_package(folder / "model.mlpackage")
    described = ({item.name for item in package.inputs}, {item.name for item in package.outputs})
    if (set(inputs), set(outputs)) != described:
        raise InputError(
            f"{name}: the delegate's metadata names {sorted(inputs)} → {sorted(outputs)}, its package has "
            f"{sorted(described[0])} → {sorted(described[1])}; {_AGAIN}"
        )
    return Flattened(package, inputs, outputs)


def _files(data: bytes) -> dict[str, bytes]:
    """Return the content of every file by its path below the folder."""
    nodes = _table(data)["nodes"]
    found: dict[str, bytes] = {}
    pending: list[tuple[str, int]] = [("", len(nodes) - 1)]
    seen: set[int] = set()
    while pending:
        path, index = pending.pop()
        if index in seen or index < 0:
            raise ValueError(f"node {index} appears twice")
        seen.add(index)
        node = nodes[index]
        if node["kind"] == 0:
            offset, size = node["dataRegion"]["offset"], node["dataRegion"]["size"]
            if offset < 0 or size < 0 or offset + size > len(data):
                raise ValueError(f"{path} is at bytes {offset} to {offset + size} of {len(data)}")
            found[path] = data[offset : offset + size]
        else:
            pending += [(_below(path, child), position) for child, position in node["children"].items()]
    return found


def _table(data: bytes) -> Any:
    """Read the JSON that is written backwards at the end."""
    text, _ = json.JSONDecoder().raw_decode(data[-_MAX_TABLE:][::-1].decode("latin-1"))
    return text


def _below(path: str, name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ValueError(f"the name {name!r} leaves the folder")
    return str(PurePosixPath(path) / name)
