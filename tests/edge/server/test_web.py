"""A model's addresses, without a network: what is answered, what is refused and how."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from fakes import PICTURES, Site, bomb, doubled, means, row, saved
from numpy.typing import NDArray

from edge.serve.errors import Forbidden, TooManyRequests, Unauthenticated
from edge.serve.metadata import Live
from edge.serve.requests import encode_request
from edge.serve.responses import parse_response
from edge.serve.wire import HEADER, Message, Tensor
from edge.server.batch import Answer, Job
from edge.server.index import index_app
from edge.server.logs import fields


def message(array: NDArray[Any] | None = None, **said: Any) -> Message:
    return encode_request([Tensor.of("x", row() if array is None else array)], **said)


def infer(site: Site, sent: Message, path: str = "/infer", **headers: str) -> httpx.Response:
    return site.post(sent.body, path, **dict(sent.headers), **headers)


def output(answer: httpx.Response, site: Site) -> NDArray[Any]:
    assert answer.status_code == 200, answer.text
    read = parse_response(answer.content, answer.headers.get(HEADER), site.engine.metadata.outputs)
    return read.outputs["y"].array


def refused(answer: httpx.Response, status: int, said: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["connection"] == "close"
    assert said in answer.json()["error"], answer.json()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("path", ["/infer", "/versions/1/infer"])
def test_an_answer(binary: bool, path: str) -> None:
    site = Site()
    answer = infer(site, message(row(3, 2), binary=binary, id="7"), path)
    assert output(answer, site).tolist() == [[7] * 4] * 2
    found = json.loads(answer.content[: int(answer.headers.get(HEADER, len(answer.content)))])
    assert (found["model_name"], found["model_version"], found["id"]) == ("m", "1", "7")
    assert found["parameters"]["weights_sha256"] == "0" * 64
    assert set(found["parameters"]) == {"prepare_ms", "queue_ms", "inference_ms", "total_ms", "weights_sha256"}
    (event,) = site.events
    assert (event.path, event.status, event.reason, event.account.rows) == ("infer", 200, "", 2)
    assert event.account.body_bytes == len(message(row(3, 2), binary=binary, id="7").body)


def test_metadata_and_readiness() -> None:
    site = Site(version="3")
    for path in ("", "/versions/3"):
        found = site.get(path).json()
        assert (found["name"], found["inputs"][0]["shape"]) == ("m", [-1, 4])
        assert site.get(f"{path}/ready").json() == {"name": "m", "ready": True}


@pytest.mark.parametrize("path", ["/versions/2/infer", "/versions/one/infer", "/infer/", "/config", "/versions/1/x"])
def test_addresses_that_are_none(path: str) -> None:
    refused(infer(Site(), message(), path), 404, "no ")


def test_other_methods_are_refused_in_the_protocols_form() -> None:
    site = Site()
    for answer in (site.get("/infer"), site.post(b"", "/ready")):
        assert answer.status_code == 405
        assert "error" in answer.json()
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (Message(b""), 400, "JSON is not the protocol"),
        (Message(b"\xff\x00 garbage"), 400, "JSON is not the protocol"),
        (Message(b"[" * 60_000), 400, "JSON"),
        (Message(b"{}"), 400, "inputs"),
        (message(np.ones((1, 5), np.float32)), 400, "has shape [1, 5]"),
        (message(np.ones((9, 4), np.float32)), 400, "-1 being 1 to 8"),
        (message(np.ones((1, 4), np.float64)), 400, "is FP64"),
        (Message(message().body[:-1], message().json_bytes), 400, "binary_data_size"),
        (Message(message().body + b"!", message().json_bytes), 400, "binary_data_size"),
        (Message(message().body, 9999), 400, "9999"),
        (Message(b" " * 65_537), 413, "65537"),
        (Message(b" " * (8 << 20) + b"!", 10), 413, "limit of 8388608"),
    ],
)
def test_bodies_that_are_refused(sent: Message, status: int, said: str) -> None:
    site = Site()
    refused(infer(site, sent), status, said)
    assert site.ran == []
    assert site.service.admission.inside == 0
    assert site.events[0].status == status


def test_headers_that_are_refused() -> None:
    site = Site()
    for value in ("-1", "1, 1", "٣"):
        refused(site.post(b"{}", **{HEADER: value}), 400, HEADER)
    for coding in ("gzip", "br"):
        refused(infer(site, message(), content_encoding=coding), 415, "uncompressed")


def test_errors_and_logs_quote_no_tensor() -> None:
    def broken(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        raise ValueError(str(inputs["x"].tolist()))

    secret = row(123.25)
    for site in (Site(run=broken), Site(run=lambda inputs: {"z": inputs["x"]}), Site(infer=_fails)):
        answer = infer(site, message(secret, binary=False))
        assert answer.status_code == 500
        assert "123" not in answer.text
        assert "123.25" not in json.dumps(fields(site.events[0]))


async def _fails(job: Job) -> Answer:
    raise RuntimeError(str(job.inputs["x"].tolist()))


def test_a_full_replica_says_when_to_come_back() -> None:
    async def forever(job: Job) -> Answer:
        await asyncio.sleep(0.2)
        return Answer(doubled(job.inputs), 0, 2.5, 1)

    site, sent = Site(infer=forever, max_queued=3), message()
    asked = [lambda client: client.post("/infer", content=sent.body, headers=sent.headers)] * 30
    answers = site.ask(*asked)
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 27
    for answer in answers:
        if answer.status_code == 503:
            refused(answer, 503, "3 requests are waiting")
            assert int(answer.headers["retry-after"]) >= 1
    assert site.service.admission.wait_s() >= 1
    assert output(infer(site, sent), site).tolist() == [[3] * 4]


@pytest.mark.parametrize(("said", "limit_ms"), [({"timeout_us": 30_000}, 60_000.0), ({}, 30.0)])
def test_deadlines(said: dict[str, Any], limit_ms: float) -> None:
    cancelled: list[Job] = []

    async def slow(job: Job) -> Answer:
        try:
            await asyncio.sleep(30)
        finally:
            cancelled.append(job)
        raise AssertionError

    site = Site(infer=slow, timeout_ms=limit_ms)
    refused(infer(site, message(**said)), 504, "30 ms" if said else "0.03 s")
    assert cancelled[0].gone
    assert site.service.admission.inside == 0


def test_a_stated_deadline_is_no_longer_than_the_models() -> None:
    seen: list[float] = []

    async def note(job: Job) -> Answer:
        seen.append(job.deadline_s - job.queued_s)
        return Answer(doubled(job.inputs), 0, 0, 1)

    site = Site(infer=note, timeout_ms=5000)
    assert infer(site, message(timeout_us=3_600_000_000)).status_code == 200
    assert infer(site, message(timeout_us=1_000_000)).status_code == 200
    assert 4 < seen[0] <= 5
    assert 0 < seen[1] <= 1


def test_pictures_with_and_without_a_region() -> None:
    site = Site(PICTURES, means)

    def ask(pictures: list[bytes], **region: float) -> httpx.Response:
        tensor = Tensor.of_pictures("image", pictures)
        return infer(site, encode_request([Tensor(tensor.name, "BYTES", tensor.array, region)]))

    whole = output(ask([saved("PNG"), saved("WEBP", lossless=True)]), site)
    assert whole.shape == (2, 3)
    assert np.allclose(whole[0], whole[1], atol=1e-6)
    part = output(ask([saved("PNG")], centre_x=12, centre_y=12, side=16, rotation=0.5), site)
    assert part[0, 0] < whole[0, 0]
    refused(ask([saved("PNG")], centre_x=12), 400, "a region needs")
    refused(ask([b"GIF89a"]), 415, "JPEG, PNG or WebP")
    refused(ask([saved("PNG")[:-9]]), 400, "cut off")
    refused(ask([bomb(6000, 6000)]), 413, "pixels")
    refused(ask([]), 400, "shape [0]")
    refused(ask([saved("PNG")] * 9), 400, "-1 being 1 to 8")


def test_the_gate_is_asked_before_anything_is_read() -> None:
    said = {"none": Unauthenticated("no token"), "other": Forbidden("not m"), "fast": TooManyRequests("slow down", 7)}

    def gate(authorization: str | None, model: str) -> str:
        if authorization in said:
            raise said[authorization]
        return f"{authorization} for {model}"

    site = Site(gate=gate)
    for authorization, status in (("none", 401), ("other", 403), ("fast", 429)):
        for path in ("/infer", "/ready", ""):
            answer = site.ask(
                lambda client, path=path, who=authorization: client.request(
                    "POST" if path == "/infer" else "GET", path, headers={"authorization": who}
                )
            )[0]
            refused(answer, status, str(said[authorization]))
    assert answer.headers["retry-after"] == "7"
    assert infer(site, message(), authorization="ann").status_code == 200
    assert site.events[-1].account.who == "ann for m"


def test_the_index() -> None:
    ready = [True]

    async def is_ready() -> bool:
        return ready[0]

    def gate(authorization: str | None, model: str) -> str:
        raise Unauthenticated(f"no token for {model}")

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(index_app(is_ready, gate))
        async with httpx.AsyncClient(transport=transport, base_url="http://m") as client:
            first = [await client.get(path) for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/metrics")]
            ready[0] = False
            return [*first, await client.get("/v2/health/ready"), await client.get("/v2/models/nobody")]

    server, live, is_up, metrics, is_down, nobody = asyncio.run(run())
    assert server.json()["extensions"] == ["binary_tensor_data"]
    assert live.json() == {"live": Live(True).live}
    assert (is_up.status_code, is_down.status_code, is_down.json()) == (200, 503, {"ready": False})
    refused(metrics, 401, "no token for metrics")
    assert metrics.headers["www-authenticate"] == "Bearer"
    refused(nobody, 404, "no such address")


def test_a_line_of_the_log_holds_no_content(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    infer(site, message(row(123.25)), authorization="Bearer secret")
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("request", extra=fields(site.events[0]))
    record = json.dumps({key: str(value) for key, value in caplog.records[0].__dict__.items()})
    assert "123.25" not in record
    assert "secret" not in record
    assert '"inference_ms"' in record
