"""The protocol: several process launches of every artifact, interleaved in random order, then passes of their own.

Within one process a model repeats to a fraction of a percent; between launches it can differ twofold, so the launch is
the unit of repetition. Whatever goes wrong on the way, what was measured is kept.
"""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from edge.artifact import Artifact
from edge.profile.devices import Bundle, BundleFile, Command, Device, Ended, is_emulator
from edge.profile.estimate import estimate, ratios
from edge.profile.events import Printed, launch_of, problem_of, read_events
from edge.profile.gate import PATIENCE_S, ThermalGate
from edge.profile.records import DeviceRecord, Harness, Inputs, Profile, Protocol, Variant
from edge.profile.runners import Prepared, Wish, choose
from edge.threads import thread_count
from edge.versions import installed_version

LAUNCHES = 10
LAUNCH_TIMEOUT_S = 300.0
_APP_THREADS = 4
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to measure; the defaults are the protocol's."""

    launches: int = LAUNCHES
    min_runs: int = 30
    min_seconds: float = 1.0
    warmup_runs: int = 50
    warmup_seconds: float = 5.0
    threads: int = 0  # 0: what default_threads says
    seed: int = 0
    harness: Harness | None = None
    binary: Path | None = None
    python: str = "python3"
    gate_patience_s: float = PATIENCE_S
    timeout_s: float = LAUNCH_TIMEOUT_S

    def flags(self) -> tuple[str, ...]:
        """Return the words that every runner takes."""
        numbers = {
            "threads": self.threads, "warmup-runs": self.warmup_runs, "warmup-seconds": self.warmup_seconds,
            "min-runs": self.min_runs, "min-seconds": self.min_seconds,
        }  # fmt: skip
        return tuple(word for name, value in numbers.items() for word in (f"--{name}", f"{value:g}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An artifact to be measured, and the raw tensors that it is fed."""

    artifact: Artifact
    inputs: tuple[Path, ...]
    kind: Inputs = "random"
    environment: Mapping[str, str] = field(default_factory=dict)  # that it needs on this machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A subject whose files are on the device, and what is known of it so far."""

    subject: Subject
    prepared: Prepared
    folder: str
    variant: Variant

    def command(self, *flags: str) -> Command:
        """Return the command of one launch."""
        inputs = tuple(word for name in input_names(self.subject) for word in ("--input", name))
        argv = (*self.prepared.argv, *flags, *inputs)
        return Command(argv=argv, folder=self.folder, environment=self.prepared.environment)


@dataclass(slots=True)
class Session:
    """An open device with the artifacts on it; launches add to what is known of them."""

    device: Device
    record: DeviceRecord
    settings: Settings
    placed: list[Placed]
    gate: ThermalGate
    begin: float
    say: Say
    problem: str = ""

    def launch(self, index: int, order: int) -> None:
        """Launch one artifact once and keep what it printed."""
        item = self.placed[index]
        state = self.gate.pass_through()
        ended = self.device.run(item.command(*self.settings.flags()), self.settings.timeout_s)
        printed = read_events(ended.output)
        launch = msgspec.structs.replace(
            launch_of(printed, order),
            state=state,
            summary=item.prepared.summary(ended.output) if item.prepared.summary else None,
            problem=problem_of(ended, printed),
        )
        self.keep(index, ended, printed, launches=(*item.variant.launches, launch))

    def keep(self, index: int, ended: Ended, printed: Printed, **more: object) -> None:
        """Write what a process told into its variant; a device that vanished ends the profile."""
        item = self.placed[index]
        variant = item.variant
        told = {
            "runtime": printed.runtime or variant.runtime,
            "threads": printed.threads or variant.threads,
            "emulated": variant.emulated or printed.emulated,
            "problem": variant.problem or problem_of(ended, printed),
        }
        self.placed[index] = replace(item, variant=msgspec.structs.replace(variant, **{**told, **more}))
        if ended.lost:
            self.problem = ended.problem

    def update(self, index: int, **more: object) -> None:
        """Write the results of another pass into a variant."""
        item = self.placed[index]
        self.placed[index] = replace(item, variant=msgspec.structs.replace(item.variant, **more))

    def elapsed_s(self) -> float:
        """Return the seconds since the profile began."""
        return time.monotonic() - self.begin

    def alive(self) -> Iterator[int]:
        """Yield the artifacts that can still be measured, as long as the device is there."""
        for index, item in enumerate(self.placed):
            if self.problem:
                return
            if not item.variant.problem:
                yield index


@contextmanager
def opened(device: Device, subjects: Sequence[Subject], settings: Settings, say: Say) -> Iterator[Session]:
    """Bring the artifacts to the device and yield a session on it; the device is closed afterwards.

    Raises what the device, the runners and their preparation raise.
    """
    begin = time.monotonic()
    try:
        record = device.probe()
        settings = replace(settings, threads=settings.threads or default_threads(record))
        say(f"device   {record.name}, {record.machine}, {record.cores} cores{', EMULATED' if record.emulated else ''}")
        names = variant_names([subject.artifact for subject in subjects])
        placed = [
            _place(device, record, subject, name, settings, say) for subject, name in zip(subjects, names, strict=True)
        ]
        gate = ThermalGate(lambda: device.state(time.monotonic() - begin), settings.gate_patience_s)
        yield Session(device, record, settings, placed, gate, begin, say)
    finally:
        device.close()


def default_threads(record: DeviceRecord) -> int:
    """Return all cores of this machine, or EDGE_THREADS; on other devices up to four, as apps use."""
    return thread_count() if record.id == "host" else min(_APP_THREADS, record.cores)


def _place(device: Device, record: DeviceRecord, subject: Subject, name: str, settings: Settings, say: Say) -> Placed:
    artifact, manifest = subject.artifact, subject.artifact.manifest
    chosen = choose(artifact, device, settings.harness)
    wish = Wish(threads=settings.threads, binary=settings.binary, python=settings.python)
    prepared = chosen.prepare(artifact, device, record, wish)
    for remark in prepared.remarks:
        say(f"remark   {name}: {remark}")
    tensors = [
        BundleFile(name=word, path=path) for word, path in zip(input_names(subject), subject.inputs, strict=True)
    ]
    folder = device.put(Bundle(files=(*prepared.bundle.files, *tensors)))
    variant = Variant(
        name=name,
        artifact=str(artifact.root),
        sha256=content_digest(artifact),
        model=manifest.model,
        target=manifest.target,
        precision=manifest.precision,
        harness=chosen.harness,
        runtime=prepared.runtime,
        threads=settings.threads,
        inputs="random" if chosen.harness == "benchmark_model" else subject.kind,  # it makes its own
        emulated=record.emulated or is_emulator(device.prefix),
    )
    if device.kind == "host":  # the subject's variables name folders of this machine
        prepared = replace(prepared, environment={**subject.environment, **prepared.environment})
    return Placed(subject=subject, prepared=prepared, folder=folder, variant=variant)


def input_names(subject: Subject) -> tuple[str, ...]:
    """Return the names of the input files on the device."""
    return tuple(f"input{index}.bin" for index in range(len(subject.inputs)))


def content_digest(artifact: Artifact) -> str:
    """Return a hash of an artifact's list of files."""
    import hashlib

    return hashlib.sha256(msgspec.json.encode(artifact.manifest.files)).hexdigest()


def variant_names(artifacts: Sequence[Artifact]) -> list[str]:
    """Return TARGET@PRECISION of every artifact, with the model or the folder before it as far as that is needed."""
    short = [f"{found.manifest.target}@{found.manifest.precision}" for found in artifacts]
    if len(set(short)) == len(short):
        return short
    longer = [f"{found.manifest.model} {name}" for found, name in zip(artifacts, short, strict=True)]
    if len(set(longer)) == len(longer):
        return longer
    return [f"{found.root}" for found in artifacts]


def measure_latency(session: Session) -> None:
    """Launch every artifact as often as the protocol says: rounds of all of them, each in random order."""
    generator = random.Random(session.settings.seed)
    order = 0
    for number in range(session.settings.launches):
        turn = list(session.alive())
        generator.shuffle(turn)
        for index in turn:
            if session.problem:
                break
            session.launch(index, order)
            order += 1
        session.say(f"launches {number + 1} of {session.settings.launches}")
    for index, item in enumerate(session.placed):
        session.update(index, estimate=estimate(item.variant.launches))


def result(session: Session, sustain_s: float = 0.0) -> Profile:
    """Return everything that a session measured."""
    settings = session.settings
    variants = tuple(item.variant for item in session.placed)
    return Profile(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        kit=installed_version("edge-deployment-kit"),
        device=session.record,
        thermal_gate=session.gate.outcome,
        gate_reason=session.gate.reason,
        protocol=Protocol(
            launches=settings.launches,
            min_runs=settings.min_runs,
            min_seconds=settings.min_seconds,
            warmup_runs=settings.warmup_runs,
            warmup_seconds=settings.warmup_seconds,
            seed=settings.seed,
            prefix=session.device.prefix,
            threads=settings.threads,
            sustain_seconds=sustain_s,
        ),
        variants=variants,
        ratios=ratios(variants) if variants else (),
        problem=session.problem,
    )
