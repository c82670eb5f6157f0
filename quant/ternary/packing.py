"""Packed ternary tensors as bytes: `t2` with 2 bits a trit, `t5` with 5 trits a byte (1.6 bits).

Layout of version 1, little-endian:

    offset 0   4 bytes  b"EDKT"
           4   u8       version, 1
           5   u8       layout: 2 (t2) or 5 (t5), the trits in a byte being 4 or 5
           6   u8       number of dimensions, 2 to 6
           7   u8       0
           8   6 × u32  the shape, output channels first, then zeros
          32   u64      number of bytes of the whole
          40   u32      CRC-32 of the first 40 bytes and of everything from offset 64 on
          44   20 × 0
          64   f32      a scale for each of the M output channels
     then to the next multiple of 64 bytes zeros, and the codes.

A channel's K weights are taken in the order of the kernels: (…, in) for the inner dimensions (in, …), so that a
convolution's taps follow each other with their input channels side by side. They fill R = ceil(K / n) bytes, n = 4 or
5, planar: byte j holds the trits j, j + R, j + 2R, …, each as the digit t + 1; the missing ones at the end are 0. With
t2 digit p is shifted by 2p bits, with t5 the byte is Σ digit · 3^p, at most 242.

The channels' bytes are interleaved for one sequential stream: groups of 8 channels (the last may be smaller), within a
group chunks of 64 bytes (the last may be smaller), within a chunk the group's channels one after another.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from quant.ternary.tensor import NotTernary, TernaryTensor

Layout = Literal["t2", "t5"]
LAYOUTS: tuple[Layout, ...] = ("t2", "t5")
GROUP, CHUNK = 8, 64  # channels, bytes
_HEADER = struct.Struct("<4sBBBB6IQI20x")
_SUMMED = 40  # bytes of the header under the checksum
_MAGIC, _VERSION, _MOST_DIMENSIONS = b"EDKT", 1, 6
_CODES = {"t2": 2, "t5": 5}
_TRITS = {"t2": 4, "t5": 5}  # in a byte
_ALIGNMENT = 64
_MOST_BYTES = 1 << 40


class PackedError(InputError):
    """Bytes are no packed ternary tensor: damaged, cut off, or of another version."""


def pack(tensor: TernaryTensor, layout: Layout) -> bytes:
    """Return the packed bytes of a tensor; raises NotTernary for more than 6 dimensions or one of 2^32 and more."""
    if tensor.trits.ndim > _MOST_DIMENSIONS or max(tensor.shape) >= 1 << 32:
        raise NotTernary(f"a tensor of shape {tensor.shape} cannot be packed; expected up to 6 dimensions below 2^32")
    codes = _interleave(_encode(_rows(tensor.trits), layout))
    scales = tensor.scale.astype("<f4").tobytes()
    body = scales + bytes(_codes_at(len(scales)) - _HEADER.size - len(scales)) + codes
    shape = tensor.shape + (0,) * (_MOST_DIMENSIONS - tensor.trits.ndim)
    whole = _HEADER.size + len(body)
    head = _HEADER.pack(_MAGIC, _VERSION, _CODES[layout], tensor.trits.ndim, 0, *shape, whole, 0)[:_SUMMED]
    return head + struct.pack("<I20x", zlib.crc32(body, zlib.crc32(head))) + body


def unpack(packed: bytes | bytearray | memoryview) -> TernaryTensor:
    """Return the tensor that bytes hold; raises PackedError for anything that `pack` does not write."""
    data = bytes(packed)
    layout, shape = _read_header(data)
    channels, columns = shape[0], math.prod(shape[1:])
    scales = np.frombuffer(data, "<f4", channels, _HEADER.size)
    if any(data[_HEADER.size + 4 * channels : _codes_at(4 * channels)]):
        raise PackedError("bytes between the scales and the codes are not 0: the tensor was damaged")
    row_bytes = -(-columns // _TRITS[layout])
    codes = np.frombuffer(data, np.uint8, channels * row_bytes, _codes_at(4 * channels))
    trits = _decode(_separate(codes, channels, row_bytes), layout, columns)
    try:
        return TernaryTensor(_from_rows(trits, shape), scales.astype(np.float32))
    except NotTernary as error:
        raise PackedError(f"the packed tensor is damaged: {error}") from None


def packed_bits(tensor: TernaryTensor, layout: Layout) -> float:
    """Return the bits per weight of the packed bytes: header, scales and padding counted."""
    return 8 * len(pack(tensor, layout)) / tensor.trits.size


def _codes_at(scale_bytes: int) -> int:
    """Return the offset of the codes."""
    return -(-(_HEADER.size + scale_bytes) // _ALIGNMENT) * _ALIGNMENT


def _read_header(data: bytes) -> tuple[Layout, tuple[int, ...]]:
    if len(data) < _HEADER.size:
        raise PackedError(f"{len(data)} bytes are no packed ternary tensor; expected at least {_HEADER.size}")
    magic, version, code, dimensions, zero, *rest = _HEADER.unpack_from(data)
    (*sizes, whole, checksum) = rest
    if magic != _MAGIC:
        raise PackedError(f"the bytes begin with {magic!r}; a packed ternary tensor begins with {_MAGIC!r}")
    if version != _VERSION:
        raise PackedError(f"version {version} of packed ternary tensors is not known; expected {_VERSION}")
    layout = next((name for name in LAYOUTS if _CODES[name] == code), None)
    if layout is None or zero != 0 or any(data[44 : _HEADER.size]):
        raise PackedError(f"layout {code} is not known, or bytes that must be 0 are not; expected layout 2 or 5")
    shape = tuple(sizes[:dimensions])
    if not 2 <= dimensions <= _MOST_DIMENSIONS or 0 in shape or any(sizes[dimensions:]):
        raise PackedError(f"shape {tuple(sizes)} with {dimensions} dimensions is no weight's; expected 2 to 6 above 0")
    expected = _whole_bytes(layout, shape)
    if whole != expected or len(data) != expected:
        raise PackedError(
            f"{len(data)} bytes, {whole} by the header; a {layout} tensor of shape {shape} has {expected}: "
            "it was cut off or damaged"
        )
    if zlib.crc32(memoryview(data)[_HEADER.size :], zlib.crc32(data[:_SUMMED])) != checksum:
        raise PackedError(f"the checksum of a {layout} tensor of shape {shape} is wrong: it was damaged")
    return layout, shape


def _whole_bytes(layout: Layout, shape: tuple[int, ...]) -> int:
    columns = math.prod(shape[1:])
    total = _codes_at(4 * shape[0]) + shape[0] * -(-columns // _TRITS[layout])
    return total if total < _MOST_BYTES else -1


def _rows(trits: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the trits as (M, K), the first inner dimension last."""
    return np.moveaxis(trits, 1, -1).reshape(len(trits), -1)


