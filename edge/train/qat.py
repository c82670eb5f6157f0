"""Program → teacher and student: the float graph, and the same graph with fake quantization around its operators."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

from convert.passes import passes_for
from convert.passes._rewrite import aten, run_rewrite
from convert.passes.functional import functional_module
from convert.program import Program
from convert.targets._pt2e_ranges import Bounds, saturation
from edge.errors import ContractError, Refused
from edge.train.norms import fold_norms
from edge.train.rounding import (
    PerChannelRounding,
    TensorRounding,
    activations,
    rounds_activations,
    rounds_weights,
    set_phase,
)
from edge.train.ternary import TernaryQuantizer, frozen_weights
from quant.precision import Precision
from quant.scheme import Scheme

Inputs = tuple[Tensor, ...]

PREFIX = "module."  # what exporting puts before the model's own keys
# Passes that every target takes and that leave weights to themselves, so that the student is shaped like an artifact.
_SHAPING = frozenset(
    {"remove_identities", "merge_permutes", "merge_reshapes", "fuse_hard_sigmoid", "fuse_hard_swish", "pool_globally"}
)
_CHANNELS = {
    aten.conv1d.default: 0, aten.conv2d.default: 0, aten.conv2d.padding: 0, aten.conv3d.default: 0,
    aten.linear.default: 0, aten.conv_transpose2d.input: 1, aten.conv_transpose1d.default: 1, aten.matmul.default: 1,
}  # fmt: skip
# What only moves values, or picks some of them, keeps the codes that they have.
_MOVES = frozenset(
    {
        "view", "reshape", "permute", "transpose", "t", "flatten", "unflatten", "squeeze", "unsqueeze", "slice",
        "select", "split", "split_with_sizes", "chunk", "pad", "constant_pad_nd", "max_pool2d", "dropout", "contiguous",
        "clone", "expand", "alias", "detach", "to", "_to_copy", "index_select", "upsample_nearest2d", "pixel_shuffle",
        "pixel_unshuffle", "repeat", "roll", "flip", "unbind",
    }
)  # fmt: skip
_FUSED = frozenset({"relu", "relu6", "hardtanh", "clamp"})  # after an operator, they are part of it in every runtime


@dataclass(frozen=True, slots=True)
class Pair:
    """A float graph that answers, and a copy with rounding that learns to answer the same."""

    teacher: GraphModule
    student: GraphModule


def make_pair(program: Program, quantizer: Quantizer) -> Pair:
    """Return the two graphs, the student rounding as `quantizer` says; parameters are copies under PREFIX and own keys.

    Raises Refused for a program that changes its own state, or that holds nothing to train or to round.
    """
    found = functional_module(program.exported)
    if found is None:
        raise Refused(f"{program.name} keeps state between runs, which training with rounding cannot follow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's and torchao's notes on their own parts
        teacher = _shaped(found)
        student = _trainable(teacher, program.name)
        return Pair(teacher, prepare_qat_pt2e(student, quantizer))


def _shaped(found: GraphModule) -> GraphModule:
    """Return a copy in the shape of an artifact; the exported graph holds the model's own parameters."""
    module = copy.deepcopy(found)
    for entry in passes_for("executorch"):
        if entry.name in _SHAPING:
            run_rewrite(module, entry.rewrite)
    run_rewrite(module, fold_norms)
    _own_constants(module)
    module.requires_grad_(False)
    return module


def _trainable(teacher: GraphModule, name: str) -> GraphModule:
    """Return a copy whose weights, as far as they are read, take gradients."""
    module = copy.deepcopy(teacher)
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    weights = [weight for key, weight in module.named_parameters() if key in read and weight.is_floating_point()]
    if not weights:
        raise Refused(f"{name} has no weights to train")
    for weight in weights:
        weight.requires_grad_()
    return module


def _own_constants(module: GraphModule) -> None:
    """Make buffers of plain tensors, so that they move to a device with the module; they stay out of its state."""
    for name, value in [(name, value) for name, value in vars(module).items() if isinstance(value, Tensor)]:
        delattr(module, name)
        module.register_buffer(name, value, persistent=False)


def quantizer_for(precision: Precision) -> Quantizer:
    """Return what rounds a student to a precision; raises Refused for one that is not trained for."""
    return TernaryQuantizer() if precision.name == "ternary" else KitQuantizer(precision.scheme)


