"""Reader of the weight file of an ML program, `weight.bin`, storage version 2.

Layout, little-endian: a 64-byte header (u32 count, u32 version, reserved), then for each blob a 64-byte record
at a multiple of 64 (u32 sentinel 0xDEADBEEF, u32 type, u64 size in bytes, u64 offset of the data, u64 unused bits at
the end, reserved) and the data itself, also at a multiple of 64. The program refers to a blob by its record's offset.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edge.errors import InputError

_HEADER = struct.Struct("<II56x")
_RECORD = struct.Struct("<IIQQQ32x")
_SENTINEL = 0xDEADBEEF
_VERSION = 2

# Codes of the storage's own enumeration; they differ from those of the program's types.
_TYPES = {
    1: "fp16", 2: "fp32", 3: "uint8", 4: "int8", 5: "bf16", 6: "int16", 7: "uint16", 8: "int4", 9: "uint1",
    10: "uint2", 11: "uint4", 12: "uint3", 13: "uint6", 14: "int32", 15: "uint32", 16: "fp8e4m3fn", 17: "fp8e5m2",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Blob:
    """One stored tensor: its type and its bytes."""

    dtype: str
    data: memoryview


class BlobFile:
    """The bytes of one weight file; every offset and size is checked before it is used."""

    def __init__(self, data: bytes, name: str) -> None:
        """Check the header; raises InputError if it is not a weight file of version 2."""
        self._data, self._name = memoryview(data), name
        if len(data) < _HEADER.size:
            raise self._broken(f"it has {len(data)} bytes, fewer than its header")
        self.count, version = _HEADER.unpack_from(self._data)
        if version != _VERSION:
            raise self._broken(f"its storage version is {version}, not {_VERSION}")

    def read(self, offset: int) -> Blob:
        """Return the blob whose record starts at `offset`; raises InputError for a damaged file."""
        if offset % 64 or offset + _RECORD.size > len(self._data) or offset < _HEADER.size:
            raise self._broken(f"no record can start at byte {offset} of {len(self._data)}")
        sentinel, code, size, start, _padding = _RECORD.unpack_from(self._data, offset)
        if sentinel != _SENTINEL:
            raise self._broken(f"the record at byte {offset} starts with {sentinel:#010x}, not {_SENTINEL:#010x}")
        if code not in _TYPES:
            raise self._broken(f"the record at byte {offset} has the unknown type {code}")
        if start % 64 or start < offset + _RECORD.size or start + size > len(self._data):
            raise self._broken(
                f"the record at byte {offset} points to bytes {start} to {start + size} of {len(self._data)}"
            )
        return Blob(_TYPES[code], self._data[start : start + size])

    def _broken(self, why: str) -> InputError:
        return InputError(f"{self._name} is damaged: {why}; deploy it again with `edge deploy`")
