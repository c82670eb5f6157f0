"""Opening executorch-qnn artifacts: what is said when the SDK is missing, and how native output is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import MissingError, TargetError
from edge.runtimes.executorch_qnn import captured_output, check_environment


def test_no_sdk_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    with pytest.raises(MissingError, match="edge sdk install qnn"):
        check_environment()


def test_libraries_that_the_loader_does_not_see(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QNN_SDK_ROOT", str(tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    with pytest.raises(MissingError, match=r"libQnnHtp\.so on LD_LIBRARY_PATH"):
        check_environment()


@pytest.mark.slow
def test_another_version(monkeypatch: pytest.MonkeyPatch, sdk: Callable[[str], dict[str, str]]) -> None:
    for name, value in sdk("qnn-2.50").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TargetError, match=r"not of version 2\.49"):
        check_environment()


def test_output_of_native_code_is_read_and_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_output() as output:
        os.write(1, b"[INFO] [Qnn ExecuTorch]: all is well\n")
        os.write(2, b"[ERROR] [Qnn ExecuTorch]: device creation failed 14001\n")
        assert output.error() == "device creation failed 14001"
    assert "all is well" in capfd.readouterr().err


def test_output_without_errors() -> None:
    with captured_output() as output:
        os.write(2, b"a line\n")
        assert output.error() == ""
