"""Blend colours into a picture, and the palette of class maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFilter

from edge.tasks import Image

_DRAWN_PIXELS = 12_000_000  # a layer is at most about this large before it is shrunk


def supersampling(image: Image) -> int:
    """Return how many times finer than the picture its lines are drawn: 4 on small pictures, 1 on very large ones."""
    pixels = image.shape[0] * image.shape[1]
    return int(np.clip(np.sqrt(_DRAWN_PIXELS / max(pixels, 1)), 1, 4))


def blend(image: Image, colour: NDArray[Any], strength: NDArray[Any]) -> Image:
    """Mix `colour` (3,) or (H, W, 3) into the picture by `strength` (H, W) in 0…1."""
    weight = np.asarray(strength, np.float32)[..., None]
    mixed = image.astype(np.float32) * (1 - weight) + np.asarray(colour, np.float32) * weight
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def tint(image: Image, colour: NDArray[Any], probability: NDArray[Any], *, strength: float = 0.38) -> Image:
    """Tint where the probability (H, W) is high, with a brighter line along its edge at ½."""
    inside = np.clip((probability - 0.25) * 2, 0.0, 1.0)  # a soft step from 0.25 to 0.75
    tinted = blend(image, colour, strength * inside)
    return blend(tinted, 0.6 * np.asarray(colour) + 102, 0.9 * contour(probability, line_width(image)))


def line_width(image: Image) -> float:
    """Return the width in pixels of outlines: a share of the picture's diagonal, 1.5 at least."""
    return max(1.5, 0.0035 * float(np.hypot(image.shape[0], image.shape[1])))


def contour(probability: NDArray[Any], width: float) -> NDArray[np.float32]:
    """Return 0…1: a smooth line along probability ½, about `width` pixels wide.

    The mask is blurred over the width; the line is where the blurred mask passes from one side to the other.
    """
    mask = PillowImage.fromarray(np.asarray(np.clip(probability, 0, 1) > 0.5, np.uint8) * 255)
    blurred = np.asarray(mask.filter(ImageFilter.GaussianBlur(width / 1.6)), np.float32) / 255
    return np.asarray(np.clip(1.3 - 3.2 * np.abs(blurred - 0.5), 0.0, 1.0) * (np.abs(blurred - 0.5) < 0.45), np.float32)


def palette(classes: int) -> NDArray[np.uint8]:
    """Return one RGB colour a class, (classes, 3): PASCAL VOC's, whose colour bits are the class's bits interleaved.

    Class 0 is black: the background. Source: the VOC development kit's colour map.
    """
    colours = np.zeros((classes, 3), np.uint8)
    for index in range(classes):
        value = index
        for bit in range(7, -1, -1):
            for channel in range(3):
                colours[index, channel] |= ((value >> channel) & 1) << bit
            value >>= 3
    return colours


def mask_layer(probability: NDArray[Any], colour: NDArray[Any], *, strength: float = 0.38) -> NDArray[np.uint32]:
    """Return what `tint` puts on a picture, without the line, as ARGB (H, W), not premultiplied.

    The probability counts in steps of 1/255.
    """
    levels = np.floor(np.nan_to_num(np.clip(probability, 0, 1)).astype(np.float32) * np.float32(255) + np.float32(0.5))
    inside = np.clip((np.arange(256) / 255 - 0.25) * 2, 0.0, 1.0)
    table = _argb(np.broadcast_to(np.asarray(colour, np.uint8), (256, 3)), strength * inside)
    return np.asarray(table[levels.astype(np.intp)])


def class_layer(numbers: NDArray[Any], *, strength: float = 0.5) -> NDArray[np.uint32]:
    """Return every class or segment in its colour as ARGB (H, W), not premultiplied; number 0 is transparent."""
    table = _argb(palette(int(numbers.max()) + 1), np.array(strength))
    table[0] = 0
    return np.asarray(table[numbers])


def _argb(colours: NDArray[np.uint8], strength: NDArray[Any]) -> NDArray[np.uint32]:
    red, green, blue = colours.astype(np.uint32).T
    alpha = np.rint(255 * strength).astype(np.uint32)
    return np.asarray(alpha << 24 | red << 16 | green << 8 | blue, np.uint32)
