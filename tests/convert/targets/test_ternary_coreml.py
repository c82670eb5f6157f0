"""Ternary weights in Core ML packages: what the shipped file holds, decoded, and what it computes, executed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from convert.export import export
from convert.passes import optimize
from convert.program import Model, Program
from convert.targets import TARGETS, Compiled
from convert.targets._coreml_ternary import Place, densest, int4, lut2, replace_weight, sparse1, vector5
from convert.ternary import ternary_layers
from edge.artifact import Artifact, Manifest, Source, list_files
from edge.contract import Contract, TensorSpec
from edge.errors import Refused
from edge.runtimes import open_session
from edge.runtimes._mil import Function, Interpreter, read_package
from quant.recipe import Recipe
from quant.ternary import NotTernary, TernaryTensor, ternary_of

SHAPE = (1, 3, 12, 12)
LAYERS = {"conv": 5, "conv_transpose": 1, "linear": 1}


def ternarize(layer: nn.Module, axis: int = 0, half: bool = False) -> None:
    """Make a layer's weight ternary in place, a scale an output channel; with `half` scales that float16 holds."""
    with torch.no_grad():
        weight: Tensor = layer.weight  # type: ignore[assignment]
        scale = weight.abs().mean(dim=[i for i in range(weight.dim()) if i != axis], keepdim=True)
        scale = scale.half().float() if half else scale
        weight.copy_((weight / scale).round().clamp(-1, 1) * scale)


class Net(nn.Module):
    """Every kind of layer with a weight; all but the stem are ternary."""

    def __init__(self, half: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 20, 3, 2, 1)
        self.dense = nn.Conv2d(20, 20, 3, 1, 1)
        self.depthwise = nn.Conv2d(20, 20, 3, 1, 1, groups=20)
        self.grouped = nn.Conv2d(20, 20, 3, 1, 1, groups=2)
        self.point = nn.Conv2d(20, 20, 1)
        self.up = nn.ConvTranspose2d(20, 8, 2, 2)
        self.head = nn.Linear(8, 4)
        for layer in (self.dense, self.depthwise, self.grouped, self.point):
            ternarize(layer, half=half)
        ternarize(self.up, 1, half=half)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.dense(F.relu(self.stem(x))))
        x = F.relu(self.point(F.relu(self.grouped(F.relu(self.depthwise(x))))))
        mask = torch.sigmoid(self.up(x))
        return mask, self.head(mask.mean((2, 3)))


def program(net: nn.Module) -> Program:
    contract = Contract(inputs=(TensorSpec(name="image", shape=SHAPE),))
    return optimize(export(Model("tiny", net.eval(), contract, Source(sha256="0" * 64))), "coreml")


def write(made: Program, folder: Path, precision: str = "ternary") -> tuple[Compiled, Artifact]:
    compiled = TARGETS["coreml"].compile(made, precision, folder)
    manifest = Manifest(
        model="tiny", task="tensors", target="coreml", precision=precision, files=list_files(folder),
        inputs=compiled.inputs, outputs=compiled.outputs, steps=compiled.steps, source=made.source,
        needs=compiled.needs,
    )  # fmt: skip
    return compiled, Artifact(folder, manifest)


def worst_error(artifact: Artifact, net: nn.Module) -> float:
    """Return the largest error of any output, relative to its largest value."""
    session, generator, errors = open_session(artifact), torch.Generator().manual_seed(1), []
    for _ in range(3):
        image = torch.rand(SHAPE, generator=generator)
        with torch.no_grad():
            expected = net(image)
        found = session.run({"image": image.numpy()})
        for got, want in zip(found.values(), expected, strict=True):
            errors.append(float(np.abs(got - want.numpy()).max() / want.abs().max()))
    return max(errors)


def decoded(function: Function) -> list[Tensor]:
    """Return the weights of a shipped program's layers in execution order, as it decodes them."""
    numbers = Interpreter(function, "test").numbers
    return [numbers[op.arguments["weight"][0].name] for op in function.operations if op.type in LAYERS]  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize(("half", "tolerance"), [(False, 1e-5), (True, 3e-3)])
def test_the_shipped_weights_are_trits_times_scale_and_compute_the_same(
    half: bool, tolerance: float, tmp_path: Path
) -> None:
    net = Net(half).eval()
    made = program(net)
    compiled, artifact = write(made, tmp_path)
    function = read_package(artifact.file(".mlpackage")).function
    weights = decoded(function)
    assert len(weights) == 7
    layers = ternary_layers(made)
    assert len(layers) == 5
    for layer, found in zip(layers, weights[1:-1], strict=True):
        expected = np.moveaxis(layer.tensor.dequantize(), 0, layer.channel_axis)
        assert np.array_equal(found.float().numpy(), expected), layer.operator
    if not half:
        assert torch.equal(weights[0], net.stem.weight)
    assert worst_error(artifact, net) < tolerance
    [step] = compiled.steps
    assert step.options["compute_precision"] == ("fp16" if half else "fp32")
    # The 9 weights of a depthwise channel take less in 4 bits than in 2 bits with a palette.
    assert {name: step.options[name] for name in ("lut2", "int4", "float")} == {"lut2": 4, "int4": 1, "float": 2}
    assert 2 < step.options["ternary_bits_per_weight"] < 4
    assert artifact.manifest.needs.min_runtime == "iOS 18 / macOS 15"


