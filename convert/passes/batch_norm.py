"""Fold an evaluation-mode batch normalisation into the convolution before it."""

from __future__ import annotations

import torch
from torch.fx import GraphModule

from convert.passes._rewrite import argument, aten, calls, constant, only_user, read_conv, replace_node, write_conv


def fold_batch_norm(module: GraphModule) -> int:
    """Scale the convolution's weights: y = (x − mean) / √(var + eps) · weight + bias (Ioffe and Szegedy, 2015)."""
    count = 0
    for node in calls(module, aten.batch_norm.default):
        source = node.args[0]
        conv = read_conv(module, source)
        mean, variance = constant(module, node.args[3]), constant(module, node.args[4])
        if conv is None or mean is None or variance is None or argument(node, 5, "training"):
            continue
        if not only_user(source, aten.conv2d.default):
            continue
        weight, bias = constant(module, node.args[1]), constant(module, node.args[2])
        scale = torch.rsqrt(variance + argument(node, 7, "eps")) * (1.0 if weight is None else weight)
        shift = (0.0 if bias is None else bias) - mean * scale
        replace_node(node, write_conv(module, source.args[0], conv.scaled(scale, shift), node))
        count += 1
    return count
