"""What a profile.json tells the policy of an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.artifact import Artifact
from edge.errors import InputError
from edge.profile.reading import read_profile


@dataclass(frozen=True, slots=True)
class Profiled:
    """One artifact's measured figures; None for what was not measured."""

    p90_ms: float | None = None
    sustained_ratio: float | None = None
    peak_bytes: int | None = None  # above what the process took before it loaded the model


def read_profiled(path: Path, artifact: Artifact) -> Profiled:
    """Return what a profile says of an artifact; raises InputError if it says nothing, or was measured emulated."""
    from edge.profile.protocol import content_digest

    digest = content_digest(artifact)
    found = [variant for variant in read_profile(path).variants if variant.sha256 == digest]
    if not found:
        raise InputError(f"{path} does not measure {artifact.root}; make one with `edge profile {artifact.root}`")
    variant = found[0]
    if variant.emulated:
        raise InputError(f"{path} measured {variant.name} under emulation, which says nothing of a device's speed")
    return Profiled(
        p90_ms=variant.estimate.p90_ms if variant.estimate else None,
        sustained_ratio=variant.sustained.ratio if variant.sustained else None,
        peak_bytes=max(variant.memory.peak_bytes - variant.memory.before_load_bytes, 0) if variant.memory else None,
    )
