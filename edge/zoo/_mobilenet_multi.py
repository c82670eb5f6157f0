"""MobileNet multi-hardware AVG (arXiv:2008.08178) in its form for segmentation, with output stride 16.

The blocks are `MobileNetMultiAVGSeg` of tensorflow/models, official/vision/modeling/backbones/mobilenet.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from edge.zoo._same import SameConv2d
from edge.zoo._separable_head import batch_norm

_STEM = 32
DEEP_CHANNELS = 448
SHALLOW_CHANNELS = 64


@dataclass(frozen=True, slots=True)
class _Block:
    """One inverted residual; it is expanded by so many times its input's channels."""

    kernel: int
    out: int
    expansion: int
    stride: int = 1
    dilation: int = 1


# From the stride that would lead to 32 on, blocks are dilated instead; as published, that one itself too.
_BLOCKS = (
    _Block(3, 32, 3, stride=2),
    _Block(3, 32, 2),
    _Block(5, 64, 5, stride=2),
    _Block(3, 64, 3),
    _Block(3, 64, 2),
    _Block(3, 64, 3),
    _Block(5, 128, 6, stride=2),
    _Block(3, 128, 3),
    _Block(3, 128, 3),
    _Block(3, 128, 3),
    _Block(3, 160, 6),
    _Block(3, 160, 4),
    _Block(3, 192, 6, dilation=2),
    _Block(5, 96, 2, dilation=2),
    _Block(5, 96, 4, dilation=2),
    _Block(5, 96, 4, dilation=2),
)
_SHALLOW = 6  # blocks up to the features at stride 8


class _InvertedResidual(nn.Module):
    def __init__(self, channels: int, block: _Block) -> None:
        super().__init__()
        wide = channels * block.expansion
        spatial = SameConv2d(wide, wide, block.kernel, stride=block.stride, dilation=block.dilation, groups=wide)
        self.expand = nn.Sequential(nn.Conv2d(channels, wide, 1, bias=False), batch_norm(wide), nn.ReLU())
        self.depthwise = nn.Sequential(spatial, batch_norm(wide), nn.ReLU())
        self.project = nn.Sequential(nn.Conv2d(wide, block.out, 1, bias=False), batch_norm(block.out))
        self._adds = block.stride == 1 and channels == block.out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self._adds else y


class Backbone(nn.Module):
    """Return shallow features at stride 8 and deep ones at stride 16 of (N, 3, H, W) pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SameConv2d(3, _STEM, 3, stride=2), batch_norm(_STEM), nn.ReLU())
        inputs = (_STEM, *(block.out for block in _BLOCKS))
        self.blocks = nn.ModuleList(
            [_InvertedResidual(channels, block) for channels, block in zip(inputs, _BLOCKS, strict=False)]
        )
        deep = nn.Conv2d(inputs[-1], DEEP_CHANNELS, 1, bias=False)
        self.deep = nn.Sequential(deep, batch_norm(DEEP_CHANNELS), nn.ReLU())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(image)
        shallow = x
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            shallow = x if number == _SHALLOW else shallow
        return shallow, self.deep(x)
