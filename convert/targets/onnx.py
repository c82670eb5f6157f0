"""ONNX, executed by ONNX Runtime on CPU cores."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement, place_all
from convert.targets import Compiled, target
from convert.targets._half import check_half_range
from edge.artifact import Needs, Step, write_atomic

if TYPE_CHECKING:
    from convert.program import Program

FILE = "model.onnx"
OPSET = 20
_MIN_RUNTIME = "ONNX Runtime 1.18"  # the first that reads opset 20 in IR version 10
# The first with opset 21 and blocks of 4-bit weights, and the one that 2-bit weights were executed in.
_MIN_RUNTIMES = {"w4": "ONNX Runtime 1.20", "ternary": "ONNX Runtime 1.31"}


@target(
    "onnx-cpu",
    runtime="onnx",
    summary="ONNX for ONNX Runtime's CPU provider, any platform",
    precisions=("fp32", "fp16", "int8", "w8a16", "mixed", "int8-dynamic", "w8", "w4", "ternary"),
    packages=("onnx", "onnxscript", "onnxruntime"),
    extra="onnx",
    execution="native",
)
def onnx_cpu(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.onnx: one file, the contract's names, checked; inputs and outputs are float32 at every precision.

    Raises Refused without pictures to calibrate on, for an operator to keep in float that there is none of, and for
    ternary without ternary weights.
    """
    content, steps = _convert(program, precision)
    path = folder / FILE
    write_atomic(path, content)
    return Compiled(
        inputs=program.contract.inputs,
        outputs=program.contract.outputs,
        steps=steps,
        needs=Needs(min_runtime=_MIN_RUNTIMES.get(precision, _MIN_RUNTIME)),
        operators=place_all(program, Placement("cpu", "CPUExecutionProvider")),
    )


def _convert(program: Program, precision: str) -> tuple[bytes, tuple[Step, ...]]:
    if precision in ("fp32", "fp16"):
        return to_onnx(program, precision), export_steps(precision)
    if precision == "ternary":
        from convert.targets._onnx_ternary import to_ternary

        model, step = to_ternary(program)
        return checked(model, program, precision), (*export_steps("fp32"), step)
    from convert.targets._onnx_cpu_quantize import to_quantized

    model, step = to_quantized(program, precision)
    return checked(model, program, precision), (*export_steps("fp32"), step)


def export_steps(precision: str) -> tuple[Step, ...]:
    """Return the steps that lead to a float ONNX model."""
    exporter = Step(tool="torch.onnx", version=metadata.version("torch"), options={"opset": OPSET})
    optimiser = Step(tool="onnxscript", version=metadata.version("onnxscript"))
    half = Step(tool="onnxruntime.transformers.float16", version=metadata.version("onnxruntime"))
    return (exporter, optimiser, *([half] if precision == "fp16" else []))


def to_onnx(program: Program, precision: str) -> bytes:
    """Convert a program to an ONNX model with its weights inside; raises Refused if float16 cannot hold them."""
    if precision == "fp16":
        check_half_range(program)
    model = export_onnx(program).model_proto
    if precision == "fp16":
        model = _halve(model)
    return checked(model, program, precision)


def checked(model: Any, program: Program, precision: str) -> bytes:
    """Return the bytes of a described model; raises onnx's ValidationError for one that is none."""
    import onnx

    describe(model, program, precision)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def export_onnx(program: Program) -> Any:
    """Return torch's ONNXProgram: the model, and the decomposed program that its nodes' metadata name."""
    import torch

    contract = program.contract
    exported = torch.onnx.export(
        program.exported,
        dynamo=True,
        opset_version=OPSET,
        input_names=[spec.name for spec in contract.inputs],
        output_names=[spec.name for spec in contract.outputs],
        external_data=False,
        optimize=True,
        verbose=False,
    )
    if exported is None:
        raise RuntimeError("torch.onnx.export returned no program")
    return exported


def _halve(model: Any) -> Any:
    import onnx_ir
    from onnxruntime.transformers.float16 import convert_float_to_float16

    halved = onnx_ir.from_proto(convert_float_to_float16(model, keep_io_types=True))
    halved.graph.sort()  # the conversion appends its casts at the end
    proto = onnx_ir.to_proto(halved)
    del proto.graph.value_info[:]  # some keep float32 where a cast now makes float16; readers infer them again
    return proto


def describe(model: Any, program: Program, precision: str) -> None:
    """Fill in who made the model and from what; traces of the exporting machine are dropped."""
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    model.producer_name, model.producer_version = "edge-deployment-kit", ""
    model.graph.name = program.name
    contract = program.contract
    facts = {
        "model": program.name,
        "task": contract.task,
        "precision": precision,
        "source_sha256": program.source.sha256,
        "licence": program.source.licence,
        "labels": ",".join(contract.labels),
    }
    for key, value in facts.items():
        if value:
            model.metadata_props.add(key=key, value=value)
