"""The versions that the apps are built with, and what one version says of another.

The data are edge/embed/versions.toml, a copy of apps/versions.toml that is installed with the package.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

DATA = Path(__file__).with_name("versions.toml")


@functools.cache
def versions() -> Mapping[str, Mapping[str, str]]:
    """Return the versions by table and name."""
    found: Mapping[str, Mapping[str, str]] = tomllib.loads(DATA.read_text(encoding="utf-8"))
    return found


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version without zeros at its end, for comparing: `swiftpm-1.5.0` is (1, 5)."""
    found = re.search(r"\d+(\.\d+)*", version)
    parts = [int(part) for part in found.group().split(".")] if found else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def at_least(version: str, needed: str) -> bool:
    """Say whether a version is not older than another."""
    return numbers(version) >= numbers(needed)
