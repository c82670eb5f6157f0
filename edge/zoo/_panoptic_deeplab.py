"""Panoptic-DeepLab (arXiv:1911.10194): classes, centres of things and every pixel's way to its centre.

Module names give the keys of detectron2's projects/Panoptic-DeepLab, with depthwise separable convolutions. Channels
are those of deeplab2's configs/cityscapes/panoptic_deeplab/mobilenet_v3_{large,small}_os16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._deeplabv3 import resize_like

_RATES = (6, 12, 18)  # of the atrous branches at output stride 16
_LEVELS = ("res2", "res3", "res5")  # what the backbone returns: features at stride 4, 8 and 16


class ConvNorm(nn.Conv2d):
    """Convolve, normalise, clip below 0; padded to the same size."""

    def __init__(self, channels: int, out: int, kernel: int, *, dilation: int = 1, groups: int = 1) -> None:
        padding = (kernel - 1) // 2 * dilation
        super().__init__(channels, out, kernel, padding=padding, dilation=dilation, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(super().forward(x)))


class Separable(nn.Module):
    """Convolve every channel by itself, then mix the channels."""

    def __init__(self, channels: int, out: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvNorm(channels, channels, kernel, dilation=dilation, groups=channels)
        self.pointwise = ConvNorm(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return y


class _Pyramid(nn.Module):
    """Look at the features at several dilation rates and as a whole, and fuse what is seen."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, width, 1))  # one pixel is not normalised
        branches = (Separable(channels, width, 3, rate) for rate in _RATES)
        self.convs = nn.ModuleList([ConvNorm(channels, width, 1), *branches, whole])
        self.project = ConvNorm(len(self.convs) * width, width, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        *seen, whole = (branch(x) for branch in self.convs)
        fused: Tensor = self.dropout(self.project(torch.cat([*seen, resize_like(F.relu(whole), x)], dim=1)))
        return fused


def wide_head(channels: int, out: int) -> nn.Module:
    """Return the layer before a prediction: one separable 5 × 5 convolution instead of two of 3 × 3."""
    return Separable(channels, out, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Sizes of a decoder with its heads: channels of the pyramid, of the decoder and of each head's predictions.

    `projected` are the channels that features at stride 4 and 8 are brought to. `before` builds what lies before a
    head's prediction, from channels in and out, where it is not the separable 5 × 5 convolution.
    """

    pyramid: int = 256
    decoder: int
    projected: tuple[int, int]
    head: int
    predictions: Mapping[str, int]  # by the head's prefix, which ends in an underscore unless it is empty
    before: Mapping[str, Callable[[int, int], nn.Module]] = field(default_factory=dict)


class _Decoder(nn.ModuleDict):
    """Bring deep features, by way of those at stride 8, to stride 4: (N, channels, H/4, W/4)."""

    def __init__(self, channels: tuple[int, int, int], branch: Branch) -> None:
        inputs = dict(zip(_LEVELS, channels, strict=True))
        pyramid = _Pyramid(inputs["res5"], branch.pyramid)
        super().__init__({"res5": nn.ModuleDict({"project_conv": pyramid})})
        width = branch.pyramid
        for level, projected in zip(("res3", "res2"), reversed(branch.projected), strict=True):
            self[level] = nn.ModuleDict(
                {
                    "project_conv": ConvNorm(inputs[level], projected, 1),
                    "fuse_conv": Separable(projected + width, branch.decoder, 5),
                }
            )
            width = branch.decoder

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        low, middle, deep = features
        x: Tensor = self.get_submodule("res5.project_conv")(deep)
        for level, feature in (("res3", middle), ("res2", low)):
            own = self.get_submodule(f"{level}.project_conv")(feature)
            x = self.get_submodule(f"{level}.fuse_conv")(torch.cat([own, resize_like(x, own)], dim=1))
        return x


class Predictor(nn.Module):
    """Return every head's prediction (N, predictions, H/4, W/4) of one decoder, by the head's prefix."""

    def __init__(self, channels: tuple[int, int, int], branch: Branch) -> None:
        super().__init__()
        self.decoder = _Decoder(channels, branch)
        self._prefixes = tuple(branch.predictions)
        for prefix, predictions in branch.predictions.items():
            before = branch.before.get(prefix, wide_head)
            self.add_module(f"{prefix}head", before(branch.decoder, branch.head))
            self.add_module(f"{prefix}predictor", nn.Conv2d(branch.head, predictions, 1))

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        x = self.decoder(features)
        return {
            prefix: self.get_submodule(f"{prefix}predictor")(self.get_submodule(f"{prefix}head")(x))
            for prefix in self._prefixes
        }


def semantic_branch(classes: int) -> Branch:
    """Return the published sizes of the branch for classes."""
    return Branch(decoder=256, projected=(32, 64), head=256, predictions={"": classes})


def instance_branch(**before: Callable[[int, int], nn.Module]) -> Branch:
    """Return the published sizes of the branch for centres and offsets; `before` is as in Branch."""
    return Branch(decoder=128, projected=(16, 32), head=32, predictions={"center_": 1, "offset_": 2}, before=before)


class PanopticDeepLab(nn.Module):
    """Segment (N, 3, H, W) pictures by classes and by centres of things, at stride 4.

    Returns "semantic_logits" (N, classes, H/4, W/4), "centre_heatmap" (N, 1, H/4, W/4) and "offsets" (N, 2, H/4, W/4):
    every pixel's way to its thing's centre, y then x, in units of 4 pixels. `backbone` returns features of `channels`
    at strides 4, 8 and 16.
    """

    def __init__(self, backbone: nn.Module, channels: tuple[int, int, int], semantic: Branch, instance: Branch) -> None:
        super().__init__()
        self.backbone = backbone
        self.sem_seg_head = Predictor(channels, semantic)
        self.ins_embed_head = Predictor(channels, instance)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.backbone(image)
        instances = self.ins_embed_head(features)
        return {
            "semantic_logits": self.sem_seg_head(features)[""],
            "centre_heatmap": instances["center_"],
            "offsets": instances["offset_"],
        }
