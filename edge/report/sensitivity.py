"""The records of sensitivity.json: what rounding each layer of a program costs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from edge.errors import InputError

SENSITIVITY = "sensitivity.json"
Mode = Literal["one", "leave-one-out"]


class Damage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Measure rounding: the signal-to-noise ratio of every output in dB, and what the task's metric lost.

    In mode `leave-one-out` both say what leaving the layer in float wins: dB and metric above those of everything
    rounded.
    """

    sqnr_db: dict[str, float]  # by output
    drop: float | None = None  # of the metric, whose best is 1; None: the task has none, or no picture shows anything

    @property
    def worst_db(self) -> float:
        """Return the lowest ratio of any output."""
        return min(self.sqnr_db.values(), default=0.0)


class LayerSensitivity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say what rounding one layer costs: its weights, its result, and both."""

    rank: int  # 1 is the most sensitive
    depth: int  # position in execution order
    name: str
    op: str
    operators: tuple[str, ...]  # of the program; none for an input
    both: Damage
    weights: Damage | None = None  # of layers that have some
    activation: Damage


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rank a program's layers by what rounding them costs; simulated in eager PyTorch."""

    schema: Literal[1] = 1
    model: str
    program: str  # key of the exported program
    family: str  # whose graph passes shaped the program
    data: str  # which pictures
    count: int  # of them
    scored: int  # of these, with a result that the metric can compare
    mode: Mode
    metric: str
    observer: str
    whole: Damage  # everything rounded
    layers: tuple[LayerSensitivity, ...]  # most sensitive first
    seconds: float = 0.0


def read_sensitivity(path: Path) -> Sensitivity:
    """Read a sensitivity.json, or that of a folder; raises InputError."""
    file = path / SENSITIVITY if path.is_dir() else path
    try:
        return msgspec.json.decode(file.read_bytes(), type=Sensitivity)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; make one with `edge sensitivity MODEL --out DIR`") from None
    except msgspec.MsgspecError as error:
        raise InputError(f"{file}: {error}; make it again with `edge sensitivity MODEL --out DIR`") from None
