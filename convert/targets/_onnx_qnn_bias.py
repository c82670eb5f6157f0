"""Correct the biases of a QDQ model so that every convolution keeps its mean (Nagel et al. 2019, section 4.2).

Rounding weights and activations to 8 bits shifts the mean of each output channel, and the shifts add up from layer to
layer: in networks with depthwise convolutions that is most of the error. The model is walked once in execution order
on calibration inputs; at each convolution the mean of its quantized result is compared with that of the float model
and the difference goes into the integer bias. Later layers see the corrected values. Means are taken inside the range
of the result's quantizer: what lies outside is cut off anyway, and large values there (the logits of a mask that is
certain) would else pull at those that count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Range = tuple[float, float]
_CONVOLUTIONS = ("Conv", "ConvTranspose", "Gemm")
_LEAST_INSIDE = 0.05  # of a channel: where fewer elements count, their correction is held back


def correct_biases(quantized: Any, model: Any, inputs: Sequence[Arrays]) -> int:
    """Change the integer biases of `quantized` in place; return how many convolutions were corrected."""
    results = {node.name: node.output[0] for node in model.graph.node if node.op_type in _CONVOLUTIONS}
    chosen = [node for node in quantized.graph.node if node.name in results and len(node.input) > 2]
    walk = _Walk(quantized, inputs)
    ranges = {results[node.name]: walk.range_after(node.output[0]) for node in chosen}
    names = {node.name for node in chosen}
    wanted = _observe(model, ranges, inputs)
    corrected = 0
    for node in quantized.graph.node:
        walk.step(node)
        if node.name in names:
            name = results[node.name]
            corrected += walk.add_bias(node, wanted[name].shift(walk.channel_mean(node.output[0], ranges[name])))
    return corrected


@dataclass(frozen=True, slots=True)
class _Channels:
    """Hold a value's mean per channel inside its range, and the share of its elements that lie there, both (C,)."""

    mean: NDArray[np.float64]
    inside: NDArray[np.float64]

    def shift(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what added to a value of the given clipped mean restores the mean; elements outside do not move."""
        return (self.mean - mean) * (self.inside > 0) / np.maximum(self.inside, _LEAST_INSIDE)


def run_with(model: Any, names: Sequence[str], inputs: Sequence[Arrays]) -> Iterator[dict[str, NDArray[Any]]]:
    """Run a model on each of the inputs and yield the named values inside it."""
    import onnx

    if not names:
        return
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    known = {output.name for output in opened.graph.output}
    for name in dict.fromkeys(names):
        if name not in known:
            opened.graph.output.append(onnx.ValueInfoProto(name=name))
    session = _session(opened)
    for entry in inputs:
        yield dict(zip(names, session.run(list(names), dict(entry)), strict=True))


def _observe(model: Any, ranges: Mapping[str, Range], inputs: Sequence[Arrays]) -> dict[str, _Channels]:
    totals: dict[str, list[_Channels]] = {name: [] for name in ranges}
    for values in run_with(model, list(ranges), inputs):
        for name, value in values.items():
            low, high = ranges[name]
            totals[name].append(_Channels(_mean(np.clip(value, low, high)), _mean((value > low) & (value < high))))
    return {
        name: _Channels(sum_of(c.mean for c in found) / len(found), sum_of(c.inside for c in found) / len(found))
        for name, found in totals.items()
    }


def _mean(value: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean over everything but the channels, shape (C,)."""
    return np.asarray(value.mean(axis=tuple(axis for axis in range(value.ndim) if axis != 1), dtype=np.float64))


def sum_of(arrays: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Add arrays of one shape."""
    return np.sum(list(arrays), axis=0)  # type: ignore[no-any-return]


class _Walk:
    """Run a model node by node on several inputs at once, keeping only the values that are still needed."""

    def __init__(self, model: Any, inputs: Sequence[Arrays]) -> None:
        from onnx import numpy_helper

        self._model, self._count = model, len(inputs)
        self._initializers = {entry.name: entry for entry in model.graph.initializer}
        self._fixed = {name: numpy_helper.to_array(entry) for name, entry in self._initializers.items()}
        self._values: list[dict[str, NDArray[Any]]] = [dict(entry) for entry in inputs]
        self._producers = {name: node for node in model.graph.node for name in node.output}
        self._left = Counter(name for node in model.graph.node for name in node.input)
        self._left.update(output.name for output in model.graph.output)

    def step(self, node: Any) -> None:
        """Run one node; a node of constants runs once."""
        names = [name for name in dict.fromkeys(node.input) if name]
        fixed = {name: self._fixed[name] for name in names if name in self._fixed}
        free = [name for name in names if name not in fixed]
        session = _session(_single(self._model, node, fixed, {name: self._values[0][name] for name in free}))
        targets = [self._fixed] if not free else self._values
        for values in targets:
            feeds = (
                {name: values[name] for name in names}
                if not free
                else {**fixed, **{name: values[name] for name in free}}
            )
            values.update(zip(node.output, session.run(list(node.output), feeds), strict=True))
        self._forget(node)

    def range_after(self, name: str) -> Range:
        """Return the range of the quantizer that reads a value, or an endless one."""
        for node in self._model.graph.node:
            if node.op_type == "QuantizeLinear" and node.input[0] == name:
                scale, zero = self._fixed[node.input[1]], self._fixed[node.input[2]]
                limits = np.iinfo(zero.dtype)
                return float((limits.min - int(zero)) * scale), float((limits.max - int(zero)) * scale)
        return -np.inf, np.inf

    def channel_mean(self, name: str, limits: Range) -> NDArray[np.float64]:
        """Return the mean of a value, clipped to a range, over everything but its channels, shape (C,)."""
        return sum_of(_mean(np.clip(values[name], *limits)) for values in self._values) / self._count

    def add_bias(self, node: Any, shift: NDArray[np.float64]) -> bool:
        """Add to a convolution's integer bias and to its values; return whether the bias could be changed."""
        from onnx import numpy_helper

        source = self._producers.get(node.input[2])
        if source is None or source.op_type != "DequantizeLinear" or source.input[0] not in self._initializers:
            return False
        bias, scale = self._fixed[source.input[0]], self._fixed[source.input[1]].astype(np.float64)
        limits = np.iinfo(bias.dtype)
        changed = np.clip(np.rint(bias + shift / scale), limits.min, limits.max).astype(bias.dtype)
        added = ((changed.astype(np.float64) - bias) * scale).astype(np.float32)
        self._fixed[source.input[0]] = changed
        self._initializers[source.input[0]].CopyFrom(numpy_helper.from_array(changed, source.input[0]))
        for values in self._values:
            value = values[node.output[0]]
            value += added.reshape((1, -1) + (1,) * (value.ndim - 2))
        return True

    def _forget(self, node: Any) -> None:
        self._left.subtract(node.input)
        for name in node.input:
            if not self._left[name] and name not in self._fixed:
                for values in self._values:
                    values.pop(name, None)


def _single(model: Any, node: Any, fixed: Arrays, free: Arrays) -> Any:
    """Return a model of one node whose inputs are all fed."""
    from onnx import helper

    feeds = {**fixed, **free}
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in feeds.items()
    ]
    import onnx

    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = helper.make_graph([node], "node", infos, outputs)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _session(model: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
