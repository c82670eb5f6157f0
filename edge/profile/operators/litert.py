"""LiteRT's profiler: LiteRT's own operators, and inside XNNPACK's delegate XNNPACK's.

The Python interface has no profiler; the library of the wheel has (edge/profile/operators/_litert_c.py). A child
drives it, so that a version with another layout fails there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge.artifact import Artifact, read_manifest
from edge.delegation import read_delegation
from edge.errors import Refused, TargetError
from edge.profile.inputs import read_inputs
from edge.profile.operators import Found, Site, operators
from edge.profile.operators._graph import Node, align, dtype_of, with_sources
from edge.profile.operators._inputs import launch_all, refuse_prefix
from edge.profile.operators._interleave import interleave
from edge.profile.operators._litert_c import Compiled, Event
from edge.profile.operators._samples import REMAINDER, Launch, Row
from edge.profile.operators._tflite_graph import read_tflite
from edge.threads import thread_count

WHOLE = "Invoke"
_DEFAULT, _OPERATOR, _INSIDE, _DELEGATED = 1, 2, 4, 8  # tflite::Profiler::EventType
_XNNPACK = "XNNPACK"


@operators("litert", devices=("host",))
def profile_litert(artifact: Artifact, site: Site) -> Found:
    """Time the operators on this machine's CPU; raises Refused where this LiteRT's profiler cannot be read."""
    family = artifact.manifest.target.partition(":")[0]
    if family != "litert-cpu":
        raise Refused(f"{family} runs on another machine's processor: LiteRT's profiler is read for litert-cpu only")
    launches = launch_all("edge.profile.operators.litert:launch_job", artifact, site)
    return Found(tool="LiteRT profiler", launches=tuple(launches), remarks=refuse_prefix(site))


def launch_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run one model with the profiler and one without it by turns; return a Launch."""
    artifact = read_manifest(Path(payload["artifact"]))
    path, inputs = artifact.file(".tflite"), read_inputs(artifact, payload["inputs"])
    seen = Compiled(path, thread_count(), inputs, profiled=True)
    plain = Compiled(path, thread_count(), inputs, profiled=False)
    with seen.recording():
        turns = interleave(seen.run, plain.run)
    if seen.outputs() != plain.outputs():
        raise TargetError("LiteRT computes other numbers under its profiler; its times would be another model's")
    runs = split(seen.events())
    nodes = with_sources(read_tflite(path), read_delegation(artifact.root).operators)
    launch = table([runs[index] for index in turns.kept], nodes)
    complete = msgspec.structs.replace(launch, profiled_us=turns.profiled_us, plain_us=turns.plain_us)
    return dict(msgspec.to_builtins(complete))


def split(events: Sequence[Event]) -> list[list[Event]]:
    """Return the events of every run: the whole first, then the operators; raises TargetError if there is no run."""
    runs: list[list[Event]] = []
    for event in events:
        if event.kind == _DEFAULT and event.tag == WHOLE:
            runs.append([event])
        elif runs and event.kind in (_OPERATOR, _INSIDE, _DELEGATED):
            runs[-1].append(event)
    if not runs:
        raise TargetError(f"LiteRT's profiler recorded no {WHOLE!r}; measure again")
    return runs


def table(runs: Sequence[Sequence[Event]], nodes: Sequence[Node]) -> Launch:
    """Return the operators over runs that `split` made; raises TargetError if the runs differ.

    An operator of LiteRT's own says which of the file's it is; XNNPACK's are paired with those that are left. Where
    events lie inside a delegate that is timed itself, what they leave of it becomes a row.
    """
    first = runs[0][1:]
    shape = [(event.tag, event.kind, event.index) for event in first]
    if any([(event.tag, event.kind, event.index) for event in run[1:]] != shape for run in runs):
        raise TargetError("LiteRT's profiler recorded other operators from run to run; measure again")
    found = _nodes_of(first, nodes)
    times = [tuple(float(run[place + 1].elapsed_us) for run in runs) for place in range(len(first))]
    begin_us = runs[0][0].start_us
    rows: list[Row] = []
    for place, event in enumerate(first):
        inside = _inside(first, place)
        if inside:
            rest = [max(own - sum(times[index][run] for index in inside), 0.0) for run, own in enumerate(times[place])]
            rows.append(Row(name=REMAINDER, type=REMAINDER, unit="cpu", backend=event.tag, us=tuple(rest)))
        else:
            rows.append(_row(place, event, times[place], found[place], begin_us))
    return Launch(rows=tuple(rows), whole_us=tuple(float(run[0].elapsed_us) for run in runs))


def _row(place: int, event: Event, us: tuple[float, ...], node: Node | None, begin_us: int) -> Row:
    own = event.kind == _OPERATOR
    return Row(
        name=f"{event.tag} #{event.index}",
        type=event.tag,
        unit="cpu",
        backend="LiteRT" if own else _XNNPACK,
        us=us,
        source=node.source if node else "",
        start_us=float(event.start_us - begin_us) if event.start_us >= begin_us > 0 else None,
        flops=node.flops if node else None,
        bytes=node.bytes if node else None,
        dtype=(node.dtype if node and own else "") or dtype_of(event.tag) or (node.dtype if node else ""),
    )


def _inside(events: Sequence[Event], place: int) -> range:
    """Return the events inside a delegate's own, which they follow; empty for any other event."""
    end = place + 1
    if events[place].kind == _OPERATOR:
        while end < len(events) and events[end].kind == _INSIDE:
            end += 1
    return range(place + 1, end)


def _nodes_of(events: Sequence[Event], nodes: Sequence[Node]) -> list[Node | None]:
    own = {event.index for event in events if event.kind == _OPERATOR and event.index < len(nodes)}
    places = [place for place, event in enumerate(events) if event.kind != _OPERATOR]
    left = [node for index, node in enumerate(nodes) if index not in own]
    found: list[Node | None] = [
        nodes[event.index] if event.kind == _OPERATOR and event.index < len(nodes) else None for event in events
    ]
    for place, node in zip(places, align([events[place].tag for place in places], left), strict=True):
        found[place] = node
    return found
