"""Static quantization of a float `.tflite` on real pictures: 8-bit weights a channel, 8- or 16-bit activations.

ai-edge-quantizer writes the file; the ranges and the biases it gets are ours. Ranges of activations: three ways to
choose them (mean of the pictures' extremes; least absolute and least squared rounding error) are tried, and the file
that is nearest to the float one on the calibration pictures is kept. Values beyond ±8 before a sigmoid and below -3
before a hard-swish change nothing and get no codes. Biases: rounding a channel's weights shifts its mean by
(Wq - W)·E[x]; that is taken off (Nagel et al. 2019, arXiv:1906.04721, section 4.2, with measured means).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.targets._litert_origin import kind_of, read_model
from edge.artifact import Step

Floats = NDArray[np.float32]
Ranges = dict[str, tuple[float, float]]

RECIPES: Mapping[str, str] = {"int8": "static_wi8_ai8", "w8a16": "static_wi8_ai16"}
_CHOICES: Mapping[str, tuple[str, ...]] = {"int8": ("mean", "absolute", "squared"), "w8a16": ("extremes",)}
_KEPT = 4096  # values of one tensor and picture that ranges are chosen on
_SHRINK = np.linspace(1.0, 0.3, 15)
_SATURATES: Mapping[str, tuple[float, float]] = {"LOGISTIC": (-8.0, 8.0), "HARD_SWISH": (-3.0, np.inf)}
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@dataclass(slots=True)
class Seen:
    """What one float activation held over the calibration pictures."""

    lows: list[float] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    means: list[Floats] = field(default_factory=list)  # a channel


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantized `.tflite` with a float border, and the step that records how it was made."""

    content: bytes
    step: Step


def quantize(content: bytes, precision: str, inputs: Sequence[Mapping[str, Floats]]) -> Quantized:
    """Quantize a float `.tflite` for `int8` or `w8a16`; `inputs` are its own inputs, in its own layout."""
    seen = _observe(content, inputs)
    best: tuple[float, str, bytes] | None = None
    expected = _answers(content, inputs)
    content, capped = _relu6_as_relu(content)
    for choice in _CHOICES[precision]:
        ranges = _ranges(content, seen, choice)
        ranges |= {name: (0.0, 6.0) for name in capped}
        rough = _write(content, precision, ranges, inputs[0])
        corrected = _with_corrected_biases(content, rough, seen)
        candidate = _write(corrected, precision, ranges, inputs[0])
        score = _nearness(expected, _answers(candidate, inputs)) if len(_CHOICES[precision]) > 1 else 0.0
        if best is None or score > best[0]:
            best = (score, choice, candidate)
    if best is None:
        raise ValueError(f"no way to choose ranges for {precision}")
    options: dict[str, str | int | float | bool] = {
        "recipe": RECIPES[precision], "ranges": best[1], "pictures": len(inputs), "bias_correction": True,
    }  # fmt: skip
    return Quantized(best[2], _step(options))


def _step(options: dict[str, str | int | float | bool]) -> Step:
    return Step(tool="ai-edge-quantizer", version=metadata.version("ai-edge-quantizer"), options=options)


def _interpreter(content: bytes, *, keep: bool = False) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1, experimental_preserve_all_tensors=keep)
    interpreter.allocate_tensors()
    return interpreter


def _answers(content: bytes, inputs: Sequence[Mapping[str, Floats]]) -> list[dict[str, Floats]]:
    run = _interpreter(content).get_signature_runner()
    return [dict(run(**given)) for given in inputs]


def _nearness(expected: list[dict[str, Floats]], got: list[dict[str, Floats]]) -> float:
    """Return the mean over outputs of the PSNR in dB."""
    scores = []
    for name in expected[0]:
        want = np.stack([answer[name] for answer in expected]).astype(np.float64)
        error = float(np.mean((np.stack([answer[name] for answer in got]) - want) ** 2))
        spread = float(np.ptp(want)) or 1.0
        scores.append(20 * np.log10(spread) - 10 * np.log10(max(error, 1e-30)))
    return float(np.mean(scores))


