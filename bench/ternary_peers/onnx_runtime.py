"""ONNX Runtime on the CPU: models of one product, run with inputs and outputs bound."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.ternary_peers import FLOAT_TOLERANCE, Missing, Peer, Prepared, Problem
from edge.versions import installed_version

_BLOCK = 128  # the largest with integer kernels
_ACCURACY = 4  # activations in 8 bits, a block at a time
_LARGEST = (1 << 31) - (1 << 20)  # bytes of a model in one file
_SQUARE = 256
Graph = tuple[Sequence[Any], dict[str, NDArray[Any]]]  # nodes and constants


def _prepare(graph: Callable[[Problem], Graph], problem: Problem, threads: int) -> Prepared:
    try:
        import onnxruntime
    except ImportError as error:
        raise Missing(f"onnxruntime cannot be imported ({error})") from None
    nodes, constants = graph(problem)
    stored = sum(value.nbytes for value in constants.values())
    if stored > _LARGEST:
        raise Missing("a model of more than 2 GB does not fit into one file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = _model(problem, nodes, constants)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    results = np.empty((problem.case.rows, problem.case.outputs), np.float32)
    given = np.ascontiguousarray(problem.activations)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(given))
    binding.bind_output("y", "cpu", 0, np.float32, results.shape, results.ctypes.data)
    run = functools.partial(session.run_with_iobinding, binding)
    return Prepared(run, lambda: results, 8 * stored / problem.case.weights, stored, keeps=(given,))


def _model(problem: Problem, nodes: Sequence[Any], constants: dict[str, NDArray[Any]]) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    case = problem.case
    graph = helper.make_graph(
        list(nodes),
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [case.rows, case.columns])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [case.rows, case.outputs])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return bytes(helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString())


def _fp32(problem: Problem) -> Graph:
    from onnx import helper

    if 4 * problem.case.weights > _LARGEST:
        raise Missing("a model of more than 2 GB does not fit into one file")
    weight = _turned(problem.trits, np.float32)
    weight *= problem.scale
    return [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weight}


def _int8(problem: Problem) -> Graph:
    """Return codes -1, 0, 1, whose sums of products with 8-bit activations cannot saturate 16 bits."""
    from onnx import helper

    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["codes", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["codes", "w", "zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["floats"], to=1),
        helper.make_node("Mul", ["scale", "scales"], ["factors"]),
        helper.make_node("Mul", ["floats", "factors"], ["y"]),
    ]
    return nodes, {"w": _turned(problem.trits, np.int8), "scales": problem.scale}


def _turned(trits: NDArray[np.int8], dtype: type[np.generic]) -> NDArray[Any]:
    """Return trits (K, N) of (N, K), copied square by square: whole columns at once miss every cache."""
    turned = np.empty(trits.shape[::-1], dtype)
    for row in range(0, len(turned), _SQUARE):
        for column in range(0, turned.shape[1], _SQUARE):
            turned[row : row + _SQUARE, column : column + _SQUARE] = trits[
                column : column + _SQUARE, row : row + _SQUARE
            ].T
    return turned


def _blocks(bits: int, problem: Problem) -> Graph:
    from onnx import helper

    case = problem.case
    count = 8 // bits
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = np.empty((case.outputs, case.columns // count), np.uint8)
    for first in range(0, case.outputs, 1024):  # without a second copy of all weights
        digits = (problem.trits[first : first + 1024] + np.int8(1 << (bits - 1))).view(np.uint8)
        np.bitwise_or.reduce(
            digits.reshape(len(digits), -1, count) << shifts, axis=-1, out=codes[first : first + len(digits)]
        )
    blocks = case.columns // _BLOCK
    node = helper.make_node(
        "MatMulNBits", ["x", "w", "scales"], ["y"], domain="com.microsoft", K=case.columns, N=case.outputs,
        bits=bits, block_size=_BLOCK, accuracy_level=_ACCURACY,
    )  # fmt: skip
    scales = np.repeat(problem.scale, blocks)
    return [node], {"w": codes.reshape(case.outputs, blocks, _BLOCK // count), "scales": scales}


PEERS = (
    Peer("ONNX Runtime fp32", functools.partial(_prepare, _fp32), FLOAT_TOLERANCE),
    Peer("ONNX Runtime int8", functools.partial(_prepare, _int8)),
    Peer("ONNX Runtime 4-bit", functools.partial(_prepare, functools.partial(_blocks, 4))),
    Peer("ONNX Runtime 2-bit", functools.partial(_prepare, functools.partial(_blocks, 2))),
)


def version() -> str:
    """Return the package and its version."""
    return f"onnxruntime {installed_version('onnxruntime')}"
