"""How different two pictures look to a network that has learnt to tell things apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edge.zoo._efficientnet_lite import normalised

_LEAST = 1e-6


class PerceptualDistance:
    """Compare features of pictures (N, 3, H, W) in 0…1, directions of channels at every place, over some strides.

    As in Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018,
    arXiv:1801.03924), without its learnt weights of channels. The network is no child of what holds this, and is given
    to `Study.frozen`.
    """

    def __init__(self, network: nn.Module, levels: Sequence[int] = (0, 1, 2)) -> None:
        self.network = network
        self._levels = tuple(levels)

    def __call__(self, picture: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared distance, with gradients to the picture alone."""
        found = self._features(picture)
        with torch.no_grad():
            wanted = self._features(target)
        distances = [(a - b).square().sum(dim=1).mean() for a, b in zip(found, wanted, strict=True)]
        return torch.stack(distances).mean()

    def _features(self, picture: Tensor) -> list[Tensor]:
        features: tuple[Tensor, ...] = self.network(normalised(picture))
        return [_directions(features[level]) for level in self._levels]


def _directions(features: Tensor) -> Tensor:
    return features * (features.square().sum(dim=1, keepdim=True) + _LEAST).rsqrt()
