"""Program → float ONNX model whose nodes still know which operators of the program they came from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement, operator_name, operator_nodes, place
from convert.hints import qualcomm_hint
from convert.targets._executorch import origin, tag_origins
from convert.targets.onnx import describe, export_onnx
from edge.delegation import Rejected
from edge.runtimes.onnx_qnn import PROVIDER

if TYPE_CHECKING:
    from convert.program import Program
    from convert.targets._onnx_qnn_context import Left
    from edge.delegation import Operator

_CPU = "CPUExecutionProvider"
_UNEXPLAINED = "QNN accepts it alone, but ONNX Runtime kept it out of the NPU's part"
_FX_NODE = re.compile(r"%(\w+) ")


@dataclass(frozen=True, slots=True)
class FloatModel:
    """A float32 ONNX model and, by node name, the operator of the program that each node came from."""

    model: Any
    origins: Mapping[str, str]


def to_float_model(program: Program, precision: str) -> FloatModel:
    """Convert a program to float32 ONNX and keep the origins that torch writes into the nodes' metadata."""
    tag_origins(program)
    exported = export_onnx(program)
    tagged = {node.name: origin(node) for node in exported.exported_program.graph.nodes}
    model = exported.model_proto
    origins = {}
    for node in model.graph.node:
        facts = {entry.key: entry.value for entry in node.metadata_props}
        match = _FX_NODE.match(facts.get("pkg.torch.onnx.fx_node", ""))
        origins[node.name] = tagged.get(match[1], "") if match else ""
    describe(model, program, precision)
    return FloatModel(model, origins)


def place_operators(
    program: Program, source: FloatModel, left: Sequence[Left]
) -> tuple[tuple[Operator, ...], tuple[Rejected, ...]]:
    """Place the operators of nodes that are left on the CPU, all others on the NPU.

    An operator that the exporter folded away goes with the operators that use its value. Nodes that come from no
    operator are returned beside.
    """
    by_output = {name: source.origins[node.name] for node in source.model.graph.node for name in node.output}
    reasons: dict[str, str] = {}
    unnamed: list[Rejected] = []
    for node in left:
        name = source.origins.get(node.name) or next((by_output[out] for out in node.outputs if by_output.get(out)), "")
        if name:
            reasons[name] = node.reason or _UNEXPLAINED
        else:
            unnamed.append(Rejected(op=node.op, count=1, reason=node.reason or _UNEXPLAINED))
    return place(program, _placements(program, set(source.origins.values()), reasons)), tuple(unnamed)


def _placements(program: Program, known: set[str], reasons: Mapping[str, str]) -> dict[str, Placement]:
    found: dict[str, Placement] = {}
    for node in reversed(list(operator_nodes(program))):
        users = [found[user.name] for user in node.users if user.name in found]
        if node.name in reasons:
            found[node.name] = Placement("cpu", _CPU, reasons[node.name], qualcomm_hint(operator_name(node)))
        elif node.name not in known and users and all(user.unit == "cpu" for user in users):
            found[node.name] = Placement("cpu", _CPU)
        else:
            found[node.name] = Placement("npu", PROVIDER)
    return found
