"""The models the kit knows by name: one file per family, one `@model` definition per model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge.contract import Contract
from edge.registry import Registry
from edge.store import PackageFile as PackageFile
from edge.store import WeightsFile as WeightsFile

if TYPE_CHECKING:
    from torch import Tensor, nn

TRAINED = Path(__file__).parent / "weights"  # what this project trained
WeightStatus = Literal["real", "trained here", "yours"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bound an artifact's error: |artifact − eager| ≤ relative · max|eager| for every output.

    With `psnr_db`, an output also passes by its root-mean-square error: 16-bit rounding grows through the layers to a
    few isolated pixels that say little of the picture, while a wrong conversion is far below 40 dB.
    """

    relative: float
    psnr_db: float | None = None
    task: Mapping[str, float] = field(default_factory=dict)  # by metric; overrides the task's own limit


# Rounding to 8 bits moves single values far: what is decoded from them decides. A code that changes is a near one.
_EIGHT_BITS = Limits(
    relative=0.25,
    psnr_db=20.0,
    task={"OKS": 0.95, "mean IoU": 0.97, "detection similarity": 0.8, "identical codes": 0.6},
)
_EIGHT_BIT_WEIGHTS = Limits(
    relative=0.1,
    psnr_db=30.0,
    task={"OKS": 0.98, "mean IoU": 0.98, "detection similarity": 0.9, "identical codes": 0.85},
)
DEFAULT_LIMITS: Mapping[str, Limits] = {
    "fp32": Limits(relative=1e-3),
    "fp16": Limits(relative=3e-2, psnr_db=40.0),
    "int8": _EIGHT_BITS,
    "mixed": _EIGHT_BITS,
    "int8-dynamic": _EIGHT_BITS,
    "ternary": _EIGHT_BITS,  # of activations, where the form of the weights asks for it
    "ternary-sparse": _EIGHT_BITS,
    "w4": _EIGHT_BITS,
    "w8": _EIGHT_BIT_WEIGHTS,
    "w8a16": _EIGHT_BIT_WEIGHTS,
}
# Ids are names: how far a wrong one is from the right one says nothing, only how many are right.
TOKEN_IDS: Mapping[str, Limits] = {
    precision: Limits(relative=1.0, task=limits.task) for precision, limits in DEFAULT_LIMITS.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooModel:
    """Describe a model: its contract, where its weights come from and what builds it.

    `graph` is a `.tflite` file that holds graph and weights; `network` builds a module whose weights a
    checkpoint brings. Exactly one of them is set.
    """

    name: str
    summary: str
    contract: Contract
    licence: str
    graph: WeightsFile | None = None
    network: Callable[[], nn.Module] | None = None
    checkpoint_hint: str = ""  # where a user finds published weights for `network`
    unused_keys: tuple[str, ...] = ()  # how keys of the published file begin that `network` does without
    rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None  # another framework's names → `network`'s
    learnt: Callable[[nn.Module], Mapping[str, float]] | None = None  # settings of the decoder that weights bring
    trained: str = ""  # a file of `edge/zoo/weights` with weights that this project trained
    codebook: str = ""  # the key of the code vectors that the decoder looks tokens up in
    limits: Mapping[str, Limits] = field(default_factory=lambda: DEFAULT_LIMITS)
    subject: Literal["", "person"] = ""  # what pictures must show for the result to mean something
    companion: str = ""  # the model that completes this one's task (a landmark model's detector)
    runs: Literal["device", "server"] = "device"  # where it is meant to; nothing is forbidden by it
    notes: tuple[str, ...] = ()  # sentences for the model card: training data, what it cannot do

    @property
    def weight_status(self) -> WeightStatus:
        """Return where weights come from: the publisher's, this project's training, or the user's checkpoint."""
        if self.graph is not None:
            return "real"
        return "trained here" if self.trained else "yours"


MODELS: Registry[ZooModel] = Registry("model", "edge.zoo", command="edge models")


def device_models() -> tuple[str, ...]:
    """Return the names of the models that are meant to run on a phone, in order."""
    return tuple(name for name, entry in MODELS.items() if entry.runs == "device")


def model(define: Callable[[], ZooModel]) -> Callable[[], ZooModel]:
    """Register the model that `define` describes under its name."""
    entry = define()
    MODELS.add(entry.name, entry)
    return define
