"""LiteRT on MediaTek's NPU (NeuroPilot): a `.tflite` compiled ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convert.targets import Compiled, target_family

if TYPE_CHECKING:
    from convert.program import Program

# ai_edge_litert/aot/vendors/mediatek/target.py; the newest that the common SDK 8 builds for comes first
CHIPS = (
    "MT6991", "MT6853", "MT6877", "MT6878", "MT6879", "MT6886", "MT6893", "MT6895", "MT6897", "MT6983", "MT6985",
    "MT6989", "MT6993", "MT8171", "MT8188", "MT8189",
)  # fmt: skip
_SDK_9 = ("MT6993",)  # built by NeuroPilot 9; all others by 8


@target_family(
    "litert-mediatek",
    chips=CHIPS,
    runtime="litert",
    summary="LiteRT .tflite compiled ahead of time for MediaTek's NPU (NeuroPilot), Android",
    precisions=("int8",),
    packages=("litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
    extra="litert",
    execution="reference",
    sdks=("mediatek-neuropilot",),
)
def litert_mediatek(program: Program, precision: str, folder: Path, chip: str) -> Compiled:
    """Write model.tflite for the NPU, and reference.tflite, the int8 graph it was made of."""
    from convert.targets._litert_aot import Vendor, compile_ahead

    vendor = Vendor(
        manufacturer="MediaTek",
        folder="mediatek",
        backend="NeuroPilot",
        sdk="mediatek-neuropilot",
        library="libneuron_adapter.so",
        flags=("--mediatek_sdk_version_type=version9",) if chip in _SDK_9 else (),
    )
    return compile_ahead(program, precision, folder, vendor, chip.lower())
