"""An ETDump through ExecuTorch's Inspector: calls of the method, and inside delegates what those tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge.artifact import read_manifest
from edge.delegation import Operator, Unit, read_delegation
from edge.errors import TargetError
from edge.profile.operators._graph import Node, align, dtype_of, with_sources
from edge.profile.operators._samples import REMAINDER, KnownUnit, Launch, Row
from edge.profile.operators._xnnpack_graph import Call, read_calls

WHOLE = "Method::execute"
_DELEGATE, _OPERATOR, _NATIVE = "DELEGATE_CALL", "OPERATOR_CALL", "native_call_"
_KERNELS = "ExecuTorch kernels"
_UNITS: dict[str, Unit] = {
    "XnnpackBackend": "cpu", "OpenvinoBackend": "cpu", "QnnBackend": "npu", "EthosUBackend": "npu",
    "EthosBackend": "npu", "NeuropilotBackend": "npu", "EnnBackend": "npu", "VulkanBackend": "gpu",
    "MetalBackend": "gpu", "MPSBackend": "gpu",
}  # fmt: skip  # Core ML chooses a unit itself and does not say which: unknown
_MICRO = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the method's runs: its times in microseconds, and when the first run's began, in ticks."""

    name: str
    delegated: bool  # told by a delegate, from inside its call
    us: tuple[float, ...]
    start: int | None = None


def read_events(path: Path) -> tuple[Event, ...]:
    """Return the events of a dump's runs in order; raises TargetError for a dump without any."""
    from executorch.devtools import Inspector

    try:
        blocks = Inspector(etdump_path=str(path)).event_blocks
    except Exception as error:  # the Inspector's errors share no base
        raise TargetError(
            f"{path.name} is no ETDump that the Inspector reads: {type(error).__name__}: {error}"
        ) from error
    found = [events for block in blocks if (events := _events(block))]
    whole = [events for events in found if any(event.name == WHOLE for event in events)]
    if not whole:
        raise TargetError(f"the ETDump has no {WHOLE}: the runtime was built without its event tracer")
    return max(whole, key=lambda events: max(len(event.us) for event in events))


def _events(block: Any) -> tuple[Event, ...]:
    scale = _MICRO[getattr(block.target_time_scale, "value", "ms")]
    return tuple(
        Event(
            name=str(event.name),
            delegated=bool(event.is_delegated_op),
            us=tuple(float(value) * scale for value in event.perf_data.raw),
            start=int(event.start_time[0]) if event.start_time else None,
        )
        for event in block.events
        if event.perf_data is not None and event.perf_data.raw
    )


def parse_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Read the dumps of an artifact's processes; `kept` are the runs of each that count. Return launches."""
    artifact = read_manifest(Path(payload["artifact"]))
    delegated = read_delegation(artifact.root).operators
    calls = read_calls(artifact.file(".pte"))
    launches = [
        table(read_events(Path(dump)), kept, calls, delegated)
        for dump, kept in zip(payload["dumps"], payload["kept"], strict=True)
    ]
    return {"launches": [msgspec.to_builtins(launch) for launch in launches]}


def table(
    events: Sequence[Event], kept: Sequence[int] | None, calls: Sequence[Call], delegated: Sequence[Operator]
) -> Launch:
    """Return the operators of a method's runs; `kept` (all, if None) picks runs, the last ones if there are more.

    A call's own operators come before it, as the dump is written when things end. What a delegate's operators leave of
    its call is a row of its own. Raises TargetError for a dump whose events have different numbers of runs.
    """
    runs = next((len(event.us) for event in events if event.name == WHOLE), 0)
    chosen = list(range(runs)) if kept is None else [index for index in kept if index < runs]
    if not chosen:
        raise TargetError("the ETDump has none of the runs that were kept")
    nodes = with_sources([node for call in calls for node in call.nodes], delegated)
    reader = _Reader(chosen, runs, _by_call(calls, nodes), _named_calls(calls))
    inside: list[Event] = []
    native = ""
    for event in events:
        if event.delegated:
            inside.append(event)
        elif event.name.startswith(_NATIVE):
            native = event.name.removeprefix(_NATIVE)
        elif event.name == _OPERATOR:
            reader.operator(event, native)
            native, inside = "", []
        elif event.name == _DELEGATE:
            reader.delegate(event, inside)
            native, inside = "", []
    whole = next(event for event in events if event.name == WHOLE)
    return Launch(rows=tuple(reader.rows), whole_us=reader.times(whole), remarks=tuple(reader.remarks))


