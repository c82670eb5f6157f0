"""ONNX files against eager PyTorch, with tiny networks and with LR-ASPP."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from convert.export import export, flatten
from convert.load import load
from convert.program import Model, Program
from convert.targets import TARGETS
from edge.artifact import Artifact, Manifest, Source, list_files
from edge.contract import Contract, TensorSpec
from edge.delegation import summarize
from edge.errors import Refused
from edge.runtimes import open_session

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the exporter's dependencies
]
LIMIT = {"fp32": 1e-4, "fp16": 2e-2}


class Tiny(nn.Module):
    """An image and a vector in; an image and a vector out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.Hardswish())
        self.head = nn.Linear(8, 5)

    def forward(self, image, bias):
        features = nn.functional.interpolate(self.body(image), scale_factor=2.0, mode="bilinear")
        return {"features": features, "scores": self.head(features.mean((2, 3))) + bias}


CONTRACT = Contract(
    inputs=(TensorSpec(name="image", shape=(1, 3, 16, 20), layout="NCHW"), TensorSpec(name="bias", shape=(1, 5))),
    outputs=(TensorSpec(name="maps", shape=(1, 8, 16, 20), layout="NCHW"), TensorSpec(name="scores", shape=(1, 5))),
    labels=("a", "b"),
)


@pytest.fixture(scope="module")
def tiny() -> Program:
    return export(Model("tiny", Tiny().eval(), CONTRACT, Source(sha256="0" * 64, licence="MIT")))


def compile_to(folder: Path, program: Program, precision: str) -> Artifact:
    compiled = TARGETS["onnx-cpu"].compile(program, precision, folder)
    manifest = Manifest(
        model=program.name, task="tensors", target="onnx-cpu", precision=precision, files=list_files(folder),
        inputs=compiled.inputs, outputs=compiled.outputs, steps=compiled.steps, source=program.source,
        needs=compiled.needs, delegation=summarize(compiled.operators, compiled.rejected),
    )  # fmt: skip
    return Artifact(folder, manifest)


def worst_error(artifact: Artifact, module: nn.Module, contract: Contract) -> float:
    """Return the largest |artifact − eager| / max|eager| over the outputs, for seeded normal inputs."""
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(spec.shape, generator=generator) for spec in contract.inputs]
    named = {spec.name: tensor.numpy() for spec, tensor in zip(contract.inputs, inputs, strict=True)}
    found = open_session(artifact).run(named)
    with torch.no_grad():
        wanted = [tensor.numpy() for tensor in flatten(module(*inputs))]
    assert list(found) == [spec.name for spec in contract.outputs]
    errors = []
    for spec, eager in zip(contract.outputs, wanted, strict=True):
        assert (found[spec.name].shape, found[spec.name].dtype) == (spec.shape, eager.dtype)
        errors.append(float(np.abs(found[spec.name] - eager).max() / np.abs(eager).max()))
    return max(errors)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tiny(tiny, tmp_path, precision):
    import onnx

    artifact = compile_to(tmp_path, tiny, precision)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert worst_error(artifact, Tiny().eval(), CONTRACT) <= LIMIT[precision]
    delegation = artifact.manifest.delegation
    assert delegation is not None
    assert delegation.by_backend == {"CPUExecutionProvider": delegation.ops}
    model = onnx.load(tmp_path / "model.onnx")
    facts = {item.key: item.value for item in model.metadata_props}
    assert facts["model"] == "tiny"
    assert facts["precision"] == precision
    assert facts["labels"] == "a,b"
    assert facts["licence"] == "MIT"
    halves = [item.name for item in model.graph.initializer if item.data_type == onnx.TensorProto.FLOAT16]
    assert bool(halves) == (precision == "fp16")
    assert str(Path(__file__).parent).encode() not in (tmp_path / "model.onnx").read_bytes()


def test_the_same_program_gives_the_same_bytes(tiny):
    from convert.targets.onnx import to_onnx

    assert to_onnx(tiny, "fp16") == to_onnx(tiny, "fp16")


def test_weights_beyond_float16_are_refused(tmp_path):
    module = Tiny().eval()
    with torch.no_grad():
        module.head.weight[0, 0] = 1e6
    program = export(Model("tiny", module, CONTRACT, Source(sha256="")))
    with pytest.raises(Refused, match=r"head\.weight reaches 1e\+06.*fp32"):
        TARGETS["onnx-cpu"].compile(program, "fp16", tmp_path)


@pytest.mark.full
def test_lraspp(tmp_path):
    model = load("lraspp-mobilenet-v3-large", random_weights=True)
    artifact = compile_to(tmp_path, export(model), "fp32")
    assert worst_error(artifact, model.module, model.contract) <= LIMIT["fp32"]
