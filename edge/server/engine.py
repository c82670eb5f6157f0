"""A model in memory, ready to answer batches: eager PyTorch, or an artifact in its own runtime.

Weights come from safetensors, from `.pth` files of which only tensors are read, and from `.pt2`, `.onnx`, `.pte` and
`.tflite`.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.artifact import Artifact, check_files, read_manifest
from edge.contract import Contract
from edge.errors import InputError, MissingError, Refused
from edge.runtimes import open_session, runtime_of
from edge.serve.metadata import ModelMetadata, declare
from edge.server.config import ModelConfig
from edge.server.memory import keep_freed_memory
from edge.threads import VARIABLE
from edge.zoo import MODELS

if TYPE_CHECKING:
    from convert.program import Model

Arrays = dict[str, NDArray[Any]]
Run = Callable[[Mapping[str, NDArray[Any]]], Arrays]
_SLOW_S = 2.0  # of two runs: a model that takes so long gains nothing from company, but its start takes longer
_SAME = 1e-3  # of an output's largest magnitude: rows of one batch may round differently than a row alone


@dataclass(frozen=True, slots=True)
class Engine:
    """A loaded model. `run` takes inputs of any number of rows, and is called by one thread at a time.

    `batched` says whether rows are computed together; without it they are one after the other.
    """

    contract: Contract
    metadata: ModelMetadata
    weights: str  # hex SHA-256 of what the weights came from; "random" without any
    batched: bool
    run: Run

    @property
    def joins(self) -> bool:
        """Say whether requests can be joined by rows: every first axis is open."""
        specs = (*self.metadata.inputs, *self.metadata.outputs)
        return all(spec.shape[:1] == (-1,) for spec in specs)


def open_engine(config: ModelConfig) -> Engine:
    """Load what a configuration names.

    Raises UnknownName for a model that does not exist, InputError for a folder that is no artifact, MissingError where
    weights or a GPU are absent.
    """
    os.environ[VARIABLE] = str(max(1, math.ceil(config.cpus)))
    keep_freed_memory()
    if (Path(config.source) / "manifest.json").is_file():
        return _open_artifact(config, read_manifest(Path(config.source)))
    if config.source not in MODELS and not config.source.endswith(".pt2"):
        if Path(config.source).exists():
            raise InputError(f"{config.source} is no artifact: it has no manifest.json; make one with `edge deploy`")
        MODELS[config.source]  # raises UnknownName with the closest names
    return _open_eager(config)


def _open_artifact(config: ModelConfig, artifact: Artifact) -> Engine:
    if config.device == "cuda" or config.checkpoint or config.weights == "random":
        raise Refused(
            f"{config.source} is an artifact: it runs on the CPU with the weights it holds; leave device, checkpoint "
            "and weights out, or serve the model itself"
        )
    check_files(artifact)
    manifest = artifact.manifest
    session = open_session(artifact)
    contract = manifest.contract
    return _engine(config, contract, session.run, manifest.source.sha256, runtime_of(artifact).version, batched=False)


def _open_eager(config: ModelConfig) -> Engine:
    try:
        import torch
    except ImportError:
        raise MissingError("PyTorch is not installed: pip install 'edge-deployment-kit[server]'") from None
    from convert.export import complete_contract
    from convert.prepare import load_any

    torch.set_num_threads(max(1, math.ceil(config.cpus)))
    checkpoint = Path(config.checkpoint) if config.checkpoint else None
    model = complete_contract(load_any(config.source, checkpoint, None, random_weights=config.weights == "random"))
    device = _device(config)
    run = _eager_run(model, device, compiled=device != "cpu")
    batched = config.max_batch > 1 and _is_batched(model.contract, run)
    return _engine(
        config, model.contract, run, model.source.sha256, f"pytorch {torch.__version__} {device}", batched=batched
    )


def _device(config: ModelConfig) -> str:
    import torch

    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise MissingError(f"{config.label}: PyTorch sees no GPU here; set device to cpu, or install a CUDA build")
    return "cuda" if config.device == "cuda" or (config.device == "auto" and available and config.gpus) else "cpu"


def _eager_run(model: Model, device: str, *, compiled: bool) -> Run:
    """Return the function that runs a module on arrays; compiled once for any number of rows."""
    import torch

    from convert.export import flatten

    module = model.module.to(device).eval()
    call: Callable[..., Any] = torch.compile(module, dynamic=True) if compiled else module
    names = [spec.name for spec in model.contract.inputs]
    outputs = [spec.name for spec in model.contract.outputs]

    def run(inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        with torch.inference_mode():
            # A request's arrays are views of its body, which PyTorch cannot take as they may not be written to.
            tensors = [torch.tensor(np.ascontiguousarray(inputs[name]), device=device) for name in names]
            found = flatten(call(*tensors))
        return {name: tensor.cpu().numpy() for name, tensor in zip(outputs, found, strict=True)}

    return run


def _is_batched(contract: Contract, run: Run) -> bool:
    """Say whether two rows together give what each gives alone; graphs with a fixed first axis do not."""
    if any(not spec.shape or spec.shape[0] != 1 for spec in (*contract.inputs, *contract.outputs)):
        return False
    generator = np.random.default_rng(0)
    two = {
        spec.name: (generator.random((2, *spec.shape[1:])) * (1 if spec.dtype.startswith("float") else 2)).astype(
            spec.dtype
        )
        for spec in contract.inputs
    }
    begin_s = time.perf_counter()
    alone = [run({name: rows[i : i + 1] for name, rows in two.items()}) for i in range(2)]
    if time.perf_counter() - begin_s > _SLOW_S:
        return False
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # torch.fx prints the graph's line that failed
            together = run(two)
    except Exception:  # whatever a graph raises whose shapes are fixed
        return False
    return all(
        together[name].shape[0] == 2 and _near(together[name], np.concatenate([alone[0][name], alone[1][name]]))
        for name in alone[0]
    )


def _near(first: NDArray[Any], second: NDArray[Any]) -> bool:
    if first.shape != second.shape:
        return False
    a, b = first.astype(np.float64), second.astype(np.float64)
    return bool(np.all(np.abs(a - b) <= _SAME * max(float(np.abs(b).max(initial=0.0)), 1e-6)))


def _engine(config: ModelConfig, contract: Contract, run: Run, weights: str, platform: str, *, batched: bool) -> Engine:
    rows = config.max_batch > 1 and all(spec.shape[:1] == (1,) for spec in (*contract.inputs, *contract.outputs))
    metadata = declare(contract, config.label, version=config.version, platform=platform, rows=rows)
    return Engine(contract, metadata, weights or "random", batched, _one_by_one(run) if rows and not batched else run)


def _one_by_one(run: Run) -> Run:
    """Run rows one after the other, for a graph that takes one at a time."""

    def each(inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        count = len(next(iter(inputs.values())))
        if count == 1:
            return run(inputs)
        found = [run({key: rows[i : i + 1] for key, rows in inputs.items()}) for i in range(count)]
        return {key: np.concatenate([one[key] for one in found]) for key in found[0]}

    return each


def versioned(metadata: ModelMetadata, versions: tuple[str, ...]) -> ModelMetadata:
    """Return metadata that lists all versions of a model."""
    return msgspec.structs.replace(metadata, versions=versions)
