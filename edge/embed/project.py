"""Recognise an app's project by its files, and find where models, bindings and versions stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.errors import InputError
from edge.phones import System

Kind = Literal["sample app", "Gradle", "XcodeGen", "Xcode", "SwiftPM"]


@dataclass(frozen=True, slots=True)
class Dependency:
    """One package that the project's build files name; `version` is empty where they leave it open."""

    name: str
    version: str
    file: str


@dataclass(frozen=True, slots=True)
class Project:
    """An app's project: `models` is where the app looks for artifacts; `home` holds embed.json, which no app needs."""

    system: System
    kind: Kind
    root: Path
    home: Path
    models: Path
    bindings: Path  # the root of the sources that the binding goes into
    package: str  # of generated Kotlin, if --package does not say
    build_file: Path  # where a dependency is added
    minimum: str  # API level or iOS version that the project asks for; empty where no file says it
    dependencies: Mapping[str, Dependency]
    texts: Mapping[str, str]  # build files, and Android's manifest, by their path within the project

    def mentions(self, word: str) -> bool:
        """Say whether any build file has a word."""
        return any(word in text for text in self.texts.values())


def find_project(folder: Path, system: System) -> Project:
    """Return the project in a folder; raises InputError saying what was looked for."""
    if not folder.is_dir():
        raise InputError(f"--into {folder} is not a folder; give the app's project")
    if system == "android":
        from edge.embed.gradle import find_gradle

        return find_gradle(folder)
    from edge.embed.xcode import find_xcode

    return find_xcode(folder)


def read_text(path: Path) -> str:
    """Return a build file's text; raises InputError for one that cannot be read."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; allow it") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8") from None
