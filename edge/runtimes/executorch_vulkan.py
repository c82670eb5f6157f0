"""ExecuTorch with the Vulkan delegate: the wheel's runtime has none."""

from __future__ import annotations

from edge.artifact import Artifact
from edge.errors import Unexecutable
from edge.runtimes import Session, runtime


@runtime("executorch-vulkan")
def open_vulkan(artifact: Artifact) -> Session:
    """Open a `.pte` that has no Vulkan delegate on the CPU; raises Unexecutable for any other."""
    from edge.runtimes._pte import read_plan
    from edge.runtimes.executorch import open_executorch

    path = artifact.file(".pte")
    if any(payload.backend == "VulkanBackend" for payload in read_plan(path).delegates):
        raise Unexecutable(path.name, ["the executorch package has no Vulkan runtime; Vulkan runs on Android"])
    return open_executorch(artifact)
