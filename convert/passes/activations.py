"""Give activations the form that runtimes fuse."""

from __future__ import annotations

import math
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

_CLIPPING = (aten.clamp.default, aten.hardtanh.default)
_CLIPS = {aten.relu6.default: (0.0, 6.0)}


def fuse_hard_sigmoid(module: GraphModule) -> int:
    """Replace clip(x + 3, 0, 6) / 6, and clip(x / 6 + 1/2, 0, 1), by hard sigmoid."""
    count = 0
    for node in calls(module, aten.div.Tensor, aten.mul.Tensor, *_CLIPPING):
        x = _hard_sigmoid_input(module, node)
        if x is None:
            continue
        with module.graph.inserting_before(node):
            replace_node(node, insert(module, aten.hardsigmoid.default, (x,)))
        count += 1
    return count


def fuse_hard_swish(module: GraphModule) -> int:
    """Replace x · hard sigmoid(x), and x · clip(x + 3, 0, 6) / 6, by hard swish (Howard et al., 2019)."""
    count = 0
    for node in calls(module, aten.mul.Tensor, aten.div.Tensor):
        x = _hard_swish_input(module, node)
        if x is None:
            continue
        with module.graph.inserting_before(node):
            replace_node(node, insert(module, aten.hardswish.default, (x,)))
        count += 1
    return count


def flatten_gates(module: GraphModule) -> int:
    """Take the sigmoid of a convolution's single pixel, (N, C, 1, 1), as one of (N, C): a squeeze-and-excite gate.

    Qualcomm's compiler (QNN 2.49) makes one operation of the convolution and its sigmoid, and in float16 that one is up
    to 2 % off where the two are right to 0.1 %. It leaves them alone with a reshape between them, which costs nothing.
    """
    count = 0
    for node in calls(module, aten.sigmoid.default):
        source = node.args[0]
        if not only_user(source, aten.conv2d.default) or shape(source)[2:] != (1, 1):
            continue
        with module.graph.inserting_before(node):
            flat = insert(module, aten.reshape.default, (source, list(shape(source)[:2])))
            gate = insert(module, aten.sigmoid.default, (flat,))
            replace_node(node, insert(module, aten.reshape.default, (gate, list(shape(source)))))
        count += 1
    return count


def flatten_softmax(module: GraphModule) -> int:
    """Take a softmax over the last of four axes as one of rows, (N·C·H, W).

    XNNPACK's delegate (ExecuTorch 1.5.1) keeps what comes from a convolution with its channels last, and there a
    softmax goes over the channels, whatever axis it names.
    """
    count = 0
    for node in calls(module, aten.softmax.int):
        source, axis = node.args[0], node.args[1]
        if len(shape(source)) != 4 or axis not in (-1, 3):
            continue
        *outer, last = shape(source)
        with module.graph.inserting_before(node):
            rows = insert(module, aten.reshape.default, (source, [math.prod(outer), last]))
            weights = insert(module, aten.softmax.int, (rows, -1))
            replace_node(node, insert(module, aten.reshape.default, (weights, list(shape(source)))))
        count += 1
    return count


def _hard_sigmoid_input(module: GraphModule, node: Any) -> Any:
    """Return the x of a hard sigmoid written out, or None."""
    scaled = _sixth(module, node)
    if scaled is not None:
        return _shifted(module, scaled)
    if _clip(node) != (0.0, 1.0):
        return None
    total = node.args[0]
    if not only_user(total, aten.add.Tensor) or total.kwargs or not _is(module, total.args[1], 0.5):
        return None
    return _sixth(module, total.args[0]) if len(total.args[0].users) == 1 else None


def _hard_swish_input(module: GraphModule, node: Any) -> Any:
    """Return the x of a hard swish written out, or None."""
    product = _sixth(module, node)
    if product is not None and not only_user(product, aten.mul.Tensor):
        return None
    for x, gate in ((product or node).args[:2], (product or node).args[1::-1]):
        if product is None and only_user(gate, aten.hardsigmoid.default) and gate.args[0] is x:
            return x
        if product is not None and isinstance(x, Node) and _shifted(module, gate) is x:
            return x
    return None


def _sixth(module: GraphModule, node: Any) -> Any:
    """Return y of y / 6 or y · 1/6, or None."""
    if not isinstance(node, Node) or node.target not in (aten.div.Tensor, aten.mul.Tensor):
        return None
    wanted = 6.0 if node.target is aten.div.Tensor else 1.0 / 6.0
    return node.args[0] if _is(module, node.args[1], wanted) and isinstance(node.args[0], Node) else None


def _shifted(module: GraphModule, node: Any) -> Any:
    """Return x of clip(x + 3, 0, 6) if one operator reads it, or None."""
    if not isinstance(node, Node) or len(node.users) != 1 or _clip(node) != (0.0, 6.0):
        return None
    total: Any = node.args[0]
    plain = only_user(total, aten.add.Tensor) and not total.kwargs and _is(module, total.args[1], 3.0)
    return total.args[0] if plain else None


def _is(module: GraphModule, value: Any, wanted: float) -> bool:
    found = _scalar(module, value)
    return found is not None and abs(found - wanted) <= 1e-6


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
    if node.target in _CLIPPING:
        low, high = argument(node, 1, "min", None), argument(node, 2, "max", None)
        return (float(low), float(high)) if isinstance(low, (int, float)) and isinstance(high, (int, float)) else None
    return None


def _scalar(module: GraphModule, value: Any) -> float | None:
    if isinstance(value, (int, float)):
        return float(value)
    tensor = constant(module, value)
    return float(tensor) if tensor is not None and tensor.numel() == 1 else None
