"""Blend colours into a picture, and the palette of class maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
