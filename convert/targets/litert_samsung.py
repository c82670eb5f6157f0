"""LiteRT on Samsung's Exynos NPU: a `.tflite` compiled ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convert.targets import Compiled, target_family

if TYPE_CHECKING:
    from convert.program import Program

# ai_edge_litert/aot/vendors/samsung/target.py
CHIPS = ("E9965",)


@target_family(
    "litert-samsung",
    chips=CHIPS,
    runtime="litert",
    summary="LiteRT .tflite compiled ahead of time for Samsung's Exynos NPU, Android",
    precisions=("int8",),
    packages=("litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
    extra="litert",
    execution="reference",
    sdks=("samsung-litecore",),
)
def litert_samsung(program: Program, precision: str, folder: Path, chip: str) -> Compiled:
    """Write model.tflite for the NPU, and reference.tflite, the int8 graph it was made of."""
    from convert.targets._litert_aot import Vendor, compile_ahead

    vendor = Vendor(
        manufacturer="Samsung",
        folder="samsung",
        backend="Exynos AI LiteCore",
        sdk="samsung-litecore",
        library="libgraph_wrapper.so",
        flags=(f"--samsung_soc_model={chip}",),
        # FlatBuffers' locale for parsing text, which the plugin of ai-edge-litert 2.3.0 was linked without: the loader
        # refuses the plugin for it, and nothing in it parses text.
        words=("_ZN11flatbuffers13ClassicLocale9instance_E",),
    )
    return compile_ahead(program, precision, folder, vendor, chip)
