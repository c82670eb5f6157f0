"""Every tensor that a runtime computed, against the same values in eager PyTorch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convert.compile import compile_program
from convert.export import export
from convert.program import Model
from edge.artifact import Artifact, FileEntry, Manifest, Needs, Source
from edge.contract import Contract, TensorSpec
from edge.errors import InputError, Unexecutable
from edge.runtimes._taps import disagreement, read_taps, relative_difference


class Between(nn.Module):
    """An operator that XNNPACK does not take, between two delegates."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(torch.erf(self.first(x))).sigmoid()
        return result


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_portable_operators_and_delegates_of_one_file(tmp_path: Path) -> None:
    contract = Contract(inputs=(TensorSpec(name="x", shape=(1, 3, 8, 8), layout="NCHW"),))
    module = Between().eval()
    program = export(Model("between", module, contract, Source(sha256="0" * 64)))
    artifact = compile_program(program, "executorch-xnnpack", "fp32", tmp_path / "out")
    x = torch.rand(1, 3, 8, 8)
    taps = read_taps(artifact, {"x": x.numpy()})
    with torch.no_grad():
        first = module.first(x)
        erf = torch.erf(first)
        scores = module.last(erf)
    values = [tap.value for tap in taps.taps]
    for right in (first, erf, scores):
        same = [value for value in values if value.size == right.numel()]
        errors = [
            relative_difference(option, right.numpy()) for value in same for option in (value, _turned(value))
            if option.shape == tuple(right.shape)
        ]  # fmt: skip
        assert min(errors) < 1e-5
    assert "aten::erf.out" in taps.operators
    assert taps.mode == "native"
    assert not taps.notes


def _turned(value: np.ndarray) -> np.ndarray:
    return value.transpose(0, 3, 1, 2) if value.ndim == 4 else value


def artifact_of(target: str, folder: Path, name: str) -> Artifact:
    spec = (TensorSpec(name="x", shape=(1,)),)
    manifest = Manifest(
        model="m", task="tensors", target=target, precision="fp32",
        files=(FileEntry(name=name, bytes=0, sha256=""),), inputs=spec, outputs=spec, steps=(),
        source=Source(sha256=""), needs=Needs(min_runtime=""),
    )  # fmt: skip
    return Artifact(folder, manifest)


def test_a_family_that_hides_its_tensors_names_those_that_show_them(tmp_path: Path) -> None:
    with pytest.raises(Unexecutable, match="coreai hides its intermediate tensors; onnx-cpu"):
        read_taps(artifact_of("coreai", tmp_path, "model.bin"), {})


def test_a_damaged_package_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "model.mlpackage").mkdir()
    with pytest.raises(InputError):
        read_taps(artifact_of("coreml", tmp_path, "model.mlpackage/Manifest.json"), {})


def test_relative_difference_of_what_is_no_number_is_infinite() -> None:
    assert relative_difference(np.array([np.nan, 1.0]), np.ones(2)) == math.inf
    assert relative_difference(np.array([np.nan]), np.array([np.nan])) == 0
    assert relative_difference(np.array([2.0]), np.array([1.0])) == 1


def test_ways_that_disagree_are_said() -> None:
    one, two = {"y": np.array([1.0])}, {"y": np.array([1.5])}
    assert disagreement("the other kernels", two, one, 0.1) == (
        "the other kernels: output y differs by 0.5 of its rms",
    )
    assert disagreement("the other kernels", two, one, 0.6) == ()