def _observe(content: bytes, inputs: Sequence[Mapping[str, Floats]]) -> dict[str, Seen]:
    """Run the float file on every picture and keep extremes, channel means and a sample of each activation."""
    interpreter = _interpreter(content, keep=True)
    run = interpreter.get_signature_runner()
    generator = np.random.default_rng(0)
    details = [detail for detail in interpreter.get_tensor_details() if detail["dtype"] is np.float32]
    seen: dict[str, Seen] = {}
    for given in inputs:
        run(**given)
        for detail in details:
            try:
                values = interpreter.get_tensor(detail["index"])
            except ValueError:  # inside a delegate, or unused
                continue
            if values.size:
                _note(seen.setdefault(detail["name"], Seen()), values, generator)
    return seen


def _note(entry: Seen, values: Floats, generator: np.random.Generator) -> None:
    flat = values.reshape(-1)
    entry.lows.append(float(flat.min()))
    entry.highs.append(float(flat.max()))
    entry.values.append(flat if flat.size <= _KEPT else flat[generator.integers(0, flat.size, _KEPT)])
    entry.means.append(values.reshape(-1, values.shape[-1]).mean(0) if values.ndim else flat)


def _relu6_as_relu(content: bytes) -> tuple[bytes, list[str]]:
    """Return the float file with plain RELU for every RELU6 that stands alone, and the names of their results.

    The quantizer leaves RELU6 in float32. With the codes of its result spread over [0, 6], RELU saturates at 6.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = read_model(content)
    graph = model.subgraphs[0]
    found = []
    for operator in graph.operators:
        if kind_of(model.operatorCodes[operator.opcodeIndex]) == "RELU6":
            found += [graph.tensors[int(tensor)].name.decode() for tensor in operator.outputs]
    if not found:
        return content, []
    for code in model.operatorCodes:
        if kind_of(code) == "RELU6":
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)), found


def _ranges(content: bytes, seen: Mapping[str, Seen], choice: str) -> Ranges:
    """Return the range of every activation, by tensor name."""
    found = {name: _choose(entry, choice) for name, entry in seen.items()}
    model = read_model(content)
    graph = model.subgraphs[0]
    users = [int(tensor) for operator in graph.operators for tensor in operator.inputs]
    for operator in graph.operators:
        bounds = _SATURATES.get(kind_of(model.operatorCodes[operator.opcodeIndex]))
        source = int(operator.inputs[0])
        name = graph.tensors[source].name.decode()
        if bounds is None or users.count(source) > 1 or name not in found:
            continue
        low, high = max(found[name][0], bounds[0]), min(found[name][1], bounds[1])
        if low < high:
            found[name] = (low, high)
    return found


def _choose(entry: Seen, choice: str) -> tuple[float, float]:
    if choice == "mean":
        return float(np.mean(entry.lows)), float(np.mean(entry.highs))
    low, high = min(entry.lows), max(entry.highs)
    if choice == "extremes" or low == high:
        return low, high
    return _least_error(np.concatenate(entry.values), min(low, 0.0), max(high, 0.0), 1 if choice == "absolute" else 2)


def _least_error(values: Floats, low: float, high: float, power: int) -> tuple[float, float]:
    """Return the range inside [low, high] whose 256 codes round `values` with the least mean |error|^power."""

    def error(bottom: float, top: float) -> float:
        scale = (top - bottom) / 255
        zero = np.round(-bottom / scale)
        rounded = (np.clip(np.round(values / scale) + zero, 0, 255) - zero) * scale
        return float(np.mean(np.abs(rounded - values) ** power))

    bottom = min((low * share for share in _SHRINK), key=lambda candidate: error(candidate, high)) if low else low
    top = min((high * share for share in _SHRINK), key=lambda candidate: error(bottom, candidate)) if high else high
    return float(bottom), float(top)


def _write(content: bytes, precision: str, ranges: Ranges, example: Mapping[str, Floats]) -> bytes:
    """Let ai-edge-quantizer write the file with our ranges; inputs and outputs stay float32."""
    from ai_edge_quantizer import qtyping, quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    tool = quantizer.Quantizer(bytearray(content))
    tool.load_quantization_recipe(getattr(recipe, RECIPES[precision])())
    for border in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        tool.update_quantization_recipe(regex=".*", operation_name=border, algorithm_key=AlgorithmName.NO_QUANTIZE)
    statistics = tool.calibrate({"serving_default": [dict(example)]}, num_threads=1)
    for name, entry in statistics.items():
        if name in ranges and entry and np.size(entry["min"]) == 1:
            low, high = ranges[name]
            entry["min"] = np.full_like(np.asarray(entry["min"]), low)
            entry["max"] = np.full_like(np.asarray(entry["max"]), high)
    result = tool.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _with_corrected_biases(content: bytes, quantized: bytes, seen: Mapping[str, Seen]) -> bytes:
    """Return the float file with the mean shift that its rounded weights cause taken off its biases.

    Every operator gets a bias of its own: converters let operators share constants that happen to be equal.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model, rounded = read_model(content), read_model(quantized)
    graph = model.subgraphs[0]
    counterparts = {tensor.name: tensor for tensor in rounded.subgraphs[0].tensors}
    for index, operator in enumerate(graph.operators):
        kind = kind_of(model.operatorCodes[operator.opcodeIndex])
        if kind not in _WEIGHTED or len(operator.inputs) < 3 or operator.inputs[2] < 0:
            continue
        source, weight, bias = (graph.tensors[tensor] for tensor in operator.inputs[:3])
        name = source.name.decode()
        if weight.name not in counterparts or name not in seen:
            continue
        if model.buffers[weight.buffer].data is None or model.buffers[bias.buffer].data is None:
            continue  # computed, or without data of its own
        change = _weights(rounded, counterparts[weight.name]) - _weights(model, weight)
        values = _weights(model, bias) - _shift(kind, change, np.mean(seen[name].means, axis=0))
        _give_bias(model, operator, values, f"edge_bias_{index}")
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _give_bias(model: Any, operator: Any, values: Floats, name: str) -> None:
    """Let an operator use a new constant as its bias."""
    graph = model.subgraphs[0]
    bias, buffer = copy.copy(graph.tensors[operator.inputs[2]]), copy.copy(model.buffers[0])
    buffer.data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
    bias.name, bias.buffer = name.encode(), len(model.buffers)
    operator.inputs[2] = len(graph.tensors)
    model.buffers.append(buffer)
    graph.tensors.append(bias)


