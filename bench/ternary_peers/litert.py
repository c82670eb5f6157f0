"""LiteRT on the CPU: `.tflite` files of one FULLY_CONNECTED with 2-, 4- or 8-bit codes, computed by XNNPACK.

Activations get 8-bit codes of every row's own range at run time, as litert-quantizer's dynamic recipes write it.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.ternary_peers import Missing, Peer, Prepared, Problem
from convert.targets._litert_ternary import packed
from edge.versions import installed_version

_VERSION = 12  # of the operator: the first with a scale a channel between float tensors


def _prepare(bits: int, problem: Problem, threads: int) -> Prepared:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise Missing(f"ai-edge-litert cannot be imported ({error})") from None
    content = _file(problem, bits)
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], problem.activations)
    output = interpreter.get_output_details()[0]["index"]

    def result() -> NDArray[np.float32]:
        return np.asarray(interpreter.get_tensor(output))

    stored = problem.case.weights * bits / 8 + 4 * problem.case.outputs
    return Prepared(interpreter.invoke, result, 8 * stored / problem.case.weights, stored, keeps=(content,))


def _file(problem: Problem, bits: int) -> bytes:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    case = problem.case
    empty, codes = schema.BufferT(), schema.BufferT()
    codes.data = packed(problem.trits, bits)
    weight = _tensor("w", [case.outputs, case.columns], getattr(schema.TensorType, f"INT{bits}"), 1)
    weight.quantization = schema.QuantizationParametersT()
    weight.quantization.scale, weight.quantization.quantizedDimension = problem.scale, 0
    weight.quantization.zeroPoint = np.zeros(case.outputs, np.int64)
    operator, options, code = schema.OperatorT(), schema.FullyConnectedOptionsT(), schema.OperatorCodeT()
    options.asymmetricQuantizeInputs = True
    operator.inputs, operator.outputs = [0, 1, -1], [2]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.FullyConnectedOptions, options
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = _VERSION
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors = [
        _tensor("x", [case.rows, case.columns], schema.TensorType.FLOAT32, 0),
        weight,
        _tensor("y", [case.rows, case.outputs], schema.TensorType.FLOAT32, 0),
    ]
    graph.inputs, graph.outputs, graph.operators = [0], [2], [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [empty, codes]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _tensor(name: str, shape: list[int], kind: int, buffer: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, kind, buffer
    return tensor


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
PEERS = tuple(Peer(f"LiteRT w{bits}", functools.partial(_prepare, bits)) for bits in (8, 4, 2))


def version() -> str:
    """Return the package and its version."""
    return f"ai-edge-litert {installed_version('ai-edge-litert')}"
