"""The operators of XNNPACK's delegates in a `.pte`, and the calls that its method makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from edge.errors import InputError
from edge.profile.operators._graph import Multiplies, Node
from edge.profile.operators._shapes import convolution_macs, product_macs, total_bytes, transposed_macs
from edge.runtimes._taps._xnnpack import XNNPACK, read_graph

_NONE = 0xFFFFFFFF  # an operand that is not there
_BITS = {
    "fp32": 32, "fp16": 16, "bf16": 16, "qint8": 8, "quint8": 8, "qint32": 32, "qcint8": 8, "qcint32": 32,
    "qcint4": 4, "qdint8": 8, "qbint4": 4, "qpint8": 8, "int32": 32, "pfp32": 32,
}  # fmt: skip
_ARITHMETIC = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "qint8": "int8", "quint8": "int8",
               "qdint8": "int8", "qpint8": "int8"}  # fmt: skip
_MULTIPLIES: dict[str, Multiplies] = {
    "XNNConv2d": "convolution", "XNNDepthwiseConv2d": "depthwise", "XNNFullyConnected": "linear",
    "XNNConvTranspose2d": "transposed", "XNNBatchMatrixMultiply": "product",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the method: an operator's name, or a delegate's with the operators inside, where they can be read."""

    name: str
    delegate: bool
    nodes: tuple[Node, ...] = ()


def read_calls(path: Path) -> tuple[Call, ...]:
    """Return a `.pte`'s calls in order; raises InputError for a file of another form."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    try:
        program = deserialize_pte_binary(path.read_bytes()).program
        [plan] = program.execution_plan
        [chain] = plan.chains
    except Exception as error:  # flatbuffers' readers trip over damaged bytes in many ways
        raise InputError(f"{path} is not a .pte file of one method: {type(error).__name__}: {error}") from None
    found = []
    for instruction in (item.instr_args for item in chain.instructions):
        if type(instruction).__name__ == "KernelCall":
            entry = plan.operators[instruction.op_index]
            found.append(Call(f"{entry.name}.{entry.overload or 'default'}", delegate=False))
        elif type(instruction).__name__ == "DelegateCall":
            delegate = plan.delegates[instruction.delegate_index]
            inside = delegate.id == XNNPACK
            blob = bytes(program.backend_delegate_data[delegate.processed.index].data) if inside else b""
            found.append(Call(delegate.id, delegate=True, nodes=nodes_of(read_graph(blob)) if inside else ()))
    return tuple(found)


def nodes_of(graph: Mapping[str, Any]) -> tuple[Node, ...]:
    """Return the operators of XNNPACK's graph, as flatc prints it."""
    tensors = {}
    for value in graph["xvalues"]:
        union = value["xvalue_union"]
        tensor = union.get("tensor_value", union)
        tensors[tensor["id_out"]] = tensor
    return tuple(_node(str(node["xnode_union_type"]), node["xnode_union"], tensors) for node in graph["xnodes"])


def _node(kind: str, node: Mapping[str, Any], tensors: Mapping[int, Any]) -> Node:
    operands = [int(value) for key, value in node.items() if key.endswith("_id") and int(value) != _NONE]
    results = [value for key, value in node.items() if key.startswith("output") and key.endswith("_id")]
    first = tensors[int(node.get("input1_id", node.get("input_id", results[0])))]
    output = _dims(tensors[int(results[0])])
    multiplies = _MULTIPLIES.get(kind, "")
    if multiplies == "convolution" and int(node.get("groups", 1)) > 1:
        multiplies = "grouped"
    return Node(
        kind=kind.removeprefix("XNN").removeprefix("Static").rstrip("0123456789dD"),
        multiplies=multiplies,
        macs=_macs(multiplies, node, _dims(first), output, tensors),
        elements=prod(output),
        bytes=total_bytes([_size(tensors[index]) for index in operands]),
        dtype=_ARITHMETIC.get(_datatype(first), ""),
    )


def _macs(
    multiplies: Multiplies, node: Mapping[str, Any], first: tuple[int, ...], output: tuple[int, ...],
    tensors: Mapping[int, Any],
) -> int | None:  # fmt: skip
    if not multiplies:
        return 0
    if multiplies == "product":
        return product_macs(first, output)
    if multiplies == "linear":
        return prod(output) * _dims(tensors[int(node["filter_id"])])[-1]
    window = (int(node["kernel_height"]), int(node["kernel_width"]))
    if multiplies == "transposed":
        return transposed_macs(first, (*window, int(node["group_output_channels"])))
    return convolution_macs(output, (*window, int(node["group_input_channels"])))


def _dims(tensor: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in tensor["dims"])


def _datatype(tensor: Any) -> str:
    return str(tensor["datatype"]).removeprefix("xnn_datatype_")


def _size(tensor: Any) -> int | None:
    bits = _BITS.get(_datatype(tensor))
    return None if bits is None else -(-bits * prod(_dims(tensor)) // 8)
