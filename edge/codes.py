"""Token ids as packed bits and back: what travels in place of a picture.

The bits of all ids follow each other, the highest bit of each first, in bytes that are filled from their highest bit;
zeros fill the last byte. 128 ids of 12 bits are 192 bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError

_MOST_BITS = 24


def pack_codes(codes: NDArray[Any], bits: int = 12) -> bytes:
    """Return ids of any shape as ceil(count · bits / 8) bytes, in their flattened order.

    Raises InputError for ids that are not integers from 0 to 2^bits − 1, or bits outside 1…24.
    """
    _check_bits(bits)
    flat = np.asarray(codes).ravel()
    if flat.dtype.kind not in "iu":
        raise InputError(f"ids are {flat.dtype}; expected integers")
    if flat.size and not 0 <= int(flat.min()) <= int(flat.max()) < 1 << bits:
        raise InputError(f"ids go from {flat.min()} to {flat.max()}; in {bits} bits from 0 to {(1 << bits) - 1}")
    wide = np.unpackbits(flat.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)
    return np.packbits(wide[:, -bits:]).tobytes()


def unpack_codes(data: bytes, count: int, bits: int = 12) -> NDArray[np.int32]:
    """Return `count` ids (count,) of packed bytes; raises InputError for another length or a fill that is not zero."""
    _check_bits(bits)
    expected = (count * bits + 7) // 8
    if count < 0 or len(data) != expected:
        raise InputError(f"{len(data)} bytes do not hold {count} ids of {bits} bits; expected {max(expected, 0)} bytes")
    loose = np.unpackbits(np.frombuffer(data, np.uint8))
    if loose[count * bits :].any():
        raise InputError(f"the last byte {data[-1]:#04x} is filled with ones; expected zeros after {count} ids")
    wide = np.zeros((count, 32), np.uint8)
    wide[:, -bits:] = loose[: count * bits].reshape(count, bits)
    return np.packbits(wide, axis=1).view(">u4").ravel().astype(np.int32)


def _check_bits(bits: int) -> None:
    if not 1 <= bits <= _MOST_BITS:
        raise InputError(f"{bits} bits an id; expected 1 to {_MOST_BITS}")
