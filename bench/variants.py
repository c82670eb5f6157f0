"""What is compared: eager PyTorch, each runtime's stock exporter, and the kit's targets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.artifact import Manifest, Needs, list_files, write_manifest
from edge.contract import TensorSpec
from edge.versions import installed_version
from edge.zoo import MODELS

if TYPE_CHECKING:
    from convert.program import Model

PRECISION = "fp32"
_PACKAGES = ("torch", "executorch", "litert-torch", "ai-edge-litert", "onnx", "onnxscript", "onnxruntime")
_ROOT = Path(__file__).resolve().parent.parent
_STOCK_SOURCES = ("bench/variants.py", "edge/zoo", "convert/importers", "convert/export.py", "convert/load.py")


@dataclass(frozen=True, slots=True)
class Variant:
    """Name a way to run a model; `target` is empty for eager PyTorch."""

    name: str
    target: str
    stock: bool


EAGER = Variant("eager", "", stock=True)
VARIANTS = (
    EAGER,
    Variant("executorch stock", "executorch-xnnpack", stock=True),
    Variant("executorch ours", "executorch-xnnpack", stock=False),
    Variant("litert stock", "litert-cpu", stock=True),
    Variant("litert ours", "litert-cpu", stock=False),
    Variant("onnx stock", "onnx-cpu", stock=True),
    Variant("onnx ours", "onnx-cpu", stock=False),
)


def artifact_folder(cache: Path, model: str, variant: Variant) -> Path:
    """Return where a variant's artifact is cached; the name changes with the code and packages that made it."""
    sources = _STOCK_SOURCES if variant.stock else (*_STOCK_SOURCES, "convert")
    digest = hashlib.sha256()
    for package in _PACKAGES:
        digest.update(f"{package}={installed_version(package) or 'absent'}\n".encode())
    for source in sources:
        path = _ROOT / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return cache / f"{model}--{variant.name.replace(' ', '-')}--{digest.hexdigest()[:12]}"


def load_model(name: str) -> Model:
    """Load a zoo model with its published weights, or with seeded random ones where a checkpoint is the user's."""
    from convert.load import load

    return load(name, random_weights=MODELS[name].graph is None)


def build_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Make one artifact in `folder`; runs in a child process."""
    from convert.compile import compile_program
    from convert.export import complete_contract, export

    folder, target = Path(payload["folder"]), payload["target"]
    if not payload["stock"]:
        compile_program(export(load_model(payload["model"])), target, PRECISION, folder)
        return {}
    model = complete_contract(load_model(payload["model"]))
    inputs, outputs = _STOCK[target](model, folder)
    manifest = Manifest(
        model=model.name, task=model.contract.task, target=target, precision=PRECISION, files=list_files(folder),
        inputs=inputs, outputs=outputs, steps=(), source=model.source, needs=Needs(min_runtime=""),
    )  # fmt: skip
    write_manifest(folder, manifest)
    return {}


Specs = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]


def _stock_executorch(model: Model, folder: Path) -> Specs:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    from convert.export import Flat, example_inputs

    with torch.no_grad():
        exported = torch.export.export(Flat(model.module).eval(), example_inputs(model.contract))
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    (folder / "model.pte").write_bytes(lowered.to_executorch().buffer)
    return model.contract.inputs, model.contract.outputs


def _stock_litert(model: Model, folder: Path) -> Specs:
    import litert_torch
    import torch
    from ai_edge_litert.interpreter import Interpreter

    from convert.export import Flat, example_inputs

    path = folder / "model.tflite"
    with torch.no_grad():
        litert_torch.convert(Flat(model.module).eval(), example_inputs(model.contract)).export(str(path))
    runner = Interpreter(model_path=str(path)).get_signature_runner()
    return _named(runner.get_input_details()), _named(runner.get_output_details())


def _named(details: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=name, shape=tuple(int(size) for size in detail["shape"]), dtype=detail["dtype"].__name__)
        for name, detail in details.items()
    )


def _stock_onnx(model: Model, folder: Path) -> Specs:
    import torch

    from convert.export import Flat, example_inputs

    inputs, outputs = model.contract.inputs, model.contract.outputs
    torch.onnx.export(
        Flat(model.module).eval(), example_inputs(model.contract), str(folder / "model.onnx"), dynamo=True,
        input_names=[spec.name for spec in inputs], output_names=[spec.name for spec in outputs],
    )  # fmt: skip
    return inputs, outputs


_STOCK: dict[str, Callable[[Model, Path], Specs]] = {
    "executorch-xnnpack": _stock_executorch,
    "litert-cpu": _stock_litert,
    "onnx-cpu": _stock_onnx,
}
