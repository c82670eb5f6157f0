"""Encoded pictures in a request: checked by their headers, decoded one by one, turned into the model's input.

JPEG, PNG and WebP; of a JPEG with more pictures behind the first (previews, gain maps) the first is taken, as every
JPEG decoder does. Animations are refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image as PillowImage
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from edge.contract import Contract, image_contract
from edge.errors import ContractError
from edge.images import upright_rgb
from edge.serve.errors import PictureError, RequestError, TooLarge, UnsupportedEncoding
from edge.serve.limits import Limits
from edge.serve.metadata import Parameter
from edge.serve.wire import Tensor
from edge.tasks import TASKS, Image, Region

_MOST_SCANS = 64  # of a JPEG: progressive ones have about 10, and each costs a pass over all of the picture
_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
_PNG_END = b"IEND\xaeB`\x82"
_REGION = ("centre_x", "centre_y", "side", "rotation")


def prepare_pictures(tensor: Tensor, contract: Contract, limits: Limits | None = None) -> Tensor:
    """Decode a BYTES tensor of pictures and preprocess each as the contract says: the model's input, a row a picture.

    With one picture the tensor's parameters may hold a region: `centre_x`, `centre_y` and `side` in pixels of the
    upright picture, `rotation` in radians, clockwise. Raises RequestError; PictureError for a picture that is broken
    or refused, TooLarge above the pixels of `limits`.
    """
    region = region_of(tensor.parameters)
    if region is not None and tensor.array.size != 1:
        raise RequestError(f"input {tensor.name!r}: a region goes with one picture, there are {tensor.array.size}")
    full = image_contract(contract)
    name = full.inputs[0].name
    rows = []
    for picture in decode_pictures(tensor.array.reshape(-1).tolist(), limits):
        try:
            inputs, _ = TASKS[full.task].prepare(picture, full, region)
        except ContractError as error:
            raise RequestError(f"input {tensor.name!r}: {error}") from error
        rows.append(inputs[name])
    return Tensor.of(name, np.concatenate(rows))


def decode_pictures(encoded: list[bytes], limits: Limits | None = None) -> Iterator[Image]:
    """Return pictures as RGB (H, W, 3), upright, one at a time; every header is checked before the first is decoded.

    Raises PictureError, UnsupportedEncoding for another format, TooLarge above the pixels of `limits`.
    """
    most = (limits or Limits()).pixels
    total = 0
    for number, data in enumerate(encoded):
        width, height = check_picture(data, most, number)
        total += width * height
        if total > most:
            raise TooLarge(f"the pictures have more than {most} pixels together; send them in several requests")
    return (_decode(data, number) for number, data in enumerate(encoded))


def check_picture(data: bytes, most_pixels: int, number: int = 0) -> tuple[int, int]:
    """Return (width, height) of a picture by its header; nothing of its pixels is decoded.

    Raises PictureError for a broken header or an animation, UnsupportedEncoding, TooLarge.
    """
    if data[:4] == b"RIFF":
        _check_pixels(*_webp_size(data, number), most_pixels, number)  # opening a WebP takes memory for its canvas
    image = _open(data, number)
    _check_pixels(image.width, image.height, most_pixels, number)
    if not isinstance(image, JpegImageFile) and getattr(image, "n_frames", 1) != 1:
        raise PictureError(f"picture {number} is an animation; send one still picture")
    if isinstance(image, JpegImageFile) and data.count(_SCAN) > _MOST_SCANS:
        raise PictureError(f"picture {number} has more than {_MOST_SCANS} scans; save it again as a usual JPEG")
    if not _is_whole(image, data):
        raise PictureError(f"picture {number} is cut off: its end is missing; send all of the file")
    return image.width, image.height


def region_of(parameters: Mapping[str, Parameter]) -> Region | None:
    """Return the region that an input's parameters hold, None without one; raises RequestError for half a one."""
    found = {key: parameters[key] for key in _REGION if key in parameters}
    if not found:
        return None
    values = [
        float(value)
        for value in found.values()
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e6
    ]
    if len(values) != len(_REGION) or values[2] < 1.0:
        raise RequestError(
            f"a region needs {', '.join(_REGION)} as numbers, in pixels and radians, the side at least 1"
        )
    return Region(*values)


def _open(data: bytes, number: int) -> PillowImage.Image:
    """Open a picture by its signature with that format's reader alone, so that no other parser sees the bytes."""
    stream = io.BytesIO(data)
    try:
        if data[:3] == b"\xff\xd8\xff":
            return JpegImageFile(stream)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return PngImageFile(stream)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return WebPImageFile(stream)
    except Exception as error:  # readers raise many types on broken files
        raise PictureError(f"picture {number} is broken: {type(error).__name__}; save it again") from None
    raise UnsupportedEncoding(f"picture {number} is none that is served; send JPEG, PNG or WebP")


def _decode(data: bytes, number: int) -> Image:
    try:
        return upright_rgb(_open(data, number))
    except PictureError:
        raise
    except Exception as error:  # decoders raise many types on broken files
        raise PictureError(f"picture {number} is broken or cut off: {type(error).__name__}; save it again") from None


def _is_whole(image: PillowImage.Image, data: bytes) -> bool:
    """Say whether the file has its format's end; decoders let some files through that lack their last bytes."""
    if isinstance(image, JpegImageFile):
        return data.rfind(_JPEG_END) > data.rfind(_SCAN)
    return not isinstance(image, PngImageFile) or _PNG_END in data


def _check_pixels(width: int, height: int, most: int, number: int) -> None:
    if width * height > most:
        raise TooLarge(f"picture {number} has {width} × {height} pixels; at most {most} are decoded: make it smaller")
    if width < 1 or height < 1:
        raise PictureError(f"picture {number} has no pixels: {width} × {height}")


def _webp_size(data: bytes, number: int) -> tuple[int, int]:
    """Return (width, height) of a WebP's canvas.

    Source: https://developers.google.com/speed/webp/docs/riff_container and RFC 6386, section 9.1.
    """
    kind, body = data[12:16], data[20:30]
    if data[8:12] != b"WEBP" or len(body) < 10:
        raise UnsupportedEncoding(f"picture {number} is none that is served; send JPEG, PNG or WebP")
    if kind == b"VP8X":
        if body[0] & 0x02:
            raise PictureError(f"picture {number} is an animation; send one still picture")
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    raise PictureError(f"picture {number} is a WebP without an image first; save it again")
