"""Moving elements: shapes, slices, padding, concatenation and space-to-depth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.runtimes._mil.operators import UnsupportedForm, flags, ints, op


@op("reshape")
def reshape(x: Tensor, shape: Tensor) -> Tensor:
    """Reshape; 0 keeps an axis and −1 takes what is left."""
    sizes = ints(shape)
    return x.reshape([x.shape[axis] if size == 0 and x.numel() else size for axis, size in enumerate(sizes)])


@op("transpose")
def transpose(x: Tensor, perm: Tensor) -> Tensor:
    """Permute the axes."""
    return x.permute(ints(perm))


@op("expand_dims")
def expand_dims(x: Tensor, axes: Tensor) -> Tensor:
    """Insert axes of size 1 at positions of the result."""
    rank = x.ndim + axes.numel()
    for axis in sorted(position % rank for position in ints(axes)):
        x = x.unsqueeze(axis)
    return x


@op("squeeze")
def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Drop axes of size 1."""
    return x.squeeze() if axes is None else x.squeeze(tuple(ints(axes)))


@op("flatten2d")
def flatten2d(x: Tensor, axis: Tensor | None = None) -> Tensor:
    """Flatten to two axes, split before `axis`."""
    split_at = (1 if axis is None else int(axis)) % (x.ndim + 1)
    return x.reshape(int(torch.tensor(x.shape[:split_at]).prod()), -1)


@op("concat", lists=("values",))
def concat(values: list[Tensor], axis: Tensor, interleave: Tensor | None = None) -> Tensor:
    """Join along an axis, or take elements from each in turn."""
    if interleave is not None and bool(interleave):
        at = int(axis) % values[0].ndim
        return torch.stack(values, dim=at + 1).flatten(at, at + 1)
    return torch.cat(values, dim=int(axis))


@op("stack", lists=("values",))
def stack(values: list[Tensor], axis: Tensor) -> Tensor:
    """Join along a new axis."""
    return torch.stack(values, dim=int(axis))


@op("split")
def split(
    x: Tensor, axis: Tensor, num_splits: Tensor | None = None, split_sizes: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Cut along an axis into equal parts or given sizes."""
    size = x.shape[int(axis)]
    sizes = (
        ints(split_sizes) or [size // int(num_splits)] * int(num_splits)
        if num_splits is not None
        else ints(split_sizes)
    )
    return torch.split(x, sizes, dim=int(axis))


@op("slice_by_index")
def slice_by_index(
    x: Tensor, begin: Tensor, end: Tensor, stride: Tensor | None = None, begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None, squeeze_mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Slice every axis as Python does; a mask opens a bound, a squeezed axis takes one element."""
    first, last, step = ints(begin), ints(end), ints(stride, [1] * x.ndim)
    open_first, open_last, squeezed = (flags(mask, x.ndim) for mask in (begin_mask, end_mask, squeeze_mask))
    for axis in reversed(range(x.ndim)):
        if squeezed[axis]:
            x = x.select(axis, first[axis])
            continue
        bounds = slice(None if open_first[axis] else first[axis], None if open_last[axis] else last[axis], step[axis])
        chosen = range(*bounds.indices(x.shape[axis]))
        if chosen != range(x.shape[axis]):
            x = x.index_select(axis, torch.tensor(list(chosen), dtype=torch.long))
    return x


@op("slice_by_size")
def slice_by_size(x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    """Take `size` elements from `begin` on each axis; −1 takes the rest."""
    for axis, (first, count) in enumerate(zip(ints(begin), ints(size), strict=True)):
        start = first % x.shape[axis] if first < 0 else first
        x = x.narrow(axis, start, x.shape[axis] - start if count == -1 else count)
    return x


@op("pad")
def pad(x: Tensor, pad: Tensor, mode: str = "constant", constant_val: Tensor | None = None) -> Tensor:
    """Pad the last axes by (before, after) pairs with a constant, the mirrored inside or the edge."""
    amounts = ints(pad)
    pairs = list(zip(amounts[0::2], amounts[1::2], strict=True))
    if mode == "constant":
        value = 0.0 if constant_val is None else constant_val.item()
        return F.pad(x, [amount for pair in reversed(pairs) for amount in pair], value=value)
    if mode not in ("reflect", "replicate"):
        raise UnsupportedForm(f"mode {mode!r}")
    for axis, (before, after) in enumerate(pairs, start=x.ndim - len(pairs)):
        size = x.shape[axis]
        positions = torch.arange(-before, size + after)
        if mode == "reflect":
            positions = positions.abs()
            positions = torch.where(positions >= size, 2 * (size - 1) - positions, positions)
        x = x.index_select(axis, positions.clamp(0, size - 1))
    return x


@op("tile")
def tile(x: Tensor, reps: Tensor) -> Tensor:
    """Repeat along every axis."""
    return x.tile(ints(reps))


@op("reverse")
def reverse(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Reverse the order along axes."""
    return x.flip(ints(axes, list(range(x.ndim))))


@op("shape")
def shape(x: Tensor) -> Tensor:
    """Return the shape."""
    return torch.tensor(x.shape, dtype=torch.int32)


@op("depth_to_space")
def depth_to_space(x: Tensor, block_size: Tensor) -> Tensor:
    """Spread channels (block row, block column, channel) over space, as TensorFlow does."""
    n, c, h, w = x.shape
    block = int(block_size)
    cells = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return cells.reshape(n, c // block**2, h * block, w * block)


@op("space_to_depth")
def space_to_depth(x: Tensor, block_size: Tensor) -> Tensor:
    """Gather blocks into channels (block row, block column, channel), as TensorFlow does."""
    n, c, h, w = x.shape
    block = int(block_size)
    cells = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return cells.reshape(n, c * block**2, h // block, w // block)


@op("pixel_shuffle")
def pixel_shuffle(x: Tensor, upscale_factor: Tensor) -> Tensor:
    """Spread channels (channel, block row, block column) over space, as PyTorch does."""
    return F.pixel_shuffle(x, int(upscale_factor))


@op("pixel_unshuffle")
def pixel_unshuffle(x: Tensor, downscale_factor: Tensor) -> Tensor:
    """Gather blocks into channels (channel, block row, block column), as PyTorch does."""
    return F.pixel_unshuffle(x, int(downscale_factor))


@op("fill")
def fill(shape: Tensor, value: Tensor | None = None) -> Tensor:
    """Return a tensor of one value."""
    return torch.full(ints(shape), 0.0) if value is None else value.expand(ints(shape)).clone()


@op("fill_like")
def fill_like(ref_tensor: Tensor, value: Tensor | None = None) -> Tensor:
    """Return a tensor of one value in the shape of another."""
    return torch.full(ref_tensor.shape, 0.0) if value is None else value.expand(ref_tensor.shape).clone()


@op("range_1d")
def range_1d(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """Return evenly spaced numbers in [start, end)."""
    return torch.arange(start.item(), end.item(), step.item(), dtype=start.dtype)
