"""Compressed packages, written by coremltools: the interpreter decompresses as coremltools does, and runs the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edge.runtimes._mil import Interpreter, read_package

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
SHAPE = (1, 8, 9, 9)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # coremltools' own deprecations
        yield


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 16, 3), nn.Conv2d(16, 16, 3, groups=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


def convert(minimum: str) -> Any:
    import coremltools as ct

    torch.manual_seed(0)
    exported = torch.export.export(Net().eval(), (torch.rand(SHAPE),)).run_decompositions({})
    return ct.convert(
        exported,
        inputs=[ct.TensorType(name="x", shape=SHAPE, dtype=np.float32)],
        outputs=[ct.TensorType(name="y", dtype=np.float32)],
        minimum_deployment_target=getattr(ct.target, minimum),
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )


def optimise(kind: str, **options: object) -> Callable[[Any], Any]:
    def apply(model: Any) -> Any:
        from coremltools.optimize import coreml as cto

        config_class, function = {
            "palettize": (cto.OpPalettizerConfig, cto.palettize_weights),
            "quantize": (cto.OpLinearQuantizerConfig, cto.linear_quantize_weights),
            "prune": (cto.OpMagnitudePrunerConfig, cto.prune_weights),
        }[kind]
        config = config_class(weight_threshold=0, **options)
        joint = {"joint_compression": True} if kind != "prune" and "sparse" in str(model.get_spec()) else {}
        return function(model, cto.OptimizationConfig(global_config=config), **joint)

    return apply


CASES: dict[str, tuple[str, tuple[Callable[[Any], Any], ...]]] = {
    **{
        f"palette of {bits} bits": ("iOS16", (optimise("palettize", mode="uniform", nbits=bits),))
        for bits in (1, 2, 4, 6, 8)
    },
    "int8": ("iOS16", (optimise("quantize", mode="linear_symmetric", dtype="int8"),)),
    "uint8": ("iOS16", (optimise("quantize", mode="linear", dtype="uint8"),)),
    "sparse": ("iOS16", (optimise("prune", target_sparsity=0.6),)),
    "palette of 3 bits by group": (
        "iOS18",
        (optimise("palettize", mode="uniform", nbits=3, granularity="per_grouped_channel", group_size=4),),
    ),
    "int4 by block": (
        "iOS18",
        (optimise("quantize", mode="linear", dtype="int4", granularity="per_block", block_size=4),),
    ),
    "uint4": ("iOS18", (optimise("quantize", mode="linear", dtype="uint4"),)),
    "sparse palette": (
        "iOS18",
        (optimise("prune", target_sparsity=0.6), optimise("palettize", mode="uniform", nbits=4)),
    ),
    "sparse int8": ("iOS18", (optimise("prune", target_sparsity=0.6), optimise("quantize", dtype="int8"))),
}


def load(model: Any, path: Path) -> Interpreter:
    model.save(str(path))
    package = read_package(path)
    return Interpreter(package.function, package.name)


@pytest.mark.parametrize("case", CASES)
def test_compressed_weights_compute_what_the_decompressed_do(case: str, tmp_path: Path) -> None:
    from coremltools.optimize.coreml import decompress_weights

    minimum, steps = CASES[case]
    model = convert(minimum)
    for step in steps:
        model = step(model)
    compressed = load(model, tmp_path / "compressed.mlpackage")
    used = {op.type for op in read_package(tmp_path / "compressed.mlpackage").function.operations}
    assert any(name.startswith("constexpr_") for name in used)
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    found = compressed.run({"x": x})["y"]

    dense = read_package_constants(decompress_weights(model), tmp_path / "dense.mlpackage")
    net = Net().eval()
    net.load_state_dict({**net.state_dict(), **dense}, strict=True)
    with torch.no_grad():
        torch.testing.assert_close(found, net(x), rtol=1e-5, atol=1e-5)


def read_package_constants(model: Any, path: Path) -> dict[str, torch.Tensor]:
    """Return the weights as the module's state dict, told apart by the order of use."""
    model.save(str(path))
    function = read_package(path).function
    constants = {op.outputs[0].name: op.attributes["val"] for op in function.operations if op.type == "const"}
    convolutions = [op for op in function.operations if op.type == "conv"]
    state = {}
    for name, op in zip(("first", "second"), convolutions, strict=True):
        for key in ("weight", "bias"):
            [given] = op.arguments[key]
            state[f"{name}.{key}"] = constants[given.name]
    return state


@pytest.mark.parametrize("kind", ["float", "fp16", "int8", "uint8", "uint16", "int32", "uint32"])
def test_blobs_are_those_that_coremltools_writes(kind: str, tmp_path: Path) -> None:
    from coremltools.libmilstoragepython import _BlobStorageWriter

    from edge.runtimes._mil.blob import BlobFile

    name = {"float": "fp32"}.get(kind, kind)
    dtype = {"float": np.float32, "fp16": np.uint16}.get(kind) or np.dtype(kind).type
    numbers = np.arange(37).astype(dtype)
    writer = _BlobStorageWriter(str(tmp_path / "weight.bin"))
    getattr(writer, f"write_{kind}_data")(np.zeros(5, dtype))
    offset = getattr(writer, f"write_{kind}_data")(numbers)
    del writer
    blob = BlobFile((tmp_path / "weight.bin").read_bytes(), "weight.bin").read(offset)
    assert blob.dtype == name
    assert bytes(blob.data) == numbers.tobytes()
