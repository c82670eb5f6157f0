"""What is said where the kernels were not built, or are of another version."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import MissingError
from quant.kernels import library
from quant.kernels.compile import LIBRARY, CompileFailed, compile_library, host_toolchain


@pytest.fixture
def load():
    return library.library.__wrapped__  # not the one that is kept


def test_a_library_that_is_not_there_names_the_command(load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "HERE", tmp_path)
    with pytest.raises(MissingError, match=r"not built: there is no .*; `?install a C\+\+ compiler.*pip install"):
        load()


def test_a_library_that_is_none_names_the_command(load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / LIBRARY).write_bytes(b"no library")
    monkeypatch.setattr(library, "HERE", tmp_path)
    with pytest.raises(MissingError, match="cannot be loaded .*pip install"):
        load()


def test_a_library_of_another_version_names_the_command(load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "ABI", 0)
    with pytest.raises(MissingError, match="is of version 1; expected 0.*pip install"):
        load()


@pytest.mark.parametrize(
    ("compiler", "words"), [("/nowhere/c++", "cannot be started"), ("false", "false ended with 1")]
)
def test_a_compiler_that_fails_is_named(compiler, words, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", compiler)
    with pytest.raises(CompileFailed, match=words):
        compile_library(tmp_path / LIBRARY, host_toolchain())
    assert not (tmp_path / LIBRARY).exists()


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompileFailed, match=r"no C\+\+ compiler; install one"):
        host_toolchain()
