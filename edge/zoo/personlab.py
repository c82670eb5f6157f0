"""PersonLab: several people's poses and outlines in one pass, on MobileNetV1.

Source: Papandreou et al., "PersonLab", 2018 (arXiv:1803.08225). No weights are published for these heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import ZooModel, model
from edge.zoo.posenet import SIDE, pose_planes

if TYPE_CHECKING:
    from torch import nn


def _network() -> nn.Module:
    from edge.zoo._posenet import PersonLab

    return PersonLab()


@model
def personlab_mobilenetv1() -> ZooModel:
    """Describe PoseNet's network with heads for long-range offsets and the mask of all people."""
    grid = pose_planes()[0].shape[2:]
    return ZooModel(
        name="personlab-mobilenetv1",
        summary="PersonLab on MobileNetV1-0.75, 385 × 385, 1.3 M parameters: poses and outlines of several people",
        licence="Apache-2.0",
        subject="person",
        network=_network,
        checkpoint_hint="PersonLab weights of your own: PoseNet's keys, long_offset.* and mask.*; none are published",
        contract=Contract(
            inputs=(TensorSpec(name="image", shape=(1, 3, SIDE, SIDE), layout="NCHW"),),
            outputs=(
                *pose_planes(),
                TensorSpec(name="long_offset", shape=(1, 34, *grid), layout="NCHW"),
                TensorSpec(name="mask", shape=(1, 1, *grid), layout="NCHW"),
            ),
            task="person-instances",
            preprocess=Preprocess(size=(SIDE, SIDE), resize="letterbox", range=(-1.0, 1.0)),
            postprocess=Postprocess(
                decoder="personlab-instances",
                settings={
                    "stride": 16.0,
                    "score_threshold": 0.5,
                    "nms_radius": 20.0,
                    "instance_threshold": 0.2,
                    "mask_threshold": 0.5,
                    "embedding_threshold": 0.25,
                },
            ),
            labels=("person",),
        ),
    )
