"""Program → quantized ONNX model for CPU cores."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.nearness import Nearness, nearness
from convert.targets._kept import kept_operators
from convert.targets._onnx_qnn_bias import run_with
from convert.targets._onnx_qnn_float import FloatModel, to_float_model
from convert.targets._onnx_quantize import ACTIVATION_BITS, Plan, quantize, without_advice
from convert.targets._onnx_weights import round_weights, widen_weights
from convert.targets._pt2e_weights import fitted
from edge.artifact import Step
from quant.observers import Observer

if TYPE_CHECKING:
    from convert.program import Program

_WEIGHT_BITS = {"w8": 8, "w4": 4}
_OBSERVERS: tuple[Observer, ...] = ("percentile", "min-max", "mse")  # tried without a choice


def to_quantized(program: Program, precision: str) -> tuple[Any, Step]:
    """Return a quantized ONNX model of a program, and the step that records how it was made.

    Raises Refused without inputs to calibrate on, and for a kept operator that the program does not have.
    """
    kept = kept_operators(program, precision)
    if precision in ACTIVATION_BITS:
        source = to_float_model(fitted(program, kept), precision)
        separate_norms(source.model)
        floats = tuple(name for name, operator in source.origins.items() if operator in kept)
        return _static(program, precision, source, floats)
    model = to_float_model(program, precision).model
    if precision in _WEIGHT_BITS:
        count = round_weights(model, _WEIGHT_BITS[precision])
        return model, _step("weights", {"bits": _WEIGHT_BITS[precision], "tensors": count})
    return _dynamic(model), _step("dynamic", {"weights": "int8, symmetric", "activations": "uint8, at run time"})


def _static(program: Program, precision: str, source: FloatModel, floats: tuple[str, ...]) -> tuple[Any, Step]:
    bits = ACTIVATION_BITS[precision]
    chosen = program.recipe.observer or ("min-max" if bits > 8 else None)
    tried = [_tried(program, source.model, Plan(bits=bits, observer=name, floats=floats)) for name in _names(chosen)]
    best = tried[0] if len(tried) == 1 else max(tried, key=_near(program, source.model))
    options: dict[str, str | int | float | bool] = {
        "weights": "int8, symmetric, per output channel",
        "activations": f"uint{bits}, per tensor",
        "observer": best.observer,
        "calibration": len(program.calibration),
        "biases_corrected": best.corrected,
    }
    if floats:
        options["float_nodes"] = len(floats)
        widen_weights(best.model, floats)
    return best.model, _step("static", options)


def separate_norms(model: Any) -> int:
    """Give every layer norm weights of its own where the exporter let equal ones share them; return how many.

    On x86, ONNX Runtime 1.31 turns 8-bit weights into unsigned ones for each norm, under one name if they share them,
    and then refuses the model ("Attempt to replace the existing tensor").
    """
    import onnx

    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    taken: set[str] = set()
    count = 0
    for node in model.graph.node:
        if node.op_type != "LayerNormalization":
            continue
        for at in range(1, len(node.input)):
            name = node.input[at]
            if name in taken and name in weights:
                own = onnx.TensorProto()
                own.CopyFrom(weights[name])
                own.name = f"{name}_of_{node.name}"
                model.graph.initializer.append(own)
                node.input[at] = own.name
                count += 1
            taken.add(name)
    return count


@dataclass(frozen=True, slots=True)
class _Tried:
    model: Any
    observer: Observer
    corrected: int


def _names(chosen: Observer | None) -> Sequence[Observer]:
    return (chosen,) if chosen else _OBSERVERS


def _tried(program: Program, model: Any, plan: Plan) -> _Tried:
    import onnx

    content, corrected = quantize(model, program.calibration, plan)
    return _Tried(onnx.load_from_string(content), plan.observer or "min-max", corrected)


def _near(program: Program, model: Any) -> Callable[[_Tried], Nearness]:
    """Return what tells how near a quantized model is to the float one on the calibration inputs."""
    names = [spec.name for spec in program.contract.outputs]
    expected = list(run_with(model, names, program.calibration))
    return lambda tried: nearness(expected, list(run_with(tried.model, names, program.calibration)), program.contract)


def _dynamic(model: Any) -> Any:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as scratch, without_advice():
        path = Path(scratch) / "quantized.onnx"
        quantize_dynamic(model, str(path), weight_type=QuantType.QInt8)
        return onnx.load(str(path))


def _step(kind: str, options: dict[str, str | int | float | bool]) -> Step:
    tool = "edge-deployment-kit" if kind == "weights" else "onnxruntime.quantization"
    version = metadata.version("onnxruntime") if kind != "weights" else metadata.version("onnx")
    return Step(tool=tool, version=version, options={"kind": kind, **options})
