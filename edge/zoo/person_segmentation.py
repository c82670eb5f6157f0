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
        checkpoint_hint="the checkpoint of `edge train person-segmentation`",
    )
