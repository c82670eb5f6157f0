"""The Android core passes its own tests, golden vectors included, on this machine's JVM."""

from __future__ import annotations

import pytest
from kotlin import CORE, GOLDEN, Core, junit_classes

pytestmark = pytest.mark.slow


def test_the_core_passes_its_junit_tests(core: Core) -> None:
    classes = junit_classes(CORE / "test" / "kotlin")
    assert classes
    done = core.kotlin.run(
        [core.main, core.tests], "org.junit.runner.JUnitCore", *classes, properties={"golden": str(GOLDEN)}
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    assert "OK (" in done.stdout