class KitQuantizer(Quantizer):
    """Annotate a graph with the kit's scheme: weights per output channel, and every activation that is computed."""

    def __init__(self, scheme: Scheme) -> None:
        super().__init__()
        weights, values = scheme.weights, scheme.activations
        if weights is None or values is None or not (rounds_weights(weights) and rounds_activations(values)):
            raise Refused("only symmetric weights per channel with asymmetric activations per tensor are trained")
        self._weight_bits, self._bits = weights.bits, values.bits

    def annotate(self, model: GraphModule) -> GraphModule:
        """Say which edges and outputs are rounded."""
        fixed = _without_inputs(model.graph.nodes)
        for node in model.graph.nodes:
            if node in fixed or node.op not in ("placeholder", "call_function") or not _is_float(node):
                continue
            weight = node.args[1] if node.target in _CHANNELS else None
            inputs = {weight: self._weights(_CHANNELS[node.target])} if weight in fixed else {}
            output = None if _keeps_codes(node) or _is_fused(node) else self._values(self._bounds(node))
            node.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map=inputs, output_qspec=output, _annotated=True
            )
        return model

    def validate(self, model: GraphModule) -> None:
        """Accept every graph: what is not annotated stays in float."""

    def _bounds(self, node: Node) -> Bounds:
        users = list(node.users)
        return (saturation(users[0], self._bits) if len(users) == 1 else None) or (None, None)

    def _weights(self, axis: int) -> QuantizationSpec:
        rounding = PerChannelRounding.with_args(bits=self._weight_bits)
        return QuantizationSpec(torch.int8, rounding, ch_axis=axis)

    def _values(self, bounds: Bounds) -> QuantizationSpec:
        return QuantizationSpec(torch.uint8, TensorRounding.with_args(bits=self._bits, least=bounds[0], most=bounds[1]))


def _without_inputs(nodes: Iterable[Node]) -> set[Any]:
    """Return the nodes that no input reaches: weights, and what is computed from weights alone."""
    found: set[Any] = set()
    for node in nodes:
        if node.op != "placeholder" and all(source in found for source in node.all_input_nodes):
            found.add(node)
    return found


def _is_float(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()


def _kind(node: Node) -> str:
    """Return an operator's name without overload and without the mark of one that works in place."""
    return str(getattr(node.target, "overloadpacket", node.target)).rpartition(".")[2].rstrip("_")


def _keeps_codes(node: Node) -> bool:
    return node.op == "call_function" and _kind(node) in _MOVES


def _is_fused(node: Node) -> bool:
    users = list(node.users)
    return node.op == "call_function" and len(users) == 1 and _kind(users[0]) in _FUSED


def measure_ranges(student: nn.Module, inputs: Sequence[Inputs]) -> None:
    """Measure every activation's range anew, as the extremes over the inputs; the student then rounds.

    Raises ContractError naming the first activation that is not finite.
    """
    roundings = activations(student)
    for rounding in roundings.values():
        rounding.forget()
    set_phase(student, "measure")
    with torch.no_grad():
        for tensors in inputs:
            student(*tensors)
    set_phase(student, "fixed")
    for name, node in _observed(student):
        rounding = roundings[name]
        if not bool(torch.isfinite(rounding.low) & torch.isfinite(rounding.high)):
            raise ContractError(
                f"the activation {node} holds NaN or infinity on the training pictures; nothing can be learnt from it: "
                "check the weights and the preprocessing"
            )


def _observed(student: nn.Module) -> list[tuple[str, str]]:
    """Return, in the graph's order, each rounding's name and the operator whose output it rounds."""
    graph = getattr(student, "graph", None)
    nodes = [] if graph is None else graph.nodes
    known = activations(student)
    return [(str(n.target), str(n.args[0])) for n in nodes if n.op == "call_module" and str(n.target) in known]


def copy_weights(student: GraphModule, module: nn.Module) -> int:
    """Write the student's parameters into the model that it was made of; returns how many numbers were trained.

    Those that were rounded to ternary are written so.
    """
    count = 0
    exact = frozen_weights(student)
    with torch.no_grad():
        for name, weight in student.named_parameters():
            if weight.requires_grad:
                module.get_parameter(name.removeprefix(PREFIX)).copy_(exact.get(name, weight).cpu())
                count += weight.numel()
    return count
