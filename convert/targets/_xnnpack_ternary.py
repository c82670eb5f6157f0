"""Write the ternary weights of a program as integer codes -1, 0, 1 with their own scales: nothing is rounded.

XNNPACK multiplies codes of weights with 8-bit codes of activations whose ranges are taken from every input as it
comes: linear layers have 4-bit weights, the fewest that ExecuTorch stores, convolutions 8-bit ones. It has no such
kernel for depthwise and one-dimensional convolutions, nor for transposed ones of groups or of one output channel: these
stay in float32, as does a convolution behind a linear layer. Rows of 4-bit weights with an odd number of codes get one
more, a zero: on processors with AVX-512 and AMX XNNPACK multiplies the unused half of the last byte, -8, with whatever
stands behind a row of the input.
"""

from __future__ import annotations

import operator
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import torch
import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401  # registers the operators of quantized_decomposed
from torch.fx import GraphModule, Node

from convert.targets._kept import kept_operators
from convert.targets._ternary_graph import export_coded
from convert.ternary import TernaryLayer, ternary_layers
from edge.artifact import Step
from edge.errors import Refused
from quant.layers import base_name

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from convert.program import Program

Form = Literal["linear_int4", "convolution_int8", "float"]
_RANGES = {"linear_int4": (-8, 7), "convolution_int8": (-127, 127)}  # by what the partitioner knows the codes' width
_ROWS = 3  # dimensions of a linear layer's input: with more, ExecuTorch cannot lower it beside convolutions
# Operators whose result has the order of axes of their first argument.
_ANY_ORDER = frozenset({
    "conv2d", "conv_transpose2d", "batch_norm", "_native_batch_norm_legit_no_training", "dropout", "clone",
    "relu", "relu_", "relu6", "hardtanh", "hardtanh_", "clamp", "sigmoid", "hardsigmoid", "hardswish", "leaky_relu",
    "elu", "gelu", "silu", "tanh", "prelu", "add", "sub", "mul", "div", "minimum", "maximum", "cat",
    "pad", "constant_pad_nd", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "upsample_bilinear2d",
    "upsample_nearest2d",
})  # fmt: skip
_CODED = torch.ops.quantized_decomposed


def encode_for_xnnpack(program: Program) -> tuple[ExportedProgram, Step]:
    """Return a tagged program whose ternary weights are codes where XNNPACK computes with them, and what was done.

    Raises Refused for a program without ternary weights, or with none that XNNPACK has a kernel for.
    """
    kept_operators(program, "ternary")
    layers = ternary_layers(program)
    module = program.exported.module(check_guards=False)
    nodes = {node.name: node for node in module.graph.nodes}
    forms: Counter[str] = Counter()
    codes: dict[tuple[str, Form], Node] = {}
    for layer in layers:
        form = form_of(nodes[layer.operator], layer)
        if form != "float":
            forms[form] += 1
            _encode(module, nodes[layer.operator], layer, form, codes)
    if not codes:
        raise Refused(
            f"XNNPACK computes with codes in linear layers and in convolutions that are not depthwise only, and no "
            f"ternary weight of {program.name} belongs to one; the nearest that executorch-xnnpack has is int8"
        )
    activations = "int8 with ranges taken at run time, before layers of codes"
    return export_coded(program, module, forms, layers=len(layers), activations=activations)


def form_of(node: Node, layer: TernaryLayer) -> Form:
    """Return the densest form that XNNPACK computes a layer in, codes being smaller than floats."""
    outputs, *inner = layer.tensor.shape
    if layer.op == "linear":
        return "linear_int4" if layer.tensor.columns // 2 + 4 < 4 * layer.tensor.columns else "float"
    small = layer.tensor.columns + 4 < 4 * layer.tensor.columns
    groups = _groups(node)
    whole = layer.op == "conv2d" and (groups == 1 or inner[0] > 1)
    turned = layer.op == "conv_transpose2d" and groups == 1 and outputs > 1
    return "convolution_int8" if small and (whole or turned) and _is_channels_last(node) else "float"


def _is_channels_last(node: Node) -> bool:
    """Tell whether all that leads to a convolution's input may be computed in channels-last order.

    ExecuTorch turns the first value that its input goes back to, whatever lies between: a linear layer there would read
    the wrong axis, and the file fails as it runs.
    """
    source: Any = node.args[0]
    while isinstance(source, Node) and source.op == "call_function":
        if base_name(source) not in _ANY_ORDER:
            return False
        source = source.args[0]
    return True


