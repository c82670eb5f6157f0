"""The client's rules of time as pure parts with a clock of their own: breaker, budget, smoothing, limits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from client_models import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from edge.client.breaker import Breaker
from edge.client.budget import RetryBudget, leaves_time, retry_delay_ms
from edge.client.endpoint import Endpoint
from edge.client.policy import connect_limit_ms, server_limit_ms
from edge.client.smoothing import DeviceEstimates, Durations, Exchange, ServerEstimates, Smoothed
from edge.errors import UsageError
from edge.serve.call import Call, Network, Server, State
from edge.serve.policy import decide


def settle(breaker: Breaker, results: str) -> None:
    for result in results:
        admission = breaker.admit()
        assert admission is not None
        admission.settle({"+": "succeeded", "-": "failed", "?": "undecided"}[result])


@pytest.mark.parametrize(
    ("results", "state"),
    [("-" * 9, "closed"), ("-" * 10, "open"), ("+" * 5 + "-" * 5, "open"), ("+" * 6 + "-" * 5, "closed"),
     ("?" * 20, "closed"), ("-" * 9 + "?" * 9, "closed")],
)  # fmt: skip
def test_half_of_at_least_ten(results: str, state: str) -> None:
    breaker = Breaker(FakeClock())
    settle(breaker, results)
    assert breaker.state == state


def test_only_the_last_ten_seconds_count() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    settle(breaker, "-" * 9)
    clock.pass_ms(10_000)
    settle(breaker, "-" * 9)
    assert breaker.state == "closed"
    settle(breaker, "-")
    assert breaker.state == "open"


def test_open_for_twice_as_long_after_every_probe_that_fails() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    settle(breaker, "-" * 10)
    for seconds in (5, 10, 20, 40, 60, 60):
        clock.pass_ms(seconds * 1000 - 1)
        assert (breaker.state, breaker.admit()) == ("open", None)
        clock.pass_ms(1)
        assert breaker.state == "half_open"
        probe = breaker.admit()
        assert probe is not None
        assert probe.probe
        assert (breaker.state, breaker.admit()) == ("open", None)  # beside a probe
        probe.settle("failed")
        probe.settle("succeeded")  # only the first counts
        assert breaker.state == "open"
    clock.pass_ms(60_000)
    settle(breaker, "?")
    assert breaker.state == "half_open"  # a probe that was cancelled shows nothing
    settle(breaker, "+")
    assert breaker.state == "closed"
    settle(breaker, "-" * 9)
    assert breaker.state == "closed"
    settle(breaker, "-")
    clock.pass_ms(5_000)
    assert breaker.state == "half_open"


def test_what_began_before_it_opened_changes_nothing() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    early = breaker.admit()
    settle(breaker, "-" * 10)
    assert early is not None
    early.settle("succeeded")
    assert breaker.state == "open"


@given(st.lists(st.sampled_from("ces"), max_size=300))
def test_retries_are_a_tenth_of_the_calls(steps: Sequence[str]) -> None:
    budget, calls, retries = RetryBudget(), 0, 0
    for step in steps:
        if step == "c":
            budget.earn()
            calls += 1
        elif budget.spend():
            retries += 1
    assert retries <= 1 + 0.1 * calls + 1e-6


def test_a_retry_comes_after_what_the_server_named_and_in_time() -> None:
    assert retry_delay_ms(2, lambda: 0.0) == 2000
    assert 2000 < retry_delay_ms(2, lambda: 0.999) < 2500
    assert retry_delay_ms(10**6, lambda: 0.0) == 60_000
    assert [retry_delay_ms(None, lambda value=value: value) for value in (0.0, 0.5)] == [50, 100]
    assert leaves_time(100, 50, 151)
    assert not leaves_time(100, 50, 150)
    assert leaves_time(100, None, 101)


def test_smoothing_begins_anew_after_a_minute() -> None:
    value = Smoothed()
    value.add(100, 0)
    value.add(200, 10)
    assert value.value == 125
    value.add(500, 60_011)
    assert value.value == 500


def test_quantiles_are_of_the_nearest_rank_and_forget() -> None:
    times = Durations()
    assert times.quantile(0.9, 0) is None
    for duration in range(1, 101):
        times.add(duration, duration)
    assert times.quantile(0.9, 100) == 94  # the 58th of 37 … 100: ⌈0.9 · 64⌉
    assert times.quantile(0.95, 300_050) == 98  # the 49th of 50 … 100
    assert times.quantile(0.9, 10**9) is None


def test_the_uplink_is_what_the_body_adds_to_the_round_trip() -> None:
    known = ServerEstimates()
    known.observe(Exchange(100, send_ms=0.0, wait_ms=50, server_ms=20), 0)
    assert known.rtt_ms.value == 30
    known.observe(Exchange(100_000, send_ms=10, wait_ms=140, server_ms=20), 1)
    assert known.uplink_bits_per_s(100_000) == 100_000 * 8000 / 100
    assert known.uplink_bits_per_s(100) == 1e9
    assert known.times.quantile(0.9, 2) == 20


def test_a_server_that_does_not_tell_its_time_is_timed_from_here() -> None:
    known = ServerEstimates()
    known.observe(Exchange(100, send_ms=1, wait_ms=80, connect_ms=30), 0)
    assert known.times.quantile(0.9, 0) == 50
    known.gave_up(400, 1)
    assert known.times.quantile(0.9, 1) == 400 - (known.rtt_ms.value or 0)
    known.announced(3, 1000)
    assert (known.queue_ms(2000), known.queue_ms(9000)) == (2000, 0)


def test_a_hot_device_teaches_nothing_and_a_profile_counts_until_ten_runs() -> None:
    known = DeviceEstimates(12.0)
    known.observe(500, 0, cool=False)
    for run in range(9):
        known.observe(20, run, cool=True)
    assert known.p90_ms(10) == 12
    known.observe(20, 10, cool=True)
    assert known.p90_ms(10) == 20
    assert DeviceEstimates().p90_ms(0) is None


def test_a_device_of_unknown_speed_gets_half_of_the_time() -> None:
    call = Call(
        mode="prefer-server", consent="granted", data_class="may_upload", deadline_ms=300,
        network=Network(online=True, metered=False), server=Server(configured=True),
    )  # fmt: skip
    decision, _ = decide(call, State(), 0)
    assert (decision.run_on, server_limit_ms(decision, 300)) == ("server", 150)
    assert server_limit_ms(decision, None) == 300
    assert connect_limit_ms(1000, spare=True) == 500
    assert connect_limit_ms(1000, spare=False) == 1000
    assert connect_limit_ms(60_000, spare=True) == 3000


@pytest.mark.parametrize(
    "url",
    ["", "host", "ftp://host", "http://", "https://u:p@host", "https://host?x=1", "https://host#x", "http://host",
     "https://host:99999", "http://127.0.0.1.example.org"],
)  # fmt: skip
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="server|address"):
        Endpoint(url, "m")


def test_addresses() -> None:
    assert Endpoint("https://host/base/", "a b/c", "1").address == "https://host/base/v2/models/a%20b%2Fc/versions/1"
    assert Endpoint("http://host", "m", plain_http=True).address == "http://host/v2/models/m"
    assert Endpoint("http://[::1]:8000", "m").local
    with pytest.raises(UsageError, match="line break"):
        Endpoint("https://host", "m", token="secret\n")
