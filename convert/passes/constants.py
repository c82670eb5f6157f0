"""Compute what depends on constants alone."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from convert.passes._rewrite import add_constant, constant, replace_node

_SMALL = 4096  # elements that a folded tensor may always have, however small its inputs


def fold_constants(module: GraphModule) -> int:
    """Replace operators whose inputs are all constant by their result, unless it is much larger than they are.

    What lies between may be larger: of attention among learnt queries only the outcome is kept.
    """
    values, sources = _evaluated(module)
    count = 0
    for node in reversed(list(values)):  # readers before what they read
        if all(user in values for user in node.users):
            continue
        value = values[node]
        given = sum(tensor.numel() for tensor in sources[node].values())
        if not isinstance(value, Tensor) or value.numel() > max(2 * given, _SMALL):
            del values[node]  # stays an operator; what it reads may be folded
            continue
        with module.graph.inserting_before(node):
            folded = add_constant(module, value)
        del values[node]
        replace_node(node, folded)
        count += 1
    return count


def _evaluated(module: GraphModule) -> tuple[dict[Any, Any], dict[Any, dict[Node, Tensor]]]:
    """Return the value of every operator that reads constants alone, in order, and the constants that went into it."""
    values: dict[Any, Any] = {}
    sources: dict[Any, dict[Node, Tensor]] = {}
    nodes: list[Any] = list(module.graph.nodes)
    for node in nodes:
        if node.op != "call_function" or not (node.target is operator.getitem or _is_pure(node.target)):
            continue
        found: dict[Node, Tensor] = {}
        for source in node.all_input_nodes:
            tensor = constant(module, source)
            if tensor is not None:
                found[source] = tensor
            elif source in values:
                found |= sources[source]
            else:
                break
        else:
            if node.users:
                values[node], sources[node] = _evaluate(module, node, values), found
    return values, sources


def _is_pure(target: Any) -> bool:
    if not isinstance(target, torch._ops.OpOverload):
        return False
    return not target._schema.is_mutable and torch.Tag.nondeterministic_seeded not in target.tags


def _evaluate(module: GraphModule, node: Any, values: dict[Any, Any]) -> Any:
    def value(source: Any) -> Any:
        return values[source] if source in values else constant(module, source)

    return node.target(*torch.fx.node.map_arg(node.args, value), **torch.fx.node.map_arg(node.kwargs, value))
