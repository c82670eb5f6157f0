"""LiteRT files against eager PyTorch, with tiny networks and with LR-ASPP."""

import subprocess
import sys
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
    pytest.mark.slow,  # importing the converter alone takes longer than a fast test may
    pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the converter's dependencies
]
LIMIT = {"fp32": 1e-4, "fp16": 2e-2}


class Tiny(nn.Module):
    """An image and a vector in; an image and a vector out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.Hardswish())
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.head = nn.Linear(8, 5)

    def forward(self, image, bias):
        features = self.depth(self.body(image))
        return {
            "features": features,
            "scores": self.head(nn.functional.adaptive_avg_pool2d(features, 1).flatten(1)) + bias,
        }


CONTRACT = Contract(
    inputs=(TensorSpec(name="image", shape=(1, 3, 16, 20), layout="NCHW"), TensorSpec(name="bias", shape=(1, 5))),
    outputs=(TensorSpec(name="maps", shape=(1, 8, 8, 10), layout="NCHW"), TensorSpec(name="scores", shape=(1, 5))),
)


@pytest.fixture(scope="module")
def tiny() -> Program:
    return export(Model("tiny", Tiny().eval(), CONTRACT, Source(sha256="0" * 64)))


def compile_to(folder: Path, program: Program, target_id: str, precision: str) -> Artifact:
    compiled = TARGETS[target_id].compile(program, precision, folder)
    manifest = Manifest(
        model=program.name, task="tensors", target=target_id, precision=precision, files=list_files(folder),
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
    assert set(found) == {spec.name for spec in contract.outputs}
    errors = []
    for spec, eager in zip(contract.outputs, wanted, strict=True):
        assert (found[spec.name].shape, found[spec.name].dtype) == (spec.shape, eager.dtype)
        errors.append(float(np.abs(found[spec.name] - eager).max() / np.abs(eager).max()))
    return max(errors)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tiny(tiny, tmp_path, precision):
    artifact = compile_to(tmp_path, tiny, "litert-cpu", precision)
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
    assert worst_error(artifact, Tiny().eval(), CONTRACT) <= LIMIT[precision]
    delegation = artifact.manifest.delegation
    assert delegation is not None
    assert (delegation.by_unit, delegation.rejected) == ({"cpu": delegation.ops}, ())
    assert artifact.manifest.needs.min_runtime.startswith("TensorFlow Lite 2.")


def test_the_same_program_gives_the_same_bytes(tiny):
    from convert.targets._litert import to_tflite

    assert to_tflite(tiny, "fp16") == to_tflite(tiny, "fp16")


def test_an_nhwc_border_turns_images_and_nothing_else(tiny):
    from ai_edge_litert.interpreter import Interpreter

    from convert.targets._litert import border_specs, to_tflite

    interpreter = Interpreter(model_content=to_tflite(tiny, "fp32", layout="NHWC"))
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    image, bias = torch.rand(1, 3, 16, 20), torch.rand(1, 5)
    found = runner(image=image.permute(0, 2, 3, 1).numpy(), bias=bias.numpy())
    assert {name: value.shape for name, value in found.items()} == {
        spec.name: spec.shape for spec in border_specs(CONTRACT.outputs, "NHWC")
    }
    with torch.no_grad():
        wanted = Tiny().eval()(image, bias)
    np.testing.assert_allclose(found["maps"].transpose(0, 3, 1, 2), wanted["features"].numpy(), atol=1e-5)
    np.testing.assert_allclose(found["scores"], wanted["scores"].numpy(), atol=1e-5)
    names = [node["op_name"] for node in interpreter._get_ops_details()]
    assert names.count("TRANSPOSE") <= 1  # none at the borders; litert-torch turns the features before it pools them


def test_padding_between_convolutions_needs_no_transposes():
    """TensorFlow's SAME padding at stride 2, beside a residual, as in BlazePose."""
    from ai_edge_litert.interpreter import Interpreter

    from convert.targets._litert import to_tflite

    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2)

        def forward(self, image):
            features = self.first(image)
            padded = nn.functional.pad(features, (0, 1, 2, 3), value=0.5)
            return self.second(padded) + nn.functional.max_pool2d(nn.functional.pad(features, (0, 0, 2, 2)), 2)

    contract = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),),
        outputs=(TensorSpec(name="maps", shape=(1, 8, 6, 4), layout="NCHW"),),
    )
    module = Padded().eval()
    program = export(Model("padded", module, contract, Source(sha256="")))
    interpreter = Interpreter(model_content=to_tflite(program, "fp32", layout="NHWC"))
    interpreter.allocate_tensors()
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    found = interpreter.get_signature_runner()(image=image.permute(0, 2, 3, 1).numpy())["maps"]
    with torch.no_grad():
        wanted = module(image).numpy()
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2), wanted, atol=1e-5)
    assert "TRANSPOSE" not in [node["op_name"] for node in interpreter._get_ops_details()]


def test_weights_beyond_float16_are_refused(tmp_path):
    module = Tiny().eval()
    with torch.no_grad():
        module.head.weight[0, 0] = 1e6
    program = export(Model("tiny", module, CONTRACT, Source(sha256="")))
    with pytest.raises(Refused, match=r"head\.weight reaches 1e\+06.*fp32"):
        TARGETS["litert-cpu"].compile(program, "fp16", tmp_path)


def test_delegation_counts_what_xnnpack_leaves(tmp_path):
    class Rounded(nn.Module):
        def forward(self, x):
            return torch.cumsum(torch.relu(x), 1) * 2

    contract = Contract(inputs=(TensorSpec(name="x", shape=(1, 6)),), outputs=(TensorSpec(name="y", shape=(1, 6)),))
    program = export(Model("sums", Rounded().eval(), contract, Source(sha256="")))
    artifact = compile_to(tmp_path, program, "litert-cpu", "fp32")
    assert worst_error(artifact, Rounded(), contract) <= LIMIT["fp32"]
    delegation = artifact.manifest.delegation
    assert delegation is not None
    assert [(item.op, item.count) for item in delegation.rejected] == [("CUMSUM", 1)]


@pytest.mark.full
def test_lraspp(tmp_path):
    model = load("lraspp-mobilenet-v3-large", random_weights=True)
    artifact = compile_to(tmp_path, export(model), "litert-cpu", "fp16")
    assert worst_error(artifact, model.module, model.contract) <= LIMIT["fp16"]
    delegation = artifact.manifest.delegation
    assert delegation is not None
    assert delegation.rejected == ()
    assert artifact.manifest.files[0].bytes < 7_000_000  # 3.2 M parameters of 2 bytes


def test_listing_the_target_imports_nothing_heavy():
    heavy = "{'torch', 'onnx', 'onnxruntime', 'litert_torch', 'ai_edge_litert'}"
    code = f"import sys; from convert.targets import litert, onnx; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
