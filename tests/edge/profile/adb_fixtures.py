"""Fixtures of the adb tests: adb's own server, a phone that is plugged in, its shells, and a bundle."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from adbd import Daemon, Phone
from fake_phone import adb_server, make_phone, plugged_in

from edge.profile.devices import Bundle, BundleFile, Device, _adb_shell, open_device


@pytest.fixture(scope="session")
def adb_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run a server of the tests' own; give its clients' environment."""
    with adb_server(tmp_path_factory.mktemp("adb")) as environment:
        yield environment


@pytest.fixture
def adb_clients(adb_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Let every adb of this test talk to the tests' server."""
    for name in ("ANDROID_SERIAL", "ADB_SERVER_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    for name, value in adb_environment.items():
        monkeypatch.setenv(name, value)
    return adb_environment


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Phone]:
    """Return a phone that is not plugged in yet; what still runs on it in the end is ended: a real one keeps it."""
    yield make_phone(tmp_path / "phone")
    for process in psutil.process_iter(["cmdline"]):
        if any(str(tmp_path / "phone") in word for word in process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.NoSuchProcess):
                for one in (*process.children(recursive=True), process):
                    one.kill()


@pytest.fixture
def plugged(phone: Phone, adb_clients: dict[str, str]) -> Iterator[Daemon]:
    """Plug the phone in."""
    with plugged_in(phone, adb_clients) as daemon:
        yield daemon


@pytest.fixture
def device(plugged: Daemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """Open the phone, which is given less time to come back than a real one."""
    monkeypatch.setattr(_adb_shell, "RETURN_S", 0.5)
    device = open_device("adb")
    yield device
    device.close()


@pytest.fixture(params=["sh, shell_v2", "sh, Android 6", "mksh, shell_v2", "mksh, Android 6"])
def shell(request: pytest.FixtureRequest, phone: Phone) -> Phone:
    """Give the phone a shell: this machine's or Android's own, mksh; with exit codes and two streams, or without."""
    name, _, kind = request.param.partition(", ")
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    phone.shell, phone.faults.shell_v2 = name, kind == "shell_v2"
    return phone


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., Bundle]:
    """Return a function that makes a bundle of a program and a file of data."""

    def make(program: str = "echo ready", data: bytes = b"1234") -> Bundle:
        (tmp_path / "program").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "data").write_bytes(data)
        return Bundle(
            files=(
                BundleFile(name="runner", path=tmp_path / "program", executable=True),
                BundleFile(name="model's data.bin", path=tmp_path / "data"),
            )
        )

    return make
