"""Write apps/shared/golden/policy.json: calls, and what the fallback policy decides on each.

Python, Kotlin and Swift must all reproduce it. docs/policy.md describes the format. The values are those of
edge.serve.policy; tests/edge/serve holds the ones that were worked out by hand from the specification.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations, product
from pathlib import Path
from typing import Any

import msgspec

from edge.artifact import write_atomic
from edge.serve.call import Call, Device, Mode, Model, Network, Server, Side, State
from edge.serve.policy import CONSTANTS, decide

GOLDEN = Path(__file__).resolve().parent.parent / "apps" / "shared" / "golden" / "policy.json"
NOW = 1_000_000
MODES: tuple[Mode, ...] = ("only-on-device", "prefer-on-device", "prefer-server", "only-server")
PREFER: tuple[Mode, ...] = ("prefer-on-device", "prefer-server")
THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown", "unknown")

# Both sides are open; the device takes 40 ms, the server 30 + 40 + 20 = 90 ms, at its p95 100 ms.
OPEN = Call(
    mode="prefer-on-device",
    consent="granted",
    data_class="may_upload",
    payload_bytes=40_000,
    model=Model(p90_ms=40.0, peak_bytes=100_000_000),
    device=Device(available_bytes=1_000_000_000, thermal="none", battery_percent=80.0, charging=False),
    network=Network(online=True, metered=False, rtt_ms=30.0, uplink_bits_per_s=8_000_000.0),
    server=Server(configured=True, p90_ms=20.0, p95_ms=30.0),
)
SERVER_GATES: dict[str, dict[str, Any]] = {
    "consent-unset": {"consent": "unset"},
    "consent-denied": {"consent": "denied"},
    "local-only": {"data_class": "local_only"},
    "no-server": {"server.configured": False},
    "offline": {"network.online": False},
    "breaker-open": {"server.breaker": "open"},
    "metered": {"network.metered": True, "payload_bytes": 262_145},
}
DEVICE_GATES: dict[str, dict[str, Any]] = {
    "absent": {"model.present": False},
    "unsupported": {"model.supported": False},
    "memory": {"model.peak_bytes": 500_000_001},
}
ENERGY = {"device.battery_percent": 10.0, "device.charging": False}
Step = tuple[int, Call]
Case = tuple[str, State, list[Step]]


def changed(call: Call, changes: Mapping[str, Any]) -> Call:
    """Return the call with fields replaced; `model.p90_ms` names a field of a part."""
    for path, value in changes.items():
        part, _, field = path.rpartition(".")
        new = {part: msgspec.structs.replace(getattr(call, part), **{field: value})} if part else {field: value}
        call = msgspec.structs.replace(call, **new)
    return call


def one(name: str, changes: Mapping[str, Any], state: State | None = None, now: int = NOW) -> Case:
    return name, State() if state is None else state, [(now, changed(OPEN, changes))]


def held(side: Side, mode: Mode = "prefer-on-device", *, age: int = 60_000, streak: int = 0, pause: int = 100) -> State:
    return State(mode=mode, side=side, since_ms=NOW - age, streak=streak, last_ms=NOW - pause)


def around(value: float) -> dict[str, float]:
    """Return the value and the doubles next to it."""
    return {"below": math.nextafter(value, 0), "at": value, "above": math.nextafter(value, math.inf)}


def gates() -> Iterator[Case]:
    yield "defaults", State(), [(NOW, Call())]
    for mode in MODES:
        yield one(f"open/{mode}", {"mode": mode})
        yield one(f"deadline-passed/{mode}", {"mode": mode, "deadline_ms": 0.0})
        for name, changes in {**SERVER_GATES, **DEVICE_GATES}.items():
            yield one(f"gate/{mode}/{name}", {"mode": mode, **changes})
    for mode, (here, device), (there, server) in product(PREFER, DEVICE_GATES.items(), SERVER_GATES.items()):
        yield one(f"gates/{mode}/{here}+{there}", {"mode": mode, **device, **server})
    for table, mode in ((SERVER_GATES, "only-server"), (DEVICE_GATES, "only-on-device")):
        for (first, a), (second, b) in combinations(table.items(), 2):
            yield one(f"order/{first}+{second}", {"mode": mode, **b, **a})


def gate_borders() -> Iterator[Case]:
    for name, peak in {"below": 499_999_999, "at": 500_000_000, "above": 500_000_001, "unknown": None}.items():
        yield one(f"memory/{name}", {"model.peak_bytes": peak})
    yield one("memory/available-unknown", {"model.peak_bytes": 2**53, "device.available_bytes": None})
    yield one("memory/none-left", {"model.peak_bytes": 0, "device.available_bytes": 0})
    for metered, size in product((True, False, None), (262_143, 262_144, 262_145)):
        changes = {"mode": "prefer-server", "network.metered": metered, "payload_bytes": size}
        yield one(f"metered/{metered}/{size}", changes)
    yield one("metered/own-cap", {"mode": "prefer-server", "network.metered": True, "metered_cap_bytes": 39_999})
    yield one("metered/cap-0-payload-0", {"mode": "only-server", "metered_cap_bytes": 0, "payload_bytes": 0})
    yield one("breaker/half-open", {"mode": "prefer-server", "server.breaker": "half_open"})


def estimates() -> Iterator[Case]:
    for thermal, ratio in product(THERMAL, (None, 0.9, 1.7)):
        changes = {"device.thermal": thermal, "model.sustained_ratio": ratio, "deadline_ms": 85.0}
        yield one(f"thermal/{thermal}/{ratio}", changes)
    for name, headroom in around(1.0).items():
        yield one(f"headroom/{name}", {"device.thermal_headroom": headroom})
        moderate = {"device.thermal_headroom": headroom, "device.thermal": "moderate", "deadline_ms": 100.0}
        yield one(f"headroom/moderate/{name}", moderate)
    for field in ("network.rtt_ms", "network.uplink_bits_per_s", "server.p90_ms", "server.p95_ms", "model.p90_ms"):
        for mode, deadline in product(PREFER, (None, 39.0, 95.0)):
            yield one(f"unknown/{field}/{mode}/{deadline}", {"mode": mode, "deadline_ms": deadline, field: None})
    for name, changes in {
        "uplink-0": {"network.uplink_bits_per_s": 0.0},
        "uplink-0-payload-0": {"network.uplink_bits_per_s": 0.0, "payload_bytes": 0},
        "uplink-tiny": {"network.uplink_bits_per_s": 1e-300},
        "uplink-vast": {"network.uplink_bits_per_s": 1e300},
        "payload-0": {"payload_bytes": 0},
        "payload-largest": {"payload_bytes": 2**53},
        "server-slow": {"server.p90_ms": 1e300, "network.rtt_ms": 1e300},
        "device-slow": {"model.p90_ms": 1e300, "device.thermal": "severe"},
        "zeros": {"model.p90_ms": 0.0, "network.rtt_ms": 0.0, "server.p90_ms": 0.0, "payload_bytes": 0},
        "queue": {"server.queue_ms": 250.0},
    }.items():
        for mode in PREFER:
            yield one(f"numbers/{mode}/{name}", {"mode": mode, "deadline_ms": 1000.0, **changes})


def preferences() -> Iterator[Case]:
    for (name, percent), charging in product(around(15.0).items(), (True, False, None)):
        changes = {"device.battery_percent": percent, "device.charging": charging, "model.p90_ms": 80.0}
        yield one(f"battery/{name}/{charging}", changes)
    yield one("battery/unknown", {"device.battery_percent": None, "model.p90_ms": 80.0})
    yield one("low-power", {"device.low_power": True, "model.p90_ms": 80.0, "device.charging": True})
    yield one("low-power/prefer-server", {"mode": "prefer-server", "device.low_power": True})
    for side, multiple in ((None, 1.2), ("server", 1.5), ("device", 1.2)):
        for name, server in around(multiple * 50.0).items():
            changes = {
                **ENERGY,
                "model.p90_ms": 50.0,
                "network.rtt_ms": 0.0,
                "payload_bytes": 0,
                "server.p90_ms": server,
            }
            yield one(f"energy/{side}/{name}", changes, State() if side is None else held(side))
    for unknown in ("model.p90_ms", "server.p90_ms"):
        yield one(f"energy/unknown/{unknown}", {**ENERGY, unknown: None})
    yield one("energy/hot-first", {**ENERGY, "device.thermal": "severe", "model.p90_ms": 80.0})
    yield one("hot/server-misses", {"device.thermal": "severe", "deadline_ms": 85.0})
    for mode, spare in product(PREFER, ({}, ENERGY, {"device.thermal": "severe"})):
        for deadline in (20.0, 41.0, 90.0, 91.0, 139.0, 141.0, 500.0):
            label = next(iter(spare), "cool").split(".")[-1]
            yield one(f"deadline/{mode}/{label}/{deadline:g}", {"mode": mode, "deadline_ms": deadline, **spare})


def hedges() -> Iterator[Case]:
    hot = {"device.thermal": "severe"}
    for mode, name, deadline in product(PREFER, ("cool", "hot"), (139.0, 140.0, 141.0, 179.0, 180.0, 181.0)):
        changes = {"mode": mode, "deadline_ms": deadline, **(hot if name == "hot" else {})}
        yield one(f"hedge/last-moment/{mode}/{name}/{deadline:g}", changes)
    for device in (89.0, 90.0, 91.0):
        yield one(f"hedge/at-once/{device:g}", {"mode": "prefer-server", "deadline_ms": 90.0, "model.p90_ms": device})
    for deadline in (99.0, 100.0, 101.0):
        unknown = {"mode": "prefer-server", "deadline_ms": deadline, "model.p90_ms": None}
        yield one(f"hedge/at-the-deadline/{deadline:g}", unknown)


def hysteresis_borders() -> Iterator[Case]:
    plain = {"network.rtt_ms": 0.0, "payload_bytes": 0, "deadline_ms": 100.0}
    for name, device in around(125.0).items():
        yield one(f"leave/{name}", {**plain, "model.p90_ms": device}, held("device", streak=2))
    for name, device in around(100.0).items():
        yield one(f"return/{name}", {**plain, "model.p90_ms": device}, held("server", streak=2))
    for name, device in around(200.0).items():
        yield one(f"urgent/{name}", {**plain, "model.p90_ms": device}, held("device"))
        yield one(f"fresh/{name}", {**plain, "model.p90_ms": device})
    late = {**plain, "model.p90_ms": 150.0}
    for age in (4_999, 5_000, 5_001):
        yield one(f"dwell/{age}", late, held("device", age=age, streak=2))
    for streak in (0, 1, 2, 3):
        yield one(f"streak/{streak}", late, held("device", streak=streak))
        yield one(f"streak/forced/{streak}", {**late, "network.online": False}, held("device", streak=streak))
    for pause in (0, 59_999, 60_000, 60_001, -1):
        yield one(f"pause/{pause}", late, held("device", streak=1, pause=pause))
    yield one("mode-changed", {"mode": "prefer-server"}, held("device"))
    yield one("passed-keeps-side", {"deadline_ms": 0.0}, held("server", streak=2))


def sequence(name: str, calls: list[Mapping[str, Any]], every_ms: int = 1_000) -> Case:
    return f"sequence/{name}", State(), [(NOW + n * every_ms, changed(OPEN, c)) for n, c in enumerate(calls)]


def sequences() -> Iterator[Case]:
    fast, slow, late = ({"deadline_ms": 100.0, "model.p90_ms": ms} for ms in (40.0, 110.0, 150.0))
    severe = {"device.thermal": "severe"}
    offline = {**fast, "network.online": False}
    unsure = {**ENERGY, "model.p90_ms": 70.0, "server.p90_ms": 30.0}
    yield sequence("heat-and-cool", [{}] * 6 + [severe] * 5 + [{}] * 10)
    yield sequence("late-and-back", [fast] * 6 + [late] * 5 + [fast] * 8)
    yield sequence("within-20-percent", [fast, slow] * 8)
    yield sequence("alternating", [fast, late] * 8)
    yield sequence("two-then-one", [fast] * 6 + [late, late, fast] * 4)
    yield sequence("dwell-first", [fast] + [late] * 12, 500)
    yield sequence("offline-between", [fast] * 6 + [late, late, offline, late, late, late])
    yield sequence("urgent-calls", [fast, {"deadline_ms": 100.0, "model.p90_ms": 900.0}] * 4)
    yield sequence("mode-by-the-user", [{}, {}, {"mode": "prefer-server"}, {"mode": "prefer-server"}, {}, {}])
    yield sequence(
        "consent-withdrawn", [{"mode": "prefer-server"}] * 2 + [{"mode": "prefer-server", "consent": "denied"}] * 2
    )
    yield sequence("pause-forgets", [fast, late, late], 60_001)
    yield sequence("energy-border", [unsure, {**unsure, "model.p90_ms": 90.0}] * 6)
    yield sequence(
        "breaker", [{"mode": "prefer-server", "server.breaker": b} for b in ("closed", "open", "half_open", "closed")]
    )


def steps(state: State, calls: list[Step]) -> Iterator[bytes]:
    """Decide one call after the other, with the state threaded through."""
    for now, call in calls:
        decision, state = decide(call, state, now)
        yield msgspec.json.encode({"now_ms": now, "call": call, "decision": decision, "state": state})


def vectors() -> bytes:
    """Return the file: a line for each step."""
    cases = [
        case
        for part in (gates, gate_borders, estimates, preferences, hedges, hysteresis_borders, sequences)
        for case in part()
    ]
    lines = [
        b'{"name":%b,"state":%b,"steps":[\n%b]}'
        % (msgspec.json.encode(name), msgspec.json.encode(state), b",\n".join(steps(state, calls)))
        for name, state, calls in cases
    ]
    head = b'{"schema":1,"constants":%b,"cases":[\n' % msgspec.json.encode(dict(CONSTANTS))
    return head + b",\n".join(lines) + b"\n]}\n"


if __name__ == "__main__":
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(GOLDEN, vectors())
