"""Open an artifact and run it: one file per runtime, one `@runtime` definition per file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.registry import Registry


class Session(Protocol):
    """A loaded artifact."""

    mode: Mode  # how `run` executes: native, emulated or reference

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; names, shapes and dtypes are those of the manifest's inputs and outputs."""
        ...


Opener = Callable[[Artifact], Session]

RUNTIMES: Registry[Opener] = Registry("runtime", "edge.runtimes")


def runtime(name: str) -> Callable[[Opener], Opener]:
    """Register the function that opens artifacts of a target family, or of all whose ids start with a word."""

    def decorate(function: Opener) -> Opener:
        return RUNTIMES.add(name, function)

    return decorate


def open_session(artifact: Artifact) -> Session:
    """Open an artifact with its family's runtime, or with the one that the first word of its target id names.

    Raises Unexecutable if nothing here can execute it.
    """
    family = artifact.manifest.target.partition(":")[0]
    name = family if family in RUNTIMES else family.split("-", 1)[0]
    return RUNTIMES[name](artifact)
