"""The workflow that builds both apps: it is not run here, but its versions are the pins, and it holds no secret."""

from __future__ import annotations

import re

import pytest
import yaml
from kotlin import APPS, versions

PATH = APPS.parent / ".github" / "workflows" / "apps.yml"
TEXT = PATH.read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load(TEXT)
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
USED = sorted({step["uses"] for step in STEPS if "uses" in step})


@pytest.mark.parametrize("used", USED)
def test_actions_are_pinned(used: str) -> None:
    name, _, version = used.partition("@")
    assert version == versions()["workflow"].get(name)


def test_tools_are_pinned() -> None:
    pins = versions()["workflow"]
    assert set(re.findall(r"ubuntu-([\d.]+)", TEXT)) == {pins["ubuntu"]}
    assert set(re.findall(r"macos-(\d+)", TEXT)) == {pins["macos"]}
    assert set(re.findall(r"container: swift:([\d.]+)", TEXT)) == {pins["swift"]}
    assert set(re.findall(r"XcodeGen/releases/download/([\d.]+)/", TEXT)) == {pins["xcodegen"]}
    assert set(re.findall(r'java-version: "(\d+)"', TEXT)) == {versions()["android"]["jdk"]}
    assert set(re.findall(r'gradle-version: "([\d.]+)"', TEXT)) == {versions()["android"]["gradle"]}


def test_it_needs_no_secret_and_may_only_read() -> None:
    assert "secrets." not in TEXT
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in WORKFLOW["jobs"].values())


def test_it_says_that_it_is_not_run_here() -> None:
    assert TEXT.startswith("# Builds both sample apps for real. NOT RUN by this project's own CI")


def test_folders_that_it_names_are_there() -> None:
    folders = {step["working-directory"] for step in STEPS if "working-directory" in step}
    assert folders == {"apps/android", "apps/ios"}
    assert all((APPS.parent / folder).is_dir() for folder in folders)
