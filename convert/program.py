"""Model and Program: the nouns between a checkpoint and an artifact."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import torch
from torch import nn
from torch.export import ExportedProgram

from edge.artifact import Source, Step, encode_json, write_atomic
from edge.contract import Contract


@dataclass(frozen=True, slots=True)
class Model:
    """An eager module in eval mode with its contract; takes inputs and returns outputs in contract order."""

    name: str
    module: nn.Module
    contract: Contract
    source: Source


class _Header(msgspec.Struct, frozen=True):
    name: str
    contract: Contract
    source: Source
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A torch.export graph with its contract and the steps that shaped it; outputs are a flat tuple."""

    name: str
    exported: ExportedProgram
    contract: Contract
    source: Source
    steps: tuple[Step, ...] = field(default=())


def save_program(program: Program, folder: Path) -> None:
    """Write program.pt2 and program.json into `folder`."""
    torch.export.save(program.exported, folder / "program.pt2")
    header = _Header(program.name, program.contract, program.source, program.steps)
    write_atomic(folder / "program.json", encode_json(header))


def load_program(folder: Path) -> Program:
    """Read what `save_program` wrote."""
    header = msgspec.json.decode((folder / "program.json").read_bytes(), type=_Header)
    exported = torch.export.load(folder / "program.pt2")
    return Program(header.name, exported, header.contract, header.source, header.steps)
