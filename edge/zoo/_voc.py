"""The contract of networks trained on the 21 classes of Pascal VOC with ImageNet's colour statistics."""

from __future__ import annotations

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec

LABELS = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


def voc_segmentation(side: int) -> Contract:
    """Return the contract of a network from `side`² pictures to per-pixel class logits."""
    return Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, side, side), layout="NCHW"),),
        outputs=(TensorSpec(name="logits", shape=(1, len(LABELS), side, side), layout="NCHW"),),
        task="segmentation",
        preprocess=Preprocess(size=(side, side), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        postprocess=Postprocess(decoder="logits"),
        labels=LABELS,
    )
