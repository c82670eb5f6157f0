"""The onnx-qnn targets: compiled for Qualcomm's NPU, executed on its emulator, compared with eager PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from convert.compile import compile_program
from convert.delegation import operator_nodes
from convert.export import export
from convert.passes import optimize
from convert.program import Model, Program
from convert.targets import TARGETS
from convert.targets._onnx_qnn_chips import CHIPS
from edge.artifact import Artifact, Source
from edge.contract import Contract, TensorSpec
from edge.errors import Refused, TargetError, UnknownName
from edge.runtimes import open_session
from quant.recipe import Recipe

SHAPE = (1, 8, 16, 16)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())
        self.mask = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        return self.mask(y * self.gate(y))


class Tail(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sinh(self.conv(x).relu())


@pytest.fixture
def qnn(sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sdk("qnn-2.50").items():
        monkeypatch.setenv(name, value)


def program_of(module: nn.Module) -> Program:
    contract = Contract(inputs=(TensorSpec(name="image", shape=SHAPE, layout="NCHW"),))
    program = export(Model("tiny", module.eval(), contract, Source(sha256="0" * 64)))
    generator = np.random.default_rng(1)
    inputs = tuple({"image": generator.standard_normal(SHAPE, np.float32)} for _ in range(8))
    return replace(program, calibration=inputs)


def answer(artifact: Artifact, image: Tensor) -> Tensor:
    session = open_session(artifact)
    assert session.mode == "emulated"
    return torch.from_numpy(session.run({"image": image.numpy()})["output_0"])


def picture() -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "atol"), [("int8", 0.06), ("w8a16", 0.01), ("fp16", 0.005)])
def test_squeeze_and_excite_is_one_context(qnn: None, tmp_path: Path, precision: str, atol: float) -> None:
    module = Block().eval()
    artifact = compile_program(program_of(module), "onnx-qnn:SM8650", precision, tmp_path / "a")
    moved = Artifact((tmp_path / "a").rename(tmp_path / "b"), artifact.manifest)
    image = picture()
    expected = module(image).detach()
    torch.testing.assert_close(answer(moved, image), expected, atol=atol, rtol=0)
    torch.testing.assert_close(answer(moved, image), expected, atol=atol, rtol=0)  # a second session beside the first
    delegation = artifact.manifest.delegation
    assert delegation is not None
    assert delegation.by_unit == {"npu": delegation.ops}
    assert delegation.rejected == ()
    model = onnx.load(str(moved.root / "model.onnx"))
    assert [node.op_type for node in model.graph.node] == ["EPContext"]
    assert [value.type.tensor_type.elem_type for value in model.graph.output] == [onnx.TensorProto.FLOAT]
    assert "QNN 2.50" in artifact.manifest.needs.min_runtime
    content = (moved.root / "model.onnx").read_bytes()
    assert str(tmp_path).encode() not in content
    assert str(Path.cwd()).encode() not in content
    assert b"/tmp/" not in content


@pytest.mark.slow
def test_kept_operators_get_16_bits(qnn: None, tmp_path: Path) -> None:
    module, image = Block().eval(), picture()
    expected = module(image).detach()
    errors = {}
    for name, kept in (("none", ()), ("some", ("conv2d", "conv2d_2")), ("all", None)):
        program = program_of(module)
        operators = operator_nodes(optimize(program, "onnx-qnn"))
        names = tuple(node.name for node in operators) if kept is None else kept
        program = replace(program, recipe=Recipe(kept=names))
        artifact = compile_program(program, "onnx-qnn:SM8650", "mixed", tmp_path / name)
        assert artifact.manifest.delegation is not None
        assert set(artifact.manifest.delegation.by_unit) == {"npu"}
        assert bool(artifact.manifest.steps[-2].options.get("nodes_in_16_bits")) == bool(names)
        errors[name] = float((answer(artifact, image) - expected).square().mean())
    assert errors["all"] < errors["some"] < errors["none"] < 0.06**2


@pytest.mark.slow
def test_an_operator_that_the_npu_refuses_is_named_with_the_reason(qnn: None, tmp_path: Path) -> None:
    module = Tail().eval()
    artifact = compile_program(program_of(module), "onnx-qnn:SM8650", "int8", tmp_path)
    image = picture()
    torch.testing.assert_close(answer(artifact, image), module(image).detach(), atol=0.1, rtol=0)  # sinh widens
    delegation = artifact.manifest.delegation
    assert delegation is not None
    assert delegation.by_unit["cpu"] == 1
    assert delegation.by_unit["npu"] >= 2
    (refused,) = delegation.rejected
    assert "sinh" in refused.op
    assert refused.reason
    assert "after the model" in refused.hint


@pytest.mark.slow
def test_chips_get_binaries_of_their_own(qnn: None, tmp_path: Path) -> None:
    program = program_of(nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU()))
    contents = set()
    for chip in ("SM8450", "SM8550", "SM8650", "SM8750", "SM8850"):
        artifact = compile_program(program, f"onnx-qnn:{chip}", "int8", tmp_path / chip)
        content = (artifact.root / "model.onnx").read_bytes()
        assert f"soc_type={chip};arch={CHIPS[chip].htp_arch};".encode() in content
        contents.add(content)
    assert len(contents) == 5


@pytest.mark.slow
def test_a_model_without_any_operator_for_the_npu_fails(qnn: None, tmp_path: Path) -> None:
    class Refusing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sinh(x)

    with pytest.raises(TargetError, match="took none of the operators"):
        compile_program(program_of(Refusing()), "onnx-qnn:SM8650", "int8", tmp_path)


@pytest.mark.slow
def test_an_sdk_of_another_version_is_refused(qnn: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convert.targets._onnx_qnn_context.QNN_VERSION", "2.99")
    with pytest.raises(TargetError, match=r"2\.50\.\S+, expected 2\.99"):
        compile_program(program_of(nn.Conv2d(8, 8, 1)), "onnx-qnn:SM8650", "int8", tmp_path)


def test_half_precision_is_refused_on_a_chip_without_it(tmp_path: Path) -> None:
    program = program_of(nn.Conv2d(8, 8, 1))
    with pytest.raises(Refused, match="w8a16 is nearest"):
        TARGETS["onnx-qnn:SM8735"].compile(program, "fp16", tmp_path)


def test_a_model_without_calibration_is_refused(tmp_path: Path) -> None:
    program = replace(program_of(nn.Conv2d(8, 8, 1)), calibration=())
    with pytest.raises(Refused, match="--data"):
        TARGETS["onnx-qnn:SM8650"].compile(program, "int8", tmp_path)


def test_an_unknown_chip_is_refused() -> None:
    with pytest.raises(UnknownName, match="onnx-qnn:SM8"):
        TARGETS["onnx-qnn:SM8651"]


def test_the_chips_agree_with_executorch() -> None:
    schema = pytest.importorskip("executorch.backends.qualcomm.serialization.qc_schema", exc_type=ImportError)
    for name, entry in CHIPS.items():
        theirs = getattr(schema.QcomChipset, name, None)
        if theirs is not None:
            assert (int(theirs), int(schema._soc_info_table[theirs].htp_info.htp_arch)) == (
                entry.soc_model,
                entry.htp_arch,
            )
