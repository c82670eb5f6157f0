"""ResNet with bottlenecks (arXiv:1512.03385), dilated in its last two stages, with torchvision's state-dict keys."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

EXPANSION = 4
_STEM = 64


class _Bottleneck(nn.Module):
    """Narrow, look around, widen, and add the input; the stride lies on the 3 × 3 convolution."""

    def __init__(self, channels: int, width: int, *, stride: int, dilation: int) -> None:
        super().__init__()
        out = width * EXPANSION
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class DilatedResNet(nn.Module):
    """Return the third stage's features (N, 16·width, H/8, W/8) and the fourth's (N, 32·width, H/8, W/8).

    `blocks` counts the bottlenecks of the four stages. The last two trade their stride for dilation 2 and 4; the first
    block of each still has the dilation of the stage before it, as in torchvision.
    """

    def __init__(self, blocks: tuple[int, int, int, int], width: int = _STEM) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        wide = width * EXPANSION
        self.layer1 = _stage(width, width, blocks[0])
        self.layer2 = _stage(wide, 2 * width, blocks[1], stride=2)
        self.layer3 = _stage(2 * wide, 4 * width, blocks[2], dilations=(1, 2))
        self.layer4 = _stage(4 * wide, 8 * width, blocks[3], dilations=(2, 4))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.maxpool(F.relu(self.bn1(self.conv1(image))))
        shallow = self.layer3(self.layer2(self.layer1(x)))
        return shallow, self.layer4(shallow)


def _stage(
    channels: int, width: int, blocks: int, *, stride: int = 1, dilations: tuple[int, int] = (1, 1)
) -> nn.Sequential:
    """Build a stage; `dilations` are the first block's and the others'."""
    first = _Bottleneck(channels, width, stride=stride, dilation=dilations[0])
    others = (_Bottleneck(width * EXPANSION, width, stride=1, dilation=dilations[1]) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)
