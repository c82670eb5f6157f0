"""LiteRT's C interface through ctypes: the wheel's Python interface has no profiler, its library has one.

Names, arguments and the layout of an event are those of LiteRT 2.1 to 2.3 (litert/c/litert_profiler.h and
litert_profiler_event.h). Every function is looked up before anything is called. What the library writes into a buffer
of known bytes shows the size of its events; `check` compares that and the values with what they have to be, so that
another version is refused and not misread.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError, MissingError, Refused, TargetError

_LIBRARY = "libLiteRt.so"
_CPU = 1  # kLiteRtHwAcceleratorCpu
_READ, _WRITE = 0, 1  # kLiteRtTensorBufferLockModeRead, …Write
_TYPE_BYTES = 512  # room for a LiteRtRankedTensorType, which is 72 bytes long; only handed on
_FILL = 0xA5
_ROOM = 4096
_KINDS = frozenset(1 << bit for bit in range(9))  # of events
_SOURCES = (0, 1, 2)
_LONGEST_US = 3_600_000_000
_FUNCTIONS = (
    "LiteRtCreateEnvironment", "LiteRtCreateModelFromFile", "LiteRtCreateOptions", "LiteRtCreateOpaqueOptions",
    "LiteRtAddOpaqueOptions", "LiteRtSetOptionsHardwareAccelerators", "LiteRtCreateCompiledModel",
    "LiteRtGetModelSignature", "LiteRtGetNumSignatureInputs", "LiteRtGetNumSignatureOutputs",
    "LiteRtGetSignatureInputName", "LiteRtGetSignatureInputTensorByIndex", "LiteRtGetSignatureOutputTensorByIndex",
    "LiteRtGetRankedTensorType", "LiteRtGetCompiledModelInputBufferRequirements",
    "LiteRtGetCompiledModelOutputBufferRequirements", "LiteRtCreateManagedTensorBufferFromRequirements",
    "LiteRtGetTensorBufferPackedSize", "LiteRtLockTensorBuffer", "LiteRtUnlockTensorBuffer", "LiteRtRunCompiledModel",
    "LiteRtCompiledModelGetProfiler", "LiteRtStartProfiler", "LiteRtStopProfiler", "LiteRtResetProfiler",
    "LiteRtGetNumProfilerEvents", "LiteRtGetProfilerEvents",
)  # fmt: skip


class _Raw(ctypes.Structure):
    _fields_ = (
        ("tag", ctypes.c_void_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),  # before and after: allocated, in use, private
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


@dataclass(frozen=True, slots=True)
class Event:
    """One event of LiteRT's profiler; `kind` is a bit, `index` the node's where it is an operator's."""

    tag: str
    kind: int
    start_us: int  # 0 where only the duration was told
    elapsed_us: int
    index: int


class Library:
    """The functions of the wheel's library."""

    def __init__(self) -> None:
        try:
            import ai_edge_litert
        except ImportError:
            raise MissingError("LiteRT is not installed: pip install 'edge-deployment-kit[litert]'") from None
        path = Path(str(ai_edge_litert.__file__)).parent / _LIBRARY
        try:
            self._library = ctypes.CDLL(str(path))
        except OSError as error:
            raise Refused(f"LiteRT's profiler is in {_LIBRARY}, which cannot be loaded here: {error}") from None
        missing = [name for name in _FUNCTIONS if not hasattr(self._library, name)]
        if missing:
            raise Refused(f"this LiteRT's profiler has another interface: {path.name} lacks {missing[0]}")
        libc = ctypes.CDLL(None)
        self._strdup, self._free = libc.strdup, libc.free
        self._strdup.restype, self._strdup.argtypes = ctypes.c_void_p, [ctypes.c_char_p]

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function; raises TargetError for a status other than 0."""
        function = getattr(self._library, name)
        function.restype = ctypes.c_int
        status = function(*arguments)
        if status:
            raise TargetError(f"LiteRT's {name} ended with status {status}; the log tells more")

    def handle(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose last argument receives a handle, and return that."""
        found = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(found))
        return found

    def size(self, name: str, *arguments: Any) -> int:
        """Call a function whose last argument receives a size, and return that."""
        found = ctypes.c_size_t()
        self.call(name, *arguments, ctypes.byref(found))
        return found.value

    def options(self, texts: Mapping[str, str]) -> ctypes.c_void_p:
        """Return options for the CPU; every text is TOML for one part of the runtime."""
        found = self.handle("LiteRtCreateOptions")
        self.call("LiteRtSetOptionsHardwareAccelerators", found, ctypes.c_int(_CPU))
        for part, text in texts.items():
            copied = ctypes.c_void_p(self._strdup(text.encode()))  # freed by the options
            free = ctypes.cast(self._free, ctypes.c_void_p)
            self.call(
                "LiteRtAddOpaqueOptions", found, self.handle("LiteRtCreateOpaqueOptions", part.encode(), copied, free)
            )
        return found


