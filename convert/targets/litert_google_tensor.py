"""LiteRT on Google Tensor's TPU: a `.tflite` compiled ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convert.targets import Compiled, target_family

if TYPE_CHECKING:
    from convert.program import Program

# ai_edge_litert/aot/vendors/google_tensor/target.py
CHIPS = ("G5", "G3", "G4", "G6")


@target_family(
    "litert-google-tensor",
    chips=CHIPS,
    runtime="litert",
    summary="LiteRT .tflite compiled ahead of time for Google Tensor's TPU, Android",
    precisions=("int8",),
    packages=("litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
    extra="litert",
    execution="reference",
    sdks=("google-tensor-sdk",),
    refused={"ternary": "Google's compiler takes no weights of 2 bits; the nearest here is int8"},
)
def litert_google_tensor(program: Program, precision: str, folder: Path, chip: str) -> Compiled:
    """Write model.tflite for the NPU, and reference.tflite, the int8 graph it was made of."""
    from convert.targets._litert_aot import Vendor, compile_ahead

    vendor = Vendor(
        manufacturer="Google",
        folder="google_tensor",
        backend="Tensor TPU",
        sdk="google-tensor-sdk",
        library="liblitert_plugin_compiler.so",
    )
    return compile_ahead(program, precision, folder, vendor, f"Tensor_{chip}")
