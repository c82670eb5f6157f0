"""Write activation functions that have no 8-bit form as operators that have one.

Left as they are, each of them would cut the part of the file that XNNPACK takes in two. Written anew, they use the
clipping that 8-bit codes do anyway: hard-swish is x · clip(x/6 + 1/2) with the codes of the sum spread over [0, 1], and
ReLU is a product with 1 whose codes begin at 0 (and end at 6).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convert.targets._litert_origin import kind_of, read_model

Range = tuple[float, float]
_REWRITTEN = ("HARD_SWISH", "RELU", "RELU6")


@dataclass(slots=True)
class Rewritten:
    """A float file whose new tensors need the ranges given here: fixed, or those of another tensor times a factor."""

    content: bytes
    fixed: dict[str, Range] = field(default_factory=dict)
    scaled: dict[str, tuple[str, float]] = field(default_factory=dict)

    def complete(self, ranges: Mapping[str, Range]) -> dict[str, Range]:
        """Return the ranges with those of the new tensors."""
        scaled = {
            name: (ranges[source][0] * factor, ranges[source][1] * factor)
            for name, (source, factor) in self.scaled.items()
            if source in ranges
        }
        return {**ranges, **scaled, **self.fixed}


def for_xnnpack(content: bytes, floats: Collection[str] = ()) -> Rewritten:
    """Return the float file with lone activation functions as XNNPACK takes them; `floats` name results that stay."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = read_model(content)
    graph = model.subgraphs[0]
    made = Rewritten(content)
    operators = []
    for operator in graph.operators:
        kind = kind_of(model.operatorCodes[operator.opcodeIndex])
        result = graph.tensors[int(operator.outputs[0])].name.decode()
        if kind not in _REWRITTEN or result in floats:
            operators.append(operator)
        elif kind == "HARD_SWISH":
            operators += _hard_swish(model, operator, made)
        else:
            operators.append(_relu(model, operator, made, kind))
    if len(made.fixed) + len(made.scaled) == 0 and len(operators) == len(graph.operators):
        return made
    graph.operators = operators
    made.content = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    return made


def _hard_swish(model: Any, operator: Any, made: Rewritten) -> list[Any]:
    graph = model.subgraphs[0]
    source, result = int(operator.inputs[0]), int(operator.outputs[0])
    name = graph.tensors[result].name.decode()
    share, gate = _like(graph, result, f"{name}/share"), _like(graph, result, f"{name}/gate")
    made.scaled[f"{name}/share"] = (graph.tensors[source].name.decode(), 1 / 6)
    made.fixed[f"{name}/gate"] = (0.0, 1.0)
    return [
        _elementwise(model, "MUL", source, _number(model, 1 / 6, f"{name}/sixth"), share),
        _elementwise(model, "ADD", share, _number(model, 0.5, f"{name}/half"), gate),
        _elementwise(model, "MUL", source, gate, result),
    ]


def _relu(model: Any, operator: Any, made: Rewritten, kind: str) -> Any:
    graph = model.subgraphs[0]
    source, result = int(operator.inputs[0]), int(operator.outputs[0])
    name = graph.tensors[result].name.decode()
    if kind == "RELU6":
        made.fixed[name] = (0.0, 6.0)
    return _elementwise(model, "MUL", source, _number(model, 1.0, f"{name}/one"), result)


def _like(graph: Any, tensor: int, name: str) -> int:
    """Add a tensor of the shape of another and return its index."""
    added = copy.copy(graph.tensors[tensor])
    added.name, added.buffer = name.encode(), 0  # buffer 0 is the empty one
    graph.tensors.append(added)
    return len(graph.tensors) - 1


def _number(model: Any, value: float, name: str) -> int:
    """Add a constant of one element and return its index."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    buffer = copy.copy(model.buffers[0])
    buffer.data = np.frombuffer(np.array([value], np.float32).tobytes(), np.uint8)
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name.encode(), [1], schema.TensorType.FLOAT32
    tensor.buffer = len(model.buffers)
    model.buffers.append(buffer)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _elementwise(model: Any, kind: str, left: int, right: int, result: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    options = {"MUL": (schema.BuiltinOptions.MulOptions, schema.MulOptionsT)}.get(
        kind, (schema.BuiltinOptions.AddOptions, schema.AddOptionsT)
    )
    operator = schema.OperatorT()
    operator.opcodeIndex = _code(model, kind)
    operator.inputs, operator.outputs = [left, right], [result]
    operator.builtinOptionsType, operator.builtinOptions = options[0], options[1]()
    return operator


def _code(model: Any, kind: str) -> int:
    """Return the index of an operator's code, added if the file has none; the second version has 8-bit integers."""
    from ai_edge_litert import schema_py_generated as schema

    known = [i for i, code in enumerate(model.operatorCodes) if kind_of(code) == kind]
    if known:
        return known[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
    code.version = 2
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def for_npus(content: bytes, floats: Collection[str] = ()) -> Rewritten:
    """Return the float file with plain RELU for every RELU6 that stands alone.

    The quantizer leaves RELU6 in float32. With the codes of its result spread over [0, 6], RELU saturates at 6.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = read_model(content)
    graph = model.subgraphs[0]
    made = Rewritten(content)
    for operator in graph.operators:
        if kind_of(model.operatorCodes[operator.opcodeIndex]) == "RELU6":
            made.fixed |= {graph.tensors[int(tensor)].name.decode(): (0.0, 6.0) for tensor in operator.outputs}
    for code in model.operatorCodes if made.fixed else ():
        if kind_of(code) == "RELU6":
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    made.content = bytes(flatbuffer_utils.convert_object_to_bytearray(model)) if made.fixed else content
    return made
