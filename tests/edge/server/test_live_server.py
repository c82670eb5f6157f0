"""The real server under an independent client, under faults and to its end; the tests share one server, in order."""

from __future__ import annotations

import contextlib
import http.client
import signal
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from fakes import bomb, saved
from live import BODY_BYTES, PATIENCE_S, QUEUED, Live, answer, asking, command, logged, post, start, until
from ports import is_metrics, listening, stranger
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from edge.client import DeadlineMissed, Endpoint, FallbackRunner, Policy
from edge.contract import Contract, TensorSpec
from edge.serve.call import Network
from edge.serve.pictures import prepare_pictures
from edge.serve.requests import encode_request
from edge.serve.wire import HEADER, Tensor

pytestmark = pytest.mark.slow
HEAD = "POST /v2/models/work/infer HTTP/1.1\r\nHost: m\r\n"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with start(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture
def client(live: Live) -> Iterator[httpx.Client]:
    with live.client() as found:
        yield found


@pytest.fixture
def triton(live: Live) -> Iterator[InferenceServerClient]:
    found = InferenceServerClient(live.url.split("//")[1], concurrency=16, network_timeout=PATIENCE_S)
    yield found
    found.close()


def given(name: str, array: np.ndarray[Any, Any], datatype: str, *, binary: bool = True) -> InferInput:
    return InferInput(name, list(array.shape), datatype).set_data_from_numpy(array, binary_data=binary)


def test_tritonclient_finds_the_server_and_its_models(triton: InferenceServerClient) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    for name, version in (("work", ""), ("work", "1"), ("pictures", "")):
        assert triton.is_model_ready(name, version)
        assert triton.get_model_metadata(name, version)["versions"] == ["1"]
    assert not triton.is_model_ready("nobody")
    for name, version in (("nobody", ""), ("work", "2")):
        with pytest.raises(InferenceServerException, match="no ") as caught:
            triton.get_model_metadata(name, version)
        assert caught.value.status() == "404"


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("version", ["", "1"])
def test_tritonclient_infers(triton: InferenceServerClient, binary: bool, version: str) -> None:
    x, rounds = np.float32([[1, 2, 3, 4], [5, 6, 7, 8]]), np.int64([0, 3])
    asked = [given("x", x, "FP32", binary=binary), given("rounds", rounds, "INT64", binary=binary)]
    wanted = [InferRequestedOutput("y", binary_data=binary)]
    found = triton.infer("work", asked, version, wanted, request_id="7", timeout=100_000_000)
    assert found.as_numpy("y").tolist() == (x * 2 + 1).tolist()
    assert (found.get_response()["id"], found.get_response()["model_version"]) == ("7", "1")


def test_tritonclient_is_told_what_is_wrong(triton: InferenceServerClient) -> None:
    rounds = given("rounds", np.int64([0]), "INT64")
    for wrong, said in (
        (given("x", np.ones((1, 5), np.float32), "FP32"), r"shape \[1, 5\]"),
        (given("x", np.ones((1, 4), np.float64), "FP64"), "is FP64"),
        (given("z", np.ones((1, 4), np.float32), "FP32"), "no input 'z'"),
    ):
        with pytest.raises(InferenceServerException, match=said) as caught:
            triton.infer("work", [wrong, rounds])
        assert caught.value.status() == "400"


def test_pictures_at_once_are_answered_as_alone(live: Live, triton: InferenceServerClient) -> None:
    pictures = [saved("JPEG", quality=quality) for quality in range(10, 34)]
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 3, 16, 16), layout="NCHW"),))

    def ask(picture: bytes) -> Any:
        return triton.async_infer("pictures", [given("image", np.array([picture], object), "BYTES")])

    alone = [ask(picture).get_result().as_numpy("output_0") for picture in pictures[:4]]
    together = [waiting.get_result().as_numpy("output_0") for waiting in [ask(picture) for picture in pictures]]
    for found, picture in zip(together, pictures, strict=True):
        wanted = prepare_pictures(Tensor.of_pictures("image", [picture]), contract).array.mean((2, 3))
        assert np.allclose(found, wanted, atol=1e-6)
    assert all(np.array_equal(one, both) for one, both in zip(alone, together, strict=False))
    until(lambda: len(logged(live, "pictures")) >= 28, "the replica logs every request")
    lines = logged(live, "pictures")
    assert {line["batch_rows"] for line in lines} == {1}  # an exported program has its rows fixed
    assert all({"status", "queue_ms", "inference_ms", "body_bytes"} <= set(line) for line in lines)


