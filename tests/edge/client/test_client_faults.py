"""Networks and servers that fail: no call outlasts its deadline, and each falls back or says rightly why not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from client_models import EAGER, FakeClock, picture, wifi
from fault_proxy import Proxy
from oip_server import Served, serving

from edge.artifact import Artifact
from edge.client import Answer, CallFailed, DeadlineMissed, Endpoint, FallbackRunner, Policy, Unavailable, Unreachable
from edge.client.errors import Cut
from edge.serve.errors import AnswerError, Busy

pytestmark = pytest.mark.slow
SLACK_S = 3.0  # of a busy machine; what is shown is that a call ends, not how soon
GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 5\r\n\r\n\x00\xff{]}"


def make(artifact: Artifact, url: str, policy: Policy = EAGER, clock: FakeClock | None = None) -> FallbackRunner:
    more = {} if clock is None else {"clock": clock}
    runner = FallbackRunner(artifact, Endpoint(url, "bright"), policy, network=wifi, **more)  # type: ignore[arg-type]
    runner.consent = "granted"
    return runner


def timed(runner: FallbackRunner, deadline_ms: float, **others: object) -> Answer:
    """Call, and see that the deadline holds, however the call ends."""
    began = time.monotonic()
    try:
        return runner(picture(), deadline_ms=deadline_ms, **others)  # type: ignore[arg-type]
    finally:
        assert time.monotonic() - began < deadline_ms / 1e3 + SLACK_S


def cause_of(call: Callable[[], object]) -> BaseException | None:
    with pytest.raises(CallFailed) as failure:
        call()
    return failure.value.__cause__


def hang(proxy: Proxy) -> None:
    proxy.faults.hang = True


def slow(proxy: Proxy) -> None:
    proxy.faults.delay_s = 60.0


def throttled(proxy: Proxy) -> None:
    proxy.faults.bytes_per_s = 100.0


@pytest.mark.parametrize("fault", [hang, slow, throttled])
def test_a_network_that_is_slow(artifact: Artifact, proxy: Proxy, fault: Callable[[Proxy], None]) -> None:
    fault(proxy)
    with make(artifact, proxy.url) as runner:
        runner(picture(), mode="only-on-device")  # loads the model
        answer = timed(runner, 1000)
        assert (answer.ran_on, answer.fell_back) == ("device", True)
        assert answer.attempts[0].outcome == "timed_out"
        with pytest.raises(DeadlineMissed) as failure:
            timed(runner, 200, mode="only-server")
        assert [attempt.outcome for attempt in failure.value.attempts] in (["timed_out"], ["cancelled"])


@pytest.mark.parametrize("cut", [0, 100, 600])
def test_an_answer_that_is_cut(artifact: Artifact, server: Served, proxy: Proxy, cut: int) -> None:
    with make(artifact, proxy.url) as runner:
        assert timed(runner, 5000, mode="only-server").ran_on == "server"
        proxy.faults.cut_after = cut
        proxy.drop_all()
        time.sleep(0.05)
        assert timed(runner, 5000).ran_on == "device"
        assert isinstance(cause_of(lambda: timed(runner, 5000, mode="only-server")), Cut | Unreachable)


def test_a_request_that_is_cut(artifact: Artifact, server: Served, proxy: Proxy) -> None:
    policy = Policy(mode="prefer-server", data_class="may_upload", upload="tensors")
    proxy.faults.cut_upload_after = 1000
    with make(artifact, proxy.url, policy) as runner:
        answer = timed(runner, 5000)
    assert (answer.ran_on, answer.attempts[0].outcome) == ("device", "failed")
    assert not server.conduct.requests


@pytest.mark.parametrize(
    "canned", [GARBAGE, b"\x00" * 200, b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", b"SSH-2.0-x\r\n\r\n"]
)
def test_garbage(artifact: Artifact, proxy: Proxy, canned: bytes) -> None:
    with make(artifact, proxy.url) as runner:
        assert timed(runner, 5000, mode="only-server").ran_on == "server"
        proxy.faults.canned = canned
        answer = timed(runner, 5000)
        assert answer.ran_on == "device"
        assert answer.attempts[0].outcome in ("failed", "cancelled")  # a hedge may be sooner than the failure
        assert isinstance(cause_of(lambda: timed(runner, 5000, mode="only-server")), AnswerError)


def test_an_answer_without_end_is_left(artifact: Artifact, server: Served, proxy: Proxy) -> None:
    server.conduct.endless = True
    with make(artifact, proxy.url) as runner:
        answer = timed(runner, 10_000)
    assert answer.ran_on == "device"
    assert "above the limit" in answer.attempts[0].error


def test_garbage_of_a_server_that_speaks_http(artifact: Artifact, server: Served) -> None:
    server.conduct.garbage = b'{"model_name":"bright","outputs":[]}'
    with make(artifact, server.url) as runner:
        assert isinstance(cause_of(lambda: timed(runner, 5000, mode="only-server")), AnswerError)
        server.conduct.garbage = b""
        assert timed(runner, 5000, mode="only-server").ran_on == "server"


def test_a_server_that_is_gone_for_a_minute(artifact: Artifact, server: Served, proxy: Proxy) -> None:
    clock = FakeClock()
    server.conduct.delay_s = 0.5  # so that no hedge begins before a connection is refused, on a busy machine either
    with make(artifact, proxy.url, clock=clock) as runner:
        assert timed(runner, 5000, mode="only-server").ran_on == "server"
        proxy.go_away()
        tried = 0
        for _ in range(60):
            answer = timed(runner, 5000)
            assert answer.ran_on == "device"
            tried += answer.attempts[0].side == "server"
            clock.pass_ms(1000)
        assert 10 <= tried <= 15  # ten until the breaker opened, then probes
        with pytest.raises(Unavailable, match="breaker_open") as failure:
            timed(runner, 5000, mode="only-server")
        assert failure.value.decision.reason == "breaker_open"
        proxy.come_back()
        clock.pass_ms(60_000)
        assert timed(runner, 5000, mode="only-server").ran_on == "server"
        assert timed(runner, 5000, mode="only-server").ran_on == "server"


def test_nobody_listens(artifact: Artifact) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with make(artifact, f"http://127.0.0.1:{port}") as runner:
        assert timed(runner, 5000).ran_on == "device"
        error = cause_of(lambda: timed(runner, 5000, mode="only-server"))
        assert isinstance(error, Unreachable)
        assert error.exit_code == 3


def test_ten_times_too_much_leads_to_few_retries(artifact: Artifact, server: Served) -> None:
    """Every request is refused; retries stay a tenth, and the breaker then stops the rest."""
    server.conduct.error = Busy("full", 0)
    with make(artifact, server.url, Policy(mode="only-server", data_class="may_upload")) as runner:
        endings: list[BaseException] = []

        def call() -> None:
            for _ in range(5):
                try:
                    timed(runner, 2000)
                except (CallFailed, Unavailable) as error:
                    endings.append(error)

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    attempts = [attempt for error in endings if isinstance(error, CallFailed) for attempt in error.attempts]
    sent = sum(attempt.outcome == "failed" for attempt in attempts)
    first = sum(isinstance(error, CallFailed) for error in endings)
    assert len(endings) == 40
    assert sent == len(server.conduct.requests)
    assert sent - first <= 1 + 0.1 * 40
    assert any(isinstance(error, Unavailable) for error in endings)


def test_clocks_do_not_travel(artifact: Artifact, server: Served) -> None:
    """A client whose clock is a year off works as any: the wire holds durations only."""
    clock = FakeClock()
    clock.pass_ms(365 * 86_400_000.0)
    with make(artifact, server.url, clock=clock) as runner:
        for _ in range(3):
            assert timed(runner, 5000, mode="only-server").ran_on == "server"
    for request in server.conduct.requests:
        assert request.timeout_us is not None
        assert request.timeout_us <= 5_000_000
        assert not request.parameters


def test_tls_is_verified(artifact: Artifact, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with serving(ssl_certfile=str(cert), ssl_keyfile=str(key)) as server:
        url = f"https://localhost:{server.port}"
        with make(artifact, url) as runner:
            answer = timed(runner, 5000)
            assert answer.ran_on == "device"
            assert "certificate" in answer.attempts[0].error.lower()
        assert server.conduct.questions == 0
        trusted = Endpoint(url, "bright", ca_file=cert)
        with FallbackRunner(artifact, trusted, EAGER, network=wifi) as runner:
            runner.consent = "granted"
            assert timed(runner, 5000, mode="only-server").ran_on == "server"
        by_number = Endpoint(f"https://127.0.0.1:{server.port}", "bright", ca_file=cert)
        with FallbackRunner(artifact, by_number, EAGER, network=wifi) as runner:
            runner.consent = "granted"
            assert timed(runner, 5000).ran_on == "device"  # the certificate is for another name


def test_proxies_of_the_environment_are_not_asked(
    artifact: Artifact, server: Served, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.setenv("no_proxy", "")
    with make(artifact, server.url) as runner:
        assert timed(runner, 5000, mode="only-server").ran_on == "server"
    assert proxy.faults.connections == 0
