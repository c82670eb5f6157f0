"""Pr-VIPE: a person's 2D keypoints as a point of a space in which views of one pose lie together.

Source: Sun et al., "View-Invariant Probabilistic Embedding for Human Pose" (ECCV 2020, arXiv:1912.01001; IJCV 2021,
arXiv:2010.13321).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.contract import Contract, Postprocess, TensorSpec
from edge.tasks.embedding import FIRST_OFFSET, FIRST_SLOPE, KEYPOINT_NAMES
from edge.zoo import ZooModel, model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

_SIZE = 16


def _network() -> nn.Module:
    from edge.zoo._pr_vipe import PrVipe

    return PrVipe(size=_SIZE)


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    from edge.zoo._pr_vipe import from_tensorflow

    return from_tensorflow(tensors)


def _learnt(module: nn.Module) -> dict[str, float]:
    from edge.zoo._pr_vipe import learnt_settings

    return learnt_settings(module)


@model
def pr_vipe() -> ZooModel:
    """Describe the embedding of 13 keypoints as a Gaussian of 16 dimensions."""
    return ZooModel(
        name="pr-vipe",
        summary="Pr-VIPE, 4.3 M parameters: 13 keypoints in 2D to a 16-d Gaussian that is alike from every view",
        licence="Apache-2.0",
        contract=Contract(
            inputs=(TensorSpec(name="keypoints", shape=(1, len(KEYPOINT_NAMES), 2)),),  # x, y; normalised by the torso
            outputs=(
                TensorSpec(name="mean", shape=(1, _SIZE)),
                TensorSpec(name="sigma", shape=(1, _SIZE)),  # standard deviations
            ),
            task="pose-embedding",
            postprocess=Postprocess(decoder="gaussian", settings={"a": FIRST_SLOPE, "b": FIRST_OFFSET}),
            labels=KEYPOINT_NAMES,
        ),
        network=_network,
        checkpoint_hint="a safetensors or npz of a google-research/poem training's variables, or a state dict",
        notes=(
            "No weights were published; google-research/poem trains them on Human3.6M, whose licence is for research.",
            "The input is one person's keypoints, found by another model, none missing, x before y; they are moved to "
            "the middle of the hips, and the longest line between shoulders and hips is scaled to ½.",
        ),
        rename=_renamed,
        learnt=_learnt,
    )
