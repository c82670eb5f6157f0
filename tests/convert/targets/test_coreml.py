"""Core ML target: what it writes computes what the module computes, operator by operator."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convert.export import Flat, example_inputs, export
from convert.program import Model
from convert.targets import TARGETS
from edge.artifact import Artifact, Manifest, Source, list_files
from edge.contract import Contract, TensorSpec
from edge.errors import ContractError, Refused, TargetError
from edge.runtimes import open_session

pytestmark = pytest.mark.slow

TOLERANCE = {"fp32": 1e-5, "fp16": 1e-2}  # largest error / largest magnitude of the eager output


def write(
    module: nn.Module, shapes: tuple[tuple[int, ...], ...], precision: str, folder: Path
) -> tuple[Artifact, Model]:
    torch.manual_seed(0)
    inputs = tuple(TensorSpec(name=f"input_{i}", shape=shape) for i, shape in enumerate(shapes))
    source = Source(sha256="0" * 64, licence="Apache-2.0", origin="a test")
    model = Model("tiny", module.eval(), Contract(inputs=inputs), source)
    program = export(model)
    made = TARGETS["coreml"].compile(program, precision, folder)
    manifest = Manifest(
        model="tiny", task="tensors", target="coreml", precision=precision, files=list_files(folder),
        inputs=made.inputs, outputs=made.outputs, steps=made.steps, source=source, needs=made.needs,
    )  # fmt: skip
    return Artifact(folder, manifest), model


def errors(artifact: Artifact, model: Model) -> dict[str, float]:
    """Return max |artifact − eager| / max |eager| per output."""
    # Signed inputs reach both sides of every activation.
    inputs = tuple(4 * tensor - 2 for tensor in example_inputs(model.contract, seed=1))
    with torch.no_grad():
        expected = Flat(model.module)(*inputs)
    named = {spec.name: tensor.numpy() for spec, tensor in zip(model.contract.inputs, inputs, strict=True)}
    found = open_session(artifact).run(named)
    assert all(np.isfinite(array).all() for array in found.values())
    return {
        name: float(np.abs(array.astype(np.float64) - tensor.numpy()).max() / max(1e-6, float(tensor.abs().max())))
        for (name, array), tensor in zip(found.items(), expected, strict=True)
    }


class Branches(nn.Module):
    """Apply several functions to the same input and return all their results: one conversion tests many operators."""

    def __init__(self, *branches: Callable[[Tensor], Tensor] | nn.Module) -> None:
        super().__init__()
        self.modules_ = nn.ModuleList(item for item in branches if isinstance(item, nn.Module))
        self.functions = tuple(item for item in branches if not isinstance(item, nn.Module))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(item(x) for item in (*self.modules_, *self.functions))


def up(**options: object) -> Callable[[Tensor], Tensor]:
    return lambda x: F.interpolate(x, **options)


GROUPS: dict[str, Callable[[], nn.Module]] = {
    "convolution": lambda: Branches(
        nn.Conv2d(4, 6, 3, 2, 1),
        nn.Conv2d(4, 6, (3, 5), padding="same"),
        nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 6, 3, 2)),
        nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4)),
        nn.Conv2d(4, 8, 3, padding=4, dilation=4, groups=2, bias=False),
        nn.ConvTranspose2d(4, 6, 2, 2),
        nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1),
        nn.ConvTranspose2d(4, 8, 4, 2, 1, groups=2, bias=False, dilation=(1, 2)),
        nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4)),
        nn.InstanceNorm2d(4, affine=True),
        nn.LayerNorm(8),
        nn.GroupNorm(2, 4),
        nn.Linear(8, 5),
        nn.PReLU(4),
    ),
    "pooling": lambda: Branches(
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(2, 2, ceil_mode=True),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveAvgPool2d((3, 2)),
    ),
    "resize": lambda: Branches(
        up(scale_factor=2, mode="bilinear"),
        up(scale_factor=2, mode="bilinear", align_corners=True),
        up(size=(13, 21), mode="bilinear"),
        up(size=(13, 21), mode="bilinear", align_corners=True),
        up(size=(4, 5), mode="bilinear"),
        up(scale_factor=1.7, mode="bilinear", recompute_scale_factor=True),
        up(scale_factor=2),
        up(size=(13, 21)),
        lambda x: up(size=(9, 8), mode="bilinear")(x.mean((2, 3), keepdim=True)),
        lambda x: F.pixel_shuffle(x, 2),
        lambda x: F.pixel_unshuffle(x[:, :, :8], 2),
    ),
    "activation": lambda: Branches(
        F.relu6, F.hardswish, F.hardsigmoid, F.silu, F.elu, F.softplus, F.softsign, F.mish,
        torch.tanh, torch.sigmoid,
        torch.exp, torch.erf, torch.sin,
        lambda x: F.gelu(x, approximate="tanh"),  # beside torch.tanh, which coremltools confuses it with
        lambda x: F.leaky_relu(x, 0.2),
        lambda x: F.hardswish(1e4 * x),  # near fp16's largest number
        lambda x: x.softmax(1),
        lambda x: F.log_softmax(x, 1),
        lambda x: x.clamp(-0.5, 0.7),
        lambda x: x.abs().sqrt(),
        lambda x: (x.abs() + 1).rsqrt(),
        lambda x: (x.abs() + 0.1).log(),
    ),
    "arithmetic": lambda: Branches(
        lambda x: x + 2 * x,
        lambda x: torch.add(x, x, alpha=2.5),
        lambda x: torch.sub(x, x * x, alpha=0.5),
        F.gelu,
        lambda x: 1 / (x.abs() + 1),
        lambda x: x / (x.abs() + 1),
        lambda x: x.abs() ** 1.5,
        lambda x: torch.maximum(x, -0.5 * x),
        lambda x: torch.where(x > 0, x, 2 * x - 1),
        lambda x: x @ x.transpose(2, 3),
        lambda x: torch.einsum("bchw,bdhw->bcd", x, x),
        lambda x: F.scaled_dot_product_attention(x, x, x),
        lambda x: F.normalize(x, dim=1),
    ),
    "shape": lambda: Branches(
        lambda x: F.pad(x, (1, 2, 3, 0), mode="reflect"),
        lambda x: F.pad(x, (1, 2, 3, 0), mode="replicate"),
        lambda x: F.pad(x, (1, 2, 3, 0), value=0.3),
        lambda x: F.pad(x, (0, 0, 0, 0, 0, 3)),
        lambda x: torch.cat([x, 2 * x], 1),
        lambda x: torch.split(x, [1, 3], 1)[1],
        lambda x: torch.stack([x, x + 1], 1),
        lambda x: x[:, 1:, ::2, -3:],
        lambda x: x.flip(3),
        lambda x: x.permute(0, 2, 3, 1).reshape(1, -1, 4),
        lambda x: x[0].unsqueeze(-1),
        lambda x: x.repeat(1, 2, 1, 3),
        lambda x: x[:, :, [0, 3, 1]],
    ),
    "reduction": lambda: Branches(
        lambda x: x.mean((2, 3)),
        lambda x: x.sum(1),
        lambda x: x.amax((2, 3)),
        lambda x: x.amin(1, keepdim=True),
        lambda x: x.norm(dim=1),
        lambda x: x.var(1),
        lambda x: x.cumsum(2),
        lambda x: x.topk(3, dim=2)[0],
        lambda x: x.sort(dim=1)[0],
        lambda x: x.argmax(1).to(torch.int32),
    ),
}  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("group", GROUPS)
def test_operators_compute_what_the_module_computes(group: str, precision: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    artifact, model = write(GROUPS[group](), ((1, 4, 9, 8),), precision, tmp_path)
    found = errors(artifact, model)
    assert not {name: error for name, error in found.items() if error > TOLERANCE[precision]}


class Block(nn.Module):
    """What MobileNetV3 and its segmentation heads are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        self.depthwise = nn.Sequential(
            nn.Conv2d(16, 16, 5, 1, 2, groups=16, bias=False), nn.BatchNorm2d(16), nn.Hardswish()
        )
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 8, 1), nn.ReLU(), nn.Conv2d(8, 16, 1), nn.Hardsigmoid()
        )
        self.atrous = nn.ModuleList(nn.Conv2d(16, 8, 3, padding=rate, dilation=rate) for rate in (1, 6, 12))
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 8, 1), nn.ReLU())
        self.head = nn.Conv2d(32, 5, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.depthwise(self.stem(image))
        x = x * self.squeeze(x)
        pooled = F.interpolate(self.pooled(x), size=x.shape[-2:], mode="bilinear", align_corners=False)
        y = self.head(torch.cat([*(branch(x) for branch in self.atrous), pooled], 1))
        return {"mask": F.interpolate(y, size=image.shape[-2:], mode="bilinear", align_corners=False)}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_segmentation_block(precision: str, tmp_path: Path) -> None:
    artifact, model = write(Block(), ((1, 3, 33, 32),), precision, tmp_path)
    assert errors(artifact, model)["output_0"] <= TOLERANCE[precision]
    assert open_session(artifact).mode == TARGETS["coreml"].execution


class Shared(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        z = torch.relu(x - y)
        return z, x, z, x.clone()


def test_outputs_may_be_inputs_or_each_other(tmp_path: Path) -> None:
    artifact, model = write(Shared(), ((2, 3), (3,)), "fp32", tmp_path)
    assert set(errors(artifact, model).values()) == {0.0}


def test_equal_programs_give_equal_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        torch.manual_seed(0)
        artifact, _ = write(nn.Conv2d(3, 4, 3), ((1, 3, 8, 8),), "fp16", tmp_path / name)
        made.append(artifact.manifest.files)
    assert made[0] == made[1]
    assert [entry.name for entry in made[0]] == [
        "model.mlpackage/Data/com.apple.CoreML/model.mlmodel",
        "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
        "model.mlpackage/Manifest.json",
    ]


class Softplus(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x, threshold=1)


class Antialiased(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=(4, 5), mode="bilinear", antialias=True)


@pytest.mark.parametrize(("module", "text"), [(Softplus(), "softplus"), (Antialiased(), "antialias")])
def test_what_coremltools_would_convert_wrongly_is_an_error(module: nn.Module, text: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=text):
        write(module, ((1, 4, 9, 8),), "fp32", tmp_path)


def test_an_operator_that_coremltools_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="celu"):
        write(nn.CELU(), ((1, 4),), "fp32", tmp_path)


def test_names_and_types_that_core_ml_lacks_are_refused(tmp_path: Path) -> None:
    source = Source(sha256="0" * 64)
    named = Model("tiny", nn.ReLU(), Contract(inputs=(TensorSpec(name="an input", shape=(1, 4)),)), source)
    with pytest.raises(ContractError, match=re.escape("'an input'")):
        TARGETS["coreml"].compile(export(named), "fp32", tmp_path)
    typed = Model("tiny", nn.ReLU(), Contract(inputs=(TensorSpec(name="x", shape=(1, 4), dtype="int8"),)), source)
    with pytest.raises(Refused, match="int8"):
        TARGETS["coreml"].compile(export(typed), "fp32", tmp_path)
