"""A small landmark model, distilled from BlazePose-heavy on frames and taught by exact truth on renderings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.train.plan import Plan
from edge.train.recipes import DataSource, Recipe, Setting, recipe
from edge.train.recipes._sources import FRAMES, RENDERED, ROOMS

if TYPE_CHECKING:
    from edge.train.study import Study

IMAGENET = DataSource(name="EfficientNet-Lite0's weights, made on ImageNet-1k", licence="Apache-2.0", share=0.0)


def _prepare(setting: Setting) -> Study:
    from edge.train.recipes._pose_student import study

    return study(setting)


@recipe
def pose_student() -> Recipe:
    """Describe the training of the landmark model."""
    return Recipe(
        name="pose-student",
        summary="33 landmarks at 192², EfficientNet-Lite0, from mixed batches of renderings and a teacher's labels",
        model="pose-student",
        sources=(RENDERED, FRAMES, ROOMS, IMAGENET),
        losses=("heatmaps: binary cross-entropy", "places: L1", "world: L1", "visibility and presence: cross-entropy"),
        metric="OKS frames",
        plan=Plan(steps=2800, batch=16, lr=1e-3, ema=0.995, evaluate_every=250),
        prepare=_prepare,
        takes_data=True,
    )
