"""A library's headers are read as far as they hold, whatever the file says."""

import io
import struct

import pytest
from embed_artifacts import make_library
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.elf import write_empty_library
from edge.embed.elf import read_library
from edge.errors import InputError


def read(data):
    return read_library(io.BytesIO(data), len(data), "libx.so")


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("align", [1, 4096, 16384, 65536])
def test_alignment(bits, align):
    library = read(make_library(align, bits=bits))
    assert (library.bits, library.align, len(library.segments)) == (bits, align, 1)


def test_a_real_librarys_segments(tmp_path):
    write_empty_library(tmp_path / "libx.so", ["word"])
    library = read((tmp_path / "libx.so").read_bytes())
    assert (library.machine, library.align) == ("x86_64", 4096)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda data: b"MZ" + data[2:], "no ELF header"),
        (lambda data: data[:40], "no ELF header"),
        (lambda data: data[:4] + b"\3" + data[5:], "class 3"),
        (lambda data: data[:5] + b"\2" + data[6:], "data 2"),
        (lambda data: data[:16] + struct.pack("<H", 2) + data[18:], "its type is 2"),
        (lambda data: data[:32] + struct.pack("<Q", 1 << 60) + data[40:], "pass its end"),
        (lambda data: data[:56] + struct.pack("<H", 0xFFFF) + data[58:], "65535 program headers"),
        (lambda data: data[:64] + struct.pack("<I", 6) + data[68:], "no segment to load"),
        (lambda data: data[:96] + struct.pack("<Q", 1 << 40) + data[104:], "passes its end"),
        (lambda data: data[:104] + struct.pack("<Q", 1) + data[112:], "in memory"),
        (lambda data: data[:112] + struct.pack("<Q", 12345) + data[120:], "no power of two"),
        (lambda data: data[:80] + struct.pack("<Q", 4097) + data[88:], "cannot be mapped"),
        (lambda data: data[:100], "pass its end"),
    ],
)
def test_broken_libraries_are_refused(change, what):
    with pytest.raises(InputError, match=what):
        read(change(make_library()))


@settings(max_examples=400)
@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 119), st.integers(0, 255)), max_size=8))
def test_any_bytes_are_read_or_refused(tail, changes):
    for data in (tail, b"\x7fELF" + tail, bytes(_changed(make_library(), changes)), make_library()[: len(tail)]):
        try:
            library = read(data)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert library.align >= 1
            assert all(segment.offset + segment.file_size <= len(data) for segment in library.segments)


def _changed(data, changes):
    found = bytearray(data)
    for at, value in changes:
        found[at] = value
    return found
