"""Camera frames: planes of luma and chroma with strides, as Android's YUV_420_888 has them, into RGB.

Source: JPEG File Interchange Format 1.02 (Hamilton 1992): BT.601 over the full range. In integers of 1/65536, so that
every implementation gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """A plane's bytes; value (x, y) stands at y · row_stride + x · pixel_stride."""

    data: bytes
    row_stride: int
    pixel_stride: int = 1

    def values(self, height: int, width: int) -> NDArray[np.int32]:
        """Return the plane's values (height, width); raises InputError where the bytes or strides do not hold them."""
        needed = (height - 1) * self.row_stride + (width - 1) * self.pixel_stride + 1
        if self.pixel_stride < 1 or self.row_stride < (width - 1) * self.pixel_stride + 1 or len(self.data) < needed:
            raise InputError(
                f"a plane of {len(self.data)} bytes with strides {self.row_stride} and {self.pixel_stride} does not "
                f"hold {width} × {height} values; they take {needed} bytes"
            )
        rows, columns = np.arange(height)[:, None], np.arange(width)[None]
        places = rows * self.row_stride + columns * self.pixel_stride
        return np.asarray(np.frombuffer(self.data, np.uint8)[places], np.int32)


def yuv_to_rgb(luma: Plane, blue: Plane, red: Plane, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return RGB (H, W, 3) of a luma plane and two chroma planes of half of each side, rounded up.

    Every pixel takes the chroma of its block of 2 × 2.
    """
    height, width = size_hw
    half = ((height + 1) // 2, (width + 1) // 2)
    y = (luma.values(height, width) << 16) + 32768
    cb, cr = (
        np.repeat(np.repeat(plane.values(*half) - 128, 2, axis=0), 2, axis=1)[:height, :width] for plane in (blue, red)
    )
    channels = (y + 91881 * cr, y - 22554 * cb - 46802 * cr, y + 116130 * cb)
    return np.stack([np.clip(channel >> 16, 0, 255) for channel in channels], axis=2).astype(np.uint8)
