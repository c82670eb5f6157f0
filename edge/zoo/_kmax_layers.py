"""Convolution with batch norm, and the residual blocks with axial attention that kMaX-DeepLab is made of.

Axial attention with relative positions: Wang et al., Axial-DeepLab (arXiv:2003.07853). Attribute names are the keys of
the published checkpoints; batch norms have deeplab2's epsilon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-3
HEADS = 8
_SPAN = 255  # an axis has at most so many positions
Kind = Literal["axial", "bottleneck"]


def batch_norm(channels: int, axes: Literal[1, 2]) -> nn.Module:
    """Return a batch norm over (N, C) and so many more axes."""
    return {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}[axes](channels, eps=EPSILON, momentum=0.01)


class ConvNorm(nn.Module):
    """Convolve over one axis or two, keep the size, normalise and apply GELU where asked to."""

    def __init__(
        self, channels: int, out: int, kernel: int = 1, *, axes: Literal[1, 2] = 2, groups: int = 1,
        bias: bool = False, activate: bool = True, normalise: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        convolution = {1: nn.Conv1d, 2: nn.Conv2d}[axes]
        self.conv = convolution(channels, out, kernel, padding=kernel // 2, groups=groups, bias=bias)
        self.norm = batch_norm(out, axes) if normalise else nn.Identity()
        self._activation: Callable[[Tensor], Tensor] = F.gelu if activate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self._activation(self.norm(self.conv(x)))


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Resize (N, C, h, w) bilinearly to the size of `like`; corners are aligned where the width is odd."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=x.shape[-1] % 2 == 1)


class _RelativePositions(nn.Module):
    """Hold one embedding for every distance between two positions of an axis, from −254 to 254."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self._embeddings = nn.Embedding(2 * _SPAN - 1, depth)

    def forward(self, length: int) -> Tensor:
        """Return the embeddings (query, key, depth) of an axis of `length` positions."""
        positions = torch.arange(length, device=self._embeddings.weight.device)
        embedded: Tensor = self._embeddings(positions[None, :] - positions[:, None] + _SPAN - 1)
        return embedded


class _AxisAttention(nn.Module):
    """Attend along the last axis of (N, C, L) with positions in queries, keys and values: (N, 2·depth, L)."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self._depth = depth
        self.qkv_transform = ConvNorm(channels, 4 * depth, axes=1, activate=False, normalise=False)
        self._query_rpe = _RelativePositions(depth // HEADS)
        self._key_rpe = _RelativePositions(depth // HEADS)
        self._value_rpe = _RelativePositions(2 * depth // HEADS)
        self._batch_norm_qkv = batch_norm(4 * depth, 1)
        self._batch_norm_similarity = batch_norm(3 * HEADS, 2)
        self._batch_norm_retrieved_output = batch_norm(4 * depth, 1)

    def forward(self, x: Tensor) -> Tensor:
        count, length = x.shape[0], x.shape[2]
        qkv = self._batch_norm_qkv(self.qkv_transform(x))
        parts = torch.split(qkv, [self._depth, self._depth, 2 * self._depth], dim=1)
        query, key, value = (part.reshape(count, HEADS, -1, length) for part in parts)
        similarity = torch.cat(
            [
                query.transpose(2, 3) @ key,
                torch.einsum("nhdl,lmd->nhlm", query, self._query_rpe(length)),
                torch.einsum("nhdm,lmd->nhlm", key, self._key_rpe(length)),
            ],
            dim=1,
        )
        normed = self._batch_norm_similarity(similarity).reshape(count, 3, HEADS, length, length)
        weights = normed.sum(dim=1).softmax(dim=-1)
        content = value @ weights.transpose(2, 3)
        positions = torch.einsum("nhlm,lmd->nhdl", weights, self._value_rpe(length))
        retrieved = torch.cat([content, positions], dim=1).reshape(count, 4 * self._depth, length)
        both = self._batch_norm_retrieved_output(retrieved).reshape(count, 2, 2 * self._depth, length)
        merged: Tensor = both.sum(dim=1)
        return merged


class _AxialAttention(nn.Module):
    """Attend along the height, then along the width of (N, C, H, W): (N, 2·depth, H, W)."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self._height_axis = _AxisAttention(channels, depth)
        self._width_axis = _AxisAttention(2 * depth, depth)

    def forward(self, x: Tensor) -> Tensor:
        count, _, height, width = x.shape
        columns = x.permute(0, 3, 1, 2).flatten(0, 1)  # (N·W, C, H)
        x = self._height_axis(columns).reshape(count, width, -1, height)
        rows = x.permute(0, 3, 2, 1).flatten(0, 1)  # (N·H, C, W)
        seen: Tensor = self._width_axis(rows).reshape(count, height, -1, width).permute(0, 2, 1, 3)
        return seen


class _Block(nn.Module):
    """Residual block, activated before its branches: (N, channels, H, W) to (N, 4·width, H, W)."""

    def __init__(self, channels: int, width: int, kind: Kind) -> None:
        super().__init__()
        axial = kind == "axial"
        first = 2 * width if axial else width
        self._conv1_bn_act = ConvNorm(channels, first)
        if axial:
            self._attention = _AxialAttention(first, width)
        else:
            self._conv2_bn_act = ConvNorm(first, width, 3)
        self._conv3_bn = ConvNorm(2 * width if axial else width, 4 * width, activate=False)
        self._shortcut = ConvNorm(channels, 4 * width, activate=False) if channels != 4 * width else None
        self._axial = axial

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(x)
        y = self._conv1_bn_act(x)
        y = F.gelu(self._attention(y)) if self._axial else self._conv2_bn_act(y)
        y = self._conv3_bn(y)
        total: Tensor = y + (x if self._shortcut is None else self._shortcut(x))
        return total


class BlockGroup(nn.Module):
    """Apply residual blocks in a row: (N, channels, H, W) to (N, 4·width, H, W)."""

    def __init__(self, channels: int, width: int, blocks: int, kind: Kind) -> None:
        super().__init__()
        inputs = (channels, *(4 * width for _ in range(blocks - 1)))
        self._blocks = nn.ModuleList([_Block(count, width, kind) for count in inputs])

    def forward(self, x: Tensor) -> Tensor:
        for block in self._blocks:
            x = block(x)
        return x
