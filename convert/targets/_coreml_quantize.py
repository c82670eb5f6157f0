"""Float ML program → program with 8-bit weights and activations, measured by executing the very package.

coremltools calibrates with macOS' runtime; here the interpreter in edge.runtimes._mil executes the float package on
calibration inputs, and then the quantized one to take off the biases what rounding added to them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.targets._coreml_bias import Inputs, measure_channels, measure_shifts, observe
from convert.targets._coreml_edit import biases, compress_weights, insert_pairs, shift_biases
from convert.targets._coreml_package import PACKAGE, save_package
from convert.targets._coreml_plan import WEIGHTED, Graph, plan_pairs, quantized_operations
from convert.targets._coreml_ranges import choose_codes, layer_limits
from edge.runtimes._mil import Function, Interpreter, read_package
from quant.observers import Observer

OBSERVER: Observer = "percentile"  # the best of the four on selfie-segmentation


@dataclass(frozen=True, slots=True)
class Done:
    """Count what was quantized."""

    activations: int
    weights: int
    biases: int


def quantize(
    program: Any,
    write: Callable[[Any], Any],
    inputs: Inputs,
    keep: Callable[[Function], frozenset[str]],
    observer: Observer,
) -> Done:
    """Quantize coremltools' program in place; `write` makes a model of it, `keep` names what stays in float."""
    function = _read(write(program))
    kept = keep(function)
    graph = Graph(function)
    chosen = {entry.name: entry for entry in quantized_operations(graph, kept)}
    pairs = plan_pairs(function, kept)
    layers = frozenset(name for name, entry in chosen.items() if entry.type in WEIGHTED)
    interpreter = Interpreter(function, PACKAGE)
    seen = observe(interpreter, [pair.value for pair in pairs], inputs)
    codes = choose_codes(function, pairs, seen, observer, interpreter.numbers)
    insert_pairs(program, pairs, codes)
    weights = compress_weights(program, layers)
    limits = layer_limits(function, biases(program, layers), codes, interpreter.numbers)
    wanted = measure_channels(interpreter, limits, inputs)
    rounded = Interpreter(_read(write(program)), PACKAGE)
    shifts = measure_shifts(rounded, wanted, limits, inputs)
    shift_biases(program, shifts)
    return Done(len(pairs), weights, len(shifts))


def _read(model: Any) -> Function:
    """Return the program of a model as it would ship."""
    with tempfile.TemporaryDirectory() as scratch:
        save_package(model, Path(scratch) / PACKAGE)
        return read_package(Path(scratch) / PACKAGE).function
