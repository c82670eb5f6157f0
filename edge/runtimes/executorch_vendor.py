"""ExecuTorch artifacts of NPUs that nothing outside the phone executes: MediaTek's and Samsung's."""

from __future__ import annotations

from edge.artifact import Artifact
from edge.errors import Unexecutable
from edge.runtimes import Session, runtime


@runtime("executorch-mediatek")
def open_mediatek(artifact: Artifact) -> Session:
    """Raise Unexecutable: MediaTek publishes no emulator of its NPU."""
    raise Unexecutable(artifact.manifest.target, ["MediaTek's compiled graph runs on its NPU only; run it on a phone"])


@runtime("executorch-samsung")
def open_samsung(artifact: Artifact) -> Session:
    """Raise Unexecutable: Samsung publishes no emulator of its NPU."""
    raise Unexecutable(artifact.manifest.target, ["Samsung's compiled graph runs on its NPU only; run it on a phone"])
