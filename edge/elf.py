"""Write a stand-in for a shared object: a library that loads, holds no code, and has the named words, all zero."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

_HEADER, _SEGMENT, _SYMBOL, _ENTRY, _WORD = 64, 56, 24, 16, 8  # sizes in an ELF64 file
_LOAD, _DYNAMIC = 1, 2
_HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME, _END = 4, 5, 6, 10, 11, 14, 0
_X86_64, _SHARED, _GLOBAL_OBJECT = 62, 3, 0x11


def write_empty_library(path: Path, words: Sequence[str] = ()) -> None:
    """Write an x86-64 Linux shared object, named like its file, without code; `words` are 8 zero bytes each.

    It stands for a library that a program names and never calls, where the vendor's package lacks it. The layout is
    that of the System V ABI: header, two segments, symbols, their hash table, dynamic section, words, names.
    """
    names = b"\0" + path.name.encode() + b"\0" + b"".join(word.encode() + b"\0" for word in words)
    symbols = _HEADER + 2 * _SEGMENT
    table = symbols + _SYMBOL * (1 + len(words))
    chains = [*range(1, len(words) + 1), 0]  # one bucket: its first symbol, then from each to the next, then the end
    hashes = struct.pack(f"<{3 + len(chains)}I", 1, len(chains), chains[0], 0, *chains[1:])
    dynamic = table + len(hashes) + -len(hashes) % 8
    entries = 7
    data = dynamic + entries * _ENTRY
    strings = data + _WORD * len(words)
    size = strings + len(names)
    tags = ((_STRTAB, strings), (_SYMTAB, symbols), (_HASH, table), (_STRSZ, len(names)), (_SYMENT, _SYMBOL))
    content = b"".join(
        (
            b"\x7fELF\2\1\1" + bytes(9),  # 64 bit, little-endian
            struct.pack("<HHIQQQIHHHHHH", _SHARED, _X86_64, 1, 0, _HEADER, 0, 0, _HEADER, _SEGMENT, 2, 0, 0, 0),
            struct.pack("<IIQQQQQQ", _LOAD, 6, 0, 0, 0, size, size, 4096),
            struct.pack("<IIQQQQQQ", _DYNAMIC, 6, dynamic, dynamic, dynamic, entries * _ENTRY, entries * _ENTRY, 8),
            bytes(_SYMBOL),  # every table starts with the null symbol
            *(
                struct.pack(
                    "<IBBHQQ", names.index(word.encode() + b"\0"), _GLOBAL_OBJECT, 0, 1, data + i * _WORD, _WORD
                )
                for i, word in enumerate(words)
            ),
            hashes + bytes(-len(hashes) % 8),
            *(struct.pack("<qq", tag, value) for tag, value in (*tags, (_SONAME, 1), (_END, 0))),
            bytes(_WORD * len(words)),
            names,
        )
    )
    path.write_bytes(content)
