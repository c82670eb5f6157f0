"""Devices with Android 15 or later may have pages of 16 KB: a 64-bit library aligned to 4 KB does not load there."""

from __future__ import annotations

from collections.abc import Sequence

from edge.embed.checks import Finding
from edge.embed.native import Found

PAGE = 16 * 1024
_PHONES = ("arm64-v8a", "x86_64")  # the only machines with such pages; a Hexagon's library is loaded by the NPU
_LINKER = "build it with NDK r28 or later, or with -Wl,-z,max-page-size=16384, or take a newer release of its package"
_PACKER = "align the file with `zipalign -P 16 4` (build-tools 35), or use AGP 8.5.1 or later"


def check_page_size(libraries: Sequence[Found]) -> tuple[Finding, ...]:
    """Check every native library of the project, also inside .aar and .apk files."""
    findings = tuple(finding for found in libraries if (finding := _check(found)) is not None)
    if findings or not libraries:
        return findings
    return (
        Finding(
            check="page-size",
            verdict="ok",
            where="native libraries",
            message=f"all {len(libraries)} fit pages of 16 KB",
        ),
    )


def _check(found: Found) -> Finding | None:
    if found.library is None:
        return _failed(found.where, found.error, "replace the file")
    if found.library.machine not in _PHONES:
        return None
    if found.library.align < PAGE:
        return _failed(
            found.where,
            f"its segments are aligned to {found.library.align} bytes: it does not load where pages have {PAGE}",
            _LINKER,
        )
    if found.stored_at is not None and found.stored_at % PAGE:
        return _failed(found.where, f"it is stored at byte {found.stored_at}, no multiple of {PAGE}", _PACKER)
    return None


def _failed(where: str, message: str, mend: str) -> Finding:
    return Finding(check="page-size", verdict="failed", where=where, message=message, mend=mend)
