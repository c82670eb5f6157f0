"""Compile the runner against the installed executorch package, for this machine or another; kept in the cache."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from edge.errors import MissingError, Refused
from edge.store import cache_lock, cache_root, content_key
from edge.versions import installed_version
from quant.kernels.compile import CompileFailed, Toolchain, compile_program, host_toolchain, sources_digest
from quant.kernels.wrappers import EXECUTORCH, against_executorch, executorch_root, foreign_executorch

HERE = Path(__file__).resolve().parent
PROGRAM = "edge-bench"
Machine = Literal["x86_64", "aarch64"]
MACHINES: dict[str, Machine] = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_LIBRARIES = (
    "executorch", "executorch_threadpool", "executorch_kernels_optimized", "executorch_kernels_quantized",
    "executorch_backend_xnnpack", "executorch_etdump",
)  # fmt: skip
# What a system without glibc lacks, the loader first.
_LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}
_SYSTEM = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libgcc_s.so.1", "libstdc++.so.6")


def known_machine(machine: str) -> Machine:
    """Return a machine's name as the kit writes it; raises Refused for one that ExecuTorch publishes no library for."""
    if machine not in MACHINES:
        raise Refused(f"ExecuTorch's native runner is for 64-bit x86 and Arm processors, and this one is {machine!r}")
    return MACHINES[machine]


def edge_bench(machine: Machine) -> Path:
    """Return the runner for a machine, compiled if it is not there yet.

    Raises MissingError without the executorch package or a compiler, with the command that gets it.
    """
    root = _root(machine)
    version = installed_version("executorch")
    try:
        toolchain = _toolchain(machine)
        key = content_key(version, machine, *toolchain.compiler, sources_digest(EXECUTORCH), _digest())
        program = cache_root() / "kernels" / key / PROGRAM
        with cache_lock(f"kernels-{key}"):
            if not program.is_file():
                flags = ("-DEDGE_EXECUTORCH_VERSION=" + f'"{version}"', "-Wl,-rpath,$ORIGIN")
                named = Toolchain(toolchain.compiler, machine, flags)
                made = against_executorch(named, root, _LIBRARIES)
                first, *more = sorted(HERE.glob("*.cpp"))
                compile_program(program, first, made, *more, EXECUTORCH / "operators.cpp")
    except CompileFailed as error:
        raise MissingError(f"ExecuTorch's native runner cannot be compiled: {error}") from None
    return program


def libraries(machine: Machine) -> tuple[Path, ...]:
    """Return the libraries of ExecuTorch that the runner is linked to; raises MissingError without the package."""
    return tuple(_root(machine) / "lib" / f"lib{name}.so" for name in _LIBRARIES)


def system_libraries(machine: Machine) -> tuple[Path, ...]:
    """Return glibc's loader and the libraries that the runner needs of a system, from the compiler's own.

    Raises MissingError without the compiler, or where it has no such files.
    """
    return tuple(_system_files(machine))


def _system_files(machine: Machine) -> Iterator[Path]:
    try:
        compiler = _toolchain(machine).compiler
    except CompileFailed as error:
        raise MissingError(str(error)) from None
    for name in (_LOADERS[machine], *_SYSTEM):
        done = subprocess.run([*compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=False)
        path = Path(done.stdout.strip())
        if not path.is_absolute() or not path.is_file():
            raise MissingError(f"{compiler[0]} has no {name}; install Debian's {_package(machine)}")
        yield path


def _root(machine: Machine) -> Path:
    return executorch_root() if _is_here(machine) else foreign_executorch(machine, "edge profile")


def _is_here(machine: Machine) -> bool:
    return MACHINES.get(platform.machine()) == machine


def _toolchain(machine: Machine) -> Toolchain:
    if _is_here(machine):
        return host_toolchain()
    compiler = f"{machine}-linux-gnu-g++"
    if shutil.which(compiler) is None:
        raise MissingError(
            f"{compiler} is not installed, which compiles the runner for {machine} devices: "
            f"apt-get install {_package(machine)} (Debian)"
        )
    return Toolchain((compiler,), machine)


def _package(machine: Machine) -> str:
    return "g++" if _is_here(machine) else f"g++-{machine.replace('_', '-')}-linux-gnu"


def _digest() -> str:
    found = hashlib.sha256()
    for path in sorted(HERE.iterdir()):
        if path.suffix in (".cpp", ".h"):
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()
