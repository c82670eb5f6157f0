"""Pr-VIPE a quarter as large, which the kit's recipe `pr-vipe-small` trains on synthetic poses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edge.zoo import ZooModel, model
from edge.zoo.pr_vipe import pr_vipe

if TYPE_CHECKING:
    from torch import nn

WIDTH = 512


def _network() -> nn.Module:
    from edge.zoo._pr_vipe import PrVipe

    return PrVipe(width=WIDTH)


@model
def pr_vipe_small() -> ZooModel:
    """Describe the embedding with layers half as wide; contract and decoder are those of `pr-vipe`."""
    return replace(
        pr_vipe(),
        name="pr-vipe-small",
        summary="Pr-VIPE with layers of 512, 1.1 M parameters: 13 keypoints in 2D to a 16-d Gaussian; by `edge train`",
        network=_network,
        checkpoint_hint="the checkpoint of `edge train pr-vipe-small`",
        rename=None,
        trained="pr_vipe_small.safetensors",
        notes=(
            "The input is one person's keypoints, found by another model, with none missing.",
            "Trained on synthetic poses of MakeHuman's body (CC0-1.0) alone: 21 postures with noise; sports and dance "
            "are not among them. Held-out results and a test on a recording are in docs/training.md.",
        ),
    )
