"""Core ML: an ML program in a `.mlpackage`, for iOS, iPadOS and macOS."""

from __future__ import annotations

import keyword
import re
import sys
import traceback
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convert.delegation import Placement, place_all
from convert.targets import Compiled, target
from convert.targets._coreml_package import PACKAGE, quiet_coremltools, save_package
from edge.artifact import Needs, Step
from edge.contract import DType, TensorSpec
from edge.errors import ContractError, EdgeError, Refused, TargetError

if TYPE_CHECKING:
    from convert.program import Program

# iOS 16 is the first whose programs may be fp16 from end to end and hold compressed weights, and it still runs on
# every phone with a Neural Engine that programs can use (A11 and later).
_MINIMUM = "iOS16"
_MIN_RUNTIME = "iOS 16 / macOS 13"

# What Core ML's arrays can carry; wider integers become int32, which the manifest then says.
_ARRAY_TYPES: dict[DType, DType] = {"float32": "float32", "float16": "float16", "int32": "int32", "int64": "int32"}


@target(
    "coreml",
    runtime="coreml",
    summary="Core ML ML program (.mlpackage) for iPhone, iPad and Mac: CPU, GPU and Neural Engine",
    precisions=("fp32", "fp16"),
    packages=("coremltools",),
    extra="coreml",
    execution="native" if sys.platform == "darwin" else "reference",
    unit="npu",
)
def compile(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.mlpackage into `folder`; inputs and outputs keep the contract's names and stay fp32.

    Core ML takes the whole graph and divides it between Neural Engine, GPU and CPU on the device, which cannot be
    known here: the report counts it as the NPU's.

    Raises ContractError for names or types that Core ML cannot carry, TargetError if coremltools fails.
    """
    inputs, outputs = (_interface(specs) for specs in (program.contract.inputs, program.contract.outputs))
    with quiet_coremltools():
        _write(program, precision, inputs, outputs, folder / PACKAGE)
    step = Step(
        tool="coremltools",
        version=metadata.version("coremltools"),
        options={"convert_to": "mlprogram", "minimum_deployment_target": _MINIMUM, "compute_precision": precision},
    )
    return Compiled(
        inputs=inputs,
        outputs=outputs,
        steps=(step,),
        needs=Needs(min_runtime=_MIN_RUNTIME),
        operators=place_all(program, Placement("npu", "Core ML")),
    )


def _write(
    program: Program, precision: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], path: Path
) -> None:
    model = _convert(program, precision, inputs, outputs)
    _describe(model, program, precision)
    save_package(model, path)


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
