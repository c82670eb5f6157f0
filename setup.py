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


# The extensions of quant.kernels, their files and what compiles them.
_BUILT = {
    "ternary": (_KERNELS.LIBRARY, _KERNELS.compile_library),
    "ternary_onnxruntime": (_KERNELS.ONNXRUNTIME_LIBRARY, _KERNELS.compile_onnxruntime),
}


class _BuildKernels(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        *folders, name = fullname.split(".")
        return str(Path(*folders, _BUILT[name][0]))

    def build_extension(self, ext: Extension) -> None:
        try:
            _, compile_to = _BUILT[ext.name.rpartition(".")[2]]
            compile_to(Path(self.get_ext_fullpath(ext.name)), _KERNELS.host_toolchain())
        except _KERNELS.CompileFailed as error:
            raise CompileError(f"the ternary kernels are not built: {error}") from None


class _AnyPython(bdist_wheel):
    """No library is a module of Python: one wheel for every Python of a platform."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


_SOURCES = sorted(str(path.relative_to(_COMPILE.parents[2])) for path in _COMPILE.parent.glob("*/*.cpp"))

setup(
    ext_modules=[Extension(f"quant.kernels.{name}", sources=_SOURCES, optional=True) for name in _BUILT],
    cmdclass={"build_ext": _BuildKernels, "bdist_wheel": _AnyPython},
)
