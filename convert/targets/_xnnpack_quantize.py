"""Quantize a program for XNNPACK: its own annotations, and what they leave out though its kernels have it."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import propagate_annotation
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, SharedQuantizationSpec
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from convert.targets._executorch import origin
from convert.targets._kept import kept_operators
from convert.targets._pt2e import Quantized, quantize, quantize_at_run_time, quantizer_step
from convert.targets._pt2e_observers import activation_observer
from convert.targets._pt2e_ranges import cut_saturated_ranges
from convert.targets._pt2e_spelling import spell_relu6, spell_unit_clips
from convert.targets._pt2e_weights import fit_weights
from edge.artifact import Step
from edge.errors import Refused

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from convert.program import Program
    from quant.observers import Observer

aten = torch.ops.aten

_CONVOLUTIONS = (aten.conv2d.default, aten.linear.default)
_TRANSPOSED = (aten.conv_transpose2d.input,)
_CLIPS = (aten.relu.default, aten.hardtanh.default)  # computed by the operator before them
_SUMS = (aten.add.Tensor, aten.mul.Tensor)
_OWN_SCALE = (aten.hardswish.default, aten.sigmoid.default, aten.mean.dim)
_SAME_SCALE = (aten.pad.default, aten.constant_pad_nd.default, aten.upsample_bilinear2d.vec)
_JOINS = (aten.cat.default,)  # one scale for all that is joined: a second rounding
_SHAPES = (aten.reshape.default, aten.view.default, aten.permute.default, aten.transpose.int)
_OBSERVERS: tuple[Observer, ...] = ("mse", "min-max")  # tried without a choice: each is better for some models
_SMALLEST_SCALE = 2**-16


def quantize_for_xnnpack(program: Program, precision: str) -> tuple[ExportedProgram, Step]:
    """Return a tagged program with 8-bit weights (per output channel) and activations, and what was done.

    Operators that `mixed` keeps stay in float. Without an observer in the recipe, ranges of least squared error and
    extremes are tried, and what is nearer to the float graph on the calibration inputs is taken. Raises Refused
    without pictures or for a recipe that does not fit the program, TargetError if the graph cannot be quantized.
    """
    chosen = program.recipe.observer
    tried = [_quantized(program, precision, choice) for choice in ([chosen] if chosen else _OBSERVERS)]
    best = max(tried, key=lambda quantized: quantized.nearness)
    return best.exported, quantizer_step("XNNPACKQuantizer", program, precision, best)


def _quantized(program: Program, precision: str, observer: Observer) -> Quantized:
    counts = {"equalized": 0, "fitted": 0, "narrowed": 0}
    kept = kept_operators(program, precision)

    def rewrite(module: GraphModule) -> None:
        spell_relu6(module)
        spell_unit_clips(module)
        counts.update(fit_weights(module, program.calibration_tensors(), kept))

    def narrow(prepared: GraphModule) -> None:
        counts["narrowed"] = cut_saturated_ranges(prepared)

    annotator = _Annotator(kept, observer)
    quantized = quantize(program, annotator, rewrite=rewrite, narrow=narrow)
    return replace(quantized, options={**quantized.options, "observer": observer, **counts})


def quantize_dynamically(program: Program) -> tuple[ExportedProgram, Step]:
    """Return a program whose linear layers and whole 2D convolutions take 8-bit codes of every input's own range.

    Everything else stays in float. Raises Refused for a program without any, or for a recipe's observer or kept
    operators, TargetError if the graph cannot be quantized.
    """
    kept_operators(program, "int8-dynamic")
    if program.recipe.observer is not None:
        raise Refused(
            f"int8-dynamic takes ranges from every input, not from observer {program.recipe.observer!r}; int8 has it"
        )
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    quantizer = XNNPACKQuantizer().set_global(config).set_filter_function(_runs_with_own_ranges)
    exported = quantize_at_run_time(program, quantizer)
    count = sum("choose_qparams" in str(node.target) for node in exported.graph.nodes)
    if not count:
        raise Refused(
            f"XNNPACK takes ranges at run time for linear layers and for convolutions that are not depthwise only, "
            f"and {program.name} has neither; the nearest that executorch-xnnpack has is int8"
        )
    options: dict[str, str | int | float | bool] = {"activation_bits": 8, "ranges": "at run time", "quantized": count}
    return exported, Step(tool="XNNPACKQuantizer", version=metadata.version("executorch"), options=options)


def _runs_with_own_ranges(node: Node) -> bool:
    """Say no to transposed convolutions of one output channel: the runtime fails on them with `invalid_parameter`."""
    weight: Any = node.args[1] if node.target in _TRANSPOSED else None
    return weight is None or int(weight.meta["val"].shape[1]) > 1


class _Annotator(XNNPACKQuantizer):
    """Annotate what XNNPACK computes in 8 bits, but for the operators whose names are kept.

    XNNPACK's own quantizer knows no clip but ReLU after a convolution, leaves hard-swish, sigmoid, padding and resizes
    in float, and gives a mean the scale of what it is taken of.
    """

    def __init__(self, kept: frozenset[str], observer: Observer) -> None:
        super().__init__()
        self._kept = kept
        config = get_symmetric_quantization_config(is_per_channel=True)
        seen_by = activation_observer(observer).with_args(eps=_SMALLEST_SCALE)
        self._activation = replace(config.input_activation, observer_or_fake_quant_ctr=seen_by)
        per_channel = PerChannelMinMaxObserver.with_args(eps=_SMALLEST_SCALE)
        self._weight = replace(config.weight, observer_or_fake_quant_ctr=per_channel)
        self.set_global(
            replace(config, input_activation=self._activation, output_activation=self._activation, weight=self._weight)
        )

    def annotate(self, model: GraphModule) -> GraphModule:
        """Annotate a graph in place."""
        nodes = [node for node in model.graph.nodes if node.op == "call_function"]
        for node in nodes:
            if origin(node) in self._kept or (node.target in _JOINS and _leaves(node)):
                _write(node, {}, None)
        for node in nodes:
            if node.target in _CONVOLUTIONS or _is_whole(node):
                self._annotate_weighted(node)
            elif node.target in _SUMS:
                self._annotate_clipped(node)
            elif node.target in _OWN_SCALE and not _leaves(node) and _is_free(node):
                _write(node, {node.args[0]: self._activation}, self._activation)
        super().annotate(model)
        for node in nodes:
            if node.target in _SAME_SCALE:
                self._share_scale(node)
        propagate_annotation(model)
        return model

    def _annotate_weighted(self, node: Node) -> None:
        data, weight, *bias = node.args[:3]
        if not _is_free(node):
            return
        axis = 1 if node.target in _TRANSPOSED else 0
        sources = {data: self._activation, weight: replace(self._weight, ch_axis=axis)}
        sources |= {entry: None for entry in bias if isinstance(entry, Node)}
        clip = _clip(node)
        _write(node, sources, None if clip else self._activation)
        if clip:
            _write(clip, {}, self._activation)

    def _annotate_clipped(self, node: Node) -> None:
        """Give a sum or product with a clip after it one rounding; the quantizer itself sees to it for ReLU."""
        clip, sources = _clip(node), node.args[:2]
        if clip and _is_free(node) and all(_is_float(source) for source in sources):
            _write(node, dict.fromkeys(sources, self._activation), None)
            _write(clip, {}, self._activation)

    def _share_scale(self, node: Node) -> None:
        source: Any = node.args[0]
        found = source.meta.get(Q_ANNOTATION_KEY)
        if not _is_free(node):
            return
        if found is not None and found.output_qspec is not None:
            shared = SharedQuantizationSpec(source)
            _write(node, {source: shared}, shared)
        elif source.op == "placeholder":
            _write(node, {source: self._activation}, SharedQuantizationSpec((source, node)))


def _write(node: Node, sources: dict[Any, Any], result: Any) -> None:
    node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(input_qspec_map=sources, output_qspec=result, _annotated=True)


def _clip(node: Node) -> Node | None:
    """Return the clip that is computed together with an operator, if there is one."""
    user = next(iter(node.users), None)
    if user is None or len(node.users) > 1 or user.target not in _CLIPS or not _is_free(user):
        return None
    return user


def _is_float(value: Any) -> bool:
    return isinstance(value, Node) and value.meta["val"].dtype == torch.float32


def _is_free(node: Node) -> bool:
    found = node.meta.get(Q_ANNOTATION_KEY)
    return found is None or not found._annotated


def _is_whole(node: Node) -> bool:
    """Say whether it is a transposed convolution of one group: XNNPACK takes no other in 8 bits per channel."""
    return bool(node.target in _TRANSPOSED and (len(node.args) <= 6 or node.args[6] == 1))


def _leaves(node: Node) -> bool:
    """Say whether a result becomes outputs of the program and nothing else, in whatever shape: it needs no codes."""
    return all(user.op == "output" or (user.target in _SHAPES and _leaves(user)) for user in node.users)
