"""Fixtures of the apps' tests: a compiler, and the core compiled once; what is missing skips by name."""

from __future__ import annotations

import pytest
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
