"""Read what matters of a shared library: its machine and how its segments are aligned. Nothing else is trusted.

Every offset and count comes from the file and is checked against its size before it is used.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from edge.errors import InputError

_LOAD = 1
_MOST_SEGMENTS = 256  # a linker writes about ten; the format allows 65535
_MACHINES = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 164: "hexagon", 183: "arm64-v8a", 243: "riscv64"}
_ENTRY_SIZES = {32: 32, 64: 56}


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a library that is mapped into memory; sizes in bytes."""

    offset: int
    address: int
    file_size: int
    memory_size: int
    align: int


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library: its machine by Android's name, its word size in bits, and its loadable segments."""

    machine: str
    bits: int
    segments: tuple[Segment, ...]

    @property
    def align(self) -> int:
        """Return the smallest alignment of its segments, in bytes."""
        return min(segment.align for segment in self.segments)


def is_elf(head: bytes) -> bool:
    """Say whether a file that begins so claims to be ELF."""
    return head[:4] == b"\x7fELF"


def read_library(stream: BinaryIO, size: int, name: str) -> Library:
    """Read a little-endian ELF library of `size` bytes; raises InputError for anything that contradicts itself."""
    head = _take(stream, 0, 64, size, name, short=True)
    if not is_elf(head) or len(head) < 52:
        raise InputError(f"{name} is not a native library: {len(head)} bytes, no ELF header; build it again")
    if head[4] not in (1, 2) or head[5] != 1 or head[6] != 1:
        raise _broken(
            name, f"class {head[4]}, data {head[5]}, version {head[6]}; expected little-endian ELF, version 1"
        )
    bits = 32 * head[4]
    if bits == 64 and len(head) < 64:
        raise _broken(name, "the header is cut off")
    kind, machine = struct.unpack_from("<HH", head, 16)
    if kind != 3:
        raise _broken(name, f"its type is {kind}; a shared library's is 3")
    at, entry_size, count = _table(head, bits)
    if entry_size != _ENTRY_SIZES[bits] or not 0 < count <= _MOST_SEGMENTS:
        raise _broken(name, f"{count} program headers of {entry_size} bytes")
    table = _take(stream, at, count * entry_size, size, name)
    found = (_segment(table, i * entry_size, bits) for i in range(count))
    segments = tuple(segment for segment in found if segment is not None)
    if not segments:
        raise _broken(name, "it has no segment to load")
    for segment in segments:
        _check(segment, size, name)
    return Library(_MACHINES.get(machine, f"machine {machine}"), bits, segments)


def _table(head: bytes, bits: int) -> tuple[int, int, int]:
    """Return offset, entry size and count of the program headers."""
    if bits == 64:
        return struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    return struct.unpack_from("<I", head, 28)[0], *struct.unpack_from("<HH", head, 42)


def _segment(table: bytes, at: int, bits: int) -> Segment | None:
    if bits == 64:
        kind, _, offset, address, _, file_size, memory_size, align = struct.unpack_from("<IIQQQQQQ", table, at)
    else:
        kind, offset, address, _, file_size, memory_size, _, align = struct.unpack_from("<IIIIIIII", table, at)
    return Segment(offset, address, file_size, memory_size, max(align, 1)) if kind == _LOAD else None


def _check(segment: Segment, size: int, name: str) -> None:
    if segment.offset > size or segment.file_size > size - segment.offset:
        raise _broken(name, f"a segment of {segment.file_size} bytes at {segment.offset} passes its end at {size}")
    if segment.memory_size < segment.file_size:
        raise _broken(name, f"a segment has {segment.file_size} bytes in the file and {segment.memory_size} in memory")
    if segment.align & (segment.align - 1):
        raise _broken(name, f"a segment's alignment {segment.align} is no power of two")
    if (segment.address - segment.offset) % segment.align:
        raise _broken(name, f"a segment at {segment.offset} cannot be mapped to {segment.address:#x} in pages")


def _take(stream: BinaryIO, at: int, count: int, size: int, name: str, *, short: bool = False) -> bytes:
    if at > size or (count > size - at and not short):
        raise _broken(name, f"{count} bytes at {at} pass its end at {size}")
    stream.seek(at)
    data = stream.read(count)
    if len(data) < count and not short:
        raise _broken(name, f"{len(data)} of {count} bytes could be read at {at}")
    return data


def _broken(name: str, what: str) -> InputError:
    return InputError(f"{name} is a broken library: {what}; build it again")
