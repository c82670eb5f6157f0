"""Core ML: an ML program in a `.mlpackage`, for iOS, iPadOS and macOS."""

from __future__ import annotations

import keyword
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
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
# every phone with a Neural Engine that programs can use (A11 and later). Values in 8 bits need iOS 17, palettes for
# groups of channels iOS 18.
_MINIMUM = {"int8": "iOS17", "mixed": "iOS17", "w4": "iOS18", "ternary": "iOS18", "ternary-sparse": "iOS18"}
_OLDEST = "iOS16"
_MIN_RUNTIME = {"iOS16": "iOS 16 / macOS 13", "iOS17": "iOS 17 / macOS 14", "iOS18": "iOS 18 / macOS 15"}
_CALIBRATED = ("int8", "mixed")
_TERNARY = ("ternary", "ternary-sparse")

# What Core ML's arrays can carry; wider integers become int32, which the manifest then says.
_ARRAY_TYPES: dict[DType, DType] = {"float32": "float32", "float16": "float16", "int32": "int32", "int64": "int32"}


@target(
    "coreml",
    runtime="coreml",
    summary="Core ML ML program (.mlpackage) for iPhone, iPad and Mac: CPU, GPU and Neural Engine",
    precisions=("fp32", "fp16", "int8", "w8", "w4", "mixed", "ternary", "ternary-sparse"),
    packages=("coremltools",),
    extra="coreml",
    execution="native" if sys.platform == "darwin" else "reference",
    unit="npu",
)
def compile(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.mlpackage into `folder`; inputs and outputs keep the contract's names and stay fp32.

    `int8` computes convolutions, matrix products with weights, pools and sums in 8 bits, except those that the recipe
    keeps in `mixed`: they and everything else are computed in float16, as the models with compressed weights are.

    `ternary` and `ternary-sparse` compute in float16 if that holds every scale of the ternary weights exactly, and in
    float32 otherwise, which is exact but which the Neural Engine does not compute.

    Core ML takes the whole graph and divides it between Neural Engine, GPU and CPU on the device, which cannot be
    known here: the report counts it as the NPU's.

    Raises ContractError for names or types that Core ML cannot carry, Refused for a recipe that does not suit the
    precision and without calibration inputs, TargetError if coremltools fails.
    """
    inputs, outputs = (_interface(specs) for specs in (program.contract.inputs, program.contract.outputs))
    _check_recipe(program, precision)
    minimum, compute = _MINIMUM.get(precision, _OLDEST), _compute(program, precision)
    with quiet_coremltools(), _failures(program):
        model, done = _build(program, precision, compute, minimum, inputs, outputs)
        _describe(model, program, precision)
        save_package(model, folder / PACKAGE)
    options = {
        "convert_to": "mlprogram",
        "minimum_deployment_target": minimum,
        "compute_precision": compute,
        **done,
    }
    return Compiled(
        inputs=inputs,
        outputs=outputs,
        steps=(Step(tool="coremltools", version=metadata.version("coremltools"), options=options),),
        needs=Needs(min_runtime=_MIN_RUNTIME[minimum]),
        operators=place_all(program, Placement("npu", "Core ML")),
    )


def _compute(program: Program, precision: str) -> str:
    """Return the type to compute in: ternary weights stay what they are, so their scales have a say in it."""
    if precision in _TERNARY:
        from convert.targets._coreml_ternary import scales_in_half

        return "fp16" if scales_in_half(program) else "fp32"
    return "fp32" if precision == "fp32" else "fp16"


def _check_recipe(program: Program, precision: str) -> None:
    recipe = program.recipe
    if recipe.observer is not None and precision not in _CALIBRATED:
        raise Refused(
            f"coreml measures no ranges for {precision}; leave the observer {recipe.observer} out, or take int8"
        )
    if recipe.kept and precision != "mixed":
        raise Refused(f"coreml keeps single operators in float for the precision mixed, not for {precision}")


def _interface(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    for spec in specs:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", spec.name) or keyword.iskeyword(spec.name):
            raise ContractError(
                f"Core ML cannot carry the name {spec.name!r}; use letters, digits and _, as in image_1"
            )
        if spec.dtype not in _ARRAY_TYPES:
            raise Refused(f"{spec.name}: Core ML has no {spec.dtype} arrays; make it float32 or int32 in the model")
    return tuple(msgspec.structs.replace(spec, dtype=_ARRAY_TYPES[spec.dtype]) for spec in specs)


def _build(
    program: Program,
    precision: str,
    compute: str,
    minimum: str,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
) -> tuple[Any, dict[str, str | int | float | bool]]:
    """Return the model, and what was done beyond the conversion."""
    from convert.targets._coreml_ternary import encode_ternary
    from convert.targets._coreml_weights import OPTIONS, compress
    from convert.targets._pt2e_weights import fitted

    if precision in _CALIBRATED:
        program = fitted(program, program.recipe.kept)
    converted = _convert(program, compute, minimum, inputs, outputs)
    if precision in _CALIBRATED:
        done = _quantize(program, converted, minimum, inputs)
        return _to_model(converted, minimum), done
    if precision in _TERNARY:
        done = encode_ternary(converted, sparse=precision == "ternary-sparse")
        return _to_model(converted, minimum), done
    model = _to_model(converted, minimum)
    if precision in OPTIONS:
        return compress(model, precision), dict(OPTIONS[precision])
    return model, {}


def _quantize(
    program: Program, converted: Any, minimum: str, inputs: tuple[TensorSpec, ...]
) -> dict[str, str | int | float | bool]:
    import torch

    from convert.targets._coreml_names import kept_operations
    from convert.targets._coreml_quantize import OBSERVER, quantize

    types: list[tuple[str, torch.dtype]] = [(spec.name, getattr(torch, spec.dtype)) for spec in inputs]
    done = quantize(
        converted,
        lambda changed: _to_model(changed, minimum),
        [
            {name: tensor.to(dtype) for (name, dtype), tensor in zip(types, tensors, strict=True)}
            for tensors in program.calibration_tensors()
        ],
        lambda function: kept_operations(program, function),
        program.recipe.observer or OBSERVER,
    )
    return {
        "weights": "int8, symmetric, per channel",
        "activations": "int8, asymmetric, per tensor",
        "observer": program.recipe.observer or OBSERVER,
        "pictures": len(program.calibration),
        "quantized_activations": done.activations,
        "quantized_weights": done.weights,
        "corrected_biases": done.biases,
        "kept": ", ".join(program.recipe.kept),
    }


def _convert(
    program: Program, compute: str, minimum: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> Any:
    """Return the program as coremltools' passes leave it, before it becomes a model."""
    import coremltools as ct

    from convert.targets._coreml_graph import correct_operators, decompose

    correct_operators()
    precisions = {"fp32": ct.precision.FLOAT32, "fp16": ct.precision.FLOAT16}
    return ct.convert(
        decompose(program.exported),
        source="pytorch",
        convert_to="milinternal",
        inputs=[ct.TensorType(name=spec.name, shape=spec.shape, dtype=_numpy(spec)) for spec in inputs],
        outputs=[ct.TensorType(name=spec.name, dtype=_numpy(spec)) for spec in outputs],
        minimum_deployment_target=getattr(ct.target, minimum),
        compute_precision=precisions[compute],
    )


def _to_model(converted: Any, minimum: str) -> Any:
    import coremltools as ct

    return ct.convert(
        converted,
        source="milinternal",
        convert_to="mlprogram",
        minimum_deployment_target=getattr(ct.target, minimum),
        compute_units=ct.ComputeUnit.ALL,
        pass_pipeline=ct.PassPipeline.EMPTY,  # they have run
        skip_model_load=True,  # loading needs macOS
    )


@contextmanager
def _failures(program: Program) -> Iterator[None]:
    """Report whatever coremltools' passes trip over."""
    try:
        yield
    except EdgeError:
        raise
    except Exception as error:
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
