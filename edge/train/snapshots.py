"""What a killed training of a recipe goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from edge.errors import UsageError
from edge.train.plan import Curve, Plan
from edge.train.state import STATE, replace_state

_FORMAT = 1


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say what is being trained, so that another training is not taken for it."""

    recipe: str
    weights: str  # the digest of the weights that it started from
    data: str  # the digest of the data's records
    plan: Plan
    precision: str
    processes: int
    torch: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A training after `step` steps; random numbers need no state, for every draw is made from its place alone."""

    step: int
    learner: Mapping[str, Any]
    averaged: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    curve: tuple[Curve, ...]
    seconds: float  # of computing so far


def write_snapshot(folder: Path, identity: Identity, snapshot: Snapshot) -> None:
    """Replace the folder's state; a kill at any moment leaves the old one or the new one."""
    content = {
        "format": _FORMAT,
        "identity": msgspec.json.encode(identity).decode(),
        "step": snapshot.step,
        "learner": dict(snapshot.learner),
        "averaged": dict(snapshot.averaged),
        "optimizer": dict(snapshot.optimizer),
        "curve": msgspec.json.encode(snapshot.curve).decode(),
        "seconds": snapshot.seconds,
    }
    replace_state(folder, content)


def read_snapshot(folder: Path, identity: Identity) -> Snapshot:
    """Read the folder's state; raises UsageError if it is damaged or of another training."""
    path = folder / STATE
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = msgspec.json.decode(content["identity"], type=Identity)
        curve = msgspec.json.decode(content["curve"], type=tuple[Curve, ...])
        snapshot = Snapshot(
            content["step"], content["learner"], content["averaged"], content["optimizer"], curve, content["seconds"]
        )
    except Exception as error:  # torch raises many types on damaged files
        first = str(error).strip().split("\n", 1)[0]
        raise UsageError(f"{path} is damaged or of another version ({first}); start anew in another --out") from error
    if differing := _differences(found, identity):
        raise UsageError(f"{folder} holds another training: {'; '.join(differing)}; choose another --out")
    return snapshot


def _differences(found: Identity, wanted: Identity) -> list[str]:
    texts = {
        "recipe": "of the recipe {}, not {}", "torch": "made by torch {}, not {}", "precision": "in {}, not {}",
        "processes": "with --devices {}, not {}", "weights": "it started from other weights", "data": "on other data",
    }  # fmt: skip
    parts = [
        text.format(getattr(found, name), getattr(wanted, name))
        for name, text in texts.items()
        if getattr(found, name) != getattr(wanted, name)
    ]
    for name in Plan.__struct_fields__:
        old, new = getattr(found.plan, name), getattr(wanted.plan, name)
        if old != new:
            parts.append(f"with {name} {old}, not {new}")
    return parts
