"""The Gradle files have the versions of apps/versions.toml and no others."""

from __future__ import annotations

import re
import tomllib

from android import NAMESPACE, PROJECT
from kotlin import versions

CATALOG = tomllib.loads((PROJECT / "gradle" / "libs.versions.toml").read_text(encoding="utf-8"))
# Aliases whose version is another entry of apps/versions.toml than that of their own module or plugin.
PLACES = {
    "agp": ("android", "agp"), "kotlin": ("kotlin", "compiler"), "jdk": ("android", "jdk"),
    "jvm-target": ("kotlin", "jvm_target"), "compile-sdk": ("android", "compile_sdk"),
    "target-sdk": ("android", "target_sdk"), "min-sdk": ("android", "min_sdk"),
}  # fmt: skip


def test_the_catalogue_is_a_copy() -> None:
    pins = versions()
    expected = {alias: pins[table][key] for alias, (table, key) in PLACES.items()}
    for entry in CATALOG["libraries"].values():
        if entry["module"] in pins["maven"]:
            expected[entry["version"]["ref"]] = pins["maven"][entry["module"]]
    assert CATALOG["versions"] == expected


def test_every_entry_names_a_version_by_reference() -> None:
    for entry in (*CATALOG["libraries"].values(), *CATALOG["plugins"].values()):
        assert entry["version"]["ref"] in CATALOG["versions"], entry


def test_no_build_file_holds_a_version_of_its_own() -> None:
    for path in PROJECT.rglob("*.gradle.kts"):
        text = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
        assert not re.search(r'["\'][\w.\-]+:[\w.\-]+:[\d]', text), path
        assert not re.search(r'\b(version|compileSdk|minSdk|targetSdk)\s*[=(]?\s*["\']?\d', text), path
        for alias in re.findall(r"libs\.((?!versions|plugins)[\w.]+)\)", text):
            assert alias.replace(".", "-") in CATALOG["libraries"], f"{path}: {alias}"
        for alias in re.findall(r"libs\.versions\.([\w.]+?)\.get\(", text):
            assert alias.replace(".", "-") in CATALOG["versions"], f"{path}: {alias}"


def test_the_namespace_is_that_of_the_sources() -> None:
    text = (PROJECT / "app" / "build.gradle.kts").read_text(encoding="utf-8")
    assert f'namespace = "{NAMESPACE}"' in text
