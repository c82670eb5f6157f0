"""The executorch-vulkan target: what it delegates, why it does not, and that nothing unexecuted passes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convert.compile import compile_program
from convert.export import export
from convert.program import Model
from convert.targets import TARGETS
from edge.artifact import Artifact, Source
from edge.contract import Contract, TensorSpec
from edge.errors import Refused, Unexecutable
from edge.runtimes import open_session

TARGET = TARGETS["executorch-vulkan"]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def compiled(module: nn.Module, folder: Path, precision: str = "fp32") -> Artifact:
    torch.manual_seed(0)
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 4, 8, 8), layout="NCHW"),))
    model = Model("tiny", module.eval(), contract, Source(sha256="0" * 64))
    return compile_program(export(model), TARGET.id, precision, folder)


@pytest.mark.slow
def test_half_precision_halves_the_weights_and_parity_stays_open(tmp_path: Path) -> None:
    artifact = compiled(nn.Sequential(nn.Conv2d(4, 64, 3), nn.Hardswish(), nn.Conv2d(64, 64, 3)), tmp_path, "fp16")
    assert artifact.manifest.delegation is not None
    assert artifact.manifest.delegation.by_unit == {"gpu": 3}
    weights = 2 * (64 * 4 * 9 + 64 + 64 * 64 * 9 + 64)
    assert weights < (tmp_path / "model.pte").stat().st_size < weights + 20000
    with pytest.raises(Unexecutable, match="Vulkan"):
        open_session(artifact)


@pytest.mark.slow
def test_what_vulkan_refuses_is_named_with_its_reason(tmp_path: Path) -> None:
    class Awkward(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.atan(x.relu())

    artifact = compiled(Awkward(), tmp_path)
    assert artifact.manifest.delegation is not None
    assert artifact.manifest.delegation.by_unit == {"gpu": 1, "cpu": 1}
    [refused] = artifact.manifest.delegation.rejected
    assert (refused.op, refused.reason) == ("aten.atan", "Vulkan: no operator implementation")


@pytest.mark.full
def test_a_program_that_vulkan_refuses_whole_runs_on_the_cpu(tmp_path: Path) -> None:
    class Alone(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.atan(x)

    artifact = compiled(Alone(), tmp_path)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    output = open_session(artifact).run({"image": x.numpy()})["output_0"]
    torch.testing.assert_close(torch.from_numpy(output), torch.atan(x), atol=1e-6, rtol=0)


@pytest.mark.slow
def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 1))
    with torch.no_grad():
        module[0].weight[0] = 1e6
    with pytest.raises(Refused, match="fp32"):
        compiled(module, tmp_path, "fp16")


def test_int8_is_refused_with_what_there_is() -> None:
    with pytest.raises(Refused, match="fp32"):
        TARGET.check("int8", "tensors")
