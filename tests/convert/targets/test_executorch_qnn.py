"""The executorch-qnn targets: ranges and channels before quantizing, and artifacts run on the emulated NPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convert.build import Build, run_build
from convert.export import export
from convert.prepare import prepare
from convert.program import Model, Program
from convert.targets import TARGETS, families
from convert.targets._pt2e_equalize import equalize_channels
from convert.targets._pt2e_ranges import cut_saturated_ranges, saturation
from convert.targets.executorch_qnn import CHIPS, WITHOUT_HALF, compile_qnn
from edge.artifact import Source, read_manifest
from edge.contract import Contract, Preprocess, TensorSpec
from edge.errors import MissingError, Refused
from edge.jobs import Job, run_job
from edge.report.records import TargetReport
from quant.recipe import Recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

SdkVariables = Callable[[str], dict[str, str]]


class Separable(nn.Module):
    """A depthwise convolution that reads channels of very different ranges, and a gate."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.Hardswish())
        self.widen = nn.Conv2d(16, 16, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1), nn.Sigmoid())
        self.head = nn.Conv2d(16, 2, 1)
        with torch.no_grad():
            self.widen.weight *= torch.logspace(-2, 2, 16).reshape(-1, 1, 1, 1)
            self.depthwise.weight /= torch.logspace(-2, 2, 16).reshape(-1, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.widen(self.stem(x)).relu())
        result: Tensor = self.head(y * self.gate(y))
        return result


class Gated(nn.Module):
    """A gate whose values lie where the compiler's fusion of a convolution with its sigmoid is inexact."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU())
        self.gate = nn.Conv2d(16, 16, 1)
        with torch.no_grad():
            assert self.gate.bias is not None
            self.gate.bias.copy_(torch.linspace(-4, 0, 16))

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        return y * self.gate(y.mean((2, 3), keepdim=True)).sigmoid()


class Awkward(nn.Module):
    """Two operators that the NPU has not, between some that it has."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Hardswish())
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(torch.erf(self.stem(x)).sigmoid())
        return result


CONTRACT = Contract(
    inputs=(TensorSpec(name="image", shape=(1, 3, 32, 32), layout="NCHW"),), preprocess=Preprocess(size=(32, 32))
)


def model(module: nn.Module) -> Model:
    return Model("tiny", module.eval(), CONTRACT, Source(sha256="0" * 64))


def built(module: nn.Module, photos: tuple[Path, ...], root: Path, *builds: Build) -> list[TargetReport]:
    prepare(model(module), photos, root / "prepared")
    return [
        run_build(build, root / "prepared", root / build.folder_name, root / "preview.png", root / "log.txt")
        for build in builds
    ]


def calibration(count: int = 4) -> list[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(1, 3, 32, 32, generator=generator),) for _ in range(count)]


def test_every_chip_is_a_target_and_no_other() -> None:
    chips = [entry.chip for entry in families()["executorch-qnn"]]
    assert chips[0] == "SM8650"
    assert {"SM8450", "SM8475", "SM8550", "SM8650", "SM8750", "SM8850"} <= set(chips)
    assert "executorch-qnn:SM9999" not in TARGETS


@pytest.mark.slow
def test_chips_are_those_of_the_installed_backend() -> None:
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset, _soc_info_table

    known = {chip.name: int(_soc_info_table[chip].htp_info.htp_arch) for chip in QcomChipset if chip.value}
    assert known == CHIPS


@pytest.mark.parametrize("chip", sorted(WITHOUT_HALF))
def test_half_is_refused_where_the_chip_has_none(tmp_path: Path, chip: str) -> None:
    program = Program("tiny", None, CONTRACT, Source(sha256="0" * 64))  # type: ignore[arg-type]  # never looked at
    with pytest.raises(Refused, match="w8a16"):
        compile_qnn(program, "fp16", tmp_path, chip)


def test_no_sdk_in_the_process_is_said_before_the_backend_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = export(model(nn.Conv2d(3, 2, 1)))
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    with pytest.raises(MissingError, match="edge sdk install qnn"):
        compile_qnn(program, "fp16", tmp_path, "SM8650")


