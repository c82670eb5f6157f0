"""The contract of networks trained on the 21 classes of Pascal VOC."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec

LABELS = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

_SCALINGS = {  # of colours: ImageNet's statistics, or to −1…1
    "imagenet": Preprocess(size=(1, 1), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "signed": Preprocess(size=(1, 1), range=(-1.0, 1.0)),
}


def voc_segmentation(side: int, colours: Literal["imagenet", "signed"] = "imagenet") -> Contract:
    """Return the contract of a network from `side`² pictures to per-pixel class logits; `colours` says how scaled."""
    return Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, side, side), layout="NCHW"),),
        outputs=(TensorSpec(name="logits", shape=(1, len(LABELS), side, side), layout="NCHW"),),
        task="segmentation",
        preprocess=msgspec.structs.replace(_SCALINGS[colours], size=(side, side)),
        postprocess=Postprocess(decoder="logits"),
        labels=LABELS,
    )
