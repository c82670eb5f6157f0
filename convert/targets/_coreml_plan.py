"""Which values of an ML program become 8-bit integers, and which operations read them so.

Core ML computes in 8 bits where a convolution, a matrix product with constant weights, a pooling or a sum reads pairs
of `quantize` and `dequantize` and is followed by one. That is where Apple's own calibrator puts them
(coremltools.optimize.coreml.linear_quantize_activations), with three differences, each of which only spares accuracy:
a value has one pair for all its readers; results that no 8-bit operation needs any more, the heads, stay in float;
and transposed convolutions are quantized as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from edge.runtimes._mil.program import Function, Operation, Reference

# Operations that are computed in 8 bits, with the arguments that are values and not weights.
_OPERANDS: Mapping[str, tuple[str, ...]] = {
    "conv": ("x",),
    "conv_transpose": ("x",),
    "linear": ("x",),
    "avg_pool": ("x",),
    "max_pool": ("x",),
    "add": ("x", "y"),
}
WEIGHTED = frozenset({"conv", "conv_transpose", "linear"})
# Activations that Core ML computes together with the operation before them.
_ACTIVATIONS = frozenset(
    {
        "relu", "relu6", "leaky_relu", "prelu", "clip", "clamped_relu", "sigmoid", "sigmoid_hard", "tanh",
        "scaled_tanh",
    }
)  # fmt: skip
# Operations whose results are among the elements of their argument (or 0): they keep its scale.
_MOVING = frozenset(
    {
        "pad", "reshape", "transpose", "squeeze", "expand_dims", "slice_by_index", "slice_by_size", "max_pool",
        "upsample_nearest_neighbor", "resize_nearest_neighbor", "depth_to_space", "space_to_depth", "pixel_shuffle",
        "pixel_unshuffle", "tile", "reverse",
    }
)  # fmt: skip
_FLOATS = frozenset({"fp16", "fp32"})


@dataclass(frozen=True, slots=True)
class Pair:
    """A value that gets a `quantize` and a `dequantize`, and the operations that read what comes out of them."""

    value: str
    readers: tuple[Operation, ...]


class Graph:
    """A function's operations by what they compute and by what they read."""

    def __init__(self, function: Function) -> None:
        """Index the operations; constants are left out."""
        self.operations = tuple(
            entry for entry in function.operations if entry.type != "const" and not entry.type.startswith("constexpr_")
        )
        self.outputs = frozenset(function.outputs)
        declared = [*function.inputs, *(output for entry in self.operations for output in entry.outputs)]
        self.types = {item.name: item.type.dtype for item in declared}
        self.readers: dict[str, list[Operation]] = defaultdict(list)
        for entry in self.operations:
            for name in dict.fromkeys(_read(entry, entry.arguments)):
                self.readers[name].append(entry)

    def live(self, operation: Operation, argument: str) -> str:
        """Return the float value that an argument names, or an empty text for constants and other types."""
        names = list(_read(operation, (argument,)))
        return names[0] if len(names) == 1 and self.types.get(names[0]) in _FLOATS else ""


def plan_pairs(function: Function, kept: Set[str]) -> tuple[Pair, ...]:
    """Return the values to quantize, in the order they are computed; operations named in `kept` stay in float."""
    graph = Graph(function)
    chosen = {entry.name for entry in quantized_operations(graph, kept)}
    followed = {_end(graph, entry, kept) for entry in graph.operations if entry.name in chosen}
    needed = _needed(graph, chosen)
    pairs = []
    for value in graph.types:
        readers = [
            entry
            for entry in graph.readers.get(value, ())
            if _takes(entry, chosen, value) or (value in followed & needed and entry.name not in kept)
        ]
        if readers:
            pairs.append(Pair(value, tuple(readers)))
    return tuple(pairs)


def quantized_operations(graph: Graph, kept: Set[str]) -> Iterator[Operation]:
    """Yield the operations that are computed in 8 bits."""
    for entry in graph.operations:
        operands = _OPERANDS.get(entry.type, ())
        if not operands or entry.name in kept or not all(graph.live(entry, name) for name in operands):
            continue
        if entry.type not in WEIGHTED or not graph.live(entry, "weight"):
            yield entry


def sharing(function: Function, pairs: Iterable[Pair]) -> Iterator[tuple[str, ...]]:
    """Yield values that must have the same scale, so that moving elements from one to the other rounds nothing."""
    by_value = {pair.value: pair for pair in pairs}
    for entry in Graph(function).operations:
        result = entry.outputs[0].name
        if result not in by_value:
            continue
        if entry.type in _MOVING:
            sources = [name for name in _read(entry, ("x",)) if name in by_value and entry in by_value[name].readers]
        elif entry.type == "concat":
            # A value that others read as well keeps a scale of its own.
            sources = [name for name in _read(entry, ("values",)) if _only(by_value.get(name), entry)]
        else:
            continue
        if sources:
            yield (*sources, result)


def _only(pair: Pair | None, reader: Operation) -> bool:
    return pair is not None and pair.readers == (reader,)


def _takes(operation: Operation, chosen: Set[str], value: str) -> bool:
    return operation.name in chosen and value in _read(operation, _OPERANDS[operation.type])


def _end(graph: Graph, operation: Operation, kept: Set[str]) -> str:
    """Return the value that an 8-bit operation and the activation it is computed with leave."""
    value = operation.outputs[0].name
    readers = graph.readers.get(value, [])
    if len(readers) == 1 and readers[0].type in _ACTIVATIONS and not {value, readers[0].name} & {*graph.outputs, *kept}:
        return readers[0].outputs[0].name
    return value


def _needed(graph: Graph, chosen: Set[str]) -> set[str]:
    """Return the values that an 8-bit operation reads, directly or through others."""
    needed: set[str] = set()
    for entry in reversed(graph.operations):
        if entry.name in chosen or any(output.name in needed for output in entry.outputs):
            needed.update(_read(entry, entry.arguments))
    return needed


def _read(operation: Operation, arguments: Iterable[str]) -> Iterator[str]:
    for argument in arguments:
        for item in operation.arguments.get(argument, ()):
            if isinstance(item, Reference):
                yield item.name
