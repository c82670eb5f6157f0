"""Leave broadcasting to the operators that do it themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule

from convert.passes._rewrite import argument, aten, calls, replace_node, shape

_EXPANSIONS = (aten.expand.default, aten.expand_as.default)
_ELEMENTWISE = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)


def broadcast_implicitly(module: GraphModule) -> int:
    """Remove expansions of what elementwise operators read beside a tensor of the full shape.

    LiteRT's converter (litert-torch 0.10) refuses a division by an expansion in kMaX-DeepLab at 1281² ("operands don't
    have broadcast-compatible shapes"); divided by what was expanded, the network converts.
    """
    count = 0
    for node in calls(module, *_EXPANSIONS):
        source = argument(node, 0, "input")
        if all(_broadcasts(user, node, source) for user in node.users):
            replace_node(node, source)
            count += 1
    return count


def _broadcasts(user: Any, expansion: Any, source: Any) -> bool:
    """Tell whether an operator has the same result if it reads the source in place of its expansion."""
    if user.target not in _ELEMENTWISE:
        return False
    operands = [source if operand is expansion else operand for operand in user.args[:2]]
    shapes = [shape(operand) if hasattr(operand, "meta") else () for operand in operands]
    joint: tuple[int, ...] = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    return tuple(joint) == shape(user)
