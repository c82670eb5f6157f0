"""LR-ASPP on MobileNetV3-Small with one plane: a person's mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge.zoo._mobilenet_v3 import LRASPP, SMALL


class PersonSegmenter(nn.Module):
    """Segment pictures (N, 3, H, W) into {"mask": (N, 1, H, W)}, the probability of a person per pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.network = LRASPP(SMALL, classes=1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"mask": torch.sigmoid(self.logits(image))}

    def logits(self, image: Tensor) -> Tensor:
        """Return the mask's logits (N, 1, H, W)."""
        found: Tensor = self.network(image)["out"]
        return found
