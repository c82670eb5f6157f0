"""Open an artifact and run it: one file per runtime, one `@runtime` definition per file."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.registry import Registry
from edge.versions import installed_version


class Session(Protocol):
    """A loaded artifact."""

    mode: Mode  # how `run` executes: native, emulated or reference

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; names, shapes and dtypes are those of the manifest's inputs and outputs."""
        ...


Opener = Callable[[Artifact], Session]


@dataclass(frozen=True, slots=True)
class Runtime:
    """What opens artifacts of a target family, and the package that it comes from."""

    open: Opener
    package: str = ""
    modules: tuple[str, ...] = ()  # what opening imports: importing is no part of loading a model

    @property
    def version(self) -> str:
        """Return the package's name and version, as far as they are known."""
        return f"{self.package} {installed_version(self.package)}".strip() if self.package else ""

    def preload(self) -> None:
        """Import what opening an artifact imports; a package that is absent is told by opening."""
        for name in self.modules:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


RUNTIMES: Registry[Runtime] = Registry("runtime", "edge.runtimes")


def runtime(name: str, *, package: str = "", modules: tuple[str, ...] = ()) -> Callable[[Opener], Opener]:
    """Register the function that opens artifacts of a target family, or of all whose ids start with a word."""

    def decorate(function: Opener) -> Opener:
        RUNTIMES.add(name, Runtime(function, package, modules))
        return function

    return decorate


def runtime_of(artifact: Artifact) -> Runtime:
    """Return the runtime of an artifact's family, or the one that the first word of its target id names."""
    family = artifact.manifest.target.partition(":")[0]
    return RUNTIMES[family if family in RUNTIMES else family.split("-", 1)[0]]


def open_session(artifact: Artifact) -> Session:
    """Open an artifact with its runtime; raises Unexecutable if nothing here can execute it."""
    return runtime_of(artifact).open(artifact)
