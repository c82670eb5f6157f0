"""Model and Program: the nouns between a checkpoint and an artifact."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram

from convert.frozen import load_archive
from convert.header import Header, read_header, write_header
from convert.reference import Arrays
from edge.artifact import Source, Step, write_atomic
from edge.codebooks import CODEBOOK, codebook_bytes, codebook_name
from edge.contract import Contract
from edge.errors import Refused
from edge.store import content_key
from quant.recipe import PLAIN, Recipe


@dataclass(frozen=True, slots=True)
class Model:
    """An eager module in eval mode with its contract; takes inputs and returns outputs in contract order."""

    name: str
    module: nn.Module
    contract: Contract
    source: Source


@dataclass(frozen=True, slots=True)
class Program:
    """A torch.export graph with its contract and the steps that shaped it; outputs are a flat tuple."""

    name: str
    exported: ExportedProgram
    contract: Contract
    source: Source
    steps: tuple[Step, ...] = field(default=())
    calibration: tuple[Arrays, ...] = field(default=(), repr=False)  # real inputs, for precisions that need ranges
    recipe: Recipe = PLAIN

    def calibration_tensors(self) -> list[tuple[torch.Tensor, ...]]:
        """Return the calibration inputs in the contract's order; raises Refused if there are none."""
        if not self.calibration:
            raise Refused(
                f"{self.name} has no pictures to measure the range of its activations on, which 8-bit activations "
                "need; give it some with --data DIR if it takes pictures, or ask for fp16 or fp32"
            )
        names = [spec.name for spec in self.contract.inputs]
        return [tuple(torch.from_numpy(inputs[name].copy()) for name in names) for inputs in self.calibration]


def save_program(program: Program, folder: Path) -> None:
    """Write program.pt2, program.json and the codebook that decoding needs, if any, into `folder`."""
    torch.export.save(program.exported, folder / "program.pt2")
    if codebook_name(program.contract.postprocess):
        write_atomic(folder / CODEBOOK, codebook_bytes(program.contract.postprocess))
    write_header(folder, Header(program.name, program.contract, program.source, program.steps))


def load_program(folder: Path) -> Program:
    """Read what `save_program` wrote."""
    header = read_header(folder)
    exported = load_archive(folder / "program.pt2")
    return Program(header.name, exported, header.contract, header.source, header.steps)


def weights_digest(module: nn.Module) -> str:
    """Return the hex SHA-256 of a module's state: names, shapes, dtypes and bytes, in name order."""
    return _digest(module.state_dict()).hexdigest()


def program_digest(program: Program, *parts: str) -> str:
    """Return a key of a program's graph, weights and contract, joined with further parts."""
    weights = _digest({**program.exported.state_dict, **program.exported.constants})
    names = (program.name, str(program.source), str(program.steps), str(program.contract))
    return content_key(*names, str(program.exported.graph), weights.hexdigest(), *parts)


def _digest(tensors: Mapping[str, object]) -> hashlib._Hash:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest
