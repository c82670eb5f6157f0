"""What every ExecuTorch target shares: lowering with partitioners, and who took which operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement, operator_nodes, place, with_folded
from convert.targets import Compiled
from edge.artifact import Needs, Step
from edge.errors import EdgeError, TargetError

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

    from convert.program import Program

FILE = "model.pte"
MIN_RUNTIME = "executorch 1.5"
PORTABLE = Placement("cpu", "portable")
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


def unexplained(node: Node) -> tuple[str, str]:
    """Stand for a backend that says nothing about what it leaves."""
    return "", ""


@dataclass(frozen=True, slots=True)
class Backend:
    """Say where a delegate's operators run, where the others do, and the reason and hint for a node that is left."""

    taken: Placement
    left: Placement = PORTABLE
    explain: Callable[[Node], tuple[str, str]] = unexplained

    def leave(self, node: Node) -> Placement:
        """Return the placement of a lowered node outside the delegates."""
        reason, hint = self.explain(node)
        return Placement(self.left.unit, self.left.backend, reason or self.left.reason, hint or self.left.hint)


def finish(
    program: Program,
    lowered: Any,
    backend: Backend,
    folder: Path,
    *,
    steps: tuple[Step, ...],
    min_runtime: str = MIN_RUNTIME,
) -> Compiled:
    """Write model.pte of a tagged program's lowering into `folder` and say who runs each of its operators.

    Raises TargetError if an accelerator took nothing, or if an operator that is left has no portable kernel.
    """
    module = lowered.exported_program().graph_module  # before memory planning adds operators
    operators = place(program, placements_of(program, module, backend))
    if backend.taken.unit != "cpu" and all(entry.unit == "cpu" for entry in operators):
        first = f": {operators[0].op}: {operators[0].reason}" if operators else ": there are none"
        raise TargetError(f"{backend.taken.backend} took none of {program.name}'s operators{first}")
    (folder / FILE).write_bytes(_to_pte(program.name, lowered))
    return Compiled(
        inputs=program.contract.inputs,
        outputs=program.contract.outputs,
        steps=steps,
        needs=Needs(min_runtime=min_runtime),
        operators=operators,
    )


def placements_of(program: Program, module: GraphModule, backend: Backend) -> dict[str, Placement]:
    """Return where each operator of a tagged program runs in its lowered graph.

    An operator with parts on both sides counts as left. One without any part in the lowered graph was folded into its
    users and goes with them, unless a part of unknown origin is left: then it counts as left too.
    """
    found: dict[str, Placement] = {}
    for _, graph_module in delegates(module):
        found |= {name: backend.taken for node in _calls(graph_module) if (name := origin(node))}
    outside = [node for node in _calls(module) if origin(node)]
    found |= {origin(node): backend.leave(node) for node in outside}
    strays = [node for node in _calls(module) if not origin(node) and not _is_border(node)]
    if strays:  # parts of an operator that a backend took apart without keeping the mark
        lost = backend.leave(strays[0])
        found |= {node.name: lost for node in operator_nodes(program) if node.name not in found}
    return with_folded(program, found, backend.left)


def _is_border(node: Node) -> bool:
    return operator(node).startswith(_BORDER)


def _calls(module: GraphModule) -> Iterator[Node]:
    for node in module.graph.nodes:
        if node.op == "call_function" and operator(node) not in ("getitem", "executorch_call_delegate", "alloc"):
            yield node


def operator(node: Node) -> str:
    """Return the name of a lowered node's operator."""
    name: str = getattr(node.target, "__name__", str(node.target))
    return name


def _to_pte(name: str, lowered: Any) -> bytes:
    try:
        data: bytes = lowered.to_executorch().buffer
    except Exception as error:  # an operator without a portable kernel, memory planning
        first = str(error).strip().split("\n", 1)[0]
        raise TargetError(f"ExecuTorch cannot write {name}: {type(error).__name__}: {first}") from error
    return data
