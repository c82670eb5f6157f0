"""Core ML in 8 and 4 bits: what the package computes, executed, against the eager module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convert.delegation import operator_nodes
from convert.export import export
from convert.program import Model, Program
from convert.targets import TARGETS, Compiled
from edge.artifact import Artifact, Manifest, Source, list_files
from edge.contract import Contract, TensorSpec
from edge.errors import Refused
from edge.runtimes import open_session
from edge.runtimes._mil import Function, read_package
from quant.recipe import PLAIN, Recipe

SHAPE = (1, 3, 24, 24)
# √(mean squared error / mean square) of the eager result: 8 bits round within 1/255 of the range in each layer.
TOLERANCE = {"int8": 0.05, "mixed": 0.05, "w8": 0.02, "w4": 0.2}


class Net(nn.Module):
    """Every operator that is quantized, a hard-swish, padding, a join and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2)
        self.depthwise = nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.point = nn.Conv2d(16, 16, 1)
        self.up = nn.ConvTranspose2d(32, 8, 2, 2)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.hardswish(self.stem(F.pad(x, (0, 1, 0, 1))))
        y = x + F.relu(self.depthwise(x))
        y = torch.cat([F.max_pool2d(y, 3, 1, 1), F.relu(self.point(y))], 1)
        mask = torch.sigmoid(self.up(y))
        return mask, self.head(mask.mean((2, 3)))


def pictures(count: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    coarse = [torch.rand((1, 3, 6, 6), generator=generator) for _ in range(count)]
    return [F.interpolate(image, SHAPE[-2:], mode="bilinear") for image in coarse]


def program(recipe: Recipe = PLAIN) -> tuple[Program, nn.Module]:
    torch.manual_seed(0)
    net = Net().eval()
    contract = Contract(inputs=(TensorSpec(name="image", shape=SHAPE),))
    made = export(Model("tiny", net, contract, Source(sha256="0" * 64)))
    calibration = tuple({"image": image.numpy()} for image in pictures(8, seed=1))
    return replace(made, calibration=calibration, recipe=recipe), net


def write(made: Program, precision: str, folder: Path) -> tuple[Compiled, Artifact]:
    compiled = TARGETS["coreml"].compile(made, precision, folder)
    manifest = Manifest(
        model="tiny", task="tensors", target="coreml", precision=precision, files=list_files(folder),
        inputs=compiled.inputs, outputs=compiled.outputs, steps=compiled.steps, source=made.source,
        needs=compiled.needs,
    )  # fmt: skip
    return compiled, Artifact(folder, manifest)


def worst_error(artifact: Artifact, net: nn.Module) -> float:
    session, errors = open_session(artifact), []
    for image in pictures(4, seed=2):
        with torch.no_grad():
            expected: Sequence[Tensor] = net(image)
        found = session.run({"image": image.numpy()})
        errors += [
            float(np.sqrt(np.mean((got - want.numpy()) ** 2) / np.mean(want.numpy() ** 2)))
            for got, want in zip(found.values(), expected, strict=True)
        ]
    return max(errors)


def function_of(artifact: Artifact) -> Function:
    return read_package(artifact.file(".mlpackage")).function


def types_of(function: Function) -> list[str]:
    return [operation.type for operation in function.operations]


@pytest.mark.slow
def test_int8_computes_what_the_module_computes(tmp_path: Path) -> None:
    made, net = program()
    compiled, artifact = write(made, "int8", tmp_path)
    assert worst_error(artifact, net) < TOLERANCE["int8"]
    function = function_of(artifact)
    types = types_of(function)
    assert types.count("constexpr_affine_dequantize") == 5  # the layers with weights
    assert types.count("quantize") == types.count("dequantize") > 5
    assert artifact.manifest.needs.min_runtime == "iOS 17 / macOS 14"
    [step] = compiled.steps
    assert step.options["quantized_weights"] == 5
    assert step.options["corrected_biases"] == 5
    # No layer reads its value in float, and the heads leave theirs in float.
    producers = {output.name: op.type for op in function.operations for output in op.outputs}
    for op in function.operations:
        if op.type in ("conv", "conv_transpose", "linear", "max_pool"):
            [given] = op.arguments["x"]
            assert producers[given.name] == "dequantize", op.name
    assert "dequantize" not in {producers[name] for name in function.outputs}


@pytest.mark.slow
def test_kept_operators_stay_in_float(tmp_path: Path) -> None:
    made, net = program()
    layer = [node.name for node in operator_nodes(made) if "conv" in node.name][1]  # the depthwise one
    made = replace(made, recipe=Recipe(kept=(layer,), observer="mse"))
    compiled, artifact = write(made, "mixed", tmp_path)
    assert worst_error(artifact, net) < TOLERANCE["mixed"]
    assert compiled.steps[0].options["kept"] == layer
    assert compiled.steps[0].options["observer"] == "mse"
    function = function_of(artifact)
    types = types_of(function)
    assert types.count("constexpr_affine_dequantize") == 4
    producers = {output.name: op.type for op in function.operations for output in op.outputs}
    [kept] = [op for op in function.operations if op.type == "conv" and op.name.startswith(layer)]
    read = {
        key: producers[item.name] for key, given in kept.arguments.items() for item in given if hasattr(item, "name")
    }
    assert read["x"] != "dequantize"
    assert read["weight"] == "const"


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "runtime"), [("w8", "iOS 16 / macOS 13"), ("w4", "iOS 18 / macOS 15")])
def test_weights_alone(precision: str, runtime: str, tmp_path: Path) -> None:
    made, net = program()
    _, artifact = write(replace(made, calibration=()), precision, tmp_path)
    assert worst_error(artifact, net) < TOLERANCE[precision]
    types = types_of(function_of(artifact))
    assert "quantize" not in types
    assert sum(name.startswith("constexpr_") for name in types) >= 4
    assert artifact.manifest.needs.min_runtime == runtime


@pytest.mark.slow
def test_equal_programs_give_equal_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        files.append(write(program()[0], "int8", tmp_path / name)[1].manifest.files)
    assert files[0] == files[1]


def test_what_a_recipe_cannot_have_is_refused(tmp_path: Path) -> None:
    compile = TARGETS["coreml"].compile
    made, _ = program(Recipe(observer="mse"))
    with pytest.raises(Refused, match="mse"):
        compile(made, "w8", tmp_path)
    made, _ = program(Recipe(kept=("conv2d",)))
    with pytest.raises(Refused, match="mixed"):
        compile(made, "int8", tmp_path)


@pytest.mark.slow
def test_int8_needs_pictures_and_mixed_known_names(tmp_path: Path) -> None:
    made, _ = program()
    with pytest.raises(Refused, match="--data"):
        TARGETS["coreml"].compile(replace(made, calibration=()), "int8", tmp_path)
    with pytest.raises(Refused, match="'nothing'"):
        TARGETS["coreml"].compile(replace(made, recipe=Recipe(kept=("nothing",))), "mixed", tmp_path)


def test_w8a16_is_refused_with_what_there_is() -> None:
    with pytest.raises(Refused, match="w8"):
        TARGETS["coreml"].check("w8a16", "tensors")
