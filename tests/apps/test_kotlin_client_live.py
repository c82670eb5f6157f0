"""The Kotlin client and the real server: TLS and a token over loopback, Python's answer, and the server's end.

What stands for the phone's runtime says zeros; everything between the client and the server's model is real.
"""

from __future__ import annotations

import base64
import io
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from kotlin import Core
from PIL import Image

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
DTYPES = {"FP32": "float32", "INT64": "int64"}


@dataclass(frozen=True)
class Serving:
    """A server with TLS and tokens, and the files that its client needs."""

    live: Live
    authority: Path
    token: str


@dataclass(frozen=True)
class Client:
    """The Kotlin client's process; every line is answered by one."""

    process: subprocess.Popen[str]

    def say(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@pytest.fixture(scope="module")
def serving(core: Core, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("kotlin-live")
    made = make_certificates(folder, "127.0.0.1")
    token, _ = new_token(folder / "tokens.json", "kotlin", time.time())
    address = f'certificate = "{made.certificate}"\nkey = "{made.key}"\ntokens = "{folder / "tokens.json"}"'
    context = ssl.create_default_context(cafile=str(made.authority))
    headers = {"Authorization": f"Bearer {token}"}
    with start(folder, address, headers=headers, context=context) as live:
        yield Serving(live, made.authority, token)


@pytest.fixture(scope="module")
def picture() -> np.ndarray[Any, Any]:
    y, x = np.mgrid[0:180, 0:240]
    return np.stack([x % 256, (x + y) % 256, 255 - y % 256], axis=2).astype(np.uint8)


def png(picture: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def described(metadata: ModelMetadata) -> dict[str, Any]:
    """Return the model's tensors as the client's contract has them; one row, and images channels first."""
    return {
        side: [
            {
                "name": spec.name,
                "shape": [1 if size == -1 else size for size in spec.shape],
                "dtype": DTYPES[spec.datatype],
                "layout": "NCHW" if len(spec.shape) == 4 else "NONE",
            }
            for spec in specs
        ]
        for side, specs in (("inputs", metadata.inputs), ("outputs", metadata.outputs))
    }


def metadata_of(live: Live) -> ModelMetadata:
    with live.client() as client:
        return read_metadata(client.get(f"/v2/models/{MODEL}").content)


@pytest.fixture(scope="module")
def client(
    core: Core, serving: Serving, picture: np.ndarray[Any, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("kotlin-client")
    (folder / "picture.png").write_bytes(png(picture))
    height, width = picture.shape[:2]
    settings = {
        "url": serving.live.url,
        "model": MODEL,
        "token": serving.token,
        "authorities": str(serving.authority),
        "picture": str(folder / "picture.png"),
        "width": width,
        "height": height,
        **described(metadata_of(serving.live)),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    words = core.kotlin.command([core.main, core.tests], "edge.core.client.LiveClientKt", str(folder / "settings.json"))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Client(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def test_without_consent_the_device_answers(client: Client) -> None:
    found = client.say("prefer-server 60000")
    assert (found["answer"]["ran_on"], found["answer"]["reason"]) == ("device", "consent_unset")
    assert [attempt["sent"] for attempt in found["answer"]["attempts"]] == [False]


def test_the_servers_answer_is_the_one_that_python_gets(
    client: Client, serving: Serving, picture: np.ndarray[Any, Any]
) -> None:
    client.say("granted")
    found = client.say("only-server 60000")
    assert "answer" in found, found
    with serving.live.client() as python:
        name = metadata_of(serving.live).inputs[0].name
        answered = post(python, encode_request([picture_tensor(name, png(picture), None)]), MODEL)
    expected = parse_response(answered.content, answered.headers.get(HEADER)).outputs
    assert set(found["outputs"]) == set(expected)
    for name, tensor in expected.items():
        values = np.frombuffer(base64.b64decode(found["outputs"][name]), "<f4").reshape(tensor.array.shape)
        np.testing.assert_allclose(values, tensor.array, atol=1e-6)
        assert float(values.std()) > 0
    attempt = found["answer"]["attempts"][0]
    assert found["answer"]["model"] == MODEL
    assert len(found["answer"]["model_sha256"]) == 64
    assert attempt["sent"]
    assert attempt["spans"]["metadata_ms"] > 0
    again = client.say("only-server 60000")["answer"]["attempts"][0]
    assert (again["spans"]["connect_ms"], again["spans"]["metadata_ms"]) == (None, None)  # its connection is kept


def test_a_token_that_is_not_known_is_refused(serving: Serving) -> None:
    with serving.live.client() as python:
        assert python.get(f"/v2/models/{MODEL}", headers={"Authorization": "Bearer x"}).status_code == 401


def test_consent_taken_back_stops_it(client: Client) -> None:
    client.say("denied")
    found = client.say("prefer-server 60000")["answer"]
    assert (found["ran_on"], found["decision"]["server_blocked"]) == ("device", "consent_denied")
    client.say("granted")


def test_a_server_that_is_killed_is_replaced_by_the_device_within_the_deadline(
    client: Client, serving: Serving
) -> None:
    for process in [serving.live.process, *serving.live.processes()]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs([serving.live.process], timeout=20)
    for _ in range(3):
        found = client.say(f"prefer-server {DEADLINE_MS:.0f}")
        assert "answer" in found, found
        assert found["answer"]["ran_on"] == "device"
        assert found["took_ms"] < DEADLINE_MS + SLACK_MS
    assert "failed" in client.say(f"only-server {DEADLINE_MS:.0f}")
