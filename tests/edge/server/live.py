"""A real server as a child process: `edge serve` with three small models, and what there is to see of it outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from served_models import write_pictures, write_work

from edge.serve.requests import encode_request
from edge.serve.responses import parse_response
from edge.serve.wire import HEADER, Message, Tensor

PATIENCE_S = 120.0  # for what takes seconds on a machine that has nothing else to do
QUEUED = 4  # requests that a replica of `work` takes
BODY_BYTES = 1_000_000
_MODELS = """
limits = {{ body_bytes = {body_bytes} }}
[[models]]
source = "{folder}/work"
min_replicas = 2
max_replicas = 2
max_queued = {queued}
timeout_ms = 120000
cpus = 0.5
[[models]]
source = "{folder}/pictures.pt2"
cpus = 0.5
[[models]]
source = "selfie-segmentation"
batch_wait_ms = 50
cpus = 0.5
"""


@dataclass(frozen=True, slots=True)
class Live:
    """A running server; `headers` and `context` are what a client needs where it is not an insecure one."""

    process: psutil.Popen
    url: str
    log: Path
    headers: Mapping[str, str] = field(default_factory=dict)
    context: ssl.SSLContext | None = None

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.split("//")[1].rpartition(":")
        return host, int(port)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=self.headers, verify=self.context or False, timeout=PATIENCE_S)

    def connect(self) -> socket.socket:
        """Return a connection of its own, for what no client library sends."""
        plain = socket.create_connection(self.address, timeout=60)
        return self.context.wrap_socket(plain, server_hostname=self.address[0]) if self.context else plain

    def processes(self) -> list[psutil.Process]:
        """Return every process of the server but the command itself."""
        return list(self.process.children(recursive=True))

    def replicas(self, model: str) -> list[psutil.Process]:
        return [one for one in self.processes() if command(one).startswith(f"ray::ServeReplica:{model}-")]

    @property
    def folder(self) -> Path:
        """Return the server's private folder, as its door's command line has it."""
        return next(Path(one.cmdline()[-1]).parent for one in self.processes() if command(one).endswith("door.cfg"))


def command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline()).strip()
    return ""


@contextlib.contextmanager
def start(folder: Path, address: str = "insecure = true", **client: Any) -> Iterator[Live]:
    """Serve `work` and `pictures`; `address` are the lines of the configuration that say how, `client` a Live's own."""
    write_work(folder / "work")
    write_pictures(folder / "pictures.pt2")
    models = _MODELS.format(folder=folder, body_bytes=BODY_BYTES, queued=QUEUED)
    (folder / "serve.toml").write_text(f"port = 0\n{address}\n{models}")
    words = [sys.executable, "-m", "edge", "serve", "--config", str(folder / "serve.toml"), "--json"]
    log, out = folder / "serve.log", folder / "serve.json"
    with log.open("wb") as errors, out.open("wb") as printed:
        process = psutil.Popen(words, stdout=printed, stderr=errors, env={**os.environ, "PYTHONPATH": os.getcwd()})
    known: set[psutil.Process] = set()
    try:
        until(
            lambda: out.read_bytes().endswith(b"}\n") or process.poll() is not None, "the server starts", 3 * PATIENCE_S
        )
        assert process.poll() is None, log.read_text()
        live = Live(process, json.loads(out.read_text())["url"], log, **client)
        known = set(live.processes())
        yield live
    finally:
        if process.poll() is None:
            known |= set(process.children(recursive=True))
            process.send_signal(signal.SIGTERM)
            _, left = psutil.wait_procs([process], timeout=60)
            for one in (*left, *psutil.wait_procs(known, timeout=10)[1]):
                one.kill()


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def asking(value: float = 1.0, rounds: int = 0, **said: Any) -> Message:
    """Return a request for `work` that takes about half a millisecond a round; the answer is 2 `value` + 1."""
    inputs = [Tensor.of("x", np.full((1, 4), value, np.float32)), Tensor.of("rounds", np.int64([rounds]))]
    return encode_request(inputs, **said)


def post(client: httpx.Client, message: Message, model: str = "work") -> httpx.Response:
    return client.post(f"/v2/models/{model}/infer", content=message.body, headers=message.headers)


def answer(found: httpx.Response) -> list[float]:
    """Return the first row of an answer's first output."""
    assert found.status_code == 200, found.text
    outputs = parse_response(found.content, found.headers.get(HEADER)).outputs
    return list(next(iter(outputs.values())).array[0].tolist())


def logged(live: Live, model: str) -> list[dict[str, Any]]:
    """Return the lines that the replicas of a model wrote about requests."""
    files = (live.folder / "ray" / "session_latest" / "logs" / "serve").glob(f"replica_{model}-*")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("message") == "request"]
