"""Write apps/shared/golden/client.json: the client's rules of time, step by step, as edge.client has them.

Python, Kotlin and Swift must all reproduce it; docs/client.md, "Execution", is the specification.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edge.artifact import write_atomic
from edge.client.breaker import Admission, Breaker, Result
from edge.client.budget import RetryBudget, leaves_time, retry_delay_ms
from edge.client.endpoint import Endpoint
from edge.client.policy import connect_limit_ms, server_limit_ms
from edge.client.smoothing import DeviceEstimates, Durations, Exchange, ServerEstimates, Smoothed
from edge.errors import UsageError
from edge.serve.call import Decision, Side

GOLDEN = Path(__file__).resolve().parent.parent / "apps" / "shared" / "golden" / "client.json"
Case = dict[str, Any]
RESULTS: tuple[Result, ...] = ("succeeded", "failed", "undecided")


def breaker(seed: int, *, failing: float) -> Case:
    """Return requests that begin and end in any order; `state` and `admitted` are what is expected after each step."""
    draw = random.Random(seed)
    now = 1_000.0
    found, open_ones, steps = Breaker(lambda: now), dict[int, Admission](), list[Case]()
    for number in range(160):
        passed = draw.choice((0, 1, 40, 250, 900, 2_500, 6_000)) if draw.random() < 0.6 else 0
        now += passed
        if open_ones and draw.random() < 0.5:
            which = draw.choice(sorted(open_ones))
            result: Result = "failed" if draw.random() < failing else draw.choice(RESULTS)
            open_ones.pop(which).settle(result)
            steps.append({"pass_ms": passed, "settle": which, "result": result, "state": found.state})
        else:
            admission = found.admit()
            if admission is not None:
                open_ones[number] = admission
            probe = admission is not None and admission.probe
            admitted = admission is not None
            steps.append(
                {"pass_ms": passed, "admit": number, "admitted": admitted, "probe": probe, "state": found.state}
            )
    return {"name": f"seed-{seed}", "began_ms": 1_000.0, "steps": steps}


def budget(seed: int) -> Case:
    draw, found = random.Random(seed), RetryBudget()
    steps: list[bool | None] = []  # null earns; true and false are whether a retry was given
    for _ in range(200):
        if draw.random() < 0.8:
            found.earn()
            steps.append(None)
        else:
            steps.append(found.spend())
    return {"name": f"seed-{seed}", "steps": steps}


def server(seed: int) -> Case:
    draw, found = random.Random(seed), ServerEstimates()
    now, steps = 0.0, list[Case]()
    for _ in range(120):
        now += draw.choice((5.0, 100.0, 2_000.0, 59_000.0, 61_000.0) if draw.random() < 0.3 else (20.0,))
        step: Case = {"now_ms": now}
        kind = draw.random()
        if kind < 0.8:
            exchange = Exchange(
                payload_bytes=draw.choice((100, 16_383, 16_384, 40_000, 500_000)),
                send_ms=round(draw.uniform(0, 30), 3),
                wait_ms=round(draw.uniform(1, 200), 3),
                server_ms=round(draw.uniform(0, 120), 3) if draw.random() < 0.7 else None,
                connect_ms=round(draw.uniform(1, 80), 3) if draw.random() < 0.2 else None,
            )
            found.observe(exchange, now)
            step["observe"] = {name: getattr(exchange, name) for name in Exchange.__dataclass_fields__}
        elif kind < 0.9:
            step["gave_up_ms"] = round(draw.uniform(10, 600), 3)
            found.gave_up(step["gave_up_ms"], now)
        else:
            step["retry_after_s"] = draw.choice((0, 1, 7, 60))
            found.announced(step["retry_after_s"], now)
        step["rtt_ms"] = found.rtt_ms.value
        step["uplink_bits_per_s"] = [found.uplink_bits_per_s(size) for size in (100, 16_383, 16_384, 10**6)]
        step["quantiles"] = [found.times.quantile(share, now) for share in (0.0, 0.5, 0.9, 0.95, 1.0)]
        step["queue_ms"] = found.queue_ms(now)
        steps.append(step)
    return {"name": f"seed-{seed}", "steps": steps}


def device(seed: int, profiled: float | None) -> Case:
    draw, found = random.Random(seed), DeviceEstimates(profiled)
    now, steps = 0.0, list[Case]()
    for _ in range(40):
        now += draw.choice((10.0, 40_000.0))
        duration, cool = round(draw.uniform(5, 90), 3), draw.random() < 0.8
        found.observe(duration, now, cool=cool)
        steps.append({"now_ms": now, "duration_ms": duration, "cool": cool, "p90_ms": found.p90_ms(now)})
    return {"name": f"seed-{seed}", "profiled_p90_ms": profiled, "steps": steps}


def smoothed() -> list[list[float | None]]:
    """Return rows of sample, time, and the mean after it."""
    found, rows = Smoothed(), list[list[float | None]]()
    for sample, now in ((100, 0), (200, 10), (500, 60_010), (500, 60_011), (1, 120_011.5), (3, 120_011.5)):
        found.add(sample, now)
        rows.append([sample, now, found.value])
    return rows


def durations() -> list[list[float | None]]:
    """Return rows of share, time and quantile of the durations 1 … 100 that came at 1 … 100 ms."""
    found = Durations()
    for duration in range(1, 101):
        found.add(duration, duration)
    moments = [(share, now) for share in (0.0, 0.01, 0.5, 0.9, 0.95, 1.0) for now in (100, 300_050, 300_100, 10**9)]
    return [[share, now, found.quantile(share, now)] for share, now in moments]


def limits() -> Iterator[Case]:
    sides: tuple[Side, ...] = ("device", "server")
    for run_on in sides:
        for fallback in (None, "device", "server"):
            for device_ms, hedge in ((None, None), (40.0, None), (None, 100.0)):
                for deadline in (None, 0.5, 300.0):
                    decision = Decision(
                        run_on=run_on, reason="preferred", fallback=fallback, upload_allowed=True,
                        deadline_miss_expected=False, hedge_after_ms=hedge, timeout_ms=deadline or 10_000.0,
                        device_ms=device_ms, server_ms=None, device_blocked=None, server_blocked=None,
                    )  # fmt: skip
                    yield {
                        "run_on": run_on, "fallback": fallback, "device_ms": device_ms, "hedge_after_ms": hedge,
                        "timeout_ms": decision.timeout_ms, "deadline_ms": deadline,
                        "limit_ms": server_limit_ms(decision, deadline),
                    }  # fmt: skip


def delays() -> Iterator[list[float | bool | None]]:
    for after in (None, 0, 1, 2, 59, 60, 61, 10**6):
        for drawn in (0.0, 0.25, 0.999):
            yield [after, drawn, retry_delay_ms(after, lambda value=drawn: value)]  # type: ignore[misc]


def addresses() -> Iterator[Case]:
    for url, more in (
        ("", {}), ("host", {}), ("ftp://host", {}), ("http://", {}), ("https://u:p@host", {}), ("https://host?x=1", {}),
        ("https://host#x", {}), ("http://host", {}), ("https://host:99999", {}), ("http://127.0.0.1.example.org", {}),
        ("https://host/base/", {"model": "a b/c", "version": "1"}), ("http://host", {"plain_http": True}),
        ("http://[::1]:8000", {}), ("http://127.9.8.7:80", {}), ("http://localhost", {}), ("https://host:8443", {}),
        ("https://host", {"model": ""}), ("https://host", {"token": "secret\n"}), ("https://host", {"token": "a b"}),
        ("https://host", {"model": "é"}), ("http://128.0.0.1", {}), ("http://[::2]", {}),
        ("http://localhost.example", {}),
    ):  # fmt: skip
        given: dict[str, Any] = {"model": "m", "version": "", "token": "", "plain_http": False, **more}
        try:
            found = Endpoint(url, **given)
        except UsageError:
            yield {"url": url, **given, "accept": False}
        else:
            yield {"url": url, **given, "accept": True, "address": found.address, "local": found.local}


def vectors() -> bytes:
    """Return the file: a line for each case."""
    parts: dict[str, list[Any]] = {
        "breaker": [breaker(seed, failing=failing) for seed, failing in ((1, 0.9), (2, 0.5), (3, 0.3), (4, 0.1))],
        "budget": [budget(seed) for seed in (1, 2)],
        "server": [server(seed) for seed in (1, 2, 3)],
        "device": [device(1, None), device(2, 12.0)],
        "smoothed": smoothed(),
        "durations": durations(),
        "server_limits": list(limits()),
        "connect_limits": [
            [left, spare, connect_limit_ms(left, spare=spare)]
            for left in (10.0, 1000.0, 6e4)
            for spare in (False, True)
        ],
        "retry_delays": list(delays()),
        "leaves_time": [
            [delay, expected, left, leaves_time(delay, expected, left)]
            for delay, expected, left in ((100, 50, 151), (100, 50, 150), (100, None, 101), (100, None, 100), (0, 0, 0))
        ],
        "addresses": list(addresses()),
    }
    lines = [
        b'"%b":[\n%b]' % (name.encode(), b",\n".join(msgspec.json.encode(case) for case in cases))
        for name, cases in parts.items()
    ]
    return b'{"schema":1,\n' + b",\n".join(lines) + b"}\n"


if __name__ == "__main__":
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(GOLDEN, vectors())
