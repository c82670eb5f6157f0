"""Pictures that are small as files and large, broken or odd otherwise; made here, none is a file."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image as PillowImage


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """Return a PNG of a header and raw rows, whether they fit each other or not."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + body


def black_png(width: int, height: int) -> bytes:
    """Return a true picture of zeros, a thousandth of its pixels as a file."""
    return png(width, height, bytes((1 + width * 3) * height))


def saved(kind: str, image: PillowImage.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    (image or photo()).save(stream, kind, **options)
    return stream.getvalue()


def photo(height: int = 48, width: int = 64) -> PillowImage.Image:
    y, x = np.mgrid[0:height, 0:width]
    return PillowImage.fromarray(np.stack([x * 3, y * 5, (x + y) * 2], axis=2).astype(np.uint8))


def animation(kind: str) -> bytes:
    frames = [PillowImage.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    return saved(kind, frames[0], save_all=True, append_images=frames[1:], duration=100)


def webp_header(kind: bytes, body: bytes) -> bytes:
    """Return a WebP that ends after its first chunk's header."""
    rest = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(rest)) + rest


def many_scans(scans: int) -> bytes:
    """Return a progressive JPEG whose last scan comes again and again: a small file, a pass over the picture each."""
    data = saved("JPEG", photo(512, 512), progressive=True, quality=5)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + b"\xff\xd9"
