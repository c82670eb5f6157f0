"""Fixtures of the ssh tests: a real server on loopback, and a board behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sshd import HOST, Server, serving

from edge.profile.devices import Device, open_device
from edge.profile.devices._ssh_link import VARIABLE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture
def board(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    monkeypatch.setenv(VARIABLE, f"-F {server.config}")
    found = open_device(f"ssh:{HOST}")
    yield found
    found.close()
