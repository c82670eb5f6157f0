"""ExecuTorch with the OpenVINO delegate: run natively by the executorch wheel and the openvino package."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from edge.artifact import Artifact
from edge.errors import MissingError
from edge.runtimes import Session, runtime
from edge.runtimes._signal_stack import kept_signal_stack

_BFLOAT16 = "OpenVINO computes in bfloat16 on this processor, whatever the file says"
_WITH_BFLOAT16 = {"avx512_bf16", "amx_bf16", "avx_ne_convert"}
_LIBRARY = "OPENVINO_LIB_PATH"  # ExecuTorch's name for the file that it loads OpenVINO from


@runtime("executorch-openvino", package="executorch", modules=("torch", "executorch.extension.pybindings._C"))
def open_openvino(artifact: Artifact) -> Session:
    """Load the artifact's `.pte`; raises MissingError without the openvino package."""
    from edge.runtimes.executorch import load

    os.environ.setdefault(_LIBRARY, str(find_library()))
    with kept_signal_stack():  # where there is AMX, its CPU plugin sets one and frees it too early (2026.4)
        session = load(artifact)
    session.note = _BFLOAT16 if computes_in_bfloat16() else ""
    return session


def find_library() -> Path:
    """Return OpenVINO's C library in the installed package; raises MissingError if there is none."""
    found = importlib.util.find_spec("openvino")
    folder = Path(found.origin).parent / "libs" if found and found.origin else None
    libraries = sorted(folder.glob("libopenvino_c.so*")) if folder else []
    if not libraries:
        raise MissingError("executorch-openvino needs openvino: pip install 'edge-deployment-kit[openvino]'")
    return libraries[-1]


def computes_in_bfloat16() -> bool:
    """Say whether OpenVINO computes in bfloat16 here: it does where the processor can, whatever the file says.

    ExecuTorch's delegate cannot ask for float32 (1.5.1: it imports the model without properties). The processor is
    asked and not OpenVINO's INFERENCE_PRECISION_HINT, since importing openvino imports JAX.
    """
    found = Path("/proc/cpuinfo")
    flags = set(found.read_text(encoding="utf-8").split()) if found.is_file() else set()
    return not flags.isdisjoint(_WITH_BFLOAT16)
