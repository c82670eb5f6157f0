"""Compile the ternary kernels with the C++ compiler that is there; needs nothing but the standard library.

`python setup.py build_ext --inplace` builds the library for this machine beside this file; CMakeLists.txt builds it for
another. Both read the sources from src/, and each source's name says which instructions it may use.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
_SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"
LIBRARY = f"libternary{_SUFFIX}"
ONNXRUNTIME_LIBRARY = f"libternary_onnxruntime{_SUFFIX}"
_FLAGS = (
    "-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-ffp-contract=off", "-pthread",
)  # fmt: skip
_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni")
# The instructions of each source that only one machine has.
INSTRUCTIONS = {
    "x86_64": {
        "avx2": ("-mavx2",),
        "avx_vnni": ("-mavx2", "-mavxvnni"),
        "avx512_vnni": _AVX512,
        "avx512_vbmi": (*_AVX512, "-mavx512vbmi"),
    },
    "aarch64": {
        "neon": (),
        "neon_dotprod": ("-march=armv8.2-a+dotprod",),
        "neon_i8mm": ("-march=armv8.2-a+dotprod+i8mm",),
    },
}


class CompileFailed(Exception):
    """There is no C++ compiler, or it refused a source; the message ends with what it said."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Hold a compiler's command, the machine it compiles for, and flags for every source and for the link."""

    compiler: tuple[str, ...]
    machine: str
    flags: tuple[str, ...] = ()
    instructions: bool = True  # false where the flags replace them, as in a simulation
    libraries: tuple[str, ...] = ()  # what the link ends with


def host_toolchain(flags: Iterable[str] = ()) -> Toolchain:
    """Return the compiler of $CXX, or the first of c++, g++ and clang++; raises CompileFailed without any."""
    named = shlex.split(os.environ.get("CXX", ""))
    found = named or [name for name in ("c++", "g++", "clang++") if shutil.which(name)][:1]
    if not found:
        raise CompileFailed("there is no C++ compiler; install one (Debian: apt-get install g++) or set CXX")
    machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    return Toolchain(tuple(found), machine, tuple(flags))


def compile_library(output: Path, toolchain: Toolchain, *more: Path) -> None:
    """Write the shared library of the kernels and of more sources; raises CompileFailed."""
    _build(output, toolchain, [*_sources(toolchain), *more], "-shared")


def compile_onnxruntime(output: Path, toolchain: Toolchain) -> None:
    """Write the shared library of ONNX Runtime's operators, which the kernels are part of; raises CompileFailed."""
    folder = HERE / "onnxruntime"
    # Nothing but the entry point may be seen; threads that are not ours keep buffers of the library's.
    exports = (
        ("-Wl,-exported_symbol,_RegisterCustomOps",)
        if sys.platform == "darwin"
        else (f"-Wl,--version-script={folder / 'exports.map'}", "-Wl,-z,nodelete")
    )
    _build(output, toolchain, [*_sources(toolchain), folder / "operators.cpp"], "-shared", *exports)


def compile_program(output: Path, source: Path, toolchain: Toolchain, *more: Path) -> None:
    """Write a program of sources that call the kernels, which are part of it; raises CompileFailed."""
    _build(output, toolchain, [*_sources(toolchain), source, *more])


def sources_digest(*more: Path) -> str:
    """Return a hash of all sources and headers of the kernels, and of those in more folders."""
    found = hashlib.sha256()
    for folder in (HERE / "src", HERE / "include", *more):
        for path in sorted(path for path in folder.iterdir() if path.suffix in (".cpp", ".h")):
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def _sources(toolchain: Toolchain) -> list[Path]:
    ours = INSTRUCTIONS.get(toolchain.machine, {})
    others = {stem for machine in INSTRUCTIONS.values() for stem in machine} - set(ours)
    return [path for path in sorted((HERE / "src").glob("*.cpp")) if path.stem not in others]


def _build(output: Path, toolchain: Toolchain, sources: list[Path], *link: str) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ternary-") as folder, ThreadPoolExecutor(os.cpu_count()) as threads:
        objects = list(threads.map(lambda source: _compile(source, Path(folder), toolchain), sources))
        linked = Path(folder) / output.name
        words = (*link, *map(str, objects), "-o", str(linked), *toolchain.libraries)
        _call([*toolchain.compiler, *_FLAGS, *toolchain.flags, *words])
        partial = output.with_name(output.name + ".partial")
        shutil.copy(linked, partial)
        partial.replace(output)  # a process that has the old one open keeps it


def _compile(source: Path, folder: Path, toolchain: Toolchain) -> Path:
    compiled = folder / f"{source.stem}.o"
    own = INSTRUCTIONS.get(toolchain.machine, {}).get(source.stem, ()) if toolchain.instructions else ()
    include = f"-I{HERE / 'include'}"
    _call([*toolchain.compiler, *_FLAGS, *own, *toolchain.flags, include, "-c", str(source), "-o", str(compiled)])
    return compiled


def _call(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise CompileFailed(f"{command[0]} cannot be started: {error.strerror}") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise CompileFailed(f"{command[0]} ended with {done.returncode}: {' / '.join(lines[-3:])}")
