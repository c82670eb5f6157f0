"""Bodies that arrive slowly, not at all or for ever, and clients that leave, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from fakes import Site, doubled, on_loopback, row

from edge.serve.limits import Limits
from edge.serve.requests import encode_request
from edge.serve.wire import Tensor
from edge.server.batch import Answer, Job

SENT = encode_request([Tensor.of("x", row())])


@contextlib.contextmanager
def served(site: Site) -> Iterator[int]:
    with on_loopback(site.app, root_path="") as port:
        yield port


def head(length: int | str, **headers: str) -> bytes:
    lines = [f"{name}: {value}" for name, value in {**SENT.headers, **headers}.items()]
    return "\r\n".join(["POST /infer HTTP/1.1", "Host: m", f"Content-Length: {length}", *lines, "", ""]).encode()


@contextlib.contextmanager
def connected(port: int, *parts: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        yield connection


def answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of a refusal, after which the connection ends."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    first, _, rest = data.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(rest)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def post(port: int) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{port}/infer", content=SENT.body, headers=SENT.headers, timeout=30)


def test_slow_senders_take_no_place_of_those_that_can_be_run() -> None:
    site = Site(max_queued=1)
    with served(site) as port, contextlib.ExitStack() as slow:
        for _ in range(5):
            slow.enter_context(connected(port, head(len(SENT.body)), SENT.body[:10]))
        until(lambda: site.service._arriving_bytes == 50)
        assert post(port).status_code == 200
    until(lambda: site.service._arriving_bytes == 0)


def test_a_body_that_does_not_come_ends_with_the_longest_time() -> None:
    site = Site(timeout_ms=200)
    with served(site) as port, connected(port, head(len(SENT.body)), SENT.body[:10]) as connection:
        assert answer(connection)[0] == 504
    assert site.ran == []


def test_a_body_cut_in_the_middle_is_forgotten() -> None:
    site = Site()
    with served(site) as port:
        with connected(port, head(len(SENT.body)), SENT.body[:10]):
            pass
        until(lambda: len(site.events) == 1)
        assert post(port).status_code == 200
    assert [event.status for event in site.events] == [499, 200]
    assert site.ran == [1]


def test_an_announced_body_is_refused_before_it_comes() -> None:
    with served(Site()) as port, connected(port, head(1 << 40)) as connection:
        status, said = answer(connection)
        assert (status, said["error"].split(";")[0]) == (413, "the body is above the limit of 8388608 bytes")


def test_a_client_that_still_sends_gets_the_refusal() -> None:
    """A connection that is closed over unread bytes is reset, and the answer with it."""
    site = Site(limits=Limits(body_bytes=100_000), max_queued=1)
    with served(site) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        for _ in range(20):
            found = client.post("/infer", content=bytes(2_000_000))
            assert (found.status_code, list(found.json())) == (413, ["error"])
        with site.service.admission.enter():
            found = client.post("/infer", content=bytes(90_000))
            assert (found.status_code, list(found.json())) == (503, ["error"])


def test_an_endless_body_is_refused_while_it_streams() -> None:
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    lines = b"POST /infer HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n"
    site = Site(limits=Limits(body_bytes=200_000))
    with served(site) as port, connected(port, lines) as connection, contextlib.suppress(ConnectionError):
        for _ in range(1000):  # until the server closes, which it does at the fourth
            connection.sendall(chunk)
    until(lambda: len(site.events) == 1)
    assert (site.events[0].status, site.service._arriving_bytes) == (413, 0)


def test_memory_grows_with_what_arrived_not_with_what_was_announced() -> None:
    site = Site(limits=Limits(body_bytes=1 << 30))
    with served(site) as port, contextlib.ExitStack() as slow:
        tracemalloc.start()
        for _ in range(20):
            slow.enter_context(connected(port, head(1 << 29), b"x" * 1000))
        until(lambda: site.service._arriving_bytes == 20_000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 << 20


def test_bodies_that_arrive_at_once_are_bounded_together() -> None:
    site = Site(max_queued=2, limits=Limits(body_bytes=1000))
    with served(site) as port, contextlib.ExitStack() as slow:
        for _ in range(2):
            slow.enter_context(connected(port, head(1000), bytes(999)))
        until(lambda: site.service._arriving_bytes == 1998)
        found = post(port)
        assert (found.status_code, found.headers["retry-after"]) == (503, "1")
        assert "arrive at once" in found.json()["error"]
    until(lambda: site.service._arriving_bytes == 0)
    assert site.ran == []


def test_a_client_that_leaves_is_not_run_for() -> None:
    jobs: list[Job] = []

    async def wait(job: Job) -> Answer:
        jobs.append(job)
        await asyncio.sleep(60)
        return Answer(doubled(job.inputs), 0, 0, 1)

    site = Site(infer=wait)
    with served(site) as port:
        with connected(port, head(len(SENT.body)), SENT.body):
            until(lambda: len(jobs) == 1)
            assert (jobs[0].gone, site.service.admission.inside) == (False, 1)
        until(lambda: len(site.events) == 1)
    assert jobs[0].gone
    assert (site.events[0].status, site.service.admission.inside) == (499, 0)


def test_requests_that_follow_each_other_on_one_connection() -> None:
    site = Site()
    with served(site) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        for sent, status in ((SENT.body, 200), (b"{}", 400), (SENT.body, 200)):
            headers = SENT.headers if status == 200 else {}
            assert client.post("/infer", content=sent, headers=headers).status_code == status
