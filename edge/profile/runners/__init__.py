"""What runs an artifact on a device: one file per way, one `@runner` definition per file.

Whatever runs takes the same words after its own (`flags`) and prints the same events (edge/profile/board/loop.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.artifact import Artifact
from edge.errors import Refused
from edge.profile.devices import Bundle, Device
from edge.profile.records import DeviceRecord, Harness, Summary
from edge.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An artifact ready to be measured: what has to be on the device, and the command that runs it there."""

    bundle: Bundle
    argv: tuple[str, ...]  # relative names are files of the bundle; `flags` and inputs come after it
    environment: Mapping[str, str] = field(default_factory=dict)
    runtime: str = ""  # name and version, where it is known before the first launch
    summary: Callable[[str], Summary | None] | None = None  # reads the output of a program that prints no single runs
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user asked for that a runner has to know."""

    threads: int
    binary: Path | None = None  # --benchmark-model
    python: str = "python3"  # the interpreter on a board


Prepare = Callable[[Artifact, Device, DeviceRecord, Wish], Prepared]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A way to run artifacts: on which kinds of devices, for which families (the first word of target ids)."""

    name: str
    harness: Harness
    devices: tuple[str, ...]
    families: tuple[str, ...]  # empty: all that this machine executes natively
    rank: int  # of several the lowest is taken where none is asked for
    prepare: Prepare


RUNNERS: Registry[Runner] = Registry("runner", "edge.profile.runners")


def runner(
    name: str, *, harness: Harness, devices: tuple[str, ...], families: tuple[str, ...] = (), rank: int = 0
) -> Callable[[Prepare], Prepare]:
    """Register a function that makes an artifact ready; it raises MissingError, Refused or Unexecutable."""

    def decorate(function: Prepare) -> Prepare:
        RUNNERS.add(
            name,
            Runner(name=name, harness=harness, devices=devices, families=families, rank=rank, prepare=function),
        )
        return function

    return decorate


def choose(artifact: Artifact, device: Device, harness: Harness | None) -> Runner:
    """Return the runner for an artifact on a device; raises Refused with what there is."""
    target = artifact.manifest.target
    family = target.partition(":")[0].partition("-")[0]
    there = [found for found in RUNNERS.values() if device.kind in found.devices]
    fitting = [found for found in there if not found.families or family in found.families]
    if harness is not None:
        fitting = [found for found in fitting if found.harness == harness]
    if fitting:
        return min(fitting, key=lambda found: found.rank)
    offers = sorted({f"{found.harness} for {', '.join(found.families) or 'all'}" for found in there})
    asked = f" with --harness {harness}" if harness else ""
    raise Refused(f"{target} cannot be measured on {device.id}{asked}; there is: {'; '.join(offers) or 'nothing'}")
