"""Let an ONNX model with one row take several, where several rows give what each gives alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Manifest
from edge.errors import MissingError

_ROWS = 3
_SAME = 1e-3  # of an output's largest magnitude: rows of one batch may round differently than a row alone
_AXIS = "batch"
_SHAPES = {"Reshape": 1, "Resize": 3}  # the input that is a shape of the result


def open_first_axis(model: bytes, manifest: Manifest) -> bytes | None:
    """Return the model with a first axis of any size, or None where it has to stay one row.

    Both are executed on random rows and have to agree. Shapes that the graph holds as constants are opened with it.
    Raises MissingError without ONNX Runtime.
    """
    if any(not spec.shape or spec.shape[0] != 1 for spec in (*manifest.inputs, *manifest.outputs)):
        return None
    opened = _opened(model)
    rows = _random_rows(manifest)
    alone = [_run(model, {name: array[row : row + 1] for name, array in rows.items()}) for row in range(_ROWS)]
    try:
        together = _run(opened, rows)
    except Exception:  # ONNX Runtime's, of a graph whose shapes are fixed somewhere inside
        return None
    same = all(
        _near(found, np.concatenate([answer[number] for answer in alone])) for number, found in enumerate(together)
    )
    return opened if same else None


def _opened(model: bytes) -> bytes:
    try:
        import onnx
    except ImportError:
        raise MissingError("ONNX is not installed: pip install 'edge-deployment-kit[onnx]'") from None
    found = onnx.load_from_string(model)
    graph = found.graph
    constants = {entry.name: entry for entry in graph.initializer}
    for tensor in (*graph.input, *graph.output):
        if tensor.name not in constants:
            tensor.type.tensor_type.shape.dim[0].dim_param = _AXIS
    del graph.value_info[:]  # they hold shapes with one row; readers infer them again
    for node in graph.node:
        place = _SHAPES.get(node.op_type, len(node.input))
        if place < len(node.input) and node.input[place] in constants:
            _open_shape(graph, node, place, constants[node.input[place]])
    return bytes(found.SerializeToString(deterministic=True))


def _open_shape(graph: Any, node: Any, place: int, constant: Any) -> None:
    """Give a node whose result has one row by a constant shape another constant, of its own, that leaves rows open."""
    from onnx import helper, numpy_helper

    sizes = numpy_helper.to_array(constant).copy()
    if not sizes.size or sizes[0] != 1 or any(attribute.name == "axes" for attribute in node.attribute):
        return
    if node.op_type == "Resize":
        node.attribute.append(helper.make_attribute("axes", list(range(1, sizes.size))))
        sizes = sizes[1:]
    else:
        sizes[0] = 0 if -1 in sizes else -1  # 0: as before the reshape
    name = f"{constant.name}_{_AXIS}_{len(graph.initializer)}"
    graph.initializer.append(numpy_helper.from_array(sizes, name))
    node.input[place] = name


def _random_rows(manifest: Manifest) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(0)
    return {
        spec.name: (generator.random((_ROWS, *spec.shape[1:])) * (1 if spec.dtype.startswith("float") else 2)).astype(
            spec.dtype
        )
        for spec in manifest.inputs
    }


def _run(model: bytes, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    from edge.runtimes.onnx import session_options

    options = session_options()
    import onnxruntime

    options.log_severity_level = 4  # a refusal is an answer here
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, dict(inputs))
    return found


def _near(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    if found.shape != expected.shape:
        return False
    if found.dtype.kind != "f":
        return bool(np.array_equal(found, expected))
    wide, limit = expected.astype(np.float64), _SAME * float(np.abs(expected).max(initial=0.0))
    return bool(np.all(np.abs(found - wide) <= limit))
