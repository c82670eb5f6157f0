"""The codes of every quantized value of an ML program, from what it held when the program itself was executed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from convert.targets._coreml_plan import Graph, Pair, sharing
from edge.runtimes._mil.program import Function, Operation, Reference
from quant.observers import Observer, Range, Seen, choose_range

_LEVELS = 255
_LEAST_SCALE = 2.0**-20  # float16 holds nothing much finer
# Outside of these an argument no longer changes the 8-bit result: σ(±8) is within 0.09 of a step over [0, 1].
_SIGMOID: Range = (-8.0, 8.0)


@dataclass(frozen=True, slots=True)
class Codes:
    """Say which value an 8-bit integer q stands for: scale · (q − zero_point), with q in [−128, 127]."""

    scale: float
    zero_point: int

    @classmethod
    def over(cls, ends: Range) -> Codes:
        """Return the codes that spread over a range which holds 0; the scale is a float16."""
        low, high = ends
        scale = float(np.float16(max((high - low) / _LEVELS, _LEAST_SCALE)))
        return cls(scale, int(np.clip(np.rint(-low / scale), 0, _LEVELS)) - 128)

    @property
    def ends(self) -> Range:
        """Return the least and the largest value that have a code."""
        return self.scale * (-128 - self.zero_point), self.scale * (127 - self.zero_point)


def choose_codes(
    function: Function,
    pairs: Sequence[Pair],
    seen: Mapping[str, Seen],
    observer: Observer,
    constants: Mapping[str, Tensor],
) -> dict[str, Codes]:
    """Return the codes of every pair's value; values that only move elements share theirs."""
    graph = Graph(function)
    ranges = {
        pair.value: _cut(choose_range(seen[pair.value], observer), _saturation(pair.readers, graph, constants))
        for pair in pairs
    }
    for group in _groups(sharing(function, pairs)):
        joined = min(ranges[name][0] for name in group), max(ranges[name][1] for name in group)
        ranges.update(dict.fromkeys(group, joined))
    return {name: Codes.over(ends) for name, ends in ranges.items()}


def layer_limits(
    function: Function, layers: Iterable[str], codes: Mapping[str, Codes], constants: Mapping[str, Tensor]
) -> dict[str, Range]:
    """Return, for each layer, the range in which its result matters: for its readers, and in the codes it gets."""
    graph, found = Graph(function), {}
    for name in layers:
        low, high = _saturation(graph.readers[name], graph, constants) if graph.readers.get(name) else (-np.inf, np.inf)
        if name in codes:
            least, most = codes[name].ends
            low, high = max(low, least), min(high, most)
        found[name] = (low, high)
    return found


def _groups(links: Iterable[tuple[str, ...]]) -> list[set[str]]:
    groups: list[set[str]] = []
    for link in links:
        touching = [group for group in groups if group & set(link)]
        groups = [group for group in groups if group not in touching]
        groups.append(set(link).union(*touching))
    return groups


def _cut(ends: Range, bounds: Range) -> Range:
    low, high = ends
    return min(max(low, bounds[0]), 0.0), max(min(high, bounds[1]), 0.0)


def _saturation(readers: Sequence[Operation], graph: Graph, constants: Mapping[str, Tensor]) -> Range:
    """Return the widest range in which a value still changes what one of its readers computes."""
    found = [_bounds(reader, graph, constants) for reader in readers]
    return min(low for low, _ in found), max(high for _, high in found)


def _bounds(reader: Operation, graph: Graph, constants: Mapping[str, Tensor]) -> Range:
    match reader.type:
        case "relu":
            return 0.0, np.inf
        case "relu6":
            return 0.0, 6.0
        case "clip":
            return _number(reader, "alpha", constants), _number(reader, "beta", constants)
        case "sigmoid":
            return _SIGMOID
        case "sigmoid_hard":
            slope, offset = _number(reader, "alpha", constants), _number(reader, "beta", constants)
            return (-offset / slope, (1.0 - offset) / slope) if slope > 0 else (-np.inf, np.inf)
        case "thresholded_relu" if any(after.type == "sigmoid_hard" for after in graph.readers[reader.outputs[0].name]):
            return _number(reader, "alpha", constants), np.inf  # hard-swish, as coremltools writes it: 0 below
        case _:
            return -np.inf, np.inf


def _number(operation: Operation, argument: str, constants: Mapping[str, Tensor]) -> float:
    [given] = operation.arguments[argument]
    value = constants[given.name] if isinstance(given, Reference) else given
    return float(value)
