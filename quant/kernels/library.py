"""The C functions of include/ternary.h, loaded once, with their statuses as the kit's errors."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from ctypes import POINTER, c_char, c_char_p, c_float, c_int, c_int8, c_int32, c_int64, c_size_t, c_uint32, c_void_p

from edge.errors import ContractError, EdgeError, MissingError, UsageError
from quant.kernels.compile import HERE, LIBRARY
from quant.ternary.packing import PackedError

ABI = 1
MENDED_BY = "pip install --no-build-isolation --no-deps -e ."
_DIMENSIONS = 6


class Error(ctypes.Structure):
    """`ternary_error`."""

    _fields_ = (("status", c_int), ("message", c_char * 248))


class Info(ctypes.Structure):
    """`ternary_info`."""

    _fields_ = (
        ("path", c_char_p),
        ("layout", c_int32),
        ("stored_layout", c_int32),
        ("dimensions", c_int32),
        ("shape", c_int64 * _DIMENSIONS),
        ("rows", c_int64),
        ("columns", c_int64),
        ("bytes", c_int64),
    )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the weight's shape, output channels first."""
        return tuple(self.shape[: self.dimensions])


class Conv(ctypes.Structure):
    """`ternary_conv`."""

    _fields_ = (
        ("images", c_int64),
        ("height", c_int64),
        ("width", c_int64),
        ("channels", c_int64),
        ("stride", c_int64 * 2),
        ("padding", c_int64 * 4),
        ("dilation", c_int64 * 2),
    )


_I8, _I32, _F32, _I64 = (POINTER(kind) for kind in (c_int8, c_int32, c_float, c_int64))
_ERROR = POINTER(Error)
_SHAPE = (c_int32, c_int32, c_void_p)  # layout, dimensions, sizes
# Functions that return a status; arrays are passed by their addresses.
_FALLIBLE: dict[str, tuple[object, ...]] = {
    "ternary_pool_create": (c_int32, POINTER(c_void_p)),
    "ternary_load": (c_void_p, c_size_t, c_char_p, POINTER(c_void_p)),
    "ternary_decode": (c_void_p, c_size_t, POINTER(Info), c_void_p, c_void_p),
    "ternary_encode": (*_SHAPE, c_void_p, c_void_p, c_void_p, c_size_t),
    "ternary_quantize": (c_void_p, c_size_t, c_size_t, c_void_p, c_void_p),
    "ternary_accumulate": (c_void_p, c_void_p, c_void_p, c_size_t, c_void_p),
    "ternary_matmul": (c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_void_p),
    "ternary_linear": (c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_void_p),
    "ternary_conv_output": (c_void_p, POINTER(Conv), _I64, _I64),
    "ternary_conv_accumulate": (c_void_p, c_void_p, POINTER(Conv), c_void_p, c_void_p),
    "ternary_conv_matmul": (c_void_p, c_void_p, POINTER(Conv), c_void_p, c_void_p, c_void_p, c_void_p),
    "ternary_conv2d": (c_void_p, c_void_p, POINTER(Conv), c_void_p, c_void_p, c_void_p),
}
_OTHERS: dict[str, tuple[object, tuple[object, ...]]] = {
    "ternary_abi": (c_uint32, ()),
    "ternary_path": (c_char_p, (c_size_t,)),
    "ternary_path_runs": (c_int, (c_char_p,)),
    "ternary_pool_free": (None, (c_void_p,)),
    "ternary_free": (None, (c_void_p,)),
    "ternary_describe": (None, (c_void_p, POINTER(Info))),
    "ternary_encoded_bytes": (c_size_t, _SHAPE),
}
# Statuses 1 to 9 of the header.
_ERRORS: dict[int, Callable[[str], EdgeError]] = {
    **dict.fromkeys((1, 2, 3, 4, 5, 6), PackedError),
    7: MissingError,
    8: ContractError,
    9: EdgeError,
}


@functools.cache
def library() -> ctypes.CDLL:
    """Return the loaded library; raises MissingError where it was not built or is of another version."""
    path = HERE / LIBRARY
    if not path.is_file():
        raise MissingError(
            f"the ternary kernels are not built: there is no {LIBRARY}; install a C++ compiler (Debian: "
            f"apt-get install g++), then `{MENDED_BY}`"
        )
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise MissingError(f"the ternary kernels cannot be loaded ({error}); `{MENDED_BY}`") from None
    if (found := int(loaded.ternary_abi())) != ABI:
        raise MissingError(f"{LIBRARY} is of version {found}; expected {ABI}: `{MENDED_BY}`")
    for name, arguments in _FALLIBLE.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = c_int, (*arguments, _ERROR)
    for name, (result, arguments) in _OTHERS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def call(name: str, *arguments: object) -> None:
    """Call a function that returns a status; raises PackedError, MissingError, ContractError or EdgeError."""
    error = Error()
    if status := getattr(library(), name)(*arguments, ctypes.byref(error)):
        raise _ERRORS[status](error.message.decode("utf-8", "replace"))


def pool(threads: int) -> c_void_p | None:
    """Return the pool of so many threads, which all kernels share; raises UsageError unless they are 1 to 256."""
    return None if threads == 1 else _pool(threads, os.getpid())


@functools.cache
def _pool(threads: int, process: int) -> c_void_p:
    """Make a pool for this process: threads do not survive a fork."""
    made = c_void_p()
    try:
        call("ternary_pool_create", threads, ctypes.byref(made))
    except ContractError as error:
        raise UsageError(str(error)) from None
    return made
