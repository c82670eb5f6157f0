"""Convolution, pooling, matrix products and normalisation."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.runtimes._mil.operators import UnsupportedForm, ints, op

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}

Pads = list[tuple[int, int]]  # (before, after) for each spatial axis


def spatial_pads(pad_type: str, pad: Tensor | None, sizes: list[int], kernel: list[int], strides: list[int]) -> Pads:
    """Return the padding of a window of (dilated) size `kernel`.

    `same` makes ceil(size / stride) positions and puts an odd element last, `same_lower` first, as TensorFlow does.
    """
    if pad_type == "valid":
        return [(0, 0)] * len(sizes)
    if pad_type == "custom":
        flat = ints(pad, [0] * 2 * len(sizes))
        return list(zip(flat[0::2], flat[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise UnsupportedForm(f"pad_type {pad_type!r}")
    pads: Pads = []
    for size, window, stride in zip(sizes, kernel, strides, strict=True):
        total = max(0, (math.ceil(size / stride) - 1) * stride + window - size)
        less, more = total // 2, total - total // 2
        pads.append((less, more) if pad_type == "same" else (more, less))
    return pads


def pad_spatial(x: Tensor, pads: Pads, value: float = 0.0) -> Tensor:
    """Pad the last axes with a constant; negative padding crops."""
    return F.pad(x, [amount for pair in reversed(pads) for amount in pair], value=value)


def _dilated(kernel: list[int], dilations: list[int]) -> list[int]:
    return [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]


@op("conv")
def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, strides: Tensor | None = None, pad_type: str = "valid",
    pad: Tensor | None = None, dilations: Tensor | None = None, groups: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Cross-correlate x (N, C, spatial) with weight (O, C / groups, kernel)."""
    axes = x.ndim - 2
    stride, dilation = ints(strides, [1] * axes), ints(dilations, [1] * axes)
    window = _dilated(list(weight.shape[2:]), dilation)
    pads = spatial_pads(pad_type, pad, list(x.shape[2:]), window, stride)
    return _CONV[axes](
        pad_spatial(x, pads), weight, bias, stride, 0, dilation, 1 if groups is None else int(groups)
    )  # fmt: skip


