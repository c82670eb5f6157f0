"""Float weights → trits and scales, with gradients that pass: what training with ternary weights is made of."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Method = Literal["absmean", "twn"]
METHODS: tuple[Method, ...] = ("absmean", "twn")
_THRESHOLD = 0.7  # of the mean magnitude
_LEAST_SCALE = 1e-12


def trits_and_scale(weight: Tensor, method: Method = "twn", *, axis: int = 0) -> tuple[Tensor, Tensor]:
    """Return a weight's trits, in its shape, and one positive scale per output channel (out,), both in its dtype.

    `absmean` rounds to multiples of the mean magnitude (Ma et al., The Era of 1-bit LLMs, 2024, arXiv:2402.17764,
    there per tensor). `twn` cuts at 0.7 of it and takes the mean magnitude of what is left, which is near the least
    squared error (Li et al., Ternary Weight Networks, 2016, arXiv:1605.04711).
    """
    others = [dimension for dimension in range(weight.dim()) if dimension != axis]
    size = weight.abs()
    mean = size.mean(dim=others, keepdim=True).clamp_min(_LEAST_SCALE)
    if method == "absmean":
        return (weight / mean).round().clamp(-1, 1), mean.flatten()
    kept = size > _THRESHOLD * mean
    trits = torch.where(kept, weight.sign(), torch.zeros_like(weight))
    count = kept.sum(dim=others, keepdim=True)
    left = (size * kept).sum(dim=others, keepdim=True) / count.clamp_min(1)
    return trits, torch.where(count > 0, left, mean).flatten()


def half_scale(scale: Tensor) -> Tensor:
    """Return scales rounded to float16 where that holds them: who computes in float16 then has the weight exactly."""
    rounded = scale.to(torch.float16).to(scale.dtype)
    return torch.where(rounded.isfinite() & (rounded > 0), rounded, scale)


def straight_through(weight: Tensor, scale: Tensor, *, axis: int = 0) -> Tensor:
    """Return scale × trits of a weight whose trits are its nearest multiples of the scale (out,).

    Gradients reach weights that are not cut off as if nothing were rounded, and the scale as in Esser et al., Learned
    Step Size Quantization, 2020 (arXiv:1902.08153), with three levels.
    """
    aligned = scale.reshape([-1 if dimension == axis else 1 for dimension in range(weight.dim())])
    bounded = (weight / aligned).clamp(-1, 1)
    return (bounded + (bounded.round() - bounded).detach()) * aligned


def round_activations(values: Tensor, *, bits: int = 8, dim: int | None = None) -> Tensor:
    """Return values rounded to symmetric integers over their largest magnitude, along `dim` or of them all.

    Gradients pass as if nothing were rounded.
    """
    most = (1 << (bits - 1)) - 1
    detached = values.detach().abs()
    peak = detached.amax() if dim is None else detached.amax(dim=dim, keepdim=True)
    step = peak.clamp_min(_LEAST_SCALE) / most
    return values + ((values / step).round() * step - values).detach()
