"""The executorch-ethos-u targets: compiled with Vela, executed as TOSA on Arm's reference model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convert.build import Build, run_build
from convert.prepare import prepare
from convert.program import Model
from convert.targets import TARGETS
from convert.targets._arm_lower import _checked
from convert.targets._pt2e_bias import correct_biases
from convert.targets.executorch_ethos_u import CHIPS, check_packages
from edge.artifact import Artifact, Manifest, Needs, Source, encode_json, read_manifest
from edge.contract import Contract, Preprocess, TensorSpec
from edge.errors import InputError, MissingError, Refused, TargetError, Unexecutable, UnknownName
from edge.report.records import TargetReport
from edge.runtimes import open_session
from edge.runtimes._tosa import FOLDER, SCHEDULE, Call, Player, Schedule, read_schedule

U85, U55 = "executorch-ethos-u:u85-256", "executorch-ethos-u:u55-128"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


class Block(nn.Module):
    """Inverted bottleneck with both spellings of ReLU6, a gate and an upsampling: what the zoo is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.middle = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        y = y + nn.functional.hardswish(nn.functional.relu6(self.middle(y))) * self.gate(y)
        y = nn.functional.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        result: Tensor = self.head(y).sigmoid()
        return result


@pytest.fixture
def built(
    tmp_path: Path, photos: tuple[Path, ...], sdk: Callable[[str], dict[str, str]]
) -> Callable[[str], TargetReport]:
    """Return a function that compiles and verifies the block for a target, in children as `edge deploy` does."""
    sdk("ethos-u")
    torch.manual_seed(0)
    spec = TensorSpec(name="image", shape=(1, 3, 32, 32), layout="NCHW")
    contract = Contract(inputs=(spec,), preprocess=Preprocess(size=(32, 32)))
    prepare(Model("block", Block().eval(), contract, Source(sha256="0" * 64)), photos, tmp_path / "prepared")

    def build(target: str) -> TargetReport:
        names = [tmp_path / name for name in ("prepared", "out", "preview.png", "log")]
        return run_build(Build(target=target, precision="int8"), *names)

    return build


@pytest.mark.slow
def test_a_block_is_one_delegate_and_near_the_eager_model(built: Callable[[str], TargetReport], tmp_path: Path) -> None:
    report = built(U85)
    assert report.status == "ok", report.reason
    assert report.delegation is not None
    assert report.delegation.by_unit == {"npu": report.delegation.ops}
    assert report.delegation.rejected == ()
    assert report.parity is not None
    assert report.parity.mode == "reference"
    assert report.parity.passed, report.parity
    [output] = report.parity.outputs
    assert output.max_abs < 0.03  # of a sigmoid: 8 steps of 1/256
    schedule = read_schedule(tmp_path / "out")
    assert [call.op for call in schedule.calls if call.op.endswith(".tosa")] == ["0.tosa"]
    assert len(schedule.calls) == 4  # quantize, the delegate, its first result, dequantize
    assert report.estimates["npu_cycles"] > 0
    assert report.estimates["sram_bytes"] > 0
    manifest = read_manifest(tmp_path / "out").manifest
    assert [step.tool for step in manifest.steps][-2:] == ["EthosUQuantizer", "executorch"]


@pytest.mark.slow
def test_what_the_npu_refuses_is_named_and_still_executed(built: Callable[[str], TargetReport]) -> None:
    report = built(U55)
    assert report.status == "ok", report.reason
    assert report.delegation is not None
    [refused] = report.delegation.rejected
    assert refused.op == "aten.upsample_bilinear2d.vec"
    assert refused.reason
    assert "RESIZE" in refused.hint
    assert report.delegation.by_unit["cpu"] == 1
    assert report.parity is not None
    assert report.parity.mode == "reference"
    assert report.parity.passed, report.parity


def test_requests_that_the_chips_cannot_meet() -> None:
    with pytest.raises(Refused, match="int8"):
        TARGETS[U85].check("fp32", "tensors")
    with pytest.raises(UnknownName, match="u85-256"):
        TARGETS["executorch-ethos-u:u85-25"]
    assert {f"executorch-ethos-u:{chip}" for chip in CHIPS} <= set(TARGETS)


def test_without_arms_packages_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ethosu", None)
    with pytest.raises(MissingError, match="edge sdk install ethos-u"):
        check_packages()


def test_vela_that_stops_or_leaves_nothing_is_one_line() -> None:
    def stop() -> None:
        raise SystemExit("Error: Invalid configuration of System_Config\nmore")

    with pytest.raises(TargetError) as caught:
        _checked(stop)
    assert str(caught.value) == "Vela cannot compile the TOSA graph: Error: Invalid configuration of System_Config"
    with pytest.raises(TargetError, match="without a command stream"):
        _checked(lambda: SimpleNamespace(processed_bytes=b""))


