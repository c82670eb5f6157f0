"""Stand-ins for shared objects, loaded by the system's loader."""

import ctypes
import platform

import pytest

from edge.elf import write_empty_library

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the stand-ins are for x86-64")


@pytest.mark.parametrize("words", [(), ("one",), ("_ZN1a1b1cE", "two", "three")])
def test_library_loads_and_has_its_words(tmp_path, words):
    path = tmp_path / f"libstand_in{len(words)}.so"
    write_empty_library(path, words)
    library = ctypes.CDLL(str(path))
    assert [ctypes.c_int64.in_dll(library, word).value for word in words] == [0] * len(words)
    with pytest.raises(ValueError, match="undefined symbol"):
        ctypes.c_int64.in_dll(library, "absent")
