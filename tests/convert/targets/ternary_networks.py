"""Small networks with one ternary layer of every type, and how their artifacts are made and run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from convert.export import export, flatten
from convert.passes import optimize
from convert.program import Model, Program
from convert.targets import TARGETS
from convert.ternary import ternary_layers
from edge.artifact import Artifact, Manifest, Source, list_files
from edge.contract import Contract, TensorSpec
from edge.delegation import summarize
from edge.runtimes import open_session
from quant.ternary import TernaryTensor

IMAGE = (1, 8, 9, 10)
LAYERS = {
    "linear": lambda: nn.Linear(24, 12),
    "odd linear": lambda: nn.Linear(24, 7, bias=False),
    "conv 1x1": lambda: nn.Conv2d(8, 12, 1),
    "conv 3x3": lambda: nn.Conv2d(8, 12, 3, padding=1),
    "grouped": lambda: nn.Conv2d(8, 12, 3, padding=1, groups=2),
    "depthwise": lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8),
    "transposed": lambda: nn.ConvTranspose2d(8, 6, 2, stride=2),
}


def ternarize(weight: torch.Tensor, axis: int = 0) -> None:
    """Make a weight ternary in place, with a scale an output channel."""
    with torch.no_grad():
        scale = weight.abs().mean(dim=[i for i in range(weight.dim()) if i != axis], keepdim=True)
        weight.copy_((weight / scale).round().clamp(-1, 1) * scale)


class Twice(nn.Module):
    """A network of `network` whose last layer, and its weight, is used twice."""

    def __init__(self, body):
        super().__init__()
        self.first, self.relu, self.last = body

    def forward(self, x):
        return self.last(self.last(self.relu(self.first(x))))


def network(name: str, layer: nn.Module | None = None, shape: tuple[int, ...] = ()) -> tuple[nn.Module, Contract]:
    """Return a float layer, a ReLU and a ternary layer, with the contract."""
    torch.manual_seed(0)
    last = layer or LAYERS[name]()
    linear = isinstance(last, nn.Linear)
    ternarize(last.weight, axis=int(isinstance(last, nn.ConvTranspose2d)))
    shape = shape or ((1, last.in_features) if linear else IMAGE)
    first = nn.Linear(shape[-1], shape[-1]) if linear else nn.Conv2d(8, 8, 3, padding=1)
    net = nn.Sequential(first, nn.ReLU(), last).eval()
    out = tuple(net(torch.zeros(shape)).shape)
    layout = "" if linear else "NCHW"
    given, made = TensorSpec(name="x", shape=shape, layout=layout), TensorSpec(name="y", shape=out, layout=layout)
    return net, Contract(inputs=(given,), outputs=(made,))


def program_of(net: nn.Module, contract: Contract, target: str) -> Program:
    """Return an exported program after the target's passes."""
    return optimize(export(Model("net", net, contract, Source(sha256="0" * 64))), target)


def tensor_of(program: Program) -> TernaryTensor:
    """Return the one ternary tensor of a program."""
    (layer,) = ternary_layers(program)
    return layer.tensor


def compile_to(folder: Path, program: Program, target: str) -> Artifact:
    """Compile to ternary and return the artifact."""
    folder.mkdir(exist_ok=True)
    compiled = TARGETS[target].compile(program, "ternary", folder)
    manifest = Manifest(
        model=program.name, task="tensors", target=target, precision="ternary", files=list_files(folder),
        inputs=compiled.inputs, outputs=compiled.outputs, steps=compiled.steps, source=program.source,
        needs=compiled.needs, delegation=summarize(compiled.operators, compiled.rejected),
    )  # fmt: skip
    return Artifact(folder, manifest)


def options_of(artifact: Artifact) -> dict[str, str | int | float | bool]:
    """Return the options of the step that wrote the ternary weights."""
    return next(step.options for step in artifact.manifest.steps if step.options.get("kind") == "ternary")


def worst_error(artifact: Artifact, net: nn.Module, contract: Contract) -> float:
    """Return the largest |artifact − eager| / max|eager| over the outputs, for seeded normal inputs."""
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(spec.shape, generator=generator) for spec in contract.inputs]
    found = open_session(artifact).run(
        {spec.name: tensor.numpy() for spec, tensor in zip(contract.inputs, inputs, strict=True)}
    )
    with torch.no_grad():
        wanted = [tensor.numpy() for tensor in flatten(net(*inputs))]
    errors = [
        float(np.abs(found[spec.name] - eager).max() / np.abs(eager).max())
        for spec, eager in zip(contract.outputs, wanted, strict=True)
    ]
    return float(max(errors)) if np.isfinite(errors).all() else float("nan")
