"""Where artifacts are measured: one file per kind of device, one `@device` definition per file.

A device is named `KIND` or `KIND:NAME`: `host`, `adb`, `adb:emulator-5554`, `ssh:pi@board`, `xcrun:UDID`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edge.artifact import file_digest
from edge.errors import UsageError
from edge.profile.records import DeviceRecord, DeviceState
from edge.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile:
    """A file that a run needs beside it; `name` has no folders."""

    name: str
    path: Path
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The files of a run, in one folder on the device."""

    files: tuple[BundleFile, ...] = ()

    def key(self) -> str:
        """Return a hash of names, contents and modes: equal bundles are pushed once."""
        found = hashlib.sha256()
        for file in sorted(self.files, key=lambda file: file.name):
            found.update(f"{file.name}\0{file_digest(file.path)}\0{file.executable}\n".encode())
        return found.hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program and its arguments; it runs in `folder` on the device."""

    argv: tuple[str, ...]
    folder: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command printed until it ended, was ended or was lost."""

    code: int | None  # None where there is no exit code: see `problem`
    output: str
    errors: str
    problem: str = ""  # it ran too long, or the device vanished
    lost: bool = False  # the device is not there any more


@dataclass(frozen=True, slots=True)
class EnergyCounter:
    """What a device has drawn since some moment, as its own counter tells it."""

    joules: float
    source: str


class Device(Protocol):
    """A machine that runs commands."""

    id: str  # as the user named it, completed: adb:SERIAL
    kind: str
    prefix: tuple[str, ...]  # words before every command, such as `taskset f0`

    def probe(self) -> DeviceRecord:
        """Describe the device; raises MissingError if it does not answer, with what mends it."""
        ...

    def state(self, at_s: float) -> DeviceState:
        """Read what disturbs a measurement; what cannot be read is unknown, and nothing is raised."""
        ...

    def energy(self) -> EnergyCounter | str:
        """Read the energy that was drawn, or say why it cannot be known: no counter, or the device is charging."""
        ...

    def put(self, bundle: Bundle) -> str:
        """Bring files over, unless they are there with these hashes, and return their folder.

        Raises MissingError if the device is gone, TargetError if what arrived differs.
        """
        ...

    def run(self, command: Command, timeout_s: float) -> Ended:
        """Run a command with the prefix before it; raises nothing for what happens to it."""
        ...

    def get(self, remote: str, local: Path) -> None:
        """Bring one file back; raises MissingError or TargetError."""
        ...

    def close(self) -> None:
        """Give back what was taken; nothing of ours keeps running on the device."""
        ...


Opener = Callable[[str, tuple[str, ...]], Device]  # the name after the colon, the prefix

DEVICES: Registry[Opener] = Registry("device", "edge.profile.devices")


def device(kind: str) -> Callable[[Opener], Opener]:
    """Register the function that opens devices of a kind."""

    def decorate(function: Opener) -> Opener:
        return DEVICES.add(kind, function)

    return decorate


def open_device(text: str, prefix: tuple[str, ...] = ()) -> Device:
    """Open `KIND[:NAME]`; raises UsageError for an unknown kind, MissingError for a device that is not there."""
    kind, colon, name = text.partition(":")
    if colon and not name:
        raise UsageError(f"{text!r} names no device; expected {kind} or {kind}:NAME")
    return DEVICES[kind](name, prefix)


def is_emulator(prefix: tuple[str, ...]) -> bool:
    """Say whether the words before a command emulate a processor."""
    return any(Path(word).name.startswith("qemu-") for word in prefix)
