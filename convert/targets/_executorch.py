"""What every ExecuTorch target shares: lowering with partitioners, and who took which operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement, operator_nodes
from edge.artifact import Step
from edge.delegation import Operator
from edge.errors import EdgeError, TargetError

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

    from convert.program import Program

MIN_RUNTIME = "executorch 1.5"
_MARK = "edge_operator"
# Operators that lowering adds at the border of delegates.
_BORDER = ("quantize_per", "dequantize_per", "aten._to", "dim_order_ops", "aten.clone", "clone", "aten.view", "alloc")


def executorch_step(**options: str | int | float | bool) -> Step:
    """Return the step that records ExecuTorch with these options."""
    return Step(tool="executorch", version=metadata.version("executorch"), options=dict(options))


def tag_origins(program: Program) -> None:
    """Mark every operator with its own name; torch carries the mark through decompositions and lowering.

    Only metadata changes. A graph that is exported again from a tagged one keeps the marks too.
    """
    for node in operator_nodes(program):
        node.meta["custom"] = {**node.meta.get("custom", {}), _MARK: node.name}


def origin(node: Node) -> str:
    """Return the name of the exported operator that a lowered node came from, or an empty string."""
    found: str = node.meta.get("custom", {}).get(_MARK, "")
    return found


def lower(name: str, exported: ExportedProgram, partitioners: Sequence[Any], **options: Any) -> Any:
    """Return the EdgeProgramManager of a program lowered with partitioners; raises TargetError if it cannot be."""
    from executorch.exir import to_edge_transform_and_lower

    try:
        return to_edge_transform_and_lower(exported, partitioner=list(partitioners), **options)
    except EdgeError:
        raise
    except Exception as error:  # whatever the lowering stack raises
        first = str(error).strip().split("\n", 1)[0]
        raise TargetError(f"ExecuTorch cannot lower {name}: {type(error).__name__}: {first}") from error


def delegates(module: GraphModule) -> Iterator[tuple[str, GraphModule]]:
    """Yield the backend id and the graph of every delegate of a lowered graph."""
    for node in module.graph.nodes:
        if node.op == "get_attr" and str(node.target).startswith("lowered_module_"):
            lowered = getattr(module, str(node.target))
            yield lowered.backend_id, lowered.original_module.graph_module


def placements_of(
    program: Program,
    module: GraphModule,
    units: Mapping[str, Placement],
    *,
    left: Placement,
    explain: Callable[[Node], tuple[str, str]] = lambda node: ("", ""),
) -> dict[str, Placement]:
    """Return where each operator of a tagged program runs in its lowered graph.

    `units` gives a backend id's placement, `left` that of operators outside delegates, and `explain` the reason and
    the hint for a lowered node that is left. An operator with parts on both sides counts as left. One without any
    part in the lowered graph was folded into its users and goes with them.
    """
    found: dict[str, Placement] = {}
    for backend, graph_module in delegates(module):
        for node in _calls(graph_module):
            if name := origin(node):
                found.setdefault(name, units[backend])
    strays: list[Node] = []
    for node in _calls(module):
        reason, hint = explain(node)
        if name := origin(node):
            found[name] = Placement(left.unit, left.backend, reason or left.reason, hint or left.hint)
        elif not operator(node).split(".", 1)[0].startswith(_BORDER):
            strays.append(node)
    if strays:  # parts of operators that a backend took apart without keeping the mark: nobody else's are missing
        reason, hint = explain(strays[0])
        for exported in operator_nodes(program):
            if exported.name not in found:
                found[exported.name] = Placement(left.unit, left.backend, reason or left.reason, hint or left.hint)
    return _with_folded(program, found, left)


def _calls(module: GraphModule) -> Iterator[Node]:
    for node in module.graph.nodes:
        if node.op == "call_function" and operator(node) not in ("getitem", "executorch_call_delegate", "alloc"):
            yield node


def _with_folded(program: Program, found: dict[str, Placement], left: Placement) -> dict[str, Placement]:
    """Give operators that lowering folded away the placement of what uses them, or else of what they use."""
    nodes = list(operator_nodes(program))
    for node in reversed(nodes):
        if node.name not in found:
            users = [found[user.name] for user in node.users if user.name in found]
            if users:
                found[node.name] = Placement(users[0].unit, users[0].backend)  # the refusal was the user's own
    for node in nodes:
        if node.name not in found:
            sources = [found[source.name] for source in node.all_input_nodes if source.name in found]
            source = sources[0] if sources else left
            found[node.name] = Placement(source.unit, source.backend)
    return found


def operator(node: Node) -> str:
    """Return the name of a lowered node's operator."""
    name: str = getattr(node.target, "__name__", str(node.target))
    return name


def require_taken(target: str, operators: Sequence[Operator]) -> None:
    """Raise TargetError if an accelerator took nothing: such a file is a CPU artifact under a wrong name."""
    if all(operator.unit == "cpu" for operator in operators):
        first = f": {operators[0].op}: {operators[0].reason}" if operators else ": there are none"
        raise TargetError(f"{target} took none of the operators{first}")


def to_pte(name: str, lowered: Any) -> bytes:
    """Return the bytes of a lowered program's `.pte`; raises TargetError if it cannot be written."""
    try:
        data: bytes = lowered.to_executorch().buffer
    except Exception as error:  # an operator without a portable kernel, memory planning
        first = str(error).strip().split("\n", 1)[0]
        raise TargetError(f"ExecuTorch cannot write {name}: {type(error).__name__}: {first}") from error
    return data
