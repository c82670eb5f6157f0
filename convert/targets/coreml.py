"""Core ML: an ML program in a `.mlpackage`, for iOS, iPadOS and macOS."""

from __future__ import annotations

import gc
import keyword
import logging
import re
import sys
import tempfile
import traceback
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convert.targets import Compiled, target
from edge.artifact import Needs, Step, encode_json, file_digest, write_atomic
from edge.contract import DType, TensorSpec
from edge.errors import ContractError, EdgeError, Refused, TargetError

if TYPE_CHECKING:
    from convert.program import Program

PACKAGE = "model.mlpackage"

# iOS 16 is the first whose programs may be fp16 from end to end and hold compressed weights, and it still runs on
# every phone with a Neural Engine that programs can use (A11 and later).
_MINIMUM = "iOS16"
_MIN_RUNTIME = "iOS 16 / macOS 13"

# What Core ML's arrays can carry; wider integers become int32, which the manifest then says.
_ARRAY_TYPES: dict[DType, DType] = {"float32": "float32", "float16": "float16", "int32": "int32", "int64": "int32"}

# A conversion stamps the time of day into the model; without it equal programs give equal bytes.
_CONVERSION_DATE = "com.github.apple.coremltools.conversion_date"


@target(
    "coreml",
    runtime="coreml",
    summary="Core ML ML program (.mlpackage) for iPhone, iPad and Mac: CPU, GPU and Neural Engine",
    precisions=("fp32", "fp16"),
    packages=("coremltools",),
    extra="coreml",
    execution="native" if sys.platform == "darwin" else "reference",
)
def compile(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.mlpackage into `folder`; inputs and outputs keep the contract's names and stay fp32.

    Raises ContractError for names or types that Core ML cannot carry, TargetError if coremltools fails.
    """
    inputs, outputs = (_interface(specs) for specs in (program.contract.inputs, program.contract.outputs))
    with _quiet_coremltools():
        _write(program, precision, inputs, outputs, folder / PACKAGE)
    step = Step(
        tool="coremltools",
        version=metadata.version("coremltools"),
        options={"convert_to": "mlprogram", "minimum_deployment_target": _MINIMUM, "compute_precision": precision},
    )
    return Compiled(inputs=inputs, outputs=outputs, steps=(step,), needs=Needs(min_runtime=_MIN_RUNTIME))


def _write(
    program: Program, precision: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], path: Path
) -> None:
    model = _convert(program, precision, inputs, outputs)
    _describe(model, program, precision)
    _save(model, path)


def _interface(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    for spec in specs:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", spec.name) or keyword.iskeyword(spec.name):
            raise ContractError(
                f"Core ML cannot carry the name {spec.name!r}; use letters, digits and _, as in image_1"
            )
        if spec.dtype not in _ARRAY_TYPES:
            raise Refused(f"{spec.name}: Core ML has no {spec.dtype} arrays; make it float32 or int32 in the model")
    return tuple(msgspec.structs.replace(spec, dtype=_ARRAY_TYPES[spec.dtype]) for spec in specs)


def _convert(program: Program, precision: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Any:
    import coremltools as ct

    from convert.targets._coreml_graph import correct_operators, decompose

    correct_operators()
    precisions = {"fp32": ct.precision.FLOAT32, "fp16": ct.precision.FLOAT16}
    try:
        return ct.convert(
            decompose(program.exported),
            source="pytorch",
            convert_to="mlprogram",
            inputs=[ct.TensorType(name=spec.name, shape=spec.shape, dtype=_numpy(spec)) for spec in inputs],
            outputs=[ct.TensorType(name=spec.name, dtype=_numpy(spec)) for spec in outputs],
            minimum_deployment_target=getattr(ct.target, _MINIMUM),
            compute_precision=precisions[precision],
            compute_units=ct.ComputeUnit.ALL,
            skip_model_load=True,  # loading needs macOS
        )
    except EdgeError:
        raise
    except Exception as error:  # coremltools raises whatever its passes trip over
        traceback.clear_frames(error.__traceback__)  # they hold the half-written weights
        lines = str(error).strip().splitlines() or [""]
        raise TargetError(f"coremltools cannot convert {program.name}: {type(error).__name__}: {lines[-1]}") from error


def _numpy(spec: TensorSpec) -> Any:
    return np.dtype(spec.dtype).type


def _describe(model: Any, program: Program, precision: str) -> None:
    model.short_description = f"{program.name}, a model for the task {program.contract.task}, computed in {precision}"
    model.license = program.source.licence or "not stated"
    model.version = program.source.sha256[:16]
    model.author = program.source.origin or "not stated"
    for description, specs in (
        (model.input_description, program.contract.inputs),
        (model.output_description, program.contract.outputs),
    ):
        for spec in specs:
            layout = f", {spec.layout}" if spec.layout else ""
            description[spec.name] = f"{'x'.join(map(str, spec.shape))}{layout}"


def _save(model: Any, path: Path) -> None:
    """Write the package so that equal programs give equal bytes: no clock, no random ids, maps in key order."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        saved = Path(scratch) / PACKAGE
        model.save(str(saved))
        content = saved / "Data" / "com.apple.CoreML"
        path.mkdir()
        (path / "Data").mkdir()
        content.replace(path / "Data" / content.name)
    spec = model.get_spec()
    spec.description.metadata.userDefined.pop(_CONVERSION_DATE, None)
    model_file = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    write_atomic(model_file, spec.SerializeToString(deterministic=True))
    write_atomic(path / "Manifest.json", encode_json(_manifest(model_file)))


def _manifest(model_file: Path) -> dict[str, Any]:
    items = [("model.mlmodel", "CoreML Model Specification", file_digest(model_file))]
    weights = model_file.parent / "weights"
    if weights.is_dir():
        items.append(("weights", "CoreML Model Weights", "".join(map(file_digest, sorted(weights.iterdir())))))
    entries = {
        str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {digest}")): {
            "author": "com.apple.CoreML", "description": description, "name": name, "path": f"com.apple.CoreML/{name}",
        }
        for name, description, digest in items
    }  # fmt: skip
    return {"fileFormatVersion": "1.0.0", "itemInfoEntries": entries, "rootModelIdentifier": next(iter(entries))}


class _Untested(logging.Filter):
    """Drop the notes that coremltools has not been tested with this torch, and that Core ML is not on this system.

    Whether the conversion is right is what verification finds out, for every artifact.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return not (
            "has not been tested" in text or "is not supported" in text or text.startswith("Failed to load _ML")
        )


@contextmanager
def _quiet_coremltools() -> Iterator[None]:
    """Silence what coremltools, and what it imports, warn themselves about on every run, and free its scratch files."""
    untested = _Untested()
    logger = logging.getLogger("coremltools")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.addFilter(untested)
        try:
            yield
        finally:
            logger.removeFilter(untested)
            gc.collect()  # its scratch folder of weights is deleted with the converted program, which is in a cycle
