"""A person's mask by LR-ASPP on MobileNetV3-Small, trained by the kit's recipe `person-segmentation`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import ZooModel, model

if TYPE_CHECKING:
    from torch import nn

_SIDE = 192


def _network() -> nn.Module:
    from edge.zoo._person_segmentation import PersonSegmenter

    return PersonSegmenter()


@model
def person_segmentation() -> ZooModel:
    """Describe the segmenter: the whole picture in 192², the probability of a person."""
    return ZooModel(
        name="person-segmentation",
        summary="Person segmentation, 192 × 192, LR-ASPP on MobileNetV3-Small, 1.1 M parameters; by `edge train`",
        licence="Apache-2.0",
        subject="person",
        contract=Contract(
            inputs=(TensorSpec(name="image", shape=(1, 3, _SIDE, _SIDE), layout="NCHW"),),
            outputs=(TensorSpec(name="mask", shape=(1, 1, _SIDE, _SIDE), layout="NCHW"),),  # probability of a person
            task="segmentation",
            preprocess=Preprocess(size=(_SIDE, _SIDE), resize="letterbox", range=(-1.0, 1.0)),
            postprocess=Postprocess(decoder="probability", settings={"threshold": 0.5}),
            labels=("background", "person"),
        ),
        network=_network,
        trained="person_segmentation.safetensors",
        checkpoint_hint="the checkpoint of `edge train person-segmentation`",
        notes=(
            "Trained for minutes on renderings and on 100 frames, most of one man, all in one room: a start for a "
            "training on your own pictures (`edge train person-segmentation --checkpoint … --data …`), not a rival of "
            "selfie-segmentation, which is better on frames that neither has seen (IoU 0.65 against 0.47; "
            "docs/training.md).",
        ),
    )
