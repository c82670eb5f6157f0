"""Run `.tflite` artifacts for Qualcomm NPUs on the emulator of the chip.

LiteRT's interpreter here knows no NPU. But the bytecode in the file is a QNN context, the same that ONNX Runtime takes
in an EPContext node, and QNN's x86 libraries execute it: what runs is the very binary that the phone gets.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.errors import TargetError, Unexecutable
from edge.runtimes import Session, runtime
from edge.runtimes.litert_npu import open_twin

_DISPATCH = b"DISPATCH_OP"
_PROVIDER = "QNNExecutionProvider"
_LIBRARIES = "lib/x86_64-linux-clang"


class EmulatedSession:
    """One QNN context on the x86 emulator; names are the file's signature's."""

    mode: Mode = "emulated"

    def __init__(self, session: Any, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> None:
        self._session, self._inputs, self._outputs = session, inputs, outputs  # signature's name → tensor's name

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; raises TargetError for names, shapes or dtypes that the graph does not have."""
        try:
            given = {tensor: np.ascontiguousarray(inputs[name]) for name, tensor in self._inputs.items()}
            results = self._session.run(list(self._outputs.values()), given)
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            raise TargetError(f"the QNN emulator cannot run with these inputs: {_first_line(error)}") from error
        return dict(zip(self._outputs, results, strict=True))


@runtime("litert-qualcomm", package="ai-edge-litert")
def open_litert_qualcomm(artifact: Artifact) -> Session:
    """Load the QNN context of model.tflite; a file that is more than one is opened as it was before the compiler.

    Raises Unexecutable without the emulator or the file's twin."""
    path = artifact.file(".tflite")
    missing = _missing()
    if missing:
        raise Unexecutable(f"{artifact.manifest.target}", missing)
    from ai_edge_litert.tools import flatbuffer_utils

    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise TargetError(f"{path} is not a LiteRT file; deploy it again with `edge deploy`")
    model = flatbuffer_utils.read_model_from_bytearray(content)
    graph = model.subgraphs[0]
    operators = [(model.operatorCodes[operator.opcodeIndex].customCode, operator) for operator in graph.operators]
    if len(operators) != 1 or operators[0][0] != _DISPATCH:
        return open_twin(artifact)  # parts of it run on the CPU
    signature = model.signatureDefs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    return EmulatedSession(
        _session(_as_onnx(content, graph, operators[0][1])),
        {entry.name.decode(): names[entry.tensorIndex] for entry in signature.inputs},
        {entry.name.decode(): names[entry.tensorIndex] for entry in signature.outputs},
    )


def _missing() -> list[str]:
    found = []
    for module in ("onnx", "onnxruntime"):
        try:
            __import__(module)
        except ImportError:
            found.append(f"{module} is not installed: pip install 'edge-deployment-kit[onnx]'")
    if not _provider_library().is_file():
        found.append(f"{_provider_library()} is not there: edge sdk install qnn")
    return found


def _libraries() -> Path:
    return Path(os.environ.get("QNN_SDK_ROOT", "QNN_SDK_ROOT")) / _LIBRARIES


def _provider_library() -> Path:
    return _libraries() / "libonnxruntime_providers_qnn.so"


def _as_onnx(content: bytes, graph: Any, operator: Any) -> bytes:
    """Wrap the bytecode of a DISPATCH_OP into an ONNX model with one EPContext node."""
    from flatbuffers import flexbuffers
    from onnx import helper

    options = flexbuffers.Loads(bytes(operator.customOptions))
    start = options["bytecode_offset"]
    context = content[start : start + options["bytecode_size"]]
    inputs = [_value(graph.tensors[index]) for index in operator.inputs]
    outputs = [_value(graph.tensors[index]) for index in operator.outputs]
    node = helper.make_node(
        "EPContext",
        [value.name for value in inputs],
        [value.name for value in outputs],
        name=options["name"],
        domain="com.microsoft",
        embed_mode=1,
        ep_cache_context=context,
        main_context=1,
        source="QNN",
        partition_name=options["name"],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(helper.make_graph([node], "qnn", inputs, outputs), opset_imports=opsets, ir_version=10)
    return bytes(made.SerializeToString())


def _value(tensor: Any) -> Any:
    from ai_edge_litert import schema_py_generated as schema
    from onnx import TensorProto, helper

    kinds = schema.TensorType
    types = {
        kinds.FLOAT32: TensorProto.FLOAT,
        kinds.INT32: TensorProto.INT32,
        kinds.INT64: TensorProto.INT64,
        kinds.INT8: TensorProto.INT8,
        kinds.INT16: TensorProto.INT16,
        kinds.BOOL: TensorProto.BOOL,
    }
    return helper.make_tensor_value_info(tensor.name.decode(), types[tensor.type], [int(size) for size in tensor.shape])


@functools.cache
def _devices() -> list[Any]:
    """Register the execution provider, which a process may do once, and return its devices."""
    import onnxruntime

    onnxruntime.register_execution_provider_library(_PROVIDER, str(_provider_library()))
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == _PROVIDER]


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    provider = {
        "backend_path": str(_libraries() / "libQnnHtp.so"),
        "enable_htp_shared_memory_allocator": "0",  # phones' memory
        "offload_graph_io_quantization": "0",
    }
    try:
        options.add_provider_for_devices(_devices()[:1], provider)
        return onnxruntime.InferenceSession(model, options)
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise TargetError(f"the QNN emulator cannot load the context: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
