"""A landmark model under 5 MB that the kit's recipe `pose-student` distils from BlazePose-heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import ZooModel, model

if TYPE_CHECKING:
    from torch import nn

_SIDE = 192
_MEAN, _STD = (127 / 255,) * 3, (128 / 255,) * 3  # of the ImageNet weights that training starts from


def _network() -> nn.Module:
    from edge.zoo._pose_student import PoseStudent

    return PoseStudent()


@model
def pose_student() -> ZooModel:
    """Describe the student: BlazePose's outputs without the mask, at 192²."""
    return ZooModel(
        name="pose-student",
        summary="Pose landmarks, 192 × 192, EfficientNet-Lite0: 33 points in 2D and 3D; distilled by `edge train`",
        licence="Apache-2.0",
        contract=Contract(
            inputs=(TensorSpec(name="image", shape=(1, 3, _SIDE, _SIDE), layout="NCHW"),),
            outputs=(
                TensorSpec(name="landmarks", shape=(1, 165)),  # 33 × (x, y, z in pixels, visibility, presence logits)
                TensorSpec(name="presence", shape=(1, 1)),  # probability
                TensorSpec(name="heatmap", shape=(1, 33, 48, 48), layout="NCHW"),  # logits
                TensorSpec(name="world", shape=(1, 99)),  # 33 × (x, y, z) in metres from the hips' middle
            ),
            task="pose-landmarks",
            preprocess=Preprocess(size=(_SIDE, _SIDE), resize="letterbox", mean=_MEAN, std=_STD),
            postprocess=Postprocess(decoder="landmarks"),
        ),
        network=_network,
        trained="pose_student.safetensors",
        checkpoint_hint="the checkpoint of `edge train pose-student`",
        notes=(
            "Trained for an hour on renderings and on 100 frames, most of one man, all in one room, as an example of "
            "the recipe: far less accurate than its teacher and than blazepose-lite (docs/training.md). A start for a "
            "training on your own pictures (`edge train pose-student --checkpoint … --data …`), not for use as it is.",
        ),
        companion="blazepose-detector",
    )