def _by_call(calls: Sequence[Call], nodes: Sequence[Node]) -> list[tuple[str, tuple[Node, ...]]]:
    found, place = [], 0
    for call in calls:
        if call.delegate:
            found.append((call.name, tuple(nodes[place : place + len(call.nodes)])))
            place += len(call.nodes)
    return found


def _named_calls(calls: Sequence[Call]) -> list[str]:
    return [call.name for call in calls if not call.delegate]


class _Reader:
    """Turn events into rows, call by call."""

    def __init__(
        self, chosen: Sequence[int], runs: int, delegates: Sequence[tuple[str, tuple[Node, ...]]], names: Sequence[str]
    ) -> None:
        self._chosen, self._runs = chosen, runs
        self._delegates, self._names = iter(delegates), iter(names)
        self._number = 0
        self.rows: list[Row] = []
        self.remarks: list[str] = []

    def times(self, event: Event) -> tuple[float, ...]:
        """Return an event's times in the runs that count; raises TargetError if it did not happen in every run."""
        if len(event.us) != self._runs:
            raise TargetError(f"the ETDump has {len(event.us)} times of {event.name} in {self._runs} runs")
        return tuple(event.us[index] for index in self._chosen)

    def operator(self, event: Event, native: str) -> None:
        """Add an operator outside the delegates; the method's own list names those that do not name themselves."""
        listed = next(self._names, "")
        name = native or listed.removeprefix("aten::") or _OPERATOR
        self.rows.append(Row(name=self._numbered(name), type=name, unit="cpu", backend=_KERNELS, us=self.times(event)))

    def delegate(self, event: Event, inside: Sequence[Event]) -> None:
        """Add a delegate's operators and what they leave of its call, or the call where it tells of none."""
        backend, nodes = next(self._delegates, ("", ()))
        unit: KnownUnit = _UNITS.get(backend, "unknown")
        whole = self.times(event)
        if any(item.start is not None and event.start is not None and item.start < event.start for item in inside):
            self.remarks.append(f"{backend}'s operators began before its call: only the call is listed")
            inside = ()
        if not inside:
            name = backend or _DELEGATE
            self.rows.append(Row(name=self._numbered(name), type=_DELEGATE, unit=unit, backend=backend, us=whole))
            return
        found = align([item.name for item in inside], nodes)
        parts = [self.times(item) for item in inside]
        for item, us, node in zip(inside, parts, found, strict=True):
            self.rows.append(_leaf(item, us, node, unit, backend))
        rest = tuple(max(own - sum(part[run] for part in parts), 0.0) for run, own in enumerate(whole))
        self.rows.append(Row(name=self._numbered(REMAINDER), type=REMAINDER, unit=unit, backend=backend, us=rest))

    def _numbered(self, name: str) -> str:
        self._number += 1
        return f"{name} (call {self._number})"


def _leaf(event: Event, us: tuple[float, ...], node: Node | None, unit: KnownUnit, backend: str) -> Row:
    return Row(
        name=event.name,
        type=event.name.rpartition(" #")[0] or event.name,
        unit=unit,
        backend=backend,
        us=us,
        source=node.source if node else "",
        flops=node.flops if node else None,
        bytes=node.bytes if node else None,
        dtype=dtype_of(event.name) or (node.dtype if node else ""),
    )