def _groups(node: Node) -> int:
    """Return the groups of a convolution, transposed or not: the seventh argument of both."""
    found: Any = node.args[6] if len(node.args) > 6 else node.kwargs.get("groups", 1)
    return int(found)


def _encode(
    module: GraphModule, node: Node, layer: TernaryLayer, form: Form, codes: dict[tuple[str, Form], Node]
) -> None:
    """Let an operator read codes of its weight, shared with other readers, and of its input."""
    data: Any = node.args[0]
    first = next(iter(module.graph.nodes))
    if (layer.weight, form) not in codes:
        with module.graph.inserting_before(first):
            codes[layer.weight, form] = _restored(module, layer, form, len(codes))
    made = [codes[layer.weight, form]]
    with module.graph.inserting_before(node):
        if layer.op == "linear" and data.meta["val"].dim() > _ROWS:
            data = module.graph.call_function(torch.ops.aten.reshape.default, (data, [-1, layer.tensor.columns]))
            made += [data, _reshaped(module, node)]
        if form == "linear_int4" and layer.tensor.columns % 2:
            data = module.graph.call_function(torch.ops.aten.constant_pad_nd.default, (data, [0, 1], 0.0))
            made.append(data)
        made += _rounded_row(module, data) if layer.op == "linear" else _rounded_whole(module, data)
    node.args = (made[-1], codes[layer.weight, form], *node.args[2:])
    for part in made:
        part.meta["custom"] = dict(node.meta.get("custom", {}))  # whose part it is


def _reshaped(module: GraphModule, node: Node) -> Node:
    """Insert what gives an operator's result the shape that it has now, and let all others read that."""
    users = list(node.users)
    with module.graph.inserting_after(node):
        shape = [int(size) for size in node.meta["val"].shape]
        result = module.graph.call_function(torch.ops.aten.reshape.default, (node, shape))
    for user in users:
        user.replace_input_with(node, result)
    return result


def _restored(module: GraphModule, layer: TernaryLayer, form: Form, index: int) -> Node:
    """Insert the codes, scales and zero points of a weight and the operator that restores it."""
    trits = torch.from_numpy(layer.tensor.trits).movedim(0, layer.channel_axis)
    if form == "linear_int4" and layer.tensor.columns % 2:
        trits = torch.nn.functional.pad(trits, (0, 1))
    trits = trits.contiguous()
    scale = torch.from_numpy(layer.tensor.scale)
    zeros = torch.zeros(len(scale), dtype=torch.int64)
    nodes = []
    for part, value in (("codes", trits), ("scales", scale), ("zeros", zeros)):
        name = f"edge_ternary_{index}_{part}"
        module.register_buffer(name, value)
        nodes.append(module.graph.get_attr(name))
    low, high = _RANGES[form]
    arguments: Any = (*nodes, layer.channel_axis, low, high, torch.int8)
    return module.graph.call_function(_CODED.dequantize_per_channel.default, arguments)


def _rounded_row(module: GraphModule, data: Node) -> list[Node]:
    """Insert 8-bit codes with a range for every row of the last axis."""
    call = module.graph.call_function
    chosen = call(_CODED.choose_qparams_per_token_asymmetric.default, (data, torch.int8))
    scale, zero = call(operator.getitem, (chosen, 0)), call(operator.getitem, (chosen, 1))
    coded = call(_CODED.quantize_per_token.default, (data, scale, zero, -128, 127, torch.int8))
    restored = (coded, scale, zero, -128, 127, torch.int8, torch.float32)
    return [chosen, scale, zero, coded, call(_CODED.dequantize_per_token.default, restored)]


def _rounded_whole(module: GraphModule, data: Node) -> list[Node]:
    """Insert 8-bit codes with one range for the whole tensor."""
    call = module.graph.call_function
    smallest = torch.finfo(torch.float32).eps
    chosen = call(_CODED.choose_qparams.tensor, (data, -128, 127, smallest, torch.int8))
    scale, zero = call(operator.getitem, (chosen, 0)), call(operator.getitem, (chosen, 1))
    arguments = (scale, zero, -128, 127, torch.int8)
    coded = call(_CODED.quantize_per_tensor.tensor, (data, *arguments))
    return [chosen, scale, zero, coded, call(_CODED.dequantize_per_tensor.tensor, (coded, *arguments))]
