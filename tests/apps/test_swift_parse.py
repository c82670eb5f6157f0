"""Every Swift file is one that a parser of Swift can read; a planted error is found.

A parser is no compiler: names, types and calls are checked by Xcode and SwiftPM only (test_swift_build, and the
workflow .github/workflows/apps.yml).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kotlin import Missing
from swift import IOS, problems, swift_files, swift_parser

FILES = swift_files()
LONGEST_LINE = 120
MOST_LINES = 300


@pytest.fixture(scope="module")
def parser() -> Any:
    try:
        return swift_parser()
    except Missing as error:
        pytest.skip(f"Swift is not parsed: {error}")


def test_both_parts_are_there() -> None:
    names = {path.relative_to(IOS).parts[0] for path in FILES}
    assert {"Sources", "Tests", "EdgeApp", "Package.swift"} <= names
    assert len(FILES) > 60


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(IOS).as_posix())
def test_a_file_has_no_error_node(parser: Any, path: Path) -> None:
    tree = parser.parse(path.read_bytes())
    assert [*problems(tree.root_node)] == []
    assert not tree.root_node.has_error


@pytest.mark.parametrize("token", ["{", "}", "(", ")"])
def test_a_planted_error_is_found(parser: Any, token: str) -> None:
    found = 0
    for path in FILES:
        source = path.read_bytes()
        at = source.find(token.encode(), len(source) // 2)  # a token in the middle of the file
        planted = source[:at] + source[at + 1 :] if at >= 0 else source
        found += at >= 0 and parser.parse(planted).root_node.has_error
    assert found > 0.85 * len(FILES)  # tree-sitter reads round some: a parenthesis of a string, or of a tuple


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(IOS).as_posix())
def test_a_file_is_of_one_purpose_and_fits_a_screen(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    assert [number for number, line in enumerate(lines, 1) if len(line) > LONGEST_LINE] == []


def test_the_core_imports_nothing_but_the_systems_foundation() -> None:
    allowed = {"Foundation", "FoundationNetworking", "Dispatch", "CryptoKit"}
    for path in (IOS / "Sources").rglob("*.swift"):
        imported = {line.split()[1] for line in path.read_text().splitlines() if line.startswith("import ")}
        assert imported <= allowed, path
