"""Ternary weights on Qualcomm's NPU: what its compiler is given, how large it gets, what the emulator computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from ternary_networks import ternarize
from torch import Tensor, nn

from convert.build import Build, run_build
from convert.export import export
from convert.passes import optimize
from convert.prepare import prepare
from convert.program import Model, Program
from convert.targets import TARGETS
from convert.ternary import ternary_layers
from edge.artifact import Source
from edge.contract import Contract, Preprocess, TensorSpec
from edge.errors import Refused
from edge.report.records import TargetReport
from quant.ternary import NotTernary, TernaryTensor

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

SdkVariables = Callable[[str], dict[str, str]]
CONTRACT = Contract(
    inputs=(TensorSpec(name="image", shape=(1, 3, 32, 32), layout="NCHW"),), preprocess=Preprocess(size=(32, 32))
)
FORMS = ("int2", "int4", "int8")


class Net(nn.Module):
    """Every kind of layer with a weight; all but the stem are ternary."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.dense = nn.Conv2d(16, 16, 3, 1, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.grouped = nn.Conv2d(16, 16, 3, 1, 1, groups=2)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.head = nn.Linear(8, 4)
        for layer in (self.dense, self.depthwise, self.grouped, self.head):
            ternarize(layer.weight)
        ternarize(self.up.weight, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.dense(F.relu(self.stem(x))))
        x = self.up(F.relu(self.grouped(F.relu(self.depthwise(x)))))
        return x, self.head(x.mean((2, 3)))


