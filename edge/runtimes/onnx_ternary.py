"""Run `.onnx` artifacts whose ternary weights are multiplied by operators of the kit."""

from __future__ import annotations

from typing import Any

from edge.artifact import Artifact
from edge.errors import TargetError
from edge.runtimes import Session, runtime
from edge.runtimes.onnx import first_line, load, session_options

DOMAIN = "edge.ternary"  # of the operators


@runtime("onnx-ternary", package="onnxruntime", modules=("onnxruntime",))
def open_onnx_ternary(artifact: Artifact) -> Session:
    """Load model.onnx with the operators, which share work over the session's `EDGE_THREADS` threads.

    Raises MissingError where the operators are not built.
    """
    options = session_options()
    register(options)
    return load(artifact, options)


def register(options: Any) -> None:
    """Let the sessions of some options have the operators; raises MissingError where they are not built."""
    from quant.kernels.wrappers import onnxruntime_library

    path = onnxruntime_library()
    try:
        options.register_custom_ops_library(str(path))
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise TargetError(f"ONNX Runtime cannot load {path}: {first_line(error)}") from error
