"""Decisions worked out by hand from docs/policy.md, not from the code.

The base: the device takes 40 ms; the server 30 (round trip) + 40,000 B · 8 / 8 Mbit/s = 40 (upload) + 20 = 90 ms, and
at its p95 30 + 40 + 30 = 100 ms. Everything is open, the mode is prefer-on-device, there is no deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from edge.serve.call import Call, Device, Mode, Model, Network, Server, Side, State

NOW = 500_000
BASE = Call(
    mode="prefer-on-device",
    consent="granted",
    data_class="may_upload",
    payload_bytes=40_000,
    model=Model(p90_ms=40.0),
    device=Device(thermal="none"),
    network=Network(online=True, metered=False, rtt_ms=30.0, uplink_bits_per_s=8e6),
    server=Server(configured=True, p90_ms=20.0, p95_ms=30.0),
)
PARTS = {"model": Model, "device": Device, "network": Network, "server": Server}
OWNER = {name: part for part, record in PARTS.items() for name in record.__struct_fields__ if name != "p90_ms"}


@dataclass(frozen=True)
class Row:
    """A call that differs from the base, and what must come out; what is not named may be anything."""

    why: str
    change: dict[str, Any]
    expect: dict[str, Any]
    state: State = field(default_factory=State)
    after: dict[str, Any] = field(default_factory=dict)

    @property
    def call(self) -> Call:
        return vary(BASE, **self.change)


def vary(call: Call, **change: Any) -> Call:
    """Replace fields; `device_p90` and `server_p90` are the two that have one name."""
    owners = {**OWNER, "device_p90": "model", "server_p90": "server"}
    for name, value in change.items():
        part, own = owners.get(name), name if "p90" not in name else "p90_ms"
        if part is None:
            call = msgspec.structs.replace(call, **{name: value})
        else:
            record = msgspec.structs.replace(getattr(call, part), **{own: value})
            call = msgspec.structs.replace(call, **{part: record})
    return call


def on(side: Side, *, mode: Mode = "prefer-on-device", age: int = 30_000, streak: int = 0, pause: int = 1_000) -> State:
    return State(mode=mode, side=side, since_ms=NOW - age, streak=streak, last_ms=NOW - pause)


def server(**more: Any) -> dict[str, Any]:
    return {"run_on": "server", "upload_allowed": True, **more}


def device(**more: Any) -> dict[str, Any]:
    return {"run_on": "device", "hedge_after_ms": None, **more}


def nothing(reason: str, **more: Any) -> dict[str, Any]:
    return {
        "run_on": "unavailable",
        "reason": reason,
        "fallback": None,
        "upload_allowed": False,
        "timeout_ms": None,
        **more,
    }


PS, OS, OD = {"mode": "prefer-server"}, {"mode": "only-server"}, {"mode": "only-on-device"}
QUICK = {
    "rtt_ms": 0.0,
    "payload_bytes": 0,
    "deadline_ms": 100.0,
}  # the server takes 20 ms: in time, its lateness is 100

TABLE = (
    # Modes, with everything open.
    Row("the preferred side, and the server may help", {},
        device(reason="preferred", fallback="server", upload_allowed=True)),
    Row("no deadline, no time limit on the device", {}, device(timeout_ms=None, device_ms=40.0, server_ms=90.0)),
    Row("only on the device: nothing may be sent", OD,
        device(reason="mode_only_on_device", fallback=None, upload_allowed=False)),
    Row("prefer the server: hedge at its p95", PS,
        server(reason="preferred", hedge_after_ms=100.0, timeout_ms=10_000.0)),
    Row("only the server: no hedge, no fallback", OS,
        server(reason="mode_only_server", hedge_after_ms=None, fallback=None)),
    # Privacy.
    Row("unset is denied", {"consent": "unset"}, device(reason="consent_unset", fallback=None, upload_allowed=False)),
    Row("denied", {**PS, "consent": "denied"}, device(reason="consent_denied", upload_allowed=False)),
    Row("no consent, no server: nothing runs", {**OS, "consent": "unset"}, nothing("consent_unset")),
    Row("data that must stay here", {**PS, "data_class": "local_only"},
        device(reason="data_local_only", upload_allowed=False)),
    Row("a model that is not here does not make it consent", {"consent": "unset", "present": False},
        nothing("model_absent", device_blocked="model_absent", server_blocked="consent_unset")),
    Row("nor does a hot, empty, late device",
        {"consent": "unset", "thermal": "severe", "battery_percent": 1.0, "deadline_ms": 1.0},
        device(reason="consent_unset", upload_allowed=False, deadline_miss_expected=True)),
    Row("privacy is named before reachability", {**OS, "consent": "denied", "online": False},
        nothing("consent_denied")),
    # Reach.
    Row("no endpoint", {**PS, "configured": False}, device(reason="no_server", upload_allowed=False)),
    Row("offline", {**PS, "online": False}, device(reason="offline", fallback=None)),
    Row("offline and only the server", {**OS, "online": False}, nothing("offline")),
    Row("the breaker is open", {**PS, "breaker": "open"}, device(reason="breaker_open", upload_allowed=False)),
    Row("half open: this call is the probe", {**PS, "breaker": "half_open"}, server(reason="preferred")),
    Row("a payload of just the cap", {**PS, "metered": True, "payload_bytes": 262_144}, server()),
    Row("a byte more", {**PS, "metered": True, "payload_bytes": 262_145}, device(reason="over_metered_cap")),
    Row("an unknown network counts as metered", {**PS, "metered": None, "payload_bytes": 262_145},
        device(reason="over_metered_cap")),
    Row("the cap binds even where there is only the server", {**OS, "metered": True, "payload_bytes": 262_145},
        nothing("over_metered_cap")),
    # Fit.
    Row("no artifact here", {"present": False}, server(reason="model_absent", fallback=None, hedge_after_ms=None)),
    Row("no such unit here", {"supported": False}, server(reason="unit_unsupported")),
    Row("half of the memory is allowed", {"peak_bytes": 500, "available_bytes": 1000}, device(reason="preferred")),
    Row("more than half is not", {"peak_bytes": 501, "available_bytes": 1000}, server(reason="memory_short")),
    Row("what is unknown is tried", {"peak_bytes": 501, "available_bytes": None}, device(reason="preferred")),
    Row("neither side, and the server is named first", {**PS, "present": False, "online": False}, nothing("offline")),
    # Deadlines.
    Row("both in time: the preference decides, not the race", {"deadline_ms": 90.0, "device_p90": 85.0},
        device(reason="preferred")),
    Row("exactly in time is in time", {"deadline_ms": 40.0},
        device(reason="preferred", deadline_miss_expected=False, timeout_ms=40.0)),
    Row("only the server is in time", {"deadline_ms": 95.0, "device_p90": 96.0},
        server(reason="deadline", hedge_after_ms=None)),
    Row("only the device is in time", {**PS, "deadline_ms": 80.0},
        device(reason="deadline", deadline_miss_expected=False)),
    Row("none is: the sooner, and it says so", {**PS, "deadline_ms": 20.0},
        device(reason="deadline", deadline_miss_expected=True)),
    Row("the deadline has passed", {"deadline_ms": 0.0}, nothing("deadline_passed", deadline_miss_expected=False)),
    Row("the last moment for the device is before the p95", {**PS, "deadline_ms": 120.0}, server(hedge_after_ms=80.0)),
    Row("a device that is just in time starts at once", {**PS, "deadline_ms": 90.0, "device_p90": 90.0},
        server(hedge_after_ms=0.0)),
    Row("a hedge at the deadline helps nobody", {**PS, "deadline_ms": 100.0, "device_p90": None},
        server(hedge_after_ms=None)),
    Row("an unknown server is given a chance", {"deadline_ms": 50.0, "device_p90": 60.0, "server_p90": None},
        server(reason="deadline")),
    # Heat and energy.
    Row("moderate: 40 · 1.3 = 52", {"thermal": "moderate"}, device(reason="preferred", device_ms=52.0)),
    Row("measured instead: 40 · 1.5 = 60", {"thermal": "moderate", "sustained_ratio": 1.5}, device(device_ms=60.0)),
    Row("no device gets faster from heat", {"thermal": "moderate", "sustained_ratio": 0.9}, device(device_ms=40.0)),
    Row("a cool device runs at its burst", {"sustained_ratio": 1.5}, device(device_ms=40.0)),
    Row("severe: the server is preferred", {"thermal": "severe"},
        server(reason="device_hot", device_ms=80.0, hedge_after_ms=None)),
    Row("so is it about to be", {"thermal_headroom": 1.0}, server(reason="device_hot")),
    Row("severe, but the server would be late", {"thermal": "severe", "deadline_ms": 85.0}, device(reason="deadline")),
    Row("a hot device is hedged with at the last moment", {"thermal": "severe", "deadline_ms": 500.0},
        server(hedge_after_ms=420.0)),
    Row("at the p95 at the soonest", {"thermal": "severe", "deadline_ms": 180.0}, server(hedge_after_ms=100.0)),
    Row("sooner than that, not at all", {"thermal": "severe", "deadline_ms": 179.0}, server(hedge_after_ms=None)),
    Row("without consent to upload, heat changes nothing", {**OD, "thermal": "shutdown"},
        device(reason="mode_only_on_device")),
    Row("low battery: 90 ≤ 1.2 · 75", {"battery_percent": 14.0, "device_p90": 75.0}, server(reason="energy_low")),
    Row("low battery: 90 > 1.2 · 74, a long wait costs more", {"battery_percent": 14.0, "device_p90": 74.0},
        device(reason="preferred")),
    Row("15 % is not low", {"battery_percent": 15.0, "device_p90": 75.0}, device(reason="preferred")),
    Row("nor is a charging device", {"battery_percent": 1.0, "charging": True, "device_p90": 75.0},
        device(reason="preferred")),
    Row("low-power mode is, charging or not", {"low_power": True, "charging": True, "device_p90": 75.0},
        server(reason="energy_low")),
    # Hysteresis.
    Row("exactly 20 % better is not enough", {**QUICK, "device_p90": 125.0},
        device(reason="held"), on("device", streak=2), {"streak": 0}),
    Row("first of three", {**QUICK, "device_p90": 130.0},
        device(reason="held"), on("device"), {"side": "device", "streak": 1}),
    Row("third of three", {**QUICK, "device_p90": 130.0}, server(reason="deadline"), on("device", streak=2),
        {"side": "server", "streak": 0, "since_ms": NOW}),
    Row("third, too soon", {**QUICK, "device_p90": 130.0}, device(reason="held", deadline_miss_expected=True),
        on("device", streak=2, age=4_999), {"side": "device", "streak": 3}),
    Row("third, just in time", {**QUICK, "device_p90": 130.0}, server(), on("device", streak=2, age=5_000)),
    Row("more than twice as good does not wait, and does not move", {**QUICK, "device_p90": 201.0},
        server(reason="deadline"),
        on("device"), {"side": "device", "streak": 1}),
    Row("exactly twice as good waits", {**QUICK, "device_p90": 200.0}, device(reason="held"), on("device")),
    Row("back as soon as the preferred side is as good", QUICK,
        device(reason="preferred"), on("server", streak=2), {"side": "device"}),
    Row("not yet", QUICK, server(reason="held"), on("server", streak=1), {"side": "server", "streak": 2}),
    Row("a call without a choice ends the streak and keeps the side", {"online": False}, device(reason="offline"),
        on("server", streak=2), {"side": "server", "streak": 0, "last_ms": NOW, "since_ms": NOW - 30_000}),
    Row("another mode is a choice of the user: at once", PS,
        server(reason="preferred"), on("device"), {"mode": "prefer-server", "side": "server"}),
    Row("a minute is remembered", {**QUICK, "device_p90": 130.0},
        device(reason="held"), on("device", pause=60_000, age=60_000)),
    Row("more is not", {**QUICK, "device_p90": 130.0},
        server(reason="deadline"), on("device", pause=60_001, age=60_001)),
    Row("nor is the future", {**QUICK, "device_p90": 130.0},
        server(reason="deadline"), on("device", pause=-1), {"since_ms": NOW}),
    Row("with little energy the server is kept up to 1.5: 90 ≤ 1.5 · 60", {"battery_percent": 5.0, "device_p90": 60.0},
        server(reason="energy_low"), on("server")),
    # Numbers.
    Row("nothing goes up", {**PS, "uplink_bits_per_s": 0.0, "deadline_ms": 100.0},
        device(reason="deadline", server_ms=1e9)),
    Row("a payload of nothing over a line of nothing", {**PS, "uplink_bits_per_s": 0.0, "payload_bytes": 0},
        server(server_ms=1e9)),
    Row("the server's queue counts", {**PS, "queue_ms": 60.0}, server(server_ms=150.0, hedge_after_ms=160.0)),
    Row("no p95: the p90 instead", {**PS, "p95_ms": None}, server(hedge_after_ms=90.0)),
    Row("nothing known of the server: no hedge", {**PS, "server_p90": None, "p95_ms": None},
        server(hedge_after_ms=None, server_ms=None)),
)  # fmt: skip
