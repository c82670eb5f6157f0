"""MobileNetV2 (arXiv:1801.04381) as a backbone of segmentation networks.

Module names give the state-dict keys of torchvision's `features`, up to the last inverted residual; the convolution to
1280 channels after it belongs to classification.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

STEM = 32
LOW_CHANNELS = 24
DEEP_CHANNELS = 320
LAST_LOW = 3  # child whose output has stride 4 for the last time: the first is the stem, then one per residual
# Expansion, channels, residuals and stride of the first one: table 2 of the paper.
_TABLE = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Residual:
    """One inverted residual: channels in, expanded and out, and what its depthwise convolution does."""

    channels: int
    expanded: int
    out: int
    stride: int
    dilation: int

    @property
    def adds(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.channels == self.out


def residuals(output_stride: int = 32) -> tuple[Residual, ...]:
    """Return the inverted residuals; strides beyond `output_stride` become dilation of all that comes later.

    Source: the atrous convolution of DeepLab (arXiv:1706.05587) as TensorFlow's MobileNetV2 has it: the residual that
    loses its stride keeps its own dilation, the next ones have it times the stride.
    """
    found: list[Residual] = []
    channels, stride, dilation = STEM, 2, 1
    for expansion, out, count, first_stride in _TABLE:
        for own in (first_stride, *[1] * (count - 1)):
            kept = own if stride * own <= output_stride else 1
            found.append(Residual(channels, channels * expansion, out, kept, dilation))
            channels, stride, dilation = out, stride * kept, dilation * own // kept
    return tuple(found)


class ConvNorm(nn.Sequential):
    """Convolve, normalise, and clip to 0…6 unless `linear`; padded so that stride alone changes the size."""

    def __init__(
        self, channels: int, out: int, kernel: int, *, residual: Residual | None = None, stride: int = 1,
        linear: bool = False, eps: float,
    ) -> None:  # fmt: skip
        dilation, groups = (residual.dilation, channels) if residual else (1, 1)
        padding = (kernel - 1) // 2 * dilation
        convolution = nn.Conv2d(channels, out, kernel, stride, padding, dilation, groups, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(out, eps=eps), *([] if linear else [nn.ReLU6()]))


class InvertedResidual(nn.Module):
    """Widen, look around in every channel, and narrow."""

    def __init__(self, residual: Residual, eps: float) -> None:
        super().__init__()
        channels, wide, out = residual.channels, residual.expanded, residual.out
        layers: list[nn.Module] = [] if wide == channels else [ConvNorm(channels, wide, 1, eps=eps)]
        layers.append(ConvNorm(wide, wide, 3, residual=residual, stride=residual.stride, eps=eps))
        self.conv = nn.Sequential(*layers, *ConvNorm(wide, out, 1, linear=True, eps=eps))
        self._adds = residual.adds

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self._adds else y


class Backbone(nn.Sequential):
    """Return features at stride 4 (N, 24, H/4, W/4) and at the output stride (N, 320, …), sizes rounded up.

    `output_stride` is 32, 16 or 8. `eps` of the batch norms is torchvision's; TensorFlow's checkpoints have 1e-3.
    """

    def __init__(self, output_stride: int = 16, eps: float = 1e-5) -> None:
        super().__init__(
            ConvNorm(3, STEM, 3, stride=2, eps=eps),
            *(InvertedResidual(residual, eps) for residual in residuals(output_stride)),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = x
        for index, layer in enumerate(self):
            x = layer(x)
            low = x if index == LAST_LOW else low
        return low, x
