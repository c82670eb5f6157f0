"""The executorch-coreml target: the package inside the .pte computes what the module computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convert.compile import compile_program
from convert.export import Flat, example_inputs, export
from convert.program import Model
from convert.targets import TARGETS
from edge.artifact import Artifact, Source
from edge.contract import Contract, TensorSpec
from edge.delegation import Delegation
from edge.errors import InputError, Refused, Unexecutable
from edge.runtimes import open_session
from edge.runtimes._mil.flattened import read_flattened

TARGET = TARGETS["executorch-coreml"]
TOLERANCE = {"fp32": 1e-5, "fp16": 1e-2}  # largest error / largest magnitude of the eager output

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


class Branches(nn.Module):
    """Apply several functions to the same input: one conversion tests many operators."""

    def __init__(self, *functions: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.functions = functions

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(function(x) for function in self.functions)


def compiled(module: nn.Module, folder: Path, precision: str = "fp32") -> tuple[Artifact, Model]:
    torch.manual_seed(0)
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 4, 12, 16), layout="NCHW"),))
    model = Model("tiny", module.eval(), contract, Source(sha256="0" * 64))
    return compile_program(export(model), TARGET.id, precision, folder), model


def assert_parity(artifact: Artifact, model: Model, precision: str = "fp32") -> None:
    [image] = (4 * tensor - 2 for tensor in example_inputs(model.contract, seed=1))  # both sides of activations
    session = open_session(artifact)
    assert session.mode == "reference"
    found = session.run({"image": image.numpy()})
    with torch.no_grad():
        expected = Flat(model.module)(image)
    for (name, array), tensor in zip(found.items(), expected, strict=True):
        scale = max(1e-6, float(tensor.abs().max()))
        error = float(np.abs(array.astype(np.float64) - tensor.numpy()).max()) / scale
        assert error <= TOLERANCE[precision], (name, error)


def delegation(artifact: Artifact) -> Delegation:
    assert artifact.manifest.delegation is not None
    return artifact.manifest.delegation


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_network_is_one_delegate(tmp_path: Path, precision: str) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
            self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())

        def forward(self, x: Tensor) -> Tensor:
            y = self.stem(x)
            return F.interpolate(y * self.gate(y), scale_factor=2, mode="bilinear")

    artifact, model = compiled(Block(), tmp_path / "a", precision)
    assert_parity(artifact, model, precision)
    assert delegation(artifact).by_backend == {"CoreMLBackend": delegation(artifact).ops}


@pytest.mark.slow
def test_equal_programs_give_equal_bytes(tmp_path: Path) -> None:
    first, model = compiled(nn.Conv2d(4, 4, 3), tmp_path / "a")
    second, _ = compiled(model.module, tmp_path / "b")
    assert second.manifest.files == first.manifest.files


@pytest.mark.slow
def test_what_coremltools_converts_wrongly_is_right(tmp_path: Path) -> None:
    module = Branches(
        lambda x: torch.reciprocal(x + 3),
        lambda x: F.gelu(x, approximate="tanh"),
        torch.tanh,
        lambda x: torch.add(x, x.relu(), alpha=3),
        lambda x: torch.sub(x, x.exp(), alpha=0.5),
        lambda x: F.softplus(x, threshold=1.0),
        lambda x: F.interpolate(x, size=(5, 7), mode="bilinear", antialias=True),
        lambda x: x,
    )
    artifact, model = compiled(module, tmp_path)
    assert_parity(artifact, model)


@pytest.mark.slow
def test_operators_that_core_ml_lacks_run_beside_it_with_the_reason(tmp_path: Path) -> None:
    artifact, model = compiled(Branches(lambda x: torch.asinh(x.relu()) * 2, lambda x: x.argmax()), tmp_path)
    assert_parity(artifact, model)
    refused = {entry.op: entry for entry in delegation(artifact).rejected}
    assert set(refused) == {"aten.asinh", "aten.argmax"}
    assert "not supported by CoreML" in refused["aten.asinh"].reason
    assert "dim=None" in refused["aten.argmax"].reason
    assert refused["aten.argmax"].hint == "give it a dim"
    assert delegation(artifact).by_backend["portable"] == 2


@pytest.mark.slow
def test_damaged_files_are_named(tmp_path: Path) -> None:
    artifact, _ = compiled(nn.Conv2d(4, 4, 1), tmp_path)
    path = tmp_path / "model.pte"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="edge deploy"):
        open_session(artifact)


@pytest.mark.parametrize("data", [b"", b"}", b"][", b'{"nodes":[]}'[::-1], b'{"nodes":[{"kind":0}]}'[::-1]])
def test_damaged_payloads_are_named(data: bytes) -> None:
    with pytest.raises(InputError, match="damaged"):
        read_flattened(data, "model.pte")


def test_a_payload_cannot_write_outside_its_folder() -> None:
    table = '{"nodes":[{"kind":0,"dataRegion":{"offset":0,"size":0},"children":{}},{"kind":1,"children":{"../x":0}}]}'
    with pytest.raises(InputError, match="leaves the folder"):
        read_flattened(table.encode()[::-1], "model.pte")


def test_compiled_models_are_not_executable() -> None:
    table = (
        '{"nodes":[{"kind":0,"dataRegion":{"offset":0,"size":34},"children":{}},'
        '{"kind":1,"children":{"metadata.json":0}}]}'
    )
    metadata = b'{"inputNames":[],"outputNames":[]}'
    with pytest.raises(Unexecutable, match="compiled Core ML"):
        read_flattened(metadata + table.encode()[::-1], "model.pte")


def test_int8_is_refused_with_what_there_is() -> None:
    with pytest.raises(Refused, match="fp32"):
        TARGET.check("int8", "tensors")