@op("conv_transpose")
def conv_transpose(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, pad: Tensor | None = None,
    output_shape: Tensor | None = None, pad_type: str = "valid", strides: Tensor | None = None,
    dilations: Tensor | None = None, groups: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Scatter x (N, C, spatial) through weight (C, O / groups, kernel), then crop `pad` and add the bias."""
    axes = x.ndim - 2
    stride, dilation = ints(strides, [1] * axes), ints(dilations, [1] * axes)
    whole = _CONV_TRANSPOSE[axes](x, weight, None, stride, 0, 0, 1 if groups is None else int(groups), dilation)
    full = list(whole.shape[2:])
    if pad_type == "same":
        wanted = ints(output_shape)[-axes:] or [size * step for size, step in zip(x.shape[2:], stride, strict=True)]
        before = [(have - want) // 2 for have, want in zip(full, wanted, strict=True)]
    else:
        pads = spatial_pads(pad_type, pad, full, full, stride)
        before = [first for first, _ in pads]
        cropped = [have - sum(pair) for have, pair in zip(full, pads, strict=True)]
        wanted = ints(output_shape)[-axes:] or cropped
    crops = [(-first, want + first - have) for first, want, have in zip(before, wanted, full, strict=True)]
    y = pad_spatial(whole, crops)
    return y if bias is None else y + bias.reshape(-1, *[1] * axes)


def _pool_pads(
    x: Tensor, kernel: list[int], stride: list[int], pad_type: str, pad: Tensor | None, ceil_mode: Tensor | None
) -> tuple[Pads, Pads]:
    """Return the declared padding, and the extra padding at the end that ceil_mode implies (PyTorch's rule)."""
    sizes = list(x.shape[2:])
    pads = spatial_pads(pad_type, pad, sizes, kernel, stride)
    extra: Pads = [(0, 0)] * len(sizes)
    if ceil_mode is not None and bool(ceil_mode):
        for axis, (size, window, step, (first, last)) in enumerate(zip(sizes, kernel, stride, pads, strict=True)):
            count = math.ceil((size + first + last - window) / step) + 1
            if (count - 1) * step >= size + first:  # a window must start inside the input or the padding before it
                count -= 1
            extra[axis] = (0, max(0, (count - 1) * step + window - size - first - last))
    return pads, extra


@op("avg_pool")
def avg_pool(
    x: Tensor, kernel_sizes: Tensor, strides: Tensor | None = None, pad_type: str = "valid", pad: Tensor | None = None,
    exclude_padding_from_average: Tensor | None = None, ceil_mode: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Average windows; padding counts as zeros unless it is excluded."""
    kernel = ints(kernel_sizes)
    stride = ints(strides, [1] * len(kernel))
    pads, extra = _pool_pads(x, kernel, stride, pad_type, pad, ceil_mode)
    pool = _AVG_POOL[len(kernel)]
    exclude = exclude_padding_from_average is not None and bool(exclude_padding_from_average)
    counted = pad_spatial(torch.ones_like(x[:1, :1]), pads, value=0.0 if exclude else 1.0)
    return pool(pad_spatial(pad_spatial(x, pads), extra), kernel, stride) / pool(
        pad_spatial(counted, extra), kernel, stride
    )


@op("max_pool")
def max_pool(
    x: Tensor, kernel_sizes: Tensor, strides: Tensor | None = None, pad_type: str = "valid", pad: Tensor | None = None,
    ceil_mode: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Take each window's largest element; padding never wins."""
    kernel = ints(kernel_sizes)
    stride = ints(strides, [1] * len(kernel))
    pads, extra = _pool_pads(x, kernel, stride, pad_type, pad, ceil_mode)
    padded = pad_spatial(pad_spatial(x, pads, -math.inf), extra, -math.inf)
    return _MAX_POOL[len(kernel)](padded, kernel, stride)


@op("linear")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x · weightᵀ + bias with weight (out, in)."""
    return F.linear(x, weight, bias)


@op("matmul")
def matmul(x: Tensor, y: Tensor, transpose_x: Tensor | None = None, transpose_y: Tensor | None = None) -> Tensor:
    """Batched matrix product."""
    left = x.mT if transpose_x is not None and bool(transpose_x) and x.ndim > 1 else x
    right = y.mT if transpose_y is not None and bool(transpose_y) and y.ndim > 1 else y
    return torch.matmul(left, right)


@op("einsum", lists=("values",))
def einsum(values: list[Tensor], equation: str) -> Tensor:
    """Einstein summation."""
    return torch.einsum(equation.replace(" ", ""), *values)


@op("scaled_dot_product_attention")
def attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """softmax(query · keyᵀ / sqrt(E) + mask) · value."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask)


@op("batch_norm")
def batch_norm(
    x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None,
    epsilon: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """(x − mean) / sqrt(variance + epsilon) · gamma + beta per channel (axis 1)."""
    return F.batch_norm(x, mean, variance, gamma, beta, False, 0.0, 1e-5 if epsilon is None else float(epsilon))


@op("instance_norm")
def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: Tensor | None = None
) -> Tensor:
    """Normalise every channel of every sample over its spatial axes."""
    return _normalise(x, list(range(2, x.ndim)), gamma, beta, epsilon, (-1, *[1] * (x.ndim - 2)))


@op("layer_norm")
def layer_norm(
    x: Tensor, axes: Tensor | None = None, gamma: Tensor | None = None, beta: Tensor | None = None,
    epsilon: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Normalise over `axes`; gamma and beta have the shape of those axes."""
    chosen = sorted(axis % x.ndim for axis in ints(axes, list(range(x.ndim))))
    return _normalise(x, chosen, gamma, beta, epsilon, tuple(x.shape[i] if i in chosen else 1 for i in range(x.ndim)))


def _normalise(
    x: Tensor,
    axes: list[int],
    gamma: Tensor | None,
    beta: Tensor | None,
    epsilon: Tensor | None,
    shape: tuple[int, ...],
) -> Tensor:
    variance, mean = torch.var_mean(x, dim=axes, correction=0, keepdim=True)
    y = (x - mean) * torch.rsqrt(variance + (1e-5 if epsilon is None else float(epsilon)))
    y = y if gamma is None else y * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


@op("l2_norm")
def l2_norm(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """x / sqrt(Σ x² + epsilon) over the last three axes."""
    total = x.square().sum(dim=(-3, -2, -1), keepdim=True)
    return x * torch.rsqrt(total + (1e-6 if epsilon is None else float(epsilon)))
