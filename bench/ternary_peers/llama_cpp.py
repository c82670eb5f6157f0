"""llama.cpp's TQ1_0 and TQ2_0: ggml's CPU library, built once for this processor from a published source package.

Activations get 8-bit codes of every 256 values' own range at run time.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import shutil
import subprocess
import sys
import tarfile
import weakref
from ctypes import POINTER, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np

from bench.ternary_peers import Missing, Peer, Prepared, Problem
from edge.artifact import file_digest
from edge.profile.machine import host_name
from edge.store import cache_root, staging

PACKAGE, VERSION = "llama-cpp-python", "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
_SOURCES = Path(__file__).with_name("ggml")
_LIBRARY = "libproduct.so"
_ROWS = 1024  # quantized at a time
_FUNCTIONS = {
    "product_create": (c_void_p, (c_char_p, c_int64, c_int64, c_int64, c_int)),
    "product_fill": (None, (c_void_p, c_int64, c_int64, c_void_p)),
    "product_input": (POINTER(c_float), (c_void_p,)),
    "product_output": (POINTER(c_float), (c_void_p,)),
    "product_bytes": (c_size_t, (c_void_p,)),
    "product_run": (c_int, (c_void_p,)),
    "product_free": (None, (c_void_p,)),
}


class _Product:
    """Own a product of the library."""

    def __init__(self, library: ctypes.CDLL, handle: int) -> None:
        weakref.finalize(self, library.product_free, handle)


def _prepare(kind: str, problem: Problem, threads: int) -> Prepared:
    library, case = _library(), problem.case
    handle = library.product_create(kind.encode(), case.columns, case.outputs, case.rows, threads)
    if not handle:
        raise Missing(f"ggml has no {kind} product of {case.columns} columns")
    product = _Product(library, handle)
    for first in range(0, case.outputs, _ROWS):
        last = min(first + _ROWS, case.outputs)
        rows = problem.trits[first:last] * problem.scale[first:last, None]
        library.product_fill(handle, first, last - first, rows.ctypes.data)
    np.ctypeslib.as_array(library.product_input(handle), (case.rows, case.columns))[:] = problem.activations
    results = np.ctypeslib.as_array(library.product_output(handle), (case.rows, case.outputs))
    stored = float(library.product_bytes(handle))
    run = functools.partial(library.product_run, handle)
    return Prepared(run, lambda: results, 8 * stored / case.weights, stored, keeps=(product,))


@functools.cache
def _library() -> ctypes.CDLL:
    folder = cache_root() / "bench" / f"ggml-{VERSION}-{_key()}"
    if not (folder / _LIBRARY).is_file():
        _build(folder)
    library = ctypes.CDLL(str(folder / _LIBRARY))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _key() -> str:
    """Return what a built library depends on, the processor among it, as a short name."""
    digest = hashlib.sha256(f"{SHA256}{host_name()}".encode())
    for path in sorted(_SOURCES.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _build(folder: Path) -> None:
    if absent := [name for name in ("cmake", "c++") if shutil.which(name) is None]:
        raise Missing(f"building ggml needs {' and '.join(absent)} (Debian: apt-get install cmake g++)")
    with staging(folder.parent) as work:
        source = _extract(_archive(), work)
        build = work / "build"
        options = ("-DCMAKE_BUILD_TYPE=Release", f"-DGGML={source}")
        print("building ggml for this processor, once", file=sys.stderr, flush=True)
        _call("cmake", "-S", str(_SOURCES), "-B", str(build), *options)
        _call("cmake", "--build", str(build), "--target", "product", "--parallel")
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{_LIBRARY}.partial"
        shutil.copy(build / _LIBRARY, partial)
        partial.replace(folder / _LIBRARY)


def _archive() -> Path:
    """Return the source package, downloaded once with pip."""
    path = cache_root() / "bench" / f"{PACKAGE.replace('-', '_')}-{VERSION}.tar.gz"
    if not path.is_file():
        with staging(path.parent) as work:
            _call(
                sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                "--no-binary", PACKAGE, "--dest", str(work), f"{PACKAGE}=={VERSION}",
            )  # fmt: skip
            (work / path.name).replace(path)
    if (found := file_digest(path)) != SHA256:
        raise Missing(f"{path} has sha256 {found[:16]}…, expected {SHA256[:16]}…; delete it and start again")
    return path


def _extract(archive: Path, folder: Path) -> Path:
    prefix = f"{archive.name.removesuffix('.tar.gz')}/vendor/llama.cpp/ggml"
    with tarfile.open(archive) as tarball:
        members = [member for member in tarball if member.name.startswith(f"{prefix}/")]
        tarball.extractall(folder, members, filter="data")
    return folder / prefix


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise Missing(f"{Path(command[0]).name} failed: {lines[-1] if lines else done.returncode}")


PEERS = tuple(Peer(f"llama.cpp {kind.upper()}", functools.partial(_prepare, kind)) for kind in ("tq2_0", "tq1_0"))


def version() -> str:
    """Return the package that the source is taken from."""
    return f"llama.cpp as in {PACKAGE} {VERSION}"
