"""Core AI assets: nothing outside Apple's systems executes them."""

from __future__ import annotations

from edge.artifact import Artifact
from edge.errors import Unexecutable
from edge.runtimes import Session, runtime


@runtime("coreai")
def open_coreai(artifact: Artifact) -> Session:
    """Raise Unexecutable, or InputError if the asset is not there.

    The runtime in coreai-core's Linux wheel loads only assets that were specialised for a device, and the specialiser
    is part of macOS.
    """
    name = artifact.file(".aimodel").name
    raise Unexecutable(name, ["Core AI runs on iOS 27 and macOS 27 only"])
