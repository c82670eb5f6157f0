"""Pictures: read and write files, sample them under an affine map, turn them into input tensors.

Coordinates: pixel (x, y) of a picture is the sample at index [y, x]. A picture of width W spans 0…W on its x axis,
and resizing maps spans onto spans (x · W_out / W_in), as MediaPipe's CPU path does.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from edge.artifact import write_atomic
from edge.contract import Contract
from edge.errors import ContractError, InputError

MAX_PIXELS = 25_000_000
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"}
_BAND_PIXELS = 1 << 18  # rows are sampled in bands of about this many pixels, so that memory stays small


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a JPEG, PNG, WebP or BMP file as RGB, shape (H, W, 3), upright by its EXIF orientation.

    Transparency is put on white; 16-bit greyscale keeps its upper 8 bits. The size is checked before anything is
    decoded. Raises InputError for a file that is missing, not such a picture, broken, or above 25 megapixels.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the picture {path}: {error.strerror}") from error
    with _pillow_errors(path), PillowImage.open(io.BytesIO(data), formats=sorted(set(_FORMATS.values()))) as image:
        if image.width * image.height > MAX_PIXELS:
            raise InputError(f"{path} has {image.width} × {image.height} pixels; {_SIZE_LIMIT}")
        return upright_rgb(image)


_SIZE_LIMIT = f"at most {MAX_PIXELS // 1_000_000} megapixels are read: make it smaller first"


@contextmanager
def _pillow_errors(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warning about large pictures: checked above
            yield
    except InputError:
        raise
    except PillowImage.DecompressionBombError:
        raise InputError(f"{path} is too large; {_SIZE_LIMIT}") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is not a picture that can be read; use a JPEG, PNG, WebP or BMP file") from None
    except Exception as error:  # decoders raise many types on broken files
        first = str(error).strip().split("\n", 1)[0]
        raise InputError(f"{path} is a broken picture: {first}; save it again as JPEG or PNG") from error


def upright_rgb(image: PillowImage.Image) -> NDArray[np.uint8]:
    """Decode an opened picture as RGB, shape (H, W, 3), turned by its EXIF orientation; the object is used up.

    Transparency is put on white; 16-bit greyscale keeps its upper 8 bits. Raises what Pillow's decoders raise.
    """
    ImageOps.exif_transpose(image, in_place=True)  # a copy of a large picture is 100 MB
    return np.array(_as_rgb(image), dtype=np.uint8)


def _as_rgb(image: PillowImage.Image) -> PillowImage.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale
        values = np.clip(np.asarray(image, dtype=np.int64), 0, 65535) >> 8
        return PillowImage.fromarray(values.astype(np.uint8)).convert("RGB")
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.has_transparency_data:
        front = image.convert("RGBA")
        white = PillowImage.new("RGBA", front.size, "white")
        return PillowImage.alpha_composite(white, front).convert("RGB")
    return image.convert("RGB")


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB picture (H, W, 3); the suffix chooses the format. Raises InputError for an unknown suffix."""
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"cannot write {path}: use one of the suffixes {', '.join(_FORMATS)}")
    stream = io.BytesIO()
    PillowImage.fromarray(image).save(stream, kind)
    write_atomic(path, stream.getvalue())


