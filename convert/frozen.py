"""A `torch.export` archive as a model: its graph called like a module, its inputs as a contract's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn
from torch.export import ExportedProgram

from edge.contract import TensorSpec, parse_tensor
from edge.errors import UsageError


class FrozenGraph(nn.Module):
    """Call an exported program like a module; it stays in the mode in which it was exported."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.program = program.module(check_guards=False)
        self.training = False

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.program(*inputs)

    def train(self, mode: bool = True) -> FrozenGraph:
        """Leave the graph as it is: an exported one refuses to change its mode."""
        return self


def graph_inputs(program: ExportedProgram, path: Path) -> tuple[TensorSpec, ...]:
    """Return the program's inputs; raises UsageError for inputs that are no tensors or leave a size open."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    return tuple(_spec(str(name), values.get(str(name)), path) for name in program.graph_signature.user_inputs)


def _spec(name: str, value: object, path: Path) -> TensorSpec:
    if not isinstance(value, torch.Tensor):
        raise UsageError(f"{path}: input {name} is no tensor; export the model with tensors as its only inputs")
    if not all(isinstance(size, int) for size in value.shape):
        sizes = "x".join(map(str, value.shape))
        raise UsageError(f"{path}: input {name}={sizes} leaves sizes open; fix them with --input {name}=1x3x256x256")
    shape = "x".join(map(str, value.shape))
    dtype = str(value.dtype).removeprefix("torch.")
    return parse_tensor(f"{name}={shape}:{dtype}") if shape else _scalar(name, dtype)


def _scalar(name: str, dtype: str) -> TensorSpec:
    return msgspec.convert({"name": name, "shape": (), "dtype": dtype}, TensorSpec)
