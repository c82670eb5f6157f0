"""Find decoding tails: what a graph does after it first chooses among values (argmax, top-k, gather, …).

No NPU gains from choosing among its own results, most refuse integer outputs, and int8 rounding makes ties of close
scores; convert/tails.py lets the task's decoder choose instead.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule

from convert.passes._rewrite import apply_rewrite, aten, calls

DECODING = frozenset(
    {
        aten.argmax.default, aten.argmin.default, aten.max.dim, aten.min.dim, aten.topk.default, aten.sort.default,
        aten.argsort.default, aten.gather.default, aten.index.Tensor, aten.index_select.default, aten.gt.Scalar,
    }
)  # fmt: skip
# What may come after a choice and still be decoding.
_AFTER = frozenset(
    {
        aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default, aten.view.default,
        aten.reshape.default, aten.flatten.using_ints, aten.select.int, aten.slice.Tensor, aten.clone.default,
        aten.contiguous.default, aten.alias.default, aten.detach.default, aten.to.dtype, aten._to_copy.default,
        aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.div.Tensor_mode,
        aten.floor_divide.default, aten.remainder.Scalar, aten.cat.default, aten.stack.default, aten.permute.default,
        aten.transpose.int, aten.expand.default, aten.where.self, aten._assert_tensor_metadata.default,
        operator.getitem,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tail:
    """Operators that lead from choices to outputs alone, in order; `outputs` are their positions in the program."""

    nodes: tuple[Any, ...]
    outputs: tuple[int, ...]

    @property
    def choices(self) -> tuple[Any, ...]:
        """Return the operators that choose."""
        return tuple(node for node in self.nodes if node.target in DECODING)

    @property
    def operators(self) -> str:
        """Return the names of the choices."""
        return ", ".join(str(node.target).split(".")[1] for node in self.choices)


def find_tails(module: GraphModule) -> tuple[Tail, ...]:
    """Return the longest decoding suffixes of a graph; those that share operators are one."""
    output: Any = next(node for node in module.graph.nodes if node.op == "output")
    nodes: list[Any] = [node for node in module.graph.nodes if node.op == "call_function"]
    suffix: set[Any] = {output}
    for node in reversed(nodes):
        if node.target in DECODING | _AFTER and all(user in suffix for user in node.users):
            suffix.add(node)
    chosen: set[Any] = set()
    for node in nodes:
        if node in suffix and (node.target in DECODING or not chosen.isdisjoint(node.all_input_nodes)):
            chosen.add(node)
    results = list(output.args[0])
    groups = _connected([node for node in nodes if node in chosen])
    tails = (Tail(tuple(group), tuple(i for i, result in enumerate(results) if result in group)) for group in groups)
    return tuple(tail for tail in tails if tail.outputs)


def _connected(nodes: Sequence[Any]) -> list[list[Any]]:
    groups: list[list[Any]] = []
    for node in nodes:
        touching = [group for group in groups if not set(group).isdisjoint(node.all_input_nodes)]
        groups = [group for group in groups if group not in touching]
        groups.append([*(member for group in touching for member in group), node])
    return groups


def end_output_at(exported: ExportedProgram, position: int, name: str) -> ExportedProgram:
    """Return the program with one output ending at the node of that name; what nothing reads any more is gone."""

    def rewrite(module: GraphModule) -> int:
        nodes: dict[str, Any] = {node.name: node for node in module.graph.nodes}
        output: Any = next(node for node in module.graph.nodes if node.op == "output")
        results = list(output.args[0])
        results[position] = nodes[name]
        output.args = (type(output.args[0])(results),)
        for check in calls(module, aten._assert_tensor_metadata.default):  # nothing reads it, yet it would stay
            module.graph.erase_node(check)
        return 1

    with torch.no_grad():
        return apply_rewrite(exported, rewrite)
