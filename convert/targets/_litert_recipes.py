"""What ai-edge-quantizer is told to make of a float `.tflite`, for each precision."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Step

Arrays = Mapping[str, NDArray[np.float32]]
Ranges = dict[str, tuple[float, float]]
Options = dict[str, str | int | float | bool]

STATIC: Mapping[str, str] = {"int8": "static_wi8_ai8", "mixed": "static_wi8_ai8", "w8a16": "static_wi8_ai16"}
# Without pictures, the later entries over the earlier ones. LiteRT has no 4-bit weights for depthwise and transposed
# convolutions, and its dynamic depthwise convolution is slower than XNNPACK's in float: these keep 8-bit weights.
_ROUNDED: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "w8": (("weight_only_wi8_afp32", ("*",)),),
    "int8-dynamic": (("weight_only_wi8_afp32", ("*",)), ("dynamic_wi8_afp32", ("CONV_2D", "FULLY_CONNECTED"))),
    "w4": (("weight_only_wi8_afp32", ("*",)), ("weight_only_wi4_afp32", ("CONV_2D", "FULLY_CONNECTED"))),
}
ROUNDED = tuple(_ROUNDED)


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantized `.tflite` with a float border, and the step that records how it was made."""

    content: bytes
    step: Step


def round_weights(content: bytes, precision: str) -> Quantized:
    """Write a float `.tflite` with rounded weights; activations stay float32 between the operators."""
    from ai_edge_quantizer import quantizer, recipe

    entries = [
        {**entry, "operation": operation}
        for name, operations in _ROUNDED[precision]
        for entry in getattr(recipe, name)()
        for operation in operations
    ]
    tool = quantizer.Quantizer(bytearray(content))
    tool.load_quantization_recipe(entries)
    recipes = {name: ", ".join(operations) for name, operations in _ROUNDED[precision]}
    return Quantized(_finish(tool), quantizer_step(dict(recipes)))


def write_static(
    content: bytes, precision: str, ranges: Ranges, example: Arrays, floats: Collection[str] = ()
) -> bytes:
    """Write a float `.tflite` in integers with our ranges; inputs, outputs and the results named by `floats` do not."""
    from ai_edge_quantizer import qtyping, quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    tool = quantizer.Quantizer(bytearray(content))
    tool.load_quantization_recipe(getattr(recipe, STATIC[precision])())
    for border in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        tool.update_quantization_recipe(regex=".*", operation_name=border, algorithm_key=AlgorithmName.NO_QUANTIZE)
    for name in sorted(floats):
        tool.update_quantization_recipe(
            regex=f"^{re.escape(name)};$",  # how the tool writes an operator's scope
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            algorithm_key=AlgorithmName.NO_QUANTIZE,
        )
    statistics = tool.calibrate({"serving_default": [dict(example)]}, num_threads=1)
    for name, entry in statistics.items():
        if name in ranges and entry and np.size(entry["min"]) == 1:
            low, high = ranges[name]
            entry["min"] = np.full_like(np.asarray(entry["min"]), low)
            entry["max"] = np.full_like(np.asarray(entry["max"]), high)
    return _finish(tool, statistics)


def quantizer_step(options: Options) -> Step:
    """Return the step that records ai-edge-quantizer."""
    return Step(tool="ai-edge-quantizer", version=metadata.version("ai-edge-quantizer"), options=options)


def _finish(tool: Any, statistics: Any = None) -> bytes:
    result = tool.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)
