"""Fixtures of the apps' tests: a compiler, and the core compiled once; what is missing skips by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from android import MAIN, RUNTIMES, Aapt2, Linked, android_jar, find_aapt2, manifest
from kotlin import CORE, Core, Kotlin, Missing, find_kotlin


@pytest.fixture(scope="session")
def kotlin() -> Kotlin:
    try:
        return find_kotlin()
    except Missing as error:
        pytest.skip(f"Kotlin is not checked: {error}")


@pytest.fixture(scope="session")
def core(kotlin: Kotlin, tmp_path_factory: pytest.TempPathFactory) -> Core:
    folder = tmp_path_factory.mktemp("kotlin")
    main, tests = folder / "core.jar", folder / "tests.jar"
    kotlin.compile([CORE / "main" / "kotlin"], main)
    kotlin.compile([CORE / "test" / "kotlin"], tests, [main, *kotlin.runtime], friend=main)
    return Core(kotlin, main, tests)


@pytest.fixture(scope="session")
def aapt2() -> Aapt2:
    try:
        return find_aapt2()
    except Missing as error:
        pytest.skip(f"Android's resources are not checked: {error}")


@pytest.fixture(scope="session")
def linked(aapt2: Aapt2, tmp_path_factory: pytest.TempPathFactory) -> Linked:
    """The app's resources, linked."""
    return aapt2.link(MAIN / "res", manifest(), tmp_path_factory.mktemp("linked"))


@pytest.fixture(scope="session")
def android_classes(kotlin: Kotlin, core: Core, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What the app is compiled against: Android's API, the three runtimes' declarations and the core."""
    try:
        android = android_jar()
    except Missing as error:
        pytest.skip(f"the Android app is not type-checked: {error}")
    runtimes = tmp_path_factory.mktemp("runtimes") / "runtimes.jar"
    kotlin.compile([RUNTIMES], runtimes, [android])
    return [android, runtimes, core.main]


@pytest.fixture(scope="session")
def r_class(linked: Linked) -> Path:
    """The folder with the source of the app's class R."""
    return linked.generated
