"""MaskConver on a mobile backbone (arXiv:2312.06052): panoptic segmentation by convolutions, 3.4 M parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import ZooModel, model
from edge.zoo._coco_ids import FIRST_STUFF, LABELS

if TYPE_CHECKING:
    from torch import nn

_SIDE = 256
_STRIDE = 8  # of all outputs
_DEPTH = 256  # of an embedding


def _network() -> nn.Module:
    from edge.zoo._maskconver import MaskConver

    return MaskConver(classes=len(LABELS), width=_DEPTH)


@model
def maskconver_mobilenet() -> ZooModel:
    """Describe MaskConver with the settings of its published evaluation on COCO at 256²."""
    side = _SIDE // _STRIDE
    return ZooModel(
        name="maskconver-mobilenet",
        summary="panoptic segmentation, 80 things and 53 kinds of stuff of COCO, 3.4 M parameters",
        contract=Contract(
            inputs=(TensorSpec(name="image", shape=(1, 3, _SIDE, _SIDE), layout="NCHW"),),
            outputs=(
                TensorSpec(name="class_heatmap", shape=(1, len(LABELS), side, side), layout="NCHW"),
                TensorSpec(name="centre_embeddings", shape=(1, _DEPTH, side, side), layout="NCHW"),
                TensorSpec(name="pixel_embeddings", shape=(1, _DEPTH, side, side), layout="NCHW"),
            ),
            task="panoptic",
            preprocess=Preprocess(
                size=(_SIDE, _SIDE), resize="corner", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
            ),
            postprocess=Postprocess(
                decoder="mask-centres",
                settings={
                    "things": FIRST_STUFF,
                    "centres": 50,
                    "threshold": 0.01,
                    "overlap": 0.7,
                    "least_area": 256 / 640**2,
                },
            ),
            labels=LABELS,
        ),
        licence="Apache-2.0",
        network=_network,
        codebook="mask_embedding",
        checkpoint_hint="your own training as .pth; no weights were published",
    )
