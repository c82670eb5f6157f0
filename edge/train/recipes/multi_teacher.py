"""A backbone from several teachers: the small segmenter's features learn to hold what theirs hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.train.plan import Plan
from edge.train.recipes import DataSource, Recipe, Setting, recipe
from edge.train.recipes._sources import RENDERED, ROOMS

if TYPE_CHECKING:
    from edge.train.study import Study

FRAMES = DataSource(name="frames of pose2sim's recordings", licence="BSD-3-Clause", share=0.375)
TEACHERS = DataSource(
    name="features of EfficientNet-Lite0 (ImageNet), answers of blazepose-lite and selfie-segmentation",
    licence="Apache-2.0",
    share=0.0,
)


def _prepare(setting: Setting) -> Study:
    from edge.train.recipes._multi_teacher import study

    return study(setting)


@recipe
def multi_teacher() -> Recipe:
    """Describe the distillation of a backbone, to go on from with `edge train person-segmentation --checkpoint`."""
    return Recipe(
        name="multi-teacher",
        summary="MobileNetV3-Small's features from three teachers; dropped teachers, masked pictures",
        model="person-segmentation",
        sources=(RENDERED, FRAMES, ROOMS, TEACHERS),
        losses=("features of each teacher: cosine and smooth L1, through expendable projectors",),
        metric="R² efficientnet-lite0",
        plan=Plan(steps=4000, batch=16, lr=1e-3, ema=0.995, evaluate_every=500),
        prepare=_prepare,
        takes_data=True,
    )
