"""Panoptic-DeepLab on MobileNetV3 (arXiv:1911.10194): things, grouped around their centres, and stuff of COCO."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import ZooModel, model
from edge.zoo._coco import STUFF, THINGS

if TYPE_CHECKING:
    from torch import nn

_SIDE = 640
_STRIDE = 4  # of the outputs
_LABELS = (*THINGS, *STUFF)


def _network(size: Literal["large", "small"]) -> nn.Module:
    from edge.zoo import _mobilenet_v3 as mobilenet
    from edge.zoo._panoptic_deeplab import PanopticDeepLab, instance_branch, semantic_branch

    variant = {"large": mobilenet.LARGE, "small": mobilenet.SMALL}[size]
    channels = (*variant.dense_channels, variant.deep_channels)
    backbone = mobilenet.DenseBackbone(variant)
    return PanopticDeepLab(backbone, channels, semantic_branch(len(_LABELS)), instance_branch())


def _contract() -> Contract:
    """Return the contract, with the decoder's settings of the published configurations for COCO."""
    planes = {"semantic_logits": len(_LABELS), "centre_heatmap": 1, "offsets": 2}
    side = _SIDE // _STRIDE
    return Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, _SIDE, _SIDE), layout="NCHW"),),
        outputs=tuple(
            TensorSpec(name=name, shape=(1, count, side, side), layout="NCHW") for name, count in planes.items()
        ),
        task="panoptic",
        preprocess=Preprocess(
            size=(_SIDE, _SIDE), resize="corner", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        ),
        postprocess=Postprocess(
            decoder="centre-grouping",
            settings={
                "things": len(THINGS),
                "centre_threshold": 0.1,
                "window": 41,
                "most_centres": 200,
                "least_stuff": 4096,
            },
        ),
        labels=_LABELS,
    )


def _describe(size: Literal["large", "small"], summary: str) -> ZooModel:
    return ZooModel(
        name=f"panoptic-deeplab-mobilenet-v3-{size}",
        summary=f"panoptic segmentation, 80 things and 53 kinds of stuff of COCO, {summary}",
        contract=_contract(),
        licence="Apache-2.0",
        network=partial(_network, size),
        checkpoint_hint=(
            "weights under detectron2's keys (projects/Panoptic-DeepLab) over torchvision's MobileNetV3; "
            "published are TensorFlow's alone"
        ),
    )


@model
def panoptic_deeplab_mobilenet_v3_large() -> ZooModel:
    """Describe the network on MobileNetV3-Large."""
    return _describe("large", "on MobileNetV3-Large")


@model
def panoptic_deeplab_mobilenet_v3_small() -> ZooModel:
    """Describe the network on MobileNetV3-Small."""
    return _describe("small", "on MobileNetV3-Small")
