"""Sums of the kernels equal numpy's for every shape, on every path that this processor has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ContractError, MissingError, UnknownName, UsageError
from quant.kernels import TernaryKernel, available_paths, compiled_paths, encode, quantize_rows
from quant.ternary import LAYOUTS, Layout, PackedError, TernaryTensor, pack

X86_PATHS = ("avx512-vbmi", "avx512-vnni", "avx-vnni", "avx2")
ARM_PATHS = ("neon-i8mm", "neon-dotprod", "neon")
COLUMNS = (1, 2, 5, 15, 16, 63, 64, 65, 100, 255, 256, 257, 319, 320, 321, 1023, 1024, 1280, 2049)


def _tensor(shape: tuple[int, ...], seed: int = 0) -> TernaryTensor:
    random = np.random.default_rng(seed)
    return TernaryTensor(random.integers(-1, 2, shape, np.int8), random.uniform(0.01, 2, shape[0]).astype(np.float32))


def _activations(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, shape, np.int8)


def _sums(tensor: TernaryTensor, activations: np.ndarray) -> np.ndarray:
    rows = np.moveaxis(tensor.trits, 1, -1).reshape(len(tensor.trits), -1)
    return (activations.astype(np.int64) @ rows.T.astype(np.int64)).astype(np.int32)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_sums_are_exact_whatever_the_number_of_columns(path: str, layout: Layout, columns: int) -> None:
    for channels, rows in ((1, 1), (8, 2), (19, 1), (35, 7)):
        tensor, activations = _tensor((channels, columns), columns), _activations((rows, columns), channels)
        kernel = TernaryKernel(pack(tensor, layout), path=path)
        assert kernel.path == path
        assert (kernel.rows, kernel.columns, kernel.shape) == (channels, columns, tensor.shape)
        assert np.array_equal(kernel.accumulate(activations), _sums(tensor, activations))


@pytest.mark.parametrize("rows", [*range(1, 21), 64, 129, 300, 2000])
def test_sums_are_exact_whatever_the_number_of_rows(path: str, rows: int) -> None:
    tensor, activations = _tensor((43, 333)), _activations((rows, 333))
    for threads in (1, 3):
        kernel = TernaryKernel(pack(tensor, "t2"), path=path, threads=threads)
        assert np.array_equal(kernel.accumulate(activations), _sums(tensor, activations))


def test_sums_of_many_megabytes_are_exact() -> None:
    """From 4 MiB on codes lie in large pages."""
    tensor, activations = _tensor((2049, 8200)), _activations((2, 8200))
    kernel = TernaryKernel(encode(tensor, "t2"))
    assert kernel.code_bytes > 4 << 20
    assert np.array_equal(kernel.accumulate(activations), _sums(tensor, activations))


@settings(deadline=None, max_examples=60)
@given(
    channels=st.integers(1, 70),
    columns=st.integers(1, 3000),
    rows=st.integers(1, 20),
    layout=st.sampled_from(LAYOUTS),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_sums_are_exact(channels: int, columns: int, rows: int, layout: Layout, threads: int, seed: int) -> None:
    tensor, activations = _tensor((channels, columns), seed), _activations((rows, columns), seed)
    packed, expected = pack(tensor, layout), _sums(tensor, activations)
    for path in available_paths():
        assert np.array_equal(TernaryKernel(packed, path=path, threads=threads).accumulate(activations), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("trit", [-1, 1])
@pytest.mark.parametrize("value", [-128, -127, 127])
@pytest.mark.parametrize("rows", [1, 4, 5])
def test_the_largest_sums_do_not_overflow(path: str, layout: Layout, trit: int, value: int, rows: int) -> None:
    columns = 66_003
    tensor = TernaryTensor(np.full((9, columns), trit, np.int8), np.ones(9, np.float32))
    found = TernaryKernel(pack(tensor, layout), path=path).accumulate(np.full((rows, columns), value, np.int8))
    assert np.array_equal(found, np.full((rows, 9), trit * value * columns, np.int32))


def test_results_are_the_sums_scaled_in_float32(path: str) -> None:
    tensor, activations = _tensor((21, 500)), _activations((2, 3, 500))
    random = np.random.default_rng(2)
    scales, bias = random.uniform(0.01, 1, (2, 3)).astype(np.float32), random.normal(size=21).astype(np.float32)
    kernel = TernaryKernel(pack(tensor, "t5"), path=path)
    expected = _sums(tensor, activations).astype(np.float32) * (scales[..., None] * tensor.scale)
    assert np.array_equal(kernel.matmul(activations, scales), expected)
    assert np.array_equal(kernel.matmul(activations, scales, bias), expected + bias)
    assert kernel.matmul(activations[0, 0], scales[0, 0]).shape == (21,)


def test_float_activations_become_int8_by_their_largest_magnitude() -> None:
    values = np.random.default_rng(3).normal(size=(4, 6, 300)).astype(np.float32)
    values[1], values[2] = 0, values[2] * np.float32(1e-41)
    values[3, 0, :3] = [127, 0.5, 1.5]  # half to even
    values[3, 0, 3:] = 0
    codes, scales = quantize_rows(values)
    expected = np.maximum(np.abs(values).max(axis=-1) / np.float32(127), np.finfo(np.float32).tiny)
    assert np.array_equal(scales, expected)
    assert np.array_equal(codes, np.rint(values / expected[..., None]).astype(np.int8))
    assert codes[3, 0, :3].tolist() == [127, 0, 2]
    tensor = _tensor((10, 300))
    kernel = TernaryKernel(pack(tensor, "t2"))
    assert np.array_equal(kernel.linear(values), kernel.matmul(codes, scales))
    relative = np.abs(kernel.linear(values[0]) - values[0] @ tensor.dequantize().T).max()
    assert relative < 0.02 * np.abs(values[0] @ tensor.dequantize().T).max()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ContractError, match="row 1 holds a value that is not finite"):
        quantize_rows(np.array([[1.0, 2.0], [bad, 1.0]], np.float32))


def test_t5_is_kept_or_becomes_t2(path: str) -> None:
    tensor = _tensor((8, 1280))
    found = TernaryKernel(pack(tensor, "t5"), path=path).code_bytes
    assert found == 8 * (256 if path in ("scalar", "avx512-vbmi") else 320)


def test_bytes_at_an_odd_address_are_taken(path: str) -> None:
    tensor, activations = _tensor((9, 77)), _activations((78,))[1:]
    packed = memoryview(b"-" + pack(tensor, "t2"))[1:]
    assert np.array_equal(TernaryKernel(packed, path=path).accumulate(activations), _sums(tensor, activations))


@pytest.mark.parametrize("name", [*X86_PATHS, *ARM_PATHS, "scalar"])
def test_a_path_runs_or_is_refused(name: str) -> None:
    packed = pack(_tensor((2, 3)), "t2")
    if name not in compiled_paths():
        with pytest.raises(UnknownName, match=f"unknown kernel path '{name}'"):
            TernaryKernel(packed, path=name)
    elif name not in available_paths():
        with pytest.raises(MissingError, match=f"the path {name} needs .*, which this processor lacks"):
            TernaryKernel(packed, path=name)
        pytest.skip(f"this processor cannot run the kernels' path {name}: none of its products was tested")
    else:
        assert TernaryKernel(packed, path=name).path == name


def test_the_best_path_is_taken() -> None:
    assert TernaryKernel(pack(_tensor((2, 3)), "t2")).path == available_paths()[0]


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((2, 9), np.int8, "expected (…, 10)"),
        ((0, 10), np.int8, "not empty"),
        ((), np.int8, "expected (…, 10)"),
        ((2, 10), np.int16, "activations are int16; expected int8"),
    ],
)
def test_activations_that_do_not_fit_are_refused(shape: tuple[int, ...], dtype: type, words: str) -> None:
    kernel = TernaryKernel(pack(_tensor((3, 10)), "t2"))
    with pytest.raises(ContractError) as caught:
        kernel.accumulate(np.zeros(shape, dtype))
    assert words in str(caught.value)


def test_scales_and_biases_that_do_not_fit_are_refused() -> None:
    kernel, activations = TernaryKernel(pack(_tensor((3, 10)), "t2")), np.zeros((2, 10), np.int8)
    with pytest.raises(ContractError, match="scales of shape"):
        kernel.matmul(activations, np.ones(3, np.float32))
    with pytest.raises(ContractError, match="a bias of shape"):
        kernel.matmul(activations, np.ones(2, np.float32), np.ones(2, np.float32))


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_a_number_of_threads_that_cannot_be_is_refused(threads: int) -> None:
    with pytest.raises(UsageError, match="expected 1 to 256"):
        TernaryKernel(pack(_tensor((2, 3)), "t2"), threads=threads)


def test_no_bytes_are_no_kernel() -> None:
    with pytest.raises(PackedError, match="0 bytes"):
        TernaryKernel(b"")
