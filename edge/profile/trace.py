"""The operators of a profile as a Chrome trace, which ui.perfetto.dev and chrome://tracing open.

Format: Trace Event Format, JSON object form; complete events ("ph": "X") in microseconds, one process a variant and one
thread per unit and backend, named by metadata events ("ph": "M").
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge.artifact import write_atomic
from edge.profile.operators import is_remainder
from edge.profile.records import OperatorPass, OperatorTime

SUFFIX = ".trace.json"


def write_trace(path: Path, passes: Mapping[str, OperatorPass]) -> None:
    """Write the passes of all variants, by name, as one trace; raises StoreError if it cannot be written."""
    write_atomic(path, msgspec.json.encode(trace(passes)))


def trace(passes: Mapping[str, OperatorPass]) -> dict[str, Any]:
    """Return the trace as JSON's types.

    The operators stand one after the other, each with its median: runs differ, so no single run is shown, and the row
    ends where the operators' sum does.
    """
    events: list[dict[str, Any]] = []
    for process, (name, found) in enumerate(passes.items(), start=1):
        events.append(_named("process_name", process, 0, name))
        tracks = _tracks(found)
        for track, number in tracks.items():
            events.append(_named("thread_name", process, number, track))
        place_us = 0.0
        for operator in found.operators:
            events.append(_complete(operator, process, tracks[_track(operator)], place_us))
            place_us += operator.median_us
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {name: _about(found) for name, found in passes.items()},
    }


def _about(found: OperatorPass) -> str:
    kind = "a compiler's estimate" if found.estimated else f"medians of {found.runs} runs"
    return f"{found.tool}, {kind}; {found.whole_us / 1e3:.3f} ms, {100 * found.coverage:.1f} % of it in operators"


def _track(operator: OperatorTime) -> str:
    if is_remainder(operator):
        return "outside the operators"
    return f"{operator.unit} · {operator.backend}" if operator.backend else operator.unit


def _tracks(found: OperatorPass) -> dict[str, int]:
    names = dict.fromkeys(_track(operator) for operator in found.operators)
    return {name: number for number, name in enumerate(names, start=1)}


def _named(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}


def _complete(operator: OperatorTime, process: int, thread: int, start_us: float) -> dict[str, Any]:
    told = {
        "type": operator.type, "source": operator.source, "backend": operator.backend, "bound": operator.bound,
        "flops": operator.flops, "bytes": operator.bytes, "roof_share": operator.roof_share,
        "ci95_us": operator.ci95_us, "calls": operator.calls,
    }  # fmt: skip
    return {
        "ph": "X",
        "name": operator.source or operator.name,
        "cat": operator.unit,
        "pid": process,
        "tid": thread,
        "ts": round(start_us, 3),
        "dur": round(operator.median_us, 3),
        "args": {
            "operator": operator.name,
            **{key: value for key, value in told.items() if value not in (None, "", "unknown")},
        },
    }
