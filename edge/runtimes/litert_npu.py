"""Run what `.tflite` artifacts for NPUs were made of: the same graph, before the vendor's compiler.

Nothing here executes those NPUs' code. The graph that the compiler was given lies beside its result, and LiteRT's
kernels run it: that checks the quantization, not the compiler. The mode says so: reference.
"""

from __future__ import annotations

from edge.artifact import Artifact, Mode
from edge.errors import Unexecutable
from edge.runtimes import Session, runtime
from edge.runtimes.litert import LiteRTSession, open_file

TWIN = "reference.tflite"


class TwinSession(LiteRTSession):
    """The graph before the vendor's compiler, on LiteRT's kernels."""

    mode: Mode = "reference"
    note = (
        "measured on the graph before the NPU's compiler, with LiteRT's kernels: "
        "what the compiler made of it cannot be executed here"
    )


def open_twin(artifact: Artifact) -> Session:
    """Load reference.tflite; raises Unexecutable for an artifact without one."""
    path = artifact.root / TWIN
    if not path.is_file():
        raise Unexecutable(artifact.manifest.target, [f"nothing here runs code for this NPU, and {TWIN} is missing"])
    return TwinSession(open_file(path))


for _family in ("litert-ethos-u", "litert-mediatek", "litert-google-tensor", "litert-samsung"):
    runtime(_family)(open_twin)
