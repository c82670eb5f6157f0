"""What a killed training goes on from: written whole or not at all, and read without running code from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from edge.disk import disk_errors
from edge.errors import UsageError
from edge.train.recipe import CHECKPOINT, LOSSES, TrainingRecipe

STATE = "state.pt"
UNFINISHED = f".{STATE}.part"  # what a kill while a state is written leaves
_FORMAT = 2


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say what is being trained, so that another training is not taken for it."""

    model: str
    weights: str  # the digest of the weights that it started from
    data: str  # the digest of the pictures
    recipe: TrainingRecipe
    torch: str


@dataclass(frozen=True, slots=True)
class State:
    """A training after `step` steps; random numbers need no state, for every draw is made from its place alone."""

    step: int
    student: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    before: Mapping[str, float]  # the losses per output that training started from
    climbs: int = 0  # of a ternary training's ladder


def write_state(folder: Path, identity: Identity, state: State) -> None:
    """Replace the folder's state; a kill at any moment leaves the old one or the new one."""
    content = {
        "format": _FORMAT,
        "identity": msgspec.json.encode(identity).decode(),
        "step": state.step,
        "student": dict(state.student),
        "optimizer": dict(state.optimizer),
        "before": dict(state.before),
        "climbs": state.climbs,
    }
    replace_state(folder, content)


def replace_state(folder: Path, content: Mapping[str, Any]) -> None:
    """Write a folder's state to a temporary name and rename it."""
    temporary = folder / UNFINISHED
    with disk_errors(folder, "choose another --out"):
        with temporary.open("wb") as stream:
            torch.save(dict(content), stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(folder / STATE)


def read_state(folder: Path, identity: Identity) -> State:
    """Read the folder's state; raises UsageError if there is none, if it is damaged, or of another training."""
    path = folder / STATE
    if not path.is_file():
        raise UsageError(f"{folder} holds no training to resume ({STATE} is not there); leave --resume out")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = msgspec.json.decode(content["identity"], type=Identity)
        state = State(content["step"], content["student"], content["optimizer"], content["before"], content["climbs"])
    except Exception as error:  # torch raises many types on damaged files
        first = str(error).strip().split("\n", 1)[0]
        raise UsageError(f"{path} is damaged or of another version ({first}); start anew in another --out") from error
    if differing := list(_differences(found, identity)):
        raise UsageError(f"{folder} holds another training: {'; '.join(differing)}; choose another --out")
    return state


def _differences(found: Identity, wanted: Identity) -> list[str]:
    texts = {"model": "of the model {}, not {}", "torch": "made by torch {}, not {}"}
    parts = [
        text.format(getattr(found, name), getattr(wanted, name))
        for name, text in texts.items()
        if getattr(found, name) != getattr(wanted, name)
    ]
    if found.model == wanted.model and found.weights != wanted.weights:
        parts.append("it started from other weights")
    if found.data != wanted.data:
        parts.append("on other pictures")
    for name in TrainingRecipe.__struct_fields__:
        old, new = getattr(found.recipe, name), getattr(wanted.recipe, name)
        if old != new:
            parts.append(f"with {name} {old}, not {new}")
    return parts


def cut_losses(folder: Path, steps: int) -> None:
    """Keep the first `steps` lines of the losses: those that the state knows of."""
    path = folder / LOSSES
    lines = path.read_bytes().splitlines(keepends=True)[:steps] if path.is_file() else []
    path.write_bytes(b"".join(lines))


def write_checkpoint(module: nn.Module, folder: Path) -> None:
    """Write a module's weights under its own keys, in one step."""
    from safetensors.torch import save_file

    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    temporary = folder / f".{CHECKPOINT}.part"
    with disk_errors(folder, "choose another --out"):
        save_file(state, temporary, metadata={"format": "pt"})
        temporary.replace(folder / CHECKPOINT)
