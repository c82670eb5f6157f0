"""LiteRT (TensorFlow Lite) on CPU cores, through XNNPACK."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement, place_all
from convert.targets import Compiled, target
from edge.artifact import Needs, Step, write_atomic
from edge.delegation import Rejected

if TYPE_CHECKING:
    from convert.program import Program

FILE = "model.tflite"
_OLDEST = "1.14.0"  # what a file without the converter's own statement asks for: the first with XNNPACK
_2_BITS = "LiteRT 2.3"  # what 2-bit weights were executed in


@target(
    "litert-cpu",
    runtime="litert",
    summary="LiteRT .tflite for CPU cores (XNNPACK), Android, iOS, Linux",
    precisions=("fp32", "fp16", "int8", "w8a16", "mixed", "int8-dynamic", "w8", "w4", "ternary"),
    packages=("litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
    extra="litert",
    execution="native",
)
def litert_cpu(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.tflite; its signature bears the contract's names, shapes and layouts.

    Raises Refused without pictures to calibrate on, for an operator to keep in float that there is none of, and for
    ternary without ternary weights.
    """
    content, steps = _convert(program, precision)
    write_atomic(folder / FILE, content)
    return Compiled(
        inputs=program.contract.inputs,
        outputs=program.contract.outputs,
        steps=steps,
        needs=Needs(min_runtime=_2_BITS if precision == "ternary" else f"TensorFlow Lite {min_runtime(content)}"),
        operators=place_all(program, Placement("cpu", "LiteRT")),
        rejected=left_by_xnnpack(folder / FILE),
    )


def _convert(program: Program, precision: str) -> tuple[bytes, tuple[Step, ...]]:
    from convert.targets._litert import litert_steps, to_tflite

    if precision in ("fp32", "fp16"):
        return to_tflite(program, precision), litert_steps(precision)
    if precision == "ternary":
        from convert.targets._litert_ternary import to_ternary

        return to_ternary(program)
    from convert.targets._litert_activations import for_xnnpack
    from convert.targets._litert_precision import Flow, to_quantized

    return to_quantized(program, precision, Flow("NCHW", for_xnnpack))


def min_runtime(content: bytes) -> str:
    """Return the oldest runtime version that has every operator of the file, as its converter wrote it."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == b"min_runtime_version":
            data = model.Buffers(entry.Buffer()).DataAsNumpy()
            return bytes(data).rstrip(b"\0").decode() or _OLDEST
    return _OLDEST


def left_by_xnnpack(path: Path) -> tuple[Rejected, ...]:
    """Count the operators of a file that XNNPACK leaves to LiteRT's own kernels."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()  # the one way to the execution plan that the package has
    nodes = [node for node in operators if node["op_name"] != "DELEGATE"]
    taken = _taken(nodes, [node for node in operators if node["op_name"] == "DELEGATE"])
    left = Counter(node["op_name"] for node in nodes if node["index"] not in taken)
    return tuple(
        Rejected(op=name, count=count, reason="XNNPACK does not take it", hint="runs in LiteRT's own kernels")
        for name, count in sorted(left.items())
    )


def _taken(nodes: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> set[int]:
    """Return the nodes that delegates replace: all that lead from a delegate's inputs to its outputs."""
    producer = {int(tensor): node for node in nodes for tensor in node["outputs"]}
    taken: set[int] = set()
    for delegate in delegates:
        seen = {int(tensor) for tensor in delegate["inputs"]}
        todo = [int(tensor) for tensor in delegate["outputs"]]
        while todo:
            tensor = todo.pop()
            if tensor in seen or tensor not in producer:
                continue
            seen.add(tensor)
            taken.add(producer[tensor]["index"])
            todo.extend(int(tensor) for tensor in producer[tensor]["inputs"])
    return taken
