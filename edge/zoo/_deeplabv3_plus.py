"""DeepLabV3+ (arXiv:1802.02611) on MobileNetV2.

Module names give the state-dict keys of github.com/jfzhang95/pytorch-deeplab-xception's checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._deeplabv3 import align_like
from edge.zoo._mobilenet_v2 import DEEP_CHANNELS, LAST_LOW, LOW_CHANNELS, STEM, Residual, residuals

_WIDTH = 256
_RATES = (6, 12, 18)  # of the atrous branches at output stride 16
_LOW_WIDTH = 48
_BRANCHES = 2 + len(_RATES)
_REACH = 1  # of a 3 × 3 kernel


def _conv_norm(
    channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1, dilation: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, out, kernel, stride, dilation=dilation, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out)]


class _PaddedResidual(nn.Module):
    """Inverted residual whose zeros go around its input, not around the wide features.

    Around the wide features there is then what normalisation and activation make of zero: published weights expect it.
    """

    def __init__(self, residual: Residual) -> None:
        super().__init__()
        channels, wide, out = residual.channels, residual.expanded, residual.out
        layers = [*_conv_norm(channels, wide, 1), nn.ReLU6()] if wide != channels else []
        layers += [*_conv_norm(wide, wide, 3, residual.stride, wide, residual.dilation), nn.ReLU6()]
        self.conv = nn.Sequential(*layers, *_conv_norm(wide, out, 1))
        self._adds, self._margin = residual.adds, _REACH * residual.dilation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(F.pad(x, [self._margin] * 4))
        return x + y if self._adds else y


class _Backbone(nn.Module):
    """Return features at stride 4 (N, 24, H/4, W/4) and at stride 16 (N, 320, H/16, W/16)."""

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, STEM, 3, 2, 1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU6())
        self.features = nn.Sequential(stem, *(_PaddedResidual(residual) for residual in _residuals()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = x
        for index, layer in enumerate(self.features):
            x = layer(x)
            low = x if index == LAST_LOW else low
        return low, x


def _residuals() -> tuple[Residual, ...]:
    """Return MobileNetV2's residuals at stride 16; all of the stage that loses its stride keep their dilation of 1."""
    return tuple(
        Residual(own.channels, own.expanded, own.out, own.stride, 1 + (own.out == DEEP_CHANNELS))
        for own in residuals(16)
    )


class _Atrous(nn.Module):
    def __init__(self, channels: int, rate: int) -> None:
        super().__init__()
        kernel, dilation = (3, rate) if rate else (1, 1)
        self.atrous_conv = nn.Conv2d(channels, _WIDTH, kernel, padding=rate, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.atrous_conv(x)))


class _Pyramid(nn.Module):
    """Look at the features at several dilation rates and as a whole, and fuse what is seen."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.aspp1, self.aspp2, self.aspp3, self.aspp4 = (_Atrous(channels, rate) for rate in (0, *_RATES))
        self.global_avg_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_conv_norm(channels, _WIDTH, 1), nn.ReLU())
        self.conv1, self.bn1 = _conv_norm(_BRANCHES * _WIDTH, _WIDTH, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        seen = [branch(x) for branch in (self.aspp1, self.aspp2, self.aspp3, self.aspp4)]
        seen.append(align_like(self.global_avg_pool(x), x))
        fused: Tensor = self.dropout(F.relu(self.bn1(self.conv1(torch.cat(seen, dim=1)))))
        return fused


class _Decoder(nn.Module):
    """Refine deep features (N, 256, h, w) by low-level ones (N, 24, H/4, W/4) into logits (N, classes, H/4, W/4)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv_norm(LOW_CHANNELS, _LOW_WIDTH, 1)
        self.last_conv = nn.Sequential(
            nn.Conv2d(_WIDTH + _LOW_WIDTH, _WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(_WIDTH), nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(_WIDTH), nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(_WIDTH, classes, 1),
        )  # fmt: skip

    def forward(self, deep: Tensor, low: Tensor) -> Tensor:
        narrow = F.relu(self.bn1(self.conv1(low)))
        logits: Tensor = self.last_conv(torch.cat([align_like(deep, narrow), narrow], dim=1))
        return logits


class DeepLabV3Plus(nn.Module):
    """Segment (N, 3, H, W) pictures into class logits {"out": (N, classes, H, W)}."""

    def __init__(self, classes: int = 21) -> None:
        super().__init__()
        self.backbone = _Backbone()
        self.aspp = _Pyramid(DEEP_CHANNELS)
        self.decoder = _Decoder(classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        low, deep = self.backbone(image)
        return {"out": align_like(self.decoder(self.aspp(deep), low), image)}
