"""LR-ASPP with 21 VOC classes: on MobileNetV3-Large (3.2 M parameters) and on MobileNetV3-Small (1.1 M)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.zoo import ZooModel, model
from edge.zoo._voc import voc_segmentation

if TYPE_CHECKING:
    from torch import nn


def _large_network() -> nn.Module:
    from edge.zoo._mobilenet_v3 import LRASPP

    return LRASPP()


def _small_network() -> nn.Module:
    from edge.zoo._mobilenet_v3 import LRASPP, SMALL

    return LRASPP(SMALL)


@model
def lraspp_mobilenet_v3_large() -> ZooModel:
    """Describe the fastest of torchvision's segmentation networks."""
    return ZooModel(
        name="lraspp-mobilenet-v3-large",
        summary="21-class semantic segmentation, small and fast (LR-ASPP head)",
        contract=voc_segmentation(256),
        licence="BSD-3-Clause",
        network=_large_network,
        checkpoint_hint="torchvision's lraspp_mobilenet_v3_large-d234d4ea.pth",
    )


@model
def lraspp_mobilenet_v3_small() -> ZooModel:
    """Describe the network that torchvision's builder makes of the small backbone; it publishes no weights for it."""
    return ZooModel(
        name="lraspp-mobilenet-v3-small",
        summary="21-class semantic segmentation, smallest and fastest (LR-ASPP head)",
        contract=voc_segmentation(256),
        licence="BSD-3-Clause",
        network=_small_network,
        checkpoint_hint="weights under torchvision's keys: LR-ASPP over its mobilenet_v3_small, dilated",
    )
