"""Where a program can go: one file per target family, one `@target` definition per target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Required, TypedDict, Unpack

from edge.artifact import Needs, Step
from edge.contract import Contract, TensorSpec
from edge.delegation import Operator, Rejected, Unit
from edge.errors import MissingError, Refused
from edge.registry import Registry
from edge.sdk import SDKS
from edge.versions import installed_version
from quant.precision import PRECISIONS

if TYPE_CHECKING:
    from convert.program import Program

Execution = Literal["native", "emulated", "reference", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a compile function left in its folder: how to call it and how it was made."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: tuple[Step, ...]
    needs: Needs
    operators: tuple[Operator, ...] = ()  # the exported program's, each with its unit
    rejected: tuple[Rejected, ...] = ()  # operators of the compiled file that the exported program has no name for
    estimates: Mapping[str, float] = field(default_factory=dict)  # of the chip's compiler, not measured


Compile = Callable[["Program", str, Path], Compiled]
ChipCompile = Callable[["Program", str, Path, str], Compiled]
Probe = Callable[[], str]
Unfit = Callable[[Contract], str]


def nothing_missing() -> str:
    """Stand for a target that needs its packages only."""
    return ""


def fits(contract: Contract) -> str:
    """Stand for a target that obeys every contract for its tasks."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Describe a target; listing it imports nothing heavy, `compile` imports what it needs."""

    id: str
    runtime: str  # a name in edge.runtimes
    summary: str
    precisions: tuple[str, ...]
    packages: tuple[str, ...]  # distributions that compile needs
    extra: str  # the pip extra that installs them
    execution: Execution  # how the artifact can be executed on this machine
    unit: Unit = "cpu"  # what the artifact is made for
    tasks: tuple[str, ...] = ()  # empty: any task
    sdks: tuple[str, ...] = ()  # names in edge.sdk
    calibrated: tuple[str, ...] = ()  # precisions that need pictures here, though not everywhere
    refused: Mapping[str, str] = field(default_factory=dict)  # precision → why not, and the nearest thing
    probe: Probe = field(repr=False, default=nothing_missing)  # "<what is missing>: <command>" beyond packages, or ""
    unfit: Unfit = field(repr=False, default=fits)  # why a contract for one of its tasks cannot be obeyed, or ""
    rank: int = 0  # among its family's chips; 0 stands for the family
    compile: Compile = field(repr=False)

    @property
    def family(self) -> str:
        """Return the id without its chip."""
        return self.id.partition(":")[0]

    @property
    def chip(self) -> str:
        """Return the chip that the id names, or an empty string."""
        return self.id.partition(":")[2]

    def measures(self, precision: str) -> bool:
        """Say whether this target measures the range of activations on pictures for a precision."""
        return precision in self.calibrated or PRECISIONS[precision].calibrated

    def takes(self, contract: Contract) -> bool:
        """Say whether this target makes artifacts for a contract, whatever is installed."""
        return (not self.tasks or contract.task in self.tasks) and not self.unfit(contract)

    def missing_packages(self) -> tuple[str, ...]:
        """Return the distributions that are not installed."""
        return tuple(name for name in self.packages if not installed_version(name))

    def status(self) -> str:
        """Return `ready`, or `needs <package, SDK or library>: <command that gets it>`."""
        if missing := self.missing_packages():
            return f"needs {', '.join(missing)}: pip install 'edge-deployment-kit[{self.extra}]'"
        lacking = [text for name in self.sdks if (text := SDKS[name].lacking())] or [self.probe()]
        return f"needs {lacking[0]}" if lacking[0] else "ready"

    def environment(self) -> dict[str, str]:
        """Return the variables that the children which compile and execute need; raises MissingError."""
        found: dict[str, str] = {}
        for name in self.sdks:
            found |= SDKS[name].environment()
        return found

    def check(self, precision: str, task: str) -> None:
        """Raise MissingError or Refused if this target cannot make `precision` for `task` here."""
        if self.tasks and task not in self.tasks:
            raise Refused(
                f"{self.id} makes artifacts for {', '.join(self.tasks)}, not for task {task!r}; "
                "litert-cpu takes any task"
            )
        if precision not in self.precisions:
            why = self.refused.get(precision, f"it has {', '.join(self.precisions)}")
            raise Refused(f"{self.id} has no precision {precision!r}; {why}")
        if (status := self.status()) != "ready":
            raise MissingError(f"{self.id} {status}")


TARGETS: Registry[Target] = Registry("target", "convert.targets", command="edge targets")


class Traits(TypedDict, total=False):
    """What `@target` and `@target_family` take by name: the fields of `Target`."""

    runtime: Required[str]
    summary: Required[str]
    precisions: Required[tuple[str, ...]]
    packages: Required[tuple[str, ...]]
    extra: Required[str]
    execution: Required[Execution]
    unit: Unit
    tasks: tuple[str, ...]
    sdks: tuple[str, ...]
    calibrated: tuple[str, ...]
    refused: Mapping[str, str]
    probe: Probe
    unfit: Unfit


def target(id: str, **traits: Unpack[Traits]) -> Callable[[Compile], Compile]:
    """Register a compile function: (program, precision, empty folder) → Compiled, files in the folder."""

    def decorate(function: Compile) -> Compile:
        TARGETS.add(id, Target(id=id, compile=function, **traits))
        return function

    return decorate


def target_family(
    family: str, *, chips: tuple[str, ...], **traits: Unpack[Traits]
) -> Callable[[ChipCompile], ChipCompile]:
    """Register one target a chip, `family:chip`, for a compile function that takes the chip as its last argument.

    The list of chips is ours: vendors' compilers accept an unknown one and silently build for another. The first
    stands for the family where one is enough. Unless `unit` says otherwise, the artifacts are made for NPUs.
    """
    traits.setdefault("unit", "npu")

    def decorate(function: ChipCompile) -> ChipCompile:
        for rank, chip in enumerate(chips):
            id = f"{family}:{chip}"
            TARGETS.add(id, Target(id=id, rank=rank, compile=_for_chip(function, chip), **traits))
        return function

    return decorate


def _for_chip(function: ChipCompile, chip: str) -> Compile:
    def compile_for_chip(program: Program, precision: str, folder: Path) -> Compiled:
        return function(program, precision, folder, chip)

    return compile_for_chip


def families() -> dict[str, tuple[Target, ...]]:
    """Return the targets of every family; the first of each stands for it."""
    found: dict[str, list[Target]] = {}
    for entry in sorted(TARGETS.values(), key=lambda entry: entry.rank):
        found.setdefault(entry.family, []).append(entry)
    return {family: tuple(found[family]) for family in sorted(found)}
