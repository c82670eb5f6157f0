"""The machine's read bandwidth: a loop that adds up a buffer larger than every cache, compiled when it is needed."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from bench.ternary_peers import Missing, Peer, Prepared, Problem
from quant.kernels.compile import CompileFailed, host_toolchain

_SOURCE = Path(__file__).with_name("read.cpp")
_TIMES_CACHE = 4  # of the last level, at least
_STREAMS = 4


def cache_bytes() -> int:
    """Return the size of the last-level cache; 32 MiB where the system does not tell."""
    found = [0]
    for entry in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = entry.read_text().strip()
        found.append(int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0))
    return max(found) or 32 << 20


def _prepare(threads: int, streams: int, problem: Problem, ignored: int) -> Prepared:
    library = _library()
    each = threads * streams << 16  # every stream gets as much
    size = max(_TIMES_CACHE * cache_bytes(), 128 << 20) // each * each
    values = np.ones(size // 8, np.uint64)

    def run() -> None:
        if library.read_sum(values.ctypes.data, values.size, threads, streams) != values.size:
            raise RuntimeError("the sum of what was read is wrong")

    return Prepared(run, lambda: np.zeros((1, 1), np.float32), 0.0, values.nbytes, keeps=(values,))


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        compiler = host_toolchain().compiler
    except CompileFailed as error:
        raise Missing(str(error)) from None
    with tempfile.TemporaryDirectory(prefix="read-") as folder:
        path = Path(folder) / "libread.so"
        flags = ("-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-pthread")
        subprocess.run([*compiler, *flags, str(_SOURCE), "-o", str(path)], check=True)
        library = ctypes.CDLL(str(path))
    library.read_sum.restype, library.read_sum.argtypes = ctypes.c_uint64, (ctypes.c_void_p, *[ctypes.c_size_t] * 3)
    return library


_CORES = os.cpu_count() or 1
# The first two are one after another, as STREAM reads: by one thread, and by all.
PEERS = tuple(
    Peer(name, functools.partial(_prepare, threads, streams), tolerance=np.inf)
    for name, threads, streams in (
        ("read, 1 thread", 1, 1),
        (f"read, {_CORES} threads", _CORES, 1),
        (f"read, 1 thread, {_STREAMS} places in turns", 1, _STREAMS),
    )
)


def version() -> str:
    """Return what is read."""
    return "read.cpp"
