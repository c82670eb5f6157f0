"""Fixtures of the client's tests: one artifact, one server, one proxy before it; nothing may be left running."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a certificate for localhost and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No test leaves a thread of the client's behind."""
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("edge-client")]
    assert not left
