"""Merge permutations that follow each other."""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from convert.passes._rewrite import aten, calls, insert, replace_node, shape


def merge_permutes(module: GraphModule) -> int:
    """Replace permute(permute(x)) by one permutation, or by x where they cancel; transposes count as permutations."""
    count = 0
    for node in calls(module, aten.permute.default, aten.transpose.int):
        source = node.args[0]
        if not isinstance(source, Node) or source.target not in (aten.permute.default, aten.transpose.int):
            continue
        first, second = axes_of(source), axes_of(node)
        axes = [first[axis] for axis in second]
        origin: Any = source.args[0]
        if axes == sorted(axes) and (origin.op == "call_function" or all(user.op != "output" for user in node.users)):
            replace_node(node, origin)
        else:
            with module.graph.inserting_before(node):
                replace_node(node, insert(module, aten.permute.default, (origin, axes)))
        count += 1
    return count


def axes_of(node: Any) -> list[int]:
    """Return the axes of the input in the order of the output's."""
    rank = len(shape(node))
    if node.target is aten.permute.default:
        return [axis % rank for axis in node.args[1]]
    axes = list(range(rank))
    first, second = (axis % rank for axis in node.args[1:3])
    axes[first], axes[second] = axes[second], axes[first]
    return axes
