"""Build the ternary kernels as part of the package; all else is in pyproject.toml.

`python setup.py build_ext --inplace` builds them alone. Without a C++ compiler the rest is installed and a warning says
that they are missing.
"""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

_COMPILE = Path(__file__).resolve().parent / "quant" / "kernels" / "compile.py"


def _load() -> ModuleType:
    """Return quant.kernels.compile without importing the package, whose dependencies a build need not have."""
    loader = SourceFileLoader("_ternary_compile", str(_COMPILE))
    module = ModuleType(loader.name)
    sys.modules[loader.name] = module  # for its dataclass
    module.__file__ = loader.path
    loader.exec_module(module)
    return module


_KERNELS = _load()


class _BuildKernels(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split(".")[:-1], _KERNELS.LIBRARY))

    def build_extension(self, ext: Extension) -> None:
        try:
            _KERNELS.compile_library(Path(self.get_ext_fullpath(ext.name)), _KERNELS.host_toolchain())
        except _KERNELS.CompileFailed as error:
            raise CompileError(f"the ternary kernels are not built: {error}") from None


class _AnyPython(bdist_wheel):
    """The library is loaded by ctypes: one wheel for every Python of a platform."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


_SOURCES = sorted(str(path.relative_to(_COMPILE.parents[2])) for path in (_COMPILE.parent / "src").glob("*.cpp"))

setup(
    ext_modules=[Extension("quant.kernels.ternary", sources=_SOURCES, optional=True)],
    cmdclass={"build_ext": _BuildKernels, "bdist_wheel": _AnyPython},
)
