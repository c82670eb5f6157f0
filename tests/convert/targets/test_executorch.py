"""The executorch-xnnpack target: delegation of clean and of awkward graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convert.compile import compile_program
from convert.export import export
from convert.program import Model
from convert.targets import TARGETS
from edge.artifact import Manifest, Source
from edge.contract import Contract, TensorSpec
from edge.delegation import read_delegation
from edge.errors import Refused
from edge.runtimes import open_session
from quant.recipe import Recipe

TARGET = TARGETS["executorch-xnnpack"]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def compiled_with_parity(module: nn.Module, folder: Path, atol: float, precision: str = "fp32") -> Manifest:
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 8, 16, 16), layout="NCHW"),))
    model = Model("tiny", module.eval(), contract, Source(sha256="0" * 64))
    artifact = compile_program(export(model), "executorch-xnnpack", precision, folder)
    x = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    output = open_session(artifact).run({"image": x.numpy()})["output_0"]
    torch.testing.assert_close(torch.from_numpy(output), module(x).detach(), atol=atol, rtol=0)
    return artifact.manifest


@pytest.mark.slow
def test_a_softmax_behind_a_convolution_goes_over_its_own_axis(tmp_path: Path) -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores = nn.Conv2d(8, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.scores(x).softmax(-1) @ x

    compiled_with_parity(Attention(), tmp_path, atol=1e-5)


@pytest.mark.slow
def test_squeeze_and_excite_is_one_delegate(tmp_path: Path) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
            self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())
            self.mask = nn.Conv2d(8, 1, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.stem(x)
            return self.mask(y * self.gate(y))

    compiled = compiled_with_parity(Block(), tmp_path, atol=1e-5)
    operators = read_delegation(tmp_path).operators
    assert {operator.backend for operator in operators} == {"XnnpackBackend"}
    split = 16 * 16 * 8  # split_single_output makes the last convolution depthwise and adds a sum over channels
    assert sum(operator.macs for operator in operators) == 16 * 16 * 8 * (8 * 9 + 9) + 8 * 8 + split
    assert [step.tool for step in compiled.steps] == ["torch.export", "convert.passes", "executorch"]
    assert {"fold_batch_norm", "fold_hard_sigmoid", "split_single_output"} <= compiled.steps[1].options.keys()


@pytest.mark.slow
def test_operators_left_to_portable_kernels_are_named(tmp_path: Path) -> None:
    class Awkward(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.atan(x.relu()).sum(dim=1)

    compiled_with_parity(Awkward(), tmp_path, atol=1e-5)
    left = [operator for operator in read_delegation(tmp_path).operators if operator.backend == "portable"]
    assert {"aten.atan", "aten.sum.dim_IntList"} <= {operator.op for operator in left}
    assert all(operator.reason for operator in left)


@pytest.mark.slow
def test_half_precision_is_delegated_and_near(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Hardswish(), nn.AdaptiveAvgPool2d(1))
    compiled = compiled_with_parity(module, tmp_path, atol=2e-3, precision="fp16")
    assert [step.tool for step in compiled.steps][-2:] == ["convert.passes.half", "executorch"]
    assert compiled.outputs[0].dtype == "float32"
    left = [operator.op for operator in read_delegation(tmp_path).operators if operator.backend == "portable"]
    assert set(left) == {"aten.to.dtype"}  # the casts at the border


@pytest.mark.slow
def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(8, 8, 1))
    with torch.no_grad():
        module[0].weight[0] = 1e6
    with pytest.raises(Refused, match="fp32"):
        compiled_with_parity(module, tmp_path, atol=1, precision="fp16")


class Gated(nn.Module):
    """What XNNPACK computes in 8 bits: clips, padding, gates, sums, a resize and a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Hardswish())
        self.narrow = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 8, 3, stride=2, groups=8), nn.ReLU6())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.other = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Hardsigmoid())
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.head = nn.ConvTranspose2d(8, 1, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        z = self.narrow(y)
        wide = self.up(z * self.gate(z) * self.other(z)) + y
        return torch.sigmoid(4 * self.head(wide))


SPEC = TensorSpec(name="image", shape=(1, 8, 16, 16), layout="NCHW")


def quantized(module: nn.Module, precision: str, folder: Path, **recipe: Any) -> tuple[Manifest, float]:
    """Return the manifest and the largest error over inputs that it was calibrated on."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.rand(SPEC.shape, generator=generator) for _ in range(4)]
    model = Model("tiny", module.eval(), Contract(inputs=(SPEC,)), Source(sha256="0" * 64))
    program = replace(export(model), calibration=tuple({"image": x.numpy()} for x in inputs), recipe=Recipe(**recipe))
    artifact = compile_program(program, "executorch-xnnpack", precision, folder)
    session = open_session(artifact)
    errors = [abs(session.run({"image": x.numpy()})["output_0"] - module(x).detach().numpy()).max() for x in inputs]
    return artifact.manifest, float(max(errors))


@pytest.mark.slow
def test_int8_is_one_delegate_and_near(tmp_path: Path) -> None:
    manifest, error = quantized(Gated(), "int8", tmp_path, observer="mse")
    assert error <= 0.03  # of [0, 1]
    assert {operator.backend for operator in read_delegation(tmp_path).operators} == {"XnnpackBackend"}
    (step,) = [step for step in manifest.steps if step.tool == "XNNPACKQuantizer"]
    assert step.options["observer"] == "mse"
    assert step.options["pictures"] == 4


@pytest.mark.slow
def test_mixed_keeps_operators_in_float(tmp_path: Path) -> None:
    module = Gated()
    _, plain = quantized(module, "int8", tmp_path / "int8", observer="min-max")
    kept = ("conv_transpose2d", "conv2d")
    _, mixed = quantized(module, "mixed", tmp_path / "mixed", observer="min-max", kept=kept)
    assert mixed < plain
    with pytest.raises(Refused, match="no such operator"):
        quantized(module, "mixed", tmp_path / "wrong", kept=("conv2d_99",))


@pytest.mark.slow
def test_ranges_taken_at_run_time(tmp_path: Path) -> None:
    head = nn.ConvTranspose2d(8, 1, 2, stride=2)  # the runtime cannot: it stays in float
    module = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.Hardswish(), nn.Conv2d(16, 8, 1), head)
    manifest, error = quantized(module, "int8-dynamic", tmp_path / "dynamic")
    assert error <= 0.02
    (step,) = [step for step in manifest.steps if step.tool == "XNNPACKQuantizer"]
    assert step.options["quantized"] == 2
    with pytest.raises(Refused, match="int8"):
        quantized(nn.Sequential(nn.Conv2d(8, 8, 3, groups=8)), "int8-dynamic", tmp_path / "depthwise")
    with pytest.raises(Refused, match="observer"):
        quantized(module, "int8-dynamic", tmp_path / "observer", observer="mse")


def test_int8_needs_pictures(tmp_path: Path) -> None:
    model = Model("tiny", Gated().eval(), Contract(inputs=(SPEC,)), Source(sha256="0" * 64))
    with pytest.raises(Refused, match="--data"):
        compile_program(export(model), "executorch-xnnpack", "int8", tmp_path)


def test_w8a16_is_refused_with_what_there_is() -> None:
    with pytest.raises(Refused, match="int8"):
        TARGET.check("w8a16", "tensors")