def list_images(folder: Path) -> tuple[Path, ...]:
    """Return the pictures of a folder in name order; raises InputError if there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds pictures")
    found = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in _FORMATS and path.is_file()))
    if not found:
        raise InputError(f"{folder} holds no picture; put JPEG, PNG, WebP or BMP files into it")
    return found


def to_tensor(pixels: NDArray[np.uint8], contract: Contract) -> NDArray[Any]:
    """Turn RGB pixels (H, W, 3) from 0 to 255 into the contract's first input, (1, 3, H, W) or (1, H, W, 3).

    value = (pixel / 255 · (range[1] − range[0]) + range[0] − mean) / std; integer dtypes are rounded and clipped.
    Raises ContractError if the contract has no preprocessing or no image layout.
    """
    spec, rule = contract.inputs[0], contract.preprocess
    if rule is None or not spec.layout:
        raise ContractError(f"{spec.name}: a picture needs a contract with preprocess and an image layout")
    low, high = rule.range
    mean, std = np.array(rule.mean), np.array(rule.std)
    ordered = pixels[..., ::-1] if rule.colour == "BGR" else pixels
    scale, offset = (high - low) / 255.0 / std, (low - mean) / std
    values = ordered.astype(np.float32) * scale.astype(np.float32) + offset.astype(np.float32)
    if spec.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    dtype = np.dtype(spec.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return np.ascontiguousarray(values[None], dtype=dtype)


def warp(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size_hw: tuple[int, int], *, border: int | None = None
) -> NDArray[np.uint8]:
    """Sample a picture (H, W, C) bilinearly: output pixel (x, y) takes the input at matrix · (x, y, 1).

    Positions are rounded to 1/32 pixel and results to 8 bits, all in integers: the arithmetic of OpenCV's 8-bit remap,
    which MediaPipe's CPU path uses, and the same bytes from any implementation. `border` is the value outside the
    picture; None repeats its edge.
    """
    height, width = size_hw
    result = np.empty((height, width, image.shape[2]), np.uint8)
    for rows in _bands(height, width):
        x, y = _positions(matrix, rows, width)
        fixed_x, fixed_y = _fixed_point(x, image.shape[1]), _fixed_point(y, image.shape[0])
        total = np.full((*fixed_x.shape, image.shape[2]), _ONE * _ONE // 2, np.int32)  # rounds to nearest
        for dy in (0, 1):
            weight_y, row = _neighbour(fixed_y, dy)
            for dx in (0, 1):
                weight_x, column = _neighbour(fixed_x, dx)
                total += (weight_y * weight_x)[..., None] * _pixels(image, row, column, border)
        result[rows] = total >> (2 * _BITS)
    return result


def warp_plane(plane: NDArray[Any], matrix: NDArray[np.float64], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Sample values (H, W) bilinearly like `warp`, in floats and with the edge repeated outside."""
    height, width = size_hw
    source = np.asarray(plane, np.float32)
    if matrix[0, 1] == 0 and matrix[1, 0] == 0:  # one axis after the other is far cheaper
        x, y = _positions(matrix, slice(0, 1), width)[0][0], _positions(matrix, slice(0, height), 1)[1][:, 0]
        (y0, y1, wy), (x0, x1, wx) = _between(y, source.shape[0]), _between(x, source.shape[1])
        lines = source[y0] * (1 - wy)[:, None] + source[y1] * wy[:, None]
        return np.asarray(lines[:, x0] * (1 - wx) + lines[:, x1] * wx, np.float32)
    result = np.empty((height, width), np.float32)
    for rows in _bands(height, width):
        x, y = _positions(matrix, rows, width)
        (y0, y1, wy), (x0, x1, wx) = _between(y, source.shape[0]), _between(x, source.shape[1])
        upper = source[y0, x0] * (1 - wx) + source[y0, x1] * wx
        result[rows] = upper * (1 - wy) + (source[y1, x0] * (1 - wx) + source[y1, x1] * wx) * wy
    return result


def warp_nearest(plane: NDArray[Any], matrix: NDArray[np.float64], size_hw: tuple[int, int]) -> NDArray[Any]:
    """Take for every output pixel the value (H, W) nearest to matrix · (x, y, 1), the edge repeated outside."""
    height, width = size_hw
    result = np.empty((height, width), plane.dtype)
    for rows in _bands(height, width):
        x, y = _positions(matrix, rows, width)
        column, row = (np.floor(position + 0.5).astype(np.intp) for position in (x, y))
        result[rows] = plane[np.clip(row, 0, plane.shape[0] - 1), np.clip(column, 0, plane.shape[1] - 1)]
    return result


_BITS = 5
_ONE = 1 << _BITS  # a position is held in units of 1/32 pixel


def _bands(height: int, width: int) -> Iterator[slice]:
    rows = max(1, _BAND_PIXELS // width)
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def _positions(matrix: NDArray[np.float64], rows: slice, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the input's x and y for every output pixel of some rows, each (rows, width)."""
    y, x = np.mgrid[rows, 0:width].astype(np.float64)
    moved = np.tensordot(matrix[:, :2], np.stack([x, y]), axes=1) + matrix[:, 2, None, None]
    return moved[0], moved[1]


def _fixed_point(position: NDArray[np.float64], size: int) -> NDArray[np.int32]:
    """Round to 1/32 pixel; what lies far outside is brought just outside, so that it fits the integers."""
    return np.rint(np.clip(position, -2.0, size + 1.0) * _ONE).astype(np.int32)


def _neighbour(fixed: NDArray[np.int32], step: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the weight (of 32) and the index of the lower (0) or upper (1) neighbour."""
    fraction = fixed & (_ONE - 1)
    return (fraction if step else _ONE - fraction), (fixed >> _BITS) + step


def _pixels(
    image: NDArray[np.uint8], row: NDArray[np.int32], column: NDArray[np.int32], border: int | None
) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    found: NDArray[np.uint8] = image[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    if border is not None:
        found[(row < 0) | (row >= height) | (column < 0) | (column >= width)] = border
    return found


def _between(
    position: NDArray[np.float64], size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the two neighbours' indices and the upper one's weight, the edge repeated outside."""
    inside = np.clip(position, 0.0, size - 1.0)
    low = np.floor(inside).astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (inside - low).astype(np.float32)
