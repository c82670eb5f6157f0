"""DeepLab's head of separable convolutions, whose decoder adds the shallow features to the deep ones.

Chen et al., DeepLabv3+ (arXiv:1802.02611), in the form of tensorflow/models: official/vision/modeling/layers/deeplab.py
(version v1 of the pyramid) and the fusion `deeplabv3plus_sum_to_merge` of its heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge.zoo._deeplabv3 import resize_like

EPSILON = 1e-3


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm with Keras's epsilon and momentum."""
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=0.01)


def _mixed(channels: int, out: int) -> list[nn.Module]:
    """Return a 1×1 convolution, its norm and ReLU."""
    return [nn.Conv2d(channels, out, 1, bias=False), batch_norm(out), nn.ReLU()]


def _spatial(channels: int, kernel: int, dilation: int = 1) -> nn.Conv2d:
    """Return a convolution of every channel by itself that keeps the size."""
    padding = kernel // 2 * dilation
    return nn.Conv2d(channels, channels, kernel, padding=padding, dilation=dilation, groups=channels, bias=False)


class SeparablePyramid(nn.Module):
    """Look at (N, channels, H, W) at several dilation rates and as a whole; return (N, width, H, W)."""

    def __init__(self, channels: int, width: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.point = nn.Sequential(*_mixed(channels, width))
        self.atrous = nn.ModuleList(
            [nn.Sequential(_spatial(channels, 3, rate), *_mixed(channels, width)) for rate in rates]
        )
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_mixed(channels, width))
        self.project = nn.Sequential(*_mixed((2 + len(rates)) * width, width))

    def forward(self, x: Tensor) -> Tensor:
        whole = resize_like(self.pooled(x), x)
        fused: Tensor = self.project(torch.cat([self.point(x), *(branch(x) for branch in self.atrous), whole], dim=1))
        return fused


class FusedHead(nn.Module):
    """Add projected shallow features to resized deep ones, mix them, and predict (N, out, h, w) at the shallow size."""

    def __init__(self, shallow: int, width: int, out: int, *, kernel: int, layers: int = 2) -> None:
        super().__init__()
        self.low = nn.Sequential(*_mixed(shallow, width))
        blocks = ([_spatial(width, kernel), batch_norm(width), nn.ReLU(), *_mixed(width, width)] for _ in range(layers))
        self.mix = nn.Sequential(*(layer for block in blocks for layer in block))
        self.predict = nn.Conv2d(width, out, 1)

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        low = self.low(shallow)
        predicted: Tensor = self.predict(self.mix(resize_like(deep, low) + low))
        return predicted
