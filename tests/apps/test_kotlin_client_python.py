"""The Kotlin client and Python's half of the protocol, with TLS and a token, in a server that starts in a second."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from kotlin import Core
from kotlin_client import Address, Client, client_of, png

from edge.client.work import picture_tensor
from edge.serve.errors import Busy
from edge.serve.metadata import declare
from edge.serve.pictures import prepare_pictures
from edge.server.certificates import make_certificates

sys.path.append(str(Path(__file__).resolve().parents[1] / "edge" / "client"))  # after the packages, which share names
from client_models import CONTRACT, bright
from oip_server import Served, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    made = make_certificates(tmp_path, "127.0.0.1")
    with serving(ssl_certfile=str(made.certificate), ssl_keyfile=str(made.key)) as found:
        found.conduct.token = "t0ken"
        yield found


@pytest.fixture
def client(core: Core, server: Served, tmp_path: Path) -> Iterator[Client]:
    address = Address(f"https://127.0.0.1:{server.port}", "bright", "t0ken", tmp_path / "authority.pem")
    with client_of(core, tmp_path, address, declare(CONTRACT, "bright")) as found:
        found.say("granted")
        yield found


def test_a_pictures_answer_is_the_one_that_python_computes(client: Client, server: Served) -> None:
    found = client.say("only-server 30000")
    assert "answer" in found, found
    image = prepare_pictures(picture_tensor("image", png(), None), CONTRACT).array
    values = np.frombuffer(base64.b64decode(found["outputs"]["mask"]), "<f4").reshape(1, 1, 16, 16)
    np.testing.assert_allclose(values, bright(image), atol=1e-6)
    request = server.conduct.requests[0]
    assert (request.inputs[0].datatype, request.inputs[0].array[0]) == ("BYTES", png())
    assert request.timeout_us is not None
    assert 0 < request.timeout_us <= 30_000_000
    assert found["answer"]["model_sha256"] == "cd" * 32


def test_a_server_that_refuses_is_replaced_and_one_that_is_busy_is_waited_for(client: Client, server: Served) -> None:
    server.conduct.error = Busy("full", 1)
    assert client.say("prefer-server 20000")["answer"]["ran_on"] == "device"
    assert "503" in client.say("only-server 20000")["failed"]
    server.conduct.error, server.conduct.token = None, "another"
    assert "401" in client.say("only-server 20000")["failed"]
    server.conduct.token = "t0ken"
    assert client.say("only-server 20000")["answer"]["ran_on"] == "server"
    client.say("denied")
    asked = len(server.conduct.requests)
    assert client.say("prefer-server 20000")["answer"]["reason"] == "consent_denied"
    assert len(server.conduct.requests) == asked
