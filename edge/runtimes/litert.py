"""Run `.tflite` artifacts with LiteRT's interpreter, or its predecessor tflite_runtime where that is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.errors import MissingError, TargetError
from edge.runtimes import Session, runtime
from edge.threads import thread_count

_ROOT = b"TFL3"  # the FlatBuffers identifier at bytes 4…8


class LiteRTSession:
    """One interpreter with its first signature."""

    mode: Mode = "native"

    def __init__(self, runner: Any) -> None:
        self._run = runner

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; raises TargetError for names, shapes or dtypes that the signature does not have."""
        try:
            return dict(self._run(**inputs))
        except (ValueError, RuntimeError) as error:
            raise TargetError(f"LiteRT cannot run with these inputs: {error}") from error


@runtime("litert", package="ai-edge-litert", modules=("ai_edge_litert.interpreter",))
def open_litert(artifact: Artifact) -> Session:
    """Load model.tflite with `EDGE_THREADS` threads, or one per core."""
    return LiteRTSession(open_file(artifact.file(".tflite")))


def open_file(path: Path) -> Any:
    """Return the runner of a file's first signature; raises MissingError without LiteRT, TargetError for a bad file."""
    content = path.read_bytes()
    if content[4:8] != _ROOT:  # the interpreter would read past the end of some of these
        raise TargetError(f"{path} is not a LiteRT file; deploy it again with `edge deploy`")
    try:
        interpreter = _interpreter()(model_content=content, num_threads=thread_count())
        interpreter.allocate_tensors()
        return interpreter.get_signature_runner()
    except (ValueError, RuntimeError) as error:
        raise TargetError(f"LiteRT cannot open {path}: {error}; deploy it again with `edge deploy`") from error


def _interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise MissingError("LiteRT is not installed: pip install 'edge-deployment-kit[litert]'") from None
    return Interpreter
