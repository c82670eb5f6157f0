"""Open an XNNPACK delegate: rewrite its graph so that every value inside becomes an external output."""

from __future__ import annotations

import importlib.resources
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

XNNPACK = "XnnpackBackend"
_OUTPUT_FLAG = 2  # XNN_VALUE_FLAG_EXTERNAL_OUTPUT
_EXTERNAL_FLAGS = 3
_DTYPES = {
    "xnn_datatype_fp32": "float32", "xnn_datatype_fp16": "float16", "xnn_datatype_qint8": "int8",
    "xnn_datatype_quint8": "uint8",
}  # fmt: skip
_SCHEMA = "schema.fbs"
_BARE = re.compile(r"(:\s*)([+-]?(?:inf|nan))\b")  # flatc reads such numbers back from text


@dataclass(frozen=True, slots=True)
class InnerValue:
    """A value that the delegate now hands out; `operator` is the position of the node that computes it."""

    name: str
    operator: int
    kind: str
    handle: int
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0  # of integers that stand for real numbers
    zero: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """A delegate's bytes with more outputs, appended to its arguments in the order of `values`."""

    content: bytes
    values: tuple[InnerValue, ...]
    kinds: tuple[str, ...]


def expose(content: bytes) -> Opened:
    """Return a delegate that also hands out every float value between its nodes; its own outputs are left as they are.

    Constants are not touched: the very weights of the file are used.
    """
    header, graph = _opened(content)
    tensors = {tensor["id_out"]: tensor for tensor in map(_tensor, graph["xvalues"])}
    steps = {_tensor(entry)["id_out"]: entry["xvalue_union"].get("quant_params") for entry in graph["xvalues"]}
    kinds = tuple(str(node["xnode_union_type"]).removeprefix("XNN") for node in graph["xnodes"])
    values = []
    for position, node in enumerate(graph["xnodes"]):
        for result in _results(node["xnode_union"]):
            tensor = tensors[result]
            dtype = _DTYPES.get(tensor["datatype"])
            if dtype is None or tensor["flags"] & _EXTERNAL_FLAGS or not tensor["dims"]:
                continue
            tensor["flags"] |= _OUTPUT_FLAG
            tensor["external_id"] = graph["num_externs"]
            graph["num_externs"] += 1
            graph["output_ids"].append(result)
            shape = tuple(tensor["dims"])
            given = steps[result] or {}
            values.append(
                InnerValue(
                    f"xnn {result}", position, kinds[position], node["debug_handle"], shape, dtype,
                    float(given.get("scale", 0.0)), int(given.get("zero_point", 0)),
                )
            )  # fmt: skip
    return Opened(_joined(content, header, _written(graph)), tuple(values), kinds)


def read_graph(content: bytes) -> Any:
    """Return the graph of a delegate's bytes as flatc prints it: its values and its nodes."""
    return _opened(content)[1]


def _opened(content: bytes) -> tuple[Any, Any]:
    """Return the header and the graph of a delegate's bytes."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader

    header = XNNHeader.from_bytes(content[: XNNHeader.EXPECTED_LENGTH])
    start, size = header.flatbuffer_offset, header.flatbuffer_size
    return header, _read(content[start : start + size])


def _tensor(value: Any) -> Any:
    union = value["xvalue_union"]
    return union.get("tensor_value", union)


def _results(node: Any) -> list[int]:
    return [int(value) for key, value in node.items() if key.startswith("output") and key.endswith("_id")]


def _schema(folder: Path) -> Path:
    import executorch.backends.xnnpack.serialization as package

    path = folder / _SCHEMA
    path.write_bytes((importlib.resources.files(package) / _SCHEMA).read_bytes())
    return path


def _read(data: bytes) -> Any:
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "graph.bin").write_bytes(data)
        _flatc_decompile(name, str(_schema(folder)), str(folder / "graph.bin"), ["--raw-binary"])
        text = (folder / "graph.json").read_text()
    return json.loads(_BARE.sub(r'\1"\2"', text))


def _written(graph: Any) -> bytes:
    from executorch.exir._serialize._flatbuffer import _flatc_compile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "graph.json").write_text(json.dumps(graph))
        _flatc_compile(name, str(_schema(folder)), str(folder / "graph.json"))
        return (folder / "graph.bin").read_bytes()


def _joined(content: bytes, old: Any, graph: bytes) -> bytes:
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import (
        CONSTANT_TENSOR_ALIGNMENT,
        XNNHeader,
    )

    def padded(size: int) -> int:
        alignment = int(CONSTANT_TENSOR_ALIGNMENT)
        return -(-size // alignment) * alignment

    head, body = padded(XNNHeader.EXPECTED_LENGTH), padded(len(graph))
    header: bytes = XNNHeader(
        flatbuffer_offset=head,
        flatbuffer_size=len(graph),
        constant_data_offset=head + body,
        constant_data_size=old.constant_data_size,
    ).to_bytes()
    constants = content[old.constant_data_offset : old.constant_data_offset + old.constant_data_size]
    return header.ljust(head, b"\0") + graph.ljust(body, b"\0") + constants