def _from_rows(rows: NDArray[np.int8], shape: tuple[int, ...]) -> NDArray[np.int8]:
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _encode(rows: NDArray[np.int8], layout: Layout) -> NDArray[np.uint8]:
    """Return (M, R) bytes of (M, K) trits."""
    count = _TRITS[layout]
    row_bytes = -(-rows.shape[1] // count)
    digits = np.ones((len(rows), count * row_bytes), np.uint8)
    digits[:, : rows.shape[1]] = rows + 1
    return np.tensordot(digits.reshape(len(rows), count, row_bytes), _weights(layout), axes=(1, 0)).astype(np.uint8)


def _decode(codes: NDArray[np.uint8], layout: Layout, columns: int) -> NDArray[np.int8]:
    """Return (M, K) trits of (M, R) bytes; raises PackedError for a byte that no trits make, or missing trits not 0."""
    weights = _weights(layout).astype(np.uint16)
    base = np.uint16(4 if layout == "t2" else 3)
    digits = (codes[:, None, :] // weights[None, :, None]) % base
    if (digits > 2).any() or (layout == "t5" and (codes > 242).any()):
        raise PackedError(f"a byte of the {layout} codes holds no trits: the tensor was damaged")
    flat = digits.reshape(len(codes), -1).astype(np.int8) - np.int8(1)
    if flat[:, columns:].any():
        raise PackedError("trits beyond the end of a channel are not 0: the tensor was damaged")
    return flat[:, :columns]


def _weights(layout: Layout) -> NDArray[np.uint8]:
    base = 4 if layout == "t2" else 3
    return np.array([base**power for power in range(_TRITS[layout])], np.uint8)


def _interleave(codes: NDArray[np.uint8]) -> bytes:
    return b"".join(codes[rows, columns].tobytes() for rows, columns in _blocks(*codes.shape))


def _separate(stream: NDArray[np.uint8], channels: int, row_bytes: int) -> NDArray[np.uint8]:
    codes = np.empty((channels, row_bytes), np.uint8)
    at = 0
    for rows, columns in _blocks(channels, row_bytes):
        block = codes[rows, columns]
        block[...] = stream[at : at + block.size].reshape(block.shape)
        at += block.size
    return codes


def _blocks(channels: int, row_bytes: int) -> Iterator[tuple[slice, slice]]:
    """Yield the blocks of (channels, bytes) in the order of the stream."""
    for row in range(0, channels, GROUP):
        for column in range(0, row_bytes, CHUNK):
            yield slice(row, min(row + GROUP, channels)), slice(column, min(column + CHUNK, row_bytes))
