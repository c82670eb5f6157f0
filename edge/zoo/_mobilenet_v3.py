"""MobileNetV3, large and small (arXiv:1905.02244), with the LR-ASPP segmentation head.

Module names give the state-dict keys of torchvision's published checkpoints, so that those load strictly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._deeplabv3 import resize_like

Activation = Callable[[], nn.Module]


@dataclass(frozen=True, slots=True)
class _Stage:
    """One inverted residual; channel counts as in tables 1 and 2 of the paper."""

    kernel: int
    expanded: int
    out: int
    squeeze: bool
    activation: Activation
    stride: int = 1
    dilation: int = 1


def _hardswish() -> nn.Module:
    return nn.Hardswish()


def _relu() -> nn.Module:
    return nn.ReLU()


@dataclass(frozen=True, slots=True)
class Variant:
    """A size of the network: its inverted residuals, the last convolution's channels, and where strides end.

    `low` is the child whose output has stride 8 and goes into segmentation heads: the first after the stem, then one
    per stage. `dense` are the children whose depthwise convolutions are the last at stride 4 and at stride 8.
    """

    stages: tuple[_Stage, ...]
    deep_channels: int
    low: int
    dense: tuple[int, int]

    @property
    def low_channels(self) -> int:
        """Return the channels of the features at stride 8."""
        return self.stages[self.low - 1].out

    @property
    def dense_channels(self) -> tuple[int, int]:
        """Return the channels of the depthwise convolutions at stride 4 and at stride 8."""
        first, second = (self.stages[child - 1].expanded for child in self.dense)
        return first, second


_STEM = 16
# The last three stages trade their stride for dilation 2, which keeps the output stride at 16.
LARGE = Variant(
    (
        _Stage(3, 16, 16, False, _relu),
        _Stage(3, 64, 24, False, _relu, stride=2),
        _Stage(3, 72, 24, False, _relu),
        _Stage(5, 72, 40, True, _relu, stride=2),
        _Stage(5, 120, 40, True, _relu),
        _Stage(5, 120, 40, True, _relu),
        _Stage(3, 240, 80, False, _hardswish, stride=2),
        _Stage(3, 200, 80, False, _hardswish),
        _Stage(3, 184, 80, False, _hardswish),
        _Stage(3, 184, 80, False, _hardswish),
        _Stage(3, 480, 112, True, _hardswish),
        _Stage(3, 672, 112, True, _hardswish),
        _Stage(5, 672, 160, True, _hardswish, dilation=2),
        _Stage(5, 960, 160, True, _hardswish, dilation=2),
        _Stage(5, 960, 160, True, _hardswish, dilation=2),
    ),
    deep_channels=960,
    low=4,
    dense=(3, 6),
)
SMALL = Variant(
    (
        _Stage(3, 16, 16, True, _relu, stride=2),
        _Stage(3, 72, 24, False, _relu, stride=2),
        _Stage(3, 88, 24, False, _relu),
        _Stage(5, 96, 40, True, _hardswish, stride=2),
        _Stage(5, 240, 40, True, _hardswish),
        _Stage(5, 240, 40, True, _hardswish),
        _Stage(5, 120, 48, True, _hardswish),
        _Stage(5, 144, 48, True, _hardswish),
        _Stage(5, 288, 96, True, _hardswish, dilation=2),
        _Stage(5, 576, 96, True, _hardswish, dilation=2),
        _Stage(5, 576, 96, True, _hardswish, dilation=2),
    ),
    deep_channels=576,
    low=2,
    dense=(1, 3),
)


def _conv_norm(
    channels: int, out: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1,
    activation: Activation | None = None,
) -> nn.Sequential:  # fmt: skip
    """Build convolution, batch norm and activation with the backbone's batch-norm constants."""
    padding = (kernel - 1) // 2 * dilation
    convolution = nn.Conv2d(channels, out, kernel, stride, padding, dilation, groups, bias=False)
    layers: list[nn.Module] = [convolution, nn.BatchNorm2d(out, eps=1e-3, momentum=0.01)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class _SqueezeExcite(nn.Module):
    """Scale channels by a hard-sigmoid gate computed from their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _round_to_8(channels / 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.adaptive_avg_pool2d(x, 1)
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(gate))))


def _round_to_8(channels: float) -> int:
    """Round to a multiple of 8, never losing more than a tenth of the channels."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class _InvertedResidual(nn.Module):
    def __init__(self, channels: int, stage: _Stage) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if stage.expanded != channels:
            layers.append(_conv_norm(channels, stage.expanded, 1, activation=stage.activation))
        layers.append(
            _conv_norm(
                stage.expanded, stage.expanded, stage.kernel, stride=stage.stride, dilation=stage.dilation,
                groups=stage.expanded, activation=stage.activation,
            )
        )  # fmt: skip
        self._wide = len(layers)
        if stage.squeeze:
            layers.append(_SqueezeExcite(stage.expanded))
        layers.append(_conv_norm(stage.expanded, stage.out, 1))
        self.block = nn.Sequential(*layers)
        self._residual = stage.stride == 1 and channels == stage.out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return x + y if self._residual else y

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features after the depthwise convolution, before a gate, and the output."""
        y = wide = x
        for index, layer in enumerate(self.block, start=1):
            y = layer(y)
            wide = y if index == self._wide else wide
        return wide, x + y if self._residual else y


class Backbone(nn.Sequential):
    """Return features at stride 8 (N, 40 or 24, H/8, W/8) and at stride 16 (N, 960 or 576, H/16, W/16)."""

    def __init__(self, variant: Variant = LARGE) -> None:
        widths = (_STEM, *(stage.out for stage in variant.stages))
        super().__init__(
            _conv_norm(3, _STEM, 3, stride=2, activation=_hardswish),
            *(_InvertedResidual(channels, stage) for channels, stage in zip(widths, variant.stages, strict=False)),
            _conv_norm(widths[-1], variant.deep_channels, 1, activation=_hardswish),
        )
        self._low = variant.low

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        low = x
        for index, layer in enumerate(self):
            x = layer(x)
            low = x if index == self._low else low
        return low, x


class DenseBackbone(Backbone):
    """Return wide features at stride 4 and 8 (72 and 120 channels, or 16 and 88), and those at stride 16.

    Source: deeplab2, model/encoder/mobilenet.py: what heads for dense prediction take is the output of the last
    depthwise convolution at a stride.
    """

    def __init__(self, variant: Variant = LARGE) -> None:
        super().__init__(variant)
        self._dense = variant.dense

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = []
        for index, layer in enumerate(self):
            if index in self._dense and isinstance(layer, _InvertedResidual):
                wide, x = layer.stages(x)
                found.append(wide)
            else:
                x = layer(x)
        return *found, x


class _LiteHead(nn.Module):
    """Lite reduced ASPP: gate the deep features by their global mean and add the shallow ones' logits."""

    def __init__(self, low: int, deep: int, classes: int, width: int = 128) -> None:
        super().__init__()
        self.cbr = nn.Sequential(nn.Conv2d(deep, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.scale = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(deep, width, 1, bias=False), nn.Sigmoid())
        self.low_classifier = nn.Conv2d(low, classes, 1)
        self.high_classifier = nn.Conv2d(width, classes, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        gated = self.cbr(high) * self.scale(high)
        logits: Tensor = self.low_classifier(low) + self.high_classifier(resize_like(gated, low))
        return logits


class LRASPP(nn.Module):
    """Segment (N, 3, H, W) pictures into class logits {"out": (N, classes, H, W)}."""

    def __init__(self, variant: Variant = LARGE, classes: int = 21) -> None:
        super().__init__()
        self.backbone = Backbone(variant)
        self.classifier = _LiteHead(variant.low_channels, variant.deep_channels, classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        low, high = self.backbone(image)
        return {"out": resize_like(self.classifier(low, high), image)}
