"""Move zero padding into the convolution that reads it, and drop taps that read nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch.fx import GraphModule

from convert.passes._rewrite import Conv, argument, aten, calls, only_user, read_conv, replace_node, shape, write_conv


def fuse_padding(module: GraphModule) -> int:
    """Fold a symmetric zero padding of height and width into the convolution after it."""
    count = 0
    for node in calls(module, aten.conv2d.default):
        source, conv = node.args[0], read_conv(module, node)
        if conv is None or not (only_user(source, aten.pad.default) or only_user(source, aten.constant_pad_nd.default)):
            continue
        border = _symmetric_zeros(source)
        if border is None:
            continue
        padding = conv.padding[0] + border[0], conv.padding[1] + border[1]
        replace_node(node, write_conv(module, source.args[0], replace(conv, padding=padding), node))
        count += 1
    return count


def _symmetric_zeros(node: Any) -> tuple[int, int] | None:
    """Return (rows, columns) of zeros on each side, or None."""
    sides = list(argument(node, 1, "pad"))
    plain = node.target is aten.constant_pad_nd.default
    mode, value = (
        "constant" if plain else argument(node, 2, "mode", "constant"),
        argument(node, 2 if plain else 3, "value", 0),
    )
    if mode != "constant" or value not in (None, 0) or any(sides[4:]):
        return None
    left, right, top, bottom = (sides + [0] * 4)[:4]
    return (top, left) if left == right and top == bottom and min(left, top) >= 0 else None


def trim_padding_taps(module: GraphModule) -> int:
    """Drop the outer rows and columns of a kernel that only ever meet padding.

    A 3×3 kernel dilated by 24 on a 16×16 map reads the map with its centre alone: it is a 1×1 convolution.
    """
    count = 0
    for node in calls(module, aten.conv2d.default):
        conv = read_conv(module, node)
        if conv is None:
            continue
        trimmed = _trim(conv, shape(node.args[0])[2:], shape(node)[2:])
        if trimmed is conv:
            continue
        replace_node(node, write_conv(module, node.args[0], trimmed, node))
        count += 1
    return count


def _trim(conv: Conv, size_in: tuple[int, ...], size_out: tuple[int, ...]) -> Conv:
    for axis in (0, 1):
        stride, padding, dilation = conv.stride[axis], conv.padding[axis], conv.dilation[axis]
        reads = [
            any(0 <= o * stride + tap * dilation - padding < size_in[axis] for o in range(size_out[axis]))
            for tap in range(conv.kernel[axis])
        ]
        if all(reads) or not any(reads):
            continue
        first, last = reads.index(True), len(reads) - 1 - reads[::-1].index(True)
        left = padding - first * dilation
        length = (size_in[axis] + 2 * left - dilation * (last - first) - 1) // stride + 1
        if left < 0 or length != size_out[axis]:
            continue  # what is left would need different padding on the two sides
        weight = conv.weight.narrow(2 + axis, first, last - first + 1)
        paddings = (left, conv.padding[1]) if axis == 0 else (conv.padding[0], left)
        conv = replace(conv, weight=weight, padding=paddings)
    return conv
