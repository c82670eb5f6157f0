"""Core ML target: what it writes computes what the module computes, operator by operator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from convert.export import Flat, example_inputs, export
from convert.program import Model
from convert.targets import TARGETS
from edge.artifact import Artifact, Manifest, Source, list_files
from edge.contract import Contract, TensorSpec
from edge.runtimes import open_session

TOLERANCE = {"fp32": 1e-5, "fp16": 1e-2}  # largest error / largest magnitude of the eager output


def write(
    module: nn.Module, shapes: tuple[tuple[int, ...], ...], precision: str, folder: Path
) -> tuple[Artifact, Model]:
    torch.manual_seed(0)
    inputs = tuple(TensorSpec(name=f"input_{i}", shape=shape) for i, shape in enumerate(shapes))
    source = Source(sha256="0" * 64, licence="Apache-2.0", origin="a test")
    model = Model("tiny", module.eval(), Contract(inputs=inputs), source)
    program = export(model)
    made = TARGETS["coreml"].compile(program, precision, folder)
    manifest = Manifest(
        model="tiny", task="tensors", target="coreml", precision=precision, files=list_files(folder),
        inputs=made.inputs, outputs=made.outputs, steps=made.steps, source=source, needs=made.needs,
    )  # fmt: skip
    return Artifact(folder, manifest), model


def errors(artifact: Artifact, model: Model) -> dict[str, float]:
    """Return max |artifact − eager| / max |eager| per output."""
    # Signed inputs reach both sides of every activation.
    inputs = tuple(4 * tensor - 2 for tensor in example_inputs(model.contract, seed=1))
    with torch.no_grad():
        expected = Flat(model.module)(*inputs)
    named = {spec.name: tensor.numpy() for spec, tensor in zip(model.contract.inputs, inputs, strict=True)}
    found = open_session(artifact).run(named)
    assert all(np.isfinite(array).all() for array in found.values())
    return {
        name: float(np.abs(array.astype(np.float64) - tensor.numpy()).max() / max(1e-6, float(tensor.abs().max())))
        for (name, array), tensor in zip(found.items(), expected, strict=True)
    }


class Function(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor):
        return self.function(*inputs)
