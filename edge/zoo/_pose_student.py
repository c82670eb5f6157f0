"""A small landmark network: EfficientNet-Lite0 without its last residuals, a feature pyramid, heatmaps, profiles.

The places are those of heatmaps, reduced to a profile along each axis as in "SimCC" (Li et al., ECCV 2022,
arXiv:2107.03332), and read off by expectation as in "Integral Human Pose Regression" (Sun et al., ECCV 2018,
arXiv:1711.08229), which needs no argmax in the graph.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._efficientnet_lite import EfficientNetLite0

LANDMARKS = 33
SIDE = 192  # pixels
STRIDE = 4  # of the heatmaps
CELLS = SIDE // STRIDE
_RESIDUALS = 14  # of 16: the last two hold a third of the weights
_CHANNELS = {2: 24, 4: 40, 10: 112, 13: 192}  # by residual: features at stride 4, 8, 16 and 32
_WIDTH = 64
_DEEPEST = SIDE // 32  # cells
_SQUEEZED = 32
_RARE = -4.0  # logit of a landmark where nothing is known: most cells have none
_PLANE = 3  # of a landmark, beside its place: depth, visibility, presence


class Backbone(nn.Module):
    """Return features (N, C, H/s, W/s) at strides s = 4, 8, 16, 32 with 24, 40, 112, 192 channels."""

    def __init__(self) -> None:
        super().__init__()
        whole = EfficientNetLite0()
        self._conv_stem, self._bn0 = whole._conv_stem, whole._bn0
        self._blocks = nn.ModuleList(list(whole._blocks)[:_RESIDUALS])

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = F.relu6(self._bn0(self._conv_stem(image)))
        features = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in _CHANNELS:
                features.append(x)
        return tuple(features)


def load_imagenet(backbone: Backbone, weights: Path) -> None:
    """Load the published ImageNet weights of the whole network into the residuals that are there."""
    published = torch.load(weights, map_location="cpu", weights_only=True)
    backbone.load_state_dict({name: published[name] for name in backbone.state_dict()})


class _Smooth(nn.Sequential):
    """Convolve each channel, then all of them."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU6(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU6(),
        )


class _Pyramid(nn.Module):
    """Bring deep features to stride 4: Lin et al., "Feature Pyramid Networks" (CVPR 2017, arXiv:1612.03144)."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([nn.Conv2d(channels, _WIDTH, 1) for channels in _CHANNELS.values()])
        self.smooth = nn.ModuleList([_Smooth(_WIDTH) for _ in _CHANNELS])

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        x: Tensor = self.smooth[-1](self.lateral[-1](features[-1]))
        for level in range(len(features) - 2, -1, -1):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.smooth[level](x + self.lateral[level](features[level]))
        return x


class PoseStudent(nn.Module):
    """Place 33 landmarks on the person of pictures (N, 3, 192, 192).

    Returns `landmarks` (N, 165): x, y, z in pixels and logits of visibility and presence; `presence` (N, 1), the
    probability of a person; `heatmap` (N, 33, 48, 48) logits; `world` (N, 99) metres from the hips' middle.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.pyramid = _Pyramid()
        self.heatmap = nn.Conv2d(_WIDTH, LANDMARKS, 1)
        assert self.heatmap.bias is not None
        nn.init.constant_(self.heatmap.bias, _RARE)
        self.squeeze = nn.Sequential(
            nn.Conv2d(_CHANNELS[13], _SQUEEZED, 1, bias=False), nn.BatchNorm2d(_SQUEEZED), nn.ReLU6()
        )
        self.rest = nn.Linear(_SQUEEZED * _DEEPEST**2, (_PLANE + 3) * LANDMARKS + 1)
        # Pixels of the cells' centres, as edge.images counts them: pixel centres are whole numbers.
        centres = (torch.arange(CELLS, dtype=torch.float32) + 0.5) * STRIDE - 0.5
        self.register_buffer("centres", centres[:, None], persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.backbone(image)
        heatmap = self.heatmap(self.pyramid(features))
        # Strides are written out: coremltools takes no pool without.
        x = self._place(F.max_pool2d(heatmap, (CELLS, 1), (CELLS, 1)).flatten(2))
        y = self._place(F.max_pool2d(heatmap, (1, CELLS), (1, CELLS)).flatten(2))
        rest = self.rest(self.squeeze(features[-1]).flatten(1))
        plane = rest[:, : _PLANE * LANDMARKS].unflatten(1, (LANDMARKS, _PLANE))
        depth, states = SIDE * plane[..., :1], plane[..., 1:]
        landmarks = torch.cat([x, y, depth, states], dim=2).flatten(1)
        presence = torch.sigmoid(rest[:, -1:])
        return {"landmarks": landmarks, "presence": presence, "heatmap": heatmap,
                "world": rest[:, _PLANE * LANDMARKS : -1]}  # fmt: skip

    def _place(self, profile: Tensor) -> Tensor:
        """Return the expected pixel (N, 33, 1) along an axis with logits (N, 33, cells)."""
        centres = self.centres
        assert isinstance(centres, Tensor)
        return torch.softmax(profile, dim=2) @ centres