def test_bias_correction_restores_the_means_and_leaves_the_program_alone() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        conv.weight[:, 0, 0, 0] = 30.0  # the other weights of the channel are left few levels
    x = torch.rand(2, 1, 3, 8, 8) + 1
    exported = torch.export.export(nn.Sequential(conv).eval(), (x[0],))
    rounded = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        scale = conv.weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
        rounded.weight.copy_((conv.weight / scale).round() * scale)
        rounded.bias.copy_(conv.bias)  # type: ignore[union-attr,arg-type]
    quantized = torch.export.export(nn.Sequential(rounded).eval(), (x[0],))
    original, module = exported.module(check_guards=False), quantized.module(check_guards=False)
    wrong = mean_error(original, module, x)
    correct_biases(original, module, [(x[0],), (x[1],)])
    assert wrong > 1e-2
    assert mean_error(original, module, x) < 1e-4
    torch.testing.assert_close(quantized.state_dict["0.bias"], conv.bias, atol=0, rtol=0)


def mean_error(original: nn.Module, module: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        differences = torch.stack([module(picture) - original(picture) for picture in x])
    return float(differences.mean(dim=(0, 1, 3, 4)).abs().max())


def artifact_with(schedule: Schedule, root: Path) -> Artifact:
    (root / FOLDER).mkdir()
    (root / SCHEDULE).write_bytes(encode_json(schedule))
    spec = TensorSpec(name="x", shape=(2, 2))
    manifest = Manifest(
        model="tiny", task="tensors", target=U85, precision="int8", files=(), inputs=(spec,), outputs=(spec,),
        steps=(), source=Source(sha256=""), needs=Needs(min_runtime=""),
    )  # fmt: skip
    return Artifact(root, manifest)


def test_operators_outside_the_delegates_are_pytorchs(tmp_path: Path) -> None:
    calls = (
        Call(name="b", op="aten.split.Tensor", args=[{"value": "a"}, 1, 1]),
        Call(name="c", op="getitem", args=[{"value": "b"}, 1]),
        Call(name="d", op="aten.cat.default", args=[[{"value": "c"}, {"value": "c"}], 1]),
        Call(name="e", op="aten.to.dtype", args=[{"value": "d"}, {"dtype": "float64"}]),
        Call(name="f", op="aten.add.Tensor", args=[{"value": "e"}, {"constant": "k"}], kwargs={"alpha": 2}),
    )
    artifact = artifact_with(Schedule(inputs=("a",), outputs=("f",), calls=calls), tmp_path)
    np.savez(tmp_path / FOLDER / "constants.npz", allow_pickle=False, k=np.array([10.0, 20.0]))
    [result] = Player(artifact.root, read_schedule(tmp_path)).play((np.array([[1, 2], [3, 4]], np.float32),))
    np.testing.assert_array_equal(result, [[22.0, 42.0], [24.0, 44.0]])
    assert result.dtype == np.float64


def test_an_operator_that_fails_is_named(tmp_path: Path) -> None:
    calls = (Call(name="b", op="aten.add.Tensor", args=[{"value": "a"}, "text"]),)
    session = open_session(artifact_with(Schedule(inputs=("a",), outputs=("b",), calls=calls), tmp_path))
    with pytest.raises(InputError, match="'x' is missing; given: y"):
        session.run({"y": np.zeros((2, 2), np.float32)})
    with pytest.raises(TargetError, match=r"aten.add.Tensor \(b\) cannot be computed"):
        session.run({"x": np.zeros((2, 2), np.float32)})


def test_a_program_that_could_not_be_written_down_is_unexecutable(tmp_path: Path) -> None:
    schedule = Schedule(inputs=(), outputs=(), calls=(), obstacle="an operator takes a layout")
    with pytest.raises(Unexecutable, match="an operator takes a layout"):
        open_session(artifact_with(schedule, tmp_path))


def test_a_damaged_schedule_is_one_line(tmp_path: Path) -> None:
    artifact = artifact_with(Schedule(inputs=(), outputs=(), calls=()), tmp_path)
    (tmp_path / SCHEDULE).write_text("{}")
    with pytest.raises(InputError, match=r"schedule.json cannot be read: .*`edge deploy`"):
        open_session(artifact)
    (tmp_path / SCHEDULE).unlink()
    with pytest.raises(InputError, match="No such file"):
        open_session(artifact)
