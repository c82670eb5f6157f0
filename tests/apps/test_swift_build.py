"""EdgeCore is built and passes its own tests, golden vectors included, where a Swift toolchain is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from kotlin import GOLDEN, Missing
from swift import IOS, swift_toolchain

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("verb", ["build", "test"])
def test_swiftpm(verb: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        swift = swift_toolchain()
    except Missing as error:
        pytest.skip(f"swift {verb} is not run: {error}")
    scratch: Path = tmp_path_factory.getbasetemp() / "swift"
    done = subprocess.run(
        [swift, verb, "--package-path", str(IOS), "--scratch-path", str(scratch)],
        capture_output=True,
        text=True,
        env={**os.environ, "EDGE_GOLDEN": str(GOLDEN)},
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]
