"""PoseNet: MobileNetV1 (arXiv:1704.04861) at output stride 16 under PersonLab's heads (arXiv:1803.08225).

Module names give the state-dict keys of rwightman/posenet-pytorch, whose batch norms are folded into the convolutions.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

KEYPOINTS = 17
EDGES = 16
# (out, stride) of the blocks after the first convolution at width 1; the last two strides of MobileNetV1 are left out.
_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (512, 1), (512, 1),
)  # fmt: skip


class _First(nn.Module):
    def __init__(self, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, out, 3, 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(self.conv(x))


class _Separable(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(self.pointwise(F.relu6(self.depthwise(x))))


def _rare(head: nn.Conv2d) -> nn.Conv2d:
    """Begin a head of logits at a probability of 0.01, as little of a picture is a keypoint (arXiv:1708.02002, 4.1)."""
    if head.bias is not None:
        nn.init.constant_(head.bias, -4.6)
    return head


class PoseNet(nn.Module):
    """Give PersonLab's planes for (N, 3, 16 k + 1, 16 m + 1) pictures in −1…1, each (N, planes, k + 1, m + 1).

    "heatmap" holds 17 planes of logits, "offset" 34, "displacement_fwd" and "displacement_bwd" 32 each, in pixels of
    the picture, all y before all x. The padding of 1 is TensorFlow's SAME for such sizes only.
    """

    def __init__(self, width: float = 0.75) -> None:
        super().__init__()
        channels = [int(out * width) for out in (32, *(out for out, _ in _BLOCKS))]
        blocks: dict[str, nn.Module] = {"conv0": _First(channels[0])}
        for i, (_, stride) in enumerate(_BLOCKS, start=1):
            blocks[f"conv{i}"] = _Separable(channels[i - 1], channels[i], stride)
        self.features = nn.Sequential()
        for name, block in blocks.items():
            self.features.add_module(name, block)
        self.heatmap = _rare(nn.Conv2d(channels[-1], KEYPOINTS, 1))
        self.offset = nn.Conv2d(channels[-1], 2 * KEYPOINTS, 1)
        self.displacement_fwd = nn.Conv2d(channels[-1], 2 * EDGES, 1)
        self.displacement_bwd = nn.Conv2d(channels[-1], 2 * EDGES, 1)

    def heads(self, features: Tensor) -> dict[str, Tensor]:
        """Return the planes that poses are decoded from."""
        return {
            "heatmap": self.heatmap(features),
            "offset": self.offset(features),
            "displacement_fwd": self.displacement_fwd(features),
            "displacement_bwd": self.displacement_bwd(features),
        }

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return self.heads(self.features(image))


class PersonLab(PoseNet):
    """PoseNet with the planes that people's outlines are decoded from as well.

    "long_offset" (34 planes, from each pixel of a person to all that person's keypoints) and "mask" (1 plane, logits).
    """

    def __init__(self, width: float = 0.75) -> None:
        super().__init__(width)
        self.long_offset = nn.Conv2d(self.heatmap.in_channels, 2 * KEYPOINTS, 1)
        self.mask = _rare(nn.Conv2d(self.heatmap.in_channels, 1, 1))

    def heads(self, features: Tensor) -> dict[str, Tensor]:
        """Return the planes that poses and instances are decoded from."""
        return {**super().heads(features), "long_offset": self.long_offset(features), "mask": self.mask(features)}
