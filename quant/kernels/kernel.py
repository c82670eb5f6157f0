"""A packed ternary weight that multiplies: numpy arrays in and out, the work done by the C++ library."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ContractError, UnknownName
from quant.kernels.library import Conv, Info, call, library, pool
from quant.kernels.packing import Packed, bytes_of

Int8 = NDArray[np.int8]
Float32 = NDArray[np.float32]


def compiled_paths() -> tuple[str, ...]:
    """Return the instruction sets that the library was compiled for, best first; raises MissingError without it."""
    names: list[str] = []
    while name := library().ternary_path(len(names)):
        names.append(name.decode())
    return tuple(names)


def available_paths() -> tuple[str, ...]:
    """Return those of them that this processor has, best first; raises MissingError without the library."""
    return tuple(name for name in compiled_paths() if library().ternary_path_runs(name.encode()))


def quantize_rows(values: Float32) -> tuple[Int8, Float32]:
    """Return int8 codes (…, K) of float rows and their scales (…): |x|max / 127, at least 2^-126; half to even.

    Raises ContractError for values that are not finite.
    """
    rows = np.asarray(values, np.float32, order="C")
    if rows.ndim == 0 or rows.size == 0:
        raise ContractError(f"activations of shape {rows.shape}; expected (…, K) with at least one value")
    codes, scales = np.empty(rows.shape, np.int8), np.empty(rows.shape[:-1], np.float32)
    columns = rows.shape[-1]
    call("ternary_quantize", rows.ctypes.data, rows.size // columns, columns, codes.ctypes.data, scales.ctypes.data)
    return codes, scales


class TernaryKernel:
    """Multiply int8 activations by a packed ternary weight, exactly.

    `packed` is what `quant.ternary.pack` returns and is copied. `path` forces an instruction set: UnknownName for none
    of `compiled_paths`, MissingError where the processor lacks it. Raises PackedError for damaged bytes and UsageError
    for other than 1 to 256 threads. It never changes and may be used by several threads at once.
    """

    __slots__ = ("__weakref__", "_handle", "_info", "_threads")

    def __init__(self, packed: Packed | NDArray[np.uint8], *, path: str | None = None, threads: int = 1) -> None:
        if path is not None and path not in compiled_paths():
            raise UnknownName("kernel path", path, compiled_paths())
        data, handle = bytes_of(packed), ctypes.c_void_p()
        pool(threads)  # refuses what cannot be
        self._threads = threads
        forced = None if path is None else path.encode()
        call("ternary_load", data.ctypes.data, data.size, forced, ctypes.byref(handle))
        self._handle, self._info = handle, Info()
        weakref.finalize(self, library().ternary_free, handle)
        library().ternary_describe(handle, ctypes.byref(self._info))

    @property
    def path(self) -> str:
        """Return the name of the instruction set that is used."""
        return str(self._info.path.decode())

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the weight's shape, output channels first."""
        return self._info.sizes

    @property
    def rows(self) -> int:
        """Return M, the number of output channels."""
        return int(self._info.rows)

    @property
    def columns(self) -> int:
        """Return K, the number of weights in an output channel."""
        return int(self._info.columns)

    @property
    def code_bytes(self) -> int:
        """Return what the weights take in memory, without their scales."""
        return int(self._info.bytes)

    def accumulate(self, activations: Int8) -> NDArray[np.int32]:
        """Return the exact sums (…, M) of int8 activations (…, K)."""
        values = self._rows_of(activations)
        sums = np.empty((*values.shape[:-1], self.rows), np.int32)
        self._call("ternary_accumulate", values.ctypes.data, values.size // self.columns, sums.ctypes.data)
        return sums

    def matmul(self, activations: Int8, scales: Float32, bias: Float32 | None = None) -> Float32:
        """Return float32 (…, M) of int8 activations (…, K) with a scale for each row (…), and a bias (M)."""
        values = self._rows_of(activations)
        factors = _floats(scales, values.shape[:-1], "scales")
        results, added = np.empty((*values.shape[:-1], self.rows), np.float32), self._bias(bias)
        count = values.size // self.columns
        self._call(
            "ternary_matmul", values.ctypes.data, factors.ctypes.data, count, _address(added), results.ctypes.data
        )
        return results

    def linear(self, values: Float32, bias: Float32 | None = None) -> Float32:
        """Return float32 (…, M) of float activations (…, K), which become int8 as by `quantize_rows`."""
        rows = self._rows_of(np.asarray(values, np.float32), np.float32)
        results, added = np.empty((*rows.shape[:-1], self.rows), np.float32), self._bias(bias)
        self._call("ternary_linear", rows.ctypes.data, rows.size // self.columns, _address(added), results.ctypes.data)
        return results

    def conv2d(
        self,
        activations: Int8,
        scales: Float32,
        bias: Float32 | None = None,
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
    ) -> Float32:
        """Return float32 (N, H', W', M) of int8 activations (N, H, W, C) with a scale for each image (N).

        Strides and dilations are down and right; paddings too, or top, left, bottom and right.
        """
        values, conv = _images(activations, stride, padding, dilation)
        factors = _floats(scales, values.shape[:1], "scales")
        results, added = np.empty(self._conv_shape(conv), np.float32), self._bias(bias)
        addresses = (values.ctypes.data, factors.ctypes.data, _address(added), results.ctypes.data)
        self._call("ternary_conv_matmul", ctypes.byref(conv), *addresses)
        return results

    def convolve(
        self,
        images: Float32,
        bias: Float32 | None = None,
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
    ) -> Float32:
        """Return float32 (N, M, H', W') of float32 images (N, C, H, W), each of which becomes int8 with one scale."""
        values = _checked(images, np.float32)
        if values.ndim != 4:
            raise ContractError(f"images of shape {values.shape}; expected (N, C, H, W)")
        conv = _conv(tuple(values.shape[axis] for axis in (0, 2, 3, 1)), stride, padding, dilation)
        count, height, width, channels = self._conv_shape(conv)
        results, added = np.empty((count, channels, height, width), np.float32), self._bias(bias)
        addresses = (values.ctypes.data, _address(added), results.ctypes.data)
        self._call("ternary_conv2d", ctypes.byref(conv), *addresses)
        return results

    def conv2d_accumulate(
        self,
        activations: Int8,
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
    ) -> NDArray[np.int32]:
        """Return the exact sums (N, H', W', M) of int8 activations (N, H, W, C)."""
        values, conv = _images(activations, stride, padding, dilation)
        sums = np.empty(self._conv_shape(conv), np.int32)
        self._call("ternary_conv_accumulate", ctypes.byref(conv), values.ctypes.data, sums.ctypes.data)
        return sums

    def _call(self, name: str, *arguments: object) -> None:
        call(name, self._handle, pool(self._threads), *arguments)

    def _rows_of(self, activations: NDArray[Any], dtype: type[np.generic] = np.int8) -> NDArray[Any]:
        values = _checked(activations, dtype)
        if values.ndim == 0 or values.shape[-1] != self.columns or values.size == 0:
            raise ContractError(f"activations of shape {values.shape}; expected (…, {self.columns}), not empty")
        return values

    def _bias(self, bias: Float32 | None) -> Float32 | None:
        return None if bias is None else _floats(bias, (self.rows,), "a bias")

    def _conv_shape(self, conv: Conv) -> tuple[int, int, int, int]:
        height, width = ctypes.c_int64(), ctypes.c_int64()
        call("ternary_conv_output", self._handle, ctypes.byref(conv), ctypes.byref(height), ctypes.byref(width))
        return int(conv.images), height.value, width.value, self.rows


def _checked(activations: NDArray[Any], dtype: type[np.generic] = np.int8) -> NDArray[Any]:
    if activations.dtype != dtype:
        raise ContractError(f"activations are {activations.dtype}; expected {np.dtype(dtype)}")
    return np.asarray(activations, order="C")


def _floats(values: Float32, shape: tuple[int, ...], what: str) -> Float32:
    floats = np.asarray(values, np.float32, order="C")
    if floats.shape != shape:
        raise ContractError(f"{what} of shape {floats.shape}; expected {shape}")
    return floats


def _address(values: Float32 | None) -> int | None:
    return None if values is None else values.ctypes.data


def _images(
    activations: Int8, stride: int | Sequence[int], padding: int | Sequence[int], dilation: int | Sequence[int]
) -> tuple[Int8, Conv]:
    values = _checked(activations)
    return values, _conv(values.shape, stride, padding, dilation)


def _conv(
    shape: tuple[int, ...], stride: int | Sequence[int], padding: int | Sequence[int], dilation: int | Sequence[int]
) -> Conv:
    if len(shape) != 4 or 0 in shape:
        raise ContractError(f"activations of shape {shape}; expected (N, H, W, C), not empty")
    pads = _numbers(padding, (2, 4), "padding")
    conv = Conv(*shape)
    conv.stride[:] = _numbers(stride, (2,), "stride")
    conv.padding[:] = pads * 2 if len(pads) == 2 else pads
    conv.dilation[:] = _numbers(dilation, (2,), "dilation")
    return conv


def _numbers(value: int | Sequence[int], counts: tuple[int, ...], what: str) -> list[int]:
    numbers = [value] * counts[0] if isinstance(value, int) else list(value)
    if len(numbers) not in counts or any(abs(number) >= 1 << 62 for number in numbers):
        raise ContractError(f"{what} {value}; expected one number or {' or '.join(map(str, counts))}")
    return numbers
