"""Every tensor of a `.tflite`, computed by XNNPACK: the file with all of them as outputs of its main graph.

The same file in LiteRT's own kernels, with all tensors preserved, is the second opinion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Artifact
from edge.errors import TargetError
from edge.runtimes import open_session
from edge.runtimes._taps import Arrays, Tap, Taps, disagreement, relative_difference
from edge.threads import thread_count

_SAME = 1e-3  # of the rms: other orders of summation
_SAME_QUANTIZED = 0.1  # a step of rounding here and there


def read_litert(artifact: Artifact, inputs: Arrays) -> Taps:
    """Return every tensor that the main graph's operators compute; raises TargetError if the file cannot run."""
    from ai_edge_litert.interpreter import OpResolverType
    from ai_edge_litert.tools import flatbuffer_utils

    outputs = open_session(artifact).run(inputs)
    content = artifact.file(".tflite").read_bytes()
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    graph = model.subgraphs[0]
    computed = [int(tensor) for operator in graph.operators for tensor in operator.outputs]
    feeds = {int(entry.tensorIndex): inputs[entry.name.decode()] for entry in model.signatureDefs[0].inputs}
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    preserved = _run(content, feeds, computed, experimental_op_resolver_type=plain)
    have = {int(tensor) for tensor in graph.outputs}
    graph.outputs = [*graph.outputs, *(tensor for tensor in dict.fromkeys(computed) if tensor not in have)]
    notes: tuple[str, ...] = ()
    try:
        values = _run(bytes(flatbuffer_utils.convert_object_to_bytearray(model)), feeds, computed)
    except TargetError as error:
        values = preserved
        notes = (f"XNNPACK does not run the file with every tensor as an output ({error}); LiteRT's own kernels did",)
    kinds = tuple(_kind(model.operatorCodes[operator.opcodeIndex]) for operator in graph.operators)
    taps = [
        Tap(_name(graph, tensor), position, kinds[position], values[tensor][0], values[tensor][1])
        for position, operator in enumerate(graph.operators)
        for tensor in (int(index) for index in operator.outputs)
        if tensor in values
    ]
    named = {entry.name.decode(): values[int(entry.tensorIndex)][0] for entry in model.signatureDefs[0].outputs
             if int(entry.tensorIndex) in values}  # fmt: skip
    notes += disagreement("XNNPACK without the extra outputs", outputs, named, _SAME)
    notes += _kernels_disagree(graph, values, preserved)
    return Taps("native", tuple(taps), outputs, kinds, notes)


def _run(
    content: bytes, feeds: dict[int, NDArray[Any]], wanted: list[int], **options: Any
) -> dict[int, tuple[NDArray[Any], float]]:
    """Return the real numbers and the step of every wanted tensor."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(
            model_content=content, num_threads=thread_count(), experimental_preserve_all_tensors=True, **options
        )
        interpreter.allocate_tensors()
        for index, value in feeds.items():
            interpreter.set_tensor(index, value)
        interpreter.invoke()
        details = {int(entry["index"]): entry for entry in interpreter.get_tensor_details()}
        return {index: _real(interpreter.get_tensor(index), details[index]) for index in wanted if index in details}
    except (ValueError, RuntimeError) as error:
        raise TargetError(f"LiteRT cannot run it: {str(error).strip().splitlines()[0]}") from error


def _real(value: NDArray[Any], detail: Any) -> tuple[NDArray[Any], float]:
    given = detail["quantization_parameters"]
    scales, zeros = given["scales"], given["zero_points"]
    if value.dtype.kind not in "iu" or len(scales) != 1:
        return value, 0.0
    return (value.astype(np.float32) - np.float32(zeros[0])) * np.float32(scales[0]), float(scales[0])


def _kernels_disagree(
    graph: Any, values: dict[int, tuple[NDArray[Any], float]], preserved: dict[int, tuple[NDArray[Any], float]]
) -> tuple[str, ...]:
    """Name the first tensor on which XNNPACK and LiteRT's own kernels differ."""
    for operator in graph.operators:
        for tensor in (int(index) for index in operator.outputs):
            if tensor in values and tensor in preserved:
                (value, step), (other, _) = values[tensor], preserved[tensor]
                error = relative_difference(value, other)
                if error > (_SAME_QUANTIZED if step else _SAME):
                    return (f"XNNPACK and LiteRT's own kernels differ by {error:.2g} at {_name(graph, tensor)}",)
    return ()


def _name(graph: Any, tensor: int) -> str:
    name: bytes = graph.tensors[tensor].name
    return name.decode()


def _kind(code: Any) -> str:
    from ai_edge_litert import schema_py_generated as schema

    if code.customCode:
        return str(code.customCode.decode())
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    names: dict[object, str] = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    return names[number]
