"""The published files: every output against LiteRT on real pictures, training, saving and exporting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from tflite_files import run_litert

from convert.export import example_inputs, export
from convert.importers.tflite import ImportedGraph, import_tflite
from convert.program import Model
from edge.artifact import Source
from edge.contract import Contract
from edge.zoo import MODELS, WeightsFile

pytestmark = pytest.mark.slow

Array = NDArray[Any]
Weights = Callable[[str], Path]
LIMIT = 1e-4
RANGES = {"pose_detection.tflite": (-1.0, 1.0), "pose_solution_packed_assets.data": (-1.0, 1.0)}
FILES = [
    "pose_detection.tflite",
    "pose_solution_packed_assets.data",  # npm's copy of the detector
    "pose_landmark_lite.tflite",
    "pose_landmark_full.tflite",
    "pose_landmark_heavy.tflite",
    "selfie_segmentation.tflite",
    "selfie_segmentation_landscape.tflite",
]
PICTURES = ("astronaut", "coffee", "chelsea")
# Logits of hundreds to thousands at the end of a network that amplifies float32 rounding: at single pixels LiteRT's own
# two sets of kernels differ by more than 1e-4 of the scale, so their distance is the yardstick there (see test_parity).
ROUNDING_BOUND = {("pose_landmark_lite.tflite", 2), ("pose_landmark_full.tflite", 2), ("pose_landmark_heavy.tflite", 2)}


def _pictures(name: str, height: int, width: int) -> list[Array]:
    low, high = RANGES.get(name, (0.0, 1.0))
    found = []
    for picture in PICTURES:
        pixels = Image.fromarray(getattr(data, picture)()).resize((width, height), Image.Resampling.BILINEAR)
        found.append((np.asarray(pixels, np.float32) / 255 * (high - low) + low)[None])
    return found


def _first(array: Array) -> Array:
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


def _litert(path: Path, pictures: list[Array], resolver: OpResolverType) -> list[list[Array]]:
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    return [[_first(array).copy() for array in run_litert(interpreter, [picture])] for picture in pictures]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Keep PyTorch to one thread: with more, oneDNN picks other kernels, and what is compared is their rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _eager(imported: ImportedGraph, pictures: list[Array], dtype: torch.dtype) -> list[tuple[Array, ...]]:
    module = imported.module.to(dtype)
    with torch.no_grad():
        found = [module(torch.from_numpy(_first(picture).copy()).to(dtype)) for picture in pictures]
    return [tuple(tensor.numpy() for tensor in _all(output)) for output in found]


def _largest(left: list[Any], right: list[Any], output: int) -> float:
    return max(float(np.abs(a[output] - b[output]).max()) for a, b in zip(left, right, strict=True))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", FILES)
def test_parity(name: str, weights: Weights, capsys: pytest.CaptureFixture[str]) -> None:
    """Print the table and hold max abs / max(1, scale) ≤ 1e-4 for every output, over all pictures.

    LiteRT runs with its default delegate, XNNPACK, in float32: the plain kernels lack Convolution2DTransposeBias. Both
    sides round, and how depends on the processor, so the import is also computed in float64, free of rounding: it holds
    the limit against LiteRT, and in float32 it holds the limit against LiteRT or against itself in float64.
    For the landmark models' mask logits the limit is four times the distance between XNNPACK's and the plain kernels'
    results, or between float32 and float64, on the same pictures; their root mean square holds the 1e-4 as well.
    """
    path = weights(name)
    imported = import_tflite(path)
    pictures = _pictures(name, *imported.inputs[0].size_hw)
    ours, theirs = _eager(imported, pictures, torch.float32), _litert(path, pictures, OpResolverType.AUTO)
    exact = _eager(imported, pictures, torch.float64)
    bound = any(file == name for file, _ in ROUNDING_BOUND)
    plain = _litert(path, pictures, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES) if bound else theirs
    failures = []
    for output, spec in enumerate(imported.outputs):
        assert {out[output].shape for out in theirs} == {spec.shape}
        scale = max(float(np.abs(out[output]).max()) for out in theirs)
        error, rounding = _largest(ours, theirs, output), _largest(ours, exact, output)
        of_import, of_kernels = _largest(exact, theirs, output), _largest(plain, theirs, output)
        rms = max(float(np.sqrt(np.mean((a[output] - b[output]) ** 2))) for a, b in zip(ours, theirs, strict=True))
        limit = LIMIT * max(1.0, scale)
        row = (
            f"{name:37} {spec.name:13} {'×'.join(map(str, spec.shape)):12} scale {scale:8.3g}  max abs {error:.2e}  of "
            f"scale {error / max(1.0, scale):.2e}  rms {rms:.2e}  float64 {of_import:.2e}  rounding {rounding:.2e}  "
            f"kernels {of_kernels:.2e}"
        )
        with capsys.disabled():
            print(f"\n{row}", end="")
        if (name, output) in ROUNDING_BOUND:
            passed = error <= max(limit, 4 * max(of_kernels, rounding)) and rms <= limit
        else:
            passed = of_import <= limit and rms <= limit and min(error, rounding) <= limit
        if not passed:
            failures.append(row)
    assert not failures


@pytest.mark.parametrize("name", sorted(name for name, entry in MODELS.items() if isinstance(entry.graph, WeightsFile)))
def test_zoo_contract_fits_the_file(name: str, weights: Weights) -> None:
    entry = MODELS[name]
    imported = import_tflite(weights(entry.files[0].name))
    assert [(spec.shape, spec.dtype) for spec in imported.inputs] == [(s.shape, s.dtype) for s in entry.contract.inputs]
    assert [(spec.shape, spec.layout) for spec in imported.outputs] == [
        (s.shape, s.layout) for s in entry.contract.outputs
    ]


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in FILES if not name.endswith(".data") and "heavy" not in name),
        pytest.param("pose_landmark_heavy.tflite", marks=pytest.mark.full),
    ],
)
def test_export_matches_eager(name: str, weights: Weights) -> None:
    imported = import_tflite(weights(name))
    contract = Contract(inputs=imported.inputs, outputs=imported.outputs)
    program = export(Model("imported", imported.module, contract, Source(sha256="0" * 64)))
    inputs = example_inputs(contract)
    with torch.no_grad():
        expected = imported.module(*inputs)
        found = program.exported.module()(*inputs)
    for left, right in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-6 * max(1.0, float(right.abs().max())))


@pytest.mark.parametrize(
    "name",
    [
        "selfie_segmentation.tflite",
        "pose_landmark_lite.tflite",
        pytest.param("pose_detection.tflite", marks=pytest.mark.full),
    ],
)
def test_a_training_step_lowers_the_loss_and_reaches_every_parameter(name: str, weights: Weights) -> None:
    imported = import_tflite(weights(name))
    module = imported.module.train()
    picture = torch.from_numpy(_first(_pictures(name, *imported.inputs[0].size_hw)[0]).copy())
    with torch.no_grad():
        targets = [out + 0.1 * out.abs().mean() for out in _all(module(picture))]

    def loss() -> torch.Tensor:
        pairs = zip(_all(module(picture)), targets, strict=True)
        return torch.stack([((out - goal) / (goal.abs().mean() + 1e-6)).square().mean() for out, goal in pairs]).sum()

    before = loss()
    before.backward()
    gradients = {key: parameter.grad for key, parameter in module.named_parameters()}
    assert not [key for key, gradient in gradients.items() if gradient is None]
    slope = sum(float(gradient.square().sum()) for gradient in gradients.values() if gradient is not None)
    with torch.no_grad():
        for parameter in module.parameters():  # as far as should lower the loss by a hundredth, to first order
            parameter -= 0.01 * before.item() / slope * parameter.grad
        after = loss()
    assert after.item() < before.item()


def _all(outputs: Any) -> tuple[torch.Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def test_state_dict_round_trip(weights: Weights, tmp_path: Path) -> None:
    path = weights("pose_landmark_lite.tflite")
    imported, fresh = import_tflite(path), import_tflite(path)
    torch.save(imported.module.state_dict(), tmp_path / "weights.pt")
    with torch.no_grad():
        for parameter in fresh.module.parameters():
            parameter.zero_()
    fresh.module.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True), strict=True)
    picture = torch.from_numpy(_first(_pictures(path.name, 256, 256)[0]).copy())
    with torch.no_grad():
        for left, right in zip(fresh.module(picture), imported.module(picture), strict=True):
            assert torch.equal(left, right)


def test_landmark_model_has_readable_layers_and_no_permutes(weights: Weights) -> None:
    module = import_tflite(weights("pose_landmark_full.tflite")).module
    assert {"conv2d.weight", "conv_poseflag.bias", "convld_3d.weight", "convworld_3d.weight"} <= set(
        module.state_dict()
    )
    assert not [node for node in module.graph.nodes if node.target is torch.permute]  # type: ignore[union-attr]
