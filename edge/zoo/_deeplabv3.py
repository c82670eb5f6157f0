"""DeepLabV3 (arXiv:1706.05587) over any backbone that gives shallow and deep features.

Module names give the state-dict keys of torchvision's published checkpoints, so that those load strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_RATES = (12, 24, 36)  # of the atrous branches, for an output stride of 8 as in the paper; torchvision keeps them at 16


def resize_like(x: Tensor, like: Tensor) -> Tensor:
    """Resize (N, C, h, w) bilinearly to the height and width of `like`."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def align_like(x: Tensor, like: Tensor) -> Tensor:
    """Resize (N, C, h, w) bilinearly to the height and width of `like`, with the corner pixels on each other."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


def _conv_norm_relu(channels: int, out: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    padding = (kernel - 1) // 2 * dilation
    convolution = nn.Conv2d(channels, out, kernel, padding=padding, dilation=dilation, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU()]


class _PooledBranch(nn.Sequential):
    """Spread the global mean over the whole map."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *_conv_norm_relu(channels, out, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean = x
        for layer in self:
            mean = layer(mean)
        return resize_like(mean, x)


class _AtrousPyramid(nn.Module):
    """Look at the features at several dilation rates and fuse what is seen."""

    def __init__(self, channels: int, width: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Sequential(*_conv_norm_relu(channels, width, 1)),
                *(nn.Sequential(*_conv_norm_relu(channels, width, 3, rate)) for rate in rates),
                _PooledBranch(channels, width),
            ]
        )
        self.project = nn.Sequential(*_conv_norm_relu(len(self.convs) * width, width, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        fused: Tensor = self.project(torch.cat([branch(x) for branch in self.convs], dim=1))
        return fused


class DeepLabV3(nn.Module):
    """Segment (N, 3, H, W) pictures into class logits {"out": (N, classes, H, W)}; in training also "aux".

    `backbone` returns shallow features of `shallow` channels and deep features of `deep` channels.
    """

    def __init__(self, backbone: nn.Module, shallow: int, deep: int, classes: int = 21, width: int = 256) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Sequential(
            _AtrousPyramid(deep, width, _RATES), *_conv_norm_relu(width, width, 3), nn.Conv2d(width, classes, 1)
        )
        narrow = shallow // 4
        self.aux_classifier = nn.Sequential(
            *_conv_norm_relu(shallow, narrow, 3), nn.Dropout(0.1), nn.Conv2d(narrow, classes, 1)
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        shallow, deep = self.backbone(image)
        outputs = {"out": resize_like(self.classifier(deep), image)}
        if self.training:
            outputs["aux"] = resize_like(self.aux_classifier(shallow), image)
        return outputs


class LiteDeepLabV3(nn.Module):
    """Segment (N, 3, H, W) pictures into class logits {"out": (N, classes, H, W)}, with the pyramid's ends alone.

    As published for MobileNetV2 (arXiv:1801.04381, section 6.3): a 1 × 1 convolution and the global mean, no atrous
    branch, no further convolution. `backbone` returns its deep features, of `deep` channels, last.
    """

    def __init__(self, backbone: nn.Module, deep: int, classes: int = 21, width: int = 256) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Sequential(_AtrousPyramid(deep, width, ()), nn.Conv2d(width, classes, 1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        deep = self.backbone(image)[-1]
        return {"out": align_like(self.classifier(deep), image)}