def _shift(kind: str, change: Floats, means: Floats) -> Floats:
    """Return the mean change of each output channel; weights are (out, kh, kw, in), (1, kh, kw, out) or (out, in)."""
    if kind == "DEPTHWISE_CONV_2D":
        return np.asarray(change.sum((0, 1, 2)) * np.repeat(means, change.shape[-1] // len(means)))
    taps = change.sum((1, 2)) if kind == "CONV_2D" else change
    groups = len(means) // taps.shape[-1]
    by_group = means.reshape(groups, taps.shape[-1])
    return np.asarray((taps * np.repeat(by_group, len(taps) // groups, axis=0)).sum(-1))


def _weights(model: Any, tensor: Any) -> Floats:
    """Return a constant as float32, dequantized a tensor or a channel."""
    from ai_edge_litert import schema_py_generated as schema

    data = bytes(model.buffers[tensor.buffer].data)
    shape = tuple(int(size) for size in tensor.shape)
    if tensor.type == schema.TensorType.FLOAT32:
        return np.frombuffer(data, np.float32).reshape(shape)
    codes = np.frombuffer(data, np.int8).reshape(shape).astype(np.float32)
    scales = np.asarray(tensor.quantization.scale, np.float32)
    if len(scales) > 1:
        scales = scales.reshape(
            [-1 if axis == tensor.quantization.quantizedDimension else 1 for axis in range(len(shape))]
        )
    return np.asarray(codes * scales, np.float32)
