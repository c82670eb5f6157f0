"""Codes of 4 and 8 bits are found where a weight is exactly such, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant.coded import coded_of


@given(
    bits=st.sampled_from([4, 8]),
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(3, 5), (4, 2, 3, 3), (1, 1), (7, 40)]),
    axis=st.integers(0, 1),
)
def test_what_is_codes_times_a_scale_of_half_precision_is_found(bits, seed, shape, axis) -> None:
    random, largest = np.random.default_rng(seed), {4: 7, 8: 127}[bits]
    codes = random.integers(-largest, largest + 1, shape).astype(np.int8)
    codes.reshape(len(codes), -1)[:, 0] = largest
    scale = random.uniform(1e-3, 1, len(codes)).astype(np.float16).astype(np.float32)
    weight = codes.astype(np.float32) * scale.reshape(-1, *[1] * (len(shape) - 1))
    found = coded_of(np.moveaxis(weight, 0, axis), axis=axis)
    assert found is not None
    assert found.bits <= bits
    assert np.array_equal(found.dequantize(), weight)
    if found.bits == bits:
        assert np.array_equal(found.codes, codes)
        assert np.array_equal(found.scale, scale)


@pytest.mark.parametrize(("bits", "largest"), [(4, 7), (8, 127)])
def test_products_that_were_rounded_to_half_precision_are_found_too(bits: int, largest: int) -> None:
    random = np.random.default_rng(bits)
    codes = random.integers(-largest, largest + 1, (200, 64)).astype(np.int8)
    codes[:, 0] = largest
    scale = random.uniform(1e-3, 1, 200).astype(np.float16)
    weight = codes.astype(np.float16) * scale[:, None]
    found = coded_of(weight)
    assert found is not None
    assert found.bits == bits
    assert np.array_equal(found.codes.astype(np.float16) * found.scale.astype(np.float16)[:, None], weight)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e-45])
def test_other_numbers_are_no_codes(bad: float) -> None:
    weight = np.linspace(-1, 1, 60, dtype=np.float32).reshape(6, 10) ** 3
    assert coded_of(weight) is None
    weight[2, 3] = bad
    assert coded_of(weight) is None
    assert coded_of(np.float32(1)) is None
    assert coded_of(np.zeros((0, 3))) is None


def test_a_channel_of_zeros_has_the_scale_one() -> None:
    weight = np.zeros((2, 4), np.float32)
    weight[1] = [7, -3, 0, 1]
    found = coded_of(weight)
    assert found is not None
    assert found.bits == 4
    assert found.scale.tolist() == [1.0, 1.0]
