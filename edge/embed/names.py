"""Names of models, tensors and labels as identifiers of Kotlin and Swift: valid, distinct, and the same every time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

from edge.errors import UsageError

Language = Literal["kotlin", "swift"]
Style = Literal["Type", "member", "ENTRY"]
_LONGEST = 60  # characters of a name before the number that tells it from another
# Kotlin's hard keywords, and those of its soft ones that read as something else where a name is declared.
_KOTLIN = """
    as break class continue do else false field for fun if in interface is it null object package return super this
    throw true try typealias typeof val var when while
"""
_SWIFT = """
    Any Protocol Self Type actor any as associatedtype async await break case catch class continue default defer deinit
    do else enum extension fallthrough false fileprivate for func guard if import in indirect init inout internal is
    lazy let nil nonisolated open operator precedencegroup private protocol public repeat rethrows return self some
    static struct subscript super switch throw throws true try typealias unowned var weak where while
"""
_KEYWORDS: dict[Language, frozenset[str]] = {
    "kotlin": frozenset(_KOTLIN.split()),
    "swift": frozenset(_SWIFT.split()),
}


def identifiers(
    texts: Iterable[str], language: Language, style: Style, fallback: str, taken: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return one identifier a text, all distinct and none of `taken`.

    `fallback` is the word for a text without a Latin letter or digit, and goes before one that begins with a digit. A
    keyword gets an underscore, the second of two equal names `_2`. Names that differ in case only count as equal: a
    type is a file too.
    """
    used = {name.casefold() for name in taken}
    return tuple(_distinct(identifier(text, language, style, fallback), used) for text in texts)


def identifier(text: str, language: Language, style: Style, fallback: str) -> str:
    """Return a text as an identifier."""
    words = _words(text)
    if not words or words[0][0].isdigit():
        words = [fallback, *words]
    name = _join(words, style)[:_LONGEST].rstrip("_")
    return f"{name}_" if name in _KEYWORDS[language] else name


def slug(text: str) -> str:
    """Return a text as the name of a folder that every file system, asset packer and URL takes."""
    found = re.sub(r"[^a-z0-9.]+", "-", _latin(text).lower()).strip("-.")
    return re.sub(r"\.{2,}", ".", found)[:_LONGEST].strip("-.") or "model"


def check_package(name: str) -> str:
    """Return the name of a Kotlin package; raises UsageError for another text."""
    parts = name.split(".")
    if not all(re.fullmatch(r"[a-z][a-zA-Z0-9_]*", part) and part not in _KEYWORDS["kotlin"] for part in parts):
        raise UsageError(f"--package {name!r} is not the name of a package; write it like com.example.models")
    return name


def quoted(text: str, language: Language) -> str:
    """Return a text as a string literal of ASCII characters."""
    return '"' + "".join(_escaped(char, language) for char in text) + '"'


def comment(text: str) -> str:
    """Return a text as it can stand in any comment: one line, and nothing that ends or opens one."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line.replace("*/", "* /").replace("/*", "/ *").replace("[", "(").replace("]", ")")


def _latin(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z0-9]+", _latin(text))


def _join(words: list[str], style: Style) -> str:
    if style == "ENTRY":
        return "_".join(words).upper()
    first = words[0].lower() if words[0].isupper() else words[0]
    first = first[0].lower() + first[1:]
    rest = "".join(word[0].upper() + word[1:] for word in words[1:])
    return (first[0].upper() + first[1:] if style == "Type" else first) + rest


def _distinct(name: str, used: set[str]) -> str:
    found, number = name, 2
    while found.casefold() in used:
        found, number = f"{name.rstrip('_')}_{number}", number + 1
    used.add(found.casefold())
    return found


def _escaped(char: str, language: Language) -> str:
    if char in '"\\' or (char == "$" and language == "kotlin"):
        return "\\" + char
    if " " <= char <= "~":
        return char
    if language == "swift":
        return f"\\u{{{ord(char):x}}}"
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
