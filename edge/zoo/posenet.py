"""PoseNet: several people's poses in one pass, with PersonLab's heads on MobileNetV1.

Source: Papandreou et al., "PersonLab", 2018 (arXiv:1803.08225); weights of the TensorFlow.js release.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import TfjsGraph, ZooModel, model
from edge.zoo._human_models import human_model

if TYPE_CHECKING:
    from torch import nn

SIDE = 385  # 16 k + 1: the corners of the grid are corners of the picture
_GRID = (SIDE - 1) // 16 + 1
_HEADS = re.compile(r"(heatmap|offset|displacement_fwd|displacement_bwd)_2\w*\.(weight|bias)$")
_LAYERS = re.compile(r"Conv2d_(\d+)(?:_(depthwise|pointwise))?\w*\.(weight|bias)$")


def _network() -> nn.Module:
    from edge.zoo._posenet import PoseNet

    return PoseNet()


def _key(name: str) -> str:
    """Return the network's name of a parameter of the TensorFlow.js graph."""
    if head := _HEADS.search(name):
        return f"{head[1]}.{head[2]}"
    if layer := _LAYERS.search(name):
        return f"features.conv{layer[1]}.{layer[2] or 'conv'}.{layer[3]}"
    return name


def pose_planes() -> tuple[TensorSpec, ...]:
    """Return the outputs that poses are decoded from."""
    planes = {"heatmap": 17, "offset": 34, "displacement_fwd": 32, "displacement_bwd": 32}
    return tuple(TensorSpec(name=name, shape=(1, count, _GRID, _GRID), layout="NCHW") for name, count in planes.items())


@model
def posenet_mobilenetv1() -> ZooModel:
    """Describe the 0.75 wide network at output stride 16."""
    return ZooModel(
        name="posenet-mobilenetv1",
        summary="PoseNet on MobileNetV1-0.75, 385 × 385, 1.3 M parameters: 17 keypoints of several people",
        licence="Apache-2.0",
        subject="person",
        graph=TfjsGraph(
            topology=human_model(
                "posenet.json", "a0070d53d9e2b085a9df22be217658f9416df055770a020ee0bef9bfa44ff0d4", 32_300
            ),
            weights=human_model(
                "posenet.bin", "15e9a22e499fe09307b077ee9bd37939987a5e20acb1a17506ccdf1cb72cd433", 5_032_780
            ),
        ),
        network=_network,
        key=_key,
        checkpoint_hint="a mobilenet_v1_075 of rwightman/posenet-pytorch",
        contract=Contract(
            inputs=(TensorSpec(name="image", shape=(1, 3, SIDE, SIDE), layout="NCHW"),),
            outputs=pose_planes(),
            task="keypoints",
            preprocess=Preprocess(size=(SIDE, SIDE), resize="letterbox", range=(-1.0, 1.0)),
            postprocess=Postprocess(
                decoder="personlab",
                settings={"stride": 16.0, "score_threshold": 0.5, "nms_radius": 20.0, "instance_threshold": 0.2},
            ),
            labels=("person",),
        ),
    )
