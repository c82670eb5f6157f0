"""kMaX-DeepLab on ResNet-50 (arXiv:2207.04044): panoptic segmentation with COCO's 133 classes, for servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import ZooModel, model
from edge.zoo._coco import STUFF, THINGS

if TYPE_CHECKING:
    from torch import nn

_SIDE = 1281


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The published sizes, which follow from the repository's configs/coco/panoptic_segmentation/kmax_r50.yaml."""

    backbone_blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    backbone_width: int = 64
    decoder_blocks: tuple[int, int, int, int] = (1, 5, 1, 1)  # at stride 32, 16, 8 and 4
    decoder_widths: tuple[int, int, int, int] = (512, 256, 128, 64)
    layers: tuple[int, int, int] = (2, 2, 2)  # k-means layers at stride 32, 16 and 8
    queries: int = 128
    width: int = 256  # of a query
    classes: int = len(THINGS) + len(STUFF)


def _network(sizes: _Sizes | None = None) -> nn.Module:
    """Build the network; tests pass smaller sizes."""
    from edge.zoo._kmax import KMaXDeepLab
    from edge.zoo._kmax_pixels import PixelDecoder, ResNet
    from edge.zoo._kmax_queries import QueryDecoder

    own = sizes or _Sizes()
    w = own.backbone_width
    return KMaXDeepLab(
        ResNet(own.backbone_blocks, w),
        PixelDecoder((32 * w, 16 * w, 8 * w, 4 * w), own.decoder_widths, own.decoder_blocks),
        QueryDecoder(tuple(4 * width for width in own.decoder_widths), own.layers, own.queries, own.width, own.classes),
    )


@model
def kmax_deeplab_r50() -> ZooModel:
    """Describe kMaX-DeepLab with the thresholds of its published evaluation on COCO."""
    queries, classes, side = 128, len(THINGS) + len(STUFF), (_SIDE + 3) // 4
    return ZooModel(
        name="kmax-deeplab-r50",
        summary="panoptic segmentation, 80 things and 53 kinds of stuff of COCO, 57 M parameters",
        contract=Contract(
            inputs=(TensorSpec(name="image", shape=(1, 3, _SIDE, _SIDE), layout="NCHW"),),
            outputs=(
                TensorSpec(name="class_logits", shape=(1, queries, classes + 1)),
                TensorSpec(name="mask_logits", shape=(1, queries, side, side), layout="NCHW"),
            ),
            task="panoptic",
            preprocess=Preprocess(size=(_SIDE, _SIDE), resize="corner", range=(-1.0, 1.0)),
            postprocess=Postprocess(
                decoder="mask-wise",
                settings={
                    "things": len(THINGS),
                    "pixel_confidence": 0.4,
                    "thing_confidence": 0.7,
                    "stuff_confidence": 0.5,
                    "least_visible": 0.8,
                    "class_weight": 1.0,
                    "mask_weight": 1.0,
                },
            ),
            labels=(*THINGS, *STUFF),
        ),
        licence="Apache-2.0",
        network=_network,
        checkpoint_hint="the ResNet-50 file for COCO panoptic that github.com/bytedance/kmax-deeplab links, as .pth",
        unused_keys=("sem_seg_head.predictor._auxiliary_semantic_predictor.",),  # a loss of the training only
        runs="server",
    )
