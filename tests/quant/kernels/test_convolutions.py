"""Convolutions of the kernels equal PyTorch's on the same integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ContractError
from quant.kernels import TernaryKernel, available_paths
from quant.ternary import LAYOUTS, PackedError, TernaryTensor, pack


def _sums(trits: np.ndarray, values: np.ndarray, stride, padding, dilation) -> np.ndarray:
    """Return the sums (N, H', W', out) of values (N, H, W, C), tap by tap."""
    top, left, bottom, right = padding
    padded = np.pad(values.astype(np.int64), ((0, 0), (top, bottom), (left, right), (0, 0)))
    down, across = trits.shape[2:]
    height = (padded.shape[1] - dilation[0] * (down - 1) - 1) // stride[0] + 1
    width = (padded.shape[2] - dilation[1] * (across - 1) - 1) // stride[1] + 1
    total = np.zeros((len(values), height, width, len(trits)), np.int64)
    for y in range(down):
        for x in range(across):
            rows = slice(y * dilation[0], y * dilation[0] + (height - 1) * stride[0] + 1, stride[0])
            columns = slice(x * dilation[1], x * dilation[1] + (width - 1) * stride[1] + 1, stride[1])
            total += padded[:, rows, columns] @ trits[:, :, y, x].T.astype(np.int64)
    return total.astype(np.int32)


@st.composite
def convolutions(draw: st.DrawFn):
    down, across = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    numbers = st.tuples(st.integers(1, 3), st.integers(1, 3))
    stride, dilation = draw(numbers), draw(numbers)
    padding = tuple(draw(st.integers(0, 3)) for _ in range(4))
    height = draw(st.integers(max(1, dilation[0] * (down - 1) + 1 - padding[0] - padding[2]), 14))
    width = draw(st.integers(max(1, dilation[1] * (across - 1) + 1 - padding[1] - padding[3]), 14))
    images, channels, out = draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 20))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    trits = random.integers(-1, 2, (out, channels, down, across), np.int8)
    return trits, random.integers(-128, 128, (images, height, width, channels), np.int8), stride, padding, dilation


@settings(deadline=None, max_examples=60)
@given(case=convolutions(), layout=st.sampled_from(LAYOUTS), threads=st.integers(1, 2))
def test_sums_are_exact(case, layout, threads: int) -> None:
    trits, values, stride, padding, dilation = case
    packed = pack(TernaryTensor(trits, np.ones(len(trits), np.float32)), layout)
    expected = _sums(trits, values, stride, padding, dilation)
    for path in available_paths():
        kernel = TernaryKernel(packed, path=path, threads=threads)
        found = kernel.conv2d_accumulate(values, stride=stride, padding=padding, dilation=dilation)
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(("size", "stride", "padding"), [(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 2, 1), (5, 1, 2)])
def test_results_are_those_of_pytorch(path: str, size: int, stride: int, padding: int) -> None:
    import torch

    random = np.random.default_rng(size)
    tensor = TernaryTensor(
        random.integers(-1, 2, (24, 16, size, size), np.int8), random.uniform(0.1, 2, 24).astype(np.float32)
    )
    values, bias = random.integers(-127, 128, (2, 19, 17, 16), np.int8), random.normal(size=24).astype(np.float32)
    scales = np.array([0.25, 0.5], np.float32)  # exact factors
    kernel = TernaryKernel(pack(tensor, "t2"), path=path, threads=2)
    found = kernel.conv2d(values, scales, bias, stride=stride, padding=padding)
    floats = torch.from_numpy((values * scales[:, None, None, None]).transpose(0, 3, 1, 2).astype(np.float64))
    weight = torch.from_numpy(tensor.dequantize().astype(np.float64))
    expected = torch.nn.functional.conv2d(
        floats, weight, torch.from_numpy(bias.astype(np.float64)), stride=stride, padding=padding
    )
    assert found.dtype == np.float32
    assert np.abs(found - expected.numpy().transpose(0, 2, 3, 1)).max() < 1e-3  # of up to about 2000


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((1, 5, 5, 4), {}, "have 4 channels; the weight has 3"),
        ((1, 2, 5, 3), {}, "less than the 3 under the weight"),
        ((1, 5, 5, 3), {"stride": 0}, "stride is 0; expected 1"),
        ((1, 5, 5, 3), {"padding": -1}, "padding is -1; expected 0"),
        ((1, 5, 5, 3), {"dilation": (1, 0)}, "dilation is 0; expected 1"),
        ((1, 5, 5, 3), {"padding": (1, 2, 3)}, "padding (1, 2, 3); expected one number or 2 or 4"),
        ((5, 5, 3), {}, "expected (N, H, W, C)"),
    ],
)
def test_what_does_not_fit_is_refused(shape, options, words: str) -> None:
    kernel = TernaryKernel(pack(TernaryTensor(np.ones((2, 3, 3, 3), np.int8), np.ones(2, np.float32)), "t2"))
    with pytest.raises((ContractError, PackedError)) as caught:
        kernel.conv2d_accumulate(np.zeros(shape, np.int8), **options)
    assert words in str(caught.value)


def test_the_weight_of_a_linear_layer_does_not_convolve() -> None:
    kernel = TernaryKernel(pack(TernaryTensor(np.ones((2, 3), np.int8), np.ones(2, np.float32)), "t2"))
    with pytest.raises(PackedError, match="no convolution's"):
        kernel.conv2d_accumulate(np.zeros((1, 1, 1, 3), np.int8))
