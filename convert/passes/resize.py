"""Resizes in the forms that runtimes compute as PyTorch does.

Every resize is linear and works on one axis after the other, so its weights along an axis are found by resizing unit
vectors. Executed (QNN on its emulator): LiteRT and QNN take the ratio of the sizes where PyTorch takes the stated scale
factor (7 rows times 1.5 are 10 rows, 1.43 times as many); both shift nearest neighbours by half a pixel, which shows
unless the factor is a whole number; neither has antialiased resizes.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from convert.passes._rewrite import Conv, add_constant, argument, aten, calls, insert, replace_node, shape, write_conv

_BILINEAR, _NEAREST = aten.upsample_bilinear2d.vec, aten.upsample_nearest2d.vec
_EXACT = aten._upsample_nearest_exact2d.vec
_SMOOTH = (
    _BILINEAR, aten.upsample_bicubic2d.vec, aten._upsample_bilinear2d_aa.vec, aten._upsample_bicubic2d_aa.vec,
)  # fmt: skip
_CLOSE = 1e-6  # weights along an axis that differ by less are the same


def simplify_resizes(module: GraphModule) -> int:
    """Drop resizes that change nothing, and write as bilinear or nearest what is no more."""
    count = 0
    for node in calls(module, *_SMOOTH, _NEAREST, _EXACT):
        source = node.args[0]
        if not _is_resize(node):
            continue
        rows, columns = axis_weights(node, 2), axis_weights(node, 3)
        with module.graph.inserting_before(node):
            new = _simpler(module, node, rows, columns)
        if new is None or (new is source and source.op != "call_function" and _is_output(node)):
            continue
        replace_node(node, new)
        count += 1
    return count


def resize_by_products(module: GraphModule) -> int:
    """Write antialiased resizes, and bilinear ones with a factor that sizes round, as products along each axis."""
    smooth = calls(module, _BILINEAR, aten._upsample_bilinear2d_aa.vec, aten._upsample_bicubic2d_aa.vec)
    return _by_products(module, [node for node in smooth if not _is_plain(node)])


def bicubic_by_products(module: GraphModule) -> int:
    """Write bicubic resizes as products with the weights along each axis."""
    return _by_products(module, calls(module, aten.upsample_bicubic2d.vec))


def vela_by_products(module: GraphModule) -> int:
    """Write resizes that Vela 5.2 refuses as products: fully connected layers and transposes it takes.

    It takes single pixels, nearest upsampling by 2, 4 or 8, half-pixel bilinear by 2 and aligned bilinear by 2, 4 or 8
    of the distances between pixels. `resize_by_convolution` has dealt with other whole factors, for less work.
    """
    return _by_products(module, [node for node in calls(module, *_SMOOTH, _NEAREST, _EXACT) if not _vela_takes(node)])


def _vela_takes(node: Any) -> bool:
    before, after = shape(node.args[0])[2:], shape(node)[2:]
    if before == (1, 1):
        return node.target in (_BILINEAR, _NEAREST)
    if node.target is _BILINEAR and node.args[2]:
        spans = [((out - 1) / (size - 1) if size > 1 else 0) for size, out in zip(before, after, strict=True)]
        return spans[0] == spans[1] and spans[0] in (2, 4, 8)
    factors = [out / size for size, out in zip(before, after, strict=True)]
    known = {_BILINEAR: (2,), _NEAREST: (2, 4, 8)}.get(node.target, ())
    return factors[0] == factors[1] and factors[0] in known


def _by_products(module: GraphModule, nodes: list[Any]) -> int:
    nodes = [node for node in nodes if _is_resize(node)]
    for node in nodes:
        replace_node(node, products(module, node, axis_weights(node, 2), axis_weights(node, 3)))
    return len(nodes)


def products(module: GraphModule, node: Any, rows: Tensor, columns: Tensor) -> Any:
    """Insert rows · x · columnsᵀ before a node, x its first argument (N, C, H, W), and return it."""
    value = node.args[0]
    with module.graph.inserting_before(node):
        if not same(columns, torch.eye(columns.shape[1])):
            value = insert(module, aten.linear.default, (value, add_constant(module, columns)))
        if not same(rows, torch.eye(rows.shape[1])):
            turned = insert(module, aten.transpose.int, (value, 2, 3))
            product = insert(module, aten.linear.default, (turned, add_constant(module, rows)))
            value = insert(module, aten.transpose.int, (product, 2, 3))
    return value


def resize_by_selection(module: GraphModule) -> int:
    """Write nearest-neighbour resizes other than by whole factors as a choice of rows and of columns."""
    count = 0
    for node in calls(module, _NEAREST, _EXACT):
        if not _is_resize(node):
            continue
        chosen = [axis_weights(node, axis).argmax(1).tolist() for axis in (2, 3)]
        if all(_repeats(indices, size) for indices, size in zip(chosen, shape(node.args[0])[2:], strict=True)):
            continue
        with module.graph.inserting_before(node):
            value = node.args[0]
            for axis, indices in zip((2, 3), chosen, strict=True):
                value = _selection(module, value, indices, axis, shape(node.args[0])[axis])
        replace_node(node, value)
        count += 1
    return count


def resize_by_convolution(module: GraphModule) -> int:
    """Write bilinear upsampling by whole factors other than 2 as nearest upsampling and two depthwise convolutions.

    Half-pixel bilinear weights are a triangle; that is a box, which repeats pixels, under another box of the same
    width (with an even factor, one of factor + 1 taps whose ends count half). The edge is repeated beforehand, as
    bilinear upsampling does. Nearest upsampling is done by factors of 8, 4 and 2 where it can be.
    """
    count = 0
    for node in calls(module, _BILINEAR):
        sizes, wanted = shape(node.args[0])[2:], shape(node)[2:]
        factors = [out // size for size, out in zip(sizes, wanted, strict=True)]
        whole = all(size * factor == out for size, factor, out in zip(sizes, factors, wanted, strict=True))
        if not _is_resize(node) or not whole or argument(node, 2, "align_corners") or not _is_plain(node):
            continue
        if factors[0] != factors[1] or factors[0] < 3 or min(sizes) < 2:
            continue
        replace_node(node, _smoothed(module, node, factors[0]))
        count += 1
    return count


def axis_weights(node: Any, axis: int) -> Tensor:
    """Return the weights (out, in) with which a resize makes an axis; computed by the operator itself."""
    size, align = shape(node.args[0])[axis], node.args[2:3] if node.target in _SMOOTH else ()
    units = torch.eye(size).reshape(1, 1, size, size)  # resized along its rows alone
    scales = _scales(node)
    if scales is None:
        arguments: tuple[Any, ...] = ([shape(node)[axis], size], *align, None)
    else:
        arguments = (None, *align, [float(scales[axis - 2]), 1.0])
    weights: Tensor = node.target(units, *arguments)
    return weights[0, 0]


def _scales(node: Any) -> Any:
    return argument(node, 3 if node.target in _SMOOTH else 2, "scale_factors")


def _is_resize(node: Any) -> bool:
    return isinstance(node.args[0], Node) and len(shape(node)) == 4 and node.meta["val"].dtype is torch.float32


def _is_output(node: Any) -> bool:
    return any(user.op == "output" for user in node.users)


def _is_plain(node: Any) -> bool:
    """Tell whether a resize is bilinear by the ratio of the sizes, which runtimes have."""
    if node.target is not _BILINEAR:
        return False
    scales = _scales(node)
    if scales is None or node.args[2]:
        return True  # aligned corners take no scale
    sizes = zip(shape(node.args[0])[2:], shape(node)[2:], scales, strict=True)
    return all(abs(size * scale - out) < _CLOSE for size, out, scale in sizes)


def _simpler(module: GraphModule, node: Any, rows: Tensor, columns: Tensor) -> Any:
    """Insert a simpler operator with the same weights and return it, or None."""
    source, size = node.args[0], list(shape(node)[2:])
    if same(rows, torch.eye(rows.shape[1])) and same(columns, torch.eye(columns.shape[1])):
        return source
    if node.target is _NEAREST or _is_plain(node):
        return None
    for target, arguments in ((_NEAREST, (size, None)), (_BILINEAR, (size, False, None))):
        new = insert(module, target, (source, *arguments))
        new.meta["val"] = node.meta["val"]
        if same(rows, axis_weights(new, 2)) and same(columns, axis_weights(new, 3)):
            return new
        module.graph.erase_node(new)
    return None


def same(first: Tensor, second: Tensor) -> bool:
    """Tell whether two matrices of weights are the same up to rounding."""
    return first.shape == second.shape and bool((first - second).abs().max() <= _CLOSE)


def _repeats(indices: list[int], size: int) -> bool:
    """Tell whether indices repeat every pixel equally often."""
    return indices == [i * size // len(indices) for i in range(len(indices))] and len(indices) % size == 0


def _selection(module: GraphModule, value: Any, indices: list[int], axis: int, size: int) -> Any:
    steps = {after - before for before, after in itertools.pairwise(indices)} or {1}
    if len(steps) == 1 and (step := steps.pop()) > 0:
        if indices == list(range(size)):
            return value
        return insert(module, aten.slice.Tensor, (value, axis, indices[0], indices[-1] + 1, step))
    places = add_constant(module, torch.tensor(indices, dtype=torch.int32))  # NPUs have no int64
    return insert(module, aten.index_select.default, (value, axis, places))


def _smoothed(module: GraphModule, node: Any, factor: int) -> Any:
    """Insert edge repetition, nearest upsampling and the two convolutions before a node."""
    source: Any = node.args[0]
    channels, sizes = shape(source)[1], [size + 2 for size in shape(source)[2:]]
    with module.graph.inserting_before(node):
        for axis in (2, 3):
            last = shape(node.args[0])[axis] - 1
            ends = [insert(module, aten.slice.Tensor, (source, axis, i, i + 1)) for i in (0, last)]
            source = insert(module, aten.cat.default, ([ends[0], source, ends[1]], axis))
        left = factor
        while left > 1:
            step = next((step for step in (8, 4, 2) if left % step == 0), left)
            left, sizes = left // step, [size * step for size in sizes]
            source = insert(module, _NEAREST, (source, list(sizes), None))
    taps = torch.full((factor + 1 - factor % 2,), 1.0 / factor)
    if factor % 2 == 0:
        taps[0] = taps[-1] = 0.5 / factor
    for kernel in ((-1, 1), (1, -1)):
        weight = taps.reshape(1, 1, *kernel).expand(channels, 1, *(s if s > 0 else len(taps) for s in kernel))
        source = write_conv(module, source, Conv(weight, None, groups=channels), node)
    crop = (sizes[0] - len(taps) + 1 - shape(node)[2]) // 2
    with module.graph.inserting_before(node):
        for axis in (2, 3):
            source = insert(module, aten.slice.Tensor, (source, axis, crop, crop + shape(node)[axis]))
    return source
