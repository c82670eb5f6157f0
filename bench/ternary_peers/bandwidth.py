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


def cache_bytes() -> int:
    """Return the size of the last-level cache; 32 MiB where the system does not tell."""
    found = [0]
    for entry in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = entry.read_text().strip()
        found.append(int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0))
    return max(found) or 32 << 20


def _prepare(threads: int, problem: Problem, ignored: int) -> Prepared:
    library = _library()
    size = max(_TIMES_CACHE * cache_bytes(), 128 << 20) >> 20 << 20
    values = np.ones(size // 8, np.uint64)

    def run() -> None:
        if library.read_sum(values.ctypes.data, values.size, threads) != values.size:
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
    library.read_sum.restype, library.read_sum.argtypes = ctypes.c_uint64, (ctypes.c_void_p, *[ctypes.c_size_t] * 2)
    return library


PEERS = tuple(
    Peer(f"read, {count} thread{'s' * (count > 1)}", functools.partial(_prepare, count), tolerance=np.inf)
    for count in sorted({1, os.cpu_count() or 1})
)


def version() -> str:
    """Return what is read."""
    return "read.cpp"
