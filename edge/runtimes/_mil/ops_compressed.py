"""Compressed constants and quantised values: linear, palettised, sparse, and their combinations.

iOS 16's operators are told apart from iOS 18's of the same name by their parameters.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from edge.runtimes._mil.operators import UnsupportedForm, ints, op
from edge.runtimes._mil.values import STORAGE, unpack_bits


@op("constexpr_cast", widen=False)
def constexpr_cast(source_val: Tensor, output_dtype: str) -> Tensor:
    """Store a constant in fp16 and use it in fp32."""
    return source_val.to(STORAGE[output_dtype])


@op("constexpr_affine_dequantize", widen=False)
def constexpr_affine_dequantize(quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: Tensor) -> Tensor:
    """scale · (data − zero_point), per tensor or along an axis (iOS 16)."""
    return _dequantize(quantized_data, _vector(zero_point, quantized_data, axis), _vector(scale, quantized_data, axis))


def _vector(values: Tensor, data: Tensor, axis: Tensor | None) -> Tensor:
    if values.ndim == 0:
        return values
    shape = [1] * data.ndim
    shape[-1 if axis is None else int(axis)] = values.numel()
    return values.reshape(shape)


def _dequantize(data: Tensor, offset: Tensor | None, scale: Tensor) -> Tensor:
    centred = data.float() if offset is None else data.float() - offset.float()
    return (centred * scale.float()).to(scale.dtype)


@op("constexpr_blockwise_shift_scale", widen=False)
def constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """scale · (data − offset), one scale and offset per block (iOS 18)."""
    return _dequantize(data, None if offset is None else _blocks(offset, data), _blocks(scale, data))


def _blocks(values: Tensor, data: Tensor) -> Tensor:
    for axis, (have, want) in enumerate(zip(values.shape, data.shape, strict=True)):
        values = values.repeat_interleave(want // have, axis)
    return values


@op("constexpr_lut_to_dense", widen=False)
def constexpr_lut_to_dense(
    indices: Tensor, lut: Tensor, shape: Tensor | None = None, vector_axis: Tensor | None = None
) -> Tensor:
    """Look indices up in a palette: one palette of scalars (iOS 16), or palettes of vectors per group (iOS 18)."""
    if shape is None:
        return _look_up(indices, lut, vector_axis)
    sizes = ints(shape)
    bits = int(math.log2(lut.numel()))
    packed = indices.reshape(-1).numpy()
    count = math.prod(sizes)
    if packed.size != -(-count * bits // 8):
        raise ValueError(f"{packed.size} bytes of indices for {count} elements of {bits} bits")
    chosen = torch.from_numpy(unpack_bits(packed.astype(np.uint8), bits, count)).long()
    return lut[chosen].reshape(sizes)


def _look_up(indices: Tensor, lut: Tensor, vector_axis: Tensor | None) -> Tensor:
    *groups, palette, vector = lut.shape
    number = torch.arange(math.prod(groups)).reshape(groups)  # which palette each element uses
    found = lut.reshape(-1, palette, vector)[_blocks(number, indices), indices.long()]  # (*indices, vector)
    if vector == 1:
        return found.squeeze(-1)
    if vector_axis is None:
        raise UnsupportedForm("palettes of vectors without vector_axis")
    axis = int(vector_axis) % indices.ndim
    return found.movedim(-1, axis + 1).flatten(axis, axis + 1)


@op("constexpr_sparse_to_dense", widen=False)
def constexpr_sparse_to_dense(nonzero_data: Tensor, mask: Tensor, shape: Tensor | None = None) -> Tensor:
    """Put values where the mask has ones, zeros elsewhere; the mask is packed (iOS 16) or shaped (iOS 18)."""
    if shape is not None:
        sizes = ints(shape)
        packed = mask.reshape(-1).numpy()
        if packed.size != -(-math.prod(sizes) // 8):
            raise ValueError(f"{packed.size} bytes of mask for {math.prod(sizes)} elements")
        mask = torch.from_numpy(unpack_bits(packed, 1, math.prod(sizes))).reshape(sizes)
    return _scatter(nonzero_data, mask)


def _scatter(values: Tensor, mask: Tensor) -> Tensor:
    chosen = mask != 0
    if int(chosen.sum()) != values.numel():
        raise ValueError(f"{values.numel()} values for {int(chosen.sum())} ones in the mask")
    dense = torch.zeros(mask.shape, dtype=values.dtype)
    dense[chosen] = values.reshape(-1)
    return dense


@op("constexpr_lut_to_sparse", widen=False)
def constexpr_lut_to_sparse(
    indices_mask: Tensor, indices_nonzero_data: Tensor, lut: Tensor, vector_axis: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Look up only the values that a sparse constant keeps; returns the mask and the values (iOS 18)."""
    dense = _look_up(_scatter(indices_nonzero_data, indices_mask), lut, vector_axis)
    mask = indices_mask
    if vector_axis is not None:
        mask = mask.repeat_interleave(lut.shape[-1], int(vector_axis))
    return mask, dense[mask != 0]


@op("constexpr_sparse_blockwise_shift_scale", widen=False)
def constexpr_sparse_blockwise_shift_scale(
    data_mask: Tensor, nonzero_data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Dequantise only the values that a sparse constant keeps; returns the mask and the values (iOS 18)."""
    dense = constexpr_blockwise_shift_scale(_scatter(nonzero_data, data_mask), scale, offset)
    return data_mask, dense[data_mask != 0]


@op("quantize")
def quantize(
    input: Tensor, scale: Tensor, output_dtype: str, zero_point: Tensor | None = None, axis: Tensor | None = None
) -> Tensor:
    """clip(round(input / scale) + zero_point), half to even."""
    limits = {"int8": (-128, 127), "uint8": (0, 255)}
    if output_dtype not in limits:
        raise UnsupportedForm(f"quantize to {output_dtype!r}")
    steps = torch.round(input / _vector(scale, input, axis))
    shifted = steps if zero_point is None else steps + _vector(zero_point, input, axis).float()
    return shifted.clamp(*limits[output_dtype]).to(STORAGE[output_dtype])


@op("dequantize", widen=False)
def dequantize(input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: Tensor | None = None) -> Tensor:
    """scale · (input − zero_point)."""
    offset = None if zero_point is None else _vector(zero_point, input, axis)
    return _dequantize(input, offset, _vector(scale, input, axis))
