"""Native libraries that no package has: a vendor's or the kit's own, which the developer puts into the project."""

from __future__ import annotations

from collections.abc import Sequence

from edge.embed.checks import Finding
from edge.embed.native import Found
from edge.embed.runtimes import Delivery


def check_library(target: str, shipped: Delivery, libraries: Sequence[Found]) -> tuple[Finding, ...]:
    """Check that the library which the target's runtime opens by name is in the project."""
    name = shipped.library
    if not name:
        return ()
    places = [found.where for found in libraries if found.name == name]
    if places:
        return (Finding(check="library", verdict="ok", where=target, message=f"{name} is at {places[0]}"),)
    mend = f"build {name} for arm64-v8a, or take it from the vendor's SDK, and put it into src/main/jniLibs/arm64-v8a"
    message = f"no package has {name}, which {target} needs, and it is not in the project"
    return (Finding(check="library", verdict="warning", where=target, message=message, mend=mend),)
