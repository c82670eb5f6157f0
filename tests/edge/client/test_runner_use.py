"""How an app uses a runner: what it refuses, threads and event loops, retries, and what its providers say."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest
from client_models import EAGER, FakeClock, picture, wifi
from fault_proxy import Proxy
from oip_server import Served, serving

from edge.artifact import Artifact
from edge.client import CallFailed, DeadlineMissed, Endpoint, FallbackRunner, Policy
from edge.errors import ContractError, InputError, UsageError
from edge.serve.call import Device, Network
from edge.serve.errors import Busy, Unauthenticated


def make(artifact: Artifact | None, url: str, policy: Policy = EAGER, **others: object) -> FallbackRunner:
    endpoint = Endpoint(url, "bright")
    runner = FallbackRunner(artifact, endpoint, policy, network=wifi, **others)  # type: ignore[arg-type]
    runner.consent = "granted"
    return runner


def test_inputs_that_do_not_fit(artifact: Artifact) -> None:
    with FallbackRunner(artifact) as runner:
        with pytest.raises(InputError, match="uint8"):
            runner(np.zeros((4, 4, 3), np.float32))
        with pytest.raises(InputError, match="str is no input"):
            runner("picture.jpg")  # type: ignore[arg-type]
        with pytest.raises(ContractError, match="takes float32"):
            runner({"image": np.zeros((1, 3, 4, 4), np.float32)})
        with pytest.raises(DeadlineMissed, match="had passed"):
            runner(picture(), deadline_ms=0)
    with pytest.raises(UsageError, match="closed"):
        runner(picture())


def test_wrong_token_falls_back_and_leaves_the_breaker_closed(artifact: Artifact, server: Served) -> None:
    server.conduct.token = "secret"
    endpoint = Endpoint(server.url, "bright", token="wrong")
    with FallbackRunner(artifact, endpoint, EAGER, network=wifi) as runner:
        runner.consent = "granted"
        for _ in range(12):
            answer = runner(picture())
        assert answer.ran_on == "device"
        assert "401" in answer.attempts[0].error
        with pytest.raises(CallFailed) as failure:
            runner(picture(), mode="only-server")
        assert isinstance(failure.value.__cause__, Unauthenticated)
        assert runner(picture()).decision.server_blocked is None
    assert "secret" not in repr(Endpoint(server.url, "bright", token="secret"))
    with FallbackRunner(artifact, Endpoint(server.url, "bright", token="secret"), EAGER, network=wifi) as runner:
        runner.consent = "granted"
        assert runner(picture()).ran_on == "server"


def test_redirects_are_not_followed(artifact: Artifact, server: Served) -> None:
    with serving() as other:
        server.conduct.redirect = f"{other.url}/v2/models/bright/infer"
        with make(artifact, server.url) as runner:
            answer = runner(picture())
        assert answer.ran_on == "device"
        assert "redirects" in answer.attempts[0].error
        assert not other.conduct.requests


@pytest.mark.slow
def test_many_threads(artifact: Artifact, server: Served) -> None:
    pictures = [picture(seed) for seed in range(8)]
    policy = Policy(mode="prefer-server", data_class="may_upload", upload="png")
    with make(artifact, server.url, policy) as runner:
        expected = [bright_of(runner, found) for found in pictures]
        found: list[np.ndarray | None] = [None] * len(pictures)

        def call(index: int) -> None:
            for _ in range(3):
                found[index] = np.asarray(runner(pictures[index]).outputs["mask"])

        threads = [threading.Thread(target=call, args=(index,)) for index in range(len(pictures))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for one, other in zip(found, expected, strict=True):
        assert one is not None
        np.testing.assert_allclose(one, other, atol=1e-5)


def bright_of(runner: FallbackRunner, image: np.ndarray) -> np.ndarray:
    return np.asarray(runner(image, mode="only-on-device").outputs["mask"])


@pytest.mark.slow
def test_from_an_event_loop_with_cancellation(artifact: Artifact, server: Served, proxy: Proxy) -> None:
    async def main(runner: FallbackRunner) -> None:
        assert (await runner.ask(picture())).ran_on == "server"
        server.conduct.delay_s = 30.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await runner.ask(picture(), mode="only-server")

    with make(artifact, proxy.url) as runner:
        asyncio.run(main(runner))
        _eventually(lambda: proxy.faults.open == 0)


@pytest.mark.slow
def test_a_retry_waits_as_told_and_only_without_a_device(artifact: Artifact, server: Served) -> None:
    server.conduct.error = Busy("full", 1)
    with make(artifact, server.url) as runner:
        assert runner(picture()).ran_on == "device"
        assert len(server.conduct.requests) == 1
        timer = threading.Timer(0.5, lambda: setattr(server.conduct, "error", None))
        timer.start()
        answer = runner(picture(), mode="only-server", deadline_ms=8000)
        timer.join()
        assert [attempt.outcome for attempt in answer.attempts] == ["failed", "answered"]
        assert answer.attempts[1].began_ms - answer.attempts[0].ended_ms >= 1000
        server.conduct.error = Busy("full", 30)
        with pytest.raises(CallFailed, match="503") as failure:  # no time for it
            runner(picture(), mode="only-server", deadline_ms=500)
        assert isinstance(failure.value.__cause__, Busy)
        assert len(failure.value.attempts) == 1


def test_a_hot_device_prefers_the_server(artifact: Artifact, server: Served) -> None:
    policy = Policy(mode="prefer-on-device", data_class="may_upload")
    clock = FakeClock()
    state = [Device(thermal="severe")]
    with make(artifact, server.url, policy, device=lambda: state[0], clock=clock) as runner:
        assert runner(picture()).reason == "device_hot"
        state[0] = Device()
        clock.pass_ms(70_000)
        assert runner(picture()).ran_on == "device"


def test_a_metered_network_is_never_given_more_than_the_cap(artifact: Artifact, proxy: Proxy) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)
    policy = Policy(mode="prefer-server", data_class="may_upload", metered_cap_bytes=20_000)
    endpoint = Endpoint(proxy.url, "bright")

    with FallbackRunner(artifact, endpoint, policy, network=lambda: Network(online=True)) as runner:
        runner.consent = "granted"
        assert runner(noise).decision.server_blocked == "over_metered_cap"
        assert proxy.faults.connections == 0
        assert runner(np.zeros((600, 600, 3), np.uint8)).ran_on == "server"  # its estimate alone was above the cap
        before = proxy.faults.received
        assert runner(noise).ran_on == "device"  # the estimate was low now; the request was measured before it went
        assert proxy.faults.received == before


def _eventually(holds: object) -> None:
    ends = time.monotonic() + 5
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < ends
        time.sleep(0.01)
