"""Linear layers and 2D convolutions that learn ternary weights, and become plain layers with exact ones.

    model = ternarize(model)                 # the layers that can bear it; see `default_choice`
    for step in range(steps):
        set_warmup(model, step / (0.4 * steps))
        … train …
    model = freeze(model)                    # plain nn.Linear and nn.Conv2d: export it as any other

A frozen weight is -s, 0 or s in every output channel, bit for bit: `quant.ternary.ternary_of` and every target's
precision `ternary` recognise it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.errors import UsageError
from quant.ternary.rounding import Method, half_scale, round_activations, straight_through, trits_and_scale

Choice = Callable[[str, nn.Module], bool]
AnyModule = TypeVar("AnyModule", bound=nn.Module)
_LEAST_CHANNELS = 32  # a narrower layer holds too little to gain from being ternary


class _Ternary(nn.Module):
    """Hold latent float weights, a learnt scale per output channel, and how far the warm-up is (0 float, 1 ternary)."""

    warmup: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, method: Method, activation_bits: int | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self.activation_bits = activation_bits
        _, scale = trits_and_scale(weight.detach(), method)
        self.scale = nn.Parameter(scale)
        self.register_buffer("warmup", torch.ones(()))

    def effective_weight(self) -> Tensor:
        """Return the weight that is computed with: float at the warm-up's start, ternary at its end."""
        rounded = straight_through(self.weight, self._positive_scale())
        return self.weight + self.warmup * (rounded - self.weight)

    def frozen_weight(self) -> Tensor:
        """Return trits × scale, exact in float32, and in float16 too if that holds numbers of the scale's size."""
        scale = self._positive_scale().detach().float().reshape(-1, *[1] * (self.weight.dim() - 1))
        return (self.weight.detach().float() / scale).clamp(-1, 1).round() * scale

    def _positive_scale(self) -> Tensor:
        positive = self.scale.abs().clamp_min(torch.finfo(torch.float32).tiny)
        return half_scale(positive).detach() + (positive - positive.detach())  # exact, and with a gradient


class TernaryLinear(_Ternary):
    """Compute a linear layer with ternary weights and inputs in 8 bits a token, shapes as nn.Linear's."""

    def __init__(self, plain: nn.Linear, *, method: Method = "twn", activation_bits: int | None = 8) -> None:
        super().__init__(plain.weight, plain.bias, method, activation_bits)

    def forward(self, values: Tensor) -> Tensor:
        """Return the layer's output."""
        if self.activation_bits is not None:
            values = round_activations(values, bits=self.activation_bits, dim=-1)
        return F.linear(values, self.effective_weight(), self.bias)

    def frozen(self) -> nn.Linear:
        """Return the plain layer with the exact ternary weight."""
        outputs, inputs = self.weight.shape
        plain = nn.Linear(inputs, outputs, bias=self.bias is not None)
        return _filled(plain, self.frozen_weight(), self.bias)


class TernaryConv2d(_Ternary):
    """Compute a 2D convolution with ternary weights and inputs in 8 bits, shapes as nn.Conv2d's."""

    def __init__(self, plain: nn.Conv2d, *, method: Method = "twn", activation_bits: int | None = 8) -> None:
        super().__init__(plain.weight, plain.bias, method, activation_bits)
        if plain.padding_mode != "zeros":
            raise UsageError(f"a ternary convolution pads with zeros, not with {plain.padding_mode!r}; pad before it")
        self.stride: Any = plain.stride
        self.dilation: Any = plain.dilation
        self.groups = plain.groups
        self.padding: Any = plain.padding  # numbers, or "same" or "valid"

    def forward(self, values: Tensor) -> Tensor:
        """Return the layer's output."""
        if self.activation_bits is not None:
            values = round_activations(values, bits=self.activation_bits)
        weight = self.effective_weight()
        return F.conv2d(values, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def frozen(self) -> nn.Conv2d:
        """Return the plain layer with the exact ternary weight."""
        outputs, inputs, height, width = self.weight.shape
        plain = nn.Conv2d(
            inputs * self.groups, outputs, (height, width), self.stride, self.padding, self.dilation, self.groups,
            bias=self.bias is not None,
        )  # fmt: skip
        return _filled(plain, self.frozen_weight(), self.bias)


def ternarize(
    module: AnyModule,
    choice: Choice | None = None,
    *,
    method: Method = "twn",
    activation_bits: int | None = 8,
) -> AnyModule:
    """Return a copy whose chosen linear layers and convolutions learn ternary weights.

    Raises UsageError if nothing is chosen.
    """
    changed = copy.deepcopy(module)
    chosen = choice or default_choice(changed)
    count = 0
    for name, part in list(_named_layers(changed)):
        if chosen(name, part):
            kind = TernaryLinear if isinstance(part, nn.Linear) else TernaryConv2d
            _replace(changed, name, kind(part, method=method, activation_bits=activation_bits))  # type: ignore[arg-type]
            count += 1
    if not count:
        raise UsageError(
            f"no layer of {type(module).__name__} was chosen to become ternary: the default leaves the first and last "
            f"layer, depthwise convolutions and those with under {_LEAST_CHANNELS} channels; give a choice of your own"
        )
    return changed


def freeze(module: AnyModule) -> AnyModule:
    """Return a copy in which every ternary layer is a plain one with its exact weight."""
    changed = copy.deepcopy(module)
    for name, part in list(changed.named_modules()):
        if isinstance(part, (TernaryLinear, TernaryConv2d)):
            _replace(changed, name, part.frozen())
    return changed


def set_warmup(module: nn.Module, share: float) -> None:
    """Set how far all ternary layers are: 0 computes with float weights, 1 and more with ternary ones."""
    for part in module.modules():
        if isinstance(part, _Ternary):
            part.warmup.fill_(min(1.0, max(0.0, share)))


def default_choice(module: nn.Module) -> Choice:
    """Return the choice of layers that bear ternary weights.

    All but the first and the last layer in definition order, grouped and depthwise convolutions, and layers with few
    channels on either side (squeeze-and-excitation, narrow projections): these hold few weights and lose most.
    """
    names = [name for name, _ in _named_layers(module)]
    borders = {names[0], names[-1]} if names else set()

    def choice(name: str, part: nn.Module) -> bool:
        if name in borders:
            return False
        if isinstance(part, nn.Conv2d):
            return part.groups == 1 and min(part.in_channels, part.out_channels) >= _LEAST_CHANNELS
        return isinstance(part, nn.Linear) and min(part.in_features, part.out_features) >= _LEAST_CHANNELS

    return choice


def _named_layers(module: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    for name, part in module.named_modules():
        if type(part) in (nn.Linear, nn.Conv2d) and name:
            yield name, part


def _replace(module: nn.Module, name: str, part: nn.Module) -> None:
    owner, _, last = name.rpartition(".")
    part.train(module.get_submodule(name).training)
    setattr(module.get_submodule(owner), last, part)


Plain = TypeVar("Plain", nn.Linear, nn.Conv2d)


def _filled(plain: Plain, weight: Tensor, bias: Tensor | None) -> Plain:
    plain.weight = nn.Parameter(weight)
    if bias is not None:
        plain.bias = nn.Parameter(bias.detach().clone())
    return plain
