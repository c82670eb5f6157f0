"""Give activations the form that runtimes fuse."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from convert.passes._rewrite import (
    argument,
    aten,
    calls,
    constant,
    insert,
    only_user,
    read_conv,
    replace_node,
    shape,
    write_conv,
)

_CLIPS = {aten.relu6.default: (0.0, 6.0)}


def fuse_hard_sigmoid(module: GraphModule) -> int:
    """Replace clip(x + 3, 0, 6) / 6 by hard sigmoid."""
    count = 0
    for node in calls(module, aten.div.Tensor, aten.mul.Tensor):
        source: Any = node.args[0]
        wanted = 6.0 if node.target is aten.div.Tensor else 1.0 / 6.0
        factor = _scalar(module, node.args[1])
        if factor is None or abs(factor - wanted) > 1e-6 or not isinstance(source, Node) or len(source.users) != 1:
            continue
        shifted: Any = source.args[0] if _clip(source) == (0.0, 6.0) else None
        if not only_user(shifted, aten.add.Tensor) or _scalar(module, shifted.args[1]) != 3.0 or shifted.kwargs:
            continue
        with module.graph.inserting_before(node):
            replace_node(node, insert(module, aten.hardsigmoid.default, (shifted.args[0],)))
        count += 1
    return count


def fuse_hard_swish(module: GraphModule) -> int:
    """Replace x · hard sigmoid(x) by hard swish (Howard et al., 2019)."""
    count = 0
    for node in calls(module, aten.mul.Tensor):
        for x, gate in (node.args[:2], node.args[1::-1]):
            if only_user(gate, aten.hardsigmoid.default) and gate.args[0] is x:
                with module.graph.inserting_before(node):
                    replace_node(node, insert(module, aten.hardswish.default, (x,)))
                count += 1
                break
    return count


def fold_hard_sigmoid(module: GraphModule) -> int:
    """Turn hard sigmoid after a convolution into a clip to [0, 1]: scale the weights by 1/6, add 1/2 to the bias.

    A clip costs nothing where the runtime clamps a convolution's outputs; hard sigmoid is add, clip and divide.
    """
    count = 0
    for node in calls(module, aten.hardsigmoid.default):
        source = node.args[0]
        conv = read_conv(module, source)
        if conv is None or not only_user(source, aten.conv2d.default):
            continue
        sixth = torch.full_like(conv.weight[:, 0, 0, 0], 1.0 / 6.0)
        scaled = write_conv(module, source.args[0], conv.scaled(sixth, torch.full_like(sixth, 0.5)), node)
        with module.graph.inserting_before(node):
            replace_node(node, insert(module, aten.hardtanh.default, (scaled, 0.0, 1.0)))
        count += 1
    return count


def pool_globally(module: GraphModule) -> int:
    """Replace average pooling over the whole map by a mean over height and width."""
    count = 0
    for node in calls(module, aten.adaptive_avg_pool2d.default, aten.avg_pool2d.default):
        if shape(node)[-2:] != (1, 1) or not _covers(node):
            continue
        with module.graph.inserting_before(node):
            replace_node(node, insert(module, aten.mean.dim, (node.args[0], [-1, -2], True)))
        count += 1
    return count


def _covers(node: Any) -> bool:
    if node.target is aten.adaptive_avg_pool2d.default:
        return True
    kernel, padding = argument(node, 1, "kernel_size"), argument(node, 3, "padding", 0)
    sizes = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
    zero = not any(padding) if isinstance(padding, (list, tuple)) else padding == 0
    return sizes == shape(node.args[0])[-2:] and zero and argument(node, 6, "divisor_override") is None


def _clip(node: Any) -> tuple[float, float] | None:
    if not isinstance(node, Node):
        return None
    if node.target in _CLIPS:
        return _CLIPS[node.target]
    if node.target in (aten.clamp.default, aten.hardtanh.default):
        low, high = argument(node, 1, "min", None), argument(node, 2, "max", None)
        return (float(low), float(high)) if isinstance(low, (int, float)) and isinstance(high, (int, float)) else None
    return None


def _scalar(module: GraphModule, value: Any) -> float | None:
    if isinstance(value, (int, float)):
        return float(value)
    tensor = constant(module, value)
    return float(tensor) if tensor is not None and tensor.numel() == 1 else None
