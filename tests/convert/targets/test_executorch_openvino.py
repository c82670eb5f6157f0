"""The executorch-openvino target: executed natively and compared with eager."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convert.compile import compile_program
from convert.export import export
from convert.program import Model
from convert.targets import TARGETS
from edge.artifact import Manifest, Source
from edge.contract import Contract, TensorSpec
from edge.errors import MissingError, Refused
from edge.runtimes import executorch_openvino, open_session
from edge.runtimes._signal_stack import signal_stack

TARGET = TARGETS["executorch-openvino"]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def compiled_with_parity(module: nn.Module, folder: Path, atol: float) -> Manifest:
    torch.manual_seed(0)
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 4, 8, 8), layout="NCHW"),))
    model = Model("tiny", module.eval(), contract, Source(sha256="0" * 64))
    artifact = compile_program(export(model), TARGET.id, "fp32", folder)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    session = open_session(artifact)
    assert session.mode == "native"
    output = session.run({"image": x.numpy()})["output_0"]
    if executorch_openvino.computes_in_bfloat16():  # 8 bits of a value, through a handful of layers
        assert "bfloat16" in session.note  # type: ignore[attr-defined]
        atol = 0.02
    torch.testing.assert_close(torch.from_numpy(output), module(x).detach(), atol=atol, rtol=0)
    return artifact.manifest


@pytest.mark.slow
def test_a_network_is_one_delegate(tmp_path: Path) -> None:
    module = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Hardswish(), nn.PixelShuffle(2),
        nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(1),
    )  # fmt: skip
    manifest = compiled_with_parity(module, tmp_path, atol=1e-5)
    assert manifest.delegation is not None
    assert manifest.delegation.by_backend == {"OpenvinoBackend": manifest.delegation.ops}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="OpenVINO exchanges signal stacks on Linux only")
def test_the_threads_signal_stack_stays_its_own(tmp_path: Path) -> None:
    """The one that OpenVINO's plugin sets where there is AMX is freed in use, and the next handler ends the process."""
    before = signal_stack()
    compiled_with_parity(nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU()), tmp_path, atol=1e-5)
    assert signal_stack() == before


@pytest.mark.slow
def test_what_openvino_refuses_is_named(tmp_path: Path) -> None:
    class Awkward(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.expm1(x.relu()) + torch.fmod(x, 2.0)

    manifest = compiled_with_parity(Awkward(), tmp_path, 1e-4)
    assert manifest.delegation is not None
    assert manifest.delegation.rejected
    assert all("Op not supported" in entry.reason for entry in manifest.delegation.rejected)


def test_without_openvino_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executorch_openvino.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"edge-deployment-kit\[openvino\]"):
        executorch_openvino.find_library()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions_are_refused_with_what_there_is(precision: str) -> None:
    with pytest.raises(Refused, match="fp32"):
        TARGET.check(precision, "tensors")
