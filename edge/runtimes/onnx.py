"""Run `.onnx` artifacts with ONNX Runtime's CPU provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.errors import MissingError, TargetError
from edge.runtimes import Session, runtime
from edge.threads import thread_count


class OnnxSession:
    """One inference session."""

    mode: Mode = "native"

    def __init__(self, session: Any) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; raises TargetError for names, shapes or dtypes that the model does not have."""
        try:
            results = self._session.run(self._outputs, dict(inputs))
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            raise TargetError(f"ONNX Runtime cannot run with these inputs: {first_line(error)}") from error
        return dict(zip(self._outputs, results, strict=True))


@runtime("onnx", package="onnxruntime", modules=("onnxruntime",))
def open_onnx(artifact: Artifact) -> Session:
    """Load model.onnx with `EDGE_THREADS` threads, or one per core."""
    return load(artifact, session_options())


def session_options() -> Any:
    """Return the options of every session; raises MissingError without ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingError("ONNX Runtime is not installed: pip install 'edge-deployment-kit[onnx]'") from None

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.log_severity_level = 3
    # x86 cores without VNNI add 8-bit products in 16 bits that saturate; phones' cores do not. Compute as phones do.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def load(artifact: Artifact, options: Any) -> Session:
    """Load model.onnx; raises TargetError for a file that ONNX Runtime cannot open."""
    import onnxruntime

    path = artifact.file(".onnx")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise TargetError(
            f"ONNX Runtime cannot open {path}: {first_line(error)}; deploy it again with `edge deploy`"
        ) from error
    return OnnxSession(session)


def first_line(error: Exception) -> str:
    """Return the first line of what ONNX Runtime says."""
    return str(error).strip().split("\n", 1)[0]
