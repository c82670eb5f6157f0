"""LiteRT on Qualcomm's Hexagon NPU: a `.tflite` with QNN bytecode, compiled ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convert.targets import Compiled, target_family
from edge.errors import Refused

if TYPE_CHECKING:
    from convert.program import Program

# ai_edge_litert/aot/vendors/qualcomm/target.py, and phones' chips of the plugin's own table
CHIPS = ("SM8650", "SM8350", "SM8450", "SM8475", "SM8550", "SM8750", "SM8845", "SM8850", "SA8255", "SA8295")


WITHOUT_HALF = ("SM8350",)  # QNN builds for it all the same


@target_family(
    "litert-qualcomm",
    chips=CHIPS,
    runtime="litert",
    summary="LiteRT .tflite compiled ahead of time for Qualcomm's Hexagon NPU, Android",
    precisions=("int8", "w8a16", "fp16"),
    packages=("litert-torch", "ai-edge-litert", "ai-edge-quantizer", "onnx", "onnxruntime"),  # the last two execute it
    extra="litert,onnx",
    execution="emulated",
    sdks=("qnn-2.50",),
)
def litert_qualcomm(program: Program, precision: str, folder: Path, chip: str) -> Compiled:
    """Write model.tflite with one QNN context; at fp16 the file is float32 and the chip computes in float16."""
    if precision == "fp16" and chip in WITHOUT_HALF:
        raise Refused(f"{chip} does not compute in float16; the nearest that it has is int8")
    from convert.targets._half import check_half_range
    from convert.targets._litert_aot import Vendor, compile_ahead

    if precision == "fp16":
        check_half_range(program)
    vendor = Vendor(
        manufacturer="Qualcomm",
        folder="qualcomm",
        backend="Hexagon (QNN)",
        sdk="qnn",
        library="libQnnHtp.so",
        emulated=True,
        unused=("libQnnLpai.so",),  # another processor's backend, which the wheel lacks
    )
    return compile_ahead(program, precision, folder, vendor, chip)
