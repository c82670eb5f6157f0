"""Reductions, sorting and gathering."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edge.runtimes._mil.operators import UnsupportedForm, ints, op
from edge.runtimes._mil.values import STORAGE

_REDUCE: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "reduce_mean": lambda x, axes, keep: x.mean(axes, keepdim=keep),
    "reduce_sum": lambda x, axes, keep: x.sum(axes, keepdim=keep, dtype=x.dtype),
    "reduce_max": lambda x, axes, keep: x.amax(axes, keepdim=keep),
    "reduce_min": lambda x, axes, keep: x.amin(axes, keepdim=keep),
    "reduce_sum_square": lambda x, axes, keep: x.square().sum(axes, keepdim=keep, dtype=x.dtype),
    "reduce_l1_norm": lambda x, axes, keep: x.abs().sum(axes, keepdim=keep, dtype=x.dtype),
    "reduce_l2_norm": lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt(),
    "reduce_log_sum": lambda x, axes, keep: x.sum(axes, keepdim=keep).log(),
    "reduce_log_sum_exp": lambda x, axes, keep: x.logsumexp(axes, keepdim=keep),
}


def _reduce(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def compute(x: Tensor, axes: Tensor | None = None, keep_dims: Tensor | None = None) -> Tensor:
        return function(x, ints(axes, list(range(x.ndim))), keep_dims is not None and bool(keep_dims))

    return compute


for _name, _function in _REDUCE.items():
    op(_name)(_reduce(_function))


@op("reduce_prod")
def reduce_prod(x: Tensor, axes: Tensor | None = None, keep_dims: Tensor | None = None) -> Tensor:
    """Multiply along axes."""
    keep = keep_dims is not None and bool(keep_dims)
    for axis in sorted((axis % x.ndim for axis in ints(axes, list(range(x.ndim)))), reverse=True):
        x = x.prod(axis, keepdim=keep, dtype=x.dtype)
    return x


def _positions(found: Tensor, output_dtype: str) -> Tensor:
    if output_dtype not in STORAGE:
        raise UnsupportedForm(f"indices of type {output_dtype!r}")
    return found.to(STORAGE[output_dtype])


@op("reduce_argmax")
def reduce_argmax(
    x: Tensor, axis: Tensor | None = None, keep_dims: Tensor | None = None, output_dtype: str = "int32"
) -> Tensor:
    """Return the position of the largest element."""
    keep = keep_dims is None or bool(keep_dims)
    return _positions(x.argmax(-1 if axis is None else int(axis), keepdim=keep), output_dtype)


@op("reduce_argmin")
def reduce_argmin(
    x: Tensor, axis: Tensor | None = None, keep_dims: Tensor | None = None, output_dtype: str = "int32"
) -> Tensor:
    """Return the position of the smallest element."""
    keep = keep_dims is None or bool(keep_dims)
    return _positions(x.argmin(-1 if axis is None else int(axis), keepdim=keep), output_dtype)


@op("topk")
def topk(
    x: Tensor, k: Tensor | None = None, axis: Tensor | None = None, ascending: Tensor | None = None,
    sort: Tensor | None = None, return_indices: Tensor | None = None, output_indices_dtype: str = "int32",
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return the k largest (or, ascending, smallest) elements and their positions."""
    largest = ascending is None or not bool(ascending)
    values, found = torch.topk(x, 1 if k is None else int(k), -1 if axis is None else int(axis), largest=largest)
    if return_indices is not None and not bool(return_indices):
        return (values,)
    return values, _positions(found, output_indices_dtype)


@op("argsort")
def argsort(
    x: Tensor, axis: Tensor | None = None, ascending: Tensor | None = None, output_dtype: str = "int32"
) -> Tensor:
    """Return the order that sorts an axis."""
    descending = ascending is None or not bool(ascending)
    order = x.argsort(dim=-1 if axis is None else int(axis), descending=descending, stable=True)
    return _positions(order, output_dtype)


@op("cumsum")
def cumsum(
    x: Tensor, axis: Tensor | None = None, exclusive: Tensor | None = None, reverse: Tensor | None = None
) -> Tensor:
    """Sum up along an axis."""
    along = 0 if axis is None else int(axis)
    backwards = reverse is not None and bool(reverse)
    values = x.flip(along) if backwards else x
    total = values.cumsum(along, dtype=x.dtype)
    if exclusive is not None and bool(exclusive):
        total = total - values
    return total.flip(along) if backwards else total


@op("gather")
def gather(
    x: Tensor, indices: Tensor, axis: Tensor | None = None, batch_dims: Tensor | None = None,
    validate_indices: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Take slices along an axis; negative indices count from the end."""
    if batch_dims is not None and int(batch_dims) != 0:
        raise UnsupportedForm(f"batch_dims {int(batch_dims)}")
    along = (0 if axis is None else int(axis)) % x.ndim
    flat = _wrap(indices, x.shape[along]).reshape(-1)
    return x.index_select(along, flat).reshape(*x.shape[:along], *indices.shape, *x.shape[along + 1 :])


@op("gather_along_axis")
def gather_along_axis(
    x: Tensor, indices: Tensor, axis: Tensor | None = None, validate_indices: Tensor | None = None
) -> Tensor:
    """Take single elements along an axis, as torch.gather does."""
    along = (0 if axis is None else int(axis)) % x.ndim
    return torch.gather(x, along, _wrap(indices, x.shape[along]))


@op("gather_nd")
def gather_nd(
    x: Tensor, indices: Tensor, batch_dims: Tensor | None = None, validate_indices: Tensor | None = None
) -> Tensor:
    """Take the slices that the last axis of `indices` addresses."""
    if batch_dims is not None and int(batch_dims) != 0:
        raise UnsupportedForm(f"batch_dims {int(batch_dims)}")
    return x[tuple(_wrap(part, x.shape[axis]) for axis, part in enumerate(indices.unbind(-1)))]


def _wrap(indices: Tensor, size: int) -> Tensor:
    found = indices.long()
    return torch.where(found < 0, found + size, found)


@op("one_hot")
def one_hot(
    indices: Tensor, one_hot_vector_size: Tensor, axis: Tensor | None = None, on_value: Tensor | None = None,
    off_value: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Mark each index on a new axis."""
    on = torch.tensor(1, dtype=torch.int32) if on_value is None else on_value
    off = torch.tensor(0, dtype=torch.int32) if off_value is None else off_value
    hit = indices.unsqueeze(-1) == torch.arange(int(one_hot_vector_size))
    along = -1 if axis is None else int(axis)
    return torch.where(hit, on, off).movedim(-1, along)


@op("band_part")
def band_part(x: Tensor, lower: Tensor | None = None, upper: Tensor | None = None) -> Tensor:
    """Keep a band around the diagonal of the last two axes; −1 keeps a whole side."""
    below, above = (-1 if side is None else int(side) for side in (lower, upper))
    x = x if above < 0 else x.tril(above)
    return x if below < 0 else x.triu(-below)
