"""Every value of a `.onnx`: the graph with all of them as outputs, unoptimized, in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.artifact import Artifact
from edge.errors import MissingError, TargetError
from edge.runtimes import open_session
from edge.runtimes._taps import Arrays, Tap, Taps, disagreement
from edge.runtimes.onnx_ternary import DOMAIN, register
from edge.threads import thread_count

_SAME = 1e-3  # of the rms: other orders of summation, fused operators
_SAME_QUANTIZED = 0.1  # integer kernels round a step differently here and there


def read_onnx(artifact: Artifact, inputs: Arrays) -> Taps:
    """Return every value that the nodes of the main graph compute; raises TargetError if the model cannot run."""
    try:
        import onnx
    except ImportError:
        raise MissingError("onnx is not installed: pip install 'edge-deployment-kit[onnx]'") from None
    outputs = open_session(artifact).run(inputs)
    model = onnx.load(str(artifact.file(".onnx")))
    nodes = list(model.graph.node)
    values = _run_all(model, inputs)
    taps = [
        Tap(name, position, node.op_type, values[name])
        for position, node in enumerate(nodes)
        for name in node.output
        if name in values
    ]
    quantized = any(node.op_type == "QuantizeLinear" or node.domain == DOMAIN for node in nodes)
    limit = _SAME_QUANTIZED if quantized else _SAME
    notes = disagreement("ONNX Runtime with its graph optimizations", outputs, values, limit)
    return Taps("native", tuple(taps), outputs, tuple(node.op_type for node in nodes), notes)


def _run_all(model: Any, inputs: Arrays) -> dict[str, Any]:
    import onnx
    import onnxruntime

    known = {value.name for value in model.graph.output}
    for node in model.graph.node:
        for name in node.output:
            if name and name not in known:
                model.graph.output.append(onnx.ValueInfoProto(name=name))
                known.add(name)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = thread_count()
    options.log_severity_level = 3
    if any(node.domain == DOMAIN for node in model.graph.node):
        register(options)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_outputs()]
        found = session.run(names, dict(inputs))
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        first = str(error).strip().split("\n", 1)[0]
        raise TargetError(f"ONNX Runtime cannot run the model with every value as an output: {first}") from error
    return {name: value for name, value in zip(names, found, strict=True) if isinstance(value, np.ndarray)}
