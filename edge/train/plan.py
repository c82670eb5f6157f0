"""How long and how a recipe trains, and what it says of itself afterwards."""

from __future__ import annotations

import math

import msgspec

from edge.artifact import Source

SCHEMA = 1


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frozen, keyword-only, and an unknown key is an error."""


class Plan(_Record, kw_only=True):
    """Fix everything that shapes the weights but the model and the data.

    `lr` is the largest learning rate of AdamW; it rises over the first `warmup` of the steps and falls as half a cosine
    to `floor` of itself. `ema` is how much of the averaged weights a step leaves as they are; the averaged ones are
    evaluated and written.
    """

    steps: int
    batch: int
    lr: float
    weight_decay: float = 0.01  # of matrices and kernels; norms and biases bear none
    warmup: float = 0.05  # share of the steps
    floor: float = 0.01  # share of lr
    clip: float = 1.0  # largest norm of a step's gradient
    ema: float = 0.999
    evaluate_every: int = 500  # steps
    seed: int = 0


def planned_rate(plan: Plan, step: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    rise = max(1, round(plan.warmup * plan.steps))
    if step < rise:
        return plan.lr * (step + 1) / rise
    done = (step - rise) / max(1, plan.steps - rise)
    return plan.lr * (plan.floor + (1.0 - plan.floor) * 0.5 * (1.0 + math.cos(math.pi * done)))


class SourceRecord(_Record, kw_only=True):
    """Say what was trained on and what was held back, of one source of data."""

    name: str
    licence: str
    training: int  # examples; 0: as many different ones as were drawn
    held_out: int
    sha256: str  # of the files that it is made from; empty where there are none


class Curve(_Record, kw_only=True):
    """The metrics of the averaged weights after some steps, on the held-out data."""

    step: int
    metrics: dict[str, float]


class RecipeReport(_Record, kw_only=True):
    """The contents of train.json."""

    schema: int = SCHEMA
    recipe: str
    model: str
    initial: Source  # the weights that training started from
    checkpoint_sha256: str
    plan: Plan
    smoke: bool
    data: list[SourceRecord]
    parameters: int  # of the model
    metrics: dict[str, float]  # of what was written, on the held-out data
    references: dict[str, float]  # baselines and teachers, on the same data
    curve: list[Curve]
    device: str
    precision: str
    processes: int
    threads: int
    seconds: float  # of all runs of a resumed training
    versions: dict[str, str]
