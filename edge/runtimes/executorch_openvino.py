"""ExecuTorch with the OpenVINO delegate: run natively by the executorch wheel and the openvino package."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from edge.artifact import Artifact
from edge.errors import MissingError
from edge.runtimes import Session, runtime

_LIBRARY = "OPENVINO_LIB_PATH"  # ExecuTorch's name for the file that it loads OpenVINO from


@runtime("executorch-openvino", package="executorch", modules=("torch", "executorch.extension.pybindings._C"))
def open_openvino(artifact: Artifact) -> Session:
    """Load the artifact's `.pte`; raises MissingError without the openvino package."""
    from edge.runtimes.executorch import open_executorch

    os.environ.setdefault(_LIBRARY, str(find_library()))
    return open_executorch(artifact)


def find_library() -> Path:
    """Return OpenVINO's C library in the installed package; raises MissingError if there is none."""
    found = importlib.util.find_spec("openvino")
    folder = Path(found.origin).parent / "libs" if found and found.origin else None
    libraries = sorted(folder.glob("libopenvino_c.so*")) if folder else []
    if not libraries:
        raise MissingError("executorch-openvino needs openvino: pip install 'edge-deployment-kit[openvino]'")
    return libraries[-1]
