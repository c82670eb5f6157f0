"""The C++ encoder and decoder agree with numpy's, and take nothing that numpy's refuses."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.kernels import TernaryKernel, decode, encode
from quant.ternary import LAYOUTS, NotTernary, PackedError, TernaryTensor, pack, unpack

SHAPES = st.one_of(
    st.tuples(st.integers(1, 20), st.integers(1, 700)),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3)),
)


def _tensor(shape: tuple[int, ...], seed: int) -> TernaryTensor:
    random = np.random.default_rng(seed)
    return TernaryTensor(random.integers(-1, 2, shape, np.int8), random.uniform(0.1, 9, shape[0]).astype(np.float32))


@given(shape=SHAPES, layout=st.sampled_from(LAYOUTS), seed=st.integers(0, 2**32))
def test_bytes_and_tensors_are_those_of_numpy(shape, layout, seed: int) -> None:
    tensor = _tensor(shape, seed)
    packed = pack(tensor, layout)
    assert encode(tensor, layout) == packed
    assert decode(packed) == tensor


def _sealed(data: bytearray) -> bytes:
    """Make the checksum right again."""
    struct.pack_into("<I", data, 40, zlib.crc32(data[64:], zlib.crc32(data[:40])))
    return bytes(data)


@settings(max_examples=200)
@given(
    layout=st.sampled_from(LAYOUTS),
    cut=st.integers(0, 400),
    flips=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 255)), max_size=4),
    sealed=st.booleans(),
)
def test_damaged_bytes_are_refused_as_numpy_refuses_them(layout, cut: int, flips, sealed: bool) -> None:
    damaged = bytearray(pack(_tensor((3, 41), 4), layout))
    for position, change in flips:
        damaged[position % len(damaged)] ^= change
    damaged = damaged[:cut]
    data = _sealed(damaged) if sealed and len(damaged) >= 64 else bytes(damaged)
    try:
        expected = unpack(data)
    except PackedError:
        with pytest.raises(PackedError):
            decode(data)
        with pytest.raises(PackedError):
            TernaryKernel(data)
        return
    if any(data[76:128]):  # numpy does not look between the scales and the codes
        return
    assert decode(data) == expected
    TernaryKernel(data).accumulate(np.ones(expected.columns, np.int8))


@given(st.binary(max_size=400))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PackedError):
        TernaryKernel(data)


SMALL = pack(TernaryTensor(np.array([[1, 0, -1], [0, 0, 1]], np.int8), np.ones(2, np.float32)), "t5")


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (0, b"EDKX", "do not begin with EDKT"), (4, b"\x02", "version 2"), (5, b"\x03", "layout 3"),
        (6, b"\x01", "1 dimensions"), (7, b"\x01", "must be 0"), (50, b"\x01", "must be 0"),
        (12, struct.pack("<I", 0), "dimension 1 of 2 is 0"), (8, struct.pack("<I", 1 << 31), "cut off or"),
        (12, struct.pack("<I", 1 << 24), "more than 16777215 weights"), (64, struct.pack("<f", -1.0), "positive"),
        (64, struct.pack("<f", 0), "positive"), (64, struct.pack("<f", float("nan")), "finite"),
        (64, struct.pack("<f", float("inf")), "finite"), (128, b"\xff", "which no trits make"),
        (128, b"\x00", "beyond the end"), (72, b"\x01", "between the scales and the codes"),
    ],
)  # fmt: skip
def test_each_wrong_field_is_named_although_the_checksum_fits(offset: int, value: bytes, words: str) -> None:
    data = bytearray(SMALL)
    data[offset : offset + len(value)] = value
    with pytest.raises(PackedError, match=words):
        TernaryKernel(_sealed(data))


def test_more_weights_than_int32_sums_allow_are_refused() -> None:
    trits = np.broadcast_to(np.int8(0), (1, 1 << 24))
    with pytest.raises(NotTernary, match="less than 2\\^24"):
        encode(TernaryTensor(trits, np.ones(1, np.float32)), "t5")