def test_requests_at_once_share_a_batch_and_are_answered_as_alone(live: Live, triton: InferenceServerClient) -> None:
    rows = np.random.default_rng(0).random((8, 1, 3, 256, 256), np.float32)
    output = triton.get_model_metadata("selfie-segmentation")["outputs"][0]["name"]

    def ask(row: np.ndarray[Any, Any]) -> Any:
        return triton.async_infer("selfie-segmentation", [given("image", row, "FP32")])

    alone = [ask(row).get_result().as_numpy(output) for row in rows]
    together = [waiting.get_result().as_numpy(output) for waiting in [ask(row) for row in rows]]
    assert np.allclose(alone, together, atol=1e-4)
    assert len({array.tobytes() for array in alone}) == len(rows)
    until(lambda: any(line["batch_rows"] > 1 for line in logged(live, "selfie-segmentation")), "a batch is logged")


def test_the_kits_own_client_runs_here_and_there(live: Live) -> None:
    given = {"x": np.float32([[1, 2, 3, 4]]), "rounds": np.int64([3])}
    policy = Policy(mode="prefer-server", data_class="may_upload", deadline_ms=PATIENCE_S * 1e3)
    network = Network(online=True, metered=False)
    with FallbackRunner(
        live.log.parent / "work", Endpoint(live.url, "work"), policy, network=lambda: network
    ) as runner:
        here = runner(given)
        runner.consent = "granted"
        there = runner(given)
        with pytest.raises(DeadlineMissed):
            runner({**given, "rounds": np.int64([20_000])}, mode="only-server", deadline_ms=200)
    assert (here.ran_on, here.reason, there.ran_on) == ("device", "consent_unset", "server")
    assert here.outputs["y"].tolist() == there.outputs["y"].tolist() == [[3, 5, 7, 9]]
    assert here.model_sha256 == there.model_sha256
    spans = there.attempts[0].spans
    assert None not in (spans.queue_ms, spans.inference_ms, spans.wait_ms)


def test_metrics(client: httpx.Client) -> None:
    wanted = ("ray_edge_requests_total{", "ray_edge_batch_rows_bucket{", 'model="pictures"', 'model="work"')

    def reported() -> bool:  # each process reports every few seconds
        text = client.get("/metrics").text
        return all(words in text for words in wanted)

    until(reported, "the replicas' metrics are there")


def test_nothing_else_listens_to_strangers(live: Live) -> None:
    """On all interfaces: mutual TLS, or metrics, or an HTTP that wants the cluster's token."""
    open_to_all: dict[str, str] = {}
    for process in live.processes():
        for port in listening(process):
            said = stranger(live, *port)
            if not (said == "" or said.startswith("HTTP/1.1 401")):
                open_to_all[f"{command(process)[:80]} {port}"] = said
    metrics = {name: said for name, said in open_to_all.items() if is_metrics(name.rpartition(" (")[2])}
    assert open_to_all == metrics
    assert len(metrics) <= 3  # of Ray's autoscaler, dashboard and agent


def test_the_private_folder(live: Live) -> None:
    assert stat.S_IMODE(live.folder.stat().st_mode) == 0o700
    for name in ("key.pem", "token"):
        assert stat.S_IMODE((live.folder / name).stat().st_mode) == 0o600
    token = (live.folder / "token").read_text()
    assert not [one for one in live.processes() if token in command(one)]


def test_bodies_that_break_off_garbage_and_bombs(live: Live, client: httpx.Client) -> None:
    whole = asking()
    for sent in (
        f"{HEAD}Content-Length: 100000\r\n\r\n".encode() + whole.body[:50],
        b"\x16\x03\x01" + bytes(range(256)) * 20,
        f"{HEAD}Content-Length: -1\r\n\r\n".encode(),
        f"{HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef".encode(),
        f"{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n".encode(),
        f"{HEAD}x-request-id: ".encode() + b"\xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
    ):
        with live.connect() as connection:
            connection.sendall(sent)
    large = client.post("/v2/models/work/infer", content=bytes(BODY_BYTES + 1), headers={HEADER: "10"})
    assert large.status_code == 413
    compressed = client.post("/v2/models/work/infer", content=b"x", headers={"Content-Encoding": "gzip"})
    assert compressed.status_code == 415
    for picture, status in ((bomb(60_000, 60_000), 413), (saved("PNG")[:-9], 400), (b"GIF89a", 415)):
        found = post(client, encode_request([Tensor.of_pictures("image", [picture])]), "pictures")
        assert (found.status_code, list(found.json())) == (status, ["error"])
    assert answer(post(client, whole)) == [3] * 4


