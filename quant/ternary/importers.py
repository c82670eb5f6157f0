"""Ternary weights as other trainers write them → the canonical tensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant.ternary.tensor import NotTernary, TernaryTensor, ternary_of

_TRITS_A_BYTE = 4


def from_bitnet(packed: ArrayLike, weight_scale: ArrayLike, *, out_features: int | None = None) -> TernaryTensor:
    """Return the weight of a packed BitNet b1.58 layer as Hugging Face's transformers writes it.

    `packed` are uint8 (ceil(out / 4), in): bits 2i and 2i + 1 of row r hold the trit of output i · ceil(out / 4) + r,
    plus one. `weight_scale` is the reciprocal of the weights' size, one number or one an output; its layers divide by
    it. Raises NotTernary for the code 3, a scale that is not positive and finite, or shapes that do not fit.
    """
    codes = np.asarray(packed)
    if codes.dtype != np.uint8 or codes.ndim != 2:
        raise NotTernary(f"packed BitNet weights are uint8 of shape (out / 4, in), not {codes.dtype} of {codes.shape}")
    rows = _TRITS_A_BYTE * len(codes)
    outputs = rows if out_features is None else out_features
    if not rows - _TRITS_A_BYTE < outputs <= rows:
        raise NotTernary(f"{len(codes)} packed rows hold {rows - 3} to {rows} outputs, not {outputs}")
    digits = np.concatenate([(codes >> (2 * place)) & 3 for place in range(_TRITS_A_BYTE)])[:outputs]
    if (digits > 2).any():
        raise NotTernary("the code 3 is in the packed weights, which is no trit: they are of another format or damaged")
    return TernaryTensor(digits.astype(np.int8) - np.int8(1), _reciprocal(weight_scale, outputs))


def _reciprocal(weight_scale: ArrayLike, outputs: int) -> NDArray[np.float32]:
    given = np.asarray(weight_scale, np.float64).reshape(-1)
    if len(given) not in (1, outputs) or not (np.isfinite(given) & (given > 0)).all():
        raise NotTernary(
            f"weight_scale holds {len(given)} numbers from {given.min(initial=np.inf):g}; expected one positive "
            f"number, or one for each of {outputs} outputs"
        )
    return np.broadcast_to(1.0 / given, (outputs,)).astype(np.float32)


def from_bitnet_latent(weight: ArrayLike) -> TernaryTensor:
    """Return the ternary weight that a BitNet b1.58 layer computes with, of its latent float weight (out, in).

    The scale is the mean magnitude of the whole tensor (arXiv:2402.17764, equations 1 to 3).
    """
    latent = np.asarray(weight, np.float32)
    scale = np.maximum(np.abs(latent).mean(dtype=np.float64), 1e-5).astype(np.float32)
    trits = np.clip(np.rint(latent / scale), -1, 1).astype(np.int8)
    return TernaryTensor(trits, np.full(len(latent), scale, np.float32))


def from_paretoq(weight: ArrayLike, clip: ArrayLike) -> TernaryTensor:
    """Return the ternary weight that a ParetoQ layer (1.58 bits) computes with, of its latent weight and clip values.

    The levels are -2/3, 0 and 2/3 of each output's clip value α: round(1.5 · clamp(w / α, -0.99, 0.99)) / 1.5 · α
    (Liu et al., ParetoQ, 2025, arXiv:2502.02631), so the scale is 2α/3.
    """
    latent, alpha = np.asarray(weight, np.float32), np.asarray(clip, np.float32).reshape(-1)
    if alpha.shape != (len(latent),) or not (np.isfinite(alpha) & (alpha > 0)).all():
        raise NotTernary(f"ParetoQ's clip values are one positive number for each of {len(latent)} outputs")
    relative = latent.reshape(len(latent), -1) / alpha[:, None]
    trits = np.rint(1.5 * np.clip(relative, -0.99, 0.99)).astype(np.int8)
    return TernaryTensor(trits.reshape(latent.shape), (alpha * np.float32(2) / np.float32(3)).astype(np.float32))


__all__ = ["from_bitnet", "from_bitnet_latent", "from_paretoq", "ternary_of"]
