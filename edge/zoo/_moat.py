"""MOAT (arXiv:2210.01820): inverted residuals, and in the deeper stages global attention after each of them.

The sizes are those of google-research/deeplab2, model/pixel_encoder/moat.py, whose variable names the keys follow;
`edge.zoo._moat_tf` reads its checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._same import SameConv2d, same_average

EXPANSION = 4
HEAD = 32  # channels of an attention head
SQUEEZE = 4  # squeeze and excitation has a quarter of the block's channels
_EPSILON = 1e-3  # Keras's for batch norm
_LAYER_EPSILON = 1e-5
_TILE = 8  # pixels
_POOL = 3  # pixels of the shortcuts' pools: 3 for dense prediction, 2 saves a little for classification


@dataclass(frozen=True, slots=True)
class Sizes:
    """Channels and blocks of the four stages; the last two attend, with embeddings for maps of so many pixels."""

    widths: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int] = (2, 3, 7, 2)
    positions: tuple[int, int] | None = None  # sides of these maps; none: attention does not know of positions


POSITIONS = (14, 7)  # as published, for pictures of 224 pixels at stride 16 and 32
TINY = {  # by the number in the name
    0: (32, 64, 128, 256),
    1: (40, 80, 160, 320),
    2: (56, 112, 224, 448),
    3: (80, 160, 320, 640),
}


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=0.01)


class _SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce_conv2d = nn.Conv2d(channels, squeezed, 1)
        self.expand_conv2d = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.silu(self.reduce_conv2d(_spatial_mean(x)))
        return x * torch.sigmoid(self.expand_conv2d(gate))


def _spatial_mean(x: Tensor) -> Tensor:
    """Return the means (N, C, 1, 1) over the map, of tiles first.

    LiteRT adds the pixels up one after the other: over 64² of them its means err by 10⁻⁴ of their size.
    """
    if all(size > _TILE and size % _TILE == 0 for size in x.shape[2:]):
        x = F.avg_pool2d(x, _TILE)
    return F.adaptive_avg_pool2d(x, 1)


class _InvertedResidual(nn.Module):
    """Expand, convolve each channel, gate, shrink, and add the pooled input: (N, C, H, W) to (N, out, H/s, W/s)."""

    def __init__(self, channels: int, out: int, stride: int, *, gated: bool) -> None:
        super().__init__()
        wide = out * EXPANSION
        self.pre_norm = _batch_norm(channels)
        self.expand_conv = nn.Conv2d(channels, wide, 1, bias=False)
        self.expand_norm = _batch_norm(wide)
        self.depthwise_conv = SameConv2d(wide, wide, 3, stride=stride, groups=wide)
        self.depthwise_norm = _batch_norm(wide)
        self.se = _SqueezeExcite(wide, out // SQUEEZE) if gated else None
        self.shrink_conv = nn.Conv2d(wide, out, 1)
        self.shortcut_conv = nn.Conv2d(channels, out, 1) if channels != out else None
        self._stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.expand_norm(self.expand_conv(self.pre_norm(x))))
        y = F.gelu(self.depthwise_norm(self.depthwise_conv(y)))
        y = self.shrink_conv(y if self.se is None else self.se(y))
        x = x if self._stride == 1 else same_average(x, _POOL, self._stride)
        total: Tensor = y + (x if self.shortcut_conv is None else self.shortcut_conv(x))
        return total


class _Attention(nn.Module):
    """Attend over all pixels of (N, H, W, C), with one learnt bias a head for every distance of rows and columns."""

    def __init__(self, channels: int, side: int | None) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(channels, channels) for _ in range(4))
        self._heads = channels // HEAD
        self.relative_position_embedding: nn.Parameter | None = None
        if side is not None:
            span = 2 * side - 1
            self.relative_position_embedding = nn.Parameter(0.02 * torch.randn(self._heads, span, span))

    def forward(self, x: Tensor) -> Tensor:
        count, height, width, channels = x.shape
        places = x.reshape(count, height * width, channels)
        query, key, value = (
            project(places).reshape(count, height * width, self._heads, HEAD).transpose(1, 2)
            for project in (self.q, self.k, self.v)
        )
        logits = (query * HEAD**-0.5) @ key.transpose(2, 3)  # (N, heads, query, key)
        if self.relative_position_embedding is not None:
            logits = logits + self._biases(self.relative_position_embedding, height, width)
        seen = (logits.softmax(dim=-1) @ value).transpose(1, 2)
        mixed: Tensor = self.o(seen.reshape(count, height, width, channels))
        return mixed

    def _biases(self, embedding: Tensor, height: int, width: int) -> Tensor:
        """Return the bias (heads, query, key) of each pair of pixels; embeddings are resized to the map."""
        spans = (2 * height - 1, 2 * width - 1)
        resized = F.interpolate(embedding[None], size=spans, mode="bilinear", align_corners=False)[0]
        rows, columns = (_distances(size, embedding.device) for size in (height, width))
        picked = resized[:, rows[:, None, :, None], columns[None, :, None, :]]  # (heads, i, j, y, x)
        return picked.reshape(self._heads, height * width, height * width)


def _distances(size: int, device: torch.device) -> Tensor:
    """Return key − query for every pair of positions of an axis, from 0: (query, key)."""
    positions = torch.arange(size, device=device)
    return positions[None, :] - positions[:, None] + size - 1


class _MOATBlock(_InvertedResidual):
    """An inverted residual without gate, then attention over the whole map, added to its input."""

    def __init__(self, channels: int, out: int, stride: int, side: int | None) -> None:
        super().__init__(channels, out, stride, gated=False)
        self.attention_norm = nn.LayerNorm(out, eps=_LAYER_EPSILON)
        self.attention = _Attention(out, side)

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        seen: Tensor = self.attention(self.attention_norm(x.permute(0, 2, 3, 1)))
        return x + seen.permute(0, 3, 1, 2)


class _Stem(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_0 = SameConv2d(3, width, 3, stride=2, bias=True)
        self.norm_0 = _batch_norm(width)
        self.conv_1 = SameConv2d(width, width, 3, bias=True)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.conv_1(F.gelu(self.norm_0(self.conv_0(image))))
        return features


class MOAT(nn.Module):
    """Return the features of (N, 3, H, W) pictures at stride 4, 8, 16 and 32, of `sizes.widths` channels.

    Attention is global at any size: its work grows with the square of the pixels.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.stem = _Stem(sizes.widths[0])
        sides = (None, None, *(sizes.positions or (None, None)))
        stages: list[nn.Module] = []
        channels = sizes.widths[0]
        for number, (width, blocks, side) in enumerate(zip(sizes.widths, sizes.blocks, sides, strict=True)):
            stages.append(_stage(channels, width, blocks, side, attends=number >= 2))
            channels = width
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def _stage(channels: int, width: int, blocks: int, side: int | None, *, attends: bool) -> nn.Sequential:
    """Return a stage, whose first block halves the map."""
    inputs = (channels, *(width for _ in range(blocks - 1)))
    return nn.Sequential(
        *(
            _MOATBlock(count, width, 2 if first else 1, side)
            if attends
            else _InvertedResidual(count, width, 2 if first else 1, gated=True)
            for count, first in zip(inputs, (True, *(False for _ in inputs[1:])), strict=True)
        )
    )
