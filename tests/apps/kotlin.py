"""The Kotlin compiler of npm and Debian's JUnit 4, as far as this machine has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

APPS = Path(__file__).resolve().parents[2] / "apps"
GOLDEN = APPS / "shared" / "golden"
CORE = APPS / "android" / "core" / "src"
TOOLS = APPS / ".tools"  # `make apps-tools` fills it; not in git
JUNIT = (Path("/usr/share/java/junit4.jar"), Path("/usr/share/java/hamcrest-all.jar"))


class Missing(Exception):
    """Report what has to be installed before Kotlin can be checked."""


def versions() -> dict[str, dict[str, str]]:
    """Return apps/versions.toml."""
    found: dict[str, dict[str, str]] = tomllib.loads((APPS / "versions.toml").read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True, slots=True)
class Kotlin:
    """A compiler that was found; `home` is the package kotlin-compiler."""

    java: str
    home: Path

    @property
    def runtime(self) -> list[Path]:
        """Return what compiled code needs to run its tests."""
        names = ("kotlin-stdlib.jar", "kotlin-test.jar", "kotlin-test-junit.jar")
        return [*(self.home / "lib" / name for name in names), *JUNIT]

    def compile(
        self, sources: Sequence[Path], to: Path, classpath: Sequence[Path] = (), friend: Path | None = None
    ) -> str:
        """Compile folders or files into a jar and return what the compiler said; raises AssertionError with its errors.

        Warnings are errors. The internal names of `friend`, a jar, are visible, as they are to its tests under Gradle.
        """
        done = self.check(sources, to, classpath, friend)
        assert done.returncode == 0, done.stderr[-8000:]
        return done.stderr

    def check(
        self, sources: Sequence[Path], to: Path, classpath: Sequence[Path] = (), friend: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Compile as `compile` does and return how it ended."""
        words = [
            self.java, "-Xmx1g", "-cp", str(self.home / "lib" / "kotlin-compiler.jar"),
            "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-kotlin-home", str(self.home), "-no-reflect", "-Werror",
            "-jvm-target", versions()["kotlin"]["jvm_target"], "-d", str(to),
        ]  # fmt: skip
        if friend is not None:
            words.append(f"-Xfriend-paths={friend}")
        if classpath:
            words += ["-cp", os.pathsep.join(map(str, classpath))]
        return subprocess.run([*words, *map(str, sources)], capture_output=True, text=True)

    def command(
        self, classpath: Sequence[Path], main: str, *arguments: str, properties: Mapping[str, str] | None = None
    ) -> list[str]:
        """Return the words that run a class's main function; `properties` are its system properties."""
        words = [self.java, "-Xmx1g", *(f"-D{name}={value}" for name, value in (properties or {}).items())]
        return [*words, "-cp", os.pathsep.join(map(str, [*classpath, *self.runtime])), main, *arguments]

    def run(
        self, classpath: Sequence[Path], main: str, *arguments: str, properties: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a class's main function."""
        return subprocess.run(
            self.command(classpath, main, *arguments, properties=properties), capture_output=True, text=True
        )


@dataclass(frozen=True, slots=True)
class Core:
    """The compiled core and its tests."""

    kotlin: Kotlin
    main: Path
    tests: Path


def find_kotlin() -> Kotlin:
    """Return the compiler; raises Missing with the command that installs what is not there.

    EDGE_KOTLIN names a folder with another copy of the package kotlin-compiler.
    """
    java = shutil.which("java")
    if java is None:
        raise Missing("no Java: apt-get install openjdk-17-jdk-headless")
    for path in JUNIT:
        if not path.is_file():
            raise Missing(f"{path} is not there: apt-get install junit4 libhamcrest-java")
    home = Path(os.environ.get("EDGE_KOTLIN", TOOLS / "node_modules" / "kotlin-compiler"))
    if not (home / "lib" / "kotlin-compiler.jar").is_file():
        raise Missing("no Kotlin compiler: make apps-tools")
    return Kotlin(java, home)


def bench_classes(folder: Path) -> list[str]:
    """Return what to run of the benchmarks: the main function of every file named *Benchmarks.kt."""
    return sorted(
        ".".join(path.relative_to(folder).with_suffix("").parts) + "Kt" for path in folder.rglob("*Benchmarks.kt")
    )


def junit_classes(folder: Path) -> list[str]:
    """Return the full names of the test classes in a folder: one a file, named as the file."""
    return sorted(".".join(path.relative_to(folder).with_suffix("").parts) for path in folder.rglob("*Test.kt"))
