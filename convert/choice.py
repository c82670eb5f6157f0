"""Choose what to build for a phone: the best target that is ready here, and a CPU build that every phone runs.

Order: NPU, then GPU, then CPU targets. Among the NPU targets those whose very artifact is executed here (by its own
runtime or an emulator of the chip) come before those that a reference interpreter stands in for, and these before those
that cannot be executed here at all; the order in which they are written below decides between equals.

Precision: the one that was asked for, and nothing else; if none was, the first of PREFERRED that the target offers.
The fallback is a CPU target, that of the chosen target's runtime if it is ready, so that an app carries one runtime;
it has the precision that was asked for if it offers it, and is fp32 otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from convert.build import Build
from convert.targets import TARGETS, Execution, Target
from edge.delegation import Unit
from edge.errors import EdgeError, MissingError, Refused
from edge.phones import Considered, Phone, PhoneChoice, System, Vendor

NPU: Mapping[Vendor, tuple[str, ...]] = {
    "qualcomm": ("executorch-qnn", "onnx-qnn", "litert-qualcomm"),
    "mediatek": ("litert-mediatek", "executorch-mediatek"),
    "samsung": ("litert-samsung", "executorch-samsung"),
    "google": ("litert-google-tensor",),
    "apple": ("coreml", "executorch-coreml", "coreai"),
}
GPU: Mapping[System, tuple[str, ...]] = {"android": ("executorch-vulkan",), "ios": ()}  # Core ML takes the GPU itself
CPU: tuple[str, ...] = ("executorch-xnnpack", "litert-cpu", "onnx-cpu")

# float16 needs no calibration pictures and stays closest to the model; int8 is smaller and often faster: ask for it.
PREFERRED: Mapping[Unit, tuple[str, ...]] = {
    "npu": ("fp16", "w8a16", "int8", "fp32"),
    "gpu": ("fp16", "fp32"),
    "cpu": ("fp32", "fp16"),
}

_EXECUTED: Mapping[Execution, str] = {
    "native": "executed here by its own runtime",
    "emulated": "executed here by an emulator of the chip",
    "reference": "compared here through a reference interpreter, not on the phone's runtime",
    "no": "cannot be executed here, so its parity stays unverified",
}
_RANK: Mapping[Execution, int] = {"native": 0, "emulated": 0, "reference": 1, "no": 2}


@dataclass(frozen=True, slots=True)
class Candidate:
    """Pair a target with the unit of the phone that it is for."""

    unit: Unit
    target: Target


@dataclass(frozen=True, slots=True)
class Attempt:
    """Say whether a candidate can be built here: at which precision, or why not."""

    candidate: Candidate
    precision: str = ""
    error: EdgeError | None = None

    @property
    def build(self) -> Build:
        """Return what would be built."""
        return Build(target=self.candidate.target.id, precision=self.precision)

    @property
    def words(self) -> str:
        """Return the attempt's outcome as part of a sentence."""
        target = self.candidate.target
        if self.error is None:
            return f"ready, {self.precision}, {_EXECUTED[target.execution]}"
        return str(self.error).removeprefix(f"{target.id} ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to build for a phone, and why."""

    phone: Phone
    chosen: Build
    fallback: Build | None  # None: no CPU target is ready
    considered: tuple[Considered, ...]

    @property
    def builds(self) -> tuple[Build, ...]:
        """Return the chosen build and the fallback, once each."""
        return tuple(dict.fromkeys(build for build in (self.chosen, self.fallback) if build))

    def record(self) -> PhoneChoice:
        """Return the choice as report.json keeps it."""
        return PhoneChoice(
            phone=self.phone.id,
            soc=self.phone.soc.id,
            chosen=str(self.chosen),
            fallback=str(self.fallback) if self.fallback else "",
            considered=self.considered,
        )

    def explain(self) -> Iterator[str]:
        """Yield one line for the phone and one for each target that was considered."""
        soc = self.phone.soc
        yield f"phone    {self.phone.id}: {self.phone.name}, {soc.name} ({soc.id}), {soc.npu}"
        for item in self.considered:
            yield f"           {item.target}: {item.verdict}"


def choose(phone: Phone, task: str, precision: str | None = None, targets: Iterable[Target] | None = None) -> Choice:
    """Return the best builds for a phone among `targets`, by default all that are registered.

    Raises MissingError if only an absent package or SDK stands in the way, Refused if no target offers the precision.
    """
    known = _by_family(TARGETS.values() if targets is None else targets)
    attempts = [_attempt(candidate, phone, task, precision) for candidate in candidates(phone, known)]
    taken = next((attempt for attempt in attempts if attempt.error is None), None)
    if taken is None:
        raise _nothing(phone, precision, attempts)
    fallback = _fallback(taken, phone, task, precision, attempts)
    considered = [*_strangers(phone, known), *(_verdict(attempt, taken, fallback) for attempt in attempts)]
    return Choice(
        phone=phone,
        chosen=taken.build,
        fallback=fallback.build if fallback else None,
        considered=tuple(considered),
    )


def candidates(phone: Phone, known: Mapping[str, Sequence[Target]]) -> list[Candidate]:
    """Return the targets for a phone's units, best first, whether they are ready or not."""
    npu = [Candidate("npu", target) for target in _for_chip(phone, NPU[phone.soc.vendor], known)]
    gpu = [Candidate("gpu", target) for target in _for_chip(phone, GPU[phone.system], known)]
    cpu = [Candidate("cpu", target) for target in _for_chip(phone, CPU, known)]
    return [*sorted(npu, key=lambda candidate: _RANK[candidate.target.execution]), *gpu, *cpu]


def phone_targets(phone: Phone) -> list[Candidate]:
    """Return the registered targets for a phone, best first, whether they are ready or not."""
    return candidates(phone, _by_family(TARGETS.values()))


def _by_family(targets: Iterable[Target]) -> dict[str, list[Target]]:
    found: dict[str, list[Target]] = {}
    for target in sorted(targets, key=lambda target: (target.family, target.rank, target.id)):
        found.setdefault(target.family, []).append(target)
    return found


def _for_chip(phone: Phone, families: Iterable[str], known: Mapping[str, Sequence[Target]]) -> Iterator[Target]:
    """Yield the target of each family that is for this phone's chip, or for any chip."""
    names = {name.casefold() for name in phone.soc.names}
    for family in families:
        fitting = [target for target in known.get(family, ()) if not target.chip or target.chip.casefold() in names]
        yield from fitting[:1]


def _strangers(phone: Phone, known: Mapping[str, Sequence[Target]]) -> Iterator[Considered]:
    """Yield the families of this vendor's chips that do not have this one."""
    for family in NPU[phone.soc.vendor]:
        if family in known and not list(_for_chip(phone, [family], known)):
            chips = ", ".join(sorted(target.chip for target in known[family]))
            why = f": {phone.soc.no_npu_target}" if phone.soc.no_npu_target else ""
            yield Considered(target=family, verdict=f"has no {phone.soc.id}{why}; it has {chips}")


def _attempt(candidate: Candidate, phone: Phone, task: str, precision: str | None) -> Attempt:
    """Try the precision that was asked for, or those that suit the unit, on one candidate."""
    target = candidate.target
    suited = [name for name in PREFERRED[candidate.unit] if name in target.precisions]
    error: EdgeError | None = None
    for name in (precision,) if precision else suited or target.precisions:
        try:
            if candidate.unit == "npu" and name == "fp16" and not phone.soc.npu_fp16:
                raise Refused(f"{target.id} cannot use fp16: {phone.soc.npu} has no float16")
            target.check(name, task)
            return Attempt(candidate, name)
        except (Refused, MissingError) as caught:
            error = caught if error is None or isinstance(caught, MissingError) else error
    return Attempt(candidate, error=error)


def _fallback(
    taken: Attempt, phone: Phone, task: str, precision: str | None, attempts: Sequence[Attempt]
) -> Attempt | None:
    """Return the CPU attempt to fall back on: of the same runtime if there is one, in fp32 if need be."""
    cpu = [attempt.candidate for attempt in attempts if attempt.candidate.unit == "cpu"]
    word = taken.candidate.target.family.split("-", 1)[0]
    cpu.sort(key=lambda candidate: candidate.target.family.split("-", 1)[0] != word)
    for candidate in cpu:
        for wanted in (precision, None):
            if (attempt := _attempt(candidate, phone, task, wanted)).error is None:
                return attempt
    return None


def _verdict(attempt: Attempt, taken: Attempt, fallback: Attempt | None) -> Considered:
    target = attempt.candidate.target.id
    if attempt is taken:
        word = "taken, and its own fallback" if fallback and fallback.build == taken.build else "taken"
        return Considered(target=target, verdict=f"{word}: {attempt.words}")
    if fallback and fallback.candidate.target.id == target:
        return Considered(target=target, verdict=f"taken as the CPU fallback: {fallback.words}")
    return Considered(target=target, verdict=attempt.words if attempt.error else f"also possible: {attempt.words}")


def _nothing(phone: Phone, precision: str | None, attempts: Sequence[Attempt]) -> EdgeError:
    """Return the error for a phone that nothing can be built for: the first that a command would mend, if any."""
    wish = f"nothing for {phone.id}{f' in {precision}' if precision else ''} can be built here"
    for kind in (MissingError, Refused):
        for attempt in attempts:
            if isinstance(attempt.error, kind):
                return kind(f"{wish}: {attempt.error}")
    return MissingError(f"{wish}: the kit has no target for {phone.soc.id}; `edge targets` lists those it has")
