"""Read what a launch printed (edge/profile/board/loop.py says how); what is no event is passed over."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from edge.profile.devices import Ended
from edge.profile.records import Launch, Memory, Peaks

_SHOWN = 3  # lines of standard error that a problem quotes


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """The events of one process, in the order they came; what did not come is None or empty."""

    runtime: str = ""
    threads: int | None = None
    emulated: bool = False
    cold_load_ns: int | None = None
    warm_load_ns: int | None = None
    first_ns: int | None = None
    warmup_ns: tuple[int, ...] = ()
    steady: bool = False
    runs_ns: tuple[int, ...] = ()
    starts_ns: tuple[int, ...] = ()
    memory: Memory | None = None
    peaks: Peaks | None = None
    error: str = ""
    error_type: str = ""
    ended: bool = False


def read_events(output: str) -> Printed:
    """Return the events of a process's standard output; never raises, whatever it printed."""
    found = Printed()
    warm: list[int] = []
    runs: list[int] = []
    starts: list[int] = []
    for line in output.splitlines():
        event = _event(line)
        kind = event.get("k")
        if kind in ("run", "warm"):
            duration, start = event.get("ns"), event.get("t")
            if _count(duration) and _count(start):
                (runs if kind == "run" else warm).append(duration)
                if kind == "run":
                    starts.append(start)
        elif kind is not None:
            found = _told(found, str(kind), event)
    return replace(found, warmup_ns=tuple(warm), runs_ns=tuple(runs), starts_ns=tuple(starts))


def _event(line: str) -> dict[str, Any]:
    if not line.startswith("{"):
        return {}
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _told(found: Printed, kind: str, event: dict[str, Any]) -> Printed:
    duration = event.get("ns")
    if kind == "start":
        name = f"{event.get('runtime', '')} {event.get('version', '')}".strip()
        threads = event.get("threads")
        return replace(found, runtime=name, threads=threads if _count(threads) else None)
    if kind == "load" and _count(duration):
        if event.get("cold") is True:
            return replace(found, cold_load_ns=duration)
        return replace(found, warm_load_ns=duration)
    if kind == "first" and _count(duration):
        return replace(found, first_ns=duration)
    if kind == "steady":
        return replace(found, steady=event.get("value") is True)
    if kind == "memory":
        return replace(found, memory=_memory(event))
    if kind == "peaks":
        return replace(found, peaks=_peaks(event))
    if kind == "error":
        return replace(found, error=str(event.get("message", "")), error_type=str(event.get("type", "")))
    return replace(found, emulated=found.emulated or kind == "emulated", ended=found.ended or kind == "end")


def _count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _memory(event: dict[str, Any]) -> Memory | None:
    before, peak, pss = event.get("before"), event.get("peak"), event.get("pss")
    if not (_count(before) and _count(peak)) or not peak:
        return None
    return Memory(before_load_bytes=before, peak_bytes=peak, pss_bytes=pss if _count(pss) else None)


def _peaks(event: dict[str, Any]) -> Peaks | None:
    flops, speed = event.get("flops"), event.get("bytes_per_s")
    if not isinstance(flops, dict) or not isinstance(speed, int | float):
        return None
    known = {str(name): float(value) for name, value in flops.items() if isinstance(value, int | float) and value > 0}
    return Peaks(flops_per_s=known, bytes_per_s=max(float(speed), 0.0), how=str(event.get("how", "")))


def launch_of(printed: Printed, order: int, *, starts: bool = False) -> Launch:
    """Return a launch as it is kept; one that ended early has what it printed."""
    return Launch(
        order=order,
        cold_load_ns=printed.cold_load_ns or 0,
        warm_load_ns=printed.warm_load_ns,
        first_ns=printed.first_ns or 0,
        warmup_ns=printed.warmup_ns,
        steady=printed.steady,
        runs_ns=printed.runs_ns,
        starts_ns=printed.starts_ns if starts else (),
    )


def problem_of(ended: Ended, printed: Printed) -> str:
    """Return why a launch ended early, or an empty string if it ended as it should."""
    if ended.problem:
        return ended.problem
    if printed.error:
        return printed.error
    if ended.code == 0 and printed.ended:
        return ""
    lines = [line.strip() for line in ended.errors.splitlines() if line.strip()]
    said = f": {' / '.join(lines[-_SHOWN:])}" if lines else ""
    how = "died from a signal" if ended.code is not None and ended.code < 0 else f"ended with code {ended.code}"
    return f"the process {how} before it had measured{said}"
