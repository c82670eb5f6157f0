"""The Kotlin client and the real server: TLS and a token over loopback, Python's answer, and the server's end.

What stands for the phone's runtime says zeros; everything between the client and the server's model is real.
"""

from __future__ import annotations

import base64
import contextlib
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from kotlin import Core
from kotlin_client import Address, Client, client_of, png

from edge.client.agree import read_metadata
from edge.client.work import picture_tensor
from edge.serve.metadata import ModelMetadata
from edge.serve.requests import encode_request
from edge.serve.responses import parse_response
from edge.serve.wire import HEADER
from edge.server.certificates import make_certificates
from edge.server.tokens import new_token

sys.path.append(str(Path(__file__).resolve().parents[1] / "edge" / "server"))  # after the packages, which share names
from live import Live, post, start

pytestmark = pytest.mark.slow
MODEL = "selfie-segmentation"
DEADLINE_MS = 4_000.0
SLACK_MS = 3_000.0  # of a busy machine; what is shown is that the call ends with the device's answer


@dataclass(frozen=True, slots=True)
class Serving:
    """A server with TLS and tokens, and its client's address."""

    live: Live
    address: Address
    metadata: ModelMetadata


@pytest.fixture(scope="module")
def serving(core: Core, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("kotlin-live")
    made = make_certificates(folder, "127.0.0.1")
    token, _ = new_token(folder / "tokens.json", "kotlin", time.time())
    address = f'certificate = "{made.certificate}"\nkey = "{made.key}"\ntokens = "{folder / "tokens.json"}"'
    context = ssl.create_default_context(cafile=str(made.authority))
    headers = {"Authorization": f"Bearer {token}"}
    with start(folder, address, headers=headers, context=context) as live:
        with live.client() as python:
            metadata = read_metadata(python.get(f"/v2/models/{MODEL}").content)
        yield Serving(live, Address(live.url, MODEL, token, made.authority), metadata)


@pytest.fixture(scope="module")
def client(core: Core, serving: Serving, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("kotlin-client")
    with client_of(core, folder, serving.address, serving.metadata) as found:
        yield found


def test_without_consent_the_device_answers(client: Client) -> None:
    found = client.say("prefer-server 60000")
    assert (found["answer"]["ran_on"], found["answer"]["reason"]) == ("device", "consent_unset")
    assert [attempt["sent"] for attempt in found["answer"]["attempts"]] == [False]


def test_the_servers_answer_is_the_one_that_python_gets(client: Client, serving: Serving) -> None:
    client.say("granted")
    found = client.say("only-server 60000")
    assert "answer" in found, found
    with serving.live.client() as python:
        tensor = picture_tensor(serving.metadata.inputs[0].name, png(), None)
        answered = post(python, encode_request([tensor]), MODEL)
    expected = parse_response(answered.content, answered.headers.get(HEADER)).outputs
    assert set(found["outputs"]) == set(expected)
    for name, output in expected.items():
        values = np.frombuffer(base64.b64decode(found["outputs"][name]), "<f4").reshape(output.array.shape)
        np.testing.assert_allclose(values, output.array, atol=1e-6)
        assert float(values.std()) > 0
    attempt = found["answer"]["attempts"][0]
    assert found["answer"]["model"] == MODEL
    assert len(found["answer"]["model_sha256"]) == 64
    assert attempt["sent"]
    assert attempt["spans"]["metadata_ms"] > 0
    again = client.say("only-server 60000")["answer"]["attempts"][0]
    assert (again["spans"]["connect_ms"], again["spans"]["metadata_ms"]) == (None, None)  # its connection is kept


def test_consent_taken_back_stops_it(client: Client) -> None:
    client.say("denied")
    found = client.say("prefer-server 60000")["answer"]
    assert (found["ran_on"], found["decision"]["server_blocked"]) == ("device", "consent_denied")
    client.say("granted")


def test_a_server_that_is_killed_is_replaced_by_the_device_in_time(client: Client, serving: Serving) -> None:
    for process in [serving.live.process, *serving.live.processes()]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs([serving.live.process], timeout=20)
    for _ in range(3):
        found = client.say(f"prefer-server {DEADLINE_MS:.0f}")
        assert "answer" in found, found
        assert found["answer"]["ran_on"] == "device"
        assert found["took_ms"] < DEADLINE_MS + SLACK_MS
    assert "failed" in client.say(f"only-server {DEADLINE_MS:.0f}")
