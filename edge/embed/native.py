"""The native libraries of a project: its .so files, and those inside .aar, .apk and .aab files."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from edge.embed.elf import Library, read_library
from edge.errors import InputError

ARCHIVES = (".aar", ".apk", ".aab")
_SKIPPED = frozenset({".git", ".gradle", ".cxx", "node_modules", ".tools", "Pods", ".build", "DerivedData"})
_BIGGEST = 1 << 30  # bytes of one library
_LOCAL_HEADER = 30


@dataclass(frozen=True, slots=True)
class Found:
    """One file that is named like a library; `error` says why it could not be read as one.

    `stored_at` is where an archive keeps its bytes uncompressed, which Android then maps in place; None elsewhere.
    """

    where: str  # a path, and within an archive ARCHIVE!MEMBER
    name: str
    library: Library | None = None
    error: str = ""
    stored_at: int | None = None


def find_libraries(root: Path) -> tuple[Found, ...]:
    """Return every library below a folder, or of one archive, in the order of their paths."""
    return tuple(
        found for path in _files(root) for found in _of(path, path.relative_to(root) if path != root else path)
    )


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            if name.endswith((".so", *ARCHIVES)):
                yield Path(folder) / name


def _of(path: Path, shown: Path) -> Iterator[Found]:
    if path.suffix in ARCHIVES:
        yield from _archived(path, shown.as_posix())
        return
    try:
        with path.open("rb") as stream:
            yield _read(stream, path.stat().st_size, shown.as_posix(), path.name)
    except OSError as error:
        yield Found(shown.as_posix(), path.name, error=f"{shown} cannot be read: {error.strerror}; allow it")


def _read(stream: BinaryIO, size: int, where: str, name: str, stored_at: int | None = None) -> Found:
    try:
        return Found(where, name, read_library(stream, size, where), stored_at=stored_at)
    except InputError as error:
        return Found(where, name, error=str(error), stored_at=stored_at)


def _archived(path: Path, shown: str) -> Iterator[Found]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".so"):
                    yield _member(archive, member, shown)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        yield Found(shown, path.name, error=f"{shown} is a broken archive: {error}; build or download it again")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, shown: str) -> Found:
    where, name = f"{shown}!{member.filename}", PurePosixPath(member.filename).name
    if member.file_size > _BIGGEST:
        return Found(where, name, error=f"{where} claims {member.file_size} bytes; at most {_BIGGEST} are read")
    try:
        with archive.open(member) as stream:
            read = _read(cast(BinaryIO, stream), member.file_size, where, name, _stored_at(archive, member))
        return read
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        return Found(where, name, error=f"{where} cannot be unpacked: {error}; build or download it again")


def _stored_at(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int | None:
    """Return where the bytes of an uncompressed library of an app begin; its local header has lengths of its own."""
    if member.compress_type != zipfile.ZIP_STORED or not str(archive.filename).endswith(".apk"):
        return None
    with open(str(archive.filename), "rb") as stream:
        stream.seek(member.header_offset)
        header = stream.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER:
        raise zipfile.BadZipFile(f"the header of {member.filename} is cut off")
    name_size, extra_size = struct.unpack_from("<HH", header, 26)
    return member.header_offset + _LOCAL_HEADER + int(name_size) + int(extra_size)
