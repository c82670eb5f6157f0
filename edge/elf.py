"""Write an empty shared object: a library that loads and holds nothing."""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER, _SEGMENT, _SYMBOL, _ENTRY = 64, 56, 24, 16  # sizes in an ELF64 file
_LOAD, _DYNAMIC = 1, 2
_HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME, _END = 4, 5, 6, 10, 11, 14, 0
_X86_64, _SHARED = 62, 3


def write_empty_library(path: Path) -> None:
    """Write an x86-64 Linux shared object without symbols, named like its file.

    It stands for a library that a program names and never calls, where the vendor's package lacks it. The layout is
    that of the System V ABI: header, two segments, symbol table, hash table, dynamic section, names.
    """
    names = b"\0" + path.name.encode() + b"\0"
    symbols = _HEADER + 2 * _SEGMENT
    table = symbols + _SYMBOL
    dynamic = table + 16
    entries = 7
    strings = dynamic + entries * _ENTRY
    size = strings + len(names)
    tags = ((_STRTAB, strings), (_SYMTAB, symbols), (_HASH, table), (_STRSZ, len(names)), (_SYMENT, _SYMBOL))
    content = b"".join(
        (
            b"\x7fELF\2\1\1" + bytes(9),  # 64 bit, little-endian
            struct.pack("<HHIQQQIHHHHHH", _SHARED, _X86_64, 1, 0, _HEADER, 0, 0, _HEADER, _SEGMENT, 2, 0, 0, 0),
            struct.pack("<IIQQQQQQ", _LOAD, 6, 0, 0, 0, size, size, 4096),
            struct.pack("<IIQQQQQQ", _DYNAMIC, 6, dynamic, dynamic, dynamic, entries * _ENTRY, entries * _ENTRY, 8),
            bytes(_SYMBOL),  # every table starts with the null symbol
            struct.pack("<IIII", 1, 1, 0, 0),
            *(struct.pack("<qq", tag, value) for tag, value in (*tags, (_SONAME, 1), (_END, 0))),
            names,
        )
    )
    path.write_bytes(content)
