"""LR-ASPP on MobileNetV3-Large: 3.2 M parameters, 21 VOC classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.zoo import ZooModel, model
from edge.zoo._voc import voc_segmentation

if TYPE_CHECKING:
    from torch import nn


def _network() -> nn.Module:
    from edge.zoo._mobilenet_v3 import LRASPP

    return LRASPP()


@model
def lraspp_mobilenet_v3_large() -> ZooModel:
    """Describe the fastest of torchvision's segmentation networks."""
    return ZooModel(
        name="lraspp-mobilenet-v3-large",
        summary="21-class semantic segmentation, small and fast (LR-ASPP head)",
        contract=voc_segmentation(256),
        licence="BSD-3-Clause",
        network=_network,
        checkpoint_hint="torchvision's lraspp_mobilenet_v3_large-d234d4ea.pth",
    )
