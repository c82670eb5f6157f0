"""What holds of the fallback policy whatever it is told."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import policy_table
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge.serve.call import LARGEST, Call, Decision, Device, Model, Network, Server, Side, State
from edge.serve.policy import decide

# Extreme ones, and many that lie near each other: only those reach the comparisons.
TIMES = st.one_of(
    st.sampled_from([0.0, 1e-300, 1e300, 1.7976931348623157e308]),
    st.floats(0, 300),
    st.floats(0, allow_nan=False, allow_infinity=False),
)
KNOWN = st.floats(1, 300)
WHOLE = st.one_of(st.integers(0, 300_000), st.integers(0, LARGEST))
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy


def given_call(times: st.SearchStrategy[float]) -> st.SearchStrategy[Call]:
    maybe = st.none() | times
    return st.builds(
        Call,
        mode=st.sampled_from(["only-on-device", "prefer-on-device", "prefer-server", "only-server"]),
        consent=st.sampled_from(["granted", "granted", "granted", "denied", "unset"]),
        data_class=st.sampled_from(["may_upload", "may_upload", "may_upload", "local_only"]),
        payload_bytes=WHOLE,
        metered_cap_bytes=WHOLE,
        deadline_ms=maybe,
        model=st.builds(
            Model,
            present=mostly(True),
            supported=mostly(True),
            peak_bytes=st.none() | WHOLE,
            p90_ms=maybe,
            sustained_ratio=st.none() | st.floats(0, 5),
        ),
        device=st.builds(
            Device,
            available_bytes=st.none() | WHOLE,
            thermal=st.sampled_from(["none", "moderate", "severe", "shutdown", "unknown"]),
            thermal_headroom=st.none() | st.floats(0, 2),
            battery_percent=st.none() | st.floats(0, 100),
            charging=st.none() | st.booleans(),
            low_power=st.booleans(),
        ),
        network=st.builds(
            Network,
            online=mostly(True),
            metered=st.sampled_from([False, False, True, None]),
            rtt_ms=maybe,
            uplink_bits_per_s=st.none() | times | st.floats(1e5, 1e8),
        ),
        server=st.builds(
            Server,
            configured=mostly(True),
            breaker=st.sampled_from(["closed", "closed", "half_open", "open"]),
            p90_ms=maybe,
            p95_ms=maybe,
            queue_ms=times,
        ),
    )


def mostly(value: bool) -> st.SearchStrategy[bool]:
    return st.sampled_from([value] * 5 + [not value])


CALLS = given_call(TIMES)
STATES = st.builds(
    State,
    mode=st.none() | st.sampled_from(["prefer-on-device", "prefer-server"]),
    side=st.none() | st.sampled_from(["device", "server"]),
    since_ms=st.integers(0, 20_000),
    streak=st.integers(0, 3),
    last_ms=st.integers(0, 30_000),
)
CLOCK = st.one_of(st.integers(0, 100_000), st.integers(0, LARGEST))


@given(CALLS, STATES, CLOCK)
@FEW
def test_every_call_gets_a_sound_decision(call: Call, state: State, now_ms: int) -> None:
    decision, after = decide(call, state, now_ms)
    assert decide(call, state, now_ms) == (decision, after)
    assert decision.upload_allowed == ("server" in (decision.run_on, decision.fallback))
    assert decision.run_on != decision.fallback
    assert decision.hedge_after_ms is None or (decision.run_on == "server" and decision.fallback == "device")
    for time in (decision.device_ms, decision.server_ms, decision.hedge_after_ms, decision.timeout_ms):
        assert time is None or (0 <= time < math.inf)
    if decision.hedge_after_ms is not None and decision.timeout_ms is not None:
        assert decision.hedge_after_ms < decision.timeout_ms
    if call.deadline_ms is not None and decision.run_on != "unavailable":
        assert decision.timeout_ms == call.deadline_ms
    for record, kind in ((decision, Decision), (after, State), (call, Call)):
        assert msgspec.json.decode(msgspec.json.encode(record), type=kind) == record
    assert (after.mode, after.last_ms) == (call.mode, now_ms)
    assert 0 <= after.streak <= 3


@given(CALLS, STATES, CLOCK, st.sampled_from(["unset", "denied", "local_only"]))
@FEW
def test_nothing_leaves_without_consent_or_of_local_data(call: Call, state: State, now_ms: int, what: str) -> None:
    field = {"data_class": what} if what == "local_only" else {"consent": what}
    decision, _ = decide(msgspec.structs.replace(call, **field), state, now_ms)
    assert decision.run_on != "server"
    assert decision.fallback != "server"
    assert not decision.upload_allowed


@given(CALLS, STATES, CLOCK)
@FEW
def test_only_means_only(call: Call, state: State, now_ms: int) -> None:
    here, _ = decide(msgspec.structs.replace(call, mode="only-on-device"), state, now_ms)
    there, _ = decide(msgspec.structs.replace(call, mode="only-server"), state, now_ms)
    assert "server" not in (here.run_on, here.fallback)
    assert not here.upload_allowed
    assert "device" not in (there.run_on, there.fallback)
    assert there.hedge_after_ms is None


@given(CALLS, STATES, CLOCK)
@FEW
def test_a_side_that_is_open_is_never_left_unused(call: Call, state: State, now_ms: int) -> None:
    decision, _ = decide(call, state, now_ms)
    if call.deadline_ms == 0:
        assert decision.reason == "deadline_passed"
    elif decision.run_on == "unavailable":
        assert decision.device_blocked
        assert decision.server_blocked
    else:
        blocked = decision.device_blocked if decision.run_on == "device" else decision.server_blocked
        assert blocked is None


@dataclass(frozen=True)
class Worse:
    """One field that makes a side slower, or the device more in need of rest."""

    part: str
    name: str


SLOWER_SERVER = (
    Worse("network", "rtt_ms"),
    Worse("server", "p90_ms"),
    Worse("server", "queue_ms"),
    Worse("", "payload_bytes"),
)


def field(call: Call, what: Worse) -> float | None:
    found: float | None = getattr(getattr(call, what.part) if what.part else call, what.name)
    return found


def put(call: Call, what: Worse, value: float) -> Call:
    if not what.part:
        return msgspec.structs.replace(call, **{what.name: int(value)})
    part = msgspec.structs.replace(getattr(call, what.part), **{what.name: value})
    return msgspec.structs.replace(call, **{what.part: part})


@given(given_call(KNOWN), STATES, CLOCK, st.sampled_from(SLOWER_SERVER), st.integers(1, 100_000))
@FEW
def test_a_slower_server_is_never_chosen_instead(call: Call, state: State, now: int, what: Worse, more: int) -> None:
    before, kept = decide(call, state, now)
    value = field(call, what)
    if value is None or value + more > LARGEST:
        return
    after, state = decide(put(call, what, value + more), state, now)
    if before.run_on == "device":
        assert after.run_on == "device"
    if kept.side == "device":
        assert state.side != "server"


@given(given_call(KNOWN), STATES, CLOCK, st.floats(0, 1e6))
@FEW
def test_a_slower_device_is_never_chosen_instead(call: Call, state: State, now: int, more: float) -> None:
    if call.model.p90_ms is None:
        return
    before, _ = decide(call, state, now)
    after, _ = decide(put(call, Worse("model", "p90_ms"), call.model.p90_ms + more), state, now)
    if before.run_on == "server":
        assert after.run_on == "server"


@given(given_call(KNOWN), STATES, CLOCK)
@FEW
def test_heat_never_moves_a_call_to_the_device(call: Call, state: State, now: int) -> None:
    cool, hot = (
        msgspec.structs.replace(call, device=msgspec.structs.replace(call.device, thermal=thermal))
        for thermal in ("none", "severe")
    )
    if decide(cool, state, now)[0].run_on == "server":
        assert decide(hot, state, now)[0].run_on == "server"


@given(given_call(KNOWN), STATES, CLOCK)
@FEW
def test_more_consent_never_takes_an_answer_away(call: Call, state: State, now: int) -> None:
    without, _ = decide(msgspec.structs.replace(call, consent="unset"), state, now)
    granted, _ = decide(msgspec.structs.replace(call, consent="granted"), state, now)
    if without.run_on != "unavailable":
        assert granted.run_on != "unavailable"


def changes_of_side(calls: list[Call], every_ms: int) -> list[Side]:
    """Return the sides in the order in which they were taken."""
    state, sides = State(), list[Side]()
    for number, call in enumerate(calls):
        _, state = decide(call, state, number * every_ms)
        if state.side is not None and (not sides or sides[-1] != state.side):
            sides.append(state.side)
    return sides


@given(
    st.sampled_from(["prefer-on-device", "prefer-server"]),
    st.floats(10, 300),
    st.floats(10, 300),
    st.lists(st.floats(1, 1.2), min_size=1, max_size=60),
    st.sampled_from(["device_p90", "server_p90"]),
    st.integers(1, 10_000),
)
@example("prefer-on-device", 100.0, 100.0, [1.0, 1.0, 1.0, 1.0, 1.2, 1.2, 1.2, 1.2] * 4, "device_p90", 10_000)
@FEW
def test_times_within_20_percent_change_the_side_once_at_most(
    mode: str, ms: float, deadline: float, noise: list[float], side: str, every_ms: int
) -> None:
    base = policy_table.vary(policy_table.BASE, mode=mode, deadline_ms=deadline, rtt_ms=0.0, payload_bytes=0)
    calls = [policy_table.vary(base, device_p90=100.0, server_p90=100.0) for _ in noise]
    calls = [policy_table.vary(call, **{side: ms * factor}) for call, factor in zip(calls, noise, strict=True)]
    assert len(changes_of_side(calls, every_ms)) <= 2


@given(given_call(KNOWN), given_call(KNOWN), st.integers(1, 20_000))
@FEW
def test_two_calls_in_turns_settle(one: Call, two: Call, every_ms: int) -> None:
    """Whatever two situations alternate, in one mode: the side changes once at most."""
    two = msgspec.structs.replace(two, mode=one.mode)
    assert len(changes_of_side([one, two] * 10, every_ms)) <= 2


@given(given_call(KNOWN), STATES, st.integers(0, 100_000))
@FEW
def test_the_same_call_settles(call: Call, state: State, now: int) -> None:
    """After ten calls, 2 s apart, nothing changes any more."""
    told = []
    for number in range(20):
        decision, state = decide(call, state, now + number * 2_000)
        told.append((decision, state.side))
    assert len({msgspec.json.encode(entry) for entry in told[10:]}) == 1
