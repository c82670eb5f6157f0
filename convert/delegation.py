"""One report for all runtimes: every operator of the exported program, the unit that takes it, and why not the NPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from edge.delegation import Operator, Unit
from edge.errors import TargetError

if TYPE_CHECKING:
    from torch.fx import Node

    from convert.program import Program


_BOOKKEEPING = frozenset({"getitem", "_assert_tensor_metadata.default"})


@dataclass(frozen=True, slots=True)
class Placement:
    """Say which unit and backend run an operator, and why not a faster one."""

    unit: Unit
    backend: str
    reason: str = ""
    hint: str = ""


def operator_nodes(program: Program) -> Iterator[Node]:
    """Yield the operators of an exported program in execution order; picking one result and checking it are none."""
    for node in program.exported.graph.nodes:
        if node.op == "call_function" and getattr(node.target, "__name__", "") not in _BOOKKEEPING:
            yield node


def place(program: Program, placements: Mapping[str, Placement]) -> tuple[Operator, ...]:
    """Give every operator of the program its placement, by node name; raises TargetError for one that has none."""
    found = []
    for node in operator_nodes(program):
        if node.name not in placements:
            raise TargetError(f"{program.name}: no unit is known for operator {node.name} ({operator_name(node)})")
        where = placements[node.name]
        found.append(
            Operator(
                name=node.name,
                op=operator_name(node),
                unit=where.unit,
                backend=where.backend,
                macs=count_macs(node),
                reason=where.reason,
                hint=where.hint,
            )
        )
    return tuple(found)


def with_folded(program: Program, found: Mapping[str, Placement], otherwise: Placement) -> dict[str, Placement]:
    """Add the operators that a compiler folded away: they go with what uses them, or else with what they use.

    Only the unit is inherited: what was folded away was not itself refused.
    """
    whole, nodes = dict(found), list(operator_nodes(program))
    for node in reversed(nodes):
        users = [whole[user.name] for user in node.users if user.name in whole]
        if node.name not in whole and users:
            whole[node.name] = Placement(users[0].unit, users[0].backend)
    for node in nodes:
        if node.name not in whole:
            source = next((whole[other.name] for other in node.all_input_nodes if other.name in whole), otherwise)
            whole[node.name] = Placement(source.unit, source.backend)
    return whole


def place_all(program: Program, placement: Placement) -> tuple[Operator, ...]:
    """Give every operator of the program the same placement."""
    return place(program, {node.name: placement for node in operator_nodes(program)})


def operator_name(node: Node) -> str:
    """Return an operator's name as torch writes it, for example aten.conv2d."""
    name = str(node.target)
    return name.removesuffix(".default")


def count_macs(node: Node) -> int:
    """Return the multiply-accumulates of a convolution, linear or matrix product; 0 for everything else."""
    count = _MACS.get(operator_name(node).removeprefix("aten.").split(".", 1)[0])
    return count(node) if count else 0


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in value.meta["val"].shape)


def _convolution(node: Node) -> int:
    weight: Any = node.args[1]
    return prod(_shape(node)) * prod(_shape(weight)[1:])  # (out, in / groups, *kernel)


def _transposed(node: Node) -> int:
    data: Any = node.args[0]
    weight: Any = node.args[1]
    return prod(_shape(data)) * prod(_shape(weight)[1:])  # (in, out / groups, *kernel): each input pixel is spread


def _any_convolution(node: Node) -> int:
    transposed = bool(node.args[6]) if len(node.args) > 6 else bool(node.kwargs.get("transposed", False))
    return _transposed(node) if transposed else _convolution(node)


def _linear(node: Node) -> int:
    data: Any = node.args[0]
    return prod(_shape(node)) * _shape(data)[-1]


def _addmm(node: Node) -> int:
    data: Any = node.args[1]
    return prod(_shape(node)) * _shape(data)[-1]


def _attention(node: Node) -> int:
    query: Any = node.args[0]
    key: Any = node.args[1]
    value: Any = node.args[2]
    *batch, length, width = _shape(query)
    keys = _shape(key)[-2]
    return prod(batch) * length * keys * (width + _shape(value)[-1])


_MACS: Mapping[str, Callable[[Node], int]] = {
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv3d": _convolution,
    "convolution": _any_convolution,
    "conv_transpose1d": _transposed,
    "conv_transpose2d": _transposed,
    "linear": _linear,
    "matmul": _linear,
    "mm": _linear,
    "bmm": _linear,
    "addmm": _addmm,
    "scaled_dot_product_attention": _attention,
}
