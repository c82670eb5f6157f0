"""Compute what depends on constants alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from convert.passes._rewrite import add_constant, constant, replace_node

_SMALL = 4096  # elements that a folded tensor may always have, however small its inputs


def fold_constants(module: GraphModule) -> int:
    """Replace operators whose inputs are all constant by their result, unless it is much larger than they are."""
    count = 0
    nodes: list[Any] = list(module.graph.nodes)
    for node in nodes:
        if node.op != "call_function" or not _is_pure(node.target):
            continue
        inputs = [constant(module, source) for source in node.all_input_nodes]
        if any(value is None for value in inputs) or not node.users:
            continue
        value = _evaluate(module, node)
        given = sum(tensor.numel() for tensor in inputs if tensor is not None)
        if value is None or value.numel() > max(2 * given, _SMALL):
            continue
        with module.graph.inserting_before(node):
            folded = add_constant(module, value)
        replace_node(node, folded)
        count += 1
    return count


def _is_pure(target: Any) -> bool:
    if not isinstance(target, torch._ops.OpOverload):
        return False
    return not target._schema.is_mutable and torch.Tag.nondeterministic_seeded not in target.tags


def _evaluate(module: GraphModule, node: Any) -> Tensor | None:
    args = torch.fx.node.map_arg(node.args, lambda source: constant(module, source))
    kwargs = torch.fx.node.map_arg(node.kwargs, lambda source: constant(module, source))
    value = node.target(*args, **kwargs)
    return value if isinstance(value, Tensor) else None
