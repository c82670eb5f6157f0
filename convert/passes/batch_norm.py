"""Fold evaluation-mode batch normalisation, y = x · scale + shift a channel, into the linear operators around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from convert.passes._rewrite import (
    Conv,
    add_constant,
    argument,
    aten,
    calls,
    constant,
    insert,
    read_conv,
    replace_node,
    shape,
    write_conv,
)

_OUTPUT_FIRST = frozenset(
    {aten.conv1d.default, aten.conv2d.default, aten.conv2d.padding, aten.conv3d.default, aten.linear.default}
)  # weights are (O, …)
_TRANSPOSED = aten.conv_transpose2d.input  # weights are (I, O / groups, kH, kW)


def fold_batch_norm(module: GraphModule) -> int:
    """Fold into the convolution or product before it, else into the one after it, where nothing else reads between."""
    count = 0
    for node in calls(module, aten.batch_norm.default):
        affine = _affine(module, node)
        if affine is None:
            continue
        count += _fold_before(module, node, *affine) or _fold_after(module, node, *affine)
    return count


def batch_norm_by_convolution(module: GraphModule) -> int:
    """Write what could not be folded as a depthwise 1×1 convolution, which every backend quantises and fuses."""
    count = 0
    for node in calls(module, aten.batch_norm.default):
        affine = _affine(module, node)
        if affine is None or len(shape(node)) != 4:
            continue
        scale, shift = affine
        depthwise = Conv(scale.reshape(-1, 1, 1, 1), shift, groups=len(scale))
        replace_node(node, write_conv(module, node.args[0], depthwise, node))
        count += 1
    return count


def _affine(module: GraphModule, node: Any) -> tuple[Tensor, Tensor] | None:
    """Return (scale, shift): (x − mean) / √(var + eps) · weight + bias (Ioffe and Szegedy, 2015)."""
    mean, variance = constant(module, node.args[3]), constant(module, node.args[4])
    if mean is None or variance is None or argument(node, 5, "training"):
        return None
    weight, bias = constant(module, node.args[1]), constant(module, node.args[2])
    scale = torch.rsqrt(variance + argument(node, 7, "eps")) * (1.0 if weight is None else weight)
    return scale, (0.0 if bias is None else bias) - mean * scale


def _fold_before(module: GraphModule, node: Any, scale: Tensor, shift: Tensor) -> int:
    source = node.args[0]
    if not isinstance(source, Node) or len(source.users) != 1:
        return 0
    weight, given = (constant(module, argument(source, i, name)) for i, name in ((1, "weight"), (2, "bias")))
    if source.target is _TRANSPOSED:
        scaled: Callable[[Tensor], Tensor] = lambda w: _scale_transposed(w, scale, argument(source, 6, "groups", 1))  # noqa: E731
    elif source.target in _OUTPUT_FIRST and (source.target is not aten.linear.default or len(shape(source)) == 2):
        scaled = lambda w: w * scale.reshape(-1, *[1] * (w.dim() - 1))  # noqa: E731
    else:
        return 0
    if weight is None or (given is None and argument(source, 2, "bias") is not None):
        return 0
    bias = shift if given is None else given * scale + shift
    with module.graph.inserting_before(node):
        constants = add_constant(module, scaled(weight)), add_constant(module, bias)
        folded = insert(module, source.target, (source.args[0], *constants, *source.args[3:]))
    folded.kwargs = {name: value for name, value in source.kwargs.items() if name not in ("weight", "bias")}
    replace_node(node, folded)
    return 1


def _scale_transposed(weight: Tensor, scale: Tensor, groups: int) -> Tensor:
    grouped = weight.reshape(groups, -1, *weight.shape[1:])  # (groups, I / groups, O / groups, kH, kW)
    return (grouped * scale.reshape(groups, 1, -1, 1, 1)).reshape(weight.shape)


def _fold_after(module: GraphModule, node: Any, scale: Tensor, shift: Tensor) -> int:
    """Scale the inputs of the convolution that alone reads a batch normalisation, if it pads nothing with zeros."""
    if len(node.users) != 1:
        return 0
    [reader] = node.users
    conv = read_conv(module, reader)
    if conv is None or any(conv.padding) or reader.args[0] is not node:
        return 0
    groups = conv.groups
    weight = conv.weight.reshape(groups, -1, *conv.weight.shape[1:])  # (groups, O / groups, I / groups, kH, kW)
    bias = torch.einsum("goikl,gi->go", weight, shift.reshape(groups, -1)).reshape(-1)
    scaled = (weight * scale.reshape(groups, 1, -1, 1, 1)).reshape(conv.weight.shape)
    folded = replace(conv, weight=scaled, bias=bias if conv.bias is None else conv.bias + bias)
    replace_node(reader, write_conv(module, node.args[0], folded, reader))
    module.graph.erase_node(node)
    return 1