class Compiled:
    """One model on the CPU with its buffers; `profiler` is there if it was asked for."""

    def __init__(self, path: Path, threads: int, inputs: Mapping[str, NDArray[Any]], *, profiled: bool) -> None:
        self._library = library = Library()
        self._environment = library.handle("LiteRtCreateEnvironment", ctypes.c_int(0), None)
        self._model = library.handle("LiteRtCreateModelFromFile", self._environment, str(path).encode())
        texts = {"xnnpack": f"num_threads = {threads}\n"}
        if profiled:
            texts["runtime_options_string"] = "enable_profiling = true\n"
        options = library.options(texts)
        self._compiled = library.handle("LiteRtCreateCompiledModel", self._environment, self._model, options)
        signature = library.handle("LiteRtGetModelSignature", self._model, ctypes.c_size_t(0))
        self._inputs, self._outputs = self._buffers(signature, "Input"), self._buffers(signature, "Output")
        self._feed(signature, inputs)
        self._profiler = self._open_profiler() if profiled else None

    def _open_profiler(self) -> ctypes.c_void_p:
        found = self._library.handle("LiteRtCompiledModelGetProfiler", self._compiled)
        if not found:
            raise Refused("this LiteRT makes no profiler where `enable_profiling` asks for one")
        return found

    def _buffers(self, signature: ctypes.c_void_p, kind: str) -> Any:
        library, found = self._library, []
        for index in range(library.size(f"LiteRtGetNumSignature{kind}s", signature)):
            place = ctypes.c_size_t(index)
            tensor = library.handle(f"LiteRtGetSignature{kind}TensorByIndex", signature, place)
            shape = (ctypes.c_char * _TYPE_BYTES)()
            library.call("LiteRtGetRankedTensorType", tensor, shape)
            needs = library.handle(
                f"LiteRtGetCompiledModel{kind}BufferRequirements", self._compiled, ctypes.c_size_t(0), place
            )
            made = library.handle("LiteRtCreateManagedTensorBufferFromRequirements", self._environment, shape, needs)
            found.append(made.value)
        return (ctypes.c_void_p * len(found))(*found)

    def _feed(self, signature: ctypes.c_void_p, inputs: Mapping[str, NDArray[Any]]) -> None:
        for index, buffer in enumerate(self._inputs):
            name = self._library.handle("LiteRtGetSignatureInputName", signature, ctypes.c_size_t(index)).value
            text = ctypes.string_at(name).decode() if name else ""
            array = np.ascontiguousarray(inputs[text]) if text in inputs else None
            handle = ctypes.c_void_p(buffer)
            size = self._library.size("LiteRtGetTensorBufferPackedSize", handle)
            if array is None or array.nbytes != size:
                raise InputError(f"the model's input {text!r} takes {size} bytes; given: {', '.join(sorted(inputs))}")
            address = ctypes.c_void_p()
            self._library.call("LiteRtLockTensorBuffer", handle, ctypes.byref(address), ctypes.c_int(_WRITE))
            ctypes.memmove(address, array.ctypes.data, size)
            self._library.call("LiteRtUnlockTensorBuffer", handle)

    def outputs(self) -> tuple[bytes, ...]:
        """Return what the last run left in the outputs' buffers."""
        found = []
        for buffer in self._outputs:
            handle, address = ctypes.c_void_p(buffer), ctypes.c_void_p()
            size = self._library.size("LiteRtGetTensorBufferPackedSize", handle)
            self._library.call("LiteRtLockTensorBuffer", handle, ctypes.byref(address), ctypes.c_int(_READ))
            found.append(ctypes.string_at(address.value or 0, size))
            self._library.call("LiteRtUnlockTensorBuffer", handle)
        return tuple(found)

    def run(self) -> None:
        """Run once."""
        self._library.call(
            "LiteRtRunCompiledModel", self._compiled, ctypes.c_size_t(0),
            ctypes.c_size_t(len(self._inputs)), self._inputs, ctypes.c_size_t(len(self._outputs)), self._outputs,
        )  # fmt: skip

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Have the profiler record what runs inside; what it held before is dropped."""
        self._library.call("LiteRtStartProfiler", self._profiler)
        try:
            yield
        finally:
            self._library.call("LiteRtStopProfiler", self._profiler)

    def events(self) -> tuple[Event, ...]:
        """Return what was recorded; raises Refused if it does not have the known layout."""
        count = ctypes.c_int()
        self._library.call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        if count.value < 1:
            raise Refused("LiteRT's profiler recorded nothing")
        data = self._copy(count.value)
        check(data, count.value, _now_us())
        raw = (_Raw * count.value).from_buffer(data.data)
        return tuple(
            Event(ctypes.string_at(item.tag).decode(errors="replace"), item.kind, item.start_us, item.elapsed_us,
                  item.first)
            for item in raw
        )  # fmt: skip

    def _copy(self, count: int) -> NDArray[np.uint8]:
        data = np.full(count * 4 * ctypes.sizeof(_Raw) + _ROOM, _FILL, np.uint8)
        self._library.call(
            "LiteRtGetProfilerEvents", self._profiler, ctypes.c_int(count), data.ctypes.data_as(ctypes.c_void_p)
        )
        return data


def written(data: NDArray[np.uint8]) -> int:
    """Return how far a buffer was written, which was filled with one byte before."""
    places = np.flatnonzero(data != _FILL)
    return int(places[-1]) + 1 if len(places) else 0


def check(data: NDArray[np.uint8], count: int, now_us: int) -> None:
    """Raise Refused unless `count` events of the known layout were written into a buffer of one known byte.

    How far they reach, kinds and sources that exist, times that have passed, names that lie in this process.
    """
    size = ctypes.sizeof(_Raw)
    tail = size - _Raw.source.offset - ctypes.sizeof(ctypes.c_int)  # padding, which may be written or not
    extent = written(data)
    if not size * count - tail <= extent <= size * count:
        raise Refused(f"this LiteRT's events have another size: {count} take {extent} bytes, not {size * count}")
    raw = (_Raw * count).from_buffer(data.data)
    mapped = _mapped()
    tags = {item.tag or 0 for item in raw}
    if mapped and not all(any(low <= tag < high for low, high in mapped) for tag in tags):
        raise Refused("this LiteRT's events have another layout: a name lies outside this process")
    for item in raw:
        # Telemetry fills the duration with a code.
        timed = item.kind >= 32 or item.elapsed_us <= _LONGEST_US
        if item.kind not in _KINDS or item.source not in _SOURCES or not timed or item.start_us > now_us:
            raise Refused("this LiteRT's events have another layout: a field holds what it cannot hold")


def _mapped() -> Sequence[tuple[int, int]]:
    """Return this process's readable memory; nothing where the system does not tell (Linux: proc(5))."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return ()
    spans = [line.split()[:2] for line in lines]
    return [(int(span.split("-")[0], 16), int(span.split("-")[1], 16)) for span, mode in spans if mode[0] == "r"]


def _now_us() -> int:
    """Return the latest of the clocks that LiteRT could have read, and a second."""
    return max(time.monotonic_ns(), time.time_ns()) // 1000 + 1_000_000
