"""Run ONNX Runtime context models for Qualcomm's Hexagon NPU on the chip's emulator, which is part of the SDK."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.contract import TensorSpec
from edge.errors import MissingError, TargetError
from edge.runtimes import Session, runtime
from edge.runtimes._inputs import checked_input

PROVIDER = "QNNExecutionProvider"
_INSTALL = "edge sdk install qnn"
_LIBRARIES = ("libonnxruntime_providers_qnn.so", "libQnnHtp.so", "libHtpPrepare.so", "libQnnSystem.so")


class OnnxQnnSession:
    """A context model on the emulator; its time says nothing of the chip's."""

    mode: Mode = "emulated"

    def __init__(self, session: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self._session, self._inputs = session, inputs
        self._outputs = [spec.name for spec in outputs]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; raises InputError for a missing input or a wrong shape or dtype, TargetError if execution fails."""
        feeds = {spec.name: np.ascontiguousarray(checked_input(inputs, spec)) for spec in self._inputs}
        try:
            results = self._session.run(self._outputs, feeds)
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            raise TargetError(f"the Hexagon emulator failed while running: {first_line(error)}") from error
        return dict(zip(self._outputs, results, strict=True))


@runtime("onnx-qnn", package="onnxruntime-qnn")
def open_onnx_qnn(artifact: Artifact) -> Session:
    """Load the artifact's context model into the emulator of the SDK that QNN_SDK_ROOT names.

    Raises MissingError without ONNX Runtime or the SDK, TargetError for a model that cannot be loaded.
    """
    path = artifact.file(".onnx")
    options = session_options({})
    try:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), options)
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise TargetError(
            f"ONNX Runtime cannot open {path}: {first_line(error)}; deploy it again with `edge deploy`"
        ) from error
    return OnnxQnnSession(session, artifact.manifest.inputs, artifact.manifest.outputs)


def session_options(chip: Mapping[str, str], *, verbose: bool = False) -> Any:
    """Return ONNX Runtime session options with the NPU's provider first; `chip` adds to the provider's own options.

    Raises MissingError without ONNX Runtime or the SDK.
    """
    folder = library_folder()
    devices = _devices(folder)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 0 if verbose else 3
    options.intra_op_num_threads = 1  # of the few operators left to the CPU; the emulator's threads are its own
    provider = {
        "backend_path": str(folder / "libQnnHtp.so"),
        # Shared memory is between the phone's CPU and NPU; there is none here.
        "enable_htp_shared_memory_allocator": "0",
        # Otherwise the context is given quantized inputs and outputs under other names, which providers built into
        # apps cannot map back.
        "offload_graph_io_quantization": "0",
        **chip,
    }
    options.add_provider_for_devices(devices, provider)
    return options


def library_folder() -> Path:
    """Return the folder of the SDK's host libraries; raises MissingError if it or one of them is not there."""
    root = os.environ.get("QNN_SDK_ROOT", "")
    if not root:
        raise MissingError(f"QNN_SDK_ROOT is not set: Qualcomm's QNN SDK is needed; get it with `{_INSTALL}`")
    folder = Path(root) / "lib" / "x86_64-linux-clang"
    for name in _LIBRARIES:
        if not (folder / name).is_file():
            raise MissingError(
                f"{folder / name} is missing: Qualcomm's QNN SDK is not whole; mend it with `{_INSTALL}`"
            )
    return folder


@functools.cache  # a provider library can be registered once in a process
def _devices(folder: Path) -> list[Any]:
    """Register the SDK's provider with ONNX Runtime and return its first device; raises MissingError, TargetError."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingError("ONNX Runtime is not installed: pip install 'edge-deployment-kit[onnx]'") from None
    library = folder / _LIBRARIES[0]
    try:
        onnxruntime.register_execution_provider_library(PROVIDER, str(library))
    except Exception as error:
        raise TargetError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {library}: {first_line(error)}; "
            f"mend it with `{_INSTALL}`"
        ) from error
    found = [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]
    if not found:
        raise TargetError(
            f"{library} offers ONNX Runtime {onnxruntime.__version__} no device; get it with `{_INSTALL}`"
        )
    return found[:1]


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().split("\n", 1)[0]