def test_a_deadline_passes(client: httpx.Client) -> None:
    found = post(client, asking(rounds=3000, timeout_us=20_000))
    assert (found.status_code, found.json()) == (504, {"error": "the request's deadline of 20 ms passed"})
    assert answer(post(client, asking(4))) == [9] * 4


def test_slow_clients_do_not_block_others(live: Live, client: httpx.Client) -> None:
    whole = asking()
    lines = "".join(f"{name}: {value}\r\n" for name, value in whole.headers.items())
    head = f"{HEAD}{lines}Content-Length: {len(whole.body)}\r\n\r\n".encode()
    with contextlib.ExitStack() as slow:
        for number in range(200):
            connection = slow.enter_context(live.connect())
            connection.sendall(head[:40] if number % 2 else head + whole.body[:20])
        assert [answer(post(client, asking(value))) for value in range(5)] == [
            [2 * value + 1] * 4 for value in range(5)
        ]
        connection.sendall(head[40:] + whole.body)  # the last of them at last
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_ten_times_too_many_requests(live: Live, client: httpx.Client) -> None:
    places = 2 * QUEUED
    before = {one: one.memory_info().rss for one in live.replicas("work")}
    with ThreadPoolExecutor(10 * places) as threads:
        found = list(threads.map(lambda value: post(client, asking(value, 300)), range(10 * places)))
    statuses = [one.status_code for one in found]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= places
    for value, one in enumerate(found):
        if one.status_code == 200:
            assert answer(one) == [2 * value + 1] * 4
        else:
            assert int(one.headers["retry-after"]) >= 1
            assert "error" in one.json()
    assert all(one.memory_info().rss - rss < 100 << 20 for one, rss in before.items())
    assert answer(post(client, asking(2))) == [5] * 4


def test_a_replica_is_killed(live: Live, client: httpx.Client) -> None:
    """What it had is answered with an error at once; the others go on, and another one takes its place."""
    first, second = live.replicas("work")
    with ThreadPoolExecutor(6) as threads:
        waiting = [threads.submit(post, client, asking(value, 2000)) for value in range(6)]
        until(lambda: first.cpu_percent() > 0 and second.cpu_percent() > 0, "both run")
        first.kill()
        found = [one.result(PATIENCE_S) for one in waiting]
    assert {one.status_code for one in found} == {200, 503}
    for value, one in enumerate(found):
        if one.status_code == 200:
            assert answer(one) == [2 * value + 1] * 4
        else:
            assert (one.headers["retry-after"], list(one.json())) == ("1", ["error"])
    until(lambda: post(client, asking()).status_code == 200, "requests are answered again")
    until(lambda: len(live.replicas("work")) == 2, "there are two replicas again")
    until(lambda: client.get("/v2/health/ready").status_code == 200, "the server is ready again")
    assert second in live.replicas("work")


def test_the_end_loses_nothing_and_leaves_nothing(live: Live, client: httpx.Client) -> None:
    """Every request that was sent before the signal is answered, and later nothing of the server is left."""
    processes, folder = live.processes(), live.folder
    assert client.get("/v2").status_code == 200  # this connection stays open and idle
    told = threading.Event()
    found: list[tuple[bool, int]] = []

    def keep_asking(value: int) -> None:
        connection = http.client.HTTPConnection(*live.address, timeout=PATIENCE_S)
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                message = asking(value, 100)
                connection.request("POST", "/v2/models/work/infer", message.body, dict(message.headers))
                before = not told.is_set()
                try:
                    answered = connection.getresponse()
                    answered.read()
                except (OSError, http.client.HTTPException):
                    found.append((before, 0))
                    raise
                found.append((before, answered.status))

    threads = [threading.Thread(target=keep_asking, args=(value,)) for value in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(found) > 10, "requests are answered")
    told.set()
    live.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert live.process.wait(PATIENCE_S) == 0, live.log.read_text()
    assert [status for before, status in found if before and status != 200] == []
    _, left = psutil.wait_procs(processes, timeout=30)
    assert [command(one) for one in left] == []
    assert not folder.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(live.url)
