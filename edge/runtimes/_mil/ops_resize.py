"""Resizing: every way that Core ML places its sampling points."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.runtimes._mil.operators import UnsupportedForm, op


def grid(mode: str, have: int, want: int) -> Tensor:
    """Return the `want` sampling positions in [0, have − 1], by the formulas of the operator reference."""
    steps = torch.arange(want, dtype=torch.float64)
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if want == 1:
            points = torch.zeros(1) if mode == "STRICT_ALIGN_CORNERS" else torch.tensor([(have - 1) / 2])
        else:
            points = steps * ((have - 1) / (want - 1))
    elif mode == "DEFAULT":
        points = steps * (have / want)
    elif mode == "OFFSET_CORNERS":
        delta = max(1, have - 1) / want
        points = 0.5 * delta + steps * delta
    elif mode in ("UNALIGN_CORNERS", "HALF_PIXEL"):
        spacing = have / want
        points = steps * spacing + 0.5 * spacing - 0.5
    else:
        raise UnsupportedForm(f"sampling mode {mode!r}")
    return points.clamp(0, have - 1)


def _along(x: Tensor, axis: int, points: Tensor) -> Tensor:
    low = points.floor().long()
    high = (low + 1).clamp(max=x.shape[axis] - 1)
    fraction = (points - low).to(x.dtype).reshape(-1, *[1] * (-axis - 1))
    left, right = x.index_select(axis, low), x.index_select(axis, high)
    return left + (right - left) * fraction


def _bilinear(x: Tensor, mode: str, height: int, width: int) -> Tensor:
    rows, columns = grid(mode, x.shape[-2], height), grid(mode, x.shape[-1], width)
    return _along(_along(x, -2, rows), -1, columns)


def _nearest(x: Tensor, height: int, width: int) -> Tensor:
    for axis, want in ((-2, height), (-1, width)):
        have = x.shape[axis]
        x = x.index_select(axis, torch.arange(want) * have // want)
    return x


def _scaled(size: int, factor: Tensor | None) -> int:
    return math.floor(size * (1.0 if factor is None else float(factor)))


@op("upsample_bilinear")
def upsample_bilinear(
    x: Tensor, scale_factor_height: Tensor | None = None, scale_factor_width: Tensor | None = None,
    align_corners: Tensor | None = None, half_pixel_centers: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Scale the last two axes; the spacing is recomputed from the sizes, not taken from the factors."""
    corners = True if align_corners is None else bool(align_corners)
    centers = (not corners) if half_pixel_centers is None else bool(half_pixel_centers)
    if corners and centers:
        raise UnsupportedForm("align_corners together with half_pixel_centers")
    mode = "STRICT_ALIGN_CORNERS" if corners else "HALF_PIXEL" if centers else "DEFAULT"
    return _bilinear(x, mode, _scaled(x.shape[-2], scale_factor_height), _scaled(x.shape[-1], scale_factor_width))


@op("resize_bilinear")
def resize_bilinear(
    x: Tensor, target_size_height: Tensor | None = None, target_size_width: Tensor | None = None,
    sampling_mode: str = "DEFAULT",
) -> Tensor:  # fmt: skip
    """Resize the last two axes to a size."""
    height, width = (1 if size is None else int(size) for size in (target_size_height, target_size_width))
    return _bilinear(x, sampling_mode, height, width)


@op("upsample_nearest_neighbor")
def upsample_nearest_neighbor(
    x: Tensor, scale_factor_height: Tensor | None = None, scale_factor_width: Tensor | None = None
) -> Tensor:
    """Scale the last two axes by repeating elements."""
    return _nearest(x, _scaled(x.shape[-2], scale_factor_height), _scaled(x.shape[-1], scale_factor_width))


@op("resize_nearest_neighbor")
def resize_nearest_neighbor(x: Tensor, target_size_height: Tensor, target_size_width: Tensor) -> Tensor:
    """Resize the last two axes to a size by repeating elements."""
    return _nearest(x, int(target_size_height), int(target_size_width))


@op("crop")
def crop(x: Tensor, crop_height: Tensor, crop_width: Tensor) -> Tensor:
    """Cut rows and columns from both ends of the last two axes."""
    (top, bottom), (left, right) = crop_height.tolist(), crop_width.tolist()
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


@op("resample")
def resample(
    x: Tensor, coordinates: Tensor, sampling_mode: str, padding_mode: str, padding_value: Tensor,
    coordinates_mode: str, align_corners: Tensor,
) -> Tensor:  # fmt: skip
    """Sample x (N, C, H, W) at coordinates (N, H₂, W₂, 2) in (x, y) order."""
    paddings = {"constant": "zeros", "border": "border", "reflection": "reflection"}
    if coordinates_mode != "normalized_minus_one_to_one" or padding_mode not in paddings or float(padding_value) != 0:
        raise UnsupportedForm(f"{coordinates_mode!r} coordinates, {padding_mode!r} padding {float(padding_value)}")
    return F.grid_sample(
        x,
        coordinates.to(x.dtype),
        mode=sampling_mode,
        padding_mode=paddings[padding_mode],
        align_corners=bool(align_corners),
    )
