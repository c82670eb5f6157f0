"""DeepLabV3 on MobileNetV3-Large: 11 M parameters, 21 VOC classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.zoo import ZooModel, model
from edge.zoo._voc import voc_segmentation

if TYPE_CHECKING:
    from torch import nn


def _network() -> nn.Module:
    from edge.zoo._mobilenet_v3 import DeepLabV3

    return DeepLabV3()


@model
def deeplabv3_mobilenet_v3_large() -> ZooModel:
    """Describe torchvision's DeepLabV3; its auxiliary classifier is loaded, and used in training only."""
    return ZooModel(
        name="deeplabv3-mobilenet-v3-large",
        summary="21-class semantic segmentation, more accurate (atrous pyramid head)",
        contract=voc_segmentation(256),
        licence="BSD-3-Clause",
        network=_network,
        checkpoint_hint="torchvision's deeplabv3_mobilenet_v3_large-fc3c493d.pth",
    )
