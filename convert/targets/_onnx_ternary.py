"""Write the ternary weights of a float ONNX model as codes with their own scales: nothing is rounded.

A matrix product becomes MatMulNBits, which multiplies 2-bit codes as they are. Convolutions keep their operator behind
a DequantizeLinear: ONNX Runtime computes them in float32, so that they get smaller and not faster. A target can offer
more forms; a weight gets the smallest. Weights that are exactly codes of 4 or 8 bits are written as such too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from convert.targets._onnx_ternary_forms import (
    ACCURACY_LEVEL,
    ACTIVATIONS,
    WEIGHTED,
    Coded,
    Form,
    Weight,
    channel_axis,
    in_blocks,
    restored,
)
from convert.ternary import ternary_layers, weighted_operators
from edge.artifact import Step
from quant.coded import codes_of

if TYPE_CHECKING:
    from convert.program import Program

# The first with 2-bit integers. Since opset 20 only GroupNormalization changed its meaning, which the exporter does not
# write.
_OPSET, _IR = 25, 13
_FLOAT32 = 1


def to_ternary(program: Program, more: Sequence[Form] = ()) -> tuple[Any, Step]:
    """Return the ONNX model of a program with its ternary weights coded, and the step that records the forms.

    `more` forms are taken where they are no larger. Raises Refused for a program without ternary weights.
    """
    from convert.targets._kept import kept_operators
    from convert.targets._onnx_qnn_float import to_float_model

    kept_operators(program, "ternary")
    layers = ternary_layers(program)
    source = to_float_model(program, "ternary")
    operators = weighted_operators(program)
    model = source.model
    named = {name for name, operator in source.origins.items() if operator in operators}
    forms = encode(model, named, (*more, in_blocks, restored))
    if forms["DequantizeLinear_int2"] or forms["DequantizeLinear_int4"]:
        _raise_opset(model)
    options: dict[str, str | int | float | bool] = {**sorted_counts(forms), "ternary_layers": len(layers)}
    if forms["MatMulNBits_int2"]:
        options["accuracy_level"] = ACCURACY_LEVEL
    if quantized := [text for form, text in ACTIVATIONS.items() if forms[form]]:
        options["activations"] = "; ".join(quantized)
    return model, Step(
        tool="edge-deployment-kit", version=metadata.version("onnx"), options={"kind": "ternary", **options}
    )


def sorted_counts(forms: Mapping[str, int]) -> dict[str, int]:
    """Return the forms that occur, in the order of their names."""
    return {name: count for name, count in sorted(forms.items()) if count}


def encode(model: Any, names: Collection[str], forms: Sequence[Form]) -> Counter[str]:
    """Replace the ternary weights of the named nodes in place; return how many operators have which form."""
    constants = {entry.name: entry for entry in model.graph.initializer}
    coded: dict[str, Coded | None] = {}
    counts: Counter[str] = Counter()
    nodes = []
    readers = _readers(model)
    for node in model.graph.node:
        name = node.input[1] if node.op_type in WEIGHTED else ""
        if name not in constants:
            nodes.append(node)
            continue
        if name not in coded:
            coded[name] = _coded(constants, name, readers[name], names, forms)
            if made := coded[name]:
                model.graph.initializer.remove(constants[name])
                model.graph.initializer.extend(made.constants)
                if made.domain:
                    _declare(model, made.domain, 1)
                nodes += made.before
        form = coded[name]
        counts[form.name if form else "float"] += 1
        nodes.append(form.node(node) if form else node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return counts


def _coded(
    constants: Mapping[str, Any],
    name: str,
    readers: list[tuple[Any, int]],
    names: Collection[str],
    forms: Sequence[Form],
) -> Coded | None:
    """Return a weight's smallest form, or None if it stays: not all its readers are named, or none is smaller."""
    from onnx import numpy_helper

    constant = constants[name]
    own = [position == 1 and node.name in names for node, position in readers]
    axes = {channel_axis(node, len(constant.dims)) for node, _ in readers} if all(own) else {-1}
    if constant.data_type != _FLOAT32 or len(axes) > 1 or -1 in axes:
        return None
    axis = axes.pop()
    values = numpy_helper.to_array(constant)
    tensor = codes_of(values, axis=axis)
    if tensor is None:
        return None
    biases = {other for other, entry in constants.items() if list(entry.dims) == [len(tensor.codes)]}
    weight = Weight(name, axis, tensor, tuple(node for node, _ in readers), biases)
    found = [made for form in forms if (made := form(weight))]
    smallest = min(found, key=lambda made: made.bytes, default=None)
    return smallest if smallest and smallest.bytes < values.nbytes else None


def _readers(model: Any) -> dict[str, list[tuple[Any, int]]]:
    """Return the nodes that read each value, with the position of the input."""
    readers: dict[str, list[tuple[Any, int]]] = {}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, position))
    return readers


def _raise_opset(model: Any) -> None:
    _declare(model, "", _OPSET)
    model.ir_version = max(model.ir_version, _IR)


def _declare(model: Any, domain: str, version: int) -> None:
    """Let a model use a version of a domain's operators."""
    from onnx import helper

    for entry in model.opset_import:
        if entry.domain == domain:
            entry.version = max(entry.version, version)
            return
    model.opset_import.append(helper.make_opsetid(domain, version))
