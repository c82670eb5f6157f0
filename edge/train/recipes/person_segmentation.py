"""Person segmentation: LR-ASPP learns masks that are exact on renderings and a teacher's on frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.train.plan import Plan
from edge.train.recipes import Recipe, Setting, recipe
from edge.train.recipes._sources import FRAMES, RENDERED, ROOMS

if TYPE_CHECKING:
    from edge.train.study import Study


def _prepare(setting: Setting) -> Study:
    from edge.train.recipes._person_segmentation import study

    return study(setting)


@recipe
def person_segmentation() -> Recipe:
    """Describe the training of a person's mask."""
    return Recipe(
        name="person-segmentation",
        summary="A person's mask at 192², LR-ASPP on MobileNetV3-Small, from renderings and a teacher's masks",
        model="person-segmentation",
        sources=(RENDERED, FRAMES, ROOMS),
        losses=("binary cross-entropy", "Dice"),
        metric="IoU frames",
        plan=Plan(steps=1500, batch=16, lr=2e-3, ema=0.995, evaluate_every=250),
        prepare=_prepare,
        takes_data=True,
    )
