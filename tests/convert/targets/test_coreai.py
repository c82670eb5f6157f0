"""The coreai target: assets are whole, and what nothing here executes is never called verified."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convert.compile import compile_program
from convert.delegation import operator_nodes
from convert.export import export
from convert.program import Model
from convert.targets import TARGETS, Target
from convert.targets.coreai import _placement
from edge.artifact import Artifact, Source
from edge.contract import Contract, TensorSpec
from edge.errors import MissingError, Refused, Unexecutable
from edge.runtimes import open_session

TARGET = TARGETS["coreai"]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def model_of(module: nn.Module) -> Model:
    torch.manual_seed(0)
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 4, 8, 8), layout="NCHW"),))
    return Model("tiny", module.eval(), contract, Source(sha256="0" * 64))


def compiled(module: nn.Module, folder: Path, precision: str = "fp32") -> Artifact:
    return compile_program(export(model_of(module)), "coreai", precision, folder)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_asset_is_whole_and_not_called_verified(tmp_path: Path, precision: str) -> None:
    artifact = compiled(nn.Sequential(nn.Conv2d(4, 64, 3), nn.Hardswish(), nn.Conv2d(64, 64, 3)), tmp_path, precision)
    assert {"model.aimodel/main.mlirb", "model.aimodel/main.hash"} <= {file.name for file in artifact.manifest.files}
    size = sum(file.bytes for file in artifact.manifest.files if file.name.endswith(".mlirb"))
    weights = (64 * 4 * 9 + 64 + 64 * 64 * 9 + 64) * (4 if precision == "fp32" else 2)
    assert weights < size < weights + 20000
    assert artifact.manifest.delegation is not None
    assert artifact.manifest.delegation.by_backend == {"CoreAI": 3}
    with pytest.raises(Unexecutable, match="iOS 27"):
        open_session(artifact)


@pytest.mark.slow
def test_unknown_operators_are_refused_by_name(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(Refused, match="bessel_j0"):
        compiled(Odd(), tmp_path)


@pytest.mark.slow
def test_argmax_has_a_hint() -> None:
    class Indices(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu().argmax(1)

    relu, argmax = (_placement(node) for node in operator_nodes(export(model_of(Indices()))))
    assert relu.hint == ""
    assert "coreai-torch#116" in argmax.hint


def test_without_the_packages_the_status_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Target, "missing_packages", lambda self: self.packages)
    with pytest.raises(MissingError, match=r"coreai-torch, coreai-core: pip install 'edge-deployment-kit\[coreai\]'"):
        TARGET.check("fp32", "tensors")


@pytest.mark.slow
def test_weights_in_8_bits_are_a_quarter_of_float32(tmp_path: Path) -> None:
    pytest.importorskip("coreai_opt")
    artifact = compiled(nn.Sequential(nn.Conv2d(4, 64, 3), nn.Hardswish(), nn.Conv2d(64, 64, 3)), tmp_path, "w8")
    size = sum(file.bytes for file in artifact.manifest.files if file.name.endswith(".mlirb"))
    weights = 64 * 4 * 9 + 64 * 64 * 9
    assert weights < size < 1.1 * weights + 20000
    assert [step.tool for step in artifact.manifest.steps][-1] == "coreai-opt"
    with pytest.raises(Unexecutable, match="iOS 27"):
        open_session(artifact)


def test_w8_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convert.targets.coreai.installed_version", lambda name: "")
    with pytest.raises(MissingError, match=r"pip install coreai-opt==0\.3\.0"):
        compiled(nn.Conv2d(4, 4, 3), tmp_path, "w8")


def test_int8_is_refused_with_what_there_is() -> None:
    with pytest.raises(Refused, match="fp32"):
        TARGET.check("int8", "tensors")
