"""Ternary tensors and their packed bytes: every shape comes back, and nothing else is taken for one."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from quant.ternary import LAYOUTS, NotTernary, PackedError, TernaryTensor, pack, ternary_of, unpack
from quant.ternary.packing import packed_bits

SHAPES = st.one_of(
    st.tuples(st.integers(1, 20), st.integers(1, 700)),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
)


@st.composite
def tensors(draw: st.DrawFn) -> TernaryTensor:
    shape = draw(SHAPES)
    trits = np.random.default_rng(draw(st.integers(0, 2**32))).integers(-1, 2, shape, np.int8)
    scales = arrays.arrays(np.float32, shape[0], elements=st.floats(2**-60, 2**60, width=32))
    return TernaryTensor(trits, draw(scales))


@given(tensor=tensors(), layout=st.sampled_from(LAYOUTS))
def test_what_was_packed_comes_back(tensor: TernaryTensor, layout) -> None:
    packed = pack(tensor, layout)
    found = unpack(packed)
    assert found == tensor
    assert found.shape == tensor.shape
    assert pack(found, layout) == packed


@given(tensor=tensors())
def test_a_float_weight_is_recognised_as_what_it_is(tensor: TernaryTensor) -> None:
    found = ternary_of(tensor.dequantize())
    assert np.array_equal(found.dequantize(), tensor.dequantize())
    used = tensor.trits.reshape(len(tensor.trits), -1).any(axis=1)
    assert np.array_equal(found.scale[used], tensor.scale[used])


def test_the_bytes_of_t5_are_those_of_the_description() -> None:
    tensor = TernaryTensor(np.array([[1, 0, -1, 1, 1, 0, -1]], np.int8), np.array([2.5], np.float32))
    packed = pack(tensor, "t5")
    assert packed[:8] == b"EDKT\x01\x05\x02\x00"
    assert struct.unpack_from("<6IQ", packed, 8) == (1, 7, 0, 0, 0, 0, 130)
    assert struct.unpack_from("<f", packed, 64) == (2.5,)
    # R = 2: byte 0 holds trits 0, 2, 4, 6, 8; byte 1 holds 1, 3, 5, 7, 9
    assert list(packed[128:]) == [2 + 0 * 3 + 2 * 9 + 0 * 27 + 1 * 81, 1 + 2 * 3 + 1 * 9 + 1 * 27 + 1 * 81]


def test_taps_of_a_convolution_lie_side_by_side() -> None:
    trits = np.zeros((1, 2, 2, 2), np.int8)
    trits[0, 1, 0, 0] = 1  # the second input channel of the first tap
    flat = TernaryTensor(np.array([[0, 1, 0, 0, 0, 0, 0, 0]], np.int8), np.ones(1, np.float32))
    assert pack(TernaryTensor(trits, np.ones(1, np.float32)), "t2")[128:] == pack(flat, "t2")[128:]


@pytest.mark.parametrize(("layout", "bits"), [("t5", 1.64), ("t2", 2.04)])
@pytest.mark.parametrize("columns", [1024, 1025, 1152, 4096, 5120])
def test_bits_per_weight(layout, bits: float, columns: int) -> None:
    tensor = TernaryTensor(np.zeros((512, columns), np.int8), np.ones(512, np.float32))
    assert packed_bits(tensor, layout) <= bits


SMALL = pack(TernaryTensor(np.array([[1, 0, -1], [0, 0, 1]], np.int8), np.ones(2, np.float32)), "t5")


@settings(max_examples=400)
@given(
    layout=st.sampled_from(LAYOUTS),
    cut=st.integers(0, 400),
    flips=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 255))),
)
@example(layout="t5", cut=400, flips=[(4, 1)])
@example(layout="t5", cut=400, flips=[(8, 255)])
def test_damaged_bytes_are_refused(layout, cut: int, flips: list[tuple[int, int]]) -> None:
    tensor = TernaryTensor(np.ones((3, 40), np.int8), np.ones(3, np.float32))
    packed = pack(tensor, layout)
    damaged = bytearray(packed)
    for position, change in flips:
        damaged[position % len(damaged)] ^= change
    damaged = damaged[:cut]
    if bytes(damaged) == packed:
        assert unpack(damaged) == tensor
        return
    with pytest.raises(PackedError):
        unpack(bytes(damaged))


@given(st.binary(max_size=400))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PackedError):
        unpack(data)


def _sealed(data: bytearray) -> bytes:
    """Make the checksum right again."""
    struct.pack_into("<I", data, 40, zlib.crc32(data[64:], zlib.crc32(data[:40])))
    return bytes(data)


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (0, b"EDKX", "begins with"), (4, b"\x02", "version 2"), (5, b"\x03", "layout 3"), (6, b"\x01", "1 dimensions"),
        (7, b"\x01", "must be 0"), (8, struct.pack("<I", 0), "shape"), (8, struct.pack("<I", 1 << 31), "cut off or"),
        (50, b"\x01", "must be 0"), (64, struct.pack("<f", -1.0), "positive"), (64, struct.pack("<f", 0), "positive"),
        (64, struct.pack("<f", float("nan")), "finite"), (100, b"\x01", "between"), (128, b"\xff", "holds no trits"),
        (128, b"\x00", "not 0"),
    ],
)  # fmt: skip
def test_each_wrong_field_is_named_although_the_checksum_fits(offset: int, value: bytes, words: str) -> None:
    data = bytearray(SMALL)
    data[offset : offset + len(value)] = value
    with pytest.raises(PackedError, match=words):
        unpack(_sealed(data))


@pytest.mark.parametrize(
    ("trits", "scale", "words"),
    [
        ([[2, 0]], [1.0], "2 is no trit"), ([[0.5, 0]], [1.0], "expected integers"), ([[1, 0]], [0.0], "positive"),
        ([[1, 0]], [-1.0], "positive"), ([[1, 0]], [float("nan")], "finite"), ([[1, 0]], [1.0, 1.0], "do not fit"),
        ([[1, 0]], [1e-60], "positive"), ([[]], [1.0], "at least one"), ([1, 0], [1.0], "at least one"),
    ],
)  # fmt: skip
def test_what_is_no_ternary_tensor_is_refused(trits, scale, words: str) -> None:
    with pytest.raises(NotTernary, match=words):
        TernaryTensor(np.array(trits), np.array(scale))


@pytest.mark.parametrize("weight", [[[1.0, 0.5]], [[np.nan, 1.0]], [[np.inf, 0.0]], [1.0, 0.0], [[]]])
def test_a_weight_with_other_values_is_refused(weight) -> None:
    with pytest.raises(NotTernary):
        ternary_of(np.array(weight))


def test_channels_of_a_transposed_convolution_are_on_another_axis() -> None:
    weight = np.zeros((4, 2, 3, 3), np.float32)
    weight[:, 0], weight[:, 1] = 0.5, -2.0
    with pytest.raises(NotTernary, match="magnitudes"):
        ternary_of(weight)
    assert ternary_of(weight, axis=1).scale.tolist() == [0.5, 2.0]


def test_tensors_are_equal_by_value() -> None:
    one = TernaryTensor(np.ones((2, 3), np.int8), np.ones(2, np.float32))
    assert one == TernaryTensor(np.ones((2, 3), np.int64), np.ones(2, np.float64))
    assert one != TernaryTensor(np.ones((2, 3), np.int8), np.full(2, 2.0))
    assert one != "one"
    with pytest.raises(TypeError):
        hash(one)


def test_more_dimensions_than_six_are_refused() -> None:
    with pytest.raises(NotTernary, match="up to 6 dimensions"):
        pack(TernaryTensor(np.ones((1,) * 7, np.int8), np.ones(1, np.float32)), "t2")