@pytest.mark.slow
def test_a_mask_with_signs_is_smaller_where_many_weights_are_zero(tmp_path: Path) -> None:
    net = Wide().eval()
    with torch.no_grad():
        net.conv.weight[:, ::2] = 0  # two thirds of all, with those that are anyway
    made = program(net)
    sizes = {}
    for precision in ("ternary", "ternary-sparse"):
        folder = tmp_path / precision
        folder.mkdir()
        compiled, artifact = write(made, folder, precision)
        sizes[precision] = (artifact.root / "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin").stat().st_size
        assert worst_error(artifact, net) < 1e-5
    assert compiled.steps[0].options["sparse1"] == 1
    assert compiled.steps[0].options["ternary_bits_per_weight"] < 1.5
    assert sizes["ternary-sparse"] < sizes["ternary"]
    [_, shipped] = decoded(read_package(artifact.file(".mlpackage")).function)
    assert torch.equal(shipped.float(), net.conv.weight)


class Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wide = nn.Conv2d(3, 256, 3)
        self.conv = nn.Conv2d(256, 256, 3)
        ternarize(self.conv)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        result: Tensor = self.conv(self.wide(x))
        return (result,)


@pytest.mark.slow
def test_a_convolution_takes_two_bits_a_weight_in_the_file(tmp_path: Path) -> None:
    net = Wide().eval()
    compiled, artifact = write(program(net), tmp_path)
    size = (artifact.root / "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin").stat().st_size
    others = 4 * (net.wide.weight.numel() + 2 * 256)
    assert 8 * (size - others) / net.conv.weight.numel() < 2.05
    assert compiled.steps[0].options["ternary_bits_per_weight"] == pytest.approx(2 + 64 / 2304, abs=1e-3)
    assert worst_error(artifact, net) < 1e-5


def one_layer(kind: str, weight: np.ndarray[Any, Any]) -> Any:
    """Return coremltools' program of one layer with a float weight."""
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    shape = (2, weight.shape[1]) if kind == "linear" else (1, weight.shape[0 if kind == "up" else 1], 8, 8)
    shape = (1, weight.shape[0], 8, 8) if kind == "depthwise" else shape

    @mb.program(input_specs=[mb.TensorSpec(shape=shape)], opset_version=ct.target.iOS18)
    def prog(x: Any) -> Any:
        if kind == "linear":
            return mb.linear(x=x, weight=weight, name="y")
        if kind == "up":
            return mb.conv_transpose(x=x, weight=weight, name="y")
        return mb.conv(x=x, weight=weight, groups=weight.shape[0] if kind == "depthwise" else 1, name="y")

    return prog


SHAPES = {"linear": (6, 10), "conv": (6, 5, 3, 3), "depthwise": (6, 1, 3, 3), "up": (10, 6, 2, 2)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("encode", [lut2, int4, sparse1, vector5])
def test_every_encoding_is_lossless_in_the_file(encode: Any, kind: str, tmp_path: Path) -> None:
    from convert.targets._coreml_package import PACKAGE, quiet_coremltools, save_package
    from convert.targets.coreml import _to_model

    axis = 1 if kind == "up" else 0
    generator = np.random.default_rng(0)
    trits = generator.integers(-1, 2, np.moveaxis(np.empty(SHAPES[kind]), axis, 0).shape)
    tensor = TernaryTensor(trits, generator.uniform(0.01, 1, len(trits)).astype(np.float32))
    weight = np.moveaxis(tensor.dequantize(), 0, axis)
    with quiet_coremltools():
        made = one_layer(kind, weight)
        [found] = [op.inputs["weight"] for op in made.functions["main"].operations if op.op_type in LAYERS]
        if encode is vector5 and kind == "depthwise":
            with pytest.raises(NotTernary, match="multiple of 5"):
                replace_weight(made, found, tensor, axis, encode)
            return
        replace_weight(made, found, tensor, axis, encode)
        save_package(_to_model(made, "iOS18"), tmp_path / PACKAGE)
    function = read_package(tmp_path / PACKAGE).function
    [shipped] = decoded(function)
    assert np.array_equal(shipped.numpy(), weight)
    x = torch.from_numpy(generator.normal(size=next(iter(function.inputs)).type.sizes()).astype(np.float32))
    dense = torch.from_numpy(weight.copy())
    expected = {"linear": lambda: F.linear(x, dense), "conv": lambda: F.conv2d(x, dense),
                "depthwise": lambda: F.conv2d(x, dense, groups=len(dense)),
                "up": lambda: F.conv_transpose2d(x, dense)}[kind]()  # fmt: skip
    [result] = Interpreter(function, "test").run({function.inputs[0].name: x}).values()
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


@given(st.integers(1, 400), st.sampled_from([16, 32]))
def test_the_densest_form_is_never_larger_than_the_others(columns: int, float_bits: int) -> None:
    tensor = TernaryTensor(np.ones((1, columns), np.int8), np.ones(1, np.float32))
    bits = {"lut2": 2 * columns + 32 + float_bits, "int4": 4 * columns + float_bits, "float": float_bits * columns}
    assert bits[densest(tensor, float_bits)] == min(bits.values())


def test_all_zeros_have_no_sparse_form() -> None:
    tensor = ternary_of(np.zeros((2, 4), np.float32))
    with pytest.raises(NotTernary, match="at least one"):
        sparse1(tensor, Place(None, "w", 0, np.float32))


def test_what_cannot_be_had_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = program(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    with pytest.raises(Refused, match="no ternary weight.*int8"):
        TARGETS["coreml"].compile(plain, "ternary", tmp_path)
    with pytest.raises(Refused, match="mse"):
        TARGETS["coreml"].compile(replace(plain, recipe=Recipe(observer="mse")), "ternary", tmp_path)
