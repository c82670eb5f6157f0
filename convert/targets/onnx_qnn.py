"""ONNX Runtime on Qualcomm's Hexagon NPU: a context model for one chip, executed here on the chip's emulator."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.targets import Compiled, target_family
from convert.targets._half import check_half_range
from convert.targets._onnx_qnn_chips import CHIPS
from convert.targets.onnx import FILE, OPSET
from edge.artifact import Needs, Step, write_atomic
from edge.errors import Refused, TargetError

if TYPE_CHECKING:
    from convert.program import Program
    from convert.targets._onnx_qnn_context import Context
    from convert.targets._onnx_qnn_float import FloatModel


@target_family(
    "onnx-qnn",
    chips=tuple(CHIPS),
    runtime="onnx",
    summary="ONNX Runtime on Qualcomm's Hexagon NPU, compiled ahead for one chip",
    precisions=("int8", "w8a16", "mixed", "fp16"),
    packages=("onnx", "onnxscript", "onnxruntime"),
    extra="onnx",
    execution="emulated",
    sdks=("qnn-2.50",),
    refused={
        "ternary": "ONNX Runtime's QNN provider reads codes of 2 and 4 bits without their sign and computes something "
        "else without a word; the nearest here is int8, and executorch-qnn has ternary"
    },
)
def onnx_qnn(program: Program, precision: str, folder: Path, chip: str) -> Compiled:
    """Write model.onnx: one file that holds the chip's context binary; inputs and outputs stay as in the contract.

    Raises Refused for fp16 on a chip without it and for int8 without calibration, TargetError if QNN fails.
    """
    from convert.targets._onnx_qnn_context import compile_context
    from convert.targets._onnx_qnn_float import place_operators, to_float_model

    _check(program, precision, chip)
    source = to_float_model(program, precision)
    content, quantizer = _quantize(source, program, precision)
    context = compile_context(content, chip, half=precision == "fp16")
    _finish(context.model, source.model)
    write_atomic(folder / FILE, context.model.SerializeToString(deterministic=True))
    operators, unnamed = place_operators(program, source, context.left())
    if all(entry.unit == "cpu" for entry in operators):  # quantizing the input alone makes a context too
        first = f"{operators[0].op}: {operators[0].reason}" if operators else "there are none"
        raise TargetError(f"QNN took none of the operators for {chip}: {first}")
    return Compiled(
        inputs=program.contract.inputs,
        outputs=program.contract.outputs,
        steps=(*_exported(), *quantizer, _compiled(context, chip)),
        needs=Needs(min_runtime=f"ONNX Runtime with the QNN execution provider, QNN {context.sdk_version}"),
        operators=operators,
        rejected=unnamed,
    )


def _check(program: Program, precision: str, chip: str) -> None:
    if precision == "fp16":
        if not CHIPS[chip].half:
            raise Refused(
                f"onnx-qnn:{chip} has no precision 'fp16': its NPU computes in integers only; w8a16 is nearest"
            )
        check_half_range(program)
    else:
        program.calibration_tensors()  # raises if there are none


def _quantize(source: FloatModel, program: Program, precision: str) -> tuple[bytes, tuple[Step, ...]]:
    from convert.targets._kept import kept_operators
    from convert.targets._onnx_quantize import ACTIVATION_BITS, Plan, quantize

    kept = kept_operators(program, precision)
    if precision not in ACTIVATION_BITS:
        return source.model.SerializeToString(deterministic=True), ()
    finer = tuple(name for name, operator in source.origins.items() if operator in kept)
    plan = Plan(bits=ACTIVATION_BITS[precision], observer=program.recipe.observer, finer=finer)
    content, corrected = quantize(source.model, program.calibration, plan)
    options: dict[str, str | int | float | bool] = {
        "weights": "int8, symmetric, per output channel",
        "activations": f"uint{plan.bits}, per tensor",
        "observer": plan.observer or "min-max",
        "calibration": len(program.calibration),
        "biases_corrected": corrected,
    }
    if finer:
        options["nodes_in_16_bits"] = len(finer)
    return content, (Step(tool="onnxruntime.quantization", version=metadata.version("onnxruntime"), options=options),)


def _finish(model: Any, source: Any) -> None:
    """Give the context model its name, facts and tensors' names back; drop what names domains that it does not use."""
    for kept, wanted in ((model.graph.input, source.graph.input), (model.graph.output, source.graph.output)):
        if sorted(_signature(value) for value in kept) != sorted(_signature(value) for value in wanted):
            raise TargetError(f"QNN renamed or retyped {[value.name for value in kept]}; expected {_names(wanted)}")
    model.graph.name = source.graph.name
    model.producer_name, model.producer_version = source.producer_name, source.producer_version
    for entry in source.metadata_props:
        model.metadata_props.add(key=entry.key, value=entry.value)
    used = {node.domain for node in model.graph.node} | {""}
    kept_imports = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept_imports)


def _signature(value: Any) -> tuple[str, int, tuple[int, ...]]:
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, tuple(size.dim_value for size in tensor.shape.dim)


def _names(values: Any) -> list[str]:
    return [value.name for value in values]


def _exported() -> tuple[Step, ...]:
    exporter = Step(tool="torch.onnx", version=metadata.version("torch"), options={"opset": OPSET})
    return exporter, Step(tool="onnxscript", version=metadata.version("onnxscript"))


def _compiled(context: Context, chip: str) -> Step:
    entry = CHIPS[chip]
    options: dict[str, str | int | float | bool] = {
        "chip": chip,
        "soc_model": entry.soc_model,
        "htp_arch": entry.htp_arch,
        "contexts": context.count,
        "runtime": f"onnxruntime {metadata.version('onnxruntime')}",
    }
    return Step(tool="QNN", version=context.sdk_version, options=options)
