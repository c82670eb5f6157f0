"""Token ids in packed bits: the bytes are fixed, every list comes back, and nothing else is taken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.codes import pack_codes, unpack_codes
from edge.errors import InputError


def test_the_bytes_are_fixed():
    assert pack_codes(np.array([0xABC, 0xDEF])) == bytes.fromhex("abcdef")
    assert pack_codes(np.array([0xABC])) == bytes.fromhex("abc0")
    assert pack_codes(np.array([[1, 0], [1, 1]]), bits=1) == b"\xb0"
    assert unpack_codes(b"\xab\xcd\xef", 2).tolist() == [0xABC, 0xDEF]


@pytest.mark.parametrize(("count", "size"), [(32, 48), (64, 96), (128, 192)])
def test_a_tokenizers_picture_is_this_small(count, size):
    assert len(pack_codes(np.arange(count, dtype=np.int64) * 31)) == size


@given(st.integers(1, 24).flatmap(lambda b: st.tuples(st.just(b), st.lists(st.integers(0, (1 << b) - 1), max_size=70))))
def test_every_list_comes_back(case):
    bits, codes = case
    data = pack_codes(np.array(codes, np.int32), bits)
    assert len(data) == -(-len(codes) * bits // 8)
    found = unpack_codes(data, len(codes), bits)
    assert found.dtype == np.int32
    assert found.tolist() == codes
    assert int.from_bytes(data) >> (-len(codes) * bits % 8) == sum(
        code << bits * place for place, code in enumerate(reversed(codes))
    )


@given(st.binary(max_size=40), st.integers(-3, 40), st.integers(1, 24))
def test_other_bytes_are_refused_or_are_what_packing_gives(data, count, bits):
    try:
        codes = unpack_codes(data, count, bits)
    except InputError:
        return
    assert pack_codes(codes, bits) == data


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pack_codes(np.array([4096])), "from 0 to 4095"),
        (lambda: pack_codes(np.array([-1, 3])), "from -1 to 3"),
        (lambda: pack_codes(np.array([1.0])), "expected integers"),
        (lambda: pack_codes(np.array([1]), bits=25), "expected 1 to 24"),
        (lambda: unpack_codes(b"\x00" * 191, 128), "expected 192 bytes"),
        (lambda: unpack_codes(b"\x00\x01", 1), "0x01 is filled with ones"),
    ],
)
def test_what_does_not_fit_says_why(call, message):
    with pytest.raises(InputError, match=message):
        call()