def test_equalized_channels_compute_the_same_and_leave_the_program_alone() -> None:
    module = Separable().eval()
    program: Program = export(model(module))
    (x,) = calibration(1)[0]
    expected = module(x).detach()
    unlifted = program.exported.module(check_guards=False)
    assert equalize_channels(unlifted, calibration()) == 1
    torch.testing.assert_close(unlifted(x)[0], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(program.exported.module()(x)[0], expected, atol=1e-6, rtol=0)
    peaks = unlifted.get_parameter("module.widen.weight").abs().amax(dim=(1, 2, 3))
    before = module.widen.weight.abs().amax(dim=(1, 2, 3))
    assert peaks.max() / peaks.min() < before.max() / before.min() / 10


@pytest.mark.parametrize(
    ("activation", "bounds"),
    [
        (nn.ReLU(), (0.0, None)),
        (nn.ReLU6(), (0.0, 6.0)),
        (nn.Hardtanh(-2.0, 2.0), (-2.0, 2.0)),
        (nn.Hardswish(), (-3.0, None)),
        (nn.Sigmoid(), (-8.0, 8.0)),
        (nn.Tanh(), None),
    ],
)
def test_saturation_of_an_activation(activation: nn.Module, bounds: tuple[float, float] | None) -> None:
    program = export(model(nn.Sequential(nn.Conv2d(3, 2, 1), activation)))
    *_, node = (node for node in program.exported.graph.nodes if node.op == "call_function")
    assert saturation(node, 8) == bounds
    inexact = isinstance(activation, nn.Sigmoid)  # 22 steps of 16 bits off at ±8
    assert saturation(node, 16) == (None if inexact else bounds)


def test_ranges_are_cut_only_where_nothing_else_reads_the_value() -> None:
    class Observer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.min_val, self.max_val = torch.tensor(-10.0), torch.tensor(20.0)
            self.quant_min, self.quant_max = 0, 255

        def forward(self, x: Tensor) -> Tensor:
            return x

    class Prepared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.alone, self.shared = Observer(), Observer()

        def forward(self, x: Tensor) -> Tensor:
            y = self.shared(x * 2)
            result: Tensor = torch.sigmoid(self.alone(x + 1)) + torch.relu(y) + y
            return result

    class Tracer(torch.fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, Observer)

    module = Prepared()
    traced = torch.fx.GraphModule(module, Tracer().trace(module))
    aten = {torch.sigmoid: torch.ops.aten.sigmoid.default, torch.relu: torch.ops.aten.relu.default}
    for node in traced.graph.nodes:
        node.target = aten.get(node.target, node.target)
    assert cut_saturated_ranges(traced) == 1
    assert (float(module.alone.min_val), float(module.alone.max_val)) == (-8.0, 8.0)
    assert (float(module.shared.min_val), float(module.shared.max_val)) == (-10.0, 20.0)


@pytest.mark.slow
def test_whole_graph_is_one_delegate_and_near_on_two_chips(
    tmp_path: Path, photos: tuple[Path, ...], sdk: SdkVariables
) -> None:
    sdk("qnn-2.49")
    builds = [Build(target=f"executorch-qnn:{chip}", precision="int8") for chip in ("SM8650", "SM8450")]
    reports = built(Separable(), photos, tmp_path, *builds)
    for report in reports:
        assert report.status == "ok", report.reason
        assert report.parity is not None
        assert report.delegation is not None
        assert report.parity.mode == "emulated"
        assert report.parity.outputs[0].max_abs <= 0.05 * report.parity.outputs[0].scale
        assert report.delegation.by_unit == {"npu": report.delegation.ops}
    first, second = ((tmp_path / build.folder_name / "model.pte").read_bytes() for build in builds)
    assert len(first) != len(second)  # two builds for one chip differ in some bytes, but not in their number


@pytest.mark.slow
def test_a_gate_is_exact_in_half_precision(tmp_path: Path, photos: tuple[Path, ...], sdk: SdkVariables) -> None:
    sdk("qnn-2.49")
    (report,) = built(Gated(), photos, tmp_path, Build(target="executorch-qnn:SM8650", precision="fp16"))
    assert report.status == "ok", report.reason
    assert report.parity is not None
    assert report.parity.outputs[0].psnr_db >= 75  # 63 where the compiler fuses the convolution with its sigmoid


@pytest.mark.full
@pytest.mark.slow
def test_kept_operators_get_wide_activations_on_the_npu(
    tmp_path: Path, photos: tuple[Path, ...], sdk: SdkVariables
) -> None:
    sdk("qnn-2.49")
    target, recipe = "executorch-qnn:SM8650", Recipe(kept=("mul", "conv2d_4"))
    plain, mixed = built(
        Separable(),
        photos,
        tmp_path,
        Build(target=target, precision="int8"),
        Build(target=target, precision="mixed", recipe=recipe),
    )
    assert plain.status == mixed.status == "ok", mixed.reason
    assert plain.parity is not None
    assert mixed.parity is not None
    assert mixed.delegation is not None
    assert mixed.parity.outputs[0].psnr_db > plain.parity.outputs[0].psnr_db + 1
    assert mixed.delegation.by_unit == {"npu": mixed.delegation.ops}  # converting between the widths as well
    (step,) = [step for step in mixed.steps if step.tool == "QnnQuantizer"]
    assert step.options["kept"] == 2


@pytest.mark.slow
def test_operators_without_an_npu_run_on_the_cpu_and_say_why(
    tmp_path: Path, photos: tuple[Path, ...], sdk: SdkVariables
) -> None:
    sdk("qnn-2.49")
    (report,) = built(Awkward(), photos, tmp_path, Build(target="executorch-qnn:SM8650", precision="w8a16"))
    assert report.status == "ok", report.reason
    assert report.parity is not None
    assert report.delegation is not None
    assert report.parity.outputs[0].max_abs <= 0.01 * report.parity.outputs[0].scale
    assert report.delegation.by_unit == {"npu": 4, "cpu": 1}
    (refused,) = report.delegation.rejected
    assert refused.op == "aten.erf"
    assert "no builder" in refused.reason
    assert read_manifest(tmp_path / "executorch-qnn-SM8650@w8a16").manifest.delegation == report.delegation


@pytest.mark.slow
def test_another_version_of_the_sdk_is_refused_in_one_line(
    tmp_path: Path, photos: tuple[Path, ...], sdk: SdkVariables
) -> None:
    variables = sdk("qnn-2.50")
    prepare(model(nn.Conv2d(3, 2, 1)), photos, tmp_path / "prepared")
    payload = {
        "prepared": str(tmp_path / "prepared"),
        "target": "executorch-qnn:SM8650",
        "precision": "fp16",
        "recipe": {},
        "folder": str(tmp_path / "out"),
    }
    job = Job(
        function="convert.compile:compile_job",
        payload=payload,
        log=tmp_path / "log.txt",
        environment={**os.environ, **variables},
    )
    with pytest.raises(Exception, match=r"not of version 2\.49.*edge sdk install qnn") as caught:
        run_job(job)
    assert "\n" not in str(caught.value)
