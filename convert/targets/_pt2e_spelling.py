"""Operators in the spelling that quantizers know."""

from __future__ import annotations

import torch
from torch.fx import GraphModule

_OVER_ONE = 1.0 + torch.finfo(torch.float32).eps


def spell_relu6(module: GraphModule) -> None:
    """Write relu6 as hardtanh in place: the same values, and the only spelling that some quantizers know."""
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten.relu6.default:
            node.target = torch.ops.aten.hardtanh.default
            node.args = (node.args[0], 0.0, 6.0)
    module.recompile()


def spell_unit_clips(module: GraphModule) -> None:
    """Raise the upper bound of hardtanh from 1 by one rounding step, in place.

    torch drops an argument that equals its default from re-exported graphs, and XNNPACK's fusing of clips then fails.
    """
    for node in module.graph.nodes:
        if (
            node.op == "call_function"
            and node.target is torch.ops.aten.hardtanh.default
            and node.args[2:] in ((), (1,))
        ):
            low = node.args[1] if len(node.args) > 1 else -1.0
            node.args = (node.args[0], low, _OVER_ONE)
    module.recompile()
