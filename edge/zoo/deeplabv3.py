"""DeepLabV3 with 21 VOC classes: on MobileNetV3-Large (11 M parameters) for phones, ResNet-101 (61 M) for servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.zoo import ZooModel, model
from edge.zoo._voc import voc_segmentation

if TYPE_CHECKING:
    from torch import nn


def _mobile_network() -> nn.Module:
    from edge.zoo._deeplabv3 import DeepLabV3
    from edge.zoo._mobilenet_v3 import DEEP_CHANNELS, LOW_CHANNELS, Backbone

    return DeepLabV3(Backbone(), LOW_CHANNELS, DEEP_CHANNELS)


def _residual_network(blocks: tuple[int, int, int, int] = (3, 4, 23, 3), width: int = 64, head: int = 256) -> nn.Module:
    """Build the network; tests pass fewer `blocks` a stage and a narrower `width` and `head`."""
    from edge.zoo._deeplabv3 import DeepLabV3
    from edge.zoo._resnet import DilatedResNet

    return DeepLabV3(DilatedResNet(blocks, width), 16 * width, 32 * width, width=head)


@model
def deeplabv3_mobilenet_v3_large() -> ZooModel:
    """Describe torchvision's DeepLabV3; its auxiliary classifier is loaded, and used in training only."""
    return ZooModel(
        name="deeplabv3-mobilenet-v3-large",
        summary="21-class semantic segmentation, more accurate (atrous pyramid head)",
        contract=voc_segmentation(256),
        licence="BSD-3-Clause",
        network=_mobile_network,
        checkpoint_hint="torchvision's deeplabv3_mobilenet_v3_large-fc3c493d.pth",
    )


@model
def deeplabv3_resnet101() -> ZooModel:
    """Describe torchvision's DeepLabV3 of output stride 8; its auxiliary classifier is loaded, and used in training."""
    return ZooModel(
        name="deeplabv3-resnet101",
        summary="21-class semantic segmentation, 61 M parameters (atrous pyramid head at stride 8)",
        contract=voc_segmentation(520),
        licence="BSD-3-Clause",
        network=_residual_network,
        checkpoint_hint="torchvision's deeplabv3_resnet101_coco-586e9e4e.pth",
        runs="server",
    )
