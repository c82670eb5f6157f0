"""Every version in the apps' build files is the one of apps/versions.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from kotlin import APPS, versions

from edge.embed import versions as packaged

ROOT = APPS.parent
NAMES = ("libs.versions.toml", "build.gradle.kts", "settings.gradle.kts", "gradle-wrapper.properties", "Package.swift",
         "project.yml", "Podfile")  # fmt: skip
FOUND = sorted(
    path for name in NAMES for path in APPS.rglob(name) if not {".tools", ".build", "node_modules"} & set(path.parts)
)
# What a version in a build file is said of, by the word before it, and where its pin is.
_WORDS = {
    "compileSdk": ("android", "compile_sdk"), "minSdk": ("android", "min_sdk"), "targetSdk": ("android", "target_sdk"),
    "jvmToolchain": ("android", "jdk"), "swift-tools-version": ("ios", "swift_tools"),
    "com.android.application": ("android", "agp"), "com.android.library": ("android", "agp"),
    "org.jetbrains.kotlin.android": ("kotlin", "compiler"), "org.jetbrains.kotlin.jvm": ("kotlin", "compiler"),
    "deploymentTarget": ("ios", "deployment_target"),
}  # fmt: skip
_ALIASES = {
    "agp": ("android", "agp"), "kotlin": ("kotlin", "compiler"), "jdk": ("android", "jdk"),
    "jvm-target": ("kotlin", "jvm_target"), "compile-sdk": ("android", "compile_sdk"),
    "target-sdk": ("android", "target_sdk"), "min-sdk": ("android", "min_sdk"),
}  # fmt: skip


def stated(path: Path) -> Iterator[tuple[str, str, str]]:
    """Return (what, version in the file, version in apps/versions.toml) for every version that a build file has.

    What apps/versions.toml does not name has no pin: an empty string, which equals nothing.
    """
    text, pins = path.read_text(encoding="utf-8"), versions()
    if path.name == "libs.versions.toml":
        yield from _catalog(text)
        return
    for group, version in re.findall(r"""["']([\w.\-]+:[\w.\-]+):(\d[\w.\-]*)["']""", text):
        yield group, version, pins["maven"].get(group, "")
    for url, version in re.findall(r'url:\s*"(https://[^"]+?)(?:\.git)?"\s*,[^")]*?"([^"]+)"', text):
        yield url, version, pins["swift"].get(url, "")
    keys = r"(?:exactVersion|branch|version|from|minorVersion|majorVersion)"
    for url, version in re.findall(rf'url:\s*(https://\S+?)(?:\.git)?[,\s]+{keys}:\s*["\']?([^\s"\',}}]+)', text):
        yield url, version, pins["swift"].get(url, "")
    for pod, version in re.findall(r"""pod\s+["'](\w+)["']\s*,\s*["']([^"']+)["']""", text):
        yield pod, version, pins["pods"].get(pod, "")
    for version in re.findall(r"gradle-([\d.]+)-(?:bin|all)\.zip", text):
        yield "gradle", version, pins["android"]["gradle"]
    for word, (table, key) in _WORDS.items():
        ends = rf"{re.escape(word)}[\"')]*(?:\s+version)?\s*[=:( ]\s*\n?\s*(?:iOS:\s*)?[\"']?(\d[\d.]*)"
        for version in re.findall(ends, text):
            yield word, version, pins[table][key]
    for version in re.findall(r"\.iOS\(\s*\.?v?\"?(\d+(?:[._]\d+)*)", text):
        pinned = pins["ios"]["deployment_target"]
        yield ".iOS", version, version if f"{version}.0" == pinned else pinned
    for version in re.findall(r"^\s*iOS:\s*[\"']?(\d[\d.]*)", text, re.MULTILINE):
        yield "iOS", version, pins["ios"]["deployment_target"]


def _catalog(text: str) -> Iterator[tuple[str, str, str]]:
    catalog, pins = tomllib.loads(text), versions()
    expected = {alias: pins[table][key] for alias, (table, key) in _ALIASES.items()}
    for entry in catalog.get("libraries", {}).values():
        kotlin = entry["module"].startswith("org.jetbrains.kotlin:")
        expected[entry["version"]["ref"]] = (
            pins["kotlin"]["compiler"] if kotlin else pins["maven"].get(entry["module"], "")
        )
    for alias, version in catalog["versions"].items():
        yield alias, version, expected.get(alias, "")


def test_there_are_build_files() -> None:
    assert FOUND or [path for path in APPS.rglob("*.kt")], f"no build file below {APPS}"


@pytest.mark.parametrize("path", FOUND or [APPS / "versions.toml"], ids=lambda path: path.relative_to(APPS).as_posix())
def test_versions_are_those_of_the_one_place(path: Path) -> None:
    if path.name == "versions.toml":  # no build file is here yet: at least the pins themselves are versions
        found = [(name, pin, pin) for table in versions().values() for name, pin in table.items()]
        assert all(re.search(r"\d", pin) for _, pin, _ in found)
    else:
        found = list(stated(path))
    assert [(what, version) for what, version, pin in found if version != pin] == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("build.gradle.kts", 'implementation("org.pytorch:executorch-android:1.0.0")',
         ["org.pytorch:executorch-android"]),
        ("build.gradle.kts", 'implementation("org.pytorch:executorch-android:1.5.1")\nminSdk = 26', []),
        ("build.gradle.kts", "minSdk = 21", ["minSdk"]),
        ("build.gradle.kts", 'id("com.android.application") version "8.0.0"', ["com.android.application"]),
        ("build.gradle.kts", 'implementation("some.new:library:1.0")', ["some.new:library"]),
        ("Package.swift", "// swift-tools-version: 5.8", ["swift-tools-version"]),
        ("Package.swift", "platforms: [.iOS(.v16)]", [".iOS"]),
        ("Package.swift", '.package(url: "https://github.com/pytorch/executorch", branch: "swiftpm-1.0.0")',
         ["https://github.com/pytorch/executorch"]),
        ("project.yml", "  E:\n    url: https://github.com/pytorch/executorch\n    branch: swiftpm-1.0.0\n",
         ["https://github.com/pytorch/executorch"]),
        ("project.yml", '  deploymentTarget:\n    iOS: "16.0"\n', ["deploymentTarget", "iOS"]),
        ("project.yml", '  deploymentTarget:\n    iOS: "17.0"\n', []),
        ("gradle-wrapper.properties", "distributionUrl=https\\://services.gradle.org/gradle-8.0-bin.zip", ["gradle"]),
        ("libs.versions.toml", '[versions]\nagp = "8.0.0"\n', ["agp"]),
        ("libs.versions.toml", '[versions]\nx = "1"\n[libraries]\na = {module = "new:one", version.ref = "x"}', ["x"]),
    ],
)  # fmt: skip
def test_another_version_is_found(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    (tmp_path / name).write_text(text)
    assert [what for what, version, pin in stated(tmp_path / name) if version != pin] == expected


def test_the_packaged_copy_is_the_same_file() -> None:
    source = APPS / "versions.toml"
    assert packaged.DATA.read_bytes() == source.read_bytes(), f"cp {source.relative_to(ROOT)} edge/embed/versions.toml"


def test_the_pins_that_python_has_too() -> None:
    """What an app runs is not older than what made the artifact, where both have the version of one release."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wheels = dict(line.split("==") for extra in project.values() for line in extra if "==" in line and "[" not in line)
    assert versions()["maven"]["org.pytorch:executorch-android"] == wheels["executorch"]
    assert versions()["maven"]["com.google.ai.edge.litert:litert"] == wheels["ai-edge-litert"]
