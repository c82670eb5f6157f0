"""Public top-level names of the two cores, by area: Kotlin's packages and Swift's folders."""

from __future__ import annotations

import re
from pathlib import Path

from kotlin import APPS, CORE

SWIFT = APPS / "ios" / "Sources" / "EdgeCore"
_KOTLIN = re.compile(
    r"^(?!private |internal )(?:@\w+(?:\([^)]*\))?\s+)*"
    r"(?:(?:public|data|sealed|enum|abstract|open|inline|const|value|fun)\s+)*"
    r"(?:class|interface|object|fun|val|var|typealias)\s+(?:<[^>]+>\s+)?(?:[\w<>?, *]+\.)?(\w+)",
    re.MULTILINE,
)
_SWIFT = re.compile(
    r"^(?:@\w+\s+)*public\s+(?:final\s+)?(?:class|struct|enum|protocol|actor|func|let|var|typealias)\s+(\w+)",
    re.MULTILINE,
)


def kotlin_names() -> dict[str, set[str]]:
    """Return the Android core's public names by area."""
    return _names(CORE / "main" / "kotlin" / "edge" / "core", "*.kt", _KOTLIN)


def swift_names() -> dict[str, set[str]]:
    """Return EdgeCore's public names by area."""
    return _names(SWIFT, "*.swift", _SWIFT)


def _names(root: Path, files: str, pattern: re.Pattern[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in sorted(root.rglob(files)):
        area = path.relative_to(root).parts[0].lower()
        found.setdefault(area, set()).update(pattern.findall(path.read_text(encoding="utf-8")))
    return found
