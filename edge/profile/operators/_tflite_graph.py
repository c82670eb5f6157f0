"""The operators of a `.tflite`'s main graph: what they multiply and move."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from edge.errors import InputError, MissingError
from edge.profile.operators._graph import Multiplies, Node
from edge.profile.operators._shapes import convolution_macs, product_macs, tensor_bytes, total_bytes, transposed_macs

_MULTIPLIES: dict[str, Multiplies] = {
    "CONV_2D": "convolution", "DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "linear",
    "TRANSPOSE_CONV": "transposed", "BATCH_MATMUL": "product",
}  # fmt: skip
_WORDS = {"HARD_SWISH": "HardSwish", "RELU6": "clamp", "RELU": "clamp", "RELU_0_TO_1": "clamp"}


def read_tflite(path: Path) -> tuple[Node, ...]:
    """Return the main graph's operators in order; raises InputError for another file, MissingError without LiteRT."""
    try:
        from ai_edge_litert.tools import flatbuffer_utils
    except ImportError:
        raise MissingError("LiteRT is not installed: pip install 'edge-deployment-kit[litert]'") from None
    try:
        model = flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))
        graph = model.subgraphs[0]
        return tuple(_node(model, graph, operator) for operator in graph.operators)
    except Exception as error:  # flatbuffers' readers trip over damaged bytes in many ways
        raise InputError(f"{path} is not a LiteRT file: {type(error).__name__}: {error}") from None


def _node(model: Any, graph: Any, operator: Any) -> Node:
    kind = _kind(model.operatorCodes[operator.opcodeIndex])
    inputs = [graph.tensors[index] for index in operator.inputs if index >= 0]
    outputs = [graph.tensors[index] for index in operator.outputs]
    sizes = total_bytes([tensor_bytes(_dtype(tensor), _shape(tensor)) for tensor in (*inputs, *outputs)])
    multiplies = _MULTIPLIES.get(kind, "")
    place = 2 if multiplies == "transposed" else 0  # its first input is the wanted shape
    dtype = _dtype(inputs[place]) if len(inputs) > place else ""
    return Node(
        kind=_WORDS.get(kind, kind.replace("_", " ").capitalize()),
        multiplies=multiplies,
        macs=_macs(multiplies, [_shape(tensor) for tensor in inputs], _shape(outputs[0])) if outputs else None,
        elements=prod(_shape(outputs[0])) if outputs else 0,
        bytes=sizes,
        dtype={"uint8": "int8"}.get(dtype, dtype),
    )


def _macs(multiplies: Multiplies, inputs: Sequence[Sequence[int]], output: Sequence[int]) -> int | None:
    if not multiplies:
        return 0
    if multiplies == "product":
        return product_macs(inputs[0], output)
    if multiplies == "transposed":  # the wanted shape, weights (out, height, width, in), input
        weights = inputs[1]
        return transposed_macs(inputs[2], weights[:3])
    weights = inputs[1]
    return convolution_macs(output, weights[1:3] if multiplies == "depthwise" else weights[1:])


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(axis) for axis in tensor.shape) if tensor.shape is not None else ()


def _dtype(tensor: Any) -> str:
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
    return str(names[tensor.type]).lower()


def _kind(code: Any) -> str:
    from ai_edge_litert import schema_py_generated as schema

    if code.customCode:
        return str(code.customCode.decode())
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    names: dict[object, str] = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    return names[number]
