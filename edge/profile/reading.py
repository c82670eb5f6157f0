"""Read and check profile.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edge.errors import InputError
from edge.profile.records import Profile

PROFILE = "profile.json"
_LONGEST_NS = 10**18  # 30 years; beyond it nothing was measured


def read_profile(path: Path) -> Profile:
    """Read a profile.json, or that of a folder; raises InputError for what is no profile or contradicts itself."""
    file = path / PROFILE if path.is_dir() else path
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Profile)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; make one with `edge profile ARTIFACT`") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{file}: {error}; make it again with `edge profile ARTIFACT`") from None
    if reason := _contradiction(found):
        raise InputError(f"{file}: {reason}; make it again with `edge profile ARTIFACT`")
    return found


def _contradiction(profile: Profile) -> str:
    """Return what cannot be true of a profile; empty if nothing."""
    names = [variant.name for variant in profile.variants]
    if len(set(names)) < len(names):
        return "two variants have one name"
    for variant in profile.variants:
        for launch in variant.launches:
            times = (launch.cold_load_ns, launch.first_ns, *launch.warmup_ns, *launch.runs_ns)
            if not all(0 <= time < _LONGEST_NS for time in times):
                return f"launch {launch.order} of {variant.name} has a duration outside of [0, {_LONGEST_NS}) ns"
            if launch.starts_ns and len(launch.starts_ns) != len(launch.runs_ns):
                return f"launch {launch.order} of {variant.name} has {len(launch.runs_ns)} runs and other many starts"
    return ""


def profile_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of profile.json, generated from the types."""
    schema = msgspec.json.schema(Profile)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Edge latency profile", **schema}
