"""kMaX-DeepLab (arXiv:2207.04044), panoptic segmentation of COCO's 133 classes: on ResNet-50 for servers, and small."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import DEFAULT_LIMITS, ZooModel, model
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


@dataclass(frozen=True, slots=True)
class _MobileSizes:
    """Ours: tiny-MOAT-0 in front, whose features have four times the decoder's widths, and a quarter of the work."""

    backbone: int = 0  # the number of the tiny-MOAT
    decoder_blocks: tuple[int, int, int, int] = (1, 2, 1, 1)
    decoder_widths: tuple[int, int, int, int] = (64, 32, 16, 8)
    layers: tuple[int, int, int] = (1, 1, 1)
    queries: int = 64
    width: int = 128
    classes: int = len(THINGS) + len(STUFF)


_MOBILE = _MobileSizes()
# In 16 bits a pixel between two queries goes to either, and moves both a little: isolated values say nothing.
_LIMITS = {**DEFAULT_LIMITS, "fp16": replace(DEFAULT_LIMITS["fp16"], psnr_db=30.0)}
_MOBILE_SIDE = 256


def _mobile_network() -> nn.Module:
    """Build the small network of the same parts."""
    from edge.zoo._kmax import KMaXDeepLab
    from edge.zoo._kmax_pixels import PixelDecoder
    from edge.zoo._kmax_queries import QueryDecoder
    from edge.zoo._moat import MOAT, TINY, Sizes

    own = _MOBILE
    low, middle, high, top = TINY[own.backbone]
    return KMaXDeepLab(
        MOAT(Sizes((low, middle, high, top))),
        PixelDecoder((top, high, middle, low), own.decoder_widths, own.decoder_blocks),
        QueryDecoder(tuple(4 * width for width in own.decoder_widths), own.layers, own.queries, own.width, own.classes),
    )


def _mask_wise(side: int, queries: int, preprocess: Preprocess) -> Contract:
    """Return the contract of `side`² pictures, masks at stride 4 and the thresholds of the published evaluation."""
    return Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, side, side), layout="NCHW"),),
        outputs=(
            TensorSpec(name="class_logits", shape=(1, queries, len(THINGS) + len(STUFF) + 1)),
            TensorSpec(name="mask_logits", shape=(1, queries, (side + 3) // 4, (side + 3) // 4), layout="NCHW"),
        ),
        task="panoptic",
        preprocess=preprocess,
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
    )


@model
def kmax_deeplab_r50() -> ZooModel:
    """Describe kMaX-DeepLab with the thresholds of its published evaluation on COCO."""
    return ZooModel(
        name="kmax-deeplab-r50",
        summary="panoptic segmentation, 80 things and 53 kinds of stuff of COCO, 57 M parameters",
        contract=_mask_wise(_SIDE, 128, Preprocess(size=(_SIDE, _SIDE), resize="corner", range=(-1.0, 1.0))),
        licence="Apache-2.0",
        network=_network,
        checkpoint_hint="the ResNet-50 file for COCO panoptic that github.com/bytedance/kmax-deeplab links, as .pth",
        unused_keys=("sem_seg_head.predictor._auxiliary_semantic_predictor.",),  # a loss of the training only
        runs="server",
    )


@model
def kmax_deeplab_mobile() -> ZooModel:
    """Describe our small kMaX-DeepLab, which no one has published: tiny-MOAT-0, 64 queries, one layer a stride."""
    preprocess = Preprocess(
        size=(_MOBILE_SIDE, _MOBILE_SIDE), resize="corner", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    return ZooModel(
        name="kmax-deeplab-mobile",
        summary="panoptic segmentation by 64 queries, 80 things and 53 kinds of stuff of COCO, 4.8 M parameters",
        contract=_mask_wise(_MOBILE_SIDE, _MOBILE.queries, preprocess),
        licence="Apache-2.0",
        network=_mobile_network,
        limits=_LIMITS,
        checkpoint_hint="your own training as .pth; this size was not published",
    )
