"""kMaX-DeepLab's pixel path: a ResNet with Detectron2's keys, and the pixel decoder from stride 32 back to 4."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._kmax_layers import BlockGroup, ConvNorm, Kind, batch_norm, resize

_EXPANSION = 4
_KINDS: tuple[Kind, ...] = ("axial", "axial", "bottleneck", "bottleneck")  # of the stages at stride 32, 16, 8, 4


class _NormedConv(nn.Conv2d):
    """A convolution that holds its batch norm, as Detectron2 names it."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, kernel // 2, bias=False)
        self.norm = batch_norm(out, 2)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(super().forward(x))
        return normed


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * _EXPANSION
        self.shortcut = _NormedConv(channels, out, 1, stride) if channels != out else None
        self.conv1 = _NormedConv(channels, width, 1)
        self.conv2 = _NormedConv(width, width, 3, stride)
        self.conv3 = _NormedConv(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class _Stem(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _NormedConv(3, width, 7, 2)

    def forward(self, image: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(self.conv1(image)), 3, 2, 1)


class ResNet(nn.Module):
    """Return the features of the four stages, at stride 4, 8, 16 and 32, of 4, 8, 16 and 32 × `width` channels."""

    def __init__(self, blocks: tuple[int, int, int, int], width: int) -> None:
        super().__init__()
        self.stem = _Stem(width)
        self.res2 = _stage(width, width, blocks[0], 1)
        self.res3 = _stage(4 * width, 2 * width, blocks[1], 2)
        self.res4 = _stage(8 * width, 4 * width, blocks[2], 2)
        self.res5 = _stage(16 * width, 8 * width, blocks[3], 2)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        features = []
        for stage in (self.res2, self.res3, self.res4, self.res5):
            x = stage(x)
            features.append(x)
        return features


def _stage(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    others = (_Bottleneck(width * _EXPANSION, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(_Bottleneck(channels, width, stride), *others)


class _ChannelNorm(nn.LayerNorm):
    """Normalise (N, C, H, W) over its channels."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Fuse(nn.Module):
    """Bring decoded features and the backbone's of the next stage to one width and size, and add them."""

    def __init__(self, low: int, high: int, out: int) -> None:
        super().__init__()
        self._conv_bn_low = ConvNorm(low, out, activate=False)
        self._conv_bn_high = ConvNorm(high, out, activate=False)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        wide: Tensor = self._conv_bn_high(F.gelu(high))
        return resize(self._conv_bn_low(F.gelu(low)), wide) + wide


class PixelDecoder(nn.Module):
    """Return decoded features at stride 32, 16, 8 and 4, of 4 × `widths` channels.

    `backbone` holds the channels of the backbone's features from stride 32 to 4, `widths` and `blocks` the decoder's
    stages in the same order. As published, the first stage takes 4 × its width from the backbone, and every later
    width differs from what is fused into it.
    """

    def __init__(
        self, backbone: tuple[int, int, int, int], widths: tuple[int, int, int, int], blocks: tuple[int, int, int, int]
    ) -> None:
        super().__init__()
        inputs = (backbone[0], *widths[1:])
        self._in_norms = nn.ModuleList([_ChannelNorm(channels) for channels in backbone])
        self._stages = nn.ModuleList([BlockGroup(*stage) for stage in zip(inputs, widths, blocks, _KINDS, strict=True)])
        self._resized_fuses = nn.ModuleList(
            [_Fuse(4 * widths[i - 1], backbone[i], widths[i]) for i in range(1, len(widths))]
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Take the backbone's features from stride 4 to 32."""
        normed = [norm(feature) for norm, feature in zip(self._in_norms, reversed(features), strict=True)]
        decoded = [self._stages[0](normed[0])]
        for fuse, stage, feature in zip(self._resized_fuses, list(self._stages)[1:], normed[1:], strict=True):
            decoded.append(stage(fuse(decoded[-1], feature)))
        return decoded
