"""Ternary weights in the student's graph: which layers get them, how they set in, and what is written at the end.

A layer stands on a rung: the largest code of its weights. All begin as ternary; `edge.train.ladder` puts those that
cost too much on 4 bits and then on 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

from convert.passes._rewrite import aten
from edge.errors import Refused
from edge.train.rounding import Phase
from quant.ternary.rounding import half_scale, trits_and_scale

LEAST_CHANNELS = 32  # a narrower layer holds too few weights to gain, and loses most
RUNGS = {1: "ternary", 7: "int4", 127: "int8"}  # the largest code and what its weights are called
_CONVOLUTIONS = (aten.conv2d.default, aten.conv2d.padding)
_LAYERS = (*_CONVOLUTIONS, aten.linear.default)
_LEAST_FACTOR = 1e-20


class TernaryRounding(FakeQuantizeBase):
    """Move weights towards codes × scale; gradients pass as if they were not moved (Ma et al., 2024, section 2).

    `share` of the way in phase `follow`, all of it in `fixed`, none before. The scales follow from the weights.
    """

    most: Tensor

    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.phase: Phase = "float"
        self.share = 1.0
        self.register_buffer("most", torch.tensor(1))  # the rung; kept with the state that a training resumes from

    @property
    def rung(self) -> int:
        """Return the largest code."""
        return int(self.most)

    def forward(self, weight: Tensor) -> Tensor:
        share = {"follow": self.share, "fixed": 1.0}.get(self.phase, 0.0)
        return weight + share * (coded(weight, self.rung) - weight.detach()) if share else weight

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """Refuse: scales are taken from the weights at every use and kept nowhere."""
        raise NotImplementedError("scales of ternary weights are not kept; take them from the weights")


def coded(weight: Tensor, rung: int) -> Tensor:
    """Return the nearest weight of codes up to `rung` times a scale per output channel; without gradients."""
    with torch.no_grad():
        codes, scale = codes_and_scale(weight, rung)
        return codes * half_scale(scale).reshape(-1, *[1] * (weight.dim() - 1))


def codes_and_scale(weight: Tensor, rung: int) -> tuple[Tensor, Tensor]:
    """Return codes in the weight's shape, -rung to rung, and one positive scale per output channel (out,)."""
    if rung == 1:
        return trits_and_scale(weight)
    scale = weight.abs().amax(dim=list(range(1, weight.dim()))).clamp_min(_LEAST_FACTOR) / rung
    codes = (weight / scale.reshape(-1, *[1] * (weight.dim() - 1))).round().clamp(-rung, rung)
    return codes, scale


class TernaryQuantizer(Quantizer):
    """Annotate the weights of layers that bear it; everything else stays in float.

    These are linear layers and ungrouped convolutions with at least 32 channels on either side, but for the first and
    the last layer with weights. Raises Refused if there is none.
    """

    def annotate(self, model: GraphModule) -> GraphModule:
        """Say which weights become ternary."""
        layers = [node for node in model.graph.nodes if node.op == "call_function" and node.target in _LAYERS]
        chosen = [node for node in layers[1:-1] if _bears(node)]
        if not chosen:
            raise Refused(
                f"none of {len(layers)} layers bears ternary weights: linear layers and ungrouped convolutions between "
                f"the first and the last layer with {LEAST_CHANNELS} channels and more on either side do; use --qat"
            )
        for node in chosen:
            spec = QuantizationSpec(torch.int8, TernaryRounding)
            node.meta["quantization_annotation"] = QuantizationAnnotation({node.args[1]: spec}, _annotated=True)
        return model

    def validate(self, model: GraphModule) -> None:
        """Accept every graph: what is not annotated stays in float."""


def _bears(node: Node) -> bool:
    weight: Any = node.args[1]
    if not isinstance(weight, Node) or "val" not in weight.meta:
        return False
    groups = node.args[6] if node.target in _CONVOLUTIONS and len(node.args) > 6 else 1
    outputs, inputs = weight.meta["val"].shape[:2]
    return bool(groups == 1 and min(outputs, inputs) >= LEAST_CHANNELS)


def roundings(student: nn.Module) -> list[TernaryRounding]:
    """Return the roundings of ternary weights."""
    return [part for part in student.modules() if isinstance(part, TernaryRounding)]


def set_share(student: nn.Module, share: float) -> None:
    """Say how far rounding has set in, 0 to 1."""
    for part in roundings(student):
        part.share = share


def rung_sizes(student: GraphModule) -> dict[str, int]:
    """Return how many weights stand on each rung that is in use, by its name."""
    found: dict[str, int] = {}
    for part, weight in _rounded(student):
        found[RUNGS[part.rung]] = found.get(RUNGS[part.rung], 0) + weight.numel()
    return found


def _rounded(student: GraphModule) -> Iterator[tuple[TernaryRounding, Tensor]]:
    """Yield every rounding with the parameter that it is of."""
    for node in student.graph.nodes:
        part = student.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(part, TernaryRounding):
            yield part, student.get_parameter(_source(student, node.args[0])[0])


def frozen_weights(student: GraphModule) -> dict[str, Tensor]:
    """Return the exact rounded weights of the parameters that roundings are of, by parameter.

    A parameter that is multiplied by a factor a channel before it is rounded, as folded batch normalisation does,
    becomes ternary itself: folding it again leaves the same trits.
    """
    found: dict[str, Tensor] = {}
    for node in student.graph.nodes:
        part = student.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(part, TernaryRounding):
            parameter, factors = _source(student, node.args[0])
            weight = student.get_parameter(parameter).detach()
            found[parameter] = _unfolded(weight, factors, part.rung)
    return found


def _unfolded(weight: Tensor, factors: Tensor | None, rung: int) -> Tensor:
    """Return the rounded weight whose product with the factors is that of weight × factors."""
    aligned = None if factors is None else factors.reshape(-1, *[1] * (weight.dim() - 1))
    codes, scale = codes_and_scale(weight if aligned is None else weight * aligned, rung)
    if factors is None or aligned is None:
        return codes * half_scale(scale).reshape(-1, *[1] * (weight.dim() - 1))
    magnitude = scale / factors.abs().clamp_min(_LEAST_FACTOR)
    return codes * aligned.sign() * magnitude.reshape(aligned.shape)


def _source(student: GraphModule, node: Any) -> tuple[str, Tensor | None]:
    """Return the parameter that a weight comes from, and the factor a channel that it is multiplied by."""
    if node.op == "get_attr":
        return str(node.target), None
    parameter, factor = node.args
    return str(parameter.target), _evaluate(student, factor).flatten()


def _evaluate(student: GraphModule, node: Any) -> Tensor:
    """Return the value of what is computed from constants alone."""
    if node.op == "get_attr":
        owner, _, name = str(node.target).rpartition(".")
        value: Tensor = getattr(student.get_submodule(owner), name)
        return value.detach()
    arguments = [_evaluate(student, item) if isinstance(item, Node) else item for item in node.args]
    result: Tensor = node.target(*arguments, **node.kwargs)
    return result
