"""What a training is asked to do, and what it says of itself afterwards."""

from __future__ import annotations

import msgspec

from edge.artifact import Source

SCHEMA = 1
CHECKPOINT = "checkpoint.safetensors"
RECORD = "train.json"
LOSSES = "losses.jsonl"
LEARNING_RATE = {"int8": 2e-5, "ternary": 2e-3}  # by precision


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frozen, keyword-only, and an unknown key is an error."""


class TrainingRecipe(_Record, kw_only=True):
    """Fix everything that shapes the weights but the model and the pictures.

    `lr` is the largest learning rate of Adam, relative to the size of each tensor's numbers; it rises over the first
    `warmup` of the steps and falls as a cosine. Ternary weights set in over the first `onset` of the steps. With
    `max_drop`, a share of the task's metric, layers that cost more go to 4 and to 8 bits, and rounds of half as many
    steps follow.
    """

    precision: str = "int8"
    steps: int = 400
    batch: int = 4
    lr: float = 2e-5
    warmup: float = 0.05  # share of the steps
    onset: float = 0.4  # share of the steps
    clip: float = 1.0  # largest norm of a step's gradient
    seed: int = 0
    max_drop: float | None = None

    @property
    def later_steps(self) -> int:
        """Return the steps of a round after the first."""
        return max(1, self.steps // 2)


class DataRecord(_Record, kw_only=True):
    """Say which pictures were trained on and which the losses were measured on."""

    name: str
    training: int
    validation: int
    validation_seen: bool  # there were too few pictures to hold any back
    sha256: str  # of all of them, in order


class LossRecord(_Record, kw_only=True):
    """The distance to the float model that the training started from, on validation pictures, per output and in all.

    `before` and `after` are of the weights rounded anew, with ranges measured on training pictures as deploying does;
    `learnt_ranges` is of the trained weights with the ranges that training ended with, `unrounded` of them as they are.
    """

    before: float
    after: float
    learnt_ranges: float
    unrounded: float
    before_outputs: dict[str, float]
    after_outputs: dict[str, float]


class LadderRecord(_Record, kw_only=True):
    """The task's metric against the float model on the validation pictures, and which weights have which codes."""

    metric: str
    value: float
    pictures: int  # in which the float model finds something
    met: bool  # within the budget; true without one
    climbs: int
    weights: dict[str, int]  # ternary, int4, int8


class TrainReport(_Record, kw_only=True):
    """The contents of train.json."""

    schema: int = SCHEMA
    model: str
    source: Source
    checkpoint_sha256: str
    recipe: TrainingRecipe
    data: DataRecord
    trained: int  # parameters, counted as numbers
    rounded: int  # activations that 8-bit codes are simulated for
    ternary: int = 0  # weights that are ternary, counted as numbers
    ladder: LadderRecord | None = None  # of a ternary training
    loss: LossRecord
    device: str
    processes: int
    threads: int
    seconds: float  # of this run; a resumed training's earlier runs are not in it
    versions: dict[str, str]
