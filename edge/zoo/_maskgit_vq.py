"""The decoder of MaskGIT's VQGAN (arXiv:2202.04200): a grid of code vectors up to a picture 16 times as wide."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

_BLOCKS = 2  # a stage
_GROUPS = 32


def norm(channels: int) -> nn.Module:
    """Return a group normalisation of 32 groups."""
    return nn.GroupNorm(min(_GROUPS, channels), channels, eps=1e-6)


def conv(channels: int, out: int, kernel: int = 3, *, bias: bool = True) -> nn.Conv2d:
    """Return a convolution that keeps height and width."""
    return nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=bias)


class Residual(nn.Module):
    """Add two normalised convolutions to the input.

    Where the width changes, the published networks project the branch and not the input, which then is not added; their
    weights were trained so.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm1 = norm(channels)
        self.conv1 = conv(channels, out, bias=False)
        self.norm2 = norm(out)
        self.conv2 = conv(out, out, bias=False)
        self.nin_shortcut = conv(out, out, 1, bias=False) if channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        total: Tensor = y + (x if self.nin_shortcut is None else self.nin_shortcut(y))
        return total


class _Up(nn.Module):
    """Apply residual blocks, then double height and width unless it is the last stage."""

    def __init__(self, channels: int, out: int, *, doubles: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList([Residual(channels if i == 0 else out, out) for i in range(_BLOCKS)])
        self.upsample_conv = conv(out, out) if doubles else None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        if self.upsample_conv is None:
            return x
        wide: Tensor = self.upsample_conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return wide


class PixelDecoder(nn.Module):
    """Decode code vectors (N, depth, h, w) to pictures (N, 3, 16h, 16w), about 0 to 1.

    `multiples` of `width` are the channels of the stages from the picture's size down to the grid's.
    """

    def __init__(self, depth: int, width: int, multiples: tuple[int, ...] = (1, 1, 2, 2, 4)) -> None:
        super().__init__()
        widths = [width * multiple for multiple in multiples]
        inputs = [*widths[1:], widths[-1]]
        self.conv_in = conv(depth, widths[-1])
        self.mid = nn.ModuleList([Residual(widths[-1], widths[-1]) for _ in range(_BLOCKS)])
        self.up = nn.ModuleList(
            [_Up(channels, out, doubles=i > 0) for i, (channels, out) in enumerate(zip(inputs, widths, strict=True))]
        )
        self.norm_out = norm(widths[0])
        self.conv_out = conv(widths[0], 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in (*self.mid, *reversed(self.up)):
            x = block(x)
        picture: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return picture
