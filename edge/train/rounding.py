"""Fake quantization for training: values are rounded to their codes, gradients pass as if they were not."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase

from quant.scheme import Integers

Phase = Literal["float", "measure", "follow", "fixed"]
_LEAK = 0.02  # of the way from a range to a narrower one that an input asks for; a wider one is taken at once
_LEAST_WIDTH = 1e-6


class TensorRounding(FakeQuantizeBase):
    """Round an activation to codes over one range, asymmetric.

    In phase `float` it passes values on, in `measure` as well and widens its range to their extremes; in `follow` it
    rounds and lets the range follow, in `fixed` it only rounds. `least` and `most` bound values first: what reads them
    saturates there.
    """

    low: Tensor
    high: Tensor

    def __init__(self, *, bits: int, least: float | None = None, most: float | None = None, **_: Any) -> None:
        super().__init__()
        self._codes, self._bounds = (1 << bits) - 1, (least, most)
        self.phase: Phase = "float"
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(0.0))

    def forget(self) -> None:
        """Empty the range; it always holds 0, which padding needs exactly."""
        self.low.zero_()
        self.high.zero_()

    def forward(self, values: Tensor) -> Tensor:
        if self.phase == "float":
            return values
        bounded = values if self._bounds == (None, None) else values.clamp(*self._bounds)
        if self.phase != "fixed":
            self._observe(bounded.detach())
        if self.phase == "measure":
            return values
        scale, zero = self.calculate_qparams()
        return torch.fake_quantize_per_tensor_affine(bounded, scale, zero, 0, self._codes)

    @torch.no_grad()
    def _observe(self, values: Tensor) -> None:
        least, most = torch.aminmax(values)
        leak = 0.0 if self.phase == "measure" else _LEAK
        self.low.copy_(torch.minimum(least, torch.lerp(self.low, least, leak)).clamp_max_(0.0))
        self.high.copy_(torch.maximum(most, torch.lerp(self.high, most, leak)).clamp_min_(0.0))

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """Return the step between codes and the code of 0."""
        scale = (self.high - self.low).clamp_min(_LEAST_WIDTH) / self._codes
        return scale, (-self.low / scale).round_().to(torch.int32)


class PerChannelRounding(FakeQuantizeBase):
    """Round weights in `follow` and `fixed` to symmetric codes; one step a channel of `ch_axis`, from its extreme."""

    def __init__(self, *, bits: int, ch_axis: int, **_: Any) -> None:
        super().__init__()
        self._most, self._axis = (1 << (bits - 1)) - 1, ch_axis
        self.phase: Phase = "float"

    def forward(self, weight: Tensor) -> Tensor:
        if self.phase in ("float", "measure"):
            return weight
        others = [axis for axis in range(weight.dim()) if axis != self._axis]
        scale = weight.detach().abs().amax(dim=others).clamp_min_(_LEAST_WIDTH) / self._most
        zeros = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zeros, self._axis, -self._most, self._most)

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        """Refuse: steps are taken from the weights at every use and kept nowhere."""
        raise NotImplementedError("steps of trained weights are not kept; quantize the weights anew")


def rounds_weights(integers: Integers) -> bool:
    """Say whether `PerChannelRounding` makes such integers."""
    return integers.symmetric and integers.granularity == "channel"


def rounds_activations(integers: Integers) -> bool:
    """Say whether `TensorRounding` makes such integers."""
    return not integers.symmetric and integers.granularity == "tensor"


def activations(module: nn.Module) -> dict[str, TensorRounding]:
    """Return the roundings of activations by name."""
    return {name: part for name, part in module.named_modules() if isinstance(part, TensorRounding)}


def set_phase(module: nn.Module, phase: Phase) -> None:
    """Say to every rounding what it does now."""
    for part in module.modules():
        if isinstance(part, FakeQuantizeBase):
            part.phase = phase
