"""DeepLabV3 and DeepLabV3+ with 21 VOC classes: on MobileNets for phones, ResNet-101 (61 M) for servers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from edge.zoo import ZooModel, model
from edge.zoo._voc import voc_segmentation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


def _mobile_network(size: Literal["large", "small"]) -> nn.Module:
    from edge.zoo import _mobilenet_v3 as mobilenet
    from edge.zoo._deeplabv3 import DeepLabV3

    variant = {"large": mobilenet.LARGE, "small": mobilenet.SMALL}[size]
    return DeepLabV3(mobilenet.Backbone(variant), variant.low_channels, variant.deep_channels)


def _lite_network() -> nn.Module:
    from edge.zoo._deeplabv3 import LiteDeepLabV3
    from edge.zoo._mobilenet_v2 import DEEP_CHANNELS, Backbone

    return LiteDeepLabV3(Backbone(16, eps=1e-3), DEEP_CHANNELS)


def _from_tensorflow(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    from edge.zoo._deeplabv3_tf import from_tensorflow

    return from_tensorflow(tensors)


def _plus_network() -> nn.Module:
    from edge.zoo._deeplabv3_plus import DeepLabV3Plus

    return DeepLabV3Plus()


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
        network=partial(_mobile_network, "large"),
        checkpoint_hint="torchvision's deeplabv3_mobilenet_v3_large-fc3c493d.pth",
    )


@model
def deeplabv3_mobilenet_v3_small() -> ZooModel:
    """Describe the network that torchvision's builder makes of the small backbone; it publishes no weights for it."""
    return ZooModel(
        name="deeplabv3-mobilenet-v3-small",
        summary="21-class semantic segmentation, small backbone (atrous pyramid head)",
        contract=voc_segmentation(256),
        licence="BSD-3-Clause",
        network=partial(_mobile_network, "small"),
        checkpoint_hint="weights under torchvision's keys: DeepLabV3 over its mobilenet_v3_small, dilated",
    )


@model
def deeplabv3_mobilenet_v2() -> ZooModel:
    """Describe TensorFlow's network of output stride 16; its weights load under torchvision's names."""
    return ZooModel(
        name="deeplabv3-mobilenet-v2",
        summary="21-class semantic segmentation, 2.1 M parameters (no atrous branches)",
        contract=voc_segmentation(513, "signed"),
        licence="Apache-2.0",
        network=_lite_network,
        rename=_from_tensorflow,
        checkpoint_hint=(
            "TensorFlow's deeplabv3_mnv2_pascal_train_aug, its variables as .npz, or weights under torchvision's keys "
            "(backbone.N of mobilenet_v2's features, classifier.0 of its ASPP)"
        ),
    )


@model
def deeplabv3_plus_mobilenet_v2() -> ZooModel:
    """Describe DeepLabV3+ of output stride 16; the file's second and third names of the backbone are left out."""
    return ZooModel(
        name="deeplabv3-plus-mobilenet-v2",
        summary="21-class semantic segmentation, 5.8 M parameters (atrous pyramid and decoder at stride 4)",
        contract=voc_segmentation(513),
        licence="MIT",
        network=_plus_network,
        checkpoint_hint="the mobilenet file that github.com/jfzhang95/pytorch-deeplab-xception links, .pth.tar",
        unused_keys=("backbone.low_level_features.", "backbone.high_level_features."),
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
