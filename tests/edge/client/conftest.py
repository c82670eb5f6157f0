"""Fixtures of the client's tests: one artifact, one server, one proxy before it; nothing may be left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from client_models import make_artifact
from fault_proxy import Proxy, proxying
from oip_server import Served, serving

from edge.artifact import Artifact


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_artifact(tmp_path_factory.mktemp("client") / "bright")


@pytest.fixture
def server() -> Iterator[Served]:
    with serving() as found:
        yield found


@pytest.fixture
def proxy(server: Served) -> Iterator[Proxy]:
    with proxying(server.port) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No test leaves a thread of the client's behind."""
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("edge-client")]
    assert not left
