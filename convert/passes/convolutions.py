"""Shapes of convolution that kernels run faster, computing the same."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.fx import GraphModule

from convert.passes._rewrite import Conv, aten, calls, insert, only_user, read_conv, replace_node, shape, write_conv


def split_single_output(module: GraphModule) -> int:
    """Compute a k×k convolution to one channel as a depthwise convolution and a sum over channels.

    Matrix kernels compute 8 to 16 output channels at once and throw all but one away; depthwise kernels are
    vectorised over the input's channels.
    """
    count = 0
    for node in calls(module, aten.conv2d.default):
        conv = read_conv(module, node)
        if conv is None or conv.groups != 1 or conv.weight.shape[0] != 1 or conv.kernel == (1, 1):
            continue
        channels, pixels = conv.weight.shape[1], shape(node)[2] * shape(node)[3]
        if channels < 2 or pixels < 256:
            continue  # too small for the second pass over the pixels to pay
        depthwise = replace(conv, weight=conv.weight.permute(1, 0, 2, 3), bias=None, groups=channels)
        total = Conv(torch.ones_like(conv.weight[:, :, :1, :1]), conv.bias)
        middle = write_conv(module, node.args[0], depthwise, node)
        replace_node(node, write_conv(module, middle, total, node))
        count += 1
    return count


def project_before_resize(module: GraphModule) -> int:
    """Swap bilinear upsampling and the 1×1 convolution after it that does not add channels.

    Both are linear and the weights of the interpolation sum to one, so the bias passes through unchanged.
    """
    count = 0
    for node in calls(module, aten.conv2d.default):
        resize, conv = node.args[0], read_conv(module, node)
        if conv is None or not only_user(resize, aten.upsample_bilinear2d.vec):
            continue
        plain = conv.kernel == (1, 1) and conv.stride == (1, 1) and conv.padding == (0, 0) and conv.groups == 1
        smaller = shape(resize.args[0])[2] * shape(resize.args[0])[3] < shape(resize)[2] * shape(resize)[3]
        if not plain or not smaller or conv.weight.shape[0] > conv.weight.shape[1]:
            continue
        projected = write_conv(module, resize.args[0], conv, node)
        with module.graph.inserting_before(node):
            swapped = insert(module, aten.upsample_bilinear2d.vec, (projected, *resize.args[1:]))
            swapped.kwargs = resize.kwargs
        replace_node(node, swapped)
        count += 1
    return count
