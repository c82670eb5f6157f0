"""The kernels as operators of other runtimes: libraries that a process loads before it opens a model.

ONNX Runtime's is built with the package. ExecuTorch's is compiled against the installed executorch package, whose
headers and libraries it needs; it is kept in the cache for as long as neither changes.
"""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Literal

from edge.errors import MissingError
from edge.packages import Package
from edge.store import cache_lock, cache_root, content_key, package_archive, staging
from edge.versions import installed_version
from quant.kernels.compile import (
    HERE,
    ONNXRUNTIME_LIBRARY,
    CompileFailed,
    Toolchain,
    compile_library,
    compile_program,
    host_toolchain,
    sources_digest,
)
from quant.kernels.library import MENDED_BY

EXECUTORCH = HERE / "executorch"
_LIBRARIES = ("executorch", "executorch_threadpool")
_RUNNER_LIBRARIES = (*_LIBRARIES, "executorch_kernels_optimized", "executorch_backend_xnnpack")
_DEFINITIONS = ("-DC10_USING_CUSTOM_GENERATED_MACROS", "-DET_EVENT_TRACER_ENABLED", "-DET_USE_THREADPOOL")


def onnxruntime_library() -> Path:
    """Return the library that `SessionOptions.register_custom_ops_library` takes; raises MissingError without it."""
    path = HERE / ONNXRUNTIME_LIBRARY
    if not path.is_file():
        raise MissingError(
            f"there is no {ONNXRUNTIME_LIBRARY}; install a C++ compiler (Debian: apt-get install g++), then "
            f"`{MENDED_BY}`"
        )
    return path


def executorch_library() -> Path:
    """Return the library that registers the operators with ExecuTorch, compiled if it is not there yet.

    Raises MissingError without the executorch package or a C++ compiler.
    """
    root = executorch_root()
    try:
        toolchain = against_executorch(host_toolchain(), root)
        key = content_key(installed_version("executorch"), *toolchain.compiler, sources_digest(EXECUTORCH))
        library = cache_root() / "kernels" / key / "libternary_executorch.so"
        with cache_lock(f"kernels-{key}"):
            if not library.is_file():
                compile_library(library, toolchain, EXECUTORCH / "operators.cpp")
    except CompileFailed as error:
        raise MissingError(f"ExecuTorch's ternary operators cannot be compiled: {error}") from None
    return library


def foreign_executorch(machine: Literal["x86_64", "aarch64"], again: str = "make test") -> Path:
    """Return the folder of the executorch package for another machine, of the installed version, fetched once.

    Its headers and libraries are for compiling, for devices and for emulation; `again` is the command that an error
    tells to repeat. Raises MissingError without executorch or network.
    """
    executorch_root()
    source = Package(registry="pypi", package="executorch", version=installed_version("executorch"), machine=machine)
    folder = cache_root() / "packages" / f"executorch-{source.version}-{machine}-unpacked"
    with package_archive(source, again) as archive:
        if not folder.is_dir():
            with staging(folder.parent) as temporary, zipfile.ZipFile(archive) as wheel:
                wanted = ("executorch/include/", "executorch/lib/")
                wheel.extractall(temporary, [name for name in wheel.namelist() if name.startswith(wanted)])
                (temporary / "executorch").rename(folder)
    return folder


def executorch_root() -> Path:
    """Return the folder of the installed executorch package; raises MissingError without it."""
    found = importlib.util.find_spec("executorch")
    folders = list(found.submodule_search_locations or []) if found else []
    if not folders:
        raise MissingError("executorch is not installed: pip install 'edge-deployment-kit[executorch]'")
    return Path(folders[0])


def against_executorch(toolchain: Toolchain, root: Path, libraries: tuple[str, ...] = _LIBRARIES) -> Toolchain:
    """Return a toolchain that compiles and links against the executorch package in `root`."""
    include = root / "include"
    core = include / "executorch" / "runtime" / "core" / "portable_type" / "c10"
    flags = (*toolchain.flags, *_DEFINITIONS, "-isystem", str(include), "-isystem", str(core))
    return Toolchain(
        toolchain.compiler,
        toolchain.machine,
        flags,
        toolchain.instructions,
        (f"-L{root / 'lib'}", "-Wl,--no-as-needed", *(f"-l{name}" for name in libraries)),
    )


def compile_runner(output: Path, toolchain: Toolchain, root: Path) -> None:
    """Write a program that runs a .pte once (executorch/run.cpp), with the operators in it.

    `root` is the executorch package for the toolchain's machine. Raises CompileFailed.
    """
    made = against_executorch(toolchain, root, _RUNNER_LIBRARIES)
    compile_program(output, EXECUTORCH / "run.cpp", made, EXECUTORCH / "operators.cpp")
