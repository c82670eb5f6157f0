"""What this machine has of Swift: tree-sitter's parser from PyPI, and a toolchain where one is installed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kotlin import APPS, TOOLS, Missing, versions

IOS = APPS / "ios"
PYTHON_TOOLS = TOOLS / "python"  # `make apps-tools` fills it


def swift_files() -> list[Path]:
    """Return every Swift file of the iOS app and its core."""
    return sorted(path for path in IOS.rglob("*.swift") if ".build" not in path.parts)


def swift_parser() -> Any:
    """Return tree-sitter's parser of Swift; raises Missing with the command that installs it."""
    if PYTHON_TOOLS.is_dir() and str(PYTHON_TOOLS) not in sys.path:
        sys.path.append(str(PYTHON_TOOLS))
    try:
        import tree_sitter
        import tree_sitter_swift
    except ImportError:
        wanted = " ".join(f"{name}=={pin}" for name, pin in versions()["checks"].items() if "tree-sitter" in name)
        raise Missing(f"no parser of Swift: make apps-tools, or pip install {wanted}") from None
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_swift.language()))


def swift_toolchain() -> str:
    """Return the command `swift`; raises Missing."""
    found = shutil.which("swift")
    if found is None:
        raise Missing("no Swift toolchain: https://www.swift.org/install, nothing of it is on PyPI, npm or Debian 12")
    return found


def problems(node: Any) -> Iterator[tuple[int, str]]:
    """Yield (line from 1, what) of every place that the parser could not read."""
    if node.type == "ERROR" or node.is_missing:
        yield node.start_point[0] + 1, "missing" if node.is_missing else "error"
        return
    for child in node.children:
        if child.has_error or child.is_missing:
            yield from problems(child)
