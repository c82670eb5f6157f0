"""Which operator of the exported program became which operators of a `.tflite`.

litert-torch names the tensors of its file after where they came from. Inside `operators_as_names` that is the exported
program's operator, so that the result of a fused convolution is called `edge/relu;;edge/conv2d_1;;edge/pad;3`: the
operator that gave the result first, then those that were fused into it.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement, operator_nodes, with_folded
from edge.delegation import Rejected

if TYPE_CHECKING:
    from torch.fx import Node

    from convert.program import Program

BORDER = ("QUANTIZE", "DEQUANTIZE")  # conversions of numbers, no operators of the exported program
_HINTS = dict.fromkeys(BORDER, "inputs and outputs of the file are float32; converting them is left to the CPU")
_NAME = re.compile(r"edge/([A-Za-z0-9_.]+);")


@dataclass(frozen=True, slots=True)
class FileOperator:
    """One operator of a `.tflite`: its kind as the format calls it, its results, and what it was made of."""

    index: int
    kind: str  # CONV_2D; the custom code of a custom operator
    outputs: tuple[str, ...]  # names of its result tensors
    origins: tuple[str, ...]  # names of exported operators, the one that gives the result first


@contextlib.contextmanager
def operators_as_names(program: Program) -> Iterator[None]:
    """Let litert-torch name tensors after the program's operators for as long as the context lasts."""
    from litert_torch.backend import debuginfo

    for node in operator_nodes(program):
        node.meta.pop("from_node", None)  # an older history would name an earlier graph's operators
    before = debuginfo.build_mlir_debuginfo
    debuginfo.build_mlir_debuginfo = _origin
    try:
        yield
    finally:
        debuginfo.build_mlir_debuginfo = before


def _origin(node: Node) -> str | None:
    from litert_torch.backend import debuginfo

    name = debuginfo.build_nodename_debuginfo(node)
    return f"edge/{name};" if name else None


def read_operators(content: bytes, program: Program) -> tuple[FileOperator, ...]:
    """Return the operators of a file's main graph in execution order, with the exported operators behind them."""
    model = read_model(content)
    graph = model.subgraphs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    known = {node.name for node in operator_nodes(program)} | {node.name for node in _results(program)}
    results = _result_names(model, program)
    kinds = [kind_of(model.operatorCodes[operator.opcodeIndex]) for operator in graph.operators]
    for kind, operator in zip(kinds, graph.operators, strict=True):
        if kind in BORDER and int(operator.outputs[0]) in results:  # the result is that of the operator before it
            results[int(operator.inputs[0])] = results[int(operator.outputs[0])]
    found = []
    for index, (kind, operator) in enumerate(zip(kinds, graph.operators, strict=True)):
        outputs = tuple(names[tensor] for tensor in operator.outputs)
        given = [results[int(tensor)] for tensor in operator.outputs if int(tensor) in results]
        tagged = [name for output in outputs for name in _NAME.findall(output)]
        origins = dict.fromkeys(name for name in (*given, *tagged) if name in known and kind not in BORDER)
        found.append(FileOperator(index, kind, outputs, tuple(origins)))
    return tuple(found)


def read_model(content: bytes) -> Any:
    """Return the mutable form of a `.tflite`, with the buffers in place that a quantizer writes behind the graph."""
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(content)


def kind_of(code: Any) -> str:
    """Return an operator code's name as the format writes it, or the custom operator's own."""
    from ai_edge_litert import schema_py_generated as schema

    if code.customCode:
        return str(code.customCode.decode())
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    names: dict[object, str] = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    return names[number]


def _results(program: Program) -> list[Node]:
    """Return the nodes that give the program's outputs."""
    output = next(node for node in program.exported.graph.nodes if node.op == "output")
    return list(output.args[0])


def _result_names(model: Any, program: Program) -> dict[int, str]:
    """Return the exported operator behind each output tensor of the file: those bear the signature's names instead."""
    if not model.signatureDefs:
        return {}
    by_name = {entry.name.decode(): int(entry.tensorIndex) for entry in model.signatureDefs[0].outputs}
    pairs = zip(program.contract.outputs, _results(program), strict=True)
    return {by_name[spec.name]: node.name for spec, node in pairs if spec.name in by_name}


def remaining(made: bytes, operators: Sequence[FileOperator], compiled_kind: str) -> tuple[FileOperator, ...]:
    """Return the operators of the file before that a made file still computes outside its `compiled_kind` operators.

    An operator remains if a tensor of its results is still the result of an operator of another kind.
    """
    model = read_model(made)
    graph = model.subgraphs[0]
    results = {
        graph.tensors[int(tensor)].name.decode()
        for operator in graph.operators
        if kind_of(model.operatorCodes[operator.opcodeIndex]) != compiled_kind
        for tensor in operator.outputs
    }
    return tuple(operator for operator in operators if results & set(operator.outputs))


def place_operators(
    program: Program, operators: Sequence[FileOperator], taken: Placement, left: Mapping[int, Placement]
) -> dict[str, Placement]:
    """Return where each exported operator runs, given the file's operators that the NPU left, by index.

    An exported operator stands for the file operators whose result it names first; if it names none first, for all
    that it was fused into. It runs on the NPU if all of those do. One without a part in the file was folded away and
    goes with its users, or else with what it uses.
    """
    first: dict[str, list[int]] = {}
    fused: dict[str, list[int]] = {}
    for operator in operators:
        for position, name in enumerate(operator.origins):
            (fused if position else first).setdefault(name, []).append(operator.index)
    found = {
        name: next((left[index] for index in indices if index in left), taken)
        for name, indices in {**fused, **first}.items()
    }
    return with_folded(program, found, taken)


def results_of(operators: Sequence[FileOperator], names: Collection[str]) -> frozenset[str]:
    """Return the tensors that hold the results of exported operators, by the rule of `place_operators`."""
    first = {operator.origins[0] for operator in operators if operator.origins}
    return frozenset(
        output
        for operator in operators
        for position, name in enumerate(operator.origins)
        if name in names and (position == 0 or name not in first)
        for output in operator.outputs
    )


def unnamed(operators: Sequence[FileOperator], left: Mapping[int, str]) -> tuple[Rejected, ...]:
    """Return the operators that the NPU left and that no exported operator stands for, counted by kind and reason."""
    counts = Counter(
        (operator.kind, left[operator.index])
        for operator in operators
        if operator.index in left and not operator.origins
    )
    return tuple(
        Rejected(op=kind, count=n, reason=reason, hint=_HINTS.get(kind, ""))
        for (kind, reason), n in sorted(counts.items())
    )