class Wide(nn.Module):
    """One ternary convolution from 256 channels to 256."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 256, 3, 2, 1)
        self.conv = nn.Conv2d(256, 256, 3, 2, 1)
        ternarize(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(F.relu(self.stem(x)))
        return result


def model(module: nn.Module) -> Model:
    return Model("tiny", module.eval(), CONTRACT, Source(sha256="0" * 64))


def program(module: nn.Module) -> Program:
    return optimize(export(model(module)), "executorch-qnn")


def built(chip: str, root: Path) -> TargetReport:
    build = Build(target=f"executorch-qnn:{chip}", precision="ternary")
    return run_build(build, root / "prepared", root / build.folder_name, root / "preview.png", root / "log.txt")


def test_every_layer_gets_the_densest_form_that_its_chip_computes() -> None:
    from convert.targets._qnn_ternary import choose_forms

    made = program(Net())
    kinds = [layer.op for layer in ternary_layers(made)]
    assert kinds == ["conv2d", "conv2d", "conv2d", "conv_transpose2d", "linear"]
    for version, narrow in ((68, "int4"), (69, "int4"), (73, "int2"), (81, "int2")):
        assert list(choose_forms(made, version).values()) == [narrow, "int8", narrow, "int8", narrow]


def test_a_transposed_convolution_in_groups_is_refused() -> None:
    from convert.targets._qnn_ternary import choose_forms

    layer = nn.ConvTranspose2d(4, 4, 2, 2, groups=2)
    ternarize(layer.weight, 1)
    with pytest.raises(Refused, match="groups=1.*fp16"):
        choose_forms(program(nn.Sequential(nn.Conv2d(3, 4, 1), layer)), 75)


@given(st.data())
def test_codes_times_scales_are_the_weight(data: st.DataObject) -> None:
    from convert.targets._qnn_ternary import FORMS as KNOWN
    from convert.targets._qnn_ternary import PerChannelTernaryObserver

    form = data.draw(st.sampled_from(FORMS))
    axis = data.draw(st.integers(0, 1))
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 9)))
    seed = data.draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    tensor = TernaryTensor(generator.integers(-1, 2, shape), np.exp(generator.normal(0, 5, shape[0])))
    weight = torch.from_numpy(np.moveaxis(tensor.dequantize(), 0, axis).copy())
    largest = KNOWN[form].largest
    observer = PerChannelTernaryObserver(
        ch_axis=axis, dtype=torch.int8, qscheme=torch.per_channel_symmetric, quant_min=-largest - 1, quant_max=largest
    )
    observer(weight)
    scale, zero = observer.calculate_qparams()
    assert not zero.any()
    along = scale.reshape(-1, 1) if axis == 0 else scale.reshape(1, -1)
    codes = (weight / along).round()
    assert set(codes.unique().tolist()) <= {-largest, 0, largest}
    if form == "int2":
        assert torch.equal(codes * along, weight)
    torch.testing.assert_close(codes * along, weight, rtol=2.0**-22, atol=0)


def test_a_weight_that_a_pass_has_changed_is_found_out() -> None:
    from convert.targets._qnn_ternary import PerChannelTernaryObserver, Written

    [layer] = ternary_layers(program(Wide()))
    codes, scales = np.moveaxis(layer.tensor.trits, 0, 1), layer.tensor.scale
    assert Written(codes, scales, 1).holds(layer)
    assert Written(codes[..., None], scales, 1).holds(layer)
    assert not Written(codes, scales / 1.5, 1).holds(layer)
    assert not Written(-codes, scales, 1).holds(layer)
    assert not Written(codes[:-1], scales, 1).holds(layer)
    observer = PerChannelTernaryObserver(ch_axis=0, dtype=torch.int8, qscheme=torch.per_channel_symmetric)
    with pytest.raises(NotTernary):
        observer(torch.rand(3, 4))


def test_a_program_needs_ternary_weights_and_pictures(tmp_path: Path) -> None:
    from convert.targets.executorch_qnn import compile_qnn

    with pytest.raises(Refused, match="no ternary weight.*int8"):
        compile_qnn(program(nn.Conv2d(3, 2, 3)), "ternary", tmp_path, "SM8650")
    with pytest.raises(Refused, match="--data"):
        compile_qnn(program(Wide()), "ternary", tmp_path, "SM8650")


@pytest.mark.parametrize("target", ["onnx-qnn:SM8650", "litert-google-tensor:G5"])
def test_targets_that_compute_it_wrongly_refuse_it_and_name_the_nearest(target: str) -> None:
    with pytest.raises(Refused, match="no precision 'ternary'.*nearest here is int8"):
        TARGETS[target].check("ternary", "tensors")


def test_pictures_are_prepared_for_ternary_where_it_measures_ranges() -> None:
    assert TARGETS["executorch-qnn:SM8650"].measures("ternary")
    assert not TARGETS["coreml"].measures("ternary")
    assert TARGETS["coreml"].measures("int8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chip", "forms"),
    [
        ("SM8650", {"int2": 3, "int8": 2}),
        pytest.param("SM8450", {"int4": 3, "int8": 2}, marks=pytest.mark.full),
    ],
)
def test_every_layer_computes_the_same_on_the_emulator(
    chip: str, forms: dict[str, int], tmp_path: Path, photos: tuple[Path, ...], sdk: SdkVariables
) -> None:
    sdk("qnn-2.49")
    prepare(model(Net()), photos, tmp_path / "prepared")
    report = built(chip, tmp_path)
    assert report.status == "ok", report.reason
    assert report.parity is not None
    assert report.delegation is not None
    assert report.parity.mode == "emulated"
    assert report.parity.passed
    for output in report.parity.outputs:
        assert output.max_abs <= 0.01 * output.scale
    assert report.delegation.by_unit == {"npu": report.delegation.ops}
    options: dict[str, Any] = {key: value for step in report.steps for key, value in step.options.items()}
    assert {name: options[name] for name in FORMS if name in options} == forms
    assert options["weights_checked"] == 5
    assert "weights_on_cpu" not in options


@pytest.mark.slow
def test_two_bits_are_stored_in_two_bits(tmp_path: Path, photos: tuple[Path, ...], sdk: SdkVariables) -> None:
    sdk("qnn-2.49")
    prepare(model(Wide()), photos, tmp_path / "prepared")
    report = built("SM8650", tmp_path)
    assert report.status == "ok", report.reason
    assert report.parity is not None
    assert report.parity.outputs[0].max_abs <= 0.01 * report.parity.outputs[0].scale
    weights, rest = 256 * 256 * 9, 100_000  # bytes: the stem, and what every context has; in 8 bits it is 590 kB
    assert report.bytes is not None
    assert report.bytes < weights / 4 + rest
