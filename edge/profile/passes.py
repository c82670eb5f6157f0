"""What is measured in processes of its own, because it would disturb latency: memory, a sustained load, energy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec

from edge.profile.devices import EnergyCounter
from edge.profile.estimate import WINDOW_S, sustained
from edge.profile.events import launch_of, problem_of, read_events
from edge.profile.protocol import Session
from edge.profile.records import DeviceState, Energy, Launch

_SPARE_S = 120.0  # that a long launch may take beside its runs
IDLE_S = 30.0
BUSY_S = 60.0


def measure_memory(session: Session) -> None:
    """Launch every artifact once more and let it tell its memory after a few runs."""
    short = replace(session.settings, min_runs=5, min_seconds=0.0, warmup_runs=0)
    for index in session.alive():
        item = session.placed[index]
        ended = session.device.run(item.command(*short.flags(), "--memory"), short.timeout_s)
        printed = read_events(ended.output)
        session.keep(index, ended, printed, memory=printed.memory)


def measure_sustained(session: Session, seconds: float) -> None:
    """Run every artifact without a pause for so long, one after another, each from a cool device."""
    for index in session.alive():
        session.say(f"sustain  {session.placed[index].variant.name}: {seconds:.0f} s")
        session.gate.pass_through()
        with _readings(session) as states:
            launch = _long_launch(session, index, seconds)
        session.update(index, sustained=sustained(launch, states) if launch.runs_ns else None)


def _long_launch(session: Session, index: int, seconds: float) -> Launch:
    item = session.placed[index]
    flags = (*session.settings.flags(), "--seconds", f"{seconds:g}")
    ended = session.device.run(item.command(*flags), seconds + _SPARE_S)
    printed = read_events(ended.output)
    session.keep(index, ended, printed)
    launch = launch_of(printed, len(item.variant.launches), starts=True)
    return msgspec.structs.replace(launch, problem=problem_of(ended, printed))


@contextmanager
def _readings(session: Session) -> Iterator[dict[float, DeviceState]]:
    """Read the device's state once a window while a launch runs; the seconds count from the beginning."""
    states: dict[float, DeviceState] = {}
    over = threading.Event()
    begin = time.monotonic()

    def read() -> None:
        while not over.is_set():
            at_s = time.monotonic() - begin
            states[at_s] = session.device.state(session.elapsed_s())
            over.wait(WINDOW_S - (time.monotonic() - begin) % WINDOW_S)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield states
    finally:
        over.set()
        reader.join(timeout=_SPARE_S)


def measure_energy(session: Session, *, idle_s: float = IDLE_S, busy_s: float = BUSY_S) -> None:
    """Take the energy of a run from the device's counter: what a busy minute draws above an idle half."""
    for index in session.alive():
        item = session.placed[index]
        before = session.device.energy()
        if isinstance(before, str):
            session.update(index, energy_reason=before)
            continue
        begin = time.monotonic()
        time.sleep(idle_s)
        between = session.device.energy()
        idle = time.monotonic()
        launch = _long_launch(session, index, busy_s)
        after, end = session.device.energy(), time.monotonic()
        if isinstance(between, str) or isinstance(after, str):
            session.update(index, energy_reason=between if isinstance(between, str) else str(after))
            continue
        found = _energy(launch, (before, between, after), idle - begin, end - idle)
        reason = "" if found else f"{before.source} did not rise above its idle rate within {busy_s:g} s"
        session.update(index, energy=found, energy_reason=reason)
        session.say(f"energy   {item.variant.name}: {reason or before.source}")


def _energy(launch: Launch, counters: tuple[EnergyCounter, ...], idle_s: float, busy_s: float) -> Energy | None:
    before, between, after = (counter.joules for counter in counters)
    idle_watts, busy_watts = (between - before) / idle_s, (after - between) / busy_s
    if busy_watts <= idle_watts or not launch.runs_ns:
        return None
    return Energy(
        source=counters[0].source,
        runs=len(launch.runs_ns),
        seconds=busy_s,
        idle_watts=idle_watts,
        busy_watts=busy_watts,
        millijoules=1e3 * (busy_watts - idle_watts) * busy_s / len(launch.runs_ns),
    )
