"""A tokenizer for phones: pictures of 128² to 80 bytes and back, by L1, L2 and what a network sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.train.plan import Plan
from edge.train.recipes import DataSource, Recipe, Setting, recipe
from edge.train.recipes._sources import RENDERED, ROOMS

if TYPE_CHECKING:
    from edge.train.study import Study

FRAMES = DataSource(name="frames of pose2sim's recordings", licence="BSD-3-Clause", share=0.375)
FEATURES = DataSource(name="EfficientNet-Lite0's weights, made on ImageNet-1k", licence="Apache-2.0", share=0.0)


def _prepare(setting: Setting) -> Study:
    from edge.train.recipes._titok_tiny import study

    return study(setting)


@recipe
def titok_tiny() -> Recipe:
    """Describe the training of both halves; the one checkpoint deploys as either."""
    return Recipe(
        name="titok-tiny",
        summary="Pictures of 128² to 64 tokens of 10 bits and back, single-stage, with a perceptual loss",
        model="titok-tiny",
        sources=(RENDERED, FRAMES, ROOMS, FEATURES),
        losses=("L1", "L2", "perceptual: features of EfficientNet-Lite0", "commitment and codebook"),
        metric="PSNR dB",
        plan=Plan(steps=20_000, batch=32, lr=4e-4, weight_decay=1e-4, ema=0.999, evaluate_every=1000),
        prepare=_prepare,
        takes_data=True,
    )
