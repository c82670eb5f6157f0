"""Convolution and pooling with TensorFlow's SAME padding: out = ⌈in / stride⌉, the odd pixel of padding at the end.

Source: the notes on padding of tf.nn; average pooling leaves the padding out of its means.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Return how many pixels are padded before and after an axis of `size` pixels."""
    span = dilation * (kernel - 1) + 1
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """Convolve (N, C, H, W) with SAME padding, which for strides depends on the size; any groups and dilation."""

    def __init__(
        self, channels: int, out: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1,
        bias: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(channels, out, kernel, stride=stride, dilation=dilation, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        axes = zip(x.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True)
        rows, columns = (same_padding(*axis) for axis in axes)
        if rows[0] == rows[1] and columns[0] == columns[1]:
            return F.conv2d(x, self.weight, self.bias, self.stride, (rows[0], columns[0]), self.dilation, self.groups)
        padded = F.pad(x, (*columns, *rows))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def same_average(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Average windows of (N, C, H, W) that may reach over the edge, over the pixels inside."""
    rows, columns = (same_padding(size, kernel, stride) for size in x.shape[2:])
    if rows[0] == rows[1] and columns[0] == columns[1]:
        return F.avg_pool2d(x, kernel, stride, (rows[0], columns[0]), count_include_pad=False)
    means = F.avg_pool2d(F.pad(x, (*columns, *rows)), kernel, stride)  # over padding, too
    down, across = (_shares(size, kernel, stride, x) for size in x.shape[2:])
    return means * down[:, None] * across


def _shares(size: int, kernel: int, stride: int, like: Tensor) -> Tensor:
    """Return the pixels of a window as a multiple of those inside, for every window along an axis."""
    before, _ = same_padding(size, kernel, stride)
    starts = range(-before, size - before, stride)
    inside = [min(start + kernel, size) - max(start, 0) for start in starts]
    return torch.tensor([kernel / count for count in inside], dtype=like.dtype, device=like.device)
