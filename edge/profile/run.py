"""The whole of `edge profile`: latency first, then the passes that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.errors import EdgeError
from edge.profile.devices import Device, is_emulator
from edge.profile.operators import Site, take
from edge.profile.passes import measure_energy, measure_memory, measure_sustained
from edge.profile.protocol import Say, Session, Settings, Subject, measure_latency, opened, result
from edge.profile.records import Peaks, Profile
from edge.profile.runners.native import run_peaks


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """What to measure beside latency."""

    operators: bool = True
    memory: bool = True
    energy: bool = False
    sustain_s: float = 0.0


class Interrupted(KeyboardInterrupt):
    """A profile that was interrupted, with what it had measured."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.profile = profile


def profile(subjects: Sequence[Subject], device: Device, settings: Settings, passes: Passes, say: Say) -> Profile:
    """Measure artifacts on a device and return all that was measured, even if the device vanished on the way.

    Raises what opening the device and preparing the artifacts raise, and Interrupted with what there is.
    """
    with opened(device, subjects, settings, say) as session:
        try:
            measure_latency(session)
            if passes.memory:
                measure_memory(session)
            if passes.operators:
                _measure_operators(session)
            if passes.sustain_s:
                measure_sustained(session, passes.sustain_s)
            if passes.energy:
                measure_energy(session)
        except KeyboardInterrupt:
            session.problem = "interrupted"
            raise Interrupted(result(session, passes.sustain_s)) from None
        return result(session, passes.sustain_s)


def _measure_operators(session: Session) -> None:
    peaks = _device_peaks(session)
    for index in session.alive():
        item = session.placed[index]
        session.say(f"operators {item.variant.name}")
        inputs = tuple(str(path) for path in item.subject.inputs)
        site = Site(device=session.device, record=session.record, inputs=inputs, threads=item.variant.threads)
        try:
            session.update(index, operators=take(item.subject.artifact, site, peaks))
        except EdgeError as error:
            session.update(index, operators_reason=str(error))


def _device_peaks(session: Session) -> Peaks | None:
    """Return what another device reaches in small kernels, if ExecuTorch's runner can be had for it."""
    if session.device.kind not in ("adb", "ssh") or session.record.emulated or is_emulator(session.device.prefix):
        return None
    try:
        return run_peaks(session.device, session.record, session.settings.threads, session.settings.timeout_s)
    except EdgeError as error:
        session.say(f"remark   the device's peaks are not known: {error}")
        return None
